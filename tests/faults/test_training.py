"""Training that is killed, stopped, or runs out of disk, and is run again: the weights of an uninterrupted one."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import train.cli  # noqa: F401 (children are forks of this process)
from dactyl.cli import main
from tests.faults.children import end, finish, last_line, mounted, start, wait_until_alone
from tests.faults.conftest import Trials
from tests.faults.test_checkpoints import same
from tests.synthetic import make_dataset
from tests.train.test_interruptions import MORE, at
from tests.train.test_training import arguments
from vision.estimator import read_checkpoint

TINY = """
model: {head: geometric, backbone: {name: pyramid, width: 8, blocks: 1}, window: {size: 32, locator_width: 8}}
optimizer: {name: adamw, learning_rate: 1.0e-3}
data: {batch_size: 2, val_fraction: 0.4}
save_every: 3
threads: 1
trainer: {max_steps: 24, val_check_interval: 8, accelerator: cpu, enable_progress_bar: false}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    make_dataset(folder / "data", 10, image_size=64, samples_per_shard=4, samples_per_episode=2)
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def command(inputs: Path, output: Path) -> list[str]:
    arguments = ["--config", str(inputs / "tiny.yaml"), "--data.train", str(inputs / "data")]
    return ["train", *arguments, "--output", str(output)]


def trained(folder: Path) -> dict[str, object]:
    """What two trainings must have in common: weights and optimiser to the last bit, and what was the best."""
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
    files = {name: read_checkpoint(folder / f"{name}.ckpt") for name in ("last", "best")}
    return {f"{name}: {key}": content[key] for name, content in files.items() for key in keys}


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return [key for key in one if not same(one[key], other[key])]


def test_kills_and_signals_change_no_weight(inputs: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(94)
    torch.set_num_threads(1)
    whole, broken, log = tmp_path / "whole", tmp_path / "broken", tmp_path / "log"
    at = time.monotonic()
    assert finish(command(inputs, whole), log) == 0, log.read_text()
    lasts, expected = time.monotonic() - at, trained(whole)
    for trial in trials(2, 50):
        process = start(command(inputs, broken), log)
        process.join(rng.uniform(0.1, 0.9) * lasts)
        end(process, (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[trial % 4])
        wait_until_alone(process.pid or 0)
        assert process.exitcode in (0, 130, 143, -9), log.read_text()
        if process.exitcode in (130, 143):
            assert last_line(log).endswith("the same command resumes")
        if process.exitcode == 0:
            assert not differing(expected, trained(broken)), trial
            shutil.rmtree(broken)
    assert finish(command(inputs, broken), log) == 0, log.read_text()
    assert not differing(expected, trained(broken))


def test_a_signal_to_every_process_of_a_training_saves_it(inputs: Path, tmp_path: Path) -> None:
    """As Slurm and systemd send it. Found in a long run: a loading process that ended took the training with it."""
    output, log = tmp_path / "run", tmp_path / "log"
    process = start([*command(inputs, output), "--data.workers", "1", "--trainer.max_steps", "100000"], log)
    deadline = time.monotonic() + 200
    while not (output / "last.ckpt").exists():
        assert process.is_alive(), log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = read_checkpoint(output / "last.ckpt")["global_step"]
    os.killpg(process.pid or 0, signal.SIGTERM)
    process.join(100)
    assert process.exitcode == 143, log.read_text()
    assert last_line(log) == "dactyl train: terminated; the same command resumes"
    assert read_checkpoint(output / "last.ckpt")["global_step"] >= before
    wait_until_alone(process.pid or 0)


def test_a_second_validation_that_was_interrupted_is_whole(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by kills: it was left out in part, and another checkpoint became the best."""
    expected, broken = tmp_path / "whole", tmp_path / "broken"
    more = [*MORE, "--data.batch_size", "2"]
    assert main(["train", *arguments(inputs / "data", expected, *more)]) == 0
    handler = signal.getsignal(signal.SIGTERM)
    at("validation_step", 5, lambda: signal.raise_signal(signal.SIGTERM), monkeypatch)
    assert main(["train", *arguments(inputs / "data", broken, *more)]) == 143
    assert main(["train", *arguments(inputs / "data", broken, *more)]) == 0
    signal.signal(signal.SIGTERM, handler)
    assert errors(broken) == errors(expected)
    assert not differing(trained(expected), trained(broken))


def errors(run: Path) -> dict[str, str]:
    """The held-out error after each validated batch, over all of a run's starts."""
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    return {row["step"]: row["val/rotation_mean_deg"] for row in rows if row.get("val/rotation_mean_deg")}


def test_a_disk_that_fills_in_training_is_one_line(inputs: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(95)
    whole, log = tmp_path / "whole", tmp_path / "log"
    assert finish(command(inputs, whole), log) == 0, log.read_text()
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()) // 1024
    for trial in trials(1, 20):
        with mounted(tmp_path / f"disk-{trial}", int(rng.integers(16, needed))) as resize:
            output = tmp_path / f"disk-{trial}" / "run"
            assert finish(command(inputs, output), log) == 1, log.read_text()
            assert "No space left on device" in last_line(log)
            assert str(output) in last_line(log)
            resize(8 * needed)
            assert finish(command(inputs, output), log) == 0, log.read_text()
            assert not differing(trained(whole), trained(output))
