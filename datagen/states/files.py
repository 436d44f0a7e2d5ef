"""States on disk: Parquet parts, each with a record that commits it, and one manifest.

A states folder holds::

    config.json            configuration, written first; a rerun with another configuration is refused
    part-000000.parquet    states of one batch of episodes: columns as in ``vision.storage.schema.STATES``, Zstandard
    part-000000.json       its record (states, bytes, SHA-256, rejected states), written after it
    manifest.json          summary of all parts, written last: a folder without it is unfinished
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError
from vision.io.decode import Count, Name, Record, Sha256, Text
from vision.io.files import MAX_MANIFEST_BYTES, sha256
from vision.io.json_values import fingerprint
from vision.machine.versions import package_versions
from vision.scene.scene import Scene
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.records import read_record, write_record
from vision.storage.schema import STATES
from vision.storage.tables import read_table, write_table

Columns = dict[str, NDArray[Any]]
"""Rows of states by keys of ``vision.storage.schema.STATES``."""


class Rejected(Record, frozen=True, omit_defaults=False):
    """Number of rejected states, by reason.

    Attributes:
        non_finite: NaN or infinity, or a joint angle outside the range of stored states.
        physics_warning: MuJoCo warned.
        dropped: the object fell.
        initial_lost: the object was lost before the episode began.
    """

    non_finite: Count = 0
    physics_warning: Count = 0
    dropped: Count = 0
    initial_lost: Count = 0


class PartRecord(Record, frozen=True):
    """Record that commits a part.

    Attributes:
        name: name of its file.
        states: number of states in it.
        complete: False if the count cut it short.
        bytes: size of the file.
        sha256: of the file.
        rejected: states rejected, by reason.
        versions: versions of the packages that simulated; empty in older records.
    """

    name: Name
    states: Count
    complete: bool
    bytes: Count
    sha256: Sha256
    rejected: Rejected
    versions: dict[Text, Text] = {}  # noqa: RUF012 (msgspec copies it)


class StatesManifest(Record, frozen=True):
    """Content of the states' ``manifest.json``.

    Attributes:
        scene: complete scene in which the states were collected.
        policy: policy that moved the hand.
        seed: seed of every random draw.
        states: number of states in all parts.
        rejected: states rejected from all parts, by reason.
        versions: versions of the packages that simulated; several if parts were made with different ones.
        config: configuration of the states.
        parts: records of the parts, in the order of the states.
    """

    scene: dict[str, Any]
    policy: Text
    seed: Count
    states: Count
    rejected: Rejected
    versions: dict[Text, Text]
    config: dict[str, Any]
    parts: Annotated[tuple[PartRecord, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if (count := sum(part.states for part in self.parts)) != self.states:
            raise ValueError(f"lists parts of {count} states, and says {self.states}")
        if type(worlds := self.config.get("worlds", 1)) is not int or worlds < 1:
            raise ValueError(f"config.worlds: expected a number of at least 1, got {worlds!r}")

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the states by content, equal for equal states anywhere."""
        return fingerprint([part.sha256 for part in self.parts])

    @property
    def begun_episodes(self) -> int:
        """Number of begun episodes, including those without kept states."""
        return len(self.parts) * int(self.config.get("worlds", 1))


REJECTIONS = Rejected.__struct_fields__
"""Reasons for which states are rejected."""


@dataclass(frozen=True, eq=False)
class States:
    """States as arrays of N rows: ``vision.storage.schema.STATES`` gives shapes, units and frames."""

    scene: Scene
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
        folder: folder of the states.
        part: number of the part.
        columns: rows; checked against the schema first.
        rejected: number of rejected states for each of ``REJECTIONS``.
        complete: whether these are all states of the part.
        made_by: the scene's fingerprint, policy and seed, for the Parquet file's metadata.

    Raises:
        DactylError: a column violates the schema (for example with a value that is not finite), or the disk is full.
    """
    path = folder / _part_name(part)
    write_table(path, columns, STATES, made_by)
    size, digest = path.stat().st_size, sha256(path)
    record = PartRecord(path.name, len(columns["episode"]), complete, size, digest, Rejected(**rejected), _versions())
    write_record(path.with_suffix(".json"), record)
    return record


def committed_part(folder: Path, part: int) -> PartRecord | None:
    """Return the record of a part that exists and is intact; None if it has to be made (again)."""
    path = folder / _part_name(part)
    record_path = path.with_suffix(".json")
    if not record_path.exists() or not path.is_file():
        return None
    record = read_record(record_path, PartRecord, "part record", "delete it and rerun dactyl states")
    return record if path.stat().st_size == record.bytes and sha256(path) == record.sha256 else None


def write_manifest(folder: Path, scene: Scene, identity: dict[str, Any], records: list[PartRecord]) -> None:
    """Finish the folder; ``identity`` is the configuration of its parts, ``scene`` their scene."""
    manifest = StatesManifest(
        scene=scene.to_json(),
        **{key: identity[key] for key in ("policy", "seed")},
        states=sum(record.states for record in records),
        rejected=Rejected(*(sum(getattr(record.rejected, reason) for record in records) for reason in REJECTIONS)),
        versions={
            name: ", ".join(sorted({record.versions.get(name, present) for record in records}))
            for name, present in _versions().items()
        },
        config=identity,
        parts=tuple(records),
    )
    write_record(folder / MANIFEST, manifest)


def _versions() -> dict[str, str]:
    return package_versions(("dactyl-vision", "mujoco", "numpy"))


def _part_name(part: int) -> str:
    return f"part-{part:06d}.parquet"


# --------------------------------------------------------------------------------------------------------- reading


def load_states(folder: str | Path) -> States:
    """Load all states of a finished folder, after comparing every part with the manifest.

    Raises:
        DactylError: there are no states, they are unfinished or of another schema version, or a part is missing,
            changed or foreign.
    """
    manifest, scene, columns = load_columns(Path(folder), tuple(STATES))
    return States(scene, manifest.policy, manifest.seed, **columns)


def load_columns(folder: Path, keys: Collection[str]) -> tuple[StatesManifest, Scene, Columns]:
    """Load the manifest, the scene and some columns of all states, ``joint_position`` among them.

    Raises:
        DactylError: as :func:`load_states`.
    """
    manifest = read_manifest(folder)
    scene = _scene_of(manifest, folder)
    parts = [_read_part(folder, part, keys) for part in manifest.parts]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in keys}
    if scene.joints != (there := columns["joint_position"].shape[1]):
        raise DactylError(
            f"{folder}: states of {there} joints, and a scene whose hand has {scene.joints}; collect the states again"
        )
    return manifest, scene, columns


def states_scene(folder: str | Path) -> Scene:
    """Return the complete scene in which a folder's states were collected."""
    folder = Path(folder)
    return _scene_of(read_manifest(folder), folder)


def states_fingerprint(folder: str | Path) -> str:
    """Return :attr:`StatesManifest.fingerprint` of a folder's states."""
    return read_manifest(Path(folder)).fingerprint


def read_manifest(folder: Path) -> StatesManifest:
    """Read the manifest of a finished folder, of this schema version."""
    path = folder / MANIFEST
    if not path.exists() and (folder / CONFIG).exists():
        raise DactylError(f"{folder}: these states are unfinished; rerun dactyl states with this output")
    return read_record(path, StatesManifest, "states manifest", "collect the states again", limit=MAX_MANIFEST_BYTES)


def _scene_of(manifest: StatesManifest, folder: Path) -> Scene:
    return Scene.from_json(manifest.scene, f"{folder / MANIFEST}: scene")


def _read_part(folder: Path, record: PartRecord, keys: Collection[str]) -> Columns:
    path = folder / record.name
    if not path.is_file():
        raise DactylError(f"{path}: is missing; rerun dactyl states with output {folder}")
    if path.stat().st_size != record.bytes or sha256(path) != record.sha256:
        raise DactylError(f"{path}: differs from its manifest; rerun dactyl states with output {folder}")
    columns, _ = read_table(path, STATES, rows=record.states, keys=keys)
    if any(len(column) != record.states for column in columns.values()):
        raise DactylError(f"{path}: not as many states as its manifest says; collect the states again")
    return columns
