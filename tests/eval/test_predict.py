"""Predictions: of every sample, by the protocol's cameras, reused only for what they were made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.predict import EvaluateConfig, obtain_predictions, predict, score
from tests.datasets import write_dataset
from tests.eval.oracle import Oracle
from tests.synthetic import make_dataset
from vision.cameras import DACTYL_RIG, Rig
from vision.errors import DactylError
from vision.objects import get_object
from vision.schema import PREDICTIONS
from vision.shards import TripletDataset
from vision.tables import read_table, write_table


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    """Eleven triplets with displaced cameras in three shards."""
    folder = tmp_path_factory.mktemp("set") / "filament"
    return TripletDataset(make_dataset(folder, 11, image_size=48, samples_per_shard=4))


@pytest.fixture
def oracle(dataset: TripletDataset) -> Oracle:
    return Oracle([dataset], angle_deg=3.0, distance_mm=2.0)


def obtain(oracle: Oracle, dataset: TripletDataset, path: Path, **changes: Any) -> tuple[Any, bool]:
    arguments = {"protocol": "nominal", "batch_size": 4, "overwrite": False, "checkpoint_sha256": "a" * 64} | changes
    return obtain_predictions(oracle, dataset=dataset, path=path, **arguments)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_sample_is_estimated_once_and_in_order(oracle: Oracle, dataset: TripletDataset, batch_size: int) -> None:
    columns = predict(oracle, dataset, "calibrated", batch_size)
    assert columns.keys() == PREDICTIONS.keys()
    np.testing.assert_array_equal(columns["index"], dataset.indices)
    assert oracle.calls == -(-11 // batch_size)
    for number in range(11):
        label = dataset.label(number)
        np.testing.assert_array_equal(columns["true_position"][number], label["object_position"])
        np.testing.assert_array_equal(columns["true_quaternion"][number], label["object_quaternion"])


def test_each_protocol_tells_its_cameras(oracle: Oracle, dataset: TripletDataset, tmp_path: Path) -> None:
    """The oracle errs by 2 mm with the true cameras and by 22 mm with any other."""
    for protocol, expected in (("calibrated", 2.0), ("nominal", 22.0)):
        predictions, _ = obtain(oracle, dataset, tmp_path / f"{protocol}.parquet", protocol=protocol)
        errors = score(dataset.object, predictions)
        np.testing.assert_allclose(errors.position_mm, expected, atol=1e-3)
        np.testing.assert_allclose(errors.rotation_deg, 3.0, atol=1e-3)


def test_equal_predictions_are_reused_and_others_refused(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    first, reused = obtain(oracle, dataset, path)
    assert not reused
    calls, content = oracle.calls, path.read_bytes()
    second, reused = obtain(oracle, dataset, path)
    assert reused
    assert oracle.calls == calls, "nothing is estimated again"
    assert second.origin == first.origin
    for changes, key in (
        ({"checkpoint_sha256": "b" * 64}, "checkpoint_sha256"),
        ({"protocol": "calibrated"}, "protocol"),
    ):
        with pytest.raises(DactylError, match=rf"a\.parquet: predictions of something else \({key}: '"):
            obtain(oracle, dataset, path, **changes)
    other = TripletDataset(make_dataset(tmp_path / "other", 5, seed=1, image_size=48))
    with pytest.raises(DactylError, match="dataset_fingerprint"):
        obtain(Oracle([other]), other, path)
    assert path.read_bytes() == content
    _, reused = obtain(oracle, dataset, path, checkpoint_sha256="b" * 64, overwrite=True)
    assert not reused
    assert read_table(path, PREDICTIONS)[1]["checkpoint_sha256"] == "b" * 64
    _, reused = obtain(oracle, dataset, path, checkpoint_sha256="b" * 64, overwrite=True)
    assert reused, "overwriting is for what differs"


def test_damaged_predictions_are_refused_or_overwritten(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DactylError, match=r"a\.parquet: not a readable table"):
        obtain(oracle, dataset, path)
    assert obtain(oracle, dataset, path, overwrite=True)[1] is False


@pytest.mark.parametrize("change", ["one fewer", "two swapped", "one twice"])
def test_predictions_of_other_samples_are_refused(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a.parquet"
    obtain(oracle, dataset, path)
    columns, origin = read_table(path, PREDICTIONS)
    rows = {
        "one fewer": np.arange(10),
        "two swapped": np.array([1, 0, *range(2, 11)]),
        "one twice": np.array([0, 0, *range(2, 11)]),
    }[change]
    write_table(path, {key: values[rows] for key, values in columns.items()}, PREDICTIONS, origin)
    with pytest.raises(DactylError, match=rf"a\.parquet: {len(rows)} predictions that are not those of the 11 samples"):
        obtain(oracle, dataset, path)


def test_a_test_set_of_something_else_is_refused(oracle: Oracle, dataset: TripletDataset) -> None:
    cameras = DACTYL_RIG.cameras
    moved = Rig((replace(cameras[0], fovy_deg=15.5), *cameras[1:]))
    renamed = Rig((replace(cameras[0], name="front"), *cameras[1:]))
    for attribute, value, complaint in (
        ("object", get_object("prism"), r"another object than the checkpoint's \(block, trained on prism\)"),
        ("image_size", 200, r"another image size than the checkpoint's \(48, trained on 200\)"),
        (
            "rig",
            renamed,
            r"another set of cameras than the checkpoint's \(left, top, right, trained on front, top, right\)",
        ),
        ("rig", moved, "another nominal camera rig than the checkpoint's;"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(oracle, attribute, value)
            with pytest.raises(DactylError, match=complaint):
                predict(oracle, dataset, "nominal", 4)
    assert oracle.calls == 0


def test_a_set_without_samples_is_refused(oracle: Oracle, tmp_path: Path) -> None:
    empty = TripletDataset(write_dataset(tmp_path, (), image_size=48))
    with pytest.raises(DactylError, match="no samples"):
        predict(oracle, empty, "nominal", 4)


def test_estimates_that_are_not_numbers_are_not_saved(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = oracle.predict

    def diverged(*batch: np.ndarray) -> dict[str, np.ndarray]:
        answer = answers(*batch)
        answer["position"][0, 1] = np.nan
        return answer

    monkeypatch.setattr(oracle, "predict", diverged)
    with pytest.raises(DactylError, match=r"a\.parquet: predicted_position: not finite"):
        obtain(oracle, dataset, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_sets": {}}, "name at least one"),
        ({"test_sets": {"../x": Path("a")}}, "small letters"),
        ({"protocols": ()}, "protocols"),
        ({"protocols": ("nominal", "nominal")}, "protocols"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_configurations(changes: dict[str, Any], complaint: str) -> None:
    good: dict[str, Any] = {"checkpoint": Path("a"), "test_sets": {"a": Path("b")}, "output": Path("c")}
    EvaluateConfig(**good)
    with pytest.raises(ValueError, match=complaint):
        EvaluateConfig(**(good | changes))
