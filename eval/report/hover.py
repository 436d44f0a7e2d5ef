"""Data for reading values off a figure: the places of its panels, their axes, and the values of their lines.

The page's script (``templates/report.js``) shows the values of all lines at the pointer or keyboard position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision.statistics.spacing import evenly_spaced

_MOST_POINTS = 200  # of a line; more are invisible and only enlarge the page


def panels(figure: Figure) -> list[dict[str, Any]]:
    """Return JSON values of every panel with a labelled line; the figure must have been drawn, to have a layout."""
    found = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if (label := str(line.get_label())) and not label.startswith("_")]
        if lines:
            place = axes.get_position()
            box = [place.x0, 1 - place.y1, place.width, place.height]  # fractions, from the top left
            x = _axis(axes.xaxis, axes.get_xlim()) | {"label": _label(figure, axes)}
            found.append({"box": _short(box), "x": x, "y": _axis(axes.yaxis, axes.get_ylim()), "lines": _lines(lines)})
    return found


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    percent = str(axis.get_major_formatter()(0.5, 0)).endswith("%")
    return {"limits": _short(limits), "log": axis.get_scale() == "log", "percent": percent}


def _label(figure: Figure, axes: Axes) -> str:
    """Return the label of the horizontal axis, which only the lowest of several stacked panels shows."""
    column = [other for other in figure.axes if abs(other.get_position().x0 - axes.get_position().x0) < 0.01]
    return " ".join(column[-1].get_xlabel().split())


def _lines(lines: list[Line2D]) -> list[dict[str, Any]]:
    return [
        {
            "label": line.get_label(),
            "color": line.get_color(),
            "steps": line.get_drawstyle() == "steps-post",
            "points": [_short(point) for point in _points(line)],
        }
        for line in lines
    ]


def _points(line: Line2D) -> np.ndarray:
    """Return finite points (N, 2) of a line, at most ``_MOST_POINTS``, including the first and the last."""
    points = np.stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    few: np.ndarray = points[evenly_spaced(len(points), _MOST_POINTS)]
    return few


def _short(values: Any) -> list[float]:
    """Round numbers to four significant digits, more than a figure shows."""
    return [float(f"{value:.4g}") for value in values]
