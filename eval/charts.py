"""Figures of a report, drawn by matplotlib, as files or as SVG text. Equal data give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from eval.bootstrap import Interval
from eval.metrics import PoseErrors
from vision.files import atomic_write

COLORS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c77d0a", "#3a3a3a")
_STYLES = {"nominal": "-", "calibrated": (0, (5, 1.5)), None: (0, (1, 2))}
_PARTS = (
    ("rotation_deg", "rotation error (degrees)", (0.3, 180.0)),
    ("position_mm", "position error (mm)", (0.3, 200.0)),
)
_FONT: dict[str, Any] = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9}
_SVG: Any = {**_FONT, "svg.fonttype": "none", "svg.hashsalt": "dactyl"}


@dataclass(frozen=True)
class Curve:
    """Errors under one protocol, or of the constant pose (protocol None); one colour for each ``name``."""

    name: str
    protocol: str | None
    errors: PoseErrors


@dataclass(frozen=True)
class Mark:
    """A mean with its interval, rotation and position, in a line of its own."""

    label: str
    means: tuple[float, float]
    intervals: tuple[Interval | None, Interval | None]
    published: bool


@dataclass(frozen=True)
class Line:
    """Means over something, with intervals; ``reference`` is the mean without it."""

    label: str
    x: Sequence[float]
    means: Sequence[float]
    intervals: Sequence[Interval | None]
    reference: float


def error_curves(curves: Sequence[Curve], means: Mapping[str, tuple[float, float]]) -> Figure:
    """Share of the test samples with an error below each value, rotation and position.

    Args:
        curves: full lines for the nominal protocol, dashed for the calibrated one, dotted for the constant pose.
        means: published mean rotation (degrees) and position errors (mm) by name, as grey lines.
    """
    figure = _figure(11, 4.6)
    names = list(dict.fromkeys(curve.name for curve in curves))
    panels = zip(figure.subplots(1, 2, sharey=True), _PARTS, strict=True)
    for place, (axes, (field, label, limits)) in enumerate(panels):
        for curve in curves:
            values = np.sort(getattr(curve.errors, field))
            share = np.arange(1, len(values) + 1) / len(values)
            axes.step(
                np.concatenate([[limits[0]], values, [limits[1]]]),
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
        _log_axis(axes, limits, label)
        axes.set_ylim(0, 1)
    figure.axes[0].set_ylabel("share of samples below")
    figure.axes[0].yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(4, max(len(names), 2)), fontsize=8, frameon=False
    )
    return figure


def mean_marks(marks: Sequence[Mark]) -> Figure:
    """Means with their intervals, one below the other; published ones hollow."""
    figure = _figure(11, 0.9 + 0.27 * len(marks))
    for place, (axes, (_, label, _)) in enumerate(zip(figure.subplots(1, 2, sharey=True), _PARTS, strict=True)):
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
        values = [mark.means[place] for mark in marks]
        _log_axis(axes, (min(values) / 1.5, max(values) * 2.2), f"mean {label}")
    figure.axes[0].set_yticks(range(len(marks)), [mark.label for mark in marks])
    figure.axes[0].invert_yaxis()
    return figure


def sensitivity(panels: Sequence[tuple[str, float, Sequence[Sequence[Line]]]]) -> Figure:
    """Mean errors over how wrong the told cameras are.

    Args:
        panels: for each kind of error: the axis' label, the displacement of Table 9, and the lines of rotation
            (degrees) and of position (mm).
    """
    figure = _figure(11, 5.4)
    grid = figure.subplots(2, len(panels), squeeze=False, sharey="row")
    for column, (label, published, rows) in enumerate(panels):
        for row, lines in enumerate(rows):
            axes = grid[row][column]
            for number, line in enumerate(lines):
                color = COLORS[number % len(COLORS)]
                axes.plot(line.x, line.means, "o-", color=color, markersize=4, linewidth=1.6, label=line.label)
                if all(line.intervals):
                    low, high = zip(*(interval for interval in line.intervals if interval), strict=True)
                    axes.fill_between(line.x, low, high, color=color, alpha=0.15, linewidth=0)
                axes.axhline(line.reference, color=color, linewidth=1, linestyle=(0, (1, 2)))
            axes.axvline(published, color="0.6", linewidth=0.8, zorder=0)
            axes.set_xscale("log")
            axes.set_yscale("log")
            _log_ticks(axes.xaxis)
            _log_ticks(axes.yaxis)
            _plain(axes)
        grid[1][column].set_xlabel(label)
    for row, (_, label, _) in enumerate(_PARTS):
        grid[row][0].set_ylabel(f"mean {label}")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def confidence(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], within_deg: float) -> Figure:
    """What a confidence is worth: mean error of the most confident share, and how often it is right.

    Args:
        curves: label, confidence (N,) and rotation error (N,) in degrees of each.
        within_deg: the error below which an estimate counts as right.
    """
    figure = _figure(11, 3.9)
    risk, calibration = figure.subplots(1, 2)
    for number, (label, confidence, error) in enumerate(curves):
        color = COLORS[number % len(COLORS)]
        order = np.argsort(-confidence, kind="stable")
        kept = np.arange(1, len(order) + 1)
        first = max(len(order) // 20, 1) - 1  # the mean of a few samples is noise
        risk.plot(kept[first:] / len(order), (np.cumsum(error[order]) / kept)[first:], color=color, label=label)
        groups = np.array_split(order, min(10, len(order)))
        points = [(confidence[group].mean(), (error[group] <= within_deg).mean()) for group in groups]
        calibration.plot(*zip(*points, strict=True), "o-", color=color, markersize=4, linewidth=1.2)
    calibration.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    risk.set_xlabel("share of samples kept, most confident first")
    risk.set_ylabel("mean rotation error (degrees)")
    risk.set_ylim(bottom=0)
    risk.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    calibration.set_xlabel("confidence (mean of a tenth of the samples)")
    calibration.set_ylabel(f"share within {within_deg:g}°")
    calibration.set_xlim(0, 1)
    calibration.set_ylim(-0.03, 1.03)
    for axes in (risk, calibration):
        _plain(axes)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def trial_errors(
    course: Mapping[str, Sequence[float]], single: tuple[np.ndarray, PoseErrors] | None = None, label: str = ""
) -> Figure:
    """An estimator's errors over the time of trials that it drove.

    Args:
        course: of ``eval.trials.over_time``.
        single: seconds (n,) and errors (n,) of one trial.
        label: of that trial.
    """
    figure = _figure(11, 5.2)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    for axes, (field, what, _) in zip(panels[:2], _PARTS, strict=True):
        low, middle, high = (course[f"{field}_{name}"] for name in ("p10", "p50", "p90"))
        axes.fill_between(course["seconds"], low, high, color=COLORS[0], alpha=0.18, linewidth=0, label="10 % to 90 %")
        axes.plot(course["seconds"], middle, color=COLORS[0], linewidth=1.8, label="median of all trials")
        if single is not None:
            axes.plot(single[0], getattr(single[1], field), color=COLORS[1], linewidth=0.7, alpha=0.8, label=label)
        axes.set_yscale("log")
        _log_ticks(axes.yaxis)
        axes.set_ylabel(what.replace(" error", "\nerror"))
        _plain(axes)
    panels[2].step(course["seconds"], course["trials"], where="mid", color="0.35")
    panels[2].set_ylim(bottom=0)
    panels[2].set_ylabel("trials\ngoing")
    panels[2].set_xlabel("seconds since the trial began")
    panels[2].set_xlim(0, max(course["seconds"]) + 0.5)
    _plain(panels[2])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def svg(figure: Figure) -> str:
    """The figure as SVG text to put into HTML; its letters are text."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SVG):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    atomic_write(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def _figure(width: float, height: float) -> Figure:
    """Inches."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _log_axis(axes: Axes, limits: tuple[float, float], label: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(limits)
    _log_ticks(axes.xaxis)
    axes.set_xlabel(label)
    _plain(axes)


def _log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _plain(axes: Axes) -> None:
    axes.grid(which="both", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
