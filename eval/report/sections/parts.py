"""Helpers of several chapters, and the texts of figures in their tables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from eval.report.hover import panels
from eval.report.page import Drawing, Paragraph, Section
from eval.report.plots import svg
from eval.report.table_text import figure_text
from eval.scoring.metric_rows import Metric
from eval.scoring.metrics import PoseErrors, table_metrics
from eval.scoring.record import EvaluatedSet, Evaluation
from eval.scoring.record_types import ConstantRecord
from eval.scoring.table import NONE, measured
from vision.errors import DactylError
from vision.io.files import read_file

_MAX_PICTURE_BYTES = 64 << 20


def short_titles() -> list[str]:
    """Return the column titles of :func:`short`."""
    return ["n", *(title for metric in table_metrics() for title in _short_titles(metric))]


def short(errors: PoseErrors, clusters: np.ndarray) -> list[str]:
    """Return the figures of the main table, in fewer columns."""
    found = measured(errors, clusters)
    texts = [f"{found['samples']:,}"]
    for metric in table_metrics():
        figure = found["figures"].get(metric.key)
        texts.append(figure_text(metric, figure))
        if metric.kind == "distribution":
            texts.append(NONE if figure is None else f"{figure.median:.2f}")
    return texts


def _short_titles(metric: Metric) -> list[str]:
    return [metric.heading, "median"] if metric.kind == "distribution" else [metric.heading]


def drawing(figure: Figure, caption: str) -> Drawing:
    return Drawing(svg(figure), caption, panels(figure))


def each(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, EvaluatedSet]]:
    return [(evaluation, test_set) for evaluation in evaluations for test_set in evaluation.sets]


def different_constants(evaluations: Sequence[Evaluation], test_set: str) -> list[tuple[str, EvaluatedSet]]:
    """Return the evaluations' names and their test set of a name, one for each best constant pose that differs."""
    found: dict[ConstantRecord, tuple[str, EvaluatedSet]] = {}
    for evaluation, one in each(evaluations):
        if one.name == test_set and one.constant is not None and evaluation.record.constant is not None:
            found.setdefault(evaluation.record.constant, (evaluation.name, one))
    return list(found.values())


def absent(title: str, why: str) -> Section:
    return Section(title, [Paragraph(f"Missing: {why}.")])


def jpeg(path: Path) -> bytes:
    """Convert a PNG of an evaluation's folder to JPEG, which is smaller."""
    buffer, content = io.BytesIO(), read_file(path, _MAX_PICTURE_BYTES, "picture of an evaluation")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            picture.convert("RGB").save(buffer, "jpeg", quality=82)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{path}: not a readable picture ({error}); run dactyl evaluate again") from error
    return buffer.getvalue()
