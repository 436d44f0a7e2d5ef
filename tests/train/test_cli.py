import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from train.cli import main_train, parse
from train.trainer import validation_interval
from vision.configuration.command_line import UsageError
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset
from vision.storage.records import write_record

CONFIGS = Path(__file__).parents[2] / "configs" / "train"

PATHS = ["--data.train", "data", "--output", "out"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optimizer.learning_rat", "1"], ["optimizer.learning_rat", "did you mean 'optimizer.learning_rate'"]),
        (["--trainer.max_step", "1"], ["trainer.max_step", "did you mean 'trainer.max_steps'"]),
        (["--optimizer.learning_rate", "fast"], ["optimizer.learning_rate", "fast"]),
        (["--optimizer.learning_rate", "-1"], ["learning_rate: must be positive, got -1"]),
        (["--model.head", "psychic"], ["head: expected one of regression, geometric", "psychic"]),
        (["--model.backbone.stage_strides", "[1, 2]"], ["stage_strides"]),
        (["--model.window", '{"siz": 3}'], ["siz"]),
        (["--model.window", '{"size": 64}'], ["needs head: geometric"]),
        (["--model.head", "geometric", "--model.rotation", "six_d"], ["rotation: head geometric does not use it"]),
        (["--loss.surface", "0.5"], ["loss.surface: ", "does not use it"]),
        (["--model.head", "geometric", "--loss.rotation", "geodesic"], ["loss.rotation: ", "does not use it"]),
        (["--data.batch_size", "0"], ["batch_size: must be at least 1, got 0"]),
        (["--trainer.max_steps", "0"], ["trainer.max_steps must be 1 or more"]),
        (["--trainer.precision", "17"], ["trainer.precision"]),
        (["--trainer.precision", "64-true"], ["trainer.precision"]),
        (["--trainer.precision", "bf16-true"], ["trainer.precision"]),
        (["--trainer.limit_train_batches", "3"], ["limit_train_batches"]),
        (["--trainer.overfit_batches", "3"], ["overfit_batches"]),
        (["--trainer.fast_dev_run", "true"], ["fast_dev_run"]),
        (["--config", "no-such.yaml"], ["no-such.yaml"]),
        (["--seed", "-1"], ["seed"]),
        (["--seed", "100000000000000000000"], ["seed: must be below 9.0072e+15"]),
        (["--optimizer.learning_rate", "1e308"], ["learning_rate: must be below 1e+37"]),
    ],
)
def test_a_wrong_configuration_is_one_line(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse([*PATHS, *arguments])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("dactyl train: ")
    for word in words:
        assert word in str(caught.value)


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "train.yaml"
    for text in ("model:\n  heads: geometric\n", "model: [1\n", "optimizer:\n  weight_decay: heavy\n"):
        config.write_text(text)
        with pytest.raises(UsageError) as caught:
            parse([*PATHS, "--config", str(config)])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.accelerator", "abacus"],
        ["--trainer.val_check_interval", "0.5"],
        ["--trainer.limit_val_batches", "0"],
    ],
)
def test_what_the_trainer_refuses_is_one_line(options: list[str], tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        main_train(
            ["--data.train", str(tiny), "--data.val_fraction", "0.4", "--output", str(tmp_path / "run"), *options]
        )
    assert "\n" not in str(caught.value)


def test_a_recording_teaches_no_landmarks(tiny: Path, tmp_path: Path) -> None:
    """The joints of a recording are not known, so its labels would put the hand's landmarks where they are not."""
    recorded = shutil.copytree(tiny, tmp_path / "recorded")
    manifest = TripletDataset(recorded).manifest
    write_record(recorded / "manifest.json", replace(manifest, recording={"unknown": ["joint_position"]}))
    options = ["--config", str(CONFIGS / "demo.yaml"), "--data.val_fraction", "0.4", "--data.workers", "0"]
    with pytest.raises(DactylError, match="a recording, in which the hand's joints are not known"):
        main_train(["--data.train", str(recorded), "--output", str(tmp_path / "run"), *options])


def test_a_missing_dataset_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DactylError, match="nowhere"):
        main_train(["--data.train", str(tmp_path / "nowhere"), "--output", str(tmp_path / "run")])
    assert not list((tmp_path / "run").glob("*.*")) or not (tmp_path / "run" / "config.json").exists()


def test_print_config_shows_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse([*PATHS, "--model.head", "geometric", "--print_config"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for line in (
        "output: out",
        "  head: geometric",
        "  learning_rate: 0.0005",
        "  max_steps: 400000",
        "  devices: auto",
    ):
        assert line in shown


@pytest.mark.parametrize(
    ("steps", "accumulated", "asked", "every"),
    [
        (4000, 1, 1000, 1000),
        (3600, 1, 1000, 900),
        (3200, 1, 1000, 1066),
        (1500, 1, 1000, 750),
        (300, 1, 1000, 300),
        (4, 1, 1000, 4),
        (7, 1, 3, 3),
        (5000, 3, 5000, 4998),
        (100, 4, 1, 4),
    ],
)
def test_the_last_validation_falls_on_the_end(steps: int, accumulated: int, asked: int, every: int) -> None:
    """Found: of 3,200 batches the last 200 were in no validated checkpoint; the steps were taken for batches."""
    options = {"max_steps": steps, "accumulate_grad_batches": accumulated, "val_check_interval": asked}
    found = validation_interval(options)
    assert found == every
    assert found % accumulated == 0
    batches = steps * accumulated
    assert batches - batches // found * found < accumulated * (batches / asked + 1)
