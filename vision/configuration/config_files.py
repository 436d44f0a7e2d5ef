"""Configurations and scenes that ship with the program: a checkout's folder ``configs``, or its copy in a package."""

from __future__ import annotations

import difflib
from pathlib import Path

from vision.errors import DactylError

PREFIX = "dactyl:"

_INSTALLED = Path(__file__).parents[1] / "configs"
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "configs"
"""Folder of all configurations, with one folder for each stage."""


def config_file(value: str) -> Path:
    """Return the file that ``--config`` names: ``dactyl:train/best`` is ours, anything else a path.

    Raises:
        DactylError: none of ours has that name.
    """
    if not value.startswith(PREFIX):
        return Path(value)
    name = value.removeprefix(PREFIX).removesuffix(".yaml")
    paths = (path.relative_to(CONFIGS) for path in CONFIGS.glob("*/*.yaml"))
    names = sorted(str(path.with_suffix("")) for path in paths if path.parts[0] != "scenes")
    if name in names:
        return CONFIGS / f"{name}.yaml"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {PREFIX}{near[0]}?" if near else f"there are {', '.join(names)}"
    raise DactylError(f"{value}: no configuration of that name comes with the program; {hint}")
