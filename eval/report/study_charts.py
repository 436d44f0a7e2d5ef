"""Figures of what affects the errors: miscalibration, what makes a sample hard, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.report.plots import COLORS, PARTS, log_scale, new_figure, plain_axes
from eval.scoring.metrics import PoseErrors, error_interval
from vision.statistics.bootstrap import Interval

_GROUPS = 8  # groups of samples, whose means form a trend


@dataclass(frozen=True)
class Line:
    """Means over the amount of an effect, with intervals; ``reference`` is the mean without the effect."""

    label: str
    x: Sequence[float]
    means: Sequence[float]
    intervals: Sequence[Interval | None]
    reference: float


@dataclass(frozen=True)
class Scatter:
    """Errors (N,) of samples over a value (N,) of each; the samples belong to clusters (N,)."""

    label: str
    values: np.ndarray
    errors: PoseErrors
    clusters: np.ndarray


def sensitivity(panels: Sequence[tuple[str, float, Sequence[Sequence[Line]]]]) -> Figure:
    """Plot mean errors over the error of the given cameras.

    Args:
        panels: for each kind of error: the axis' label, the displacement of Table 9, and the lines of rotation
            (degrees) and of position (mm).
    """
    figure = new_figure(11, 5.4)
    grid = figure.subplots(2, len(panels), squeeze=False, sharey="row")
    for column, (label, published, rows) in enumerate(panels):
        for row, lines in enumerate(rows):
            axes = grid[row][column]
            for number, line in enumerate(lines):
                color = COLORS[number % len(COLORS)]
                _banded(axes, line.x, line.means, line.intervals, color, line.label)
                axes.axhline(line.reference, color=color, linewidth=1, linestyle=(0, (1, 2)))
            axes.axvline(published, color="0.6", linewidth=0.8, zorder=0)
            log_scale(axes.xaxis)
            log_scale(axes.yaxis)
            plain_axes(axes)
        grid[1][column].set_xlabel(label)
    for row, (_, label, _) in enumerate(PARTS):
        grid[row][0].set_ylabel(f"mean {label}")
    _legend(figure)
    return figure


def trends(groups: Sequence[Scatter], label: str, log: bool = False) -> Figure:
    """Plot errors over a value of each sample: every sample as a dot, and means of groups of equal size.

    Args:
        groups: one colour each.
        label: label of the horizontal axis.
        log: make that axis logarithmic.
    """
    figure = new_figure(11, 3.9)
    for axes, (field, what, _) in zip(figure.subplots(1, 2), PARTS, strict=True):
        for number, group in enumerate(groups):
            color, errors = COLORS[number % len(COLORS)], getattr(group.errors, field)
            axes.plot(group.values, errors, ".", color=color, alpha=0.22, markersize=3, markeredgewidth=0)
            parts = np.array_split(np.argsort(group.values, kind="stable"), min(_GROUPS, len(errors)))
            x = [group.values[part].mean() for part in parts]
            _means(axes, x, [(errors[part], group.clusters[part]) for part in parts], color, group.label)
        if log:
            log_scale(axes.xaxis)
        log_scale(axes.yaxis)
        axes.set_xlabel(label)
        axes.set_ylabel(what)
        plain_axes(axes)
    _legend(figure)
    return figure


def confidence(groups: Sequence[Scatter], within_deg: float) -> Figure:
    """Plot risk over coverage, errors by confidence, and the fraction of right estimates by confidence.

    Args:
        groups: rotation errors over confidence.
        within_deg: largest error of an estimate that counts as right.
    """
    figure = new_figure(11, 3.9)
    risk, tenths, calibration = figure.subplots(1, 3)
    for number, group in enumerate(groups):
        color, error = COLORS[number % len(COLORS)], group.errors.rotation_deg
        order = np.argsort(-group.values, kind="stable")
        kept = np.arange(1, len(order) + 1)
        first = max(len(order) // 20, 1) - 1  # the mean of a few samples is noise
        risk.plot(kept[first:] / len(order), (np.cumsum(error[order]) / kept)[first:], color=color, label=group.label)
        parts = np.array_split(order[::-1], min(10, len(order)))
        x = 1 + np.arange(len(parts))
        _means(tenths, x, [(error[part], group.clusters[part]) for part in parts], color, group.label)
        points = [(group.values[part].mean(), (error[part] <= within_deg).mean()) for part in parts]
        calibration.plot(*zip(*points, strict=True), "o-", color=color, markersize=4, linewidth=1.2, label=group.label)
    calibration.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    risk.set_xlabel("share of samples answered,\nmost confident first")
    risk.set_ylabel("mean rotation error (degrees)")
    risk.set_ylim(bottom=0)
    risk.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    tenths.set_xlabel("tenth of the samples,\nfrom the least to the most confident")
    tenths.set_ylabel("mean rotation error (degrees)")
    log_scale(tenths.yaxis)
    tenths.set_xticks(range(1, 11))
    calibration.set_xlabel("confidence\n(mean of a tenth of the samples)")
    calibration.set_ylabel(f"share within {within_deg:g}°")
    calibration.set_xlim(0, 1)
    calibration.set_ylim(-0.03, 1.03)
    for axes in (risk, tenths, calibration):
        plain_axes(axes)
    _legend(figure)
    return figure


def _means(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    groups: Sequence[tuple[np.ndarray, np.ndarray]],
    color: str,
    label: str,
) -> None:
    """Plot means of groups of (values, clusters), with 95 % confidence intervals over the clusters."""
    means = [float(values.mean()) for values, _ in groups]
    _banded(axes, x, means, [error_interval(*group) for group in groups], color, label)


def _banded(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    means: Sequence[float],
    intervals: Sequence[Interval | None],
    color: str,
    label: str,
) -> None:
    """Plot means over ``x``, in a band of their intervals if each has one."""
    axes.plot(x, means, "o-", color=color, markersize=4, linewidth=1.6, label=label)
    if all(intervals):
        low, high = zip(*(interval for interval in intervals if interval), strict=True)
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
