"""Confidence intervals of means, over clusters of samples: trials, episodes, or recordings that were made with other
cameras.

The samples of one episode show nearly the same grasp, and those of one recording share their cameras' errors, so they
are not independent: resampling them one by one would give far too narrow intervals. The cluster bootstrap draws whole
clusters with replacement instead (Davison and Hinkley, "Bootstrap Methods and their Application", section 3.8), and the
interval lies between percentiles.

Percentiles alone are too narrow for few clusters, which show less scatter than they come from: of five, 85 % of
intervals hold the truth. Their distances from the mean are therefore widened as Student's t is wider than the normal
distribution (after Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 2015, who
widens the percentiles' levels): by 58 % for 5 clusters, 22 % for 10, 10 % for 20 and 4 % for 50. Of normal means, 95 %
of intervals then hold the truth, of skewed ones (gamma of shape 2) 91 % of five clusters and 95 % of twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

RESAMPLES = 2_000
LEVEL = 0.95
FEWEST_CLUSTERS = 5
"""Number of clusters below which there is no interval: one that holds the truth as often as it says would be so wide
that it says nothing."""
_ROUNDING = 1e-9  # of the largest value: what equal values may differ by


class Interval(NamedTuple):
    """Ends of a confidence interval, in the unit of the values."""

    low: float
    high: float


def mean_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    generator: np.random.Generator,
    level: float = LEVEL,
    least: float = -np.inf,
    most: float = np.inf,
) -> Interval | None:
    """Compute the interval of the mean of values (N,), or of a fraction for booleans; value i is of ``clusters[i]``.

    No value can be lower than ``least`` or higher than ``most``, so the interval is cut there.

    Returns:
        The interval; None for fewer than :data:`FEWEST_CLUSTERS`, and for values that are all equal (to rounding): a
        bootstrap of them shows no scatter, though others may differ.
    """
    if _equal(values):
        return None
    found = _resample(values, clusters, generator)
    if found is None:
        return None
    low, high = _interval(found.mean, found.means, [found], level)
    return Interval(max(low, least), min(high, most))


def difference_interval(
    less: tuple[ArrayLike, ArrayLike],
    values: tuple[ArrayLike, ArrayLike],
    generator: np.random.Generator,
) -> Interval | None:
    """Compute the interval of the mean of ``values`` minus that of ``less``, each with its own samples.

    Both are (values (N,), clusters (N,)). If they have the same samples, :func:`mean_interval` of their differences is
    more precise.

    Returns:
        The interval; None if either has fewer clusters than :data:`FEWEST_CLUSTERS`, and if the values of each are all
        equal (as there).
    """
    if _equal(values[0]) and _equal(less[0]):
        return None
    found, other = (_resample(*one, generator) for one in (values, less))
    if found is None or other is None:
        return None
    return _interval(found.mean - other.mean, found.means - other.means, [found, other], LEVEL)


def _equal(values: ArrayLike) -> bool:
    """Return whether values are all the same, to rounding errors."""
    values = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max()) if values.size else True


class _Resampled(NamedTuple):
    """A mean, the means (RESAMPLES,) of resampled clusters, and the number of clusters."""

    mean: float
    means: np.ndarray
    clusters: int


def _resample(values: ArrayLike, clusters: ArrayLike, generator: np.random.Generator) -> _Resampled | None:
    """Return the mean and resampled means; None for too few clusters."""
    values = np.asarray(values, dtype=np.float64)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if values.shape != cluster.shape:
        raise ValueError(f"{values.shape} values of {cluster.shape} clusters")
    count = len(names)
    if count < FEWEST_CLUSTERS:
        return None
    sums, sizes = np.bincount(cluster, values), np.bincount(cluster)
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return _Resampled(float(values.mean()), np.asarray((drawn @ sums) / (drawn @ sizes)), count)


def _interval(mean: float, means: np.ndarray, parts: Sequence[_Resampled], level: float) -> Interval:
    """Return the percentiles of resampled means (RESAMPLES,) of the sum or difference of independent parts, their
    distances from the mean widened for the number of clusters."""
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    wider = _widening(parts, level)
    return Interval(float(mean - wider * (mean - low)), float(mean + wider * (high - mean)))


def _widening(parts: Sequence[_Resampled], level: float) -> float:
    """Return the ratio of Student's interval to the normal one of the resampled means' scatter, for the degrees of
    freedom by Welch and Satterthwaite."""
    shown = np.array([part.means.var() for part in parts])
    if not shown.any():
        return 1.0
    free = np.array([part.clusters - 1 for part in parts])
    variance = shown * (free + 1) / free  # resampled means scatter by the clusters' variance with divisor k, not k - 1
    freedom = variance.sum() ** 2 / (variance**2 / free).sum()
    tail = (1 + level) / 2
    return float(stdtrit(freedom, tail) / ndtri(tail) * np.sqrt(variance.sum() / shown.sum()))
