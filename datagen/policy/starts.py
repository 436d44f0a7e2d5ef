"""Initial states of a training's episodes, made once by the paper's 100 random actions each, then read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.sim.environment import Environment
from vision.geometry.rotations import FloatArray
from vision.io.files import atomic_write
from vision.machine.progress import progress

STARTS = "starts.npy"


def start_states(folder: Path, environment: Environment, count: int) -> FloatArray:
    """Read the states of :func:`drawn_starts` from ``folder``, and make them first if there are none."""
    path = folder / STARTS
    if path.exists():
        starts: FloatArray = np.load(path)
        return starts
    starts = drawn_starts(environment, count)
    atomic_write(path, lambda file: np.save(file, starts))
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
