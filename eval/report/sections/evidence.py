"""Chapters of evidence: pictures of samples, and what was run on what."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.page import Listing, Photo, Section, Table
from eval.report.sections.parts import each, jpeg
from eval.scoring.record import Evaluation


def samples_section(evaluations: Sequence[Evaluation]) -> Section:
    parts = []
    for evaluation, test_set in each(evaluations):
        for condition, path in test_set.pictures.items():
            caption = (
                f"{evaluation.name} on {test_set.name}, {condition} cameras: best, typical and worst samples by ADD; "
                "green the true object, magenta the estimated one, drawn through the true cameras."
            )
            parts.append(Photo(jpeg(path), caption))
    return Section("Best, typical and worst samples", parts)


def origin_section(evaluations: Sequence[Evaluation]) -> Section:
    parts: list[Table | Listing] = []
    checkpoints, datasets = [], []
    for evaluation in evaluations:
        record = evaluation.record
        software = record.software
        versions = ", ".join(f"{name} {version}" for name, version in software.versions.items() if version)
        commit = (software.commit or "unknown")[:12] + ("+" if (software.commit or "").endswith("+") else "")
        trained = ((record.checkpoint.training or {}).get("trainer") or {}).get("precision") or "32-true"
        machine = f"{software.machine}; network on {record.device} in float32, trained in {trained}"
        sha = record.checkpoint.sha256[:16]
        checkpoints.append([evaluation.name, evaluation.head, sha, commit, versions, machine])
        sets = [("training", record.training_set), *record.test_sets.items()]
        for role, about in sets:
            if about is not None:
                device = "; ".join(
                    " ".join(str(renderer.get(key, "")) for key in ("name", "version", "api", "device"))
                    for renderer in about.renderers
                )
                seed = "–" if about.seed is None else str(about.seed)
                facts = [role, f"{about.samples:,}", seed, device, about.folder]
                datasets.append([evaluation.name, *facts, about.fingerprint[:16]])
        parts.append(Listing(f"{evaluation.name}: configuration of the evaluation", record.config))
        parts.append(Listing(f"{evaluation.name}: configuration of the training", record.checkpoint.training))
        configs = {role: about.config for role, about in sets if about is not None}
        parts.append(Listing(f"{evaluation.name}: configurations of the datasets", configs))
    titles = ["estimator", "head", "checkpoint SHA-256", "commit", "versions", "machine"]
    tables = [
        Table(titles, checkpoints, "Checkpoints, and what evaluated them (commit with + where files differed).", 6),
        Table(
            ["estimator", "dataset", "samples", "seed", "rendered by", "folder", "manifest SHA-256"],
            datasets,
            "Datasets and what rendered them.",
            7,
        ),
    ]
    return Section("What was run on what", [*tables, *parts])
