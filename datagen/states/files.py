"""States on disk: Parquet parts, each with a record that commits it, and one manifest.

A states folder holds::

    config.json            what is being collected, written first; a rerun with another configuration is refused
    part-000000.parquet    states of one batch of episodes: columns as in ``vision.storage.schema.STATES``, Zstandard
    part-000000.json       its record (states, bytes, SHA-256, rejected states), written after it
    manifest.json          everything, written last: a folder without it is unfinished
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError
from vision.storage.files import atomic_write, canonical_json, fingerprint, read_json, sha256
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.schema import SCHEMA_VERSION, STATES, check_version
from vision.storage.tables import read_table, write_table

REJECTIONS = ("non_finite", "physics_warning", "dropped", "initial_lost")
"""Why states are rejected: NaN or infinity; MuJoCo warned; the object fell; it was lost before the episode began."""

Columns = dict[str, NDArray[Any]]
"""Rows of states by key of ``vision.storage.schema.STATES``."""


@dataclass(frozen=True)
class PartRecord:
    """What commits a part. ``complete`` is False when the count cut it short."""

    name: str
    states: int
    complete: bool
    bytes: int
    sha256: str
    rejected: dict[str, int]


@dataclass(frozen=True, eq=False)
class States:
    """States as arrays of N rows: ``vision.storage.schema.STATES`` gives shapes, units and frames."""

    object: str
    policy: str
    seed: int
    episode: NDArray[np.int64]
    step: NDArray[np.int32]
    joint_position: NDArray[np.float64]
    joint_velocity: NDArray[np.float64]
    object_position: NDArray[np.float64]
    object_quaternion: NDArray[np.float64]
    object_linear_velocity: NDArray[np.float64]
    object_angular_velocity: NDArray[np.float64]
    goal_quaternion: NDArray[np.float64]
    fingertip_position: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.episode)


# --------------------------------------------------------------------------------------------------------- writing


def write_part(
    folder: Path, part: int, columns: Columns, rejected: dict[str, int], complete: bool, made_by: dict[str, Any]
) -> PartRecord:
    """Write a part and then its record, each whole or not at all. Equal arguments give equal bytes.

    Args:
        folder: of the states.
        part: its number.
        columns: rows; checked against the schema first.
        rejected: how many states were rejected, for each of ``REJECTIONS``.
        complete: whether these are all states of the part.
        made_by: object, policy and seed, for the Parquet file's own metadata.

    Raises:
        DactylError: a column breaks the schema (a value that is not finite, for one), or the disk is full.
    """
    path = folder / _part_name(part)
    write_table(path, columns, STATES, made_by)
    record = PartRecord(path.name, len(columns["episode"]), complete, path.stat().st_size, sha256(path), rejected)
    atomic_write(path.with_suffix(".json"), canonical_json({"schema_version": SCHEMA_VERSION, **asdict(record)}))
    return record


def committed_part(folder: Path, part: int) -> PartRecord | None:
    """The record of a part that is there and whole; None when it has to be made (again)."""
    path = folder / _part_name(part)
    record_path = path.with_suffix(".json")
    if not record_path.exists() or not path.exists():
        return None
    fields = read_json(record_path, "part record")
    check_version(fields.pop("schema_version", None) if isinstance(fields, dict) else None, str(record_path))
    record = _record(fields, record_path)
    return record if path.stat().st_size == record.bytes and sha256(path) == record.sha256 else None


def write_manifest(folder: Path, identity: dict[str, Any], records: list[PartRecord]) -> None:
    """Finish the folder: ``identity`` is the configuration that its parts are made of."""
    manifest = {
        "schema_version": SCHEMA_VERSION,
        **{key: identity[key] for key in ("object", "policy", "seed")},
        "states": sum(record.states for record in records),
        "rejected": {reason: sum(record.rejected[reason] for record in records) for reason in REJECTIONS},
        "versions": {name: importlib.metadata.version(name) for name in ("dactyl-vision", "mujoco", "numpy")},
        "config": identity,
        "parts": [asdict(record) for record in records],
    }
    atomic_write(folder / MANIFEST, canonical_json(manifest))


def _part_name(part: int) -> str:
    return f"part-{part:06d}.parquet"


# --------------------------------------------------------------------------------------------------------- reading


def load_states(folder: str | Path) -> States:
    """All states of a finished folder, after comparing every part with the manifest.

    Raises:
        DactylError: no or unfinished states, another schema version, or a part that is missing, changed or foreign.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    parts = [_read_part(folder, _record(fields, folder / MANIFEST)) for fields in manifest["parts"]]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in STATES}
    if (count := len(columns["episode"])) != manifest["states"]:
        said = f"lists parts of {count} states, and says {manifest['states']}"
        raise DactylError(f"{folder / MANIFEST}: {said}; rerun dactyl states with output {folder}")
    return States(manifest["object"], manifest["policy"], manifest["seed"], **columns)


def states_fingerprint(folder: str | Path) -> str:
    """Identifies the states in a folder by content: equal for equal states, wherever they lie."""
    folder = Path(folder)
    return fingerprint([_record(fields, folder / MANIFEST).sha256 for fields in read_manifest(folder)["parts"]])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder, of this schema version."""
    path = folder / MANIFEST
    if not path.exists() and (folder / CONFIG).exists():
        raise DactylError(f"{folder}: these states are unfinished; rerun dactyl states with this output")
    manifest = read_json(path, "states manifest")
    check_version(manifest.get("schema_version") if isinstance(manifest, dict) else None, str(path))
    for key, kind in {"object": str, "policy": str, "seed": int, "states": int, "parts": list}.items():
        if not isinstance(manifest.get(key), kind):
            raise DactylError(f"{path}: key '{key}' is missing or not {kind.__name__}; collect the states again")
    if not manifest["parts"]:
        raise DactylError(f"{path}: lists no parts; collect the states again")
    return manifest


def _record(fields: Any, where: Path) -> PartRecord:
    try:
        record = PartRecord(**fields)
    except TypeError:
        raise DactylError(f"{where}: not the record of a part; delete it and rerun dactyl states") from None
    kinds = (str, int, bool, int, str, dict)
    kinds_fit = all(type(value) is kind for value, kind in zip(vars(record).values(), kinds, strict=True))
    # A name with a folder in it would reach outside the states' own.
    if not kinds_fit or record.rejected.keys() != set(REJECTIONS) or Path(record.name).name != record.name:
        raise DactylError(f"{where}: the record of a part with a wrong value; delete it and rerun dactyl states")
    return record


def _read_part(folder: Path, record: PartRecord) -> Columns:
    path = folder / record.name
    if not path.exists():
        raise DactylError(f"{path}: is missing; rerun dactyl states with output {folder}")
    if path.stat().st_size != record.bytes or sha256(path) != record.sha256:
        raise DactylError(f"{path}: differs from its manifest; rerun dactyl states with output {folder}")
    columns, _ = read_table(path, STATES)
    if len(columns["episode"]) != record.states:
        raise DactylError(f"{path}: not as many states as its manifest says; collect the states again")
    return columns
