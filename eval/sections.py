"""The chapters of a report. Each is a function from evaluations, or from the table's rows, to a section of a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

from eval.bootstrap import mean_interval
from eval.charts import Curve, Line, Mark, confidence, error_curves, mean_marks, sensitivity, svg
from eval.conditions import UNITS
from eval.metrics import PoseErrors, Summary
from eval.page import Drawing, Listing, Paragraph, Photo, Section, Table
from eval.record import EvaluatedSet, Evaluation, Scored
from eval.samples import TRAINING_DISTANCE, VISIBILITY, Stratum, quartiles
from eval.table import KINDS, NOTES, PUBLISHED_MEANS, Row, cells, figures, header

CONFIDENT_DEG = 10.0
"""A geometric head's confidence is its probability that the rotation is right to this angle (``vision.model``)."""

_DISPLACEMENT = {"position": 1.5, "rotation": 3.0, "field-of-view": 1.0}  # Table 9, the largest
_NONE = "–"
_ELSEWHERE = (
    "renderer",
    "cameras known",
    "≤ 5° & 5 mm",
    "another face",
)  # other tables of the report have them


def results_section(rows: Sequence[Row], evaluations: Sequence[Evaluation]) -> Section:
    marks = [
        Mark(
            " · ".join([row.estimator, row.test_set] + ([row.protocol] if row.measured else [])),
            (row.rotation.mean, row.position.mean),
            (row.rotation_interval, row.position_interval),
            not row.measured,
        )
        for row in rows
        if row.rotation and row.position and row.estimator != "constant"
    ]
    styles = ["ours" if row.measured else "missing" if row.estimator == "missing" else "published" for row in rows]
    table = Table(
        [title for title in header() if title not in _ELSEWHERE],
        [[text for text, title in zip(cells(row), header(), strict=True) if title not in _ELSEWHERE] for row in rows],
        "Rotation and position errors, mean ± standard deviation. Published figures are of the nominal protocol; "
        "compare only rows of that protocol with them, and each set with the set of its kind.",
        4,
        styles,
    )
    chart = Drawing(
        svg(mean_marks(marks)), "Mean errors with 95 % confidence intervals over episodes (bars); hollow: published."
    )
    return Section("Results", [table, chart])


def curves_section(evaluations: Sequence[Evaluation]) -> Section:
    parts = []
    if len(evaluations) == 1:
        groups = [("all test sets", [(one.name, one) for one in evaluations[0].sets])]
    else:
        names = dict.fromkeys(one.name for evaluation in evaluations for one in evaluation.sets)
        groups = [
            (
                name,
                [(evaluation.name, one) for evaluation in evaluations for one in evaluation.sets if one.name == name],
            )
            for name in names
        ]
    for title, members in groups:
        curves = [
            Curve(name, one.condition.told, one.errors) for name, test in members for one in test.study("protocol")
        ]
        shown = members if len(evaluations) == 1 else members[:1]
        curves += [Curve(name, None, test.constant) for name, test in shown if test.constant is not None]
        caption = f"{title}: share of samples with an error below each value. Grey: the paper's mean errors."
        parts.append(Drawing(svg(error_curves(curves, PUBLISHED_MEANS)), caption))
    return Section("Cumulative errors", parts)


def details_section(rows: Sequence[Row]) -> Section:
    titles = [
        *(
            "estimator",
            "test set",
            "protocol",
            "|x| mm",
            "|y| mm",
            "|z| mm",
            "ADD mm",
            "ADD-S mm",
            "MSSD mm",
            "MSPD px",
        ),
        *("≤ 5° & 5 mm", "another face"),
    ]
    body, styles = [], []
    for row in rows:
        if row.samples is None or row.axis is None or row.within is None or row.gross is None:
            continue
        styles.append("ours" if row.measured else "published")
        body.append(
            [
                *(row.estimator, row.test_set, row.protocol),
                *(f"{value:.2f}" for value in row.axis),
                *(_mean(summary) for summary in (row.add, row.add_s, row.mssd, row.mspd)),
                *(_percent(share) for share in (row.within, row.gross)),
            ]
        )
    caption = (
        "Mean absolute error along the world's axes, mean ± standard deviation of the errors that join rotation and "
        "position, and shares of samples. MSPD: in the largest of the three views, at the network's image size."
    )
    return Section("Other errors", [Table(titles, body, caption, 3, styles)])


def matrix_section(evaluations: Sequence[Evaluation]) -> Section:
    renderers = list(dict.fromkeys([*(one.renderer for evaluation in evaluations for one in evaluation.sets), *KINDS]))
    parts: list[Table] = []
    for protocol in ("nominal", "calibrated"):
        body, shades = [], []
        for evaluation in evaluations:
            line: list[str] = [evaluation.name, evaluation.training_renderer]
            shade: list[float | None] = [None, None]
            for renderer in renderers:
                found = [
                    one.scored[protocol].errors
                    for one in evaluation.sets
                    if one.renderer == renderer and protocol in one.scored
                ]
                line.append(_both(_joined(found)) if found else _NONE)
                mean = np.concatenate([errors.rotation_deg for errors in found]).mean() if found else None
                shade.append(None if mean is None else float(np.log(mean / 2.0) / np.log(45.0)))
            body.append(line)
            shades.append(shade)
        if any(cell != _NONE for line in body for cell in line[2:]):
            caption = f"{protocol.capitalize()} cameras: mean errors by what rendered the pictures."
            titles = ["estimator", "trained on", *(f"tested on {renderer}" for renderer in renderers)]
            parts.append(Table(titles, body, caption, 2, shades=shades))
    return Section("Training renderer × test renderer", parts)


def subsets_section(evaluations: Sequence[Evaluation]) -> Section:
    title = "Camera subsets"
    body = []
    for evaluation, test_set in _each(evaluations):
        for scored in [*filter(None, [test_set.scored.get("calibrated")]), *test_set.study("subset")]:
            if test_set.study("subset"):
                seen = f"without {scored.condition.without}" if scored.condition.without else "all"
                body.append([evaluation.name, test_set.name, seen, *_short(scored.errors, scored.episodes)])
    if not body:
        return _absent(title, "no evaluation has camera subsets; evaluate a geometric head with --camera_subsets true")
    caption = "Each camera taken away in turn, pictures and all; calibrated cameras. Only a geometric head can do so."
    return Section(title, [Table(["estimator", "test set", "cameras", *_SHORT], body, caption, 3)])


def miscalibration_section(evaluations: Sequence[Evaluation]) -> Section:
    title = "Sensitivity to camera miscalibration"
    panels = []
    for kind, unit in UNITS.items():
        rows: tuple[list[Line], list[Line]] = ([], [])
        for evaluation, test_set in _each(evaluations):
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
        return _absent(title, "not measured; evaluate a geometric head with --miscalibration_samples 96")
    count = next(len(one.errors) for _, test in _each(evaluations) for one in test.study("miscalibration"))
    caption = (
        f"Mean errors when every camera is told wrongly, each in a random direction, on {count} samples of each "
        "set; bands: 95 % confidence intervals. Dotted: told exactly. Grey: the largest displacement of Table 9, which "
        "the nominal protocol hides from the estimator."
    )
    return Section(title, [Drawing(svg(sensitivity(panels)), caption)])


def strata_section(evaluations: Sequence[Evaluation]) -> Section:
    parts: list[Table | Paragraph] = []
    for fact, unit, what, absent in (
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
        for evaluation, test_set in _each(evaluations):
            if fact not in test_set.columns:
                continue
            for scored in test_set.study("protocol"):
                for group in quartiles(test_set.columns[fact], unit):
                    figures = _short(scored.errors.of(group.samples), scored.episodes[group.samples])
                    body.append([evaluation.name, test_set.name, scored.condition.told, group.label, *figures])
        titles = ["estimator", "test set", "protocol", "group", *_SHORT]
        parts.append(Table(titles, body, what, 4) if body else Paragraph(absent))
    return Section("What makes a sample hard", parts)


def confidence_section(evaluations: Sequence[Evaluation]) -> Section:
    body, curves = [], []
    for evaluation, test_set in _each(evaluations):
        for scored in test_set.study("protocol"):
            if np.ptp(scored.confidence) == 0:
                continue
            whose = [evaluation.name, test_set.name, scored.condition.told]
            curves.append((", ".join(whose), scored.confidence, scored.errors.rotation_deg))
            rank = rank_correlation(scored)
            for place, group in enumerate(confidence_quarters(scored)):
                figures = _short(scored.errors.of(group.samples), scored.episodes[group.samples])
                body.append([*whose, group.label, *figures, f"{rank:+.2f}" if place == 0 else ""])
    if not body:
        return _absent("Confidence", "these estimators give every sample the same confidence")
    caption = (
        "Errors by confidence, in quarters from the least to the most confident. Last column: rank correlation "
        "(Spearman) of confidence and rotation error over all samples; −1 would order them perfectly."
    )
    titles = ["estimator", "test set", "protocol", "confidence", *_SHORT, "rank correlation"]
    chart = Drawing(
        svg(confidence(curves, CONFIDENT_DEG)),
        "Left: mean rotation error of the most confident samples; it rises where confidence means something. Right: "
        f"how often an estimate of that confidence is right to {CONFIDENT_DEG:g}°, which a geometric head promises to "
        "be the confidence itself (grey).",
    )
    return Section("Confidence", [Table(titles, body, caption, 4), chart])


def samples_section(evaluations: Sequence[Evaluation]) -> Section:
    parts = []
    for evaluation, test_set in _each(evaluations):
        for condition, path in test_set.pictures.items():
            caption = (
                f"{evaluation.name} on {test_set.name}, {condition} cameras: best, typical and worst samples by ADD; "
                "green the true object, magenta the estimated one, drawn through the true cameras."
            )
            parts.append(Photo(_jpeg(path), caption))
    return Section("Best, typical and worst samples", parts)


def origin_section(evaluations: Sequence[Evaluation]) -> Section:
    parts: list[Table | Listing] = []
    checkpoints, datasets = [], []
    for evaluation in evaluations:
        record = evaluation.record
        software = record["software"]
        versions = ", ".join(f"{name} {version}" for name, version in software["versions"].items() if version)
        commit = (software["commit"] or "unknown")[:12] + ("+" if (software["commit"] or "").endswith("+") else "")
        machine = f"{software['machine']}; network on {record['device']}"
        sha = record["checkpoint"]["sha256"][:16]
        checkpoints.append([evaluation.name, evaluation.head, sha, commit, versions, machine])
        sets = [("training", record["training_set"]), *record["test_sets"].items()]
        for role, about in sets:
            if about is not None:
                device = "; ".join(
                    " ".join(str(renderer.get(key, "")) for key in ("name", "version", "api", "device"))
                    for renderer in about["renderers"]
                )
                datasets.append(
                    [evaluation.name, role, f"{about['samples']:,}", device, about["folder"], about["fingerprint"][:16]]
                )
        parts.append(Listing(f"{evaluation.name}: configuration of the evaluation", record["config"]))
        parts.append(Listing(f"{evaluation.name}: configuration of the training", record["checkpoint"]["training"]))
        configs = {role: about.get("config") for role, about in sets if about is not None}
        parts.append(Listing(f"{evaluation.name}: configurations of the datasets", configs))
    titles = ["estimator", "head", "checkpoint SHA-256", "commit", "versions", "machine"]
    tables = [
        Table(titles, checkpoints, "Checkpoints, and what evaluated them (commit with + where files differed).", 6),
        Table(
            ["estimator", "dataset", "samples", "rendered by", "folder", "manifest SHA-256"],
            datasets,
            "Datasets and what rendered them.",
            6,
        ),
    ]
    return Section("What was run on what", [*tables, *parts])


# ------------------------------------------------------------------------------------------------------------- parts

_SHORT = ("n", "rotation (°)", "median", "position (mm)", "median", "≤ 5° & 5 mm", "another face")
_DEFINITIONS = (
    "ADD: mean distance of the object's corners between the true and the estimated pose (Hinterstoisser et al., ACCV "
    "2012). ADD-S: the same to the nearest corner, blind to which face is which. MSSD: largest distance of any surface "
    "point, MSPD: largest distance of the projected corners, both the least over the symmetries of the object's look, "
    "of which letters leave none (BOP Challenge, Hodan et al., ECCVW 2020).",
    "Another face: the estimate is nearer to the truth turned by another rotation that leaves the object's shape "
    "unchanged than to the truth.",
    "Confidence intervals: 2,000 resamples of whole episodes with replacement, percentiles of the mean.",
)


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


def _each(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, EvaluatedSet]]:
    return [(evaluation, test_set) for evaluation in evaluations for test_set in evaluation.sets]


def _short(errors: PoseErrors, episodes: np.ndarray) -> list[str]:
    """The figures of :data:`_SHORT`."""
    found = figures(errors, episodes)
    rotation, position = found["rotation"], found["position"]
    return [
        f"{found['samples']:,}",
        *(_mean(rotation), f"{rotation.median:.2f}", _mean(position), f"{position.median:.2f}"),
        *(_percent(found["within"]), _percent(found["gross"])),
    ]


def _joined(parts: Sequence[PoseErrors]) -> tuple[float, float]:
    return tuple(  # type: ignore[return-value]
        float(np.concatenate([getattr(errors, field) for errors in parts]).mean())
        for field in ("rotation_deg", "position_mm")
    )


def _both(means: tuple[float, float]) -> str:
    return f"{means[0]:.2f}° · {means[1]:.2f} mm"


def _mean(summary: Summary | None) -> str:
    return _NONE if summary is None else f"{summary.mean:.2f} ± {summary.std:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _absent(title: str, why: str) -> Section:
    return Section(title, [Paragraph(f"Missing: {why}.")])


def _jpeg(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "jpeg", quality=82)
    return buffer.getvalue()


def definitions_section() -> Section:
    return Section("Definitions", [Paragraph(note) for note in (*NOTES, *_DEFINITIONS)])
