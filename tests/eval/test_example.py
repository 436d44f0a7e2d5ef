"""The example answers what the estimator answers."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.eval.lab import calibrated_rig
from tests.synthetic import make_dataset
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.network_files import checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.rigs.calibration import save_calibration
from vision.storage.datasets import TripletDataset

ROOT = Path(__file__).parents[2]


def test_three_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TripletDataset(make_dataset(tmp_path / "set", 1, image_size=64))
    torch.manual_seed(0)
    window = WindowConfig(size=32, locator_size=32, locator_width=8)
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8, blocks=1), window=window)
    model = build_model(config, dataset.scene)
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({**checkpoint_record(model), "state_dict": weights}, tmp_path / "a.ckpt")
    images = dataset[0]["images"]
    files = [tmp_path / f"{name}.png" for name in dataset.rig.names]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    command = [sys.executable, "examples/estimate.py", str(tmp_path / "a.ckpt"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    nominal = dataset.rig.nominal
    estimator = PoseEstimator.from_checkpoint(tmp_path / "a.ckpt", precision="auto")
    expected = estimator.predict(images[None], nominal, nominal=True)
    assert found.keys() == {"position", "quaternion", "confidence", "unusual"}
    for key in ("position", "quaternion", "confidence"):
        np.testing.assert_allclose(found[key], expected[key][0], atol=1e-4)
    wrong = subprocess.run(
        [*command[:3], "x.png", "y.png", "z.png"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert wrong.returncode == 1
    assert "x.png: no such picture" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
    refuses_by_name(tmp_path, [str(file) for file in files], monkeypatch)


def refuses_by_name(folder: Path, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: another one would import all of torch for each."""
    main = runpy.run_path(str(ROOT / "examples" / "estimate.py"))["main"]
    Image.new("RGB", (640, 480)).save(folder / "wide.png")
    for number in range(3):
        (folder / f"note{number}.bmp").write_bytes(b"BM")
        shutil.copy(folder / "wide.png", folder / f"wide{number}.png")
    save_calibration(folder / "all.json", calibrated_rig())
    save_calibration(folder / "some.json", calibrated_rig().chosen(["left", "right"]))
    wide = [str(folder / f"wide{number}.png") for number in range(3)]
    for sources, text in (
        (
            [str(folder / f"note{number}.bmp") for number in range(3)],
            "note0.bmp: not a readable picture: neither PNG nor JPEG",
        ),
        (wide, "wide0.png: 640x480 pixels; without --calibration pictures must have the shape"),
        ([*files, "--calibration", str(folder / "all.json")], "left.png: 64x64 pixels, the calibration is of"),
        (
            [*wide, "--calibration", str(folder / "some.json")],
            "some.json: camera 'top' is missing (it has left, right); calibrate it too",
        ),
    ):
        monkeypatch.setattr(sys, "argv", ["estimate.py", str(folder / "a.ckpt"), *sources])
        with pytest.raises(DactylError) as caught:
            main()
        assert text in str(caught.value)
