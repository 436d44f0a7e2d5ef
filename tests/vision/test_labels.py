"""Labels whose numbers are in range and whose checksums are right, and that describe no camera or no hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import RENDERER, make_sample, write_manifest
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset
from vision.storage.shards import write_shard


def read_changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    sample = make_sample(0)
    label = json.loads(sample["label.json"])
    change(label)
    write_manifest(
        folder, [write_shard(folder, 0, [sample | {"label.json": json.dumps(label).encode()}], "t", RENDERER)]
    )
    TripletDataset(folder).label(0)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("camera_intrinsics", lambda label: label["camera_intrinsics"][0][0].__setitem__(0, -100.0)),
        ("camera_intrinsics", lambda label: label["camera_intrinsics"][1][0].__setitem__(1, 5.0)),
        ("camera_intrinsics", lambda label: label["camera_intrinsics"][2][2].__setitem__(2, 2.0)),
        ("camera_extrinsics", lambda label: label["camera_extrinsics"][0][0].__setitem__(0, 2.0)),
        ("camera_extrinsics", lambda label: label["camera_extrinsics"][1][3].__setitem__(0, 1.0)),
        (
            "camera_extrinsics",
            lambda label: label["camera_extrinsics"][2].__setitem__(
                0, [-value for value in label["camera_extrinsics"][2][0]]
            ),
        ),
        ("joint_position", lambda label: label["joint_position"].pop()),
        ("joint_position", lambda label: label["joint_position"].clear()),
    ],
)
def test_the_key_is_named(tmp_path: Path, key: str, change: Callable[[dict[str, Any]], object]) -> None:
    read_changed(tmp_path / "sound", lambda label: None)
    with pytest.raises(DactylError, match=f"000000000.label.json: {key}: "):
        read_changed(tmp_path / "changed", change)
