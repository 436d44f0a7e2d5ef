"""``--windows``: how often a network sees each image is part of what was measured, and of what a table says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from msgspec import to_builtins

from dactyl.cli import main
from eval.estimation import live
from eval.estimation.estimates import Observer
from eval.report.card import main_package_model
from eval.scoring.record import RECORD, load_evaluation
from eval.scoring.record_types import EvaluationRecord
from tests.scenes import scene
from tests.synthetic import make_dataset
from vision.estimator import PoseEstimator
from vision.io.decode import convert
from vision.network_files import checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.storage.folders import reserve_output
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table

SIZE = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("windows") / "set", 4, image_size=SIZE)


def checkpoint(path: Path, head: str = "geometric", count: int = 1) -> Path:
    torch.manual_seed(0)
    window = WindowConfig(size=32, locator_size=32, locator_width=8, count=count) if head == "geometric" else None
    model = build_model(ModelConfig(head, BackboneConfig("pyramid", width=8), window=window), scene("block", SIZE))
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({**checkpoint_record(model), "state_dict": state}, path)
    return path


def evaluated(network: Path, data: Path, output: Path, *more: str) -> np.ndarray:
    """Positions that the command predicts with true cameras."""
    given = ["--checkpoint", str(network), "--test_sets.classic", str(data), "--device", "cpu"]
    assert main(["evaluate", *given, "--output", str(output), "--protocols", "[calibrated]", *more]) == 0
    columns, _ = read_table(output / "predictions" / "classic-calibrated.parquet", PREDICTIONS)
    positions: np.ndarray = columns["predicted_position"]
    return positions


def test_an_evaluation_with_several_windows_says_so_and_is_not_taken_for_one_without(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, output = checkpoint(tmp_path / "best.ckpt"), tmp_path / "out"
    one = evaluated(network, data, output)
    assert load_evaluation("ours", output).how == "geometric"
    capsys.readouterr()
    three = evaluated(network, data, output, "--windows", "3")
    assert "made again (changed: windows)" in capsys.readouterr().err
    assert load_evaluation("ours", output).how == "geometric, 3 windows"
    assert "| geometric, 3 windows |" in (output / "table.md").read_text()
    assert np.abs(three - one).max() > 1e-6
    np.testing.assert_array_equal(evaluated(network, data, output, "--windows", "1"), one)


def test_a_networks_own_number_is_that_of_its_configuration(data: Path, tmp_path: Path) -> None:
    given = evaluated(checkpoint(tmp_path / "one.ckpt"), data, tmp_path / "one", "--windows", "3")
    own = evaluated(checkpoint(tmp_path / "three.ckpt", count=3), data, tmp_path / "three")
    np.testing.assert_array_equal(own, given)
    assert load_evaluation("ours", tmp_path / "three").how == "geometric, 3 windows"


@pytest.mark.parametrize(
    ("own", "given", "load"),
    [
        (1, "3", 'PoseEstimator.from_checkpoint("block.pt", windows=3)'),
        (3, "3", 'PoseEstimator.from_checkpoint("block.pt")'),
        (3, "1", 'PoseEstimator.from_checkpoint("block.pt", windows=1)'),
    ],
)
def test_a_card_reads_its_network_as_it_was_measured(
    own: int, given: str, load: str, data: Path, tmp_path: Path
) -> None:
    network, evaluation = checkpoint(tmp_path / "best.ckpt", count=own), tmp_path / "evaluation"
    evaluated(network, data, evaluation, "--windows", given)
    main_package_model(["--checkpoint", str(network), "--evaluation", str(evaluation), "--output", str(tmp_path)])
    card = (tmp_path / "block.md").read_text().splitlines()
    assert f"estimator = {load}" in card
    assert any(line.startswith("A geometric network that finds") for line in card)


def test_an_evaluation_of_before_is_one_of_one_window(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    evaluated(checkpoint(tmp_path / "best.ckpt"), data, output)
    record = load_evaluation("ours", output).record
    plain = to_builtins(record)
    assert plain["checkpoint"].pop("windows") == 1
    assert convert(plain, EvaluationRecord, RECORD) == record


def test_a_network_that_never_saw_rolled_windows_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reserve_output(tmp_path, {"augment": {"window_roll_deg": 10.0, "scene_roll_deg": 5.0}}, "*.ckpt")
    network = checkpoint(tmp_path / "best.ckpt")
    evaluated(network, data, tmp_path / "one")
    assert "window_roll_deg" not in capsys.readouterr().err
    evaluated(network, data, tmp_path / "three", "--windows", "3")
    assert "windows: the network was trained with augment.window_roll_deg 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "given", "said"),
    [
        ("geometric", "0", "windows: must be at least 1, got 0"),
        ("geometric", "101", "windows: expected 1 to 100, got 101"),
        ("regression", "3", "windows: only a geometric network with model.window has any; leave it out"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    head: str, given: str, said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = checkpoint(tmp_path / "best.ckpt", head)
    arguments = ["--checkpoint", str(network), "--test_sets.classic", str(data), "--output", str(tmp_path / "out")]
    assert main(["evaluate", *arguments, "--windows", given]) != 0
    assert said in capsys.readouterr().err


def test_estimates_of_pictures_take_it(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = checkpoint(tmp_path / "best.ckpt")
    lines = []
    for given in ([], ["--windows", "3"]):
        capsys.readouterr()
        assert main(["estimate", "--pictures", str(data), "--checkpoint", str(network), *given]) == 0
        lines.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert lines[0][0]["position"] != lines[1][0]["position"]


def test_an_evaluation_in_bfloat16_says_so_and_is_not_taken_for_one_in_float32(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, output = checkpoint(tmp_path / "best.ckpt"), tmp_path / "out"
    exact = evaluated(network, data, output)
    capsys.readouterr()
    reduced = evaluated(network, data, output, "--precision", "bfloat16")
    assert "made again (changed: precision)" in capsys.readouterr().err
    assert load_evaluation("ours", output).how == "geometric, bfloat16"
    assert "| geometric, bfloat16 |" in (output / "table.md").read_text()
    assert np.abs(reduced - exact).max() > 0
    np.testing.assert_array_equal(evaluated(network, data, output, "--precision", "float32"), exact)


@pytest.mark.parametrize(("pace_s", "kept"), [(0.0, 1), (1000.0, 3)])
def test_live_estimates_keep_their_pace(pace_s: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PACE_S", pace_s)
    window = WindowConfig(size=32, locator_size=32, locator_width=8, count=3)
    config = ModelConfig("geometric", BackboneConfig("pyramid", width=8), window=window)
    model = build_model(config, scene("block", SIZE))
    views = SimpleNamespace(cameras=model.scene.rig.nominal)
    observer = cast(Observer, SimpleNamespace(estimator=PoseEstimator(model), nominal=True, views=views))
    said = live._keep_pace(observer)
    assert observer.estimator.windows == kept
    assert (said is None) == (kept == 3)
    if said is not None:
        assert said.startswith("3 windows of each picture take ")
        assert live._keep_pace(observer) is None  # of one there is nothing to take away
