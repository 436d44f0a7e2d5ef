"""Read datasets of image triplets by sample number.

Tars carry no checksum of their data, so the reader trusts only the manifest: sizes are compared when a dataset is
opened, hashes by :meth:`TripletDataset.verify`. Only plain files with the names that we write are let in, and nothing
in them is ever run: labels are JSON, pictures are JPEG whose header is checked before they are decoded.
"""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from vision.cameras import Rig
from vision.errors import DactylError
from vision.files import read_json, sha256
from vision.folders import CONFIG, MANIFEST
from vision.objects import PoseObject, get_object
from vision.schema import LABEL, check_record, check_version
from vision.shards import ShardRecord, sample_key, shard_record

_MAX_JSON_BYTES = 1 << 20


class DatasetFolder:
    """A dataset's manifest, before any of its shards is trusted.

    Attributes:
        folder: of the dataset.
        manifest: as it was read.
        rig: nominal cameras, in the order of the images.
        object: what is in the pictures.
        image_size: pixels, square.
        shards: records of the shards that the manifest lists.

    Raises:
        DactylError: no or unfinished dataset, another schema version, or a manifest that is none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = self._read_manifest()
        self.rig = self._read_rig()
        self.object: PoseObject = get_object(self.manifest["object"])
        self.image_size: int = self.manifest["image_size"]
        self.shards = [shard_record(fields, self.folder / MANIFEST) for fields in self.manifest["shards"]]
        self._suffixes = (*(f"{name}.jpg" for name in self.rig.names), "label.json", "appearance.json")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest: names this very dataset."""
        return sha256(self.folder / MANIFEST)

    def check_shard(self, shard: ShardRecord) -> None:
        """Raise DactylError unless the shard is there with the bytes that the manifest says, whole samples in them."""
        self._check_size(shard)
        self._check_hash(shard)
        self._index_tar(shard)

    def _read_manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if not path.exists() and (self.folder / CONFIG).exists():
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

    def _check_size(self, shard: ShardRecord) -> None:
        path = self.folder / shard.name
        if Path(shard.name).name != shard.name or not path.is_file():
            raise DactylError(f"{path}: shard is missing; rerun the dactyl render that made it")
        if (size := path.stat().st_size) != shard.bytes:
            raise DactylError(
                f"{path}: {size} bytes, the manifest says {shard.bytes}; delete it and rerun dactyl render"
            )

    def _check_hash(self, shard: ShardRecord) -> None:
        path = self.folder / shard.name
        if sha256(path) != shard.sha256:
            raise DactylError(f"{path}: content differs from the manifest; delete it and rerun dactyl render")

    def _index_tar(self, shard: ShardRecord) -> tuple[np.ndarray, np.ndarray]:
        """Sample indices (n,), and every member's offset and size (n, suffixes, 2). Only our own plain files pass."""
        path = self.folder / shard.name
        keys: list[str] = []
        spans: list[np.ndarray] = []
        try:
            with tarfile.open(path, "r:") as tar:
                for position, member in enumerate(tar):
                    key, _, suffix = member.name.partition(".")
                    if not member.isreg() or member.issparse() or suffix not in self._suffixes or not _is_key(key):
                        raise DactylError(
                            f"{path}: unexpected member '{member.name}'; delete it and rerun dactyl render"
                        )
                    if position % len(self._suffixes) == 0:
                        keys.append(key)
                        spans.append(np.zeros((len(self._suffixes), 2), np.int64))
                    span = spans[-1][self._suffixes.index(suffix)]
                    if key != keys[-1] or span[1]:
                        raise DactylError(f"{path}: sample '{key}' is incomplete; delete it and rerun dactyl render")
                    span[:] = member.offset_data, member.size
        except (tarfile.TarError, OSError) as error:
            raise DactylError(f"{path}: not a readable tar ({error}); delete it and rerun dactyl render") from error
        if len(keys) != shard.samples or not all(span[:, 1].all() for span in spans):
            raise DactylError(
                f"{path}: {len(keys)} samples, some perhaps incomplete, the manifest says {shard.samples} whole ones; "
                "delete it and rerun dactyl render"
            )
        return np.array([int(key) for key in keys], np.int64), np.array(spans, np.int64)


class TripletDataset(DatasetFolder):
    """A finished dataset, read by sample number: ``dataset[i]`` is ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Opening it compares the shards' sizes with the manifest and indexes the tars; samples are then read by offset, so
    that any order is equally fast. It holds no open file: worker processes can share it, and no number of shards meets
    the limit on open files.

    Attributes:
        indices: ``LABEL``'s index of every sample, (N,) int64, all different.

    Raises:
        DactylError: no or unfinished dataset, another schema version, a missing, truncated or foreign shard.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        for shard in self.shards:
            self._check_size(shard)
        self._first = np.cumsum([0] + [shard.samples for shard in self.shards])
        indexed = [self._index_tar(shard) for shard in self.shards]
        self.indices = np.concatenate([indices for indices, _ in indexed]) if indexed else np.zeros(0, np.int64)
        self._spans = [spans for _, spans in indexed]
        self._check_distinct()

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number`` as NumPy values, and its ``images``."""
        record = self.label(number)
        where = self.where(number)
        images = [
            _decode_jpeg(self.member(number, suffix), self.image_size, f"{where}.{suffix}")
            for suffix in self._suffixes[: len(self.rig)]
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
        }

    def appearance(self, number: int) -> dict[str, Any]:
        """Every value drawn for sample ``number``."""
        return _decode_json(self.member(number, "appearance.json"), f"{self.where(number)}.appearance.json")

    def member(self, number: int, suffix: str) -> bytes:
        """A file of sample ``number`` as its tar holds it, for example ``left.jpg``."""
        shard = self._shard_of(number)
        offset, size = self._spans[shard][number - self._first[shard], self._suffixes.index(suffix)]
        path = self.folder / self.shards[shard].name
        try:
            with path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), int(size), int(offset))
        except OSError as error:
            raise DactylError(f"{path}: cannot read: {error.strerror}; was the dataset moved or deleted?") from error

    def where(self, number: int) -> str:
        """File and key of sample ``number``, for messages."""
        return f"{self.folder / self.shards[self._shard_of(number)].name}: {sample_key(int(self.indices[number]))}"

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; :class:`DactylError` names the first that differs."""
        for shard in self.shards:
            self._check_hash(shard)

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


def _is_key(key: str) -> bool:
    return key.isdecimal() and key.isascii() and key == sample_key(int(key))


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
