"""Training that is killed, stopped, or runs out of disk, and is run again: the weights of an uninterrupted one."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import train.cli  # noqa: F401 (children are forks of this process)
from tests.faults.children import end, finish, last_line, mounted, start, wait_until_alone
from tests.faults.conftest import Trials
from tests.faults.test_checkpoints import same
from tests.synthetic import make_dataset
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


def trained(folder: Path) -> tuple[object, ...]:
    """What two trainings must have in common: weights and optimiser to the last bit, and what was the best."""
    last, best = read_checkpoint(folder / "last.ckpt"), read_checkpoint(folder / "best.ckpt")
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
    return tuple(last[key] for key in keys) + tuple(best[key] for key in keys)


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
            assert same(expected, trained(broken)), trial
            shutil.rmtree(broken)
    assert finish(command(inputs, broken), log) == 0, log.read_text()
    assert same(expected, trained(broken))


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
            assert same(trained(whole), trained(output))
