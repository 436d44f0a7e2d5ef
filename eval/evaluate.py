"""An evaluation from end to end: predictions first, then errors, table and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import asdict

from eval.report.charts import Curve, error_curves
from eval.report.figures import predictions_sheet
from eval.report.plots import save_figure
from eval.report.table_text import comma_separated, markdown
from eval.scoring.baseline import best_constant
from eval.scoring.conditions import PROTOCOLS, Condition
from eval.scoring.config import EvaluateConfig
from eval.scoring.estimator import Estimator, load_estimator
from eval.scoring.found_cameras import CamerasNotFoundError, calibrated_cameras
from eval.scoring.metrics import metrics
from eval.scoring.predict import PredictionJob, Predictions, refuse_mismatch, renderer_of
from eval.scoring.provenance import checkpoint_origin, dataset_origin, software, warn_of_known_samples, warn_of_rolls
from eval.scoring.published import published_means, published_rows
from eval.scoring.record import RECORD, Evaluation, prediction_entry, windows_note, write_samples
from eval.scoring.record_types import (
    CheckpointFile,
    CheckpointRecord,
    EvaluationRecord,
    PredictionsRecord,
    TestSetRecord,
)
from eval.scoring.samples import describe_samples
from eval.scoring.table import Row, evaluation_rows, missing_rows, table_notes
from eval.scoring.usable_conditions import usable_conditions, wanted_conditions
from vision.drawing.sheets import save_png
from vision.io.files import atomic_write, exclusive_folder, remove
from vision.io.json_values import to_jsonable
from vision.machine.console import Console
from vision.machine.versions import package_version
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.records import write_record


def evaluate(config: EvaluateConfig) -> list[Row]:
    """Do everything that ``dactyl evaluate`` does except print the table; return its rows, the published ones first.

    Raises:
        DactylError: a checkpoint or dataset is missing, damaged or of another object or rig.
    """
    test_sets = {name: TripletDataset(folder) for name, folder in config.test_sets.items() if folder is not None}
    training_set = TripletDataset(config.training_set) if config.training_set else None
    from vision.network_files import weights_file  # imports torch

    checkpoint = weights_file(str(config.checkpoint))
    estimator, digest = load_estimator(checkpoint, config.device, config.windows, config.precision)
    for dataset in (*test_sets.values(), *([training_set] if training_set else [])):
        refuse_mismatch(estimator, dataset)
    for dataset in test_sets.values():
        dataset.verify()
    # Refuse a wrong file, or another package's faulty metric, before anything is estimated.
    for name, path in config.calibrations.items():
        calibrated_cameras(path, test_sets[name])
    metrics()
    wanted = wanted_conditions(estimator, config)
    conditions = {
        name: usable_conditions(estimator, name, dataset, wanted, config) for name, dataset in test_sets.items()
    }
    run = _Run(config, estimator, checkpoint_origin(checkpoint, digest))
    if estimator.windows > 1 and (warning := warn_of_rolls(run.checkpoint)) is not None:
        Console(stderr=True).print(warning, highlight=False)
    for name, dataset in test_sets.items():
        if (warning := warn_of_known_samples(run.checkpoint, dataset, training_set)) is not None:
            Console(stderr=True).print(f"test_sets.{name}: {warning}", highlight=False)
    with exclusive_folder(config.output):
        remove(config.output / RECORD)
        sets, made = {}, {}
        for name, dataset in test_sets.items():
            entries, made[name] = run.predictions(name, dataset, conditions[name])
            samples = write_samples(config.output, name, describe_samples(dataset, training_set))
            origin = asdict(dataset_origin(dataset)) | samples
            sets[name] = TestSetRecord(**origin, renderer=renderer_of(dataset), predictions=entries)
        record = EvaluationRecord(
            software=software(),
            device=str(estimator.device),
            config=to_jsonable(config),
            checkpoint=run.checkpoint_record(),
            training_set=dataset_origin(training_set) if training_set else None,
            constant=best_constant(training_set) if training_set else None,
            test_sets=sets,
        )
        evaluation = Evaluation("ours", config.output, record)
        rows = [*published_rows(evaluation.scene), *evaluation_rows(evaluation)]
        rows += missing_rows(rows)
        for name, dataset in test_sets.items():
            run.draw(name, dataset, made[name], evaluation)
        notes = (*table_notes(rows), _origin(record))
        atomic_write(config.output / "table.md", markdown(rows, notes).encode())
        atomic_write(config.output / "table.csv", comma_separated(rows).encode())
        save_figure(error_curves(_curves(evaluation), published_means(evaluation.scene)), config.output / "errors.png")
        write_record(config.output / RECORD, record)
    return rows


@dataclass(frozen=True)
class _Run:
    """Evaluation of one checkpoint into one output folder."""

    config: EvaluateConfig
    estimator: Estimator
    checkpoint: CheckpointFile

    def predictions(
        self, name: str, dataset: TripletDataset, conditions: Sequence[Condition]
    ) -> tuple[tuple[PredictionsRecord, ...], dict[str, Predictions]]:
        """Obtain all predictions on a test set; return the record's entries for them and the protocols' predictions."""
        entries, kept = [], {}
        for condition in conditions:
            path = self.config.output / "predictions" / f"{name}-{condition.name}.parquet"
            numbers: Sequence[int] | None = None
            if condition.study == "miscalibration":
                numbers = evenly_spaced(len(dataset), self.config.miscalibration_samples)
            try:
                job = PredictionJob(
                    estimator=self.estimator,
                    checkpoint_sha256=self.checkpoint.sha256,
                    dataset=dataset,
                    condition=condition,
                    batch_size=self.config.batch_size,
                    numbers=numbers,
                    calibration=self.config.calibrations.get(name),
                )
                predictions, why = job.obtain(path)
            except CamerasNotFoundError as error:
                if self.config.protocols != PROTOCOLS:  # it was asked for
                    raise
                said = f"test_sets.{name}: without {condition.name}: {error}"
                Console(stderr=True).print(said, highlight=False)
                continue
            if why != "new":
                said = f"made again ({why})" if why else "used again"
                Console(stderr=True).print(f"{path}: {said}", highlight=False)
            entries.append(prediction_entry(self.config.output, path, condition, predictions.origin["made_on"]))
            if condition.study == "protocol":
                kept[condition.name] = predictions
        return tuple(entries), kept

    def checkpoint_record(self) -> CheckpointRecord:
        return CheckpointRecord(
            **asdict(self.checkpoint),
            head=self.estimator.head,
            uses_cameras=self.estimator.uses_cameras,
            windows=self.estimator.windows,
            precision=self.estimator.precision,
            scene=self.estimator.scene.to_json(),
        )

    def draw(self, name: str, dataset: TripletDataset, made: dict[str, Predictions], evaluation: Evaluation) -> None:
        (test_set,) = (one for one in evaluation.sets if one.name == name)
        for condition, predictions in made.items():
            several = windows_note(self.estimator.windows)
            title = f"{name} · {self.estimator.head} head, {condition} cameras{several}"
            sheet = predictions_sheet(dataset, predictions, test_set.scored[condition].errors, title)
            save_png(sheet, self.config.output / f"predictions-{name}-{condition}.png")


def _curves(evaluation: Evaluation) -> list[Curve]:
    curves = []
    for test_set in evaluation.sets:
        curves += [
            Curve(test_set.name, one.condition.camera_knowledge, one.errors) for one in test_set.study("protocol")
        ]
        if test_set.constant is not None:
            curves.append(Curve(test_set.name, None, test_set.constant))
    return curves


def _origin(record: EvaluationRecord) -> str:
    """Return a note that names what the table was made from."""
    hashes = {"checkpoint": record.checkpoint.sha256}
    hashes |= {name: about.fingerprint for name, about in record.test_sets.items()}
    listed = ", ".join(f"{name} {value[:12]}" for name, value in hashes.items())
    return f"Made by dactyl evaluate {package_version('dactyl-vision')} from (SHA-256): {listed}."
