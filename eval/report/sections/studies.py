"""Chapters of what affects the errors: cameras removed or given wrongly, what makes a sample hard, confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from eval.report.page import Section, Table
from eval.report.sections.parts import absent, drawing, each, short, short_titles
from eval.report.study_charts import Line, Scatter, confidence, sensitivity, trends
from eval.scoring.conditions import LARGEST_DISPLACEMENT, UNITS
from eval.scoring.metrics import error_interval
from eval.scoring.record import Evaluation, Scored
from eval.scoring.samples import TRAINING_DISTANCE, VISIBILITY, Stratum, quartiles
from eval.scoring.table import NONE
from vision.storage.schema import CONFIDENT_DEG


def subsets_section(evaluations: Sequence[Evaluation]) -> Section:
    title = "Camera subsets"
    body = []
    for evaluation, test_set in each(evaluations):
        for scored in [*filter(None, [test_set.scored.get("calibrated")]), *test_set.study("subset")]:
            if test_set.study("subset"):
                seen = f"without {scored.condition.without}" if scored.condition.without else "all"
                body.append([evaluation.name, test_set.name, seen, *short(scored.errors, scored.clusters)])
    if not body:
        return absent(title, "no evaluation has camera subsets; evaluate a geometric head with --camera_subsets true")
    caption = "Each camera taken away in turn, pictures and all; calibrated cameras. Only a geometric head can do so."
    return Section(title, [Table(["estimator", "test set", "cameras", *short_titles()], body, caption, 3)])


def miscalibration_section(evaluations: Sequence[Evaluation]) -> Section:
    title = "Sensitivity to camera miscalibration"
    panels = []
    for kind, unit in UNITS.items():
        rows: tuple[list[Line], list[Line]] = ([], [])
        for evaluation, test_set in each(evaluations):
            found = [one for one in test_set.study("miscalibration") if one.condition.displaced == kind]
            if not found or "calibrated" not in test_set.scored:
                continue
            label = test_set.name if len(evaluations) == 1 else f"{evaluation.name}, {test_set.name}"
            still = test_set.scored["calibrated"].errors.of(found[0].places)
            for lines, field in zip(rows, ("rotation_deg", "position_mm"), strict=True):
                values = [getattr(one.errors, field) for one in found]
                intervals = [error_interval(one, scored.clusters) for one, scored in zip(values, found, strict=True)]
                amounts = [one.condition.amount for one in found]
                means = [float(one.mean()) for one in values]
                lines.append(Line(label, amounts, means, intervals, float(getattr(still, field).mean())))
        if rows[0]:
            panels.append(
                (f"every camera wrong in {kind.replace('-', ' ')} by ({unit})", LARGEST_DISPLACEMENT[kind], rows)
            )
    if not panels:
        return absent(title, "not measured; evaluate a geometric head with --miscalibration_samples 96")
    counts = {len(one.errors) for _, test in each(evaluations) for one in test.study("miscalibration")}
    samples = f"{min(counts)} samples" if len(counts) == 1 else f"{min(counts)} to {max(counts)} samples"
    caption = (
        f"Mean errors when every camera is told wrongly, each in a random direction, on {samples} of each "
        "set; bands: 95 % confidence intervals. Dotted: told exactly. Grey: the largest displacement of Table 9, which "
        "the nominal protocol hides from the estimator."
    )
    return Section(title, [drawing(sensitivity(panels), caption)])


def visibility_section(evaluations: Sequence[Evaluation]) -> Section:
    """Return errors against the visible fraction of the object."""
    title = "Visibility"
    found = _scored(evaluations, VISIBILITY)
    if not found:
        return absent(
            title,
            "the labels of these test sets do not say how much of the object is seen; render with --view_labels true",
        )
    shares = [(whose, label, 100.0 * values.mean(axis=-1), scored) for whose, label, values, scored in found]
    groups = [Scatter(label, values, scored.errors, scored.clusters) for _, label, values, scored in shares]
    what = "share of the object that nothing hides, mean of the cameras"
    chart = drawing(
        trends(groups, f"{what} (%)"),
        f"Errors by the {what}: samples as dots, means of eight groups of equal size with 95 % confidence intervals.",
    )
    caption = f"Errors by the {what}, in quartiles."
    titles = ["estimator", "test set", "protocol", "visible", *short_titles()]
    return Section(title, [chart, Table(titles, _quartile_rows(shares, " %"), caption, 4)])


def distance_section(evaluations: Sequence[Evaluation]) -> Section:
    """Return errors against the distance to the training distribution."""
    title = "Distance to the training distribution"
    found = _scored(evaluations, TRAINING_DISTANCE)
    if not found:
        return absent(title, "the evaluation named no training set")
    groups = [Scatter(label, values, scored.errors, scored.clusters) for _, label, values, scored in found]
    what = "root mean square distance of the object's corners to the nearest training pose"
    chart = drawing(trends(groups, "distance to the nearest training pose (mm)", log=True), f"Errors by the {what}.")
    caption = f"Errors by the {what}, in quartiles."
    titles = ["estimator", "test set", "protocol", "distance", *short_titles()]
    return Section(title, [chart, Table(titles, _quartile_rows(found, " mm"), caption, 4)])


def confidence_section(evaluations: Sequence[Evaluation]) -> Section:
    """Return errors against the confidence, which show whether it is meaningful."""
    body, groups = [], []
    for whose, label, scored in _protocols(evaluations):
        if np.ptp(scored.confidence) == 0:
            continue
        groups.append(Scatter(label, scored.confidence, scored.errors, scored.clusters))
        rank = rank_correlation(scored)
        for place, group in enumerate(confidence_quarters(scored)):
            figures = short(scored.errors.of(group.samples), scored.clusters[group.samples])
            correlation = NONE if rank is None else f"{rank:+.2f}"
            body.append([*whose, group.label, *figures, correlation if place == 0 else ""])
    if not body:
        return absent("Confidence", "these estimators give every sample the same confidence")
    caption = (
        "Errors by confidence, in quarters from the least to the most confident. Last column: rank correlation "
        "(Spearman) of confidence and rotation error over all samples; −1 would order them perfectly."
    )
    titles = ["estimator", "test set", "protocol", "confidence", *short_titles(), "rank correlation"]
    chart = drawing(
        confidence(groups, CONFIDENT_DEG),
        "Left: risk and coverage, the mean rotation error of the most confident samples by their share; it rises where "
        "confidence means something. Middle: mean rotation error of each tenth of the samples, with 95 % confidence "
        f"intervals; it falls likewise. Right: how often an estimate is right to {CONFIDENT_DEG:g}°, which a geometric "
        "head promises to be the confidence itself (grey).",
    )
    return Section("Confidence", [chart, Table(titles, body, caption, 4)])


def confidence_quarters(scored: Scored) -> list[Stratum]:
    """Split the samples into quarters, from the least to the most confident."""
    order = np.argsort(scored.confidence, kind="stable")
    groups = []
    for part in np.array_split(order, min(4, len(order))):
        mask = np.zeros(len(order), bool)
        mask[part] = True
        values = scored.confidence[part]
        groups.append(Stratum(f"{values.min():.4f} to {values.max():.4f}", mask))
    return groups


def rank_correlation(scored: Scored) -> float | None:
    """Compute Spearman's rank correlation of confidence and rotation error; None if either is the same everywhere."""
    from scipy.stats import spearmanr  # imported late: it takes half a second

    confidence, error = scored.confidence, scored.errors.rotation_deg
    if np.ptp(confidence) == 0 or np.ptp(error) == 0:
        return None
    return float(spearmanr(confidence, error).statistic)


def _protocols(evaluations: Sequence[Evaluation]) -> Iterator[tuple[list[str], str, Scored]]:
    """Yield for every test set and protocol: estimator, test set and protocol, the same as a label, and the errors."""
    for evaluation, test_set in each(evaluations):
        for scored in test_set.study("protocol"):
            whose = [evaluation.name, test_set.name, scored.condition.camera_knowledge]
            yield whose, ", ".join(whose[len(evaluations) == 1 :]), scored


def _scored(evaluations: Sequence[Evaluation], fact: str) -> list[tuple[list[str], str, np.ndarray, Scored]]:
    """Return the tuples of :func:`_protocols` with a fact of each sample, (N, ...), for sets that have it."""
    facts = {(evaluation.name, test.name): test.columns.get(fact) for evaluation, test in each(evaluations)}
    return [
        (whose, label, values[scored.places], scored)
        for whose, label, scored in _protocols(evaluations)
        if (values := facts[whose[0], whose[1]]) is not None
    ]


def _quartile_rows(found: Sequence[tuple[list[str], str, np.ndarray, Scored]], unit: str) -> list[list[str]]:
    """Return rows of errors by the quartiles of a fact from :func:`_scored`."""
    return [
        [*whose, group.label, *short(scored.errors.of(group.samples), scored.clusters[group.samples])]
        for whose, _, values, scored in found
        for group in quartiles(values, unit)
    ]
