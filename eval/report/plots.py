"""Common style of a report's figures: size, fonts, colours, axes, and export to files or SVG text.

Equal data give equal bytes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vision.io.files import atomic_write

COLORS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c77d0a", "#3a3a3a")
PARTS = (
    ("rotation_deg", "rotation error (degrees)", (0.3, 180.0)),
    ("position_mm", "position error (mm)", (0.3, 200.0)),
)
_FONT: dict[str, Any] = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9}
_SVG: Any = {**_FONT, "svg.fonttype": "none", "svg.hashsalt": "dactyl"}


def svg(figure: Figure) -> str:
    """Convert a figure to SVG text for HTML; its letters remain text."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SVG):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    atomic_write(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def new_figure(width: float, height: float) -> Figure:
    """Create a figure of this width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def log_axis(axes: Axes, limits: tuple[float, float], label: str) -> None:
    log_scale(axes.xaxis)
    axes.set_xlim(limits)
    axes.set_xlabel(label)
    plain_axes(axes)


def log_scale(axis: Axis) -> None:
    """Make the axis of what was plotted logarithmic; it stays linear if nothing is above zero."""
    if not np.isfinite(axis.get_minpos()):
        return
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def plain_axes(axes: Axes) -> None:
    axes.grid(which="both", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
