"""``dactyl compare``: two evaluations side by side, on a terminal, as pages and as data for other programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from eval.report.page import Paragraph, Section, Table, to_html, to_markdown
from eval.report.sections import evidence, results
from eval.report.table_text import csv_text
from eval.scoring.comparison import Difference, compare
from eval.scoring.metrics import metrics
from eval.scoring.record import Evaluation, load_evaluation
from eval.scoring.table import NONE, intervals_over, too_few
from vision.configuration.command_line import parse
from vision.errors import printable
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json
from vision.machine.console import Console
from vision.machine.versions import package_version
from vision.statistics.bootstrap import FEWEST_CLUSTERS, RESAMPLES
from vision.storage.schema import SCHEMA_VERSION

_TITLES = ("error", "test set", "protocol", "baseline", "candidate", "difference", "95 % CI", "significant")
_TEXTS = 3


@dataclass(frozen=True)
class CompareConfig:
    """What to compare.

    Attributes:
        baseline: folder of dactyl evaluate against which the candidate is measured.
        candidate: folder of dactyl evaluate to be measured; a difference is its error minus the baseline's.
        output: folder for compare.html, compare.md, compare.csv and compare.json; null only prints the table.
    """

    baseline: Path
    candidate: Path
    output: Path | None = None


def main_compare(argv: Sequence[str]) -> None:
    """Compare two evaluations: every error of both, the difference, and whether it is more than chance.

    Compares each test set and protocol that both have. If both used the same samples, the 95 % confidence interval is
    that of paired differences, by resampling whole episodes or recordings; otherwise it is that of a difference of two
    means, and the notes say so. Runs that cannot be compared are refused: other objects, no test set in common, another
    renderer under one name.

    examples:
      dactyl compare --baseline runs/paper/evaluation --candidate runs/best/evaluation
      dactyl compare --baseline runs/a --candidate runs/b --output runs/a-b        pages, CSV and JSON too
    """
    config = parse(CompareConfig, argv, "dactyl compare", main_compare.__doc__ or "")
    baseline, candidate = (load_evaluation(name, getattr(config, name)) for name in ("baseline", "candidate"))
    found = compare(baseline, candidate)
    notes = _notes(baseline, candidate, found)
    if config.output is not None:  # written first: a reader of the table, such as head, may close the pipe
        write_comparison(config.output, baseline, candidate, found, notes)
    console = Console()
    _print_table(found, notes, console)
    if config.output is not None:
        names = "compare.html, compare.md, compare.csv, compare.json"
        console.print(f"{config.output}: {names}", highlight=False)


def write_comparison(
    output: Path, baseline: Evaluation, candidate: Evaluation, found: Sequence[Difference], notes: Sequence[str]
) -> None:
    """Write the pages, and the numbers in full precision."""
    table = Table(
        _TITLES,
        [_cells(one) for one in found],
        "Mean errors of both runs and their difference; significant where zero lies outside the confidence interval.",
        _TEXTS,
        ["ours" if one.significant else "" for one in found],
    )
    chapters = [
        Section("Side by side", [table, *(Paragraph(note) for note in notes)]),
        results.curves_section([baseline, candidate]),
        evidence.origin_section([baseline, candidate]),
        Section("Definitions", [Paragraph(metric.sentence) for metric in metrics().values()]),
    ]
    title = f"Two evaluations of the {baseline.object.name}"
    subtitle = f"{baseline.folder} · {candidate.folder} · dactyl compare {package_version('dactyl-vision')}"
    rows = [_flat(one) for one in found]
    record = {"schema_version": SCHEMA_VERSION, "notes": notes, "rows": rows}
    for name, content in (
        ("compare.html", to_html(title, subtitle, chapters).encode()),
        ("compare.md", to_markdown(title, subtitle, chapters).encode()),
        ("compare.csv", csv_text(rows).encode()),
        ("compare.json", canonical_json(record)),
    ):
        atomic_write(output / name, content)


def _notes(baseline: Evaluation, candidate: Evaluation, found: Sequence[Difference]) -> list[str]:
    """Return notes on which run is which, what the intervals mean, and what was left out."""
    notes = [
        f"{run.name.capitalize()}: {printable(run.folder)}, head {run.how}, "
        f"checkpoint {run.record.checkpoint.sha256[:12]}."
        for run in (baseline, candidate)
    ]
    notes.append(
        f"Difference: candidate less baseline. 95 % CI: {RESAMPLES:,} resamples of whole {intervals_over(found)}, each "
        "row by itself: of twenty errors that do not differ about one is called significant. Of fewer than "
        f"{FEWEST_CLUSTERS} nothing is."
    )
    for one in {one.test_set: one for one in found}.values():
        samples = f"{one.samples[0]:,} samples of {one.clusters:,} {one.resampled}"
        notes.append(
            f"{one.test_set}: paired, both met the same {samples}."
            if one.paired
            else f"{one.test_set}: not paired, the runs met different samples ({one.samples[0]:,} and "
            f"{one.samples[1]:,}); smaller differences would show on the same ones."
        )
    compared = {(one.test_set, one.protocol) for one in found}
    for run in (baseline, candidate):
        alone = [pair for pair in _conditions(run) if pair not in compared]
        if alone:
            notes.append(f"Left out, only in the {run.name}: {', '.join(' '.join(pair) for pair in alone)}.")
    return notes


def _conditions(run: Evaluation) -> Iterator[tuple[str, str]]:
    for test_set in run.sets:
        for scored in test_set.study("protocol"):
            yield test_set.name, scored.condition.name


def _cells(one: Difference) -> list[str]:
    scale, digits = (100, 2) if one.metric.kind == "share" else (1, 3)
    heading = one.metric.heading if one.metric.unit else f"{one.metric.title} (%)"
    means = [f"{scale * mean:.{digits}f}" for mean in (one.baseline, one.candidate)]
    signed = [
        NONE if value is None else f"{scale * value:+.{digits}f}" for value in (one.difference, *(one.interval or ()))
    ]
    between = " to ".join(signed[1:]) or too_few(one.clusters)
    significant = {None: NONE, True: "yes", False: "no"}[one.significant]
    return [heading, one.test_set, one.protocol, *means, signed[0], between, significant]


def _flat(one: Difference) -> dict[str, Any]:
    """Return a difference as a record in full precision, with None for figures that are missing or infinite."""
    low, high = one.interval or (None, None)
    means = {
        f"{name}_mean": mean if np.isfinite(mean) else None
        for name, mean in (("baseline", one.baseline), ("candidate", one.candidate))
    }
    return {
        "test_set": one.test_set,
        "protocol": one.protocol,
        "error": one.metric.key,
        "unit": one.metric.unit or "share",
        "paired": one.paired,
        "baseline_samples": one.samples[0],
        "candidate_samples": one.samples[1],
        "clusters": one.clusters,
        **means,
        "difference": one.difference,
        "difference_ci95_low": low,
        "difference_ci95_high": high,
        "significant": one.significant,
    }


def _print_table(found: Sequence[Difference], notes: Sequence[str], console: Console) -> None:
    """Print a table for each test set and protocol, so that it fits a terminal of 80 columns."""
    for (test_set, protocol), group in itertools.groupby(found, lambda one: (one.test_set, one.protocol)):
        title = Text(f"{test_set}, {protocol} cameras", "bold")
        table = TerminalTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for place, name in enumerate((_TITLES[0], *_TITLES[_TEXTS:])):
            table.add_column(name, justify="right" if place else "left", no_wrap=True)
        for one in group:
            heading, _, _, *figures = _cells(one)
            table.add_row(*map(Text, (heading, *figures)), style="bold" if one.significant else None)
        console.print(table)
    for note in notes:
        console.print(note, style="dim", highlight=False)
