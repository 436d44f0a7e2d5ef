"""Versions of packages for manifests and reports; a missing package is not an error."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_OURS = "dactyl-vision"


def package_version(name: str) -> str | None:
    """Return the version of an installed package; None if it is not installed.

    This package's own version is that of the source tree if it runs from one: what was recorded when the tree was
    installed may be of an earlier day.
    """
    if name == _OURS and (version := _source_version()) is not None:
        return version
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions by name of those packages that are installed."""
    return {name: version for name in names if (version := package_version(name)) is not None}


@cache
def code_fingerprint() -> str:
    """Return the hexadecimal SHA-256 of the package ``vision``: of the names and contents of its Python files, the same
    in a source tree and installed.

    It is computed once for each process, which keeps the code that it has imported.
    """
    return tree_fingerprint(Path(__file__).parents[1])


def tree_fingerprint(folder: Path) -> str:
    """Return the hexadecimal SHA-256 of the relative paths and contents of all Python files below a folder."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@cache
def _source_version() -> str | None:
    """Return the version that the source tree's pyproject.toml states; None of an installed package."""
    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"]) if project["name"] == _OURS else None
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None
