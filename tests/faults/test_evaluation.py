"""Evaluation that is killed or stopped, and is run again: the files of an uninterrupted one, and no others."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import eval.cli  # noqa: F401 (children are forks of this process)
from dactyl.cli import main
from tests.faults.children import disturb, finish
from tests.faults.conftest import Trials
from tests.faults.test_training import TINY
from tests.synthetic import make_dataset


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny trained network, ``run``, and a test set, ``data``."""
    folder = tmp_path_factory.mktemp("evaluation")
    make_dataset(folder / "data", 10, image_size=64, samples_per_shard=4, samples_per_episode=2)
    (folder / "tiny.yaml").write_text(TINY)
    arguments = ["--config", str(folder / "tiny.yaml"), "--data.train", str(folder / "data")]
    assert main(["train", *arguments, "--output", str(folder / "run")]) == 0  # a fork of a process that learnt may not
    return folder


def written(folder: Path) -> dict[str, bytes]:
    """Every file of an evaluation but its lock; temporary ones count, none may be left."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_kills_and_signals_change_no_byte(inputs: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(96)
    torch.set_num_threads(1)
    output, log = tmp_path / "evaluation", tmp_path / "log"  # one place for all: its path stands in the record
    command = ["evaluate", "--checkpoint", str(inputs / "run" / "best.ckpt"), "--test_sets.set", str(inputs / "data")]
    command += ["--output", str(output), "--batch_size", "2", "--device", "cpu"]
    at = time.monotonic()
    assert finish(command, log) == 0, log.read_text()
    lasts, expected = time.monotonic() - at, written(output)
    assert "evaluation.json" in expected
    shutil.rmtree(output)
    for trial in trials(2, 200):
        if disturb(command, log, rng.uniform(0.05, 0.95) * lasts, trial) == 0:
            assert written(output) == expected, trial
            shutil.rmtree(output)
    assert finish(command, log) == 0, log.read_text()
    assert written(output) == expected
