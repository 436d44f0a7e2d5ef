"""Page headers of Parquet that lie: refused before memory is taken for what they claim."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.faults.harness import memory_bounded
from vision.errors import DactylError
from vision.storage.pages import _Reader
from vision.storage.schema import Field
from vision.storage.tables import read_table, write_table

TABLE = {"number": Field("int64", (), "1", "", (0, 1000), "a number")}
HUGE = (1 << 31) - 1


def integer(value: int) -> bytes:
    """In Thrift's compact protocol."""
    value = (value << 1) ^ (value >> 63)
    pieces = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes(piece | 128 for piece in pieces[:-1]) + bytes(pieces[-1:])


def structure(fields: dict[int, int | bytes]) -> bytes:
    """Numbers, and structures within, by their field numbers."""
    content = b""
    for before, (number, value) in zip([0, *fields], fields.items(), strict=False):
        kind, value = (12, value) if isinstance(value, bytes) else (5, integer(value))
        content += bytes([(number - before) << 4 | kind]) + value
    return content + b"\0"


def make_table(path: Path, dictionary: bool = False) -> None:
    write_table(path, {"number": np.arange(50)}, TABLE, {})
    pq.write_table(pq.read_table(path), path, compression="zstd", write_page_checksum=True, use_dictionary=dictionary)


def lie(path: Path, claims: dict[int, int], body: dict[int, int]) -> None:
    """Exchange numbers in the header of the first page. What it says of least and greatest values makes room for them.

    Args:
        path: of the table.
        claims: numbers of the header, by field.
        body: numbers of the structure in it that describes its kind of page.
    """
    data = path.read_bytes()
    reader = _Reader(data[4:])
    header = reader.structure()
    kind, about = next((field, value) for field, value in header.items() if isinstance(value, dict))
    numbers = {field: value for field, value in header.items() if isinstance(value, int)} | claims
    short = structure(numbers | {kind: structure({f: v for f, v in about.items() if isinstance(v, int)} | body)})
    if missing := reader.place - len(short):  # a text that nobody knows
        assert missing > 1
        short = short[:-1] + bytes([(15 - kind) << 4 | 8, missing - 2]) + bytes(missing - 2) + b"\0"
    assert len(short) == reader.place
    path.write_bytes(data[:4] + short + data[4 + reader.place :])


@pytest.mark.parametrize(
    ("claims", "body", "complaint"),
    [
        ({2: HUGE}, {}, r"claims 50 values, 2,147,483,647 bytes and"),
        ({3: HUGE}, {}, r"claims 50 values, .* bytes and 2,147,483,647 in the file"),
        ({}, {1: HUGE}, r"claims 2,147,483,647 values"),
        ({}, {1: 49}, r"pages of 49 values, expected 50"),
        ({2: -1}, {}, "claims 50 values, -1 bytes"),
        ({2: 1 << 40}, {}, "too large a number"),
        ({1: 3}, {}, "a page of another kind"),
        ({}, {2: 5}, "a page of another encoding"),  # differences of numbers, which have headers of their own
    ],
)
def test_a_page_header_is_not_believed(
    claims: dict[int, int], body: dict[int, int], complaint: str, tmp_path: Path
) -> None:
    """Found: the reader takes up to 2 GB for a page whose header says so; the checksum is not of the header."""
    path = tmp_path / "a.parquet"
    make_table(path)
    lie(path, claims, body)
    with memory_bounded(256), pytest.raises(DactylError, match=rf"{path}: number: (a page header )?{complaint}"):
        read_table(path, TABLE)


def test_a_dictionary_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    make_table(path, dictionary=True)
    lie(path, {}, {1: 8191})
    with memory_bounded(256), pytest.raises(DactylError, match="number: a page header claims 8,191 values"):
        read_table(path, TABLE)


def test_a_lie_is_understood_as_the_library_would(tmp_path: Path) -> None:
    """The same header with true numbers is read by both: what is refused above is refused for its numbers alone."""
    path = tmp_path / "a.parquet"
    make_table(path)
    lie(path, {}, {})
    np.testing.assert_array_equal(read_table(path, TABLE)[0]["number"], np.arange(50))


@pytest.mark.parametrize(
    "data", [b"", b"\x15", b"\x15\x80", b"\x05\x00\x00", b"\x15\x00\x05\x02\x00", b"\x18\x7f", b"\x19"]
)
def test_no_structure(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"without an end|impossible field|unknown field"):
        _Reader(data).structure()


@pytest.mark.parametrize("data", [b"\x1c" * 4000, b"\x19" + b"\x19" * 4000])
def test_depth_is_bounded(data: bytes) -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        _Reader(data).structure()


def test_tables_of_every_kind_are_read(tmp_path: Path) -> None:
    """Dictionaries that were given up, many pages, few values in many rows, small numbers, groups of rows."""
    rng = np.random.default_rng(0)
    table = {
        "random": Field("float64", (4,), "1", "", (0, 1), ""),
        "same": Field("float32", (2, 3), "1", "", (0, 1), ""),
        "small": Field("int8", (), "1", "", (0, 1), ""),
    }
    count = 200_000
    columns = {
        "random": rng.uniform(0, 1, (count, 4)),
        "same": np.zeros((count, 2, 3), np.float32),
        "small": rng.integers(0, 2, count, np.int8),
    }
    path = tmp_path / "a.parquet"
    write_table(path, columns, table, {})
    for rows in (count, 70_000):
        pq.write_table(pq.read_table(path), path, row_group_size=rows, compression="zstd", write_page_checksum=True)
        assert pq.ParquetFile(path).metadata.num_row_groups == -(-count // rows)
        for key, values in read_table(path, table)[0].items():
            np.testing.assert_array_equal(values, columns[key])


def test_groups_that_hold_other_rows(tmp_path: Path) -> None:
    """The footer's number of rows is that which is compared with memory."""
    path = tmp_path / "a.parquet"
    make_table(path)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer, places = data[-8 - length : -8], itertools.count()
    count = integer(50)  # the file's rows are an i64, the third field, before the groups
    place = next(n for n in places if footer[n : n + 2] == b"\x16" + count)
    changed = footer[: place + 1] + integer(49) + footer[place + 2 :]
    path.write_bytes(data[: -8 - length] + changed + data[-8:])
    assert pq.ParquetFile(path).metadata.num_rows == 49
    with pytest.raises(DactylError, match="its groups are not of 49 rows"):
        read_table(path, TABLE)
