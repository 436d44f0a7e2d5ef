"""Published errors for the same hand and object, to compare with ours; none for any other scene."""

from __future__ import annotations

from eval.scoring.metrics import ErrorSummary
from eval.scoring.table import Row
from vision.scene.scene import Scene


def _published(
    whose: str, test_set: str, renderer: str, samples: int | None, rotation: ErrorSummary, position: ErrorSummary
) -> Row:
    figures = {"rotation": rotation, "position": position}
    return Row(whose, test_set, renderer, "regression", "nominal", "none", samples, figures)


PAPER_ROWS = (
    _published("paper", "Unity renders", "unity", None, ErrorSummary(2.71, 1.62), ErrorSummary(3.12, 1.52)),
    _published("paper", "MuJoCo renders", "mujoco", None, ErrorSummary(3.23, 2.91), ErrorSummary(3.71, 4.07)),
    _published("paper", "real images", "real", 992, ErrorSummary(5.01, 2.47), ErrorSummary(9.27, 4.02)),
)
"""OpenAI et al., arXiv 1808.00177, Table 6: mean and standard deviation; no other figure is published."""

SUCCESSOR_ROWS = (
    _published("successor", "sim, tuned by hand", "orrb", None, ErrorSummary(1.99), ErrorSummary(4.03)),
    _published("successor", "sim, automatic", "orrb", None, ErrorSummary(1.85), ErrorSummary(5.18)),
    _published("successor", "real, tuned by hand", "real", None, ErrorSummary(5.19), ErrorSummary(8.53)),
    _published("successor", "real, automatic", "real", None, ErrorSummary(5.09), ErrorSummary(7.85)),
)
"""OpenAI et al., "Solving Rubik's Cube with a Robot Hand", arXiv 1910.07113, for the block, with randomizations tuned
by hand and found automatically: means only."""

_ROWS = {("shadow", "block"): (*PAPER_ROWS, *SUCCESSOR_ROWS)}


def published_rows(scene: Scene) -> tuple[Row, ...]:
    """Return the published rows for the scene's hand and object, by their names."""
    return () if scene.hand is None else _ROWS.get((scene.hand.name, scene.object.name), ())


def published_means(scene: Scene) -> dict[str, tuple[float, float]]:
    """Return the paper's mean rotation (degrees) and position (mm) errors by test set, for this hand and object."""
    return {
        row.test_set: (row.rotation.mean, row.position.mean)
        for row in published_rows(scene)
        if row.estimator == "paper" and row.rotation and row.position
    }
