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
from tests.scenes import scene
from tests.train.test_training import SMALL, arguments, weights
from train.data import _share
from train.image_augmentation import ImageAugmentConfig
from train.module import OptimizerConfig, PoseTask
from vision.errors import DactylError
from vision.networks.backbones import BackboneConfig
from vision.networks.losses import LossConfig
from vision.networks.model_config import ModelConfig

# No random augmentation, which each process draws for itself; group norm, which knows no other sample; and steps so
# small that Adam, which blows rounding up where a gradient is all but zero, leaves all gradients comparable. And no
# bfloat16, whose rounding depends on how a batch is cut.
STILL = ["--augment.contrast", "[1, 1]", "--augment.noise", "0", "--model.backbone.norm", "group"]
STILL += ["--trainer.precision", "32-true"]
STEPS = ["--trainer.max_steps", "3", "--trainer.val_check_interval", "3", "--data.batch_size", "4"]
MORE = [
    *SMALL,
    *STILL,
    *STEPS,
    "--optimizer.learning_rate",
    "1e-7",
    "--data.val_fraction",
    "0.4",
    "--log.pictures",
    "2",
]


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
    )
    assert two.returncode == 0, two.stderr
    assert main(["train", *arguments(tiny, tmp_path / "one", *MORE)]) == 0

    ours, theirs = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert ours["global_step"] == theirs["global_step"] == 3
    for number, state in theirs["optimizer_states"][0]["state"].items():
        found, expected = ours["optimizer_states"][0]["state"][number]["exp_avg"], state["exp_avg"]
        torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()) + 1e-7, rtol=0)
    torch.testing.assert_close(_best_score(ours), _best_score(theirs), atol=1e-2, rtol=0)  # degrees


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert _share(6, 2, "stored") == 3
    with pytest.raises(DactylError, match="5 online triplets of a batch cannot be shared equally by 2 processes"):
        _share(5, 2, "online")


def _best_score(checkpoint: dict[str, Any]) -> torch.Tensor:
    (best,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("ModelCheckpoint"))
    return torch.as_tensor(best["best_model_score"])


def test_processes_wait_for_no_gradient_of_what_learns_nothing() -> None:
    """Without the surface loss its layers have no gradient; processes that expected one ended in an error."""
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8, blocks=1))

    def still(surface: float) -> set[str]:
        task = PoseTask(
            config, scene("block", 64), LossConfig(surface=surface), ImageAugmentConfig(), OptimizerConfig(), 0
        )
        return {name for name, parameter in task.model.named_parameters() if not parameter.requires_grad}

    assert not still(1.0)
    assert still(0.0)
    assert all("surface" in name for name in still(0.0)), still(0.0)
