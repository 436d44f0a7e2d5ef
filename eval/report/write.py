"""``dactyl report``: pages for publication, from the folders of one or more evaluations.

Everything is computed from saved predictions (``eval.scoring.record``); nothing is estimated, rendered or downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from eval.report.page import to_html, to_markdown
from eval.report.sections import evidence, results, studies, trials
from eval.report.sections.parts import different_constants
from eval.report.table_text import comma_separated, flat, summary_markdown
from eval.scoring.metrics import metrics
from eval.scoring.published import published_rows
from eval.scoring.record import Evaluation, load_evaluation
from eval.scoring.table import Row, evaluation_rows, measured, missing_rows
from eval.scoring.trial_results import load_closed_loop
from vision.errors import DactylError
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json
from vision.machine.versions import package_version
from vision.storage.schema import SCHEMA_VERSION

SUMMARY = "summary.md"
_TAKEN = ("paper", "successor", "constant")


@dataclass(frozen=True)
class ReportConfig:
    """What to report.

    Attributes:
        evaluations: folders of dactyl evaluate by a name for the checkpoint, for example {ours: runs/evaluation}.
        output: folder for report.html, report.md, report.csv, report.json and summary.md.
        closed_loops: folders of dactyl closed-loop by a name for the policy, for example {her: runs/closed-loop}.
        metrics: columns of the table of other errors by their keys (eval/scoring/metric_rows.py and what other packages
            offer): absolute_x, absolute_y, absolute_z, add, add_s, mssd, mspd, within_5deg_5mm, face_confusion and so
            on; null for all. The CSV has all.
        title: title of the pages.
    """

    evaluations: dict[str, Path]
    output: Path
    closed_loops: dict[str, Path] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    title: str = "Object pose from images"

    def __post_init__(self) -> None:
        if not self.evaluations:
            raise ValueError("evaluations: name at least one, for example --evaluations.ours runs/evaluation")
        if unknown := [key for key in self.metrics or () if key not in metrics()]:
            raise ValueError(f"metrics: expected some of {', '.join(metrics())}, got {unknown[0]}")
        for name in (*self.evaluations, *self.closed_loops):
            if name in _TAKEN:
                raise ValueError(f"evaluations: '{name}' is the name of rows that every table has; choose another one")
            if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z ._-]*", name):
                raise ValueError(f"evaluations: '{name}' is no name for a table; use letters, digits and .-_ only")


def report(config: ReportConfig) -> list[Row]:
    """Write the report, and return the rows of its table.

    Raises:
        DactylError: an evaluation is missing, unfinished or damaged, or two are of different objects or of different
            test sets under one name.
    """
    evaluations = [load_evaluation(name, folder) for name, folder in config.evaluations.items()]
    loops = {name: load_closed_loop(folder) for name, folder in config.closed_loops.items()}
    _refuse_mixture(evaluations)
    rows = table_rows(evaluations)
    chapters = [
        results.results_section(rows),
        results.curves_section(evaluations),
        results.details_section(rows, config.metrics),
        results.matrix_section(evaluations),
        studies.subsets_section(evaluations),
        studies.miscalibration_section(evaluations),
        studies.visibility_section(evaluations),
        studies.distance_section(evaluations),
        studies.confidence_section(evaluations),
        trials.trials_section(loops),
        evidence.samples_section(evaluations),
        evidence.origin_section(evaluations),
        results.definitions_section(rows),
    ]
    names = ", ".join(evaluation.name for evaluation in evaluations)
    sizes = {one.name: len(one.columns["index"]) for evaluation in evaluations for one in evaluation.sets}
    samples, sets = sum(sizes.values()), ", ".join(sizes)
    subtitle = (
        f"{evaluations[0].object.name} · {names} · {samples:,} test samples: {sets} · "
        f"dactyl report {package_version('dactyl-vision')}"
    )
    record = {
        "schema_version": SCHEMA_VERSION,
        "title": config.title,
        "rows": [flat(row) for row in rows],
        "evaluations": {evaluation.name: _numbers(evaluation) for evaluation in evaluations},
        "closed_loops": {name: msgspec.to_builtins(loop.record) for name, loop in loops.items()},
    }
    for name, content in (
        ("report.html", to_html(config.title, subtitle, chapters).encode()),
        ("report.md", to_markdown(config.title, subtitle, chapters).encode()),
        ("report.csv", comma_separated(rows).encode()),
        (SUMMARY, summary_markdown(rows).encode()),
        ("report.json", canonical_json(record)),
    ):
        atomic_write(config.output / name, content)
    return rows


def table_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return published rows, then every test set with all checkpoints on it, then the kinds that are missing."""
    by_name = {evaluation.name: evaluation_rows(evaluation) for evaluation in evaluations}
    rows = [row for some in by_name.values() for row in some]
    names = list(dict.fromkeys(row.test_set for row in rows))
    ordered = list(published_rows(evaluations[0].scene))
    for name in names:
        ordered += [row for row in rows if row.test_set == name and row.measured]
        whose = [each for each, _ in different_constants(evaluations, name)]
        constants = [row for each in whose for row in by_name[each] if row.test_set == name and row.constant]
        if len(constants) > 1:
            constants = [
                replace(row, estimator=f"constant ({each})") for each, row in zip(whose, constants, strict=True)
            ]
        ordered += constants
    return ordered + missing_rows(ordered)


def _refuse_mixture(evaluations: Sequence[Evaluation]) -> None:
    first = evaluations[0]
    prints = {name: about.fingerprint for name, about in first.record.test_sets.items()}
    for other in evaluations[1:]:
        if other.object.name != first.object.name:
            raise DactylError(
                f"{other.folder}: of the {other.object.name}, {first.folder} of the {first.object.name}; report apart"
            )
        for name, about in other.record.test_sets.items():
            if prints.setdefault(name, about.fingerprint) != about.fingerprint:
                raise DactylError(f"{other.folder}: its test set '{name}' is another than in {first.folder}; rename it")


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    """Return every condition's figures and their origin, as JSON values."""
    found: dict[str, Any] = {}
    for test_set in evaluation.sets:
        found[test_set.name] = {
            name: flat(Row(evaluation.name, test_set.name, test_set.renderer, **measured(one.errors, one.clusters)))
            | {"confidence_rank_correlation": studies.rank_correlation(one)}
            for name, one in test_set.scored.items()
        }
    return {"conditions": found, "origin": msgspec.to_builtins(evaluation.record)}
