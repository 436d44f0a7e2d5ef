"""Readers of datasets of image triplets by sample number.

Tars carry no checksum of their data, so the reader trusts only the manifest: sizes are compared when a dataset is
opened, and a shard's hash before its first sample is returned, once in a process. Only plain files with the names that
we write are accepted, and nothing in them is ever run: labels are JSON, images are JPEG whose header is checked before
they are decoded.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from vision.errors import DactylError
from vision.io.decode import parse_json
from vision.io.store import Location, is_remote
from vision.scene.rig import Camera
from vision.storage.layout import ShardLayout, read_member, sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.schema import LABEL, check_cameras, check_record, check_version
from vision.storage.shards import ShardRecord, mask_suffix

_MAX_JSON_BYTES = 1 << 20
_AT_ONCE = 16  # requests to a remote store


class TripletDataset(DatasetFolder):
    """A finished dataset, read by sample number: ``dataset[i]`` has ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Opening it compares the shards' sizes with the manifest and reads the position of each sample from their records (a
    shard whose record has none is scanned). Samples are then read by offset, so that any order is equally fast. No file
    is kept open: worker processes can share the dataset, and the number of shards is not limited by that of open files.

    A shard is compared with its hash before its first sample is returned.

    Args:
        folder: folder of the dataset, or its URL.
        verify: whether to compare shards with their hashes; False if that has been done already.

    Attributes:
        indices: ``LABEL``'s index of every sample, (N,) int64, all different.

    Raises:
        DactylError: the dataset is missing, unfinished or of another schema version, or a shard is missing, truncated
            or foreign.
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
        """Return ``LABEL`` of sample ``number`` as NumPy values, and its ``images``."""
        record = self.label(number)
        where = self.where(number)
        names = [f"{name}.jpg" for name in self.rig.names]
        record["images"] = self.rig.padded(
            [
                _decode_jpeg(self.member(number, name), camera, f"{where}.{name}")
                for name, camera in zip(names, self.rig.cameras, strict=True)
            ]
        )
        return record

    def label(self, number: int) -> dict[str, Any]:
        """Return ``LABEL`` of sample ``number``, without decoding its images."""
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
        joints = self.scene.joints
        if len(found["joint_position"]) != joints:
            raise DactylError(
                f"{where}: joint_position: {len(found['joint_position'])} numbers, the scene's hand has {joints} joints"
            )
        return found

    def masks(self, number: int) -> np.ndarray | None:
        """Return masks of the object in each image of sample ``number``, (C, H, W) bool; None if the dataset has no
        masks."""
        if not self._optional <= set(self._layouts[self._shard_of(number)].members):
            return None
        where, names = self.where(number), map(mask_suffix, self.rig.names)
        return self.rig.padded(
            [
                _decode_mask(self.member(number, name), camera, f"{where}.{name}")
                for name, camera in zip(names, self.rig.cameras, strict=True)
            ]
        )

    def appearance(self, number: int) -> dict[str, Any]:
        """Return every value drawn for sample ``number``."""
        return _decode_json(self.member(number, "appearance.json"), f"{self.where(number)}.appearance.json")

    def member(self, number: int, suffix: str) -> bytes:
        """Return a file of sample ``number`` as stored in its tar, for example ``left.jpg``."""
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
        """Return file and key of sample ``number``, for messages."""
        return f"{self.folder / self.shards[self._shard_of(number)].name}: {sample_key(int(self.indices[number]))}"

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; :class:`DactylError` names the first that differs."""
        for shard in self.shards:
            self._check_hash(shard)
        self._unverified.clear()

    def _open_shard(self, shard: ShardRecord) -> ShardLayout:
        if not is_remote(self.folder):  # a remote shard's hash is checked when it is fetched
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
    """Decode an image (H, W, 3) uint8. The header is checked before anything of its claimed size is allocated."""
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
    """Decode a mask (H, W) bool; as with JPEG, nothing of a merely claimed size is allocated."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (camera.width, camera.height) or picture.mode != "1":
                raise DactylError(
                    f"{where}: not a mask of {camera.width}x{camera.height} pixels; make the dataset again"
                )
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{where}: not a readable PNG ({error}); make the dataset again") from error
