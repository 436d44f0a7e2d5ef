"""Generated pages of the documentation: every command's help, every configuration, every public module.

A hook of mkdocs: ``on_files`` adds the pages, ``on_page_markdown`` turns links that leave the documentation into file
names.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from dactyl.cli import main
from dactyl.commands import COMMANDS

ROOT = Path(__file__).parents[1]
MODULES = (
    "vision.estimator", "vision.network_files", "vision.scene.scene", "vision.scene.hand", "vision.objects.pose_object",
    "vision.rigs.rig", "vision.scene.surroundings", "vision.scene.load", "vision.geometry.cameras",
    "vision.geometry.poses", "vision.geometry.rotations", "vision.storage.datasets", "vision.storage.manifest",
    "vision.storage.schema", "vision.networks.pose_model", "vision.tracking", "vision.registry", "datagen.render.base",
    "datagen.appearance.sample", "datagen.appearance.draw", "datagen.appearance.clutter", "datagen.sim.environment",
)  # fmt: skip
"""Modules for users of the library; the others are documented only in their files."""


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {"commands": commands(), "configurations": configurations(), "python": python()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn ``[words](../file)`` into the words and the file name, because the site holds only the documentation."""
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", _named, markdown)


def _named(link: re.Match[str]) -> str:
    words, path = link[1].strip("`"), link[2]
    return f"`{path}`" if words == path or words == Path(path).name else f"{link[1]} (`{path}`)"


def commands() -> str:
    """Return ``--help`` of all commands, as on a terminal of 100 columns."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Commands", "What `dactyl COMMAND --help` prints."]
    for name, command in COMMANDS.items():
        summary = f"{command.summary[0].upper()}{command.summary[1:]}."
        parts += [f"## dactyl {name}", summary, f"```text\n{_help(name.split())}```"]
    return "\n\n".join(parts) + "\n"


def _help(arguments: list[str]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main([*arguments, "--help"])
    return output.getvalue()


def configurations() -> str:
    """Return every file under ``configs``."""
    parts = [
        "# Configurations",
        "`--config configs/train/best.yaml`, or without a checkout `--config dactyl:train/best`.",
    ]
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        parts += [f"## {path.relative_to(ROOT / 'configs')}", f"```yaml\n{path.read_text()}```"]
    return "\n\n".join(parts) + "\n"


def python() -> str:
    """Return the docstrings of the modules for users."""
    return "\n\n".join(["# Python", *(f"::: {module}" for module in MODULES)]) + "\n"
