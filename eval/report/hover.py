"""What a pointer over a figure reads off it: where its panels lie, their axes, and the values of their lines.

The page's script (``templates/report.js``) shows the values of all lines where the pointer, or a key, is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.spacing import evenly_spaced

_MOST_POINTS = 200  # of a line; more than pixels tell apart only swell the page


def panels(figure: Figure) -> list[dict[str, Any]]:
    """JSON values of every panel with a line that has a name, of a figure that was drawn: its layout is then known."""
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
    """The label of the horizontal axis, which panels above each other share: it is written below the last."""
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
    """(N, 2) finite points, not too many, first and last among them."""
    points = np.stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    few: np.ndarray = points[evenly_spaced(len(points), _MOST_POINTS)]
    return few


def _short(values: Any) -> list[float]:
    """Numbers rounded to four digits: more than a figure shows."""
    return [float(f"{value:.4g}") for value in values]
