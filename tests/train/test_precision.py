"""``trainer.precision: auto``: the machine's choice, on file, and kept when the training goes on elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.train.test_training import GEOMETRIC, arguments
from train import precision
from train.cli import main_train, parse
from train.precision import device_type, resolve_precision
from vision.errors import DactylError

OPTIONS = {"precision": "auto", "accelerator": "cpu"}


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_the_machines(monkeypatch: pytest.MonkeyPatch, fast: bool, expected: str) -> None:
    asked = []
    monkeypatch.setattr(precision, "fast_bfloat16", lambda device: asked.append(device) or fast)
    assert resolve_precision(OPTIONS, None)[0] == expected
    assert asked == ["cpu"]


@pytest.mark.parametrize("asked", ["64-true", None, 32])
def test_what_is_asked_for_is_taken(asked: object) -> None:
    assert resolve_precision({**OPTIONS, "precision": asked}, None)[0] == asked


def test_auto_is_the_default(tmp_path: Path) -> None:
    assert parse(["--data.train", "data", "--output", str(tmp_path)])[1]["precision"] == "auto"


@pytest.mark.parametrize(
    ("accelerator", "gpu", "device"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")]
)
def test_the_device_is_the_one_that_lightning_takes(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, gpu: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device_type(accelerator) == device


def test_a_training_keeps_its_precision_on_another_machine(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = arguments(tiny, tmp_path / "run", *GEOMETRIC, "--trainer.max_steps", "1", "--data.val_fraction", "0.4")
    monkeypatch.setattr(precision, "fast_bfloat16", lambda device: False)
    main_train([*run, "--data.batch_size", "2"])
    assert "precision 32-true" in " ".join(capsys.readouterr().err.split())
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["trainer"]["precision"] == "32-true"

    monkeypatch.setattr(precision, "fast_bfloat16", lambda device: True)
    main_train([*run, "--data.batch_size", "2"])
    assert "reused" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(DactylError, match=r"trainer\.precision: '32-true' there, 'bf16-mixed' here"):
        main_train([*run, "--data.batch_size", "2", "--trainer.precision", "bf16-mixed"])
