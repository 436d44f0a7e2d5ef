"""Evenly spaced selection."""

from __future__ import annotations

import numpy as np


def evenly_spaced(count: int, most: int) -> list[int]:
    """Return at most ``most`` different numbers below ``count`` in rising order, including the first and the last (of
    one, the first)."""
    return np.linspace(0, count - 1, min(count, most)).astype(int).tolist() if count else []
