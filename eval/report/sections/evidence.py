"""Chapters of evidence: images of samples, and what was run on what."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.figures import telling_samples
from eval.report.page import Listing, Paragraph, Photo, Section, Table
from eval.report.sections.parts import absent, each, jpeg
from eval.scoring.record import EvaluatedSet, Evaluation
from eval.scoring.record_types import EvaluationRecord, MadeOn
from eval.scoring.samples import VISIBILITY
from eval.scoring.table import NONE

_SAMPLES = "Best, typical and worst samples"


def samples_section(evaluations: Sequence[Evaluation]) -> Section:
    """Return images of samples, after a table that links to them."""
    photos: list[Photo] = []
    body, links = [], []
    for evaluation, test_set in each(evaluations):
        for condition, path in test_set.pictures.items():
            anchor = f"pictures-{len(photos)}"
            caption = (
                f"{evaluation.name} on {test_set.name}, {condition} cameras: best, typical and worst samples by MSSD; "
                "green the true object, magenta the estimated one, drawn through the true cameras."
            )
            photos.append(Photo(jpeg(path), caption, anchor))
            rows = _sample_rows(test_set, condition)
            body += [[sample, kind, evaluation.name, test_set.name, condition, *facts] for sample, kind, *facts in rows]
            links += [anchor] * len(rows)
    if not photos:
        return absent(_SAMPLES, "no pictures lie in the evaluations' folders; evaluate again")
    titles = ["sample", "kind", "estimator", "test set", "protocol"]
    titles += ["rotation (°)", "position (mm)", "MSSD (mm)", "confidence", "visible"]
    table = Table(titles, body, "A sample's number leads to its pictures.", 5, links=links)
    more = Paragraph(
        "More samples of a set, the worst among them, with every value drawn for them and filters by error: "
        "dactyl inspect --dataset SET --evaluation FOLDER."
    )
    return Section(_SAMPLES, [table, more, *photos])


def _sample_rows(test_set: EvaluatedSet, condition: str) -> list[list[str]]:
    """Return a table row for each sample in a sheet of images: number, kind, errors, confidence, visible fraction."""
    scored, seen = test_set.scored[condition], test_set.columns.get(VISIBILITY)
    rows = []
    for kind, number in telling_samples(scored.errors):
        place = scored.places[number]
        errors = [f"{scored.errors[key][number]:.2f}" for key in ("rotation", "position", "mssd")]
        visible = NONE if seen is None else f"{100 * seen[place].mean():.0f} %"
        index = str(test_set.columns["index"][place])
        rows.append([index, kind, *errors, f"{scored.confidence[number]:.4f}", visible])
    return rows


def _computed_on(record: EvaluationRecord) -> str:
    """Return the devices that computed the predictions, each with its machine if that is not the evaluation's."""
    here = MadeOn(record.device, record.software.machine)
    made = [entry.made_on or here for about in record.test_sets.values() for entry in about.predictions]
    names = (one.device if one.machine == here.machine else f"{one.device} of {one.machine}" for one in made)
    return " and ".join(dict.fromkeys(names))


def origin_section(evaluations: Sequence[Evaluation]) -> Section:
    parts: list[Table | Listing] = []
    checkpoints, datasets = [], []
    for evaluation in evaluations:
        record = evaluation.record
        software = record.software
        versions = ", ".join(f"{name} {version}" for name, version in software.versions.items() if version)
        commit = (software.commit or "unknown")[:12] + ("+" if (software.commit or "").endswith("+") else "")
        trained = ((record.checkpoint.training or {}).get("trainer") or {}).get("precision") or "32-true"
        computed = f"network on {_computed_on(record)} in {record.checkpoint.precision}, trained in {trained}"
        machine = f"{software.machine}; {computed}"
        sha = record.checkpoint.sha256[:16]
        checkpoints.append([evaluation.name, evaluation.how, sha, commit, versions, machine])
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
