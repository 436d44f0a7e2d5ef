"""The contract refuses what breaks it, in one line that names the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import make_label
from vision.errors import DactylError
from vision.io.decode import Record
from vision.storage.manifest import DatasetFolder
from vision.storage.records import read_record, write_record
from vision.storage.schema import (
    LABEL,
    PREDICTIONS,
    SCHEMA_VERSION,
    STATES,
    Field,
    check_column,
    check_record,
    check_version,
)


def test_a_valid_label_passes() -> None:
    check_record(make_label(0), LABEL, "sample")


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("index", -1, "outside"),
        ("index", 0.5, "expected int64"),
        ("index", True, "expected int64"),
        ("index", "0", "expected int64"),
        ("index", None, "expected int64"),
        ("index", 2**63, "outside|expected int64"),
        ("index", 2**70, "expected int64"),
        ("index", [1, 2], "shape"),
        ("augmentation", 3, "expected text"),
        ("object_position", [0.0, 0.0], "shape"),
        ("object_position", [0.0, 0.0, 11.0], r"outside \[-10, 10\] m"),
        ("object_position", [0.0, 0.0, np.nan], "not finite"),
        ("object_position", [0.0, 0.0, np.inf], "not finite"),
        ("object_position", [[0.0], [0.0, 1.0], 2.0], "ragged"),
        ("object_position", ["a", "b", "c"], "expected float64"),
        ("object_position", {"x": 1.0}, "shape"),
        ("object_quaternion", [-1.0, 0.0, 0.0, 0.0], "w >= 0"),
        ("object_quaternion", [0.5, 0.0, 0.0, 0.0], "unit quaternion"),
        ("joint_position", [[0.0] * 24], "shape"),
        ("joint_position", [180.0] * 24, "outside"),
        ("camera_extrinsics", np.zeros((2, 4, 4)), "shape"),  # the intrinsics are of three cameras
        ("camera_intrinsics", np.zeros((3, 3)), "shape"),
    ],
)
def test_a_broken_value_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(DactylError, match=complaint) as caught:
        check_record(make_label(0) | {key: value}, LABEL, "set/shard-000000.tar: 000000000")
    assert str(caught.value).startswith(f"set/shard-000000.tar: 000000000: {key}")


@pytest.mark.parametrize("key", sorted(key for key, field in LABEL.items() if not field.optional))
def test_missing_and_unknown_keys_are_named(key: str) -> None:
    label = make_label(0)
    value = label.pop(key)
    with pytest.raises(DactylError, match=f"here: key '{key}' is missing"):
        check_record(label, LABEL, "here")
    with pytest.raises(DactylError, match=f"here: unknown key '{key}s'"):
        check_record({**label, key: value, f"{key}s": value}, LABEL, "here")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_any_json_value_passes_or_is_refused_without_a_traceback(value: Any) -> None:
    for key, field in LABEL.items():
        try:
            check_record(make_label(0) | {key: value}, LABEL, "sample")
        except DactylError:
            pass
        else:
            kept = value if field.dtype == "str" else np.asarray(value, field.dtype)
            assert field.dtype == "str" or kept.ndim == len(field.shape)


class _OfStates(Record, frozen=True):
    parts: int


class _OfDataset(Record, frozen=True):
    shards: int


def test_a_folder_of_another_kind_is_told_from_a_broken_one(tmp_path: Path) -> None:
    """Whoever trains on states, or renders of triplets, is not to make them again."""
    write_record(tmp_path / "manifest.json", _OfStates(parts=1))
    with pytest.raises(DactylError, match="no dataset manifest: dactyl states made it"):
        read_record(tmp_path / "manifest.json", _OfDataset, "dataset manifest")
    write_record(tmp_path / "manifest.json", _OfDataset(shards=1))
    with pytest.raises(DactylError, match="no states manifest: dactyl render or import-recording made it"):
        read_record(tmp_path / "manifest.json", _OfStates, "states manifest")


def test_a_file_in_a_folders_place_is_told_from_a_broken_one(tmp_path: Path) -> None:
    """Whoever names a file of the folder gets the folder's name, not the advice to make it again."""
    write_record(tmp_path / "manifest.json", _OfDataset(shards=1))
    said = re.escape(f"{tmp_path / 'manifest.json'}: a file in a folder's place; give {tmp_path}")
    with pytest.raises(DactylError, match=said):
        read_record(tmp_path / "manifest.json" / "manifest.json", _OfDataset, "dataset manifest")
    with pytest.raises(DactylError, match=said):
        DatasetFolder(tmp_path / "manifest.json")


def test_columns() -> None:
    good = np.tile([1.0, 0.0, 0.0, 0.0], (5, 1))
    check_column(good, PREDICTIONS["true_quaternion"], "column")
    check_column(good[:0], PREDICTIONS["true_quaternion"], "column")
    for bad, complaint in (
        (good[:, :3], "shape"),
        (good[0, 0], "column"),
        (2 * good, "outside"),
        (good * np.array([[1], [1], [-1], [1], [1]]), "w >= 0"),
        (np.where(np.arange(5)[:, None] == 3, np.nan, good), "not finite"),
        (good.astype(str), "expected float64"),
    ):
        with pytest.raises(DactylError, match=complaint):
            check_column(bad, PREDICTIONS["true_quaternion"], "column")
    with pytest.raises(DactylError, match="expected int64"):
        check_column(np.array([0.5, 1.5]), STATES["episode"], "column")


def test_versions() -> None:
    check_version(SCHEMA_VERSION, "file")
    for version in (SCHEMA_VERSION + 1, None, str(SCHEMA_VERSION)):
        with pytest.raises(DactylError, match="file: schema version"):
            check_version(version, "file")


@pytest.mark.parametrize("table", [STATES, LABEL, PREDICTIONS])
def test_every_key_says_what_it_is(table: dict[str, Field]) -> None:
    for key, field in table.items():
        assert field.doc, key
        assert field.dtype == "str" or field.unit, key
        assert field.range[0] < field.range[1], key
