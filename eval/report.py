"""The error table: the paper's rows, ours, the best constant pose, and the kinds of test set that are not there."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from eval.metrics import PoseErrors, Summary, summarise

KINDS = ("filament", "classic", "unity", "real")
"""Renderers of test sets that a full report has; one without a test set is shown as missing, never filled in."""

_NONE = "–"


@dataclass(frozen=True)
class Row:
    """One line of the table; summaries are None where nothing was measured or nothing is published.

    Attributes:
        estimator: whose estimates: paper, ours, constant (the best one), missing.
        test_set: name of the test set.
        renderer: what made its pictures.
        head: of the network.
        protocol: nominal or calibrated.
        cameras: what the estimator is told about the cameras.
        samples: number of triplets.
        rotation: degrees.
        position: millimetres.
        add: millimetres.
    """

    estimator: str
    test_set: str
    renderer: str
    head: str = _NONE
    protocol: str = _NONE
    cameras: str = _NONE
    samples: int | None = None
    rotation: Summary | None = None
    position: Summary | None = None
    add: Summary | None = None


def _paper(test_set: str, renderer: str, samples: int | None, rotation: Summary, position: Summary) -> Row:
    return Row("paper", test_set, renderer, "regression", "nominal", "none", samples, rotation, position)


PAPER_ROWS = (
    _paper("Unity renders", "unity", None, Summary(2.71, 1.62), Summary(3.12, 1.52)),
    _paper("MuJoCo renders", "mujoco", None, Summary(3.23, 2.91), Summary(3.71, 4.07)),
    _paper("real images", "real", 992, Summary(5.01, 2.47), Summary(9.27, 4.02)),
)
"""OpenAI et al., arXiv 1808.00177, Table 6: mean and standard deviation; no other figure is published."""

NOTES = (
    "Errors as mean ± standard deviation over the n samples, median and 90th percentile. Rotation: geodesic distance. "
    "Position: Euclidean distance of the centres.",
    "Protocols: the cameras of every sample are displaced from the rig (Table 9). Nominal: only the rig is known, as "
    "in the paper; compare these rows with the paper's. Calibrated: each sample's true cameras are known.",
    "Constant: the one pose of least mean error on the training labels; what can be had without looking. Missing: no "
    "test set of that kind was given.",
)


def our_row(test_set: str, renderer: str, head: str, protocol: str, uses_cameras: bool, errors: PoseErrors) -> Row:
    """A row of measured errors."""
    known = {"nominal": "nominal", "calibrated": "true"}[protocol] if uses_cameras else "none"
    return Row("ours", test_set, renderer, head, protocol, known, *_summaries(errors))


def baseline_row(test_set: str, renderer: str, errors: PoseErrors) -> Row:
    """A row of the best constant pose's errors."""
    return Row("constant", test_set, renderer, _NONE, _NONE, "none", *_summaries(errors))


def missing_rows(rows: Sequence[Row]) -> list[Row]:
    """A row for each kind of test set on which nothing of ours was measured."""
    present = {row.renderer for row in rows if row.estimator == "ours"}
    return [Row("missing", kind, kind) for kind in KINDS if kind not in present]


def _summaries(errors: PoseErrors) -> tuple[int, Summary, Summary, Summary]:
    parts = (errors.rotation_deg, errors.position_mm, errors.add_mm)
    rotation, position, add = (summarise(values) for values in parts)
    return len(errors.rotation_deg), rotation, position, add


# ----------------------------------------------------------------------------------------------------------- formats


def markdown(rows: Sequence[Row], notes: Sequence[str] = NOTES) -> str:
    """The table in GitHub's Markdown, with notes below."""
    body = [_header(), ["---"] * _FIRST_FIGURE + ["---:"] * 7, *(_cells(row) for row in rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join([*lines, "", *(f"{note}\n" for note in notes)])


def comma_separated(rows: Sequence[Row]) -> str:
    """The table as CSV in full precision, one column for each figure, empty where there is none."""
    parts = (("rotation", "deg"), ("position", "mm"), ("add", "mm"))
    figures = [
        (part, name, f"{part}_{name}_{unit}") for part, unit in parts for name in ("mean", "std", "median", "p90")
    ]
    plain = ["estimator", "test_set", "renderer", "head", "protocol", "cameras", "samples"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*plain, *(title for _, _, title in figures)])
    for row in rows:
        cells = [getattr(row, name) for name in plain]
        cells += [getattr(getattr(row, part), name, None) for part, name, _ in figures]
        writer.writerow(["" if cell in (None, _NONE) else cell for cell in cells])
    return buffer.getvalue()


def print_table(rows: Sequence[Row], console: Console, notes: Sequence[str] = NOTES) -> None:
    """The table on a terminal, leaving out columns until it fits; whole where the output is a file."""
    kept = _header()
    left_out: list[str] = []
    options = console.options.update_width(1_000)
    while console.is_terminal and console.measure(_rich_table(rows, kept), options=options).maximum > console.width:
        if len(left_out) == len(_LESS_TELLING):
            break
        left_out.append(_LESS_TELLING[len(left_out)])
        kept = [title for title in kept if title != left_out[-1]]
    table = _rich_table(rows, kept)
    if not console.is_terminal:
        console = Console(file=console.file, width=console.measure(table, options=options).maximum)
    console.print(table)
    if left_out:
        notes = (*notes, f"Left out for the width of this terminal, in the files: {', '.join(left_out)}.")
    for note in notes:
        console.print(note, style="dim", highlight=False)


_LESS_TELLING = ("cameras known", "renderer", "p90", "median", "n", "head")


def _rich_table(rows: Sequence[Row], kept: Sequence[str]) -> Table:
    header = _header()
    places = [place for place, title in enumerate(header) if title in kept]
    gap = 1 if len(places) == len(header) else 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False)
    for place in places:
        table.add_column(header[place], justify="right" if place >= _FIRST_FIGURE else "left", no_wrap=True)
    styles = {"ours": "bold", "missing": "dim"}
    groups = [row.estimator if row.estimator in ("paper", "missing") else row.test_set for row in rows]
    for row, group, following in zip(rows, groups, [*groups[1:], ""], strict=True):
        cells = _cells(row)
        style = styles.get(row.estimator)
        table.add_row(*(cells[place] for place in places), style=style, end_section=group != following)
    return table


_FIRST_FIGURE = 6


def _header() -> list[str]:
    figures = [title for what in ("rotation (°)", "position (mm)") for title in (what, "median", "p90")]
    return ["estimator", "test set", "renderer", "head", "protocol", "cameras known", "n", *figures]


def _cells(row: Row) -> list[str]:
    samples = _NONE if row.samples is None else f"{row.samples:,}"
    known = [row.estimator, row.test_set, row.renderer, row.head, row.protocol, row.cameras, samples]
    return known + [cell for summary in (row.rotation, row.position) for cell in _figures(summary)]


def _figures(summary: Summary | None) -> list[str]:
    if summary is None:
        return [_NONE] * 3
    rest = (_NONE if value is None else f"{value:.2f}" for value in (summary.median, summary.p90))
    return [f"{summary.mean:.2f} ± {summary.std:.2f}", *rest]
