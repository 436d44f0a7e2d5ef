"""Datasets of image triplets: WebDataset tars, each committed by a record, and one manifest.

A dataset folder contains::

    config.json         its configuration, written first; a rerun with another config is refused
    shard-000000.tar    samples as <key>.left.jpg, <key>.top.jpg, ..., <key>.label.json, <key>.appearance.json, and
                        where masks were asked for <key>.mask_left.png, ...
    shard-000000.json   its record (samples, bytes, SHA-256, config fingerprint, renderer, where each sample lies in the
                        tar), written after the tar
    manifest.json       everything, written last: a folder without it is unfinished

The tars are ordinary WebDataset shards; ``vision.storage.datasets`` reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import simplejpeg
from msgspec import field
from numpy.typing import NDArray
from PIL import Image

from vision.errors import DactylError
from vision.io import store
from vision.io.decode import Count, Name, Record, Sha256, Text
from vision.io.files import atomic_write, sha256
from vision.io.png import png_bytes
from vision.io.store import Location, is_remote
from vision.rigs.rig import Rig
from vision.storage.integrity import REMAKE
from vision.storage.layout import LayoutRecord, ShardLayout, sample_key
from vision.storage.records import read_record, write_record
from vision.storage.schema import LABEL, SCHEMA_VERSION, check_record

JPEG_QUALITY = 95
# Chroma subsampling would shift colours by up to 80 levels; quality 95 without it costs 23 kB an image.
JPEG_SUBSAMPLING = "444"


class ShardRecord(Record, frozen=True):
    """Record that commits a shard: its name, number of samples, size, hash, and what made it."""

    name: Name
    samples: Count
    bytes: Count
    sha256: Sha256
    config_fingerprint: Text
    renderer: dict[Text, Text] = field(default_factory=dict)


def distinct_renderers(shards: Iterable[ShardRecord]) -> tuple[dict[str, str], ...]:
    """Return every renderer that made some of the shards once, in the order of its first."""
    return tuple({tuple(shard.renderer.items()): shard.renderer for shard in shards}.values())


class CommittedShard(Record, frozen=True):
    """Content of a shard's record file: its record, and the positions of its members, which a manifest leaves out."""

    shard: ShardRecord
    layout: LayoutRecord


def shard_name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def mask_suffix(camera_name: str) -> str:
    """Return the suffix of the optional member with the object's mask in the camera's image."""
    return f"mask_{camera_name}.png"


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom edge in pixels of a mask (H, W); zeros if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def encode_sample(
    label: Mapping[str, Any],
    images: np.ndarray,
    rig: Rig,
    appearance: Mapping[str, Any],
    masks: np.ndarray | None = None,
) -> dict[str, Any]:
    """Encode one sample as WebDataset members.

    Args:
        label: follows ``LABEL``.
        images: as ``IMAGES``, (C, H, W, 3) uint8; smaller images are padded right and below.
        rig: the C cameras, which determine the members' names and image sizes.
        appearance: every drawn value, as JSON values.
        masks: masks of the object in each image, (C, H, W) bool.

    Raises:
        DactylError: the label breaks the schema.
        ValueError: shapes or dtypes that do not belong together.
    """
    key = sample_key(label["index"])
    check_record(label, LABEL, f"sample {key}")
    if len(label["camera_intrinsics"]) != len(rig):
        raise ValueError(f"sample {key}: {len(label['camera_intrinsics'])} camera matrices, {len(rig)} cameras")
    shape = (len(rig), rig.height, rig.width, 3)
    if images.dtype != np.uint8 or images.shape != shape:
        raise ValueError(f"sample {key}: expected images {shape} uint8, got {images.shape} {images.dtype}")
    members: dict[str, Any] = {"__key__": key, **encode_images(images, rig)}
    if masks is not None:
        if masks.dtype != np.bool_ or masks.shape != images.shape[:3]:
            raise ValueError(f"sample {key}: expected masks {images.shape[:3]} bool, got {masks.shape} {masks.dtype}")
        members |= {
            mask_suffix(name): png_bytes(Image.fromarray(mask))  # one bit a pixel: some 300 bytes for 200 x 200
            for name, mask in zip(rig.names, rig.without_padding(masks), strict=True)
        }
    plain = {key: np.asarray(value).tolist() for key, value in label.items()}
    members["label.json"] = json.dumps({"schema_version": SCHEMA_VERSION, **plain}, allow_nan=False).encode()
    members["appearance.json"] = json.dumps(appearance, allow_nan=False).encode()
    return members


def encode_images(images: np.ndarray, rig: Rig) -> dict[str, bytes]:
    """Encode images (C, H, W, 3) uint8 as stored in a shard, by their suffixes, each in its camera's size."""
    pairs = zip(rig.names, rig.without_padding(images), strict=True)
    return {f"{name}.jpg": encode_image(image) for name, image in pairs}


def encode_image(image: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) uint8, RGB, as JPEG with the quality and the colours of all stored images."""
    content: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), JPEG_QUALITY, "RGB", JPEG_SUBSAMPLING)
    return content


def write_shard(
    folder: Location,
    number: int,
    samples: Iterable[dict[str, Any]],
    config_fingerprint: str,
    renderer: Mapping[str, str],
) -> ShardRecord:
    """Write a shard and then its record, each atomically. Equal samples give equal bytes.

    The bytes are those of WebDataset's ``TarWriter`` with ``mtime=0``; importing that would import torch, and hundreds
    of megabytes with it, into every process that renders.
    """
    buffer = io.BytesIO()
    members: list[str] = []
    rows: list[list[int]] = []
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            suffixes = sorted(sample.keys() - {"__key__"})
            members = members or suffixes
            if suffixes != members:
                raise ValueError(f"sample {sample['__key__']}: has {suffixes}, the samples before it {members}")
            rows.append([int(sample["__key__"]), *(len(sample[suffix]) for suffix in suffixes)])
            for suffix in suffixes:
                member = tarfile.TarInfo(f"{sample['__key__']}.{suffix}")
                member.size = len(sample[suffix])
                member.mode, member.uname, member.gname = 0o444, "bigdata", "bigdata"  # WebDataset's own
                tar.addfile(member, io.BytesIO(sample[suffix]))
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / shard_name(number)
    atomic_write(path, content)
    record = ShardRecord(path.name, len(rows), len(content), digest, config_fingerprint, dict(renderer))
    layout = ShardLayout.of_sizes(members, np.array(rows, np.int64).reshape(len(rows), 1 + len(members)))
    write_record(path.with_suffix(".json"), CommittedShard(record, layout.to_record()))
    return record


def recorded_shards(folder: Location) -> list[int]:
    """Return the numbers of the shards for which a folder has a record, ascending, by one listing;
    :func:`committed_shard` then checks which of them are complete.

    Raises:
        DactylError: the folder cannot be read.
    """
    try:
        names = store.names(folder, "shard-*.json")
    except OSError as error:
        raise DactylError(f"{folder}: cannot be read ({error}); check that place") from error
    numbers = (name.removeprefix("shard-").removesuffix(".json") for name in names)
    return sorted(int(number) for number in numbers if number.isdecimal())


def committed_shard(folder: Location, number: int, config_fingerprint: str) -> ShardRecord | None:
    """Return the record of a shard that exists, is complete and has this config; None if it has to be made (again).

    Under a URL a shard of the recorded size counts as complete, because it was written in one piece; comparing hashes
    would download it all.

    Raises:
        DactylError: the record is invalid, or the folder cannot be read.
    """
    path = folder / shard_name(number)
    record_path = path.with_suffix(".json")
    try:
        size = store.size(path)
        if size is None or store.size(record_path) is None:
            return None
    except OSError as error:
        raise DactylError(f"{path}: cannot be read ({error}); check that place") from error
    record = read_shard_record(record_path).shard
    if record.config_fingerprint != config_fingerprint or size != record.bytes:
        return None
    return record if is_remote(path) or sha256(path) == record.sha256 else None


def read_shard_record(path: Location) -> CommittedShard:
    """Read a shard's record file; :class:`DactylError` names it if it is not such a record."""
    return read_record(path, CommittedShard, "shard record", REMAKE)
