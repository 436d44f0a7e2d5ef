"""``dactyl evaluate`` from files to files, with an estimator that knows the answers."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from msgspec import structs
from PIL import Image

import eval.evaluate
from eval.cli import main_evaluate
from eval.evaluate import evaluate
from eval.report.figures import crop_sides, predictions_sheet, telling_samples
from eval.scoring.conditions import Condition
from eval.scoring.config import EvaluateConfig
from eval.scoring.estimator import load_estimator
from eval.scoring.metrics import PoseErrors, pose_errors
from eval.scoring.predict import Predictions, predict
from eval.scoring.record import load_evaluation
from tests.eval.oracle import Oracle
from tests.scenes import scene
from tests.synthetic import make_dataset
from vision.drawing.sheets import Tile
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.geometry.poses import Pose
from vision.io.files import exclusive_folder, sha256
from vision.network_files import checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.rigs.rig import Rig
from vision.storage.datasets import TripletDataset
from vision.storage.schema import PREDICTIONS
from vision.storage.shards import shard_name
from vision.storage.tables import read_table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, (name, samples) in enumerate((("first", 9), ("second", 7), ("train", 40))):
        make_dataset(folder / name, samples, seed=seed, image_size=64)
    (folder / "best.ckpt").write_bytes(b"weights")
    return folder


@pytest.fixture
def config(data: Path, tmp_path: Path) -> EvaluateConfig:
    test_sets = {name: data / name for name in ("first", "second")}
    return EvaluateConfig(data / "best.ckpt", test_sets, tmp_path / "out", training_set=data / "train")


@pytest.fixture
def oracle(data: Path, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    oracle = Oracle([TripletDataset(data / name) for name in ("first", "second")])
    monkeypatch.setattr(eval.evaluate, "load_estimator", lambda checkpoint, *_: (oracle, sha256(checkpoint)))
    return oracle


def test_predictions_are_of_the_checkpoint_that_was_loaded(
    config: EvaluateConfig, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on replaces its best.ckpt while test sets are read."""
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    loaded, load = sha256(path), eval.evaluate.load_estimator

    def replaced(*arguments: Any) -> Any:
        result = load(*arguments)
        path.write_bytes(b"better weights")
        return result

    monkeypatch.setattr(eval.evaluate, "load_estimator", replaced)
    evaluate(replace(config, checkpoint=path))
    assert load_evaluation("ours", config.output).record.checkpoint.sha256 == loaded
    _, origin = read_table(next((config.output / "predictions").iterdir()), PREDICTIONS)
    assert origin["checkpoint_sha256"] == loaded


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    monkeypatch.setattr(PoseEstimator, "from_checkpoint", lambda *_: path.write_bytes(b"better weights"))
    with pytest.raises(DactylError, match=f"{path}: was replaced while this command ran"):
        load_estimator(path, "cpu")


def arguments(config: EvaluateConfig) -> list[str]:
    sets = [part for name, folder in config.test_sets.items() for part in (f"--test_sets.{name}", str(folder))]
    return [
        *("--checkpoint", str(config.checkpoint), "--output", str(config.output)),
        *("--training_set", str(config.training_set)),
        *sets,
    ]


def test_the_table_and_the_pictures(config: EvaluateConfig, oracle: Oracle, capsys: pytest.CaptureFixture[str]) -> None:
    main_evaluate(arguments(config))
    with (config.output / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    measured = [(line["estimator"], line["test_set"], line["protocol"]) for line in lines[7:-4]]
    assert measured == [
        (whose, name, protocol)
        for name in ("first", "second")
        for whose, protocol in (("ours", "nominal"), ("ours", "calibrated"), ("constant", ""))
    ]
    assert [line["renderer"] for line in lines if line["estimator"] == "missing"] == [
        "filament", "classic", "unity", "real",
    ]  # fmt: skip
    for line in lines[7:-4]:
        assert int(line["samples"]) == {"first": 9, "second": 7}[line["test_set"]]
        if line["estimator"] == "ours":
            assert float(line["rotation_mean_deg"]) == pytest.approx(3.0, abs=1e-3)
            expected = {"nominal": 22.0, "calibrated": 2.0}[line["protocol"]]
            assert float(line["position_mean_mm"]) == pytest.approx(expected, abs=1e-3)
        else:
            assert 60 < float(line["rotation_mean_deg"]) < 180
            assert 10 < float(line["position_mean_mm"]) < 100
    table = (config.output / "table.md").read_text()
    assert "| ours | first | synthetic | geometric | calibrated | true | 9 | 3.00 ± 0.00 | of 3: too few |" in table
    assert "Made by dactyl evaluate" in table
    assert "3.00 ± 0.00" in capsys.readouterr().out
    pictures = sorted(path.name for path in config.output.glob("*.png"))
    assert pictures == ["errors.png"] + [
        f"predictions-{name}-{protocol}.png" for name in ("first", "second") for protocol in ("calibrated", "nominal")
    ]
    for name in pictures:
        with Image.open(config.output / name) as picture:
            assert min(picture.size) > 200
            assert np.asarray(picture.convert("L")).std() > 10


def test_a_second_run_reuses_predictions_and_says_so(
    config: EvaluateConfig, oracle: Oracle, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(config, test_sets={"second": config.test_sets["second"]})
    rows = evaluate(config)
    first = {path.name: path.read_bytes() for path in config.output.iterdir() if path.is_file()}
    calls = oracle.calls
    capsys.readouterr()
    assert evaluate(config) == rows
    assert oracle.calls == calls
    assert capsys.readouterr().err.count("used again") == 2
    for name, content in first.items():
        assert (config.output / name).read_bytes() == content, name


def test_a_head_without_cameras_has_the_nominal_row_only(config: EvaluateConfig, oracle: Oracle) -> None:
    oracle.head, oracle.uses_cameras = "regression", False
    ours = [row for row in evaluate(config) if row.estimator == "ours"]
    assert [(row.protocol, row.cameras) for row in ours] == [("nominal", "none")] * 2
    with pytest.raises(DactylError, match="this regression network uses no cameras"):
        evaluate(replace(config, protocols=("calibrated",)))
    oracle.uses_cameras = True
    with pytest.raises(DactylError, match="this regression network finds no cameras; add nominal or calibrated"):
        evaluate(replace(config, protocols=("self-calibrated",)))


def test_no_training_set_no_constant_row(config: EvaluateConfig, oracle: Oracle) -> None:
    rows = evaluate(replace(config, training_set=None, protocols=("nominal",)))
    assert [row.estimator for row in rows] == ["paper"] * 3 + ["successor"] * 4 + ["ours"] * 2 + ["missing"] * 4


def test_bad_input_is_one_line_before_anything_is_estimated(
    config: EvaluateConfig, oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    prism = make_dataset(tmp_path / "prism", 2, image_size=64, object_name="prism")
    flipped = make_dataset(tmp_path / "flipped", 2, image_size=64)
    content = bytearray((flipped / shard_name(0)).read_bytes())
    content[2000] ^= 1
    (flipped / shard_name(0)).write_bytes(content)
    for test_set, complaint in (
        (tmp_path / "nowhere", "no such dataset manifest"),
        (prism, "object is prism, expected block"),
        (flipped, r"shard-000000\.tar: content differs|shard-000000\.tar: not a readable"),
    ):
        with pytest.raises(DactylError, match=complaint):
            evaluate(replace(config, test_sets={**config.test_sets, "bad": test_set}))
    with pytest.raises(DactylError, match="object is prism, expected block"):
        evaluate(replace(config, training_set=prism))
    assert oracle.calls == 0
    assert not config.output.exists()


def test_print_config_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sets that are not there stay null; as text they would be folders called None."""
    paper = Path(__file__).parents[2] / "configs" / "evaluate" / "paper.yaml"
    printed = []
    for file in (paper, tmp_path / "printed.yaml"):
        with pytest.raises(SystemExit):
            main_evaluate(["--config", str(file), "--print_config"])
        printed.append(capsys.readouterr().out)
        (tmp_path / "printed.yaml").write_text(printed[0])
    assert printed[0] == printed[1]
    assert "  real: null" in printed[0]


def test_two_evaluations_into_one_folder(config: EvaluateConfig, oracle: Oracle) -> None:
    with exclusive_folder(config.output), pytest.raises(DactylError, match="is writing here"):
        evaluate(config)


def test_telling_samples_are_the_best_the_middle_and_the_worst() -> None:
    """By an error that forgives symmetries, unlike ADD."""
    mssd = np.array([5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0])
    errors = PoseErrors({"rotation": mssd, "position": mssd, "add": mssd[::-1], "mssd": mssd})
    assert telling_samples(errors, 2) == [
        ("best", 1), ("best", 5), ("typical", 3), ("typical", 0), ("worst", 6), ("worst", 2),
    ]  # fmt: skip
    few = errors.of(np.arange(2))
    assert sorted(number for _, number in telling_samples(few, 2)) == [0, 1], "no sample twice"
    one = errors.of(np.arange(1))
    assert telling_samples(one, 2) == [("best", 0)]


def test_a_sheet_shows_the_object_in_images_of_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: the side of the smallest image was cut out of all, a corner of the object in a large one."""
    block = scene("block", 64)
    assert crop_sides(block) == [24, 24, 24]
    left, _, right = block.rig.cameras
    large = block.rig.resized(320).cameras[1]
    mixed = block.with_rig(Rig(cameras=(left, large, right)))
    assert crop_sides(mixed) == [24, 102, 24], "five times the pixels"
    low = structs.replace(large, height=96)
    assert crop_sides(block.with_rig(Rig(cameras=(left, low, right)))) == [24, 96, 24], "within the image"
    data = TripletDataset(make_dataset(tmp_path / "set", 3, scene=mixed))
    oracle = Oracle([data])
    columns = predict(oracle, data, Condition("calibrated"), 3)
    true, found = (Pose.from_columns(columns, whose) for whose in ("true", "predicted"))
    tiles = list[Tile]()
    monkeypatch.setattr("eval.report.figures.contact_sheet", lambda drawn, *_: tiles.extend(drawn))
    predictions_sheet(data, Predictions(columns, {}), pose_errors(data.object, true, found), "title")
    assert [[image.shape[:2] for image in tile.images] for tile in tiles] == [[(264, 264), (306, 306), (264, 264)]] * 3


@pytest.mark.parametrize(("head", "camera_input"), [("regression", False), ("regression", True), ("geometric", False)])
def test_a_real_checkpoint_from_file_to_table(
    head: Literal["regression", "geometric"], camera_input: bool, data: Path, tmp_path: Path
) -> None:
    """An untrained network: its errors are large, but every part is the one that users run. And what it says of
    itself is true: a regression's answers change with the cameras only where it is told them."""
    dataset = TripletDataset(data / "first")
    torch.manual_seed(0)
    tower = BackboneConfig("pyramid", width=8, blocks=1)
    if head == "geometric":
        config = ModelConfig(head, tower, window=WindowConfig(size=32, locator_size=32, locator_width=8))
    else:
        config = ModelConfig(head, tower, hidden=8, camera_input=camera_input)
    model = build_model(config, dataset.scene)
    checkpoint = tmp_path / "untrained.ckpt"
    torch.save(
        {**checkpoint_record(model), "state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, checkpoint
    )
    evaluation = EvaluateConfig(checkpoint, {"first": data / "first"}, tmp_path / "out", device="cpu")
    ours, told = [row for row in evaluate(evaluation) if row.estimator == "ours"], camera_input or head == "geometric"
    assert {row.head for row in ours} == {head}
    assert [row.protocol for row in ours] == (["nominal", "calibrated"] if told else ["nominal"])
    estimator, _ = load_estimator(evaluation.checkpoint, evaluation.device)
    nominal, true = (predict(estimator, dataset, Condition(told), 4) for told in ("nominal", "calibrated"))
    assert estimator.uses_cameras == (not np.array_equal(nominal["predicted_position"], true["predicted_position"]))
