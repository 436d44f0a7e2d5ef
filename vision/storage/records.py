"""Records on disk: JSON files with a schema version, the keys of a type, and a checksum of both.

The checksum is the SHA-256 of everything else in the file and reveals any flag, name or count that changed by accident.
It protects against damage, not against somebody who recomputes it.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from vision.errors import DactylError
from vision.io.decode import Record, convert, parse_json
from vision.io.files import MAX_RECORD_BYTES, atomic_write, read_file
from vision.io.json_values import canonical_json, fingerprint
from vision.io.store import Location
from vision.storage.schema import SCHEMA_VERSION, check_version

R = TypeVar("R", bound=Record)

_VERSION, _CHECKSUM = "schema_version", "checksum"
_MAKERS = {"parts": "dactyl states", "shards": "dactyl render or import-recording"}
"""Commands whose manifests bear one name, by a key that only theirs have: folders are taken for each other's."""


def encode_record(record: Record) -> bytes:
    """Return the file's content: the version first, the checksum last. Equal records give equal bytes."""
    # Convert NumPy's numbers to Python's.
    fields = {_VERSION: SCHEMA_VERSION, **msgspec.to_builtins(record, enc_hook=lambda value: value.item())}
    return canonical_json(fields | {_CHECKSUM: fingerprint(fields)})


def write_record(path: Location, record: Record) -> None:
    """Write a record atomically."""
    atomic_write(path, encode_record(record))


def read_record(
    path: Location, kind: type[R], what: str, again: str = "make it again", limit: int = MAX_RECORD_BYTES
) -> R:
    """Read the record in a file.

    Args:
        kind: its type.
        what: kind of record, for messages.
        again: advice if it is not such a record, for messages.
        limit: maximum size in bytes.

    Raises:
        DactylError: the file is missing, too large, of another schema version, changed after it was written, or not
            such a record.
    """
    fields = parse_json(read_file(path, limit, what), path)
    if not isinstance(fields, dict):
        raise DactylError(f"{path}: not a {what}; {again}")
    check_version(fields.get(_VERSION), str(path))
    checksum = fields.pop(_CHECKSUM, None)
    if checksum != fingerprint(fields):
        raise DactylError(f"{path}: this {what} was changed after it was written (another checksum); {again}")
    del fields[_VERSION]
    foreign = fields.keys() - set(kind.__struct_fields__)
    if made := next((command for key, command in _MAKERS.items() if key in foreign), None):
        raise DactylError(f"{path}: no {what}: {made} made it; give the folder of another kind")
    return convert(fields, kind, path)
