"""Pythons that see the built package with some of its extras, and nothing else of what is installed here.

One is true: a new environment into which all is installed from a package index. One takes a second: a Python without
its folder of installed packages, and in its place links to those that the built package's own metadata asks for, and
that these ask for in turn.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "dactyl-vision"


@dataclass(frozen=True)
class Isolated:
    """An installation.

    Attributes:
        python: how to start it.
        path: folders that it imports from besides its own.
        extras: that were asked for, and those that they ask for.
    """

    python: tuple[str, ...]
    path: tuple[Path, ...]
    extras: frozenset[str]

    def run(self, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python code there in a folder."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self.path)), "PYTHONSAFEPATH": "1"}
        command = [*self.python, "-c", code]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def linked(installed: Path, extras: Collection[str], links: Path) -> Isolated:
    """An installation of the unpacked package with extras, of links to what is installed here."""
    for name in reachable(installed, extras) - {OURS}:
        _link(importlib.metadata.distribution(name), links)
    return Isolated((sys.executable, "-S"), (installed, links), _brought(installed, extras))


def truly_installed(installed: Path, wheel: Path, extras: Collection[str], folder: Path) -> Isolated:
    """A new environment with the built package and the newest of all that it asks for."""
    uv("venv", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    uv("pip", "install", "--python", python, f"{OURS}[{','.join(extras)}] @ {wheel.as_uri()}")
    return Isolated((python,), (), _brought(installed, extras))


def uv(*arguments: str) -> None:
    """Run uv.

    Raises:
        CalledProcessError: it failed; its stderr says why.
    """
    subprocess.run([sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=True)


def reachable(installed: Path, extras: Collection[str]) -> set[str]:
    """Packages that an installation with extras brings.

    Raises:
        PackageNotFoundError: one of them is not installed here.
    """
    found: set[tuple[str, str]] = set()  # each once plain ("") and once with every extra that is asked for
    waiting = [Requirement(f"{OURS}[{','.join(extras)}]")]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        for extra in {"", *asked.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            waiting += _needs(_ours(installed), extra) if name == OURS else _needs_of(name, extra)
    return {name for name, _ in found}


def _brought(installed: Path, extras: Collection[str]) -> frozenset[str]:
    """Extras of ours, and those that they ask for."""
    found: set[str] = set()
    waiting = [*extras]
    while waiting:
        found.add(extra := waiting.pop())
        waiting += [more for need in _needs(_ours(installed), extra) if need.name == OURS for more in need.extras]
    return frozenset(found)


def _ours(installed: Path) -> Distribution:
    (ours,) = importlib.metadata.distributions(path=[str(installed)])
    return ours


@functools.cache
def _needs_of(name: str, extra: str) -> list[Requirement]:
    return _needs(importlib.metadata.distribution(name), extra)


def _needs(distribution: Distribution, extra: str) -> list[Requirement]:
    needs = map(Requirement, distribution.requires or [])
    return [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]


def _link(distribution: Distribution, links: Path) -> None:
    """Link a package's modules and metadata. A folder that several packages share (``google``, ``nvidia``) is made
    anew, and what is in it is linked."""
    for parts in {file.parts for file in distribution.files or []}:
        if parts[0] in ("..", "__pycache__") or parts[0].endswith(".pth"):
            continue
        part = Path(*parts[: 1 + (parts[0] in _shared())])
        link = links / part
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(str(distribution.locate_file(part)))


@functools.cache
def _shared() -> set[str]:
    owners = importlib.metadata.packages_distributions()
    return {package for package, names in owners.items() if len(set(names)) > 1}
