"""Read datasets of image triplets by sample number.

Tars carry no checksum of their data, so the reader trusts only the manifest: sizes are compared when a dataset is
opened, hashes by :meth:`TripletDataset.verify`. Only plain files with the names that we write are let in, and nothing
in them is ever run: labels are JSON, pictures are JPEG whose header is checked before they are decoded.
"""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from vision.errors import DactylError
from vision.geometry.cameras import Rig
from vision.scene.objects import PoseObject, get_object
from vision.storage import store
from vision.storage.cache import local_file
from vision.storage.files import read_json, sha256
from vision.storage.folders import CONFIG, MANIFEST
from vision.storage.layout import ShardLayout, read_member, sample_key, scan_tar
from vision.storage.schema import LABEL, check_record, check_version
from vision.storage.shards import ShardRecord, mask_suffix, shard_record
from vision.storage.store import Location, is_remote, locate

_MAX_JSON_BYTES = 1 << 20
_AT_ONCE = 16  # requests to a remote store


class DatasetFolder:
    """A dataset's manifest, before any of its shards is trusted.

    Attributes:
        folder: of the dataset, or its URL.
        manifest: as it was read.
        rig: nominal cameras, in the order of the images.
        object: what is in the pictures.
        image_size: pixels, square.
        shards: records of the shards that the manifest lists.

    Raises:
        DactylError: no or unfinished dataset, another schema version, or a manifest that is none.
    """

    def __init__(self, folder: str | Location) -> None:
        self.folder = locate(folder)
        self.manifest = self._read_manifest()
        self.rig = self._read_rig()
        self.object: PoseObject = get_object(self.manifest["object"])
        self.image_size: int = self.manifest["image_size"]
        self.shards = [shard_record(fields, self.folder / MANIFEST) for fields in self.manifest["shards"]]
        samples = sum(shard.samples for shard in self.shards)
        if self.manifest.get("samples", samples) != samples:
            said = f"lists shards of {samples} samples, and says {self.manifest['samples']}"
            raise DactylError(f"{self.folder / MANIFEST}: {said}; make the dataset again")
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
        layout, recorded = self._walk(shard), self._recorded_layout(shard)
        if recorded is not None and recorded != layout:
            record = (self.folder / shard.name).with_suffix(".json")
            raise DactylError(f"{record}: its layout is not the shard's; delete it and rerun dactyl render")

    def _read_manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        try:
            unfinished = store.size(path) is None and store.size(self.folder / CONFIG) is not None
        except OSError as error:
            raise DactylError(f"{self.folder}: cannot be read ({error}); check that place") from error
        if unfinished:
            raise DactylError(
                f"{self.folder}: unfinished dataset (no {MANIFEST}); rerun the dactyl render that made it"
            )
        manifest = read_json(path, "dataset manifest")
        if not isinstance(manifest, dict):
            raise DactylError(f"{path}: not a dataset manifest; make the dataset again")
        check_version(manifest.get("schema_version"), str(path))
        for key, kind in (("rig", list), ("object", str), ("image_size", int), ("shards", list)):
            if type(manifest.get(key)) is not kind:
                raise DactylError(f"{path}: key '{key}' is missing or of a wrong type; make the dataset again")
        return manifest

    def _read_rig(self) -> Rig:
        try:
            return Rig.from_json(self.manifest["rig"])
        except (KeyError, TypeError, ValueError) as error:
            raise DactylError(f"{self.folder / MANIFEST}: rig: {error!r}; make the dataset again") from error

    def _shard_file(self, shard: ShardRecord) -> Path:
        """The shard on this machine; one under a URL is fetched and compared with its hash first."""
        return local_file(self.folder / shard.name, shard.sha256)

    def _check_size(self, shard: ShardRecord) -> None:
        path = self._shard_file(shard)
        if not path.is_file():
            raise DactylError(f"{path}: shard is missing; rerun the dactyl render that made it")
        if (size := path.stat().st_size) != shard.bytes:
            raise DactylError(
                f"{path}: {size} bytes, the manifest says {shard.bytes}; delete it and rerun dactyl render"
            )

    def _check_hash(self, shard: ShardRecord) -> None:
        path = self._shard_file(shard)
        if sha256(path) != shard.sha256:
            raise DactylError(f"{path}: content differs from the manifest; delete it and rerun dactyl render")

    def _walk(self, shard: ShardRecord) -> ShardLayout:
        return scan_tar(self._shard_file(shard), shard.samples, self._required, self._optional)

    def _recorded_layout(self, shard: ShardRecord) -> ShardLayout | None:
        """What the shard's record says; None where there is none, or one of another shard."""
        path = (self.folder / shard.name).with_suffix(".json")
        try:
            record = json.loads(store.read(path))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(record, dict) or record.get("sha256") != shard.sha256:
            return None
        layout = ShardLayout.from_json(record.get("layout"), shard.bytes)
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

    Attributes:
        indices: ``LABEL``'s index of every sample, (N,) int64, all different.

    Raises:
        DactylError: no or unfinished dataset, another schema version, a missing, truncated or foreign shard.
    """

    def __init__(self, folder: str | Location) -> None:
        super().__init__(folder)
        self._first = np.cumsum([0] + [shard.samples for shard in self.shards])
        # In threads for the sake of URLs, where each record is a journey.
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
        images = [
            _decode_jpeg(self.member(number, f"{name}.jpg"), self.image_size, f"{where}.{name}.jpg")
            for name in self.rig.names
        ]
        record["images"] = np.stack(images)
        return record

    def label(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number``, without decoding its images."""
        where = f"{self.where(number)}.label.json"
        record = _decode_json(self.member(number, "label.json"), where)
        check_version(record.pop("schema_version", None), where)
        check_record(record, LABEL, where)
        if record["index"] != self.indices[number] or len(record["camera_intrinsics"]) != len(self.rig):
            raise DactylError(f"{where}: label of another sample or rig; make the dataset again")
        return {
            key: record[key] if spec.dtype == "str" else np.asarray(record[key], spec.dtype)
            for key, spec in LABEL.items()
            if key in record
        }

    def masks(self, number: int) -> np.ndarray | None:
        """Where each picture of sample ``number`` shows the object, (C, H, W) bool; None where the set has no masks."""
        suffixes = [mask_suffix(name) for name in self.rig.names]
        if not set(suffixes) <= set(self._layouts[self._shard_of(number)].members):
            return None
        where = self.where(number)
        masks = [_decode_mask(self.member(number, name), self.image_size, f"{where}.{name}") for name in suffixes]
        return np.stack(masks)

    def appearance(self, number: int) -> dict[str, Any]:
        """Every value drawn for sample ``number``."""
        return _decode_json(self.member(number, "appearance.json"), f"{self.where(number)}.appearance.json")

    def member(self, number: int, suffix: str) -> bytes:
        """A file of sample ``number`` as its tar holds it, for example ``left.jpg``."""
        shard = self._shard_of(number)
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
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise DactylError(f"{where}: not readable JSON; make the dataset again") from None
    if not isinstance(value, dict):
        raise DactylError(f"{where}: not a record; make the dataset again")
    return value


def _decode_jpeg(data: bytes, size: int, where: str) -> np.ndarray:
    """(size, size, 3) uint8. The header is checked before anything of its claimed size is allocated."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != (size, size):
            raise DactylError(f"{where}: {width}x{height} pixels, expected {size}x{size}; make the dataset again")
        return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        raise DactylError(f"{where}: not a readable JPEG ({error}); make the dataset again") from error


def _decode_mask(data: bytes, size: int, where: str) -> np.ndarray:
    """(size, size) bool; as with JPEG, nothing of a size that the header only claims is allocated."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (size, size) or picture.mode != "1":
                raise DactylError(f"{where}: not a mask of {size}x{size} pixels; make the dataset again")
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{where}: not a readable PNG ({error}); make the dataset again") from error
