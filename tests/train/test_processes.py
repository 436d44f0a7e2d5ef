"""Several processes train as one: real ones, with gloo, started by Lightning from the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dactyl.cli import main
from tests.train.test_training import GEOMETRIC, arguments, weights
from train.data import _share
from vision.errors import DactylError

# No random augmentation, which each process draws for itself; group norm, which knows no other sample.
STILL = ["--augment.contrast", "[1, 1]", "--augment.noise", "0", "--augment.window_shift", "0"]
STILL += ["--augment.window_zoom", "0", "--augment.window_roll_deg", "0", "--model.backbone.norm", "group"]
STEPS = ["--trainer.max_steps", "3", "--trainer.val_check_interval", "3", "--data.batch_size", "4"]
MORE = [*GEOMETRIC, *STILL, *STEPS, "--data.val_fraction", "0.4", "--log.pictures", "2"]


def test_two_processes_learn_what_one_learns(tiny: Path, tmp_path: Path) -> None:
    command = ["train", *arguments(tiny, tmp_path / "two", *MORE), "--data.workers", "1"]
    devices = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = subprocess.run(
        [sys.executable, "-m", "dactyl", *command, *devices],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=900,
    )
    assert two.returncode == 0, two.stderr
    assert main(["train", *arguments(tiny, tmp_path / "one", *MORE)]) == 0

    ours, theirs = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert ours["global_step"] == theirs["global_step"] == 3
    # Adam's steps blow rounding up where a gradient is all but zero; the gradients' own means are the fair comparison.
    for number, state in theirs["optimizer_states"][0]["state"].items():
        found = ours["optimizer_states"][0]["state"][number]["exp_avg"]
        torch.testing.assert_close(found, state["exp_avg"], atol=1e-4 * _scale(state), rtol=0.02)
    metrics = [_best_score(checkpoint) for checkpoint in (ours, theirs)]
    torch.testing.assert_close(metrics[0], metrics[1], atol=0.5, rtol=0)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert _share(6, 2, "stored") == 3
    with pytest.raises(DactylError, match="5 online triplets of a batch cannot be shared equally by 2 processes"):
        _share(5, 2, "online")


def _scale(state: dict[str, torch.Tensor]) -> float:
    return float(state["exp_avg"].abs().max()) + 1e-8


def _best_score(checkpoint: dict[str, Any]) -> torch.Tensor:
    (best,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("ModelCheckpoint"))
    return torch.as_tensor(best["best_model_score"])
