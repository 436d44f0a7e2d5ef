"""The part of collected states that rendering uses, read once for all processes of a command.

Render processes take single states in random order, and are replaced every few shards: if each of them read the folder,
they would spend more time and memory on it the more states there are.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.states.files import load_columns

_KEYS = ("episode", "joint_position", "object_position", "object_quaternion")
_Layout = tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]


class _Memory:
    """A file in memory, freed with this object and the last process that maps it."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("dactyl-states")
        weakref.finalize(self, os.close, self.descriptor)


@dataclass(frozen=True, eq=False)
class DrawnStates:
    """Columns of N states: ``vision.storage.schema.STATES`` gives shapes, units and frames.

    Attributes:
        fingerprint: fingerprint of the folder's states (:attr:`datagen.states.files.StatesManifest.fingerprint`), also
            where episodes of it are left out.
    """

    fingerprint: str
    episode: NDArray[np.int64]
    joint_position: NDArray[np.float64]
    object_position: NDArray[np.float64]
    object_quaternion: NDArray[np.float64]
    _memory: _Memory | None = field(default=None, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.episode)

    def excluding(self, episodes: Iterable[int]) -> DrawnStates:
        """Return the states of all other episodes, in the same order."""
        keep = ~np.isin(self.episode, list(episodes))
        return replace(self, _memory=None, **{key: getattr(self, key)[keep] for key in _KEYS})

    def shared(self) -> DrawnStates:
        """Return the same states, one or more, in memory that this machine's processes can share.

        Pickled, they are only the place of that memory: another process maps it, read-only, in no time. It must do so
        while the returned object exists.
        """
        memory = _Memory()
        with open(memory.descriptor, "wb", buffering=0, closefd=False) as file:
            for key in _KEYS:
                getattr(self, key).tofile(file)
        return replace(_mapped(*self._place(memory)), _memory=memory)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._memory is None:
            return super().__reduce_ex__(protocol)
        return _mapped, self._place(self._memory)

    def _place(self, memory: _Memory) -> tuple[str, str, _Layout]:
        """Return the arguments of :func:`_mapped` for these states in ``memory``."""
        columns = (getattr(self, key) for key in _KEYS)
        layout = tuple((column.dtype, column.shape) for column in columns)
        return f"/proc/{os.getpid()}/fd/{memory.descriptor}", self.fingerprint, layout


def load_drawn_states(folder: Path) -> DrawnStates:
    """Load these columns of all states of a finished folder, after comparing every part with the manifest.

    Raises:
        DactylError: as :func:`datagen.states.files.load_states`.
    """
    manifest, _, columns = load_columns(folder, _KEYS)
    return DrawnStates(manifest.fingerprint, *(columns[key] for key in _KEYS))


def _mapped(path: str, fingerprint: str, layout: _Layout) -> DrawnStates:
    """Map states that a process of this machine shares.

    Args:
        path: path of its memory, in which one column follows the other.
        fingerprint: fingerprint of the states.
        layout: type and shape of each column, in the order of the attributes.
    """
    memory, columns, offset = np.memmap(path, np.uint8, "r"), list[NDArray[Any]](), 0
    for dtype, shape in layout:
        columns.append(np.ndarray(shape, dtype, memory, offset))  # all types have 8 bytes, so columns stay aligned
        offset += columns[-1].nbytes
    return DrawnStates(fingerprint, *columns)
