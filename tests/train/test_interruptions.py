"""Trainings that are stopped by signals, killed or starved: nothing is lost, repeated or half written."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dactyl.cli import main
from tests.train.test_training import GEOMETRIC, arguments, weights
from train import loading
from train.batches import Waiting
from train.faults import BAD_BATCH
from train.loading import Loading
from train.module import PoseTask

# Validations after batches 3 and 6 of 7; a checkpoint after every second batch beside.
STEPS = ["--trainer.max_steps", "7", "--trainer.val_check_interval", "3", "--save_every", "2", "--data.batch_size", "3"]
# Without the surface loss, as in the configurations that ship: some parameters learn nothing.
MORE = [*GEOMETRIC, *STEPS, "--data.val_fraction", "0.4", "--log.pictures", "0", "--loss.surface", "0"]


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", *arguments(tiny, run, *MORE)]) == 0
    return run


def at(step: str, batch: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the task ``act`` once, in that step of the batch with that number."""
    original, done = getattr(PoseTask, step), []

    def wrapped(self: PoseTask, *args: Any) -> Any:
        if not done and self.trainer.fit_loop.total_batch_idx == batch:
            done.append(True)
            act()
        return original(self, *args)

    monkeypatch.setattr(PoseTask, step, wrapped)


def assert_equal_ends(run: Path, whole: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = weights(run, name), weights(whole, name)
        assert ours["global_step"] == theirs["global_step"]
        for key, tensor in theirs["state_dict"].items():
            assert torch.equal(tensor, ours["state_dict"][key]), key


def validated(run: Path) -> list[int]:
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    return sorted(int(row["step"]) + 1 for row in rows if row.get("val/rotation_mean_deg"))


@pytest.mark.parametrize(
    ("number", "step", "batch", "status", "saved"),
    [
        (signal.SIGTERM, "training_step", 0, 143, 1),
        (signal.SIGUSR1, "training_step", 2, 143, 3),  # a batch that is to be validated
        (signal.SIGTERM, "validation_step", 2, 143, 3),
        (signal.SIGINT, "training_step", 4, 130, 5),
    ],
)
def test_a_signal_lets_the_batch_end_and_saves(
    number: signal.Signals,
    step: str,
    batch: int,
    status: int,
    saved: int,
    tiny: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["train", *arguments(tiny, tmp_path, *MORE)]
    at(step, batch, lambda: os.kill(os.getpid(), number), monkeypatch)
    assert main(command) == status
    assert "the same command resumes" in capsys.readouterr().err
    assert weights(tmp_path)["global_step"] == saved
    assert main(command) == 0
    assert_equal_ends(tmp_path, whole)
    assert validated(tmp_path) == validated(whole) == [3, 6]


def test_a_second_signal_does_not_wait(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    at("training_step", 1, twice, monkeypatch)
    assert main(["train", *arguments(tiny, tmp_path, *MORE)]) == 143
    assert not (tmp_path / "last.ckpt").exists()


KILLED_WHILE_SAVING = """
import os, signal, sys, torch
from dactyl.cli import main
save, calls = torch.save, []
def half(checkpoint, file):
    calls.append(file)
    if len(calls) == 3:
        file.write(b"PK half a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, file)
torch.save = half
main(sys.argv[1:])
"""


def test_killed_in_the_middle_of_saving(tiny: Path, whole: Path, tmp_path: Path) -> None:
    command = ["train", *arguments(tiny, tmp_path, *MORE)]
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, *command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(tmp_path.glob(".tmp-*"))
    assert weights(tmp_path)["global_step"] == 3  # the one before, whole
    assert main(command) == 0
    assert_equal_ends(tmp_path, whole)
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_flipped_bit_in_the_checkpoint_is_named(
    tiny: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((whole / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "last.ckpt").write_bytes(content)
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes())
    assert main(["train", *arguments(tiny, tmp_path, *MORE)]) == 1
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert "last.ckpt: damaged" in message


def test_a_bad_batch_leaves_its_samples_on_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = PoseTask.losses

    def losses(self: PoseTask, *args: Any) -> torch.Tensor:
        found = original(self, *args)
        return found * torch.tensor([1.0, torch.nan, 1.0]) if self.trainer.fit_loop.total_batch_idx == 3 else found

    monkeypatch.setattr(PoseTask, "losses", losses)
    assert main(["train", *arguments(tiny, tmp_path, *MORE)]) == 1
    record = json.loads((tmp_path / BAD_BATCH).read_bytes())
    assert record["batch"] == 3
    bad = [sample["index"] for sample in record["samples"] if sample["loss"] == "nan"]
    assert len(record["samples"]) == 3
    assert len(bad) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"samples {bad[0]}:" in message
    assert BAD_BATCH in message
    assert weights(tmp_path)["global_step"] == 3  # nothing was learnt from it


def test_a_missing_logger_is_one_line(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if any(path for path in sys.path if Path(path, "wandb").is_dir()):
        pytest.skip("wandb is installed")
    assert main(["train", *arguments(tiny, tmp_path, *MORE, "--log.wandb", "project")]) == 1
    assert "log.wandb: the package wandb is missing" in capsys.readouterr().err


def test_a_signal_finds_a_loading_process_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that came while a process began ended it, and with it the training, unsaved."""
    monkeypatch.setattr(loading, "die_with", lambda _: signal.raise_signal(signal.SIGTERM))  # before its handlers stand
    samples = [{"sample": torch.tensor(number)} for number in range(4)]
    batches = Loading(samples, 1, True, 60.0, Waiting(), _first, batch_size=1)  # type: ignore[arg-type]
    try:
        assert [int(batch["sample"]) for batch in batches] == [0, 1, 2, 3]
    finally:
        batches.close()


def _first(samples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return samples[0]
