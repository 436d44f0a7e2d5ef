"""Checks of a command's outputs against its inputs, so that a slip never overwrites an existing file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

OUTPUTS = ("output", "page", "overlays", "save", "record")
"""Keys of configurations that name files and folders a command writes."""

_PIECES = re.compile(r"(manifest|config|evaluation)\.json|(shard|part)-\d+\.(tar|parquet|json)")


def refuse_lost_inputs(config: Any, others: Iterable[Path | str] = ()) -> None:
    """Raise ValueError if a configuration names one file to be both read and written, or to be written twice.

    Args:
        config: a dataclass; its outputs are the keys of :data:`OUTPUTS`.
        others: files that are read, too: configurations.
    """
    written = {key: getattr(config, key) for key in OUTPUTS if isinstance(getattr(config, key, None), Path)}
    named = [(key, value) for key, value in _paths(config) if key not in written]
    named += [("config", str(value)) for value in others]
    for key, path in written.items():
        if not path.is_file():
            continue
        if _PIECES.fullmatch(path.name):
            raise ValueError(f"{key}: {path} is a piece of what another command made; choose another file")
        for other, value in named:
            if same_file(path, value):
                raise ValueError(f"{key}: {path} would be written over {other}, which is read; choose another file")
    for number, (key, path) in enumerate(written.items()):
        for other in list(written)[:number]:
            if path == written[other]:
                raise ValueError(f"{key}: {path} is {other}, too; choose another file")


def same_file(one: Path, other: Path | str) -> bool:
    """Return whether two names lead to the same existing file."""
    try:
        return Path(other).is_file() and one.samefile(other)
    except (OSError, ValueError):  # the text is not a file name
        return False


def _paths(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and texts of a configuration that may name files."""
    if isinstance(value, (str, Path)) and str(value):
        yield key, str(value)
    items = vars(value).items() if is_dataclass(value) else value.items() if isinstance(value, dict) else ()
    for name, inner in items:
        yield from _paths(inner, f"{key}.{name}" if key else str(name))
