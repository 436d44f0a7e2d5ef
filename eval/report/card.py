"""``dactyl package-model``: a checkpoint as shipped weights, with a generated model card."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.report.page import TEMPLATES
from eval.report.table_text import markdown
from eval.scoring.record import RECORD, Evaluation, load_evaluation
from eval.scoring.record_types import DatasetRecord
from eval.scoring.table import Row, evaluation_rows, missing_rows
from vision.configuration.command_line import parse
from vision.errors import DactylError
from vision.io.files import atomic_write, sha256
from vision.machine.console import Console
from vision.scene.scene import Scene
from vision.templating import render

MOST_BYTES = 16_000_000
"""Largest size of a shipped network."""


@dataclass(frozen=True)
class PackageConfig:
    """What to package.

    Attributes:
        checkpoint: checkpoint file that dactyl train wrote.
        evaluation: folder of dactyl evaluate for this very checkpoint.
        output: folder for <name>.pt and <name>.md; null for the package's own folder of weights.
        name: name of the files, by which PoseEstimator.from_pretrained finds those in the package's own folder; null
            for the object's name.
        overwrite: whether other weights of that name in that folder, the shipped ones too, may be replaced.
    """

    checkpoint: Path
    evaluation: Path
    output: Path | None = None
    name: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(f"name must be lower-case letters and digits with hyphens between, got {self.name!r}")
        if self.output is not None and self.output.suffix in (".pt", ".md"):
            raise ValueError(f"output: {self.output}: expected a folder; name the weights with --name")


def main_package_model(argv: Sequence[str]) -> None:
    """Package a checkpoint for PoseEstimator.from_pretrained: only the network, and a model card.

    The card's figures come from the evaluation's predictions, its recipe from the training's own record; nothing is
    typed by hand. An evaluation of another checkpoint is refused, and other weights are replaced only if you say so.

    examples:
      dactyl package-model --checkpoint runs/best/best.ckpt --evaluation runs/best/evaluation --name my-block
                                                         PoseEstimator.from_pretrained("my-block")
      dactyl package-model --checkpoint runs/best/best.ckpt --evaluation runs/best/evaluation --output weights
      dactyl package-model ... --overwrite true          replaces the weights shipped for the object
    """
    config = parse(PackageConfig, argv, "dactyl package-model", main_package_model.__doc__ or "")
    for path in package(config):
        Console().print(f"{path}: {path.stat().st_size:,} bytes", highlight=False)


def package(config: PackageConfig) -> tuple[Path, Path]:
    """Write weights and card, and return their paths.

    Raises:
        DactylError: the evaluation is missing, damaged or of another checkpoint, the network is too large to ship, or
            another file has one of the names and may not be overwritten.
    """
    from vision.estimator import PoseEstimator  # imports torch
    from vision.network_files import WEIGHTS, export_weights

    evaluation = load_evaluation("ours", config.evaluation)
    checkpoint = evaluation.record.checkpoint
    if not config.checkpoint.is_file():
        raise DactylError(f"{config.checkpoint}: no such checkpoint; check the path")
    if sha256(config.checkpoint) != checkpoint.sha256:
        raise DactylError(
            f"{config.evaluation / RECORD}: evaluated another checkpoint ({checkpoint.path}) than "
            f"{config.checkpoint}; run dactyl evaluate for it"
        )
    name = config.name or evaluation.object.name
    weights = (config.output or WEIGHTS) / f"{name}.pt"
    card_path = weights.with_suffix(".md")
    with tempfile.TemporaryDirectory() as folder:  # existing files are replaced only if everything succeeds
        exported = Path(folder) / weights.name
        export_weights(config.checkpoint, exported)
        if (size := exported.stat().st_size) > MOST_BYTES:
            raise DactylError(f"{weights}: {size:,} bytes, more than {MOST_BYTES:,}; ship a smaller network")
        digest = sha256(exported)
        again = weights.is_file() and sha256(weights) == digest
        if (taken := [path for path in (weights, card_path) if path.exists()]) and not (again or config.overwrite):
            raise DactylError(f"{taken[0]}: exists; choose another --name, or replace it with --overwrite true")
        estimator = PoseEstimator.from_checkpoint(exported)
        made = evaluation.record.checkpoint
        how = "" if made.windows == estimator.windows else f", windows={made.windows}"
        how += "" if made.precision == "float32" else f', precision="{made.precision}"'
        load = f'from_checkpoint("{weights.name}"{how})' if config.output else f'from_pretrained("{name}"{how})'
        card = model_card(name, load, estimator.description, evaluation, digest, size)
        atomic_write(weights, exported.read_bytes())
    atomic_write(card_path, card.encode())
    return weights, card_path


def model_card(name: str, load: str, description: str, evaluation: Evaluation, digest: str, size: int) -> str:
    """Return the card in Markdown, for weights with this name, SHA-256 and size in bytes.

    ``load`` is the call of PoseEstimator that reads them; ``description`` states how the network computes a pose.
    """
    rows, record = evaluation_rows(evaluation), evaluation.record
    training, front = record.training_set, {"license": "mit", "library_name": "dactyl-vision"}
    return render(
        TEMPLATES,
        "card.md",
        name=name,
        load=load,
        description=description,
        evaluation=evaluation,
        nominal=_knows_nominal(rows),
        learnt_from=None if training is None else _learnt_from(training),
        front=yaml.safe_dump(front | {"tags": ["6d-pose", evaluation.object.name]}, sort_keys=False),
        errors=markdown([*rows, *missing_rows(rows)]).rstrip(),
        limits=list(_limits(evaluation, rows)),
        sets=_sets(evaluation),
        training_data=_yaml(training.config) if training is not None and training.config else None,
        training=None if record.checkpoint.training is None else _yaml(record.checkpoint.training),
        versions=", ".join(f"{name} {version}" for name, version in record.software.versions.items() if version),
        size=size,
        digest=digest,
    )


def _learnt_from(training: DatasetRecord) -> str:
    """Return a sentence on what the training images were."""
    names = {renderer.get("name") for renderer in training.renderers}
    if "real" not in names:
        return "It was trained only on synthetic images."
    return "It was trained on recordings" + (" and synthetic images." if len(names) > 1 else ".")


def _hand(scene: Scene) -> str:
    return f"in the hand {scene.hand.name}" if scene.hand else "without a hand"


def _limits(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the network's limitations, one sentence each."""
    target, record = evaluation.object, evaluation.record
    about = next(iter(record.test_sets.values()))  # dactyl evaluate requires one rig and size of all test sets
    yield (
        f"It knows one object, the {target.name} of the scene {evaluation.scene.name} ({1e3 * target.diameter:.0f} mm "
        f"across), {_hand(evaluation.scene)}, as {about.cameras} cameras near the rig's places see it in images of "
        f"{' and '.join(dict.fromkeys(about.images))} pixels."
    )
    if absent := [row.renderer for row in missing_rows(rows)]:
        yield f"It was never tested on images of these kinds: {', '.join(absent)}. Expect other errors there."
    for row in rows:
        if row.measured and row.rotation is not None and row.position is not None:
            confused = row.figures.get("face_confusion")  # of some objects there is none
            faces = "" if confused is None else f", and {100 * confused.mean:.1f} % take one face for another"
            yield (
                f"On {row.test_set}, {row.protocol} cameras, one estimate in ten is off by more than "
                f"{row.rotation.p90:.1f}° or by more than {row.position.p90:.1f} mm{faces}."
            )
    if evaluation.uses_cameras:
        compare = ": compare the nominal rows with the calibrated ones" if _knows_nominal(rows) else ""
        yield f"Told wrong cameras, it gives wrong positions{compare}."


def _knows_nominal(rows: Sequence[Row]) -> bool:
    """Return whether the network was evaluated with nominal cameras."""
    return any(row.measured and row.protocol == "nominal" for row in rows)


def _sets(evaluation: Evaluation) -> list[list[str]]:
    """Return a row for each dataset that the network was trained or tested on."""
    named: dict[str, DatasetRecord] = {f"test set {name}": about for name, about in evaluation.record.test_sets.items()}
    if evaluation.record.training_set is not None:
        named = {"training set": evaluation.record.training_set, **named}
    rows = []
    for name, about in named.items():
        by = "; ".join(f"{one.get('name')} ({one.get('version')}, {one.get('device')})" for one in about.renderers)
        seed = "–" if about.seed is None else str(about.seed)
        rows.append([name, f"{about.samples:,}", by, seed, f"`{about.fingerprint[:12]}`"])
    return rows


def _yaml(value: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, width=110)
    return text.rstrip()
