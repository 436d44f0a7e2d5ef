"""Predictions: of every sample, by the protocol's cameras, reused only for what they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from eval.scoring.conditions import Condition
from eval.scoring.config import EvaluateConfig
from eval.scoring.predict import PredictionJob, predict
from tests.datasets import write_dataset
from tests.eval.errors import position_error_mm, rotation_error_deg
from tests.eval.oracle import Oracle
from tests.scenes import scene
from tests.synthetic import make_dataset
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, look_at
from vision.machine.hardware import machine_name
from vision.rigs.rig import Rig
from vision.storage.datasets import TripletDataset
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table, write_table

NOMINAL, CALIBRATED = Condition("nominal"), Condition("calibrated")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    """Eleven triplets with displaced cameras in three shards."""
    folder = tmp_path_factory.mktemp("set") / "filament"
    return TripletDataset(make_dataset(folder, 11, image_size=48, samples_per_shard=4))


@pytest.fixture
def oracle(dataset: TripletDataset) -> Oracle:
    return Oracle([dataset], angle_deg=3.0, distance_mm=2.0)


def obtain(oracle: Oracle, dataset: TripletDataset, path: Path, **changes: Any) -> tuple[Any, str | None]:
    arguments = {"condition": NOMINAL, "batch_size": 4, "checkpoint_sha256": "a" * 64} | changes
    return PredictionJob(oracle, dataset=dataset, **arguments).obtain(path)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_sample_is_estimated_once_and_in_order(oracle: Oracle, dataset: TripletDataset, batch_size: int) -> None:
    columns = predict(oracle, dataset, CALIBRATED, batch_size)
    assert columns.keys() == PREDICTIONS.keys()
    np.testing.assert_array_equal(columns["index"], dataset.indices)
    assert oracle.calls == -(-11 // batch_size)
    for number in range(11):
        label = dataset.label(number)
        np.testing.assert_array_equal(columns["true_position"][number], label["object_position"])
        np.testing.assert_array_equal(columns["true_quaternion"][number], label["object_quaternion"])


def test_each_protocol_tells_its_cameras(oracle: Oracle, dataset: TripletDataset, tmp_path: Path) -> None:
    """The oracle errs by 2 mm with the true cameras and by 22 mm with any other."""
    for condition, expected in ((CALIBRATED, 2.0), (NOMINAL, 22.0)):
        predictions, _ = obtain(oracle, dataset, tmp_path / f"{condition.name}.parquet", condition=condition)
        found = predictions.columns
        errors = position_error_mm(found["true_position"], found["predicted_position"])
        np.testing.assert_allclose(errors, expected, atol=1e-3)
        errors = rotation_error_deg(found["true_quaternion"], found["predicted_quaternion"])
        np.testing.assert_allclose(errors, 3.0, atol=1e-3)


def test_each_sample_is_estimated_by_the_cameras_found_for_it(
    oracle: Oracle, dataset: TripletDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [dataset.label(number) for number in range(11)]
    found = Cameras(*(np.stack([label[f"camera_{key}"] for label in labels]) for key in ("intrinsics", "extrinsics")))
    monkeypatch.setattr("eval.scoring.predict.found_cameras", lambda *_: found)
    for numbers in (None, [2, 3, 7, 9, 10]):
        columns = predict(oracle, dataset, Condition("self-calibrated"), 4, numbers)
        errors = position_error_mm(columns["true_position"], columns["predicted_position"])
        np.testing.assert_allclose(errors, 2.0, atol=1e-3)


def test_some_samples_only(oracle: Oracle, dataset: TripletDataset, tmp_path: Path) -> None:
    predictions, _ = obtain(oracle, dataset, tmp_path / "a.parquet", numbers=[0, 5, 10])
    np.testing.assert_array_equal(predictions.columns["index"], dataset.indices[[0, 5, 10]])
    _, why = obtain(oracle, dataset, tmp_path / "a.parquet", numbers=[0, 5, 9])
    assert why == "changed: the samples"


def test_equal_predictions_are_reused_and_others_made_again(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    first, why = obtain(oracle, dataset, path)
    assert why == "new"
    calls, content = oracle.calls, path.read_bytes()
    second, why = obtain(oracle, dataset, path)
    assert why is None
    assert oracle.calls == calls, "nothing is estimated again"
    assert second.origin == first.origin
    _, why = obtain(oracle, dataset, path, condition=CALIBRATED)
    assert why == "changed: protocol, condition"
    _, why = obtain(oracle, dataset, path, condition=CALIBRATED, checkpoint_sha256="b" * 64)
    assert why == "changed: checkpoint_sha256"
    assert read_table(path, PREDICTIONS)[1]["checkpoint_sha256"] == "b" * 64
    other = TripletDataset(make_dataset(tmp_path / "other", 5, seed=1, image_size=48))
    _, why = obtain(Oracle([other]), other, path, condition=CALIBRATED, checkpoint_sha256="b" * 64)
    assert why == "changed: dataset_fingerprint"
    obtain(oracle, dataset, path)
    assert path.read_bytes() == content, "equal questions, equal bytes"


def test_predictions_of_other_code_are_made_again_and_those_of_another_machine_are_not(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: a solver that had changed between two versions left the errors as they were."""
    path = tmp_path / "a.parquet"
    obtain(oracle, dataset, path)
    monkeypatch.setattr("eval.scoring.predict.machine_name", lambda: "another machine")
    found, why = obtain(oracle, dataset, path)
    assert why is None
    assert found.origin["made_on"] == {"device": "cpu", "machine": machine_name()}
    monkeypatch.setattr("eval.scoring.predict.code_fingerprint", lambda: "c" * 64)
    found, why = obtain(oracle, dataset, path)
    assert why == "changed: code"
    assert found.origin["made_on"] == {"device": "cpu", "machine": "another machine"}


def test_damaged_predictions_are_made_again(oracle: Oracle, dataset: TripletDataset, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nonsense")
    assert obtain(oracle, dataset, path)[1] == "the file was damaged"


@pytest.mark.parametrize("change", ["one fewer", "two swapped", "one twice"])
def test_predictions_of_other_samples_are_not_used(
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
    predictions, why = obtain(oracle, dataset, path)
    assert why == "changed: the samples"
    np.testing.assert_array_equal(predictions.columns["index"], dataset.indices)


def test_a_test_set_of_something_else_is_refused(oracle: Oracle, dataset: TripletDataset) -> None:
    ours = dataset.scene
    first, *others = ours.rig.cameras
    moved = structs.replace(first, extrinsics=look_at([1.7, 1.3, 0.9], [1.0, 0.9, 0.1]))
    renamed = structs.replace(first, name="front")
    for other, complaint in (
        (scene("prism", 48), "object is block, expected prism"),
        (scene("block", 200), "image size is 48x48 pixels, expected 200x200"),
        (ours.with_rig(Rig(cameras=(renamed, *others))), "cameras are left, top, right, expected front, top, right"),
        (ours.with_rig(Rig(cameras=(moved, *others))), "a nominal camera stands elsewhere"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(oracle, "scene", other)
            with pytest.raises(DactylError, match=complaint):
                predict(oracle, dataset, NOMINAL, 4)
    assert oracle.calls == 0


def test_a_set_without_samples_is_refused(oracle: Oracle, tmp_path: Path) -> None:
    empty = TripletDataset(write_dataset(tmp_path, (), image_size=48))
    with pytest.raises(DactylError, match="no samples"):
        predict(oracle, empty, NOMINAL, 4)


def test_estimates_that_are_not_numbers_are_not_saved(
    oracle: Oracle, dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = oracle.predict

    def diverged(*batch: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
        answer = answers(*batch, **options)
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
        ({"test_sets": {"real": None}}, "name at least one"),
        ({"miscalibration_samples": -1}, "miscalibration_samples"),
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
