"""The error table as Markdown, as CSV, and on a terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from eval.scoring.metric_rows import Metric
from eval.scoring.metrics import MAIN, ErrorSummary, metrics, table_metrics
from eval.scoring.table import NONE, PUBLISHED, Row, table_notes, too_few
from vision.machine.console import Console
from vision.templating import markdown_table


def markdown(rows: Sequence[Row], notes: Sequence[str] | None = None) -> str:
    """Format the table in GitHub's Markdown, with notes below."""
    notes = table_notes(rows) if notes is None else notes
    return markdown_table(header(), [cells(row) for row in rows], _FIRST_FIGURE, notes)


def summary_markdown(rows: Sequence[Row]) -> str:
    """Format the paper's rows, ours and the constant pose's in Markdown, with the few columns that fit a README."""
    titles = ("estimator", "test set", "head", "protocol", "n", "rotation (°)", "position (mm)")
    body = []
    for row in rows:
        if row.rotation is None or row.position is None or row.estimator == "successor":
            continue
        figures = [
            mean_and_spread(one) + ("" if one.median is None else f" (median {one.median:.2f})")
            for one in (row.rotation, row.position)
        ]
        name = f"**{row.estimator}**" if row.measured else row.estimator
        samples = NONE if row.samples is None else f"{row.samples:,}"
        body.append([name, row.test_set, row.head, row.protocol, samples, *figures])
    return markdown_table(titles, body, 4)


def comma_separated(rows: Sequence[Row]) -> str:
    """Format the table as CSV in full precision, one column for each figure, empty if there is none."""
    return csv_text([flat(row) for row in rows])


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Format records with the same keys as CSV, a column for each key, empty for None."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in record.items()} for record in records)
    return buffer.getvalue()


def flat(row: Row) -> dict[str, Any]:
    """Return every figure of a row under a unique name with its unit; None if it is missing or not finite."""
    texts = ("estimator", "test_set", "renderer", "head", "protocol", "cameras")
    found: dict[str, Any] = {key: None if getattr(row, key) == NONE else getattr(row, key) for key in texts}
    found["samples"] = row.samples
    found["clusters"] = row.clusters
    for key, metric in metrics().items():
        figure = row.figures.get(key)
        if metric.kind != "distribution":
            name = f"share_{key}" if metric.kind == "share" else f"mean_{key}_{metric.unit}"
            found[name] = None if figure is None else figure.mean
            continue
        for name in ("mean", "std", "median", "p90"):
            found[f"{key}_{name}_{metric.unit}"] = getattr(figure, name, None)
        if metric.in_table:
            for end in ("low", "high"):
                found[f"{key}_mean_ci95_{end}_{metric.unit}"] = getattr(row.intervals.get(key), end, None)
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in found.items()}


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Print the table, leaving out columns until it fits the terminal; complete if the output is a file."""
    kept, notes = header(), table_notes(rows)
    left_out: list[str] = []
    less_telling = _less_telling()
    options = console.options.update_width(1_000)
    while console.is_terminal and console.measure(_rich_table(rows, kept), options=options).maximum > console.width:
        if len(left_out) == len(less_telling):
            break
        left_out.append(less_telling[len(left_out)])
        kept = [title for title in kept if title != left_out[-1]]
    table = _rich_table(rows, kept)
    if not console.is_terminal:
        console = Console(file=console.file, width=console.measure(table, options=options).maximum)
    console.print(table)
    if left_out:
        notes = (*notes, f"Left out for the width of this terminal, in the files: {', '.join(left_out)}.")
    for note in notes:
        console.print(note, style="dim", highlight=False)


def _less_telling() -> list[str]:
    """Return the titles of the columns that can be left out, in the order of removal."""
    others = [metric.heading for metric in table_metrics() if metric.key not in MAIN]
    return ["cameras known", "renderer", "p90", "median", "95 % CI", "n", *reversed(others), "head"]


def _rich_table(rows: Sequence[Row], kept: Sequence[str]) -> Table:
    titles = header()
    places = [place for place, title in enumerate(titles) if title in kept]
    gap = 1 if len(places) == len(titles) else 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False)
    for place in places:
        table.add_column(titles[place], justify="right" if place >= _FIRST_FIGURE else "left", no_wrap=True)
    groups = [row.estimator if row.estimator in (*PUBLISHED, "missing") else row.test_set for row in rows]
    for row, group, following in zip(rows, groups, [*groups[1:], ""], strict=True):
        style = "bold" if row.measured else "dim" if row.estimator == "missing" else None
        line = cells(row)
        table.add_row(*(line[place] for place in places), style=style, end_section=group != following)
    return table


_FIRST_FIGURE = 6


def header() -> list[str]:
    """Return the titles of the table's columns."""
    known = ["estimator", "test set", "renderer", "head", "protocol", "cameras known", "n"]
    return [*known, *(title for metric in table_metrics() for title in _titles(metric))]


def cells(row: Row) -> list[str]:
    """Return a row's texts, one for each column."""
    samples = NONE if row.samples is None else f"{row.samples:,}"
    known = [row.estimator, row.test_set, row.renderer, row.head, row.protocol, row.cameras, samples]
    return [*known, *(cell for metric in table_metrics() for cell in _cells(metric, row))]


def _titles(metric: Metric) -> list[str]:
    return [metric.heading, *(("95 % CI", "median", "p90") if metric.kind == "distribution" else ())]


def _cells(metric: Metric, row: Row) -> list[str]:
    figure, interval = row.figures.get(metric.key), row.intervals.get(metric.key)
    if metric.kind != "distribution" or figure is None:
        return [figure_text(metric, figure), *[NONE] * (len(_titles(metric)) - 1)]
    between = too_few(row.clusters) if interval is None else f"{interval.low:.2f}–{interval.high:.2f}"
    others = [NONE if value is None else f"{value:.2f}" for value in (figure.median, figure.p90)]
    return [figure_text(metric, figure), between, *others]


def figure_text(metric: Metric, figure: ErrorSummary | None) -> str:
    """Format a figure for one cell: mean and standard deviation, the mean, or the fraction in percent."""
    if figure is None:
        return NONE
    return f"{100 * figure.mean:.1f} %" if metric.kind == "share" else mean_and_spread(figure)


def mean_and_spread(summary: ErrorSummary) -> str:
    """Format ``mean ± standard deviation``, or only the mean if the standard deviation is unknown."""
    known = summary.std is not None and math.isfinite(summary.std)
    return f"{summary.mean:.2f} ± {summary.std:.2f}" if known else f"{summary.mean:.2f}"
