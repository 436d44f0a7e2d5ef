"""A small dataset of noise pictures for tests that read files: quick to write, valid in every detail."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.scenes import JOINTS, rig, scene
from vision.geometry.rotations import quaternion_from_rotation
from vision.io.json_values import canonical_json, fingerprint
from vision.storage.folders import MANIFEST
from vision.storage.manifest import DatasetManifest
from vision.storage.records import write_record
from vision.storage.shards import ShardRecord, encode_sample, write_shard

RENDERER = {"name": "noise", "version": "1", "device": "none", "api": "none"}


def make_label(index: int, image_size: int = 32) -> dict[str, Any]:
    """A valid label; equal indices give equal labels."""
    rng = np.random.default_rng(index)
    return {
        "index": index,
        "state_index": index // 2,
        "episode": index // 3,
        "augmentation": "none",
        "object_position": np.array([1.02, 0.87, 0.145]) + rng.normal(0, 0.01, 3),
        "object_quaternion": quaternion_from_rotation(Rotation.random(random_state=rng)),
        "joint_position": rng.uniform(-0.5, 0.5, JOINTS),
        "camera_intrinsics": rig(image_size).nominal.intrinsics,
        "camera_extrinsics": rig(image_size).nominal.extrinsics,
    }


def make_images(index: int, image_size: int = 32) -> np.ndarray:
    """(3, image_size, image_size, 3) uint8, smooth enough to survive JPEG."""
    rng = np.random.default_rng(index + 10_000)
    coarse = rng.integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(image_size // 4, axis=1).repeat(image_size // 4, axis=2)


def make_sample(index: int, image_size: int = 32) -> dict[str, Any]:
    """The members of one sample, as :func:`vision.storage.shards.write_shard` takes them."""
    label, images = make_label(index, image_size), make_images(index, image_size)
    return encode_sample(label, images, rig(image_size), {"exposure": index / 10})


def write_manifest(folder: Path, records: Sequence[ShardRecord], image_size: int = 32, **changes: Any) -> None:
    """The manifest that publishes ``records``; ``changes`` replace its keys."""
    fields: dict[str, Any] = {
        "scene": scene("block", image_size).to_json(),
        "samples": sum(record.samples for record in records),
        "shards": tuple(records),
    }
    write_record(folder / MANIFEST, DatasetManifest(**fields | changes))


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record's fields and compute its checksum anew: what somebody does on purpose."""
    fields = json.loads(path.read_bytes())
    del fields["checksum"]
    change(fields)
    path.write_bytes(canonical_json(fields | {"checksum": fingerprint(fields)}))


def write_dataset(folder: Path, samples_by_shard: Sequence[int] = (3, 2), image_size: int = 32) -> Path:
    """A finished dataset with consecutive indices from 0."""
    records, index = [], 0
    for number, count in enumerate(samples_by_shard):
        samples = [make_sample(i, image_size) for i in range(index, index + count)]
        records.append(write_shard(folder, number, samples, "test", RENDERER))
        index += count
    write_manifest(folder, records, image_size)
    return folder
