"""Figures as the texts of a report's tables, and what several chapters share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eval.report.page import Paragraph, Section
from eval.report.table_text import mean_and_spread
from eval.scoring.metrics import PoseErrors, Summary
from eval.scoring.record import EvaluatedSet, Evaluation
from eval.scoring.table import NONE, figures
from vision.errors import DactylError
from vision.io.files import read_file

_MAX_PICTURE_BYTES = 64 << 20

SHORT = ("n", "rotation (°)", "median", "position (mm)", "median", "≤ 5° & 5 mm", "another face")


def short(errors: PoseErrors, episodes: np.ndarray) -> list[str]:
    """The figures of :data:`SHORT`."""
    found = figures(errors, episodes)
    rotation, position = found["rotation"], found["position"]
    return [
        f"{found['samples']:,}",
        *(mean(rotation), f"{rotation.median:.2f}", mean(position), f"{position.median:.2f}"),
        *(percent(found["within"]), percent(found["face_confusion"])),
    ]


def mean(summary: Summary | None) -> str:
    return NONE if summary is None else mean_and_spread(summary)


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def each(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, EvaluatedSet]]:
    return [(evaluation, test_set) for evaluation in evaluations for test_set in evaluation.sets]


def absent(title: str, why: str) -> Section:
    return Section(title, [Paragraph(f"Missing: {why}.")])


def jpeg(path: Path) -> bytes:
    """A PNG of an evaluation's folder, smaller."""
    buffer, content = io.BytesIO(), read_file(path, _MAX_PICTURE_BYTES, "picture of an evaluation")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            picture.convert("RGB").save(buffer, "jpeg", quality=82)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{path}: not a readable picture ({error}); run dactyl evaluate again") from error
    return buffer.getvalue()
