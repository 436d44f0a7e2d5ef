"""Output folders: one configuration claims them first, a manifest finishes them last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vision.config import differences
from vision.errors import DactylError
from vision.files import atomic_write, canonical_json, read_json

CONFIG = "config.json"
"""What is being made: written before anything else; a rerun with another configuration is refused."""

MANIFEST = "manifest.json"
"""What was made: written after everything else; a folder without it is unfinished."""


def claim(folder: Path, identity: dict[str, Any], pieces: str) -> None:
    """Note a configuration in a new folder, or compare it with the one that the folder was begun with.

    Args:
        folder: held by this process (``vision.files.exclusive_folder``).
        identity: the keys that decide the bytes of its pieces, as JSON values.
        pieces: glob of the files that the configuration makes, for example ``shard-*``.

    Raises:
        DactylError: the folder was begun with another configuration (the differing keys are named) or with none.
    """
    path = folder / CONFIG
    begun = any(folder.glob(pieces))
    if begun and not path.exists():
        raise DactylError(f"{folder}: holds {pieces} but no {CONFIG}; choose another output")
    if begun and (changed := differences(read_json(path, "configuration"), identity)):
        raise DactylError(
            f"{folder}: was begun with another configuration ({'; '.join(changed)}); choose another output"
        )
    if not begun:
        atomic_write(path, canonical_json(identity))
