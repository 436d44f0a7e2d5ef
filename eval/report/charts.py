"""Figures of measured errors: cumulative errors, means with their intervals, errors over the time of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from eval.report.plots import COLORS, PARTS, log_axis, log_scale, new_figure, plain_axes
from eval.scoring.metrics import PoseErrors
from eval.scoring.trial_results import OverTimeRecord
from vision.statistics.bootstrap import Interval

_STYLES = {"nominal": "-", "self-calibrated": (0, (5, 1.5, 1, 1.5)), "calibrated": (0, (5, 1.5)), None: (0, (1, 2))}


@dataclass(frozen=True)
class Curve:
    """Errors under one protocol, or of the constant pose (protocol None); one colour for each ``name``."""

    name: str
    protocol: str | None
    errors: PoseErrors


@dataclass(frozen=True)
class Mark:
    """Means of rotation and position errors with their intervals, on one line of the figure."""

    label: str
    means: tuple[float, float]
    intervals: tuple[Interval | None, Interval | None]
    published: bool


def error_curves(curves: Sequence[Curve], means: Mapping[str, tuple[float, float]]) -> Figure:
    """Plot the fraction of test samples with an error below each value, for rotation and position.

    Args:
        curves: solid for the nominal protocol, dash-dotted for the self-calibrated one, dashed for the calibrated one,
            dotted for the constant pose.
        means: published mean rotation (degrees) and position errors (mm) by name, as grey lines.
    """
    figure = new_figure(11, 4.6)
    names = list(dict.fromkeys(curve.name for curve in curves))
    panels = zip(figure.subplots(1, 2, sharey=True), PARTS, strict=True)
    for place, (axes, (field, label, limits)) in enumerate(panels):
        for curve in curves:
            values = np.sort(getattr(curve.errors, field))
            share = np.arange(1, len(values) + 1) / len(values)
            axes.step(
                np.concatenate([[min(limits[0], values[0])], values, [max(limits[1], values[-1])]]),
                np.concatenate([[0.0], share, [1.0]]),
                where="post",
                color=COLORS[names.index(curve.name) % len(COLORS)],
                linestyle=_STYLES[curve.protocol],
                linewidth=1.3 if curve.protocol is None else 1.8,
                label=f"{curve.name}, {f'{curve.protocol} cameras' if curve.protocol else 'best constant pose'}",
            )
        for name, pair in means.items():
            axes.axvline(pair[place], color="0.6", linewidth=0.8, zorder=0)
            where = axes.get_xaxis_transform()
            axes.text(pair[place], 1.01, name, rotation=70, fontsize=7, color="0.35", transform=where)
        log_axis(axes, limits, label)
        axes.set_ylim(0, 1)
    figure.axes[0].set_ylabel("share of samples below")
    figure.axes[0].yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(4, max(len(names), 2)), fontsize=8, frameon=False
    )
    return figure


def mean_marks(marks: Sequence[Mark]) -> Figure:
    """Plot means with their intervals, one below the other; published ones are hollow."""
    figure = new_figure(11, 0.9 + 0.27 * len(marks))
    for place, (axes, (_, label, _)) in enumerate(zip(figure.subplots(1, 2, sharey=True), PARTS, strict=True)):
        for row, mark in enumerate(marks):
            color = "0.35" if mark.published else COLORS[0]
            interval = mark.intervals[place]
            if interval is not None:
                axes.plot(interval, [row, row], color=color, linewidth=2.2, solid_capstyle="butt", alpha=0.6)
            face = "white" if mark.published else color
            axes.plot(mark.means[place], row, "o", markersize=5, color=color, markerfacecolor=face)
            axes.annotate(
                f"{mark.means[place]:.2f}",
                (max(mark.means[place], interval.high if interval else 0), row),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=color,
            )
        values = [mark.means[place] for mark in marks if mark.means[place] > 0] or [1.0]
        log_axis(axes, (min(values) / 1.5, max(values) * 2.2), f"mean {label}")
    figure.axes[0].set_yticks(range(len(marks)), [mark.label for mark in marks])
    figure.axes[0].invert_yaxis()
    return figure


def trial_errors(
    course: OverTimeRecord, single: tuple[np.ndarray, PoseErrors] | None = None, label: str = ""
) -> Figure:
    """Plot an estimator's errors over the time of the trials in which a policy used it.

    Args:
        course: errors of all trials for each second.
        single: seconds (n,) and errors (n,) of one trial.
        label: label of that trial.
    """
    figure = new_figure(11, 5.2)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    for axes, (field, what, _) in zip(panels[:2], PARTS, strict=True):
        low, middle, high = (getattr(course, f"{field}_{name}") for name in ("p10", "p50", "p90"))
        axes.fill_between(course.seconds, low, high, color=COLORS[0], alpha=0.18, linewidth=0, label="10 % to 90 %")
        axes.plot(course.seconds, middle, color=COLORS[0], linewidth=1.8, label="median of all trials")
        if single is not None:
            axes.plot(single[0], getattr(single[1], field), color=COLORS[1], linewidth=0.7, alpha=0.8, label=label)
        log_scale(axes.yaxis)
        axes.set_ylabel(what.replace(" error", "\nerror"))
        plain_axes(axes)
    panels[2].step(course.seconds, course.trials, where="mid", color="0.35", label="trials")
    panels[2].set_ylim(bottom=0)
    panels[2].set_ylabel("trials\ngoing")
    panels[2].set_xlabel("seconds since the trial began")
    panels[2].set_xlim(0, max(course.seconds) + 0.5)
    plain_axes(panels[2])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure
