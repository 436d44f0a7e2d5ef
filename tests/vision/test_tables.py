"""Parquet tables: what is written comes back, and damage is never another number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vision.errors import DactylError
from vision.storage.schema import Field
from vision.storage.tables import read_table, write_table

TABLE = {
    "number": Field("int64", (), "1", "", (0, 1000), "a number"),
    "points": Field("float64", (5, 3), "m", "world", (-1.0, 1.0), "some points"),
}


def make_columns(count: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"number": np.arange(count), "points": rng.uniform(-1, 1, (count, 5, 3))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_table(tmp_path / "a.parquet", make_columns(), TABLE, {"made by": "a test", "seed": 3})
    return tmp_path / "a.parquet"


def test_columns_and_metadata_come_back(path: Path) -> None:
    columns, metadata = read_table(path, TABLE)
    assert metadata == {"made by": "a test", "seed": 3}
    for key, expected in make_columns().items():
        np.testing.assert_array_equal(columns[key], expected)
        assert columns[key].dtype == TABLE[key].dtype


def test_no_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", make_columns(0), TABLE, {})
    columns, _ = read_table(tmp_path / "a.parquet", TABLE)
    assert columns["points"].shape == (0, 5, 3)


def test_equal_values_give_equal_bytes(path: Path) -> None:
    before = path.read_bytes()
    write_table(path, make_columns(), TABLE, {"made by": "a test", "seed": 3})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"extra": np.zeros(4)}, "column 'extra' is missing or unknown"),
        ({"number": np.arange(3)}, "different length"),
        ({"number": np.arange(4) + 2000}, "number: outside"),
        ({"points": np.full((4, 5, 3), np.nan)}, "points: not finite"),
        ({"points": np.zeros((4, 3, 5))}, "points: expected shape"),
    ],
)
def test_columns_that_break_the_table_are_not_written(
    tmp_path: Path, changes: dict[str, np.ndarray], complaint: str
) -> None:
    with pytest.raises(DactylError, match=complaint):
        write_table(tmp_path / "a.parquet", make_columns() | changes, TABLE, {})
    assert not (tmp_path / "a.parquet").exists()


def test_other_files_are_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DactylError, match="no such file"):
        read_table(tmp_path / "b.parquet", TABLE)
    with pytest.raises(DactylError, match="not a readable table"):
        read_table(tmp_path, TABLE)
    with pytest.raises(DactylError, match="column 'points' is missing or unknown"):
        read_table(path, {"number": TABLE["number"]})
    for table, complaint in (
        (pa.table({"number": [1]}), "column 'points' is missing or unknown"),
        (pq.read_table(path).replace_schema_metadata({b"dactyl": b"[]"}), "not a table of ours"),
        (pq.read_table(path).replace_schema_metadata({b"dactyl": b"[" * 10_000}), "not readable JSON"),
        (pq.read_table(path).replace_schema_metadata({}), "not a readable table"),
    ):
        pq.write_table(table, tmp_path / "b.parquet")
        with pytest.raises(DactylError, match=complaint):
            read_table(tmp_path / "b.parquet", TABLE)
    other = pq.read_table(path).replace_schema_metadata({b"dactyl": b'{"schema_version": 99}'})
    pq.write_table(other, tmp_path / "b.parquet")
    with pytest.raises(DactylError, match="schema version 99"):
        read_table(tmp_path / "b.parquet", TABLE)


def test_no_flip_or_truncation_changes_a_number(path: Path) -> None:
    data = path.read_bytes()
    expected = make_columns()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged[: rng.integers(len(data))] if rng.random() < 0.2 else damaged)
        try:
            columns, _ = read_table(path, TABLE)
        except DactylError:
            refused += 1
        else:
            for key, values in expected.items():
                np.testing.assert_array_equal(columns[key], values)
    assert refused > 150
