"""Chapters of what moves the errors: cameras taken away or told wrongly, what makes a sample hard, confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from eval.bootstrap import mean_interval
from eval.charts import Line, confidence, sensitivity, svg
from eval.conditions import UNITS
from eval.page import Drawing, Paragraph, Section, Table
from eval.record import Evaluation, Scored
from eval.samples import TRAINING_DISTANCE, VISIBILITY, Stratum, quartiles
from eval.sections.parts import SHORT, absent, each, short

CONFIDENT_DEG = 10.0
"""A geometric head's confidence is its probability that the rotation is right to this angle (``vision.model``)."""

_DISPLACEMENT = {"position": 1.5, "rotation": 3.0, "field-of-view": 1.0}  # Table 9, the largest


def subsets_section(evaluations: Sequence[Evaluation]) -> Section:
    title = "Camera subsets"
    body = []
    for evaluation, test_set in each(evaluations):
        for scored in [*filter(None, [test_set.scored.get("calibrated")]), *test_set.study("subset")]:
            if test_set.study("subset"):
                seen = f"without {scored.condition.without}" if scored.condition.without else "all"
                body.append([evaluation.name, test_set.name, seen, *short(scored.errors, scored.episodes)])
    if not body:
        return absent(title, "no evaluation has camera subsets; evaluate a geometric head with --camera_subsets true")
    caption = "Each camera taken away in turn, pictures and all; calibrated cameras. Only a geometric head can do so."
    return Section(title, [Table(["estimator", "test set", "cameras", *SHORT], body, caption, 3)])


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
                intervals = [
                    mean_interval(one, scored.episodes, np.random.default_rng(0))
                    for one, scored in zip(values, found, strict=True)
                ]
                amounts = [one.condition.amount for one in found]
                means = [float(one.mean()) for one in values]
                lines.append(Line(label, amounts, means, intervals, float(getattr(still, field).mean())))
        if rows[0]:
            panels.append((f"every camera wrong in {kind.replace('-', ' ')} by ({unit})", _DISPLACEMENT[kind], rows))
    if not panels:
        return absent(title, "not measured; evaluate a geometric head with --miscalibration_samples 96")
    count = next(len(one.errors) for _, test in each(evaluations) for one in test.study("miscalibration"))
    caption = (
        f"Mean errors when every camera is told wrongly, each in a random direction, on {count} samples of each "
        "set; bands: 95 % confidence intervals. Dotted: told exactly. Grey: the largest displacement of Table 9, which "
        "the nominal protocol hides from the estimator."
    )
    return Section(title, [Drawing(svg(sensitivity(panels)), caption)])


def strata_section(evaluations: Sequence[Evaluation]) -> Section:
    parts: list[Table | Paragraph] = []
    for fact, unit, what, why in (
        (
            TRAINING_DISTANCE,
            " mm",
            "Errors by distance to the training distribution: the root mean square distance of the object's corners to "
            "the nearest training pose, in quartiles.",
            "Distance to the training distribution: missing, the evaluation named no training set.",
        ),
        (
            VISIBILITY,
            "",
            "Errors by the object's visible share, mean over the cameras, in quartiles.",
            "Errors by visibility: missing, the labels of these test sets do not say how much of the object is seen.",
        ),
    ):
        body = []
        for evaluation, test_set in each(evaluations):
            if fact not in test_set.columns:
                continue
            for scored in test_set.study("protocol"):
                for group in quartiles(test_set.columns[fact], unit):
                    figures = short(scored.errors.of(group.samples), scored.episodes[group.samples])
                    body.append([evaluation.name, test_set.name, scored.condition.told, group.label, *figures])
        titles = ["estimator", "test set", "protocol", "group", *SHORT]
        parts.append(Table(titles, body, what, 4) if body else Paragraph(why))
    return Section("What makes a sample hard", parts)


def confidence_section(evaluations: Sequence[Evaluation]) -> Section:
    body, curves = [], []
    for evaluation, test_set in each(evaluations):
        for scored in test_set.study("protocol"):
            if np.ptp(scored.confidence) == 0:
                continue
            whose = [evaluation.name, test_set.name, scored.condition.told]
            curves.append((", ".join(whose), scored.confidence, scored.errors.rotation_deg))
            rank = rank_correlation(scored)
            for place, group in enumerate(confidence_quarters(scored)):
                figures = short(scored.errors.of(group.samples), scored.episodes[group.samples])
                body.append([*whose, group.label, *figures, f"{rank:+.2f}" if place == 0 else ""])
    if not body:
        return absent("Confidence", "these estimators give every sample the same confidence")
    caption = (
        "Errors by confidence, in quarters from the least to the most confident. Last column: rank correlation "
        "(Spearman) of confidence and rotation error over all samples; −1 would order them perfectly."
    )
    titles = ["estimator", "test set", "protocol", "confidence", *SHORT, "rank correlation"]
    chart = Drawing(
        svg(confidence(curves, CONFIDENT_DEG)),
        "Left: mean rotation error of the most confident samples; it rises where confidence means something. Right: "
        f"how often an estimate of that confidence is right to {CONFIDENT_DEG:g}°, which a geometric head promises to "
        "be the confidence itself (grey).",
    )
    return Section("Confidence", [Table(titles, body, caption, 4), chart])


def confidence_quarters(scored: Scored) -> list[Stratum]:
    """Quarters of the samples, from the least to the most confident."""
    order = np.argsort(scored.confidence, kind="stable")
    groups = []
    for part in np.array_split(order, min(4, len(order))):
        mask = np.zeros(len(order), bool)
        mask[part] = True
        values = scored.confidence[part]
        groups.append(Stratum(f"{values.min():.3g} to {values.max():.3g}", mask))
    return groups


def rank_correlation(scored: Scored) -> float:
    """Spearman's, of confidence and rotation error."""
    return float(spearmanr(scored.confidence, scored.errors.rotation_deg).statistic)
