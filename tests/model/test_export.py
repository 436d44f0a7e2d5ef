"""Exported networks answer as the network does, for any number of samples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.model.test_mixed_sizes import mixed
from tests.scenes import scene
from vision.estimator import PoseEstimator
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import quaternion_to_matrix
from vision.networks.backbones import BackboneConfig
from vision.networks.confidence import DeviationFit, honest_deviation
from vision.networks.export import METADATA, ExportedNetwork, export_onnx, export_program, metadata
from vision.networks.geometric import GeometricModel
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.pose_model import PoseModel
from vision.scene.scene import Scene
from vision.solvers.bundle import solve_bundle
from vision.solvers.given import PointObservations, Subject

SIZE = 64


def small_model(head: Literal["regression", "geometric"], of: Scene) -> PoseModel:
    torch.manual_seed(0)
    window = WindowConfig(size=48, locator_size=32) if head == "geometric" else None
    hidden = {} if head == "geometric" else {"hidden": 8}
    config = ModelConfig(head=head, backbone=BackboneConfig("pyramid", width=8, blocks=1), window=window, **hidden)
    model = build_model(config, of)
    model.set_position_statistics(torch.tensor([1.0, 0.9, 0.15]), torch.tensor([0.01, 0.02, 0.03]))
    return model.eval()


def pictures(samples: int, shape: tuple[int, int]) -> torch.Tensor:
    coarse = np.random.default_rng(samples).integers(0, 256, (samples, 3, 3, 8, 8)).astype(np.uint8)
    height, width = shape
    return torch.from_numpy(coarse.repeat(width // 8, axis=-1).repeat(height // 8, axis=-2))


def test_a_pose_solved_from_exported_points_is_the_estimators_with_its_deviation() -> None:
    """Of nominal cameras, which the landmarks correct: their scales are those that the solver needs."""
    estimator, side = PoseEstimator.from_pretrained("block"), 200
    coarse = np.random.default_rng(0).integers(0, 256, (4, 3, side // 8, side // 8, 3)).astype(np.uint8)
    images, nominal = coarse.repeat(8, axis=2).repeat(8, axis=3), estimator.rig.nominal
    expected = estimator.predict(images, nominal, nominal=True)
    model, landmarks = estimator.model, estimator.scene.landmarks
    assert isinstance(model, GeometricModel)
    assert landmarks is not None
    network = ExportedNetwork(model)
    with torch.no_grad():
        answers = network(torch.from_numpy(images).permute(0, 1, 4, 2, 3))
    found = dict(zip(network.outputs, answers, strict=True))
    solution = solve_bundle(
        Subject(torch.tensor(estimator.object.keypoints), landmarks, model.position_mean),
        PointObservations(found["pixels"], found["scale"]),
        PointObservations(found["landmarks"], found["landmark_scale"]),
        Cameras(*(torch.tensor(array).expand(4, *array.shape) for array in nominal[:2]), height=torch.full((3,), side)),
    ).object
    fit = DeviationFit(model.error_scale[1], model.error_power[1], model.error_most[1])
    deviation = honest_deviation(solution.rotation_deviation, fit)
    promised = np.sqrt(np.trace(expected["covariance"][:, :3, :3], axis1=1, axis2=2) / 3)
    np.testing.assert_allclose(solution.pose.position, expected["position"], atol=1e-5)
    np.testing.assert_allclose(deviation, promised, rtol=1e-3)


def documented_program() -> str:
    """Return the program of docs/evaluation.md that needs an ONNX file alone, with the images that it is ``given``."""
    programs = re.findall(r"```python\n(.*?)```", Path("docs/evaluation.md").read_text(), flags=re.DOTALL)
    (program,) = (each for each in programs if "onnxruntime" in each)
    changed, count = re.subn(r"^images = .*$", "images = given", program, flags=re.MULTILINE)
    assert count == 1
    return changed


def test_the_documented_program_solves_poses_from_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With true and with nominal cameras, of an object as if each camera might see it in another of two poses: they are
    the estimator's."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = documented_program()
    estimator, side = PoseEstimator.from_pretrained("prism"), 200
    assert isinstance(estimator.model, GeometricModel)
    order = torch.arange(len(estimator.object.keypoints))
    estimator.model.permutations = torch.stack([order, order.flip(0)])
    coarse = np.random.default_rng(0).integers(0, 256, (4, 3, side // 8, side // 8, 3)).astype(np.uint8)
    images, nominal = coarse.repeat(8, axis=2).repeat(8, axis=3), estimator.rig.nominal
    expected = [estimator.predict(images, nominal, nominal=displaced) for displaced in (False, True)]
    export_onnx(estimator.model, tmp_path / "network.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"given": np.ascontiguousarray(images.transpose(0, 1, 4, 2, 3))}
    exec(program, names)
    for estimates, pose in zip(expected, (names["calibrated"], names["displaced"]), strict=True):
        turned = quaternion_to_matrix(torch.from_numpy(estimates["quaternion"]))
        np.testing.assert_allclose(pose.position, estimates["position"], atol=1e-4)
        np.testing.assert_allclose(pose.rotation, turned, atol=1e-3)


@pytest.mark.parametrize(
    ("head", "windows", "of"),
    [("regression", 1, scene("block", SIZE)), ("geometric", 1, mixed()), ("geometric", 3, scene("block", SIZE))],
    ids=["regression", "cameras of different sizes", "three windows"],
)
def test_parity(head: Literal["regression", "geometric"], windows: int, of: Scene, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = small_model(head, of)
    height, width = model.image_shape
    model.use_windows(windows)
    export_program(model, tmp_path / "network.pt2")
    export_onnx(model, tmp_path / "network.onnx")
    program = torch.export.load(tmp_path / "network.pt2").module()
    session = runtime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    stored = session.get_modelmeta().custom_metadata_map[METADATA]
    extra = {METADATA: ""}
    torch.export.load(tmp_path / "network.pt2", extra_files=extra)
    assert json.loads(stored) == json.loads(extra[METADATA]) == metadata(model)
    sizes = [(camera["width"], camera["height"]) for camera in json.loads(stored)["cameras"]]
    assert sizes == [(camera.width, camera.height) for camera in of.rig.cameras]
    network = ExportedNetwork(model)
    assert [output.name for output in session.get_outputs()] == list(network.outputs)
    assert session.get_modelmeta().description.startswith(f"images: uint8 (B, 3, 3, {height}, {width}), B >= 1; RGB")
    for samples in (1, 5):
        images = pictures(samples, model.image_shape)
        with torch.no_grad():
            expected = network(images)
            exported = program(images)
        answers = session.run(None, {"images": images.numpy()})
        assert float(expected[0].std()) > 0
        for ours, theirs, onnx in zip(expected, exported, answers, strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(onnx, ours.numpy(), rtol=2e-3, atol=2e-3)
