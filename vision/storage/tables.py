"""Parquet files that follow a table of the schema: equal values give equal bytes, and reading checks everything.

Pages carry checksums, which Parquet leaves out by default: without them a flipped bit is another number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vision.errors import DactylError
from vision.storage.files import atomic_write
from vision.storage.schema import SCHEMA_VERSION, Field, check_column, check_version

_METADATA = b"dactyl"


def write_table(
    path: Path, columns: Mapping[str, np.ndarray], table: Mapping[str, Field], metadata: Mapping[str, Any]
) -> None:
    """Write columns (N, ...) of a schema table with JSON ``metadata``, whole or not at all.

    Raises:
        DactylError: a column is missing, unknown or breaks the table, or the disk is full.
    """
    _check_columns(columns, table, str(path))
    arrays = [_to_arrow(np.asarray(columns[key], field.dtype), field) for key, field in table.items()]
    about = json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, allow_nan=False)
    content = pa.table(arrays, names=list(table)).replace_schema_metadata({_METADATA: about.encode()})
    atomic_write(path, lambda file: pq.write_table(content, file, compression="zstd", write_page_checksum=True))


def read_table(path: Path, table: Mapping[str, Field]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Columns (N, ...) and metadata of a file that :func:`write_table` wrote.

    Raises:
        DactylError: the file is missing, damaged, of another schema version, or breaks the table.
    """
    try:
        content = pq.ParquetFile(path, page_checksum_verification=True).read()
        metadata = json.loads((content.schema.metadata or {})[_METADATA])
        version = metadata.pop("schema_version")
        columns = {key: _to_numpy(content.column(key)) for key in content.column_names}
    except FileNotFoundError:
        raise DactylError(f"{path}: no such file; check the path") from None
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DactylError(f"{path}: not a readable table ({error}); delete it and make it again") from error
    check_version(version, str(path))
    _check_columns(columns, table, str(path))
    return columns, metadata


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


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    array = column.combine_chunks()
    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).reshape(shape)
