import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.test_model import model_and_cameras, pictures
from tests.scenes import rig
from vision.errors import DactylError
from vision.estimator import PoseEstimates, PoseEstimator
from vision.geometry.cameras import Cameras
from vision.network_files import checkpoint_record, export_weights, read_model
from vision.networks.pose_model import PoseModel

K, T = rig(64).nominal.intrinsics, rig().nominal.extrinsics
CAMERAS = Cameras(K, T)
IMAGES = np.ascontiguousarray(pictures().permute(0, 1, 3, 4, 2).numpy())


def save(model: PoseModel, path: Path, **changes: object) -> Path:
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({**checkpoint_record(model), "state_dict": weights, "global_step": 1, **changes}, path)
    return path


GEOMETRIC = {
    "covariance": ((2, 6, 6), np.float64),
    "keypoint_scale": ((2, 3, 8), np.float64),
    "residual": ((2, 3), np.float64),
    "spread": ((2,), np.float64),
    "intrinsics": ((2, 3, 3, 3), np.float64),
    "extrinsics": ((2, 3, 4, 4), np.float64),
}


@pytest.mark.parametrize("name", ["paper", "six_d", "geometric", "windowed"])
def test_a_checkpoint_gives_back_the_network(name: str, tmp_path: Path) -> None:
    model, cameras = model_and_cameras(name)
    path = save(model, tmp_path / "best.ckpt", optimizer_states=[{"momentum": torch.ones(100_000)}])
    estimator = PoseEstimator.from_checkpoint(path)
    found = estimator.predict(IMAGES, CAMERAS)
    expected = model.predict(pictures(), cameras)
    np.testing.assert_allclose(found["position"], expected.pose.position.numpy(), atol=1e-5)
    np.testing.assert_allclose(found["confidence"], expected.confidence.numpy(), atol=1e-4)
    assert {key: (value.shape, value.dtype) for key, value in found.items()} == {
        "position": ((2, 3), np.float64),
        "quaternion": ((2, 4), np.float64),
        "confidence": ((2,), np.float64),
        **(GEOMETRIC if estimator.head == "geometric" else {}),
    }
    if estimator.head == "geometric":
        assert found.keys() == PoseEstimates.__annotations__.keys()
    assert np.abs(np.linalg.norm(found["quaternion"], axis=-1) - 1).max() < 1e-9
    assert (found["quaternion"][:, 0] >= 0).all()
    assert estimator.scene == model.scene
    assert (estimator.object.name, estimator.rig.width) == ("block", 64)

    export_weights(path, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").stat().st_size < path.stat().st_size
    again = PoseEstimator.from_checkpoint(tmp_path / "weights.pt").predict(IMAGES, CAMERAS)
    for key, value in found.items():
        np.testing.assert_array_equal(again[key], value)


def test_nominal_cameras_are_passed_on() -> None:
    model, cameras = model_and_cameras("windowed")
    estimator = PoseEstimator(model)
    found, exact = estimator.predict(IMAGES, CAMERAS, nominal=True), estimator.predict(IMAGES, CAMERAS)
    expected = model.predict(pictures(), cameras, nominal=True)
    np.testing.assert_allclose(found["position"], expected.pose.position.numpy(), atol=1e-4)
    assert np.abs(found["position"] - exact["position"]).max() > 1e-3
    regression = PoseEstimator(model_and_cameras("paper")[0])
    found, exact = regression.predict(IMAGES, CAMERAS, nominal=True), regression.predict(IMAGES, CAMERAS)
    np.testing.assert_array_equal(found["position"], exact["position"])


def test_batches_do_not_change_the_answer() -> None:
    estimator = PoseEstimator(model_and_cameras("geometric")[0])
    whole, parts = (
        estimator.predict(IMAGES, CAMERAS),
        estimator.predict(IMAGES, Cameras(K[None].repeat(2, 0), T), batch_size=1),
    )
    for key, value in whole.items():
        np.testing.assert_allclose(parts[key], value, atol=1e-4, rtol=1e-2 if key == "covariance" else 1e-7)
    assert {key: len(value) for key, value in estimator.predict(IMAGES[:0], CAMERAS).items()} == dict.fromkeys(whole, 0)


def test_triplets_are_observed_as_they_come() -> None:
    estimator, taken = PoseEstimator(model_and_cameras("windowed")[0]), list[int]()

    def coming() -> Iterator[np.ndarray]:
        for number in (0, 1, 1):
            taken.append(number)
            yield IMAGES[number]

    whole, parts = estimator.observe(IMAGES), estimator.observe(coming(), batch_size=2)
    assert taken == [0, 1, 1]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other, one[[0, 1, 1]], atol=1e-3)
    for wrong, why in (
        (IMAGES[:0], "got none"),
        (IMAGES[:, :, 1:], "expected uint8 images"),
        (IMAGES / 255, "float64"),
    ):
        with pytest.raises(ValueError, match=why):
            estimator.observe(wrong)


def test_cameras_of_a_recording_are_those_of_its_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of a rig's three, too. What is off in the same way in all images grows with their size in pixels."""
    estimator, asked = PoseEstimator(model_and_cameras("windowed")[0]), list[tuple[Any, ...]]()
    spread = torch.full((3,), 0.1)

    def solve(*arguments: Any, shrinks: bool) -> SimpleNamespace:
        assert shrinks, "networks draw points towards their middle"
        asked.append(arguments)
        return SimpleNamespace(spread=spread, contradiction=torch.zeros(2), converged=True)

    monkeypatch.setattr("vision.networks.geometric.self_calibrate", solve)
    two = estimator.observe(IMAGES[:, :2])
    with pytest.raises(ValueError, match=r"intrinsics: expected \(2, 3, 3\), for the 2 cameras of the observations"):
        estimator.self_calibrate(two, Cameras(K, T))
    estimator.self_calibrate(two, Cameras(K[:2], T[:2]))
    _, points, _, nominal, offset, _, names = asked[0]
    assert len(nominal.height) == points.pixels.shape[1] == 2
    assert names is None
    assert offset == pytest.approx(0.4 * IMAGES.shape[3] / 200)
    spread.fill_(estimator.rig.height / 20)
    with pytest.raises(DactylError, match=r"scatter by .* pixels \(median\) .*: the network does not know such"):
        estimator.self_calibrate(two, Cameras(K[:2], T[:2]))


@pytest.mark.parametrize(
    ("images", "matrices"),
    [(IMAGES[:, :2], K), (IMAGES.astype(np.float32), K), (IMAGES, K[:2]), (IMAGES, K[0]), (IMAGES[..., :2], K)],
)
def test_other_inputs_are_refused(images: np.ndarray, matrices: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 images|expected intrinsics"):
        PoseEstimator(model_and_cameras("geometric")[0]).predict(images, Cameras(matrices, T))


def test_no_damage_passes_in_silence(tmp_path: Path) -> None:
    model, _ = model_and_cameras("geometric")
    whole = save(model, tmp_path / "whole.ckpt").read_bytes()
    expected = model.state_dict()
    generator = np.random.default_rng(0)
    path = tmp_path / "spoilt.ckpt"
    refused = 0
    for trial in range(60):
        spoilt = bytearray(whole)
        place = int(generator.integers(len(whole)))
        if trial % 3:
            spoilt[place] ^= 1 << int(generator.integers(8))
        else:
            del spoilt[place:]
        path.write_bytes(spoilt)
        fault: DactylError | None = None
        try:
            loaded = read_model(path).state_dict()
        except DactylError as error:
            fault = error
        if fault is None:  # the bit was one of padding or of a date: nothing of the network changed
            assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
        else:
            assert "\n" not in str(fault)
            assert str(path) in str(fault)
            refused += 1
    assert refused > 45


def test_what_is_no_checkpoint_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    model, _ = model_and_cameras("geometric")
    record = checkpoint_record(model)["hyper_parameters"]
    other, _ = model_and_cameras("paper")
    cases = {
        "schema version 99": {"schema_version": 99},
        "schema version None": {"schema_version": None},
        "does not fit": {"state_dict": {f"model.{k}": v for k, v in other.state_dict().items()}},
        "'state_dict' is missing": {"state_dict": None},
        "hyper_parameters.model: head: expected one of regression, geometric, got telepathic": {
            "hyper_parameters": {**record, "model": {"head": "telepathic"}}
        },
        "dropout": {"hyper_parameters": {**record, "model": {**record["model"], "dropout": 0.5}}},
        "hyper_parameters.scene: key 'object'": {
            "hyper_parameters": {**record, "scene": {**record["scene"], "object": "teapot"}}
        },
        "'scene'": {"hyper_parameters": {key: value for key, value in record.items() if key != "scene"}},
    }
    for words, changes in cases.items():
        path = save(model, tmp_path / "case.ckpt", **changes)
        with pytest.raises(DactylError) as caught:
            PoseEstimator.from_checkpoint(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DactylError, match="no such checkpoint"):
        PoseEstimator.from_checkpoint(tmp_path / "nothing.ckpt")
    with pytest.raises(DactylError, match=r"no weights are shipped as .blokc. .*block"):
        PoseEstimator.from_checkpoint("blokc")
    with pytest.raises(DactylError, match=f"{tmp_path}: a folder, not a checkpoint; give {tmp_path}/case.ckpt"):
        PoseEstimator.from_checkpoint(tmp_path)
    for content in (b"", b"not a zip", pickle.dumps({"a": 1})):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(DactylError, match="not a readable checkpoint"):
            PoseEstimator.from_checkpoint(tmp_path / "other")


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"schema_version": 1, "state_dict": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(DactylError, match="not a readable checkpoint"):
        PoseEstimator.from_checkpoint(tmp_path / "trap.ckpt")
    assert not (tmp_path / "sprung").exists()
