"""Read datasets of image triplets by sample number.

Tars carry no checksum of their data, so the reader trusts only the manifest: sizes are compared when a dataset is
opened, and a shard's hash before its first sample is given out, once in a process. Only plain files with the names that
we write are let in, and nothing in them is ever run: labels are JSON, pictures are JPEG whose header is checked before
they are decoded.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from msgspec import field
from PIL import Image

from vision.errors import DactylError
from vision.io import store
from vision.io.decode import Count, Record, Text, parse_json
from vision.io.files import MAX_MANIFEST_BYTES, sha256
from vision.io.store import Location, is_remote, locate
from vision.scene.rig import Camera
from vision.scene.scene import Scene
from vision.storage.cache import local_file
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.layout import ShardLayout, read_member, sample_key, scan_tar
from vision.storage.records import read_record
from vision.storage.schema import LABEL, check_cameras, check_record, check_version
from vision.storage.shards import ShardRecord, mask_suffix, read_shard_record

_MAX_JSON_BYTES = 1 << 20
_VERIFIED: set[tuple[str, str, int, int, int]] = set()  # by this process: path, SHA-256, inode, size, time of writing
_AT_ONCE = 16  # requests to a remote store


class DatasetManifest(Record, frozen=True):
    """What ``manifest.json`` of a dataset holds.

    Attributes:
        scene: that the images show, whole.
        samples: in all shards.
        shards: their records, in the order of the samples.
        seed: of every drawn value.
        renderers: that made the pictures: name, version, device, api.
        versions: of the packages that wrote the shards.
        config: what was asked for.
        recording: of a set that was recorded: what was dropped, and how well the cameras were calibrated.
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
        folder: of the dataset, or its URL.
        manifest: as it was read.
        scene: what the images show, whole.
        rig: its nominal cameras, in the order of the images.
        object: what is in the images.
        shards: records of the shards that the manifest lists.

    Raises:
        DactylError: no or unfinished dataset, another schema version, or a manifest that is none.
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
        """SHA-256 of the manifest: names this very dataset."""
        return sha256(self.folder / MANIFEST)

    def check_shard(self, shard: ShardRecord) -> None:
        """Raise DactylError unless the shard is there with the bytes that the manifest says, whole samples in them."""
        self._check_size(shard)
        self._check_hash(shard)
        layout = self._walk(shard)
        record = (self.folder / shard.name).with_suffix(".json")
        if store.size(record) is None:
            return
        said = read_shard_record(record)
        if said.shard != shard or ShardLayout.from_record(said.layout, shard.bytes) != layout:
            raise DactylError(f"{record}: is not of the shard beside it; delete it and rerun dactyl render")

    def _read_manifest(self) -> DatasetManifest:
        path = self.folder / MANIFEST
        try:
            unfinished = store.size(path) is None and store.size(self.folder / CONFIG) is not None
        except OSError as error:
            raise DactylError(f"{self.folder}: cannot be read ({error}); check that place") from error
        if unfinished:
            raise DactylError(
                f"{self.folder}: unfinished dataset (no {MANIFEST}); rerun the dactyl render that made it"
            )
        return read_record(
            path, DatasetManifest, "dataset manifest", "make the dataset again", limit=MAX_MANIFEST_BYTES
        )

    def _shard_file(self, shard: ShardRecord) -> Path:
        """The shard on this machine; one under a URL is fetched and compared with its hash first."""
        return local_file(self.folder / shard.name, shard.bytes, shard.sha256)

    def _check_size(self, shard: ShardRecord) -> None:
        path = self._shard_file(shard)
        if not path.is_file():
            raise DactylError(f"{path}: shard is missing; rerun the dactyl render that made it")
        if (size := path.stat().st_size) != shard.bytes:
            raise DactylError(
                f"{path}: {size} bytes, the manifest says {shard.bytes}; delete it and rerun dactyl render"
            )

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
        if found != shard.sha256:
            raise DactylError(f"{path}: content differs from the manifest; delete it and rerun dactyl render")
        _VERIFIED.add(state)

    def _walk(self, shard: ShardRecord) -> ShardLayout:
        return scan_tar(self._shard_file(shard), shard.samples, self._required, self._optional)

    def _recorded_layout(self, shard: ShardRecord) -> ShardLayout | None:
        """What the shard's own file says; None where there is none, a damaged one, or one of another shard."""
        try:
            said = read_shard_record((self.folder / shard.name).with_suffix(".json"))
        except DactylError:
            return None
        if said.shard.sha256 != shard.sha256:
            return None
        layout = ShardLayout.from_record(said.layout, shard.bytes)
        if layout is None or len(layout.indices) != shard.samples or not self._fits(layout.members):
            return None
        return layout

    def _fits(self, members: tuple[str, ...]) -> bool:
        return len(set(members)) == len(members) and self._required <= set(members) <= self._required | self._optional


class TripletDataset(DatasetFolder):
    """A finished dataset, read by sample number: ``dataset[i]`` is ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Opening it compares the shards' sizes with the manifest and takes from their records where each sample lies (a shard
    whose record does not say so is walked); samples are then read by offset, so that any order is equally fast. It
    holds no open file: worker processes can share it, and no number of shards meets the limit on open files.

    A shard is compared with its hash before its first sample is given out.

    Args:
        folder: of the dataset, or its URL.
        verify: compare shards with their hashes; False for whoever knows that it was done.

    Attributes:
        indices: ``LABEL``'s index of every sample, (N,) int64, all different.

    Raises:
        DactylError: no or unfinished dataset, another schema version, a missing, truncated or foreign shard.
    """

    def __init__(self, folder: str | Location, verify: bool = True) -> None:
        super().__init__(folder)
        self._unverified = set(range(len(self.shards))) if verify else set[int]()
        self._first = np.cumsum([0] + [shard.samples for shard in self.shards])
        # Read records concurrently: on a remote store each read is a network round trip.
        with ThreadPoolExecutor(_AT_ONCE if is_remote(self.folder) else 1) as threads:
            self._layouts = list(threads.map(self._open_shard, self.shards))
        indices = [layout.indices for layout in self._layouts]
        self.indices = np.concatenate(indices) if indices else np.zeros(0, np.int64)
        self._check_distinct()

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number`` as NumPy values, and its ``images``."""
        record = self.label(number)
        where = self.where(number)
        images = np.zeros((len(self.rig), self.rig.height, self.rig.width, 3), np.uint8)
        for image, camera in zip(images, self.rig.cameras, strict=True):
            data = self.member(number, f"{camera.name}.jpg")
            image[: camera.height, : camera.width] = _decode_jpeg(data, camera, f"{where}.{camera.name}.jpg")
        record["images"] = images
        return record

    def label(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number``, without decoding its images."""
        where = f"{self.where(number)}.label.json"
        record = _decode_json(self.member(number, "label.json"), where)
        check_version(record.pop("schema_version", None), where)
        check_record(record, LABEL, where)
        if record["index"] != self.indices[number] or len(record["camera_intrinsics"]) != len(self.rig):
            raise DactylError(f"{where}: label of another sample or rig; make the dataset again")
        found = {
            key: record[key] if spec.dtype == "str" else np.asarray(record[key], spec.dtype)
            for key, spec in LABEL.items()
            if key in record
        }
        check_cameras(found["camera_intrinsics"], found["camera_extrinsics"], where)
        joints = 0 if self.scene.hand is None else len(self.scene.hand.joints)
        if len(found["joint_position"]) != joints:
            raise DactylError(
                f"{where}: joint_position: {len(found['joint_position'])} numbers, the scene's hand has {joints} joints"
            )
        return found

    def masks(self, number: int) -> np.ndarray | None:
        """Where each picture of sample ``number`` shows the object, (C, H, W) bool; None where the set has no masks."""
        if not self._optional <= set(self._layouts[self._shard_of(number)].members):
            return None
        masks = np.zeros((len(self.rig), self.rig.height, self.rig.width), np.bool_)
        for mask, camera in zip(masks, self.rig.cameras, strict=True):
            name = mask_suffix(camera.name)
            content = _decode_mask(self.member(number, name), camera, f"{self.where(number)}.{name}")
            mask[: camera.height, : camera.width] = content
        return masks

    def appearance(self, number: int) -> dict[str, Any]:
        """Every value drawn for sample ``number``."""
        return _decode_json(self.member(number, "appearance.json"), f"{self.where(number)}.appearance.json")

    def member(self, number: int, suffix: str) -> bytes:
        """A file of sample ``number`` as its tar holds it, for example ``left.jpg``."""
        shard = self._shard_of(number)
        if shard in self._unverified:
            self._check_hash(self.shards[shard])
            self._unverified.discard(shard)
        layout, row = self._layouts[shard], number - self._first[shard]
        column = layout.members.index(suffix)
        name = f"{sample_key(int(self.indices[number]))}.{suffix}"
        path = self._shard_file(self.shards[shard])
        return read_member(path, name, int(layout.offsets[row, column]), int(layout.sizes[row, column]))

    def where(self, number: int) -> str:
        """File and key of sample ``number``, for messages."""
        return f"{self.folder / self.shards[self._shard_of(number)].name}: {sample_key(int(self.indices[number]))}"

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; :class:`DactylError` names the first that differs."""
        for shard in self.shards:
            self._check_hash(shard)
        self._unverified.clear()

    def _open_shard(self, shard: ShardRecord) -> ShardLayout:
        if not is_remote(self.folder):  # there the hash tells, when the shard is fetched
            self._check_size(shard)
        return self._recorded_layout(shard) or self._walk(shard)

    def _check_distinct(self) -> None:
        ordered = np.sort(self.indices)
        if (twice := ordered[:-1][ordered[:-1] == ordered[1:]]).size:
            raise DactylError(
                f"{self.folder}: sample {sample_key(int(twice[0]))} is there twice; make the dataset again"
            )

    def _shard_of(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        return int(np.searchsorted(self._first, number, side="right")) - 1


def _decode_json(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > _MAX_JSON_BYTES:
        raise DactylError(f"{where}: {len(data)} bytes of JSON, more than {_MAX_JSON_BYTES}; make the dataset again")
    value = parse_json(data, where)
    if not isinstance(value, dict):
        raise DactylError(f"{where}: not a record; make the dataset again")
    return value


def _decode_jpeg(data: bytes, camera: Camera, where: str) -> np.ndarray:
    """(H, W, 3) uint8. The header is checked before anything of its claimed size is allocated."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != (camera.height, camera.width):
            expected = f"{camera.width}x{camera.height}"
            raise DactylError(f"{where}: {width}x{height} pixels, expected {expected}; make the dataset again")
        picture: np.ndarray = simplejpeg.decode_jpeg(data, "RGB")
        return picture
    except ValueError as error:
        raise DactylError(f"{where}: not a readable JPEG ({error}); make the dataset again") from error


def _decode_mask(data: bytes, camera: Camera, where: str) -> np.ndarray:
    """(H, W) bool; as with JPEG, nothing of a size that the header only claims is allocated."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (camera.width, camera.height) or picture.mode != "1":
                raise DactylError(
                    f"{where}: not a mask of {camera.width}x{camera.height} pixels; make the dataset again"
                )
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{where}: not a readable PNG ({error}); make the dataset again") from error
