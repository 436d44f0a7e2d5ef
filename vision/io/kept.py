"""Results of reading files, kept until one of the files changes: a notebook that edits its scene sees it at once."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Generic, TypeVar

_Result = TypeVar("_Result")
_Stamp = tuple[int, ...]
_MOST_KEPT = 8  # results of a function
_opened: ContextVar[dict[Path, _Stamp] | None] = ContextVar("opened", default=None)


def note_opened(path: Path, status: os.stat_result) -> None:
    """Note that the result that is being made, if any, depends on a file with this status."""
    opened = _opened.get()
    if opened is not None:
        opened[path] = _stamp(status)


class KeptWhileFilesStay(Generic[_Result]):
    """A function of a name whose latest results are kept, each until a file that it opened has changed.

    Files are those that :func:`vision.io.files.open_regular` opens.
    """

    def __init__(self, function: Callable[[str], _Result]) -> None:
        self._function = function
        self._kept: dict[str, tuple[_Result, dict[Path, _Stamp]]] = {}
        functools.update_wrapper(self, function)

    def __call__(self, name: str) -> _Result:
        kept = self._kept.pop(name, None)
        if kept is None or any(_stamp_of(path) != stamp for path, stamp in kept[1].items()):
            opened: dict[Path, _Stamp] = {}
            token = _opened.set(opened)
            try:
                kept = self._function(name), opened
            finally:
                _opened.reset(token)
        self._kept[name] = kept
        while len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        outer = _opened.get()
        if outer is not None:
            outer.update(kept[1])
        return kept[0]

    def cache_clear(self) -> None:
        """Forget all results, where they depend on more than files."""
        self._kept.clear()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        return _stamp(path.stat())
    except OSError:
        return None
