"""``dactyl package-model``: a checkpoint as the file that ships, with a card whose figures nobody typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from eval.report.table_text import markdown
from eval.scoring.record import RECORD, Evaluation, load_evaluation
from eval.scoring.record_types import DatasetRecord
from eval.scoring.table import Row, evaluation_rows, missing_rows
from vision.config import parse
from vision.errors import DactylError
from vision.io.files import atomic_write, remove, sha256
from vision.scene.scene import Scene

MOST_BYTES = 10_000_000
"""That a shipped network may have."""


@dataclass(frozen=True)
class PackageConfig:
    """What is packaged.

    Attributes:
        checkpoint: file that training wrote.
        evaluation: folder of dactyl evaluate for this very checkpoint.
        output: folder for <name>.pt and <name>.md; the package's own when null.
        name: by which from_pretrained finds it; the object's when null.
    """

    checkpoint: Path
    evaluation: Path
    output: Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(f"name must be lower-case letters and digits with hyphens between, got {self.name!r}")


def main_package_model(argv: Sequence[str]) -> None:
    """Package a checkpoint for PoseEstimator.from_pretrained: the network alone, and a model card.

    The card's figures come from the evaluation's predictions, its recipe from the training's own record; nothing is
    typed by hand. An evaluation of another checkpoint is refused.

    examples:
      dactyl package-model --checkpoint runs/ship/training/best.ckpt --evaluation runs/ship/evaluation
      dactyl package-model --checkpoint runs/best/best.ckpt --evaluation runs/best/evaluation --output weights
      dactyl package-model ... --name block-wide         PoseEstimator.from_pretrained("block-wide")
    """
    config = parse(PackageConfig, argv, "dactyl package-model", main_package_model.__doc__ or "")
    for path in package(config):
        Console().print(f"{path}: {path.stat().st_size:,} bytes", soft_wrap=True, highlight=False)


def package(config: PackageConfig) -> tuple[Path, Path]:
    """Write weights and card; returns their paths.

    Raises:
        DactylError: the evaluation is missing, damaged or of another checkpoint, or the network is too large to ship.
    """
    from vision.estimator import WEIGHTS, PoseEstimator, export_weights  # brings torch

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
    export_weights(config.checkpoint, weights)
    if (size := weights.stat().st_size) > MOST_BYTES:
        remove(weights)
        raise DactylError(f"{weights}: {size:,} bytes, more than {MOST_BYTES:,}; ship a smaller network")
    card = weights.with_suffix(".md")
    description = PoseEstimator.from_checkpoint(weights).description
    atomic_write(card, model_card(name, description, evaluation, sha256(weights), size).encode())
    return weights, card


def model_card(name: str, description: str, evaluation: Evaluation, digest: str, size: int) -> str:
    """The card in Markdown, of weights of that name with that SHA-256 and size in bytes; ``description`` says how the
    network comes to a pose."""
    rows = evaluation_rows(evaluation)
    parts = [*_about(description, evaluation), *_use(name, evaluation)]
    parts += [part for section in (_errors, _limits, _data, _recipe, _origin) for part in section(evaluation, rows)]
    return "\n\n".join([*parts, f"File: {size:,} bytes, SHA-256 `{digest}`."]) + "\n"


def _about(description: str, evaluation: Evaluation) -> Iterator[str]:
    front = {"license": "mit", "library_name": "dactyl-vision", "tags": ["6d-pose", evaluation.object.name]}
    yield f"---\n{yaml.safe_dump(front, sort_keys=False)}---"
    yield f"# Pose of the {evaluation.object.name} from the hand's cameras"
    yield f"A network of the {evaluation.head} kind: it {description}. Trained on synthetic pictures alone."


def _use(name: str, evaluation: Evaluation) -> Iterator[str]:
    nominal = "# nominal=True, where the cameras may have moved since they were calibrated\n"
    yield (
        "```python\nfrom vision.estimator import PoseEstimator\n\n"
        f'estimator = PoseEstimator.from_pretrained("{name}")\n'
        "poses = estimator.predict(images, intrinsics, extrinsics)  # (B, C, H, W, 3) uint8 RGB, OpenCV K and T\n"
        f"{nominal if evaluation.uses_cameras else ''}"
        'poses["position"], poses["quaternion"], poses["confidence"]  # metres, w x y z, world frame\n```'
    )


def _errors(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    yield "## Errors"
    yield markdown([*rows, *missing_rows(rows)]).rstrip()


def _hand(scene: Scene) -> str:
    return f"in the hand {scene.hand.name}" if scene.hand else "without a hand"


def _limits(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    yield "## What it cannot do"
    target, record = evaluation.object, evaluation.record
    about = next(iter(record.test_sets.values()))  # all test sets are of one rig and size, or none were evaluated
    lines = [
        f"It knows one object, the {target.name} of the scene {evaluation.scene.name} ({1e3 * target.diameter:.0f} mm "
        f"across), {_hand(evaluation.scene)}, as {about.cameras} cameras near the rig's places see it in images of "
        f"{' and '.join(dict.fromkeys(about.images))} pixels.",
    ]
    absent = [row.renderer for row in missing_rows(rows)]
    if absent:
        lines.append(f"It was never tested on pictures of these kinds: {', '.join(absent)}. Expect other errors there.")
    for row in rows:
        if row.measured and row.rotation is not None and row.position is not None:
            lines.append(
                f"On {row.test_set}, {row.protocol} cameras, one estimate in ten is off by more than "
                f"{row.rotation.p90:.1f}° or by more than {row.position.p90:.1f} mm, and "
                f"{100 * row.figures['face_confusion'].mean:.1f} % take one face for another."
            )
    if evaluation.uses_cameras:
        lines.append("Told wrong cameras, it gives wrong positions: compare the nominal rows with the calibrated ones.")
    yield "\n".join(f"- {line}" for line in lines)


def _data(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    yield "## Data"
    named: dict[str, DatasetRecord] = {f"test set {name}": about for name, about in evaluation.record.test_sets.items()}
    training = evaluation.record.training_set
    if training is not None:
        named = {"training set": training, **named}
    lines = ["| set | triplets | pictures by | seed | fingerprint |", "|---|---:|---|---|---|"]
    for name, about in named.items():
        by = "; ".join(f"{one.get('name')} ({one.get('version')}, {one.get('device')})" for one in about.renderers)
        seed = "–" if about.seed is None else about.seed
        lines.append(f"| {name} | {about.samples:,} | {by} | {seed} | `{about.fingerprint[:12]}` |")
    yield "\n".join(lines)
    if training is not None and training.config:
        yield "The training set's configuration:"
        yield _yaml(training.config)


def _recipe(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    yield "## Recipe"
    training = evaluation.record.checkpoint.training
    if training is None:
        yield "No record of the training lay beside the checkpoint."
        return
    yield "`dactyl train` with (datasets and states by fingerprint):"
    yield _yaml(training)


def _origin(evaluation: Evaluation, rows: Sequence[Row]) -> Iterator[str]:
    software = evaluation.record.software
    versions = ", ".join(f"{name} {version}" for name, version in software.versions.items() if version)
    yield "## Origin"
    yield f"Evaluated at commit `{software.commit}` with {versions}, on {software.machine}."


def _yaml(value: dict[str, Any]) -> str:
    return f"```yaml\n{yaml.safe_dump(value, sort_keys=False, width=110).rstrip()}\n```"
