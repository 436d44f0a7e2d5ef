"""``dactyl evaluate``: predictions first, then errors, table and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import asdict, astuple

from eval.report.charts import Curve, error_curves
from eval.report.figures import predictions_sheet
from eval.report.plots import save_figure
from eval.report.table_text import comma_separated, markdown, print_table
from eval.report.write import SUMMARY, ReportConfig, report
from eval.scoring.baseline import best_constant
from eval.scoring.conditions import PROTOCOLS, Condition, ProtocolName, camera_subsets, miscalibrations
from eval.scoring.found_cameras import calibrated_cameras, can_self_calibrate, recordings
from eval.scoring.predict import (
    Estimator,
    EvaluateConfig,
    Predictions,
    load_estimator,
    obtain_predictions,
    refuse_mismatch,
    renderer_of,
)
from eval.scoring.provenance import checkpoint_origin, dataset_origin, learnt_from, software
from eval.scoring.published import published_means, published_rows
from eval.scoring.record import RECORD, Evaluation, prediction_entry, write_samples
from eval.scoring.record_types import (
    CheckpointFile,
    CheckpointRecord,
    ConstantRecord,
    EvaluationRecord,
    PredictionsRecord,
    TestSetRecord,
)
from eval.scoring.samples import describe_samples
from eval.scoring.table import (
    Row,
    evaluation_rows,
    missing_rows,
    table_notes,
)
from eval.spacing import evenly_spaced
from vision.config import parse
from vision.console import Console
from vision.drawing.wireframes import save_png
from vision.errors import DactylError
from vision.io.files import atomic_write, exclusive_folder, remove, to_jsonable
from vision.storage.datasets import TripletDataset
from vision.storage.records import write_record
from vision.versions import package_version


def main_evaluate(argv: Sequence[str]) -> None:
    """Measure a checkpoint's rotation and position errors on test sets, and print them next to the paper's.

    Writes into the output folder: predictions (Parquet, one file for each test set and protocol), the table as table.md
    and table.csv, errors.png with cumulative curves, images of test triplets, and evaluation.json, from which dactyl
    report makes pages. Existing predictions of the same checkpoint and test set are reused. Others are made again, and
    the reason is printed.

    examples:
      dactyl evaluate --config configs/evaluate/demo.yaml
      dactyl evaluate --checkpoint runs/train/best.ckpt --test_sets.filament data/test-filament --output runs/evaluation
      dactyl evaluate --checkpoint block --test_sets.mine data/mine --output runs/shipped    with shipped weights
      dactyl evaluate --config configs/evaluate/demo.yaml --test_sets.real data/test-real --protocols '[nominal]'
      dactyl evaluate --config configs/evaluate/demo.yaml --test_sets.real data/test-real --calibrations.real found.json
    """
    config = parse(EvaluateConfig, argv, "dactyl evaluate", main_evaluate.__doc__ or "")
    rows = evaluate(config)
    console = Console()
    print_table(rows, console)
    console.print(f"{config.output}: table.md, table.csv, errors.png, predictions", soft_wrap=True)


def main_report(argv: Sequence[str]) -> None:
    """Turn one or more evaluations into report.html, report.md, report.csv and report.json, and print a short table.

    The HTML is one file that opens from disk and loads nothing. Its tables can be sorted, and its figures show their
    values. Several evaluations are shown side by side (dactyl compare gives the significance of their differences).
    Only the folders of dactyl evaluate are needed, and of dactyl closed-loop if there are any. The short table is
    Markdown for a README, and also in summary.md.

    examples:
      dactyl report --evaluations.ours runs/evaluation --output runs/report
      dactyl report --evaluations.paper-net runs/paper/evaluation --evaluations.geometric runs/best/evaluation \\
        --output runs/report --title "Block, two heads"
      dactyl report --evaluations.ours runs/evaluation --closed_loops.her runs/closed-loop --output runs/report
    """
    config = parse(ReportConfig, argv, "dactyl report", main_report.__doc__ or "")
    report(config)
    console = Console()
    console.print((config.output / SUMMARY).read_text(), highlight=False, soft_wrap=True)
    console.print(f"{config.output}: report.html, report.md, report.csv, report.json, {SUMMARY}", soft_wrap=True)


def evaluate(config: EvaluateConfig) -> list[Row]:
    """Do all that ``dactyl evaluate`` does but print the table; return its rows, the published ones first.

    Raises:
        DactylError: a checkpoint or dataset is missing, damaged or of another object or rig.
    """
    test_sets = {name: TripletDataset(folder) for name, folder in config.test_sets.items() if folder is not None}
    training_set = TripletDataset(config.training_set) if config.training_set else None
    from vision.network_files import weights_file  # brings torch

    checkpoint = weights_file(str(config.checkpoint))
    estimator = load_estimator(checkpoint, config.device)
    for dataset in (*test_sets.values(), *([training_set] if training_set else [])):
        refuse_mismatch(estimator, dataset)
    for dataset in test_sets.values():
        dataset.verify()
    for name, path in config.calibrations.items():
        calibrated_cameras(path, test_sets[name])  # refused before anything is estimated
    wanted = wanted_conditions(estimator, config)
    conditions = {
        name: usable_conditions(estimator, name, dataset, wanted, config) for name, dataset in test_sets.items()
    }
    run = _Run(config, estimator, checkpoint_origin(checkpoint))
    for name, dataset in test_sets.items():
        if learnt_from(run.checkpoint, dataset):
            said = (
                f"test_sets.{name}: the network was trained or validated on it, so its errors are of pictures it knows"
            )
            Console(stderr=True).print(said, soft_wrap=True, highlight=False)
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
            device=str(getattr(estimator, "device", "cpu")),
            config=to_jsonable(config),
            checkpoint=run.checkpoint_record(),
            training_set=dataset_origin(training_set) if training_set else None,
            constant=ConstantRecord(**best_constant(training_set).to_json()) if training_set else None,
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


def usable_protocols(estimator: Estimator, wanted: Sequence[ProtocolName], given: bool = False) -> list[ProtocolName]:
    """The wanted protocols that mean something for this estimator: only nominal where it uses no cameras, and not
    nominal where it does and cannot find them. ``given``: calibration files are."""
    lost = estimator.nominal_fault
    means = {"nominal": lost is None, "calibrated": estimator.uses_cameras}
    means["self-calibrated"] = can_self_calibrate(estimator) or (given and estimator.uses_cameras)
    usable = [protocol for protocol in wanted if means[protocol]]
    if lost and not usable:
        raise DactylError(f"protocols: {lost}")
    if lost and "nominal" in wanted:
        Console(stderr=True).print(f"protocols: without nominal: {lost}", soft_wrap=True, highlight=False)
    if not usable:
        missing = (
            "finds no cameras; add nominal or calibrated, or name a calibration with --calibrations.<test set>"
            if estimator.uses_cameras
            else "uses no cameras, so calibrated ones mean nothing; add nominal"
        )
        raise DactylError(f"protocols: this {estimator.head} network {missing}")
    return usable


def wanted_conditions(estimator: Estimator, config: EvaluateConfig) -> list[Condition]:
    """The protocols and studies that are asked for and mean something for this estimator."""
    conditions = [
        Condition(protocol) for protocol in usable_protocols(estimator, config.protocols, bool(config.calibrations))
    ]
    if estimator.any_number_of_cameras and config.camera_subsets:
        conditions += camera_subsets(estimator.scene.rig)
    if estimator.uses_cameras and config.miscalibration_samples:
        conditions += miscalibrations()
    return conditions


def usable_conditions(
    estimator: Estimator, name: str, dataset: TripletDataset, wanted: Sequence[Condition], config: EvaluateConfig
) -> list[Condition]:
    """The wanted conditions under which a test set can be evaluated: not self-calibrated where there is nothing to find
    cameras from, which is said on standard error to those who chose protocols.

    Raises:
        DactylError: none is left.
    """
    findable = can_self_calibrate(estimator) and recordings(dataset) is not None
    if findable or name in config.calibrations:
        return list(wanted)
    usable = [condition for condition in wanted if condition.camera_knowledge != "self-calibrated"]
    if not usable:
        raise DactylError(
            f"test_sets.{name}: {dataset.folder}: nothing to find its cameras from; add the protocol nominal or "
            f"calibrated, or name a calibration with --calibrations.{name}"
        )
    if len(usable) < len(wanted) and config.protocols != PROTOCOLS:
        said = f"test_sets.{name}: without self-calibrated: there is nothing to find its cameras from"
        Console(stderr=True).print(said, soft_wrap=True, highlight=False)
    return usable


@dataclass(frozen=True)
class _Run:
    """One checkpoint and where its estimates go."""

    config: EvaluateConfig
    estimator: Estimator
    checkpoint: CheckpointFile

    def predictions(
        self, name: str, dataset: TripletDataset, conditions: Sequence[Condition]
    ) -> tuple[tuple[PredictionsRecord, ...], dict[str, Predictions]]:
        """Obtain all predictions on a test set: what the record says about them, and those of the protocols."""
        entries, kept = [], {}
        for condition in conditions:
            path = self.config.output / "predictions" / f"{name}-{condition.name}.parquet"
            numbers: Sequence[int] | None = None
            if condition.study == "miscalibration":
                numbers = evenly_spaced(len(dataset), self.config.miscalibration_samples)
            predictions, why = obtain_predictions(
                self.estimator,
                self.checkpoint.sha256,
                dataset,
                condition,
                path,
                self.config.batch_size,
                numbers,
                self.config.calibrations.get(name),
            )
            if why != "new":
                said = f"made again ({why})" if why else "used again"
                Console(stderr=True).print(f"{path}: {said}", soft_wrap=True, highlight=False)
            entries.append(prediction_entry(self.config.output, path, condition))
            if condition.study == "protocol":
                kept[condition.name] = predictions
        return tuple(entries), kept

    def checkpoint_record(self) -> CheckpointRecord:
        estimator, (path, digest, training) = self.estimator, astuple(self.checkpoint)
        about = (estimator.head, estimator.uses_cameras, estimator.scene.to_json())
        return CheckpointRecord(path, digest, training, *about)

    def draw(self, name: str, dataset: TripletDataset, made: dict[str, Predictions], evaluation: Evaluation) -> None:
        (test_set,) = (one for one in evaluation.sets if one.name == name)
        for condition, predictions in made.items():
            title = f"{name} · {self.estimator.head} head, {condition} cameras"
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
    """A note that names what the table was made from."""
    hashes = {"checkpoint": record.checkpoint.sha256}
    hashes |= {name: about.fingerprint for name, about in record.test_sets.items()}
    listed = ", ".join(f"{name} {value[:12]}" for name, value in hashes.items())
    return f"Made by dactyl evaluate {package_version('dactyl-vision')} from (SHA-256): {listed}."
