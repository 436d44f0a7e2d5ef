"""Confidence intervals of means, over episodes.

The samples of one episode show nearly the same grasp, so they are not independent: resampling them one by one would
give far too narrow intervals. The cluster bootstrap draws whole episodes with replacement instead (Davison and Hinkley,
"Bootstrap Methods and their Application", section 3.8), and the interval lies between percentiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2_000
LEVEL = 0.95


class Interval(NamedTuple):
    """Ends of a confidence interval, in the unit of the values."""

    low: float
    high: float


def mean_interval(
    values: ArrayLike, episodes: ArrayLike, generator: np.random.Generator, level: float = LEVEL
) -> Interval | None:
    """Compute the interval of the mean of values (N,), or of a fraction for booleans; value i is of ``episodes[i]``.

    Returns:
        The interval; None for a single episode, which says nothing about others.
    """
    means = _resampled_means(values, episodes, generator)
    return None if means is None else _percentiles(means, level)


def difference_interval(
    less: tuple[ArrayLike, ArrayLike],
    values: tuple[ArrayLike, ArrayLike],
    generator: np.random.Generator,
    level: float = LEVEL,
) -> Interval | None:
    """Compute the interval of the mean of ``values`` minus that of ``less``, each with its own samples.

    Both are (values (N,), episodes (N,)). If they have the same samples, :func:`mean_interval` of their differences is
    more precise.

    Returns:
        The interval; None if either has a single episode.
    """
    found = [_resampled_means(*one, generator) for one in (values, less)]
    return None if found[0] is None or found[1] is None else _percentiles(found[0] - found[1], level)


def _resampled_means(values: ArrayLike, episodes: ArrayLike, generator: np.random.Generator) -> np.ndarray | None:
    """Return the means (RESAMPLES,) of resampled episodes; None for a single episode."""
    values = np.asarray(values, dtype=np.float64)
    names, episode = np.unique(np.asarray(episodes), return_inverse=True)
    if values.shape != episode.shape:
        raise ValueError(f"{values.shape} values of {episode.shape} episodes")
    if len(names) < 2:
        return None
    sums, sizes = np.bincount(episode, values), np.bincount(episode)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    return np.asarray((drawn @ sums) / (drawn @ sizes))


def _percentiles(means: np.ndarray, level: float) -> Interval:
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))
