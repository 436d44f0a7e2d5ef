"""Parquet files that follow a table of the schema: equal values give equal bytes, and reading checks everything.

Pages carry checksums, which Parquet leaves out by default: without them a flipped bit is another number. A megabyte of
Parquet may hold gigabytes, so columns, types and number of rows are compared with the table before anything is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vision.errors import DactylError
from vision.storage.decode import parse_json
from vision.storage.files import atomic_write, open_regular
from vision.storage.schema import SCHEMA_VERSION, Field, check_column, check_version

_METADATA = b"dactyl"
_MAX_BYTES = 1 << 30  # of a table in memory, and of its file


def write_table(
    path: Path, columns: Mapping[str, np.ndarray], table: Mapping[str, Field], metadata: Mapping[str, Any]
) -> None:
    """Write columns (N, ...) of a schema table with JSON ``metadata``, whole or not at all.

    Raises:
        DactylError: a column is missing, unknown or breaks the table, they are too long for one file, or the disk is
            full.
    """
    _check_columns(columns, table, str(path))
    _check_rows(len(next(iter(columns.values()))), table, path)
    arrays = [_to_arrow(np.asarray(columns[key], field.dtype), field) for key, field in table.items()]
    about = json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, allow_nan=False)
    content = pa.table(arrays, names=list(table)).replace_schema_metadata({_METADATA: about.encode()})
    atomic_write(path, lambda file: pq.write_table(content, file, compression="zstd", write_page_checksum=True))


def read_table(
    path: Path, table: Mapping[str, Field], rows: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Columns (N, ...) and metadata of a file that :func:`write_table` wrote.

    Args:
        rows: that it has to have, where that is known.

    Raises:
        DactylError: the file is missing, damaged, too large, of another schema version, or breaks the table.
    """
    try:
        with open_regular(path) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            _check_footer(file, table, rows, path)
            content = file.read()
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
    _check_columns(columns, table, str(path))
    return columns, metadata


def _check_footer(file: pq.ParquetFile, table: Mapping[str, Field], rows: int | None, path: Path) -> None:
    """Refuse a file that is not the table's, by what its footer says, before a page of it is read."""
    there = file.schema_arrow
    if different := set(there.names) ^ table.keys():
        raise DactylError(f"{path}: column '{min(different)}' is missing or unknown; make the file again")
    for key, field in table.items():
        if there.field(key).type != _arrow_type(field):
            raise DactylError(
                f"{path}: {key}: expected {_arrow_type(field)}, got {there.field(key).type}; make the file again"
            )
    count = file.metadata.num_rows
    if rows is not None and count != rows:
        raise DactylError(f"{path}: {count:,} rows, expected {rows:,}; make the file again")
    _check_rows(count, table, path)
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    if sum(group.total_byte_size for group in groups) > _MAX_BYTES:
        raise DactylError(f"{path}: larger than its {count:,} rows; make the file again")


def _check_rows(count: int, table: Mapping[str, Field], path: Path) -> None:
    """Refuse rows that come to more memory than any table needs."""
    width = sum(np.dtype(field.dtype).itemsize * math.prod(map(int, field.shape)) for field in table.values())
    if count * width > _MAX_BYTES:
        raise DactylError(f"{path}: {count:,} rows of {width:,} bytes, more than one file holds; make smaller parts")


def _check_columns(columns: Mapping[str, np.ndarray], table: Mapping[str, Field], where: str) -> None:
    if different := columns.keys() ^ table.keys():
        raise DactylError(f"{where}: column '{min(different)}' is missing or unknown; make the file again")
    for key, field in table.items():
        check_column(np.asarray(columns[key]), field, f"{where}: {key}")
    if len({len(values) for values in columns.values()}) > 1:
        raise DactylError(f"{where}: columns of different length; make the file again")


def _to_arrow(values: np.ndarray, field: Field) -> pa.Array:
    array = pa.array(values.reshape(-1))
    for size in reversed(field.shape):
        array = pa.FixedSizeListArray.from_arrays(array, int(size))
    return array


def _arrow_type(field: Field) -> pa.DataType:
    kind = pa.from_numpy_dtype(np.dtype(field.dtype))
    for size in reversed(field.shape):
        kind = pa.list_(kind, int(size))
    return kind


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    array = column.combine_chunks()
    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).reshape(shape)
