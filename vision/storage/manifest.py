"""A dataset's manifest, and the checks of its shards against it.

Tars carry no checksum of their data, so only the manifest is trusted: sizes and hashes are compared with it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from msgspec import field

from vision.errors import DactylError
from vision.io import store
from vision.io.decode import Count, Record, Text
from vision.io.files import MAX_MANIFEST_BYTES, sha256
from vision.io.store import Location, locate
from vision.scene.scene import Scene
from vision.storage.cache import local_file
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.integrity import REMAKE, RERUN, require_hash
from vision.storage.layout import ShardLayout, scan_tar
from vision.storage.records import read_record
from vision.storage.shards import ShardRecord, mask_suffix, read_shard_record

_VERIFIED: set[tuple[str, str, int, int, int]] = set()  # in this process: path, SHA-256, inode, size, time of writing


class DatasetManifest(Record, frozen=True):
    """Content of a dataset's ``manifest.json``.

    Attributes:
        scene: the whole scene that the images show.
        samples: number of samples in all shards.
        shards: their records, in the order of the samples.
        seed: seed of every drawn value.
        renderers: renderers of the images: name, version, device, api.
        versions: versions of the packages that wrote the shards.
        config: the configuration of the command.
        recording: for a recorded dataset: what was dropped, and how well the cameras were calibrated.
    """

    scene: dict[str, Any]
    samples: Count
    shards: tuple[ShardRecord, ...]
    seed: int | None = None
    renderers: tuple[dict[Text, Text], ...] = ()
    versions: dict[Text, Text] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    recording: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (samples := sum(shard.samples for shard in self.shards)) != self.samples:
            raise ValueError(f"lists shards of {samples} samples, and says {self.samples}")


class DatasetFolder:
    """A dataset's manifest, before any of its shards is trusted.

    Attributes:
        folder: folder of the dataset, or its URL.
        manifest: the manifest.
        scene: the whole scene that the images show.
        rig: its nominal cameras, in the order of the images.
        object: the object in the images.
        shards: records of the shards that the manifest lists.

    Raises:
        DactylError: the dataset is missing, unfinished or of another schema version, or its manifest is invalid.
    """

    def __init__(self, folder: str | Location) -> None:
        self.folder = locate(folder)
        self.manifest = self._read_manifest()
        self.scene = Scene.from_json(self.manifest.scene, f"{self.folder / MANIFEST}: scene")
        self.rig, self.object = self.scene.rig, self.scene.object
        self.shards = self.manifest.shards
        self._required = {*(f"{name}.jpg" for name in self.rig.names), "label.json", "appearance.json"}
        self._optional = {mask_suffix(name) for name in self.rig.names}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which identifies this very dataset."""
        return sha256(self.folder / MANIFEST)

    def check_shard(self, shard: ShardRecord) -> None:
        """Raise DactylError unless the shard exists with the bytes that the manifest states and complete samples."""
        self._check_size(shard)
        self._check_hash(shard)
        layout = self._walk(shard)
        record = (self.folder / shard.name).with_suffix(".json")
        if store.size(record) is None:
            return
        said = read_shard_record(record)
        if said.shard != shard or ShardLayout.from_record(said.layout, shard.bytes) != layout:
            raise DactylError(f"{record}: is not of the shard beside it; {REMAKE}")

    def fits(self, members: Collection[str]) -> bool:
        """Return whether a sample with these files is complete, and has no others."""
        return len(set(members)) == len(members) and self._required <= set(members) <= self._required | self._optional

    def _read_manifest(self) -> DatasetManifest:
        path = self.folder / MANIFEST
        try:
            unfinished = store.size(path) is None and store.size(self.folder / CONFIG) is not None
        except NotADirectoryError:
            unfinished = False  # the folder is a file, as reading says
        except OSError as error:
            raise DactylError(f"{self.folder}: cannot be read ({error}); check that place") from error
        if unfinished:
            raise DactylError(f"{self.folder}: unfinished dataset (no {MANIFEST}); {RERUN}")
        return read_record(
            path, DatasetManifest, "dataset manifest", "make the dataset again", limit=MAX_MANIFEST_BYTES
        )

    def _shard_file(self, shard: ShardRecord) -> Path:
        """Return the shard's path on this machine; one under a URL is fetched and compared with its hash first."""
        return local_file(self.folder / shard.name, shard.bytes, shard.sha256)

    def _check_size(self, shard: ShardRecord) -> None:
        path = self._shard_file(shard)
        if not path.is_file():
            raise DactylError(f"{path}: shard is missing; {RERUN}")
        if (size := path.stat().st_size) != shard.bytes:
            raise DactylError(f"{path}: {size} bytes, the manifest says {shard.bytes}; {REMAKE}")

    def _check_hash(self, shard: ShardRecord) -> None:
        """Compare a shard with its hash, unless this process has done so since the file was last written."""
        path = self._shard_file(shard)
        try:
            about = path.stat()
            state = (str(path), shard.sha256, about.st_ino, about.st_size, about.st_mtime_ns)
            if state in _VERIFIED:
                return
            found = sha256(path)
        except OSError as error:
            reason = error.strerror or error
            raise DactylError(f"{path}: cannot read: {reason}; was the dataset moved or deleted?") from error
        require_hash(path, found, shard.sha256)
        _VERIFIED.add(state)

    def _walk(self, shard: ShardRecord) -> ShardLayout:
        return scan_tar(self._shard_file(shard), shard.samples, self._required, self._optional)

    def _recorded_layout(self, shard: ShardRecord) -> ShardLayout | None:
        """Return the layout in the shard's record file; None if it is missing, damaged, or of another shard."""
        try:
            said = read_shard_record((self.folder / shard.name).with_suffix(".json"))
        except DactylError:
            return None
        if said.shard.sha256 != shard.sha256:
            return None
        layout = ShardLayout.from_record(said.layout, shard.bytes)
        if layout is None or len(layout.indices) != shard.samples or not self.fits(layout.members):
            return None
        return layout
