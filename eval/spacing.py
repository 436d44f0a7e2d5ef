"""Some of many, evenly spaced."""

from __future__ import annotations

import numpy as np


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most ``most`` different numbers below ``count`` in rising order, the first and the last of them included."""
    return np.linspace(0, count - 1, min(count, most)).astype(int).tolist() if count else []
