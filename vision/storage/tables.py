"""Parquet files that follow a table of the schema: equal values give equal bytes, and reading checks everything.

Pages carry checksums, which Parquet leaves out by default: without them a flipped bit goes unnoticed. A megabyte of
Parquet may expand to gigabytes, so columns, types and number of rows are compared with the table before anything is
read, and each page's claims with the number of rows (``vision.storage.pages``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vision.errors import DactylError
from vision.io.decode import parse_json
from vision.io.files import atomic_write, open_regular
from vision.storage.pages import Group, check_pages, read_groups
from vision.storage.schema import SCHEMA_VERSION, Field, check_column, check_version

_METADATA = b"dactyl"
_MAX_BYTES = 1 << 30  # of a table in memory
_MOST = 1_000  # joints or fingertips of a hand


def write_table(
    path: Path, columns: Mapping[str, np.ndarray], table: Mapping[str, Field], metadata: Mapping[str, Any]
) -> None:
    """Write columns (N, ...) of a schema table with JSON ``metadata``, atomically.

    Raises:
        DactylError: a column is missing, unknown or breaks the table, they are too long for one file, or the disk is
            full.
    """
    _check_columns(columns, table, str(path))
    # Parquet has no lists of length zero: joints of a scene without a hand are left out, and restored by their absence.
    kept = [key for key in table if np.asarray(columns[key])[:1].size or not len(columns[key])]
    arrays = [_to_arrow(np.asarray(columns[key], table[key].dtype)) for key in kept]
    about = json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, allow_nan=False)
    content = pa.table(arrays, names=kept).replace_schema_metadata({_METADATA: about.encode()})
    _check_rows(content.num_rows, content.schema, path)
    atomic_write(path, lambda file: pq.write_table(content, file, compression="zstd", write_page_checksum=True))


def read_table(
    path: Path, table: Mapping[str, Field], rows: int | None = None, keys: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read columns (N, ...) and metadata of a file that :func:`write_table` wrote.

    Args:
        rows: required number of rows, if known.
        keys: columns to read; None for all. The others are not unpacked.

    Raises:
        DactylError: the file is missing, damaged, too large, of another schema version, or breaks the table.
    """
    try:
        with open_regular(path) as source:
            groups = read_groups(source)
            file = pq.ParquetFile(source, page_checksum_verification=True)
            _check_footer(file, table, rows, path)
            _check_groups(source, groups, file, path)
            content = file.read([key for key in file.schema_arrow.names if keys is None or key in keys])
        about = (content.schema.metadata or {})[_METADATA]
        columns = {key: _to_numpy(content.column(key)) for key in content.column_names}
    except FileNotFoundError:
        raise DactylError(f"{path}: no such file; check the path") from None
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DactylError(f"{path}: not a readable table ({error}); delete it and make it again") from error
    metadata = parse_json(about, path)
    if not isinstance(metadata, dict):
        raise DactylError(f"{path}: not a table of ours; delete it and make it again")
    check_version(metadata.pop("schema_version", None), str(path))
    table = {key: field for key, field in table.items() if keys is None or key in keys}
    columns |= {
        key: np.zeros((content.num_rows, *(0 if isinstance(size, str) else size for size in field.shape)), field.dtype)
        for key, field in table.items()
        if key not in columns and _may_be_empty(field)
    }
    _check_columns(columns, table, str(path))
    return columns, metadata


def _check_footer(file: pq.ParquetFile, table: Mapping[str, Field], rows: int | None, path: Path) -> None:
    """Refuse a file whose footer does not match the table, before any page is read."""
    there = file.schema_arrow
    absent = {key for key, field in table.items() if _may_be_empty(field) and key not in there.names}
    if different := set(there.names) ^ (table.keys() - absent):
        raise DactylError(f"{path}: column '{min(different)}' is missing or unknown; make the file again")
    for key in there.names:
        expected = _arrow_type(table[key], there.field(key).type)
        if there.field(key).type != expected:
            raise DactylError(f"{path}: {key}: expected {expected}, got {there.field(key).type}; make the file again")
    count = file.metadata.num_rows
    if rows is not None and count != rows:
        raise DactylError(f"{path}: {count:,} rows, expected {rows:,}; make the file again")
    _check_rows(count, there, path)


def _check_groups(source: BinaryIO, groups: list[Group], file: pq.ParquetFile, path: Path) -> None:
    """Refuse a file whose pages claim more than its rows can need, before any is unpacked."""
    fields = list(file.schema_arrow)
    if sum(group.rows for group in groups) != file.metadata.num_rows:
        raise DactylError(f"{path}: its groups are not of {file.metadata.num_rows:,} rows; make the file again")
    for group in groups:
        if len(group.chunks) != len(fields):
            raise DactylError(f"{path}: a group of other columns; make the file again")
        for field, chunk in zip(fields, group.chunks, strict=True):
            numbers, itemsize = _numbers(field.type)
            try:
                check_pages(source, chunk, group.rows * numbers, itemsize)
            except ValueError as error:
                raise DactylError(f"{path}: {field.name}: {error}; make the file again") from None


def _check_rows(count: int, schema: pa.Schema, path: Path) -> None:
    """Refuse rows that need more memory than any table does."""
    width = sum(numbers * itemsize for numbers, itemsize in map(_numbers, schema.types))
    if count * width > _MAX_BYTES:
        raise DactylError(f"{path}: {count:,} rows of {width:,} bytes, more than one file holds; make smaller parts")


def _numbers(kind: pa.DataType) -> tuple[int, int]:
    """Return how many numbers a row of a column has, and the bytes of one."""
    count = 1
    while pa.types.is_fixed_size_list(kind):
        count, kind = count * kind.list_size, kind.value_type
    return count, max(kind.bit_width // 8, 1)


def _check_columns(columns: Mapping[str, np.ndarray], table: Mapping[str, Field], where: str) -> None:
    if different := columns.keys() ^ table.keys():
        raise DactylError(f"{where}: column '{min(different)}' is missing or unknown; make the file again")
    for key, field in table.items():
        check_column(np.asarray(columns[key]), field, f"{where}: {key}")
    if len({len(values) for values in columns.values()}) > 1:
        raise DactylError(f"{where}: columns of different length; make the file again")


def _to_arrow(values: np.ndarray) -> pa.Array:
    array = pa.array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _may_be_empty(field: Field) -> bool:
    """Return whether the field's length is that of something a scene may lack."""
    return any(isinstance(size, str) for size in field.shape)


def _arrow_type(field: Field, there: pa.DataType) -> pa.DataType:
    """Return the required type of a field's column; lengths that a table leaves open are taken from ``there``."""
    sizes = []
    for size in field.shape:
        found = there.list_size if pa.types.is_fixed_size_list(there) else 0
        sizes.append(found if isinstance(size, str) and 0 < found <= _MOST else size)
        there = there.value_type if pa.types.is_fixed_size_list(there) else there
    kind = pa.from_numpy_dtype(np.dtype(field.dtype))
    for size in reversed(sizes):
        kind = pa.list_(kind, 0 if isinstance(size, str) else size)
    return kind


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    array = column.combine_chunks()
    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    values: np.ndarray = array.to_numpy(zero_copy_only=False).reshape(shape)
    return values
