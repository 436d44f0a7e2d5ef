"""Confidence intervals of means, over clusters of samples: trials, episodes, or recordings that were made with other
cameras.

The samples of one episode show nearly the same grasp, and those of one recording share their cameras' errors, so they
are not independent: resampling them one by one would give far too narrow intervals. The cluster bootstrap draws whole
clusters with replacement instead (Davison and Hinkley, "Bootstrap Methods and their Application", section 3.8), and the
interval lies between percentiles.
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
    values: ArrayLike, clusters: ArrayLike, generator: np.random.Generator, level: float = LEVEL
) -> Interval | None:
    """Compute the interval of the mean of values (N,), or of a fraction for booleans; value i is of ``clusters[i]``.

    Returns:
        The interval; None for a single cluster, which says nothing about others.
    """
    means = _resampled_means(values, clusters, generator)
    return None if means is None else _percentiles(means, level)


def difference_interval(
    less: tuple[ArrayLike, ArrayLike],
    values: tuple[ArrayLike, ArrayLike],
    generator: np.random.Generator,
) -> Interval | None:
    """Compute the interval of the mean of ``values`` minus that of ``less``, each with its own samples.

    Both are (values (N,), clusters (N,)). If they have the same samples, :func:`mean_interval` of their differences is
    more precise.

    Returns:
        The interval; None if either has a single cluster.
    """
    found = [_resampled_means(*one, generator) for one in (values, less)]
    return None if found[0] is None or found[1] is None else _percentiles(found[0] - found[1], LEVEL)


def _resampled_means(values: ArrayLike, clusters: ArrayLike, generator: np.random.Generator) -> np.ndarray | None:
    """Return the means (RESAMPLES,) of resampled clusters; None for a single cluster."""
    values = np.asarray(values, dtype=np.float64)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if values.shape != cluster.shape:
        raise ValueError(f"{values.shape} values of {cluster.shape} clusters")
    if len(names) < 2:
        return None
    sums, sizes = np.bincount(cluster, values), np.bincount(cluster)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    return np.asarray((drawn @ sums) / (drawn @ sizes))


def _percentiles(means: np.ndarray, level: float) -> Interval:
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))
