"""Initial states of a training's episodes, made once by the paper's 100 random actions each, then read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.sim.environment import Environment
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.io.files import atomic_write
from vision.machine.progress import progress

STARTS = "starts.npy"


def start_states(folder: Path, environment: Environment, count: int) -> FloatArray:
    """Read the states of :func:`drawn_starts` from ``folder``, and make them first if there are none.

    Raises:
        DactylError: the file is damaged.
    """
    path = folder / STARTS
    if path.exists():
        return _read(path, (count, environment.batch.state.shape[1]))
    starts = drawn_starts(environment, count)
    atomic_write(path, lambda file: np.save(file, starts))
    return starts


def _read(path: Path, shape: tuple[int, int]) -> FloatArray:
    try:
        starts: FloatArray = np.load(path)
    except (ValueError, EOFError, OSError):
        starts = np.empty(0)
    if starts.shape != shape or starts.dtype != np.float64:
        raise DactylError(f"{path}: damaged; delete it, and it is made again")
    return starts


def drawn_starts(environment: Environment, count: int) -> FloatArray:
    """Return rows of ``batch.state`` at the beginning of episodes 0 to ``count`` - 1, (count, W)."""
    states: list[FloatArray] = []
    everyone = np.arange(environment.worlds)
    with progress("start states", count, "states") as advance:
        while len(states) < count:
            environment.reset(everyone, len(states) + everyone)
            states.extend(environment.batch.state.copy())
            advance(environment.worlds)
    return np.array(states[:count])
