"""``dactyl evaluate``: predictions first, then errors, table and pictures."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from eval.baseline import best_constant, constant_errors
from eval.figures import Curve, predictions_sheet, save_error_curves
from eval.metrics import PoseErrors
from eval.predict import (
    Estimator,
    EvaluateConfig,
    Predictions,
    ProtocolName,
    obtain_predictions,
    refuse_mismatch,
    renderer_of,
    score,
)
from eval.report import (
    NOTES,
    PAPER_ROWS,
    Row,
    baseline_row,
    comma_separated,
    markdown,
    missing_rows,
    our_row,
    print_table,
)
from vision.config import parse
from vision.draw import save_png
from vision.errors import DactylError
from vision.files import atomic_write, exclusive_folder, sha256
from vision.shards import TripletDataset


def main_evaluate(argv: Sequence[str]) -> None:
    """Report a checkpoint's rotation and position errors on test sets, next to the paper's.

    Writes into the output folder: predictions (Parquet, one file for each test set and protocol), the table as
    table.md and table.csv, errors.png with cumulative curves, and a picture of test triplets for each predictions
    file. Predictions that are there already and of the same checkpoint and test set are used again.

    examples:
      dactyl evaluate --config configs/evaluate/demo.yaml
      dactyl evaluate --checkpoint runs/train/best.ckpt --test_sets.filament data/test-filament --output runs/evaluation
      dactyl evaluate --config configs/evaluate/demo.yaml --test_sets.real data/test-real --protocols '[nominal]'
    """
    config = parse(EvaluateConfig, argv, "dactyl evaluate", main_evaluate.__doc__ or "")
    rows = evaluate(config)
    console = Console()
    print_table(rows, console)
    console.print(f"{config.output}: table.md, table.csv, errors.png, predictions", soft_wrap=True)


def evaluate(config: EvaluateConfig) -> list[Row]:
    """Everything ``dactyl evaluate`` does but printing the table; its rows, the paper's first.

    Raises:
        DactylError: a checkpoint or dataset is missing, damaged or of another object or rig; or the output holds
            predictions of something else.
    """
    test_sets = {name: TripletDataset(folder) for name, folder in config.test_sets.items()}
    training_set = TripletDataset(config.training_set) if config.training_set else None
    estimator = load_estimator(config)
    for dataset in (*test_sets.values(), *([training_set] if training_set else [])):
        refuse_mismatch(estimator, dataset)
    for dataset in test_sets.values():
        dataset.verify()
    checkpoint_sha256 = sha256(config.checkpoint)
    with exclusive_folder(config.output):
        constant = best_constant(training_set) if training_set else None
        rows, curves = list(PAPER_ROWS), []
        for name, dataset in test_sets.items():
            renderer = renderer_of(dataset)
            for protocol in usable_protocols(estimator, config.protocols):
                predictions, errors = _measure(config, checkpoint_sha256, estimator, name, dataset, protocol)
                rows.append(our_row(name, renderer, estimator.head, protocol, estimator.uses_cameras, errors))
                curves.append(Curve(name, protocol, errors))
                title = f"{name} · {estimator.head} head, {protocol} cameras"
                sheet = predictions_sheet(dataset, predictions, errors, title)
                save_png(sheet, config.output / f"predictions-{name}-{protocol}.png")
            if constant:
                errors = constant_errors(constant, dataset)
                rows.append(baseline_row(name, renderer, errors))
                curves.append(Curve(name, None, errors))
        rows += missing_rows(rows)
        atomic_write(
            config.output / "table.md", markdown(rows, (*NOTES, _origin(checkpoint_sha256, test_sets))).encode()
        )
        atomic_write(config.output / "table.csv", comma_separated(rows).encode())
        save_error_curves(curves, config.output / "errors.png")
    return rows


def load_estimator(config: EvaluateConfig) -> Estimator:
    """The checkpoint's network on the device that was asked for."""
    import torch  # here, so that a command line with a mistake in it is answered at once

    from vision.estimator import PoseEstimator

    gpu = torch.cuda.is_available()
    if config.device == "cuda" and not gpu:
        raise DactylError("device: cuda was asked for, but torch finds no GPU; use cpu or auto")
    return PoseEstimator.from_checkpoint(config.checkpoint, "cuda" if gpu and config.device != "cpu" else "cpu")


def usable_protocols(estimator: Estimator, wanted: Sequence[ProtocolName]) -> list[ProtocolName]:
    """The wanted protocols that mean something for this estimator: all but calibrated where it uses no cameras."""
    usable = [protocol for protocol in wanted if protocol == "nominal" or estimator.uses_cameras]
    if not usable:
        raise DactylError(
            f"protocols: the {estimator.head} head uses no cameras, so calibrated ones mean nothing; add nominal"
        )
    return usable


def _measure(
    config: EvaluateConfig,
    checkpoint_sha256: str,
    estimator: Estimator,
    name: str,
    dataset: TripletDataset,
    protocol: ProtocolName,
) -> tuple[Predictions, PoseErrors]:
    path: Path = config.output / "predictions" / f"{name}-{protocol}.parquet"
    predictions, reused = obtain_predictions(
        estimator, checkpoint_sha256, dataset, protocol, path, config.batch_size, config.overwrite
    )
    if reused:
        Console(stderr=True).print(f"{path}: used again", soft_wrap=True, highlight=False)
    return predictions, score(dataset.object, predictions)


def _origin(checkpoint_sha256: str, test_sets: Mapping[str, TripletDataset]) -> str:
    """A note that names what the table was made from."""
    hashes = {"checkpoint": checkpoint_sha256, **{name: dataset.fingerprint for name, dataset in test_sets.items()}}
    listed = ", ".join(f"{name} {value[:12]}" for name, value in hashes.items())
    return f"Made by dactyl evaluate {importlib.metadata.version('dactyl-vision')} from (SHA-256): {listed}."
