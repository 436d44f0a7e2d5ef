"""Random numbers for many worlds, each from its own generator, at the cost of array indexing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vision.geometry.rotations import FloatArray

_CHUNK = 64  # steps drawn in advance at once


class Stream:
    """Stream of one row of independent standard draws per world and step, float64.

    Args:
        worlds: number of worlds, N.
        width: numbers per row.
        kind: standard normal, uniform on [0, 1), or exponential with mean 1.
    """

    def __init__(self, worlds: int, width: int, kind: Literal["normal", "uniform", "exponential"]) -> None:
        self._kind, self._width = kind, width
        self._rows = np.zeros((worlds, _CHUNK, width))
        self._used = np.full(worlds, _CHUNK)
        self._generators: dict[int, np.random.Generator] = {}

    def begin(self, world: int, rng: np.random.Generator) -> None:
        """Draw for ``world`` from ``rng`` from now on."""
        self._generators[world] = rng
        self._used[world] = _CHUNK

    def next(self, worlds: NDArray[np.int64]) -> FloatArray:
        """Return the next row of each of ``worlds``, (len(worlds), width)."""
        for world in worlds[self._used[worlds] == _CHUNK]:
            rng, shape = self._generators[int(world)], (_CHUNK, self._width)
            if self._kind == "normal":
                self._rows[world] = rng.normal(size=shape)
            elif self._kind == "uniform":
                self._rows[world] = rng.random(shape)
            else:
                self._rows[world] = rng.exponential(size=shape)
            self._used[world] = 0
        rows: FloatArray = self._rows[worlds, self._used[worlds]]
        self._used[worlds] += 1
        return rows
