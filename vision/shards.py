"""Datasets of image triplets: WebDataset tars, each with a record that commits it, and one manifest.

A dataset folder holds::

    config.json         what is being made, written first; a rerun with another config is refused
    shard-000000.tar    samples as <key>.left.jpg, <key>.top.jpg, ..., <key>.label.json, <key>.appearance.json
    shard-000000.json   its record (samples, bytes, SHA-256, config fingerprint, renderer), written after the tar
    manifest.json       everything, written last: a folder without it is unfinished

The tars are ordinary WebDataset shards. Tars carry no checksum of their data, so the reader here trusts only the
manifest: sizes are compared when a dataset is opened, hashes by :meth:`TripletDataset.verify`.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import webdataset as wds

from vision.cameras import Rig
from vision.errors import DactylError
from vision.files import atomic_write, canonical_json, read_json, sha256
from vision.objects import PoseObject, get_object
from vision.schema import IMAGES, LABEL, SCHEMA_VERSION, check_record, check_version

JPEG_QUALITY = 95
# Chroma subsampling would shift colours by up to 80 levels; quality 95 without it costs 23 kB an image.
JPEG_SUBSAMPLING = "444"
MANIFEST = "manifest.json"
CONFIG = "config.json"
_MAX_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class ShardRecord:
    """What commits a shard: its name, number of samples, size, hash, and what made it."""

    name: str
    samples: int
    bytes: int
    sha256: str
    config_fingerprint: str
    renderer: dict[str, str] = field(default_factory=dict)


def shard_name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def sample_key(index: int) -> str:
    """Key of a sample in its tar: no dots, for WebDataset splits at the first one."""
    return f"{index:09d}"


# --------------------------------------------------------------------------------------------------------- writing


def encode_sample(
    label: Mapping[str, Any], images: np.ndarray, camera_names: tuple[str, ...], appearance: Mapping[str, Any]
) -> dict[str, Any]:
    """One sample as WebDataset members. ``images`` is (C, H, W, 3) uint8, rows from the top; ``label`` follows ``LABEL``."""
    key = sample_key(label["index"])
    check_record(label, LABEL, f"sample {key}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[0] != len(camera_names) or images.shape[3] != 3:
        raise ValueError(f"sample {key}: expected images {IMAGES.shape} uint8, got {images.shape} {images.dtype}")
    members: dict[str, Any] = {"__key__": key}
    for name, image in zip(camera_names, images, strict=True):
        members[f"{name}.jpg"] = simplejpeg.encode_jpeg(
            np.ascontiguousarray(image), JPEG_QUALITY, "RGB", JPEG_SUBSAMPLING
        )
    plain = {key: np.asarray(value).tolist() for key, value in label.items()}
    members["label.json"] = json.dumps({"schema_version": SCHEMA_VERSION, **plain}, allow_nan=False).encode()
    members["appearance.json"] = json.dumps(appearance, allow_nan=False).encode()
    return members


def write_shard(
    folder: Path,
    number: int,
    samples: Iterable[dict[str, Any]],
    config_fingerprint: str,
    renderer: Mapping[str, str],
) -> ShardRecord:
    """Write a shard and then its record, each whole or not at all. Equal samples give equal bytes."""
    buffer = io.BytesIO()
    count = 0
    with wds.TarWriter(buffer, mtime=0, encoder=False) as writer:
        for sample in samples:
            writer.write(sample)
            count += 1
    path = folder / shard_name(number)
    atomic_write(path, buffer.getvalue())
    record = ShardRecord(path.name, count, path.stat().st_size, sha256(path), config_fingerprint, dict(renderer))
    atomic_write(path.with_suffix(".json"), canonical_json({"schema_version": SCHEMA_VERSION, **asdict(record)}))
    return record


def committed_shard(folder: Path, number: int, config_fingerprint: str) -> ShardRecord | None:
    """The record of a shard that is there, whole and of this config; None when it has to be made (again)."""
    path = folder / shard_name(number)
    record_path = path.with_suffix(".json")
    if not record_path.exists() or not path.exists():
        return None
    record = _record(read_json(record_path, "shard record"), record_path)
    if record.config_fingerprint != config_fingerprint or path.stat().st_size != record.bytes:
        return None
    return record if sha256(path) == record.sha256 else None


def _record(fields: Any, where: Path) -> ShardRecord:
    try:
        check_version(fields.pop("schema_version", None), str(where))
        return ShardRecord(**fields)
    except (TypeError, AttributeError):
        raise DactylError(f"{where}: not a shard record; delete it and rerun") from None


# --------------------------------------------------------------------------------------------------------- reading


class TripletDataset:
    """A finished dataset, read by sample number: ``dataset[i]`` is ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Opening it compares the shards' sizes with the manifest and indexes the tars; samples are then read with one
    ``pread`` each, so that any order is equally fast and the object can be shared with worker processes.

    Raises:
        DactylError: no or unfinished dataset, another schema version, a missing, truncated or foreign shard.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = self._read_manifest()
        self.rig = Rig.from_json(self.manifest["rig"])
        self.object: PoseObject = get_object(self.manifest["object"])
        self.image_size: int = self.manifest["image_size"]
        self.shards = [_record(dict(fields), self.folder / MANIFEST) for fields in self.manifest["shards"]]
        self._suffixes = (*(f"{name}.jpg" for name in self.rig.names), "label.json", "appearance.json")
        self._check_sizes()
        self._first = np.cumsum([0] + [shard.samples for shard in self.shards])
        self._offsets = [self._index_tar(shard) for shard in self.shards]
        self._files: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number`` as NumPy values, and its ``images``."""
        record = self.label(number)
        where = self.where(number)
        images = [
            _decode_jpeg(self._read(number, suffix), self.image_size, f"{where}.{suffix}")
            for suffix in self._suffixes[: len(self.rig)]
        ]
        record["images"] = np.stack(images)
        return record

    def label(self, number: int) -> dict[str, Any]:
        """``LABEL`` of sample ``number``, without decoding its images."""
        where = f"{self.where(number)}.label.json"
        record = _decode_json(self._read(number, "label.json"), where)
        check_version(record.pop("schema_version", None), where)
        check_record(record, LABEL, where)
        return {
            key: record[key] if spec.dtype == "str" else np.asarray(record[key], spec.dtype)
            for key, spec in LABEL.items()
        }

    def appearance(self, number: int) -> dict[str, Any]:
        """Every value drawn for sample ``number``."""
        return _decode_json(self._read(number, "appearance.json"), f"{self.where(number)}.appearance.json")

    def where(self, number: int) -> str:
        """File and key of sample ``number``, for messages."""
        shard = self._shard_of(number)
        return f"{self.folder / self.shards[shard].name}: {self._offsets[shard][0][number - self._first[shard]]}"

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; :class:`DactylError` names the first that differs."""
        for shard in self.shards:
            if sha256(self.folder / shard.name) != shard.sha256:
                raise DactylError(
                    f"{self.folder / shard.name}: content differs from the manifest; delete it and rerun dactyl render"
                )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest: names this very dataset."""
        return sha256(self.folder / MANIFEST)

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
        for key in ("rig", "object", "image_size", "shards"):
            if key not in manifest:
                raise DactylError(f"{path}: key '{key}' is missing; make the dataset again")
        return manifest

    def _check_sizes(self) -> None:
        for shard in self.shards:
            path = self.folder / shard.name
            if Path(shard.name).name != shard.name or not path.is_file():
                raise DactylError(f"{path}: shard is missing; rerun the dactyl render that made it")
            if (size := path.stat().st_size) != shard.bytes:
                raise DactylError(
                    f"{path}: {size} bytes, the manifest says {shard.bytes}; delete it and rerun dactyl render"
                )

    def _index_tar(self, shard: ShardRecord) -> tuple[list[str], np.ndarray]:
        """Keys, and offset and size of every member: (samples, suffixes, 2). Only plain files in our order are let in."""
        path = self.folder / shard.name
        expected = len(self._suffixes)
        keys: list[str] = []
        spans = []
        try:
            with tarfile.open(path, "r:") as tar:
                for position, member in enumerate(tar):
                    key, _, suffix = member.name.partition(".")
                    if not member.isreg() or member.issparse() or suffix not in self._suffixes:
                        raise DactylError(
                            f"{path}: unexpected member '{member.name}'; delete it and rerun dactyl render"
                        )
                    if position % expected == 0:
                        keys.append(key)
                        spans.append(np.zeros((expected, 2), np.int64))
                    if key != keys[-1] or spans[-1][self._suffixes.index(suffix), 1]:
                        raise DactylError(f"{path}: sample '{key}' is out of order; delete it and rerun dactyl render")
                    spans[-1][self._suffixes.index(suffix)] = member.offset_data, member.size
        except tarfile.TarError as error:
            raise DactylError(f"{path}: not a readable tar ({error}); delete it and rerun dactyl render") from error
        if len(keys) != shard.samples or len(set(keys)) != len(keys) or not all(span[:, 1].all() for span in spans):
            raise DactylError(f"{path}: {len(keys)} samples, the manifest says {shard.samples}; delete it and rerun")
        return keys, np.stack(spans) if spans else np.zeros((0, expected, 2), np.int64)

    def _shard_of(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        return int(np.searchsorted(self._first, number, side="right")) - 1

    def _read(self, number: int, suffix: str) -> bytes:
        shard = self._shard_of(number)
        offset, size = self._offsets[shard][1][number - self._first[shard], self._suffixes.index(suffix)]
        # Keyed by process: a forked worker opens its own descriptors.
        slot = (os.getpid(), shard)
        if slot not in self._files:
            self._files[slot] = os.open(self.folder / self.shards[shard].name, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._files[slot], int(size), int(offset))


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
