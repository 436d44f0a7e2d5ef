"""Actions in bins, which the paper's policy chooses from (Table 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import FloatArray

BINS = 11  # of each actuator
_CENTRES = np.linspace(-1, 1, BINS)


def actions_from_bins(bins: NDArray[np.integer]) -> FloatArray:
    """Actions in [-1, 1], of the same shape: bin 0 is -1, the middle one 0, the last one 1.

    Raises:
        ValueError: a number that is no bin.
    """
    if bins.size and not 0 <= bins.min() <= bins.max() < BINS:
        raise ValueError(f"expected bins from 0 to {BINS - 1}, got {bins.min()} to {bins.max()}")
    actions: FloatArray = _CENTRES[bins]
    return actions
