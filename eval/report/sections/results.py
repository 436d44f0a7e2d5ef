"""Chapters of errors: the table, distributions, other errors, training renderer against test renderer, definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.report.charts import Curve, Mark, error_curves, mean_marks
from eval.report.page import Paragraph, Section, Table
from eval.report.sections.parts import different_constants, drawing
from eval.report.table_text import cells, figure_text, header
from eval.scoring.conditions import PROTOCOLS
from eval.scoring.metrics import MAIN, PoseErrors, metrics, table_metrics
from eval.scoring.published import published_means
from eval.scoring.record import Evaluation
from eval.scoring.table import EXPECTED_RENDERERS, NONE, PUBLISHED, Row, intervals_over, table_notes
from vision.statistics.bootstrap import FEWEST_CLUSTERS, RESAMPLES

_BESIDE_PUBLISHED = (
    " Published figures are of the nominal protocol; compare only rows of that protocol with them, and each set with "
    "the set of its kind."
)


def results_section(rows: Sequence[Row]) -> Section:
    marks = [
        Mark(
            " · ".join([row.estimator, row.test_set] + ([row.protocol] if row.measured else [])),
            (row.rotation.mean, row.position.mean),
            (row.intervals.get("rotation"), row.intervals.get("position")),
            not row.measured,
        )
        for row in rows
        if row.rotation and row.position and not row.constant
    ]
    styles = ["ours" if row.measured else "missing" if row.estimator == "missing" else "published" for row in rows]
    published = any(row.estimator in PUBLISHED for row in rows)
    # These columns are in other tables of the report.
    elsewhere = ("renderer", "cameras known", *(one.heading for one in table_metrics() if one.kind != "distribution"))
    table = Table(
        [title for title in header() if title not in elsewhere],
        [[text for text, title in zip(cells(row), header(), strict=True) if title not in elsewhere] for row in rows],
        "Rotation and position errors, mean ± standard deviation." + (_BESIDE_PUBLISHED if published else ""),
        4,
        styles,
    )
    caption = f"Mean errors with 95 % confidence intervals over {intervals_over(rows)} (bars)"
    chart = drawing(mean_marks(marks), caption + ("; hollow: published." if published else "."))
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
            Curve(name, one.condition.camera_knowledge, one.errors)
            for name, test in members
            for one in test.study("protocol")
        ]
        shown = members if len(evaluations) == 1 else different_constants(evaluations, title)
        curves += [Curve(name, None, test.constant) for name, test in shown if test.constant is not None]
        means = published_means(evaluations[0].scene)
        caption = f"{title}: share of samples with an error below each value." + (
            " Grey: the paper's mean errors." if means else ""
        )
        parts.append(drawing(error_curves(curves, means), caption))
    return Section("Cumulative errors", parts)


def details_section(rows: Sequence[Row], keys: Sequence[str] | None) -> Section:
    """Return the errors with these keys; None for all but rotation and position."""
    known = metrics()
    chosen = [known[key] for key in ([key for key in known if key not in MAIN] if keys is None else keys)]
    shown = [row for row in rows if row.figures.keys() - {*MAIN}]
    body = [
        [row.estimator, row.test_set, row.protocol, *(figure_text(one, row.figures.get(one.key)) for one in chosen)]
        for row in shown
    ]
    caption = (
        "Mean absolute error along the world's axes, mean ± standard deviation of the errors that join rotation and "
        "position, and shares of samples. MSPD: the largest of all cameras, at the network's image size."
    )
    styles = ["ours" if row.measured else "published" for row in shown]
    titles = ["estimator", "test set", "protocol", *(one.short_heading for one in chosen)]
    return Section("Other errors", [Table(titles, body, caption, 3, styles)])


def matrix_section(evaluations: Sequence[Evaluation]) -> Section:
    """Return mean errors of every estimator on every test set; a kind of test set that is missing has a column, too."""
    tests = {one.name: one.renderer for evaluation in evaluations for one in evaluation.sets}
    absent = [renderer for renderer in EXPECTED_RENDERERS if renderer not in tests.values()]
    titles = ["estimator", "trained on", *(f"tested on {name} ({renderer})" for name, renderer in tests.items())]
    titles += [f"tested on {renderer}" for renderer in absent]
    parts: list[Table] = []
    for protocol in PROTOCOLS:
        body, turns = [], []
        for evaluation in evaluations:
            scored = {one.name: one.scored[protocol].errors for one in evaluation.sets if protocol in one.scored}
            texts = [_means(scored[name]) if name in scored else NONE for name in tests]
            body.append([evaluation.name, evaluation.training_renderer, *texts, *[NONE] * len(absent)])
            turns.append([float(scored[name].rotation_deg.mean()) if name in scored else None for name in tests])
        if any(turn is not None for line in turns for turn in line):
            columns = zip(*map(_shades, zip(*turns, strict=True)), strict=True)
            shades = [[None, None, *line, *[None] * len(absent)] for line in columns]
            caption = (
                f"{protocol.capitalize()} cameras: mean errors by what rendered the pictures. Colours compare the "
                "rotation errors of a column: sets differ in how hard they are."
            )
            parts.append(Table(titles, body, caption, 2, shades=shades))
    return Section("Training renderer × test renderer", parts)


def _shades(turns: Sequence[float | None]) -> list[float | None]:
    """Return the shade of each mean rotation error of a column, from 0 for the least to 1 for ten times as much; None
    where there is nothing to compare."""
    known = [turn for turn in turns if turn is not None]
    if len(known) < 2:
        return [None] * len(turns)
    least = max(min(known), 0.01)
    return [None if turn is None else float(np.log10(max(turn, least) / least)) for turn in turns]


def _means(errors: PoseErrors) -> str:
    return f"{errors.rotation_deg.mean():.2f}° · {errors.position_mm.mean():.2f} mm"


def definitions_section(rows: Sequence[Row]) -> Section:
    others = [metric.sentence for metric in metrics().values() if not metric.in_table]
    intervals = (
        f"Confidence intervals: {RESAMPLES:,} resamples of whole {intervals_over(rows)} with replacement, percentiles "
        f"of the mean, widened as Student's t for their number; none of fewer than {FEWEST_CLUSTERS}."
    )
    return Section("Definitions", [Paragraph(note) for note in (*table_notes(rows), *others, intervals)])
