"""Import of a laboratory's recording as a test set (docs/recording.md describes how to record).

A recording is a folder with ``calibration.json`` (``vision.rigs.calibration``), ``object.csv`` and optionally
``base.csv`` (poses of the markers on the object and on the hand's base), and for every camera ``<camera>.csv`` with its
images (``eval.laboratory.capture``). Each image of the first camera forms a triplet with the nearest ones of the other
cameras; the object's pose is interpolated at the mean of their times. Images are undistorted and reduced in one step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.laboratory.face_colors import check_colors
from eval.laboratory.import_config import ImportConfig
from eval.laboratory.opencv import opencv
from eval.laboratory.pictures import read_picture
from eval.laboratory.placement import check_placement, displacements, in_world
from eval.laboratory.posed_triplets import find_world, synchronise
from eval.laboratory.triplets import Triplet
from eval.laboratory.undistortion import View, make_view
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import quaternion_from_matrix
from vision.io.files import exclusive_folder, remove, sha256
from vision.io.json_values import fingerprint, identity_of
from vision.machine.progress import Advance, progress
from vision.rigs.calibration import load_calibration
from vision.rigs.rig import Rig
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST, reserve_output
from vision.storage.manifest import DatasetManifest
from vision.storage.records import write_record
from vision.storage.shards import ShardRecord, encode_sample, write_shard

_EPISODE_PAUSE_S = 2.0  # a longer pause between triplets begins a new episode


def import_recording(config: ImportConfig, scene: Scene) -> tuple[TripletDataset, Counter[str]]:
    """Write the test set, and return it with the number of dropped triplets by reason.

    Raises:
        DactylError: a file of the recording is missing or wrong, no triplet is left, or two cameras are swapped.
    """
    file = config.recording / "calibration.json"
    calibration, errors = load_calibration(file)
    scene = scene.with_rig(scene.rig.resized(config.image_size or max(scene.rig.width, scene.rig.height)))
    rig, target = scene.rig, scene.object
    if missing := [name for name in rig.names if name not in calibration.names]:
        raise DactylError(f"{file}: camera '{missing[0]}' is missing; calibrate it too")
    calibration = calibration.chosen(rig.names)
    world_from_capture = find_world(config)
    cameras = in_world(calibration, world_from_capture)
    if config.warp:
        placed = check_placement(config.recording, calibration, config.capture_in_world, world_from_capture, rig)
    else:
        placed = displacements(cameras.nominal, rig)
    views = {
        camera.name: make_view(source, camera, config.warp)
        for camera, source in zip(rig.cameras, cameras.cameras, strict=True)
    }
    triplets, dropped = synchronise(config, world_from_capture, rig, views, target)
    if not triplets:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise DactylError(f"{config.recording}: no triplet is left of {dropped.total()}: {reasons}")
    colors = "not compared"
    if config.check_colors:
        colors = check_colors(config, triplets, views, target, world_from_capture)
    files = _hashes(config.recording, rig)
    identity = identity_of(config, ("output",)) | {"kind": "recording", "files": files, "scene": scene.identity()}
    with exclusive_folder(config.output):
        reserve_output(config.output, identity, "shard-*")
        remove(config.output / MANIFEST)
        shards = _write_shards(config, scene, views, triplets, fingerprint(identity))
        manifest = DatasetManifest(
            scene=scene.to_json(),
            samples=len(triplets),
            config=identity,
            recording={
                "dropped": dict(dropped),
                "unknown": ["joint_position"],
                "calibration_rms_px": {name: errors[name].rms for name in rig.names},
                "camera_displacement": {name: asdict(each) for name, each in placed.items()},
                "colors": colors,
            },
            shards=shards,
        )
        write_record(config.output / MANIFEST, manifest)
    return TripletDataset(config.output), dropped


def _write_shards(
    config: ImportConfig, scene: Scene, views: Mapping[str, View], triplets: list[Triplet], config_fingerprint: str
) -> tuple[ShardRecord, ...]:
    """Write all shards and return their records."""
    pauses = np.diff([triplet.time for triplet in triplets], prepend=triplets[0].time) > _EPISODE_PAUSE_S
    episodes = np.cumsum(pauses)
    rig = scene.rig
    cameras = Cameras.stacked([views[name].result for name in rig.names])
    renderer = {"name": "real", "version": opencv().__version__, "device": f"{len(rig)} cameras", "api": "recording"}

    def samples(first: int, advance: Advance) -> Iterator[dict[str, Any]]:
        for index, triplet in enumerate(triplets[first : first + config.shard_size], first):
            label = {
                "index": index,
                "state_index": index,
                "episode": int(episodes[index]),
                "augmentation": "none",
                "object_position": triplet.pose[:3, 3],
                "object_quaternion": quaternion_from_matrix(triplet.pose[:3, :3]),
                "joint_position": np.zeros(scene.joints),  # not measured, as the manifest states
                "camera_intrinsics": cameras.intrinsics,
                "camera_extrinsics": cameras.extrinsics,
            }
            images = rig.padded(
                [
                    views[name](read_picture(file, config.picture_bits), file)
                    for name, file in zip(rig.names, triplet.files, strict=True)
                ]
            )
            about = {
                "time_s": triplet.time,
                "files": [str(file.relative_to(config.recording)) for file in triplet.files],
            }
            yield encode_sample(label, images, rig, about)
            advance(1)

    with progress(f"importing {config.recording.name}", len(triplets), "triplets") as advance:
        starts = range(0, len(triplets), config.shard_size)
        return tuple(
            write_shard(config.output, number, samples(first, advance), config_fingerprint, renderer)
            for number, first in enumerate(starts)
        )


def _hashes(recording: Path, rig: Rig) -> dict[str, str]:
    """Return the SHA-256 of the recording's calibration and tables."""
    names = ["calibration.json", "object.csv", "base.csv", *(f"{name}.csv" for name in rig.names)]
    return {name: sha256(recording / name) for name in names if (recording / name).exists()}
