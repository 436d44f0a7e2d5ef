"""The example answers what the estimator answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eval.laboratory.calibration import save_calibration
from tests.eval.lab import cameras as cameras_of_a_laboratory
from tests.synthetic import make_dataset
from vision.estimator import PoseEstimator, checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.pose_model import DataSpec, ModelConfig
from vision.storage.datasets import TripletDataset

ROOT = Path(__file__).parents[2]


def test_three_files(tmp_path: Path) -> None:
    dataset = TripletDataset(make_dataset(tmp_path / "set", 1, image_size=64))
    torch.manual_seed(0)
    spec = DataSpec(dataset.object.name, dataset.rig, dataset.image_size)
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8, blocks=1))
    model = build_model(config, spec)
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
    cameras = dataset.rig.intrinsics(64, 64), dataset.rig.extrinsics()
    expected = PoseEstimator.from_checkpoint(tmp_path / "a.ckpt").predict(images[None], *cameras)
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values[0], atol=1e-4)
    Image.new("RGB", (640, 480)).save(tmp_path / "wide.png")
    (tmp_path / "note.bmp").write_bytes(b"BM")
    some = cameras_of_a_laboratory()
    save_calibration(tmp_path / "all.json", some)
    del some["top"]
    save_calibration(tmp_path / "some.json", some)
    wide = [str(tmp_path / "wide.png")] * 3
    for sources, text in (
        (["x.png", "y.png", "z.png"], "x.png: no such picture"),
        ([str(tmp_path / "note.bmp")] * 3, "note.bmp: not a readable picture: neither PNG nor JPEG"),
        (wide, "wide.png: 640x480 pixels; without --calibration pictures must be square"),
        (
            [*map(str, files), "--calibration", str(tmp_path / "all.json")],
            "left.png: 64x64 pixels, the calibration is of",
        ),
        ([*wide, "--calibration", str(tmp_path / "some.json")], "some.json: camera 'top' is missing; calibrate it too"),
    ):
        wrong = subprocess.run([*command[:3], *sources], capture_output=True, text=True, cwd=ROOT, check=False)
        assert wrong.returncode == 1
        assert text in wrong.stderr
        assert len(wrong.stderr.splitlines()) == 1
