"""The error table: published rows, ours, the best constant pose, and missing kinds of test set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.scoring.comparison import Difference
from eval.scoring.conditions import ProtocolName
from eval.scoring.metrics import ErrorSummary, PoseErrors, error_interval, metrics, summarise, table_metrics
from eval.scoring.record import EvaluatedSet, Evaluation, Scored
from vision.statistics.bootstrap import FEWEST_CLUSTERS, Interval

EXPECTED_RENDERERS = ("filament", "classic", "unity", "real")
"""Renderers whose test sets a full report has; one without a test set is shown as missing, never filled in."""

NONE = "–"


@dataclass(frozen=True)
class Row:
    """One line of the table; None if nothing was measured or nothing is published.

    Attributes:
        estimator: source of the estimates: paper, successor, a checkpoint's name, constant (the best one; with a
            checkpoint's name in brackets where those of several training sets stand together), missing.
        test_set: name of the test set.
        renderer: name of the renderer of its images.
        head: of the network, with the number of its windows if there were several.
        protocol: nominal, self-calibrated or calibrated.
        cameras: what the estimator knows about the cameras.
        samples: number of triplets.
        figures: summaries by the metrics' keys, in their units.
        intervals: 95 % intervals of the means in the main table.
        resampled: what the intervals resample, episodes or recordings.
        clusters: number of these.
    """

    estimator: str
    test_set: str
    renderer: str
    head: str = NONE
    protocol: str = NONE
    cameras: str = NONE
    samples: int | None = None
    figures: Mapping[str, ErrorSummary] = field(default_factory=dict)
    intervals: Mapping[str, Interval | None] = field(default_factory=dict)
    resampled: str = "episodes"
    clusters: int | None = None

    @property
    def rotation(self) -> ErrorSummary | None:
        """The rotation errors in degrees; None if there are none."""
        return self.figures.get("rotation")

    @property
    def position(self) -> ErrorSummary | None:
        """The position errors in millimetres; None if there are none."""
        return self.figures.get("position")

    @property
    def measured(self) -> bool:
        """Whether the row holds errors of a checkpoint, measured here."""
        return self.samples is not None and not self.constant and self.estimator not in (*PUBLISHED, "missing")

    @property
    def constant(self) -> bool:
        """Whether the row holds errors of the best constant pose."""
        return self.estimator.partition(" (")[0] == "constant"


PUBLISHED = ("paper", "successor")


_PROTOCOL_NOTES = {
    "nominal": "Nominal: only the rig is known.",
    "self-calibrated": (
        "Self-calibrated: the cameras are displaced once for each recording and found from its triplets."
    ),
    "calibrated": "Calibrated: each sample's true cameras are known.",
}
_CONSTANT_NOTE = "Constant: the one pose of least mean error on the training labels; what can be had without looking."
_MISSING_NOTE = "Missing: no test set of that kind was given."

_PUBLISHED_NOTE = (
    "Paper: arXiv 1808.00177, Table 6. Successor: arXiv 1910.07113, the same block, a later network. Both know only "
    "the rig: compare them with nominal rows."
)


def table_notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return notes that explain the terms that occur in a table of these rows."""
    errors = (
        "Errors as mean ± standard deviation over the n samples, the mean's 95 % confidence interval (bootstrap over "
        f"{intervals_over(rows)}, {FEWEST_CLUSTERS} or more), median and 90th percentile."
    )
    occurring = {row.protocol for row in rows}
    protocols = [note for protocol, note in _PROTOCOL_NOTES.items() if protocol in occurring]
    displaced = ["Protocols: the cameras are displaced from the rig, rendered ones by Table 9.", *protocols]
    others = [_CONSTANT_NOTE] * any(row.constant for row in rows)
    others += [_MISSING_NOTE] * any(row.estimator == "missing" for row in rows)
    published = [_PUBLISHED_NOTE] * any(row.estimator in PUBLISHED for row in rows)
    paragraphs = ([errors, *(metric.sentence for metric in table_metrics())], displaced * bool(protocols), others)
    return (*(" ".join(each) for each in paragraphs if each), *published)


def too_few(clusters: int | None) -> str:
    """Return what stands in the place of an interval: that there are too few clusters, or that nothing is known."""
    return NONE if clusters is None or clusters >= FEWEST_CLUSTERS else f"of {clusters}: too few"


def intervals_over(rows: Iterable[Row | Difference]) -> str:
    """Return what the confidence intervals of rows or differences resample, to stand after "over" or "whole"."""
    recorded = dict.fromkeys(row.test_set for row in rows if row.resampled == "recordings")
    return f"episodes or, of {', '.join(recorded)}, recordings" if recorded else "episodes"


_KNOWN: dict[ProtocolName, str] = {"nominal": "nominal", "self-calibrated": "found", "calibrated": "true"}


def our_row(evaluation: Evaluation, test_set: EvaluatedSet, scored: Scored) -> Row:
    """Return the row of an evaluation's results on a test set under one protocol."""
    protocol = scored.condition.camera_knowledge
    return Row(
        estimator=evaluation.name,
        test_set=test_set.name,
        renderer=test_set.renderer,
        head=evaluation.how,
        protocol=protocol,
        cameras=_KNOWN[protocol] if evaluation.uses_cameras else "none",
        resampled=test_set.resampled,
        **measured(scored.errors, scored.clusters),
    )


def baseline_row(test_set: EvaluatedSet, constant: PoseErrors) -> Row:
    """Return the row of the best constant pose's errors on a test set."""
    return Row(
        estimator="constant",
        test_set=test_set.name,
        renderer=test_set.renderer,
        cameras="none",
        resampled=test_set.resampled,
        **measured(constant, test_set.clusters),
    )


def missing_rows(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each kind of test set on which nothing of ours was measured."""
    present = {row.renderer for row in rows if row.measured}
    return [Row("missing", kind, kind) for kind in EXPECTED_RENDERERS if kind not in present]


def evaluation_rows(evaluation: Evaluation) -> list[Row]:
    """Return a checkpoint's rows: each test set under each protocol, then the constant pose on it."""
    rows = []
    for test_set in evaluation.sets:
        rows += [our_row(evaluation, test_set, scored) for scored in test_set.study("protocol")]
        if test_set.constant is not None:
            rows.append(baseline_row(test_set, test_set.constant))
    return rows


def measured(errors: PoseErrors, clusters: np.ndarray) -> dict[str, Any]:
    """Return samples, figures, intervals and number of clusters of a row, for errors (N,) of samples that belong to
    ``clusters`` (N,)."""
    known = {key: metric for key, metric in metrics().items() if key in errors.values}
    figures = {
        key: summarise(errors[key]) if metric.kind == "distribution" else ErrorSummary(float(errors[key].mean()))
        for key, metric in known.items()
    }
    intervals = {
        key: error_interval(errors[key], clusters)
        for key, metric in known.items()
        if metric.in_table and metric.kind == "distribution"
    }
    count = len(np.unique(clusters))
    return {"samples": len(errors), "figures": figures, "intervals": intervals, "clusters": count}
