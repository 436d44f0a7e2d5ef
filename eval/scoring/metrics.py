"""Errors of estimated poses against true ones, and their summaries for tables.

The errors are defined in :mod:`eval.scoring.metric_rows`, one row each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from eval.scoring.metric_rows import METRICS, Metric
from eval.scoring.pose_pairs import PosePairs
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject
from vision.registry import Registry
from vision.statistics.bootstrap import Interval, mean_interval

OTHERS = Registry("metric", "dactyl.metrics", {})
"""Metrics of other packages: a ``Metric`` each, under its key."""

MAIN = ("rotation", "position")
"""Keys of the errors that every figure and every published row has."""


@lru_cache(maxsize=1)
def metrics() -> dict[str, Metric]:
    """Return all metrics by key: ours, then those of other packages.

    Raises:
        DactylError: another package's entry point is not a metric, or not one with the entry point's name as its key.
    """
    found = {metric.key: metric for metric in METRICS}
    for name in OTHERS.names():
        metric = OTHERS.load(name)
        if not isinstance(metric, Metric):
            raise DactylError(f"metric '{name}': expected an eval.scoring.metric_rows.Metric, got {metric!r:.60}")
        if metric.key != name:
            raise DactylError(f"metric '{name}': has the key '{metric.key}'; name the entry point so")
        found.setdefault(name, metric)
    return found


def table_metrics() -> list[Metric]:
    """Return the metrics that the main table shows."""
    return [metric for metric in metrics().values() if metric.in_table]


@dataclass(frozen=True)
class PoseErrors:
    """Errors of N samples by the metrics' keys, (N,) each; errors that could not be computed are absent."""

    values: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.values["rotation"])

    def __getitem__(self, key: str) -> np.ndarray:
        return self.values[key]

    @property
    def rotation_deg(self) -> FloatArray:
        return self.values["rotation"]

    @property
    def position_mm(self) -> FloatArray:
        return self.values["position"]

    def of(self, samples: np.ndarray) -> PoseErrors:
        """Select the errors of some samples, by their numbers or by a mask."""
        return PoseErrors({key: values[samples] for key, values in self.values.items()})


@dataclass(frozen=True)
class ErrorSummary:
    """Summary of the errors of a test set, in their own unit.

    Attributes:
        mean: arithmetic mean; for booleans, the fraction.
        std: standard deviation over the samples (divided by n, so that one sample has 0); None if a paper does not
            state it, NaN if an error is infinite.
        median: half of the samples have a smaller error; None as above.
        p90: 90 % of the samples have a smaller error, between two samples by linear interpolation; None as above.
    """

    mean: float
    std: float | None = None
    median: float | None = None
    p90: float | None = None


def pose_errors(
    target: PoseObject,
    true: Pose,
    predicted: Pose,
    cameras: Cameras | None = None,
    keys: Collection[str] | None = None,
) -> PoseErrors:
    """Compute the errors of N samples: all, or those of ``keys``, with ``MAIN`` among them.

    Args:
        target: the object, with its points, symmetries and shape symmetries.
        true, predicted: N poses each, of arrays.
        cameras: true K (N, C, 3, 3) and T (N, C, 4, 4), for errors in pixels.

    Raises:
        DactylError: a metric of another package does not return a number for each sample.
    """
    pairs = PosePairs(target, true, predicted, cameras)
    found = {key: _measured(metric, pairs) for key, metric in metrics().items() if keys is None or key in keys}
    return PoseErrors({key: values for key, values in found.items() if values is not None})


def _measured(metric: Metric, pairs: PosePairs) -> np.ndarray | None:
    if (found := metric.function(pairs)) is None:
        return None
    values = np.asarray(found)
    expected = "b" if metric.kind == "share" else "fiu"
    if values.shape != (len(pairs),) or values.dtype.kind not in expected or np.isnan(values.astype(float)).any():
        what = "truth values" if metric.kind == "share" else "numbers"
        raise DactylError(
            f"metric '{metric.key}': expected {len(pairs)} {what}, got shape {values.shape} {values.dtype}"
            + (" with NaN" if values.dtype.kind == "f" and np.isnan(values).any() else "")
        )
    return values


def error_interval(errors: ArrayLike, clusters: ArrayLike) -> Interval | None:
    """Compute the 95 % confidence interval of the mean of errors (N,) of samples that belong to ``clusters`` (N,).

    It is cut at zero, unless a metric has errors below. Equal errors give equal intervals.

    Returns:
        The interval; None for too few clusters, or for errors that are all equal.
    """
    values = np.asarray(errors, dtype=np.float64)
    return mean_interval(values, clusters, np.random.default_rng(0), least=min(0.0, values.min()))


def summarise(errors: ArrayLike) -> ErrorSummary:
    """Compute mean, standard deviation, median and 90th percentile of at least one error, (N,)."""
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one error in a row, got shape {values.shape}")
    with np.errstate(invalid="ignore"):  # an infinite error makes the standard deviation NaN
        return ErrorSummary(
            float(values.mean()), float(values.std()), float(np.median(values)), float(np.percentile(values, 90))
        )
