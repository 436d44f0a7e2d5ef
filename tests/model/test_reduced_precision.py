"""Towers in bfloat16: the same points to a fraction of a pixel, in another number format, only where that is fast."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.scenes import scene
from vision.estimator import PoseEstimator
from vision.machine import hardware
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.pose_model import PoseModel
from vision.networks.reduced_precision import Bfloat16Tower, towers_in_bfloat16

SIZE = 64


def network(head: str = "geometric") -> PoseModel:
    torch.manual_seed(0)
    window = WindowConfig(size=32, locator_size=32, locator_width=8) if head == "geometric" else None
    return build_model(ModelConfig(head, BackboneConfig("pyramid", width=8), window=window), scene("block", SIZE))


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize(("head", "towers"), [("geometric", 2), ("regression", 1)])
def test_only_the_towers_are_reduced_and_answers_stay_close(head: str, towers: int) -> None:
    model = network(head)
    exact = PoseEstimator(copy.deepcopy(model))
    reduced = PoseEstimator(model, precision="bfloat16")
    assert (exact.precision, reduced.precision) == ("float32", "bfloat16")
    assert sum(isinstance(module, Bfloat16Tower) for module in model.modules()) == towers
    kept = {name for name, tensor in model.named_parameters() if tensor.dtype == torch.float32}
    assert kept
    assert not any(".tower." in name for name in kept)
    rig = exact.rig.nominal
    one, other = exact.predict(pictures(), rig), reduced.predict(pictures(), rig)
    assert one.keys() == other.keys()
    assert all(array.dtype == np.float64 for array in other.values())  # type: ignore[attr-defined]
    if head == "geometric":
        seen, near = exact.observe(pictures()), reduced.observe(pictures())
        assert 0 < np.abs(near.corners - seen.corners).max() < 0.5
        assert 0 < np.abs(near.landmarks - seen.landmarks).max() < 0.5


def test_auto_is_what_the_machine_computes_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(hardware, "fast_bfloat16", lambda device, fast=fast: fast)
        assert PoseEstimator(network(), precision="auto").precision == expected
        assert PoseEstimator(network()).precision == "float32"


def test_a_network_without_towers_of_ours_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    assert not towers_in_bfloat16(model)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
