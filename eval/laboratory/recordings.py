"""From a laboratory's raw recording to a test set like any other (docs/recording.md says how to record).

A recording is a folder with ``calibration.json`` (``vision.scene.calibration``), ``object.csv`` and perhaps
``base.csv`` (poses of the markers on the object and on the hand's base), and for every camera ``<camera>.csv`` with its
pictures (``eval.laboratory.capture``). For each picture of the first camera the nearest ones of the others make a
triplet; the object's pose is interpolated at the mean of their times. Pictures are undistorted and reduced in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.laboratory.capture import PictureStream, PoseStream, read_poses
from eval.laboratory.face_colors import check_colors
from eval.laboratory.opencv import opencv
from eval.laboratory.pictures import check_bits, read_picture
from eval.laboratory.placement import check_placement, displacements
from eval.laboratory.poses import check_pose, inverse, transform_from_pose
from eval.laboratory.triplets import picture_streams, recorded_triplets
from eval.laboratory.undistortion import Triplet, View, make_view
from vision.bounds import at_most_seconds
from vision.errors import DactylError
from vision.geometry.rotations import (
    FloatArray,
    quaternion_from_matrix,
    rigid_transform,
    rotation_from_quaternion,
)
from vision.io.files import exclusive_folder, fingerprint, remove, sha256, to_jsonable
from vision.progress import Advance, progress
from vision.scene.calibration import load_calibration
from vision.scene.load import check_scene
from vision.scene.objects import PoseObject
from vision.scene.rig import Rig
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST, reserve_output
from vision.storage.manifest import DatasetManifest
from vision.storage.records import write_record
from vision.storage.shards import ShardRecord, encode_sample, write_shard

_IDENTITY = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
_EPISODE_PAUSE_S = 2.0  # a longer pause between triplets begins another episode
_LONGEST_GAP_S = 1.0  # nobody knows where a moving object was meanwhile
_MARKER_OFFSET_M = 1.0  # the object's frame from that of its markers
_BASE_MM, _BASE_DEG = 3.0, 1.0  # a fixed base whose markers seem to move more was moved


@dataclass(frozen=True)
class ImportConfig:
    """A recording and how to import it. Poses are 7 numbers: x y z in metres, then a quaternion w x y z.

    Attributes:
        recording: folder of the recording.
        output: folder of the dataset.
        scene: name or file of the scene the network was trained on.
        capture_in_world: pose of the capture frame in the simulation's world; if a base is recorded, pose of the base's
            markers instead.
        object_in_markers: pose of the object's frame in that of its markers.
        tolerance_s: largest time between the images of a triplet.
        max_gap_s: largest time between two interpolated readings of the motion capture.
        warp: rotate every image to the direction and field of view of the trained camera (the camera's true position is
            kept); false only crops and reduces it.
        check_colors: compare the object's colours with what the poses imply; false for an object painted differently.
        picture_bits: number of significant bits in 16-bit PNG images; null to tell them from the values.
        image_size: longest side of the images, pixels; null for the size that the scene's cameras have.
        shard_size: number of samples in a shard.
    """

    recording: Path
    output: Path
    scene: str = "block"
    capture_in_world: list[float] = field(default_factory=lambda: list(_IDENTITY))
    object_in_markers: list[float] = field(default_factory=lambda: list(_IDENTITY))
    tolerance_s: float = 0.01
    max_gap_s: float = 0.05
    warp: bool = True
    check_colors: bool = True
    picture_bits: int | None = None
    image_size: int | None = None
    shard_size: int = 128

    def __post_init__(self) -> None:
        check_pose("capture_in_world", self.capture_in_world)
        check_pose("object_in_markers", self.object_in_markers, _MARKER_OFFSET_M)
        check_bits("picture_bits", self.picture_bits)
        check_scene(self.scene)
        if min(self.tolerance_s, self.max_gap_s) <= 0 or self.shard_size < 1:
            raise ValueError("tolerance_s, max_gap_s and shard_size: must be above 0")
        at_most_seconds(self, _LONGEST_GAP_S, "tolerance_s", "max_gap_s")
        if self.image_size is not None and not 16 <= self.image_size <= 2048:
            raise ValueError(f"image_size: must lie between 16 and 2048 pixels, got {self.image_size}")


def import_recording(config: ImportConfig, scene: Scene) -> tuple[TripletDataset, Counter[str]]:
    """Write the test set; how many triplets were dropped for which reason.

    Raises:
        DactylError: a file of the recording is missing or wrong, no triplet is left, or two cameras are swapped.
    """
    calibration = load_calibration(config.recording / "calibration.json")
    scene = scene.with_rig(scene.rig.resized(config.image_size or max(scene.rig.width, scene.rig.height)))
    rig, target = scene.rig, scene.object
    if missing := [name for name in rig.names if name not in calibration]:
        raise DactylError(
            f"{config.recording / 'calibration.json'}: camera '{missing[0]}' is missing; calibrate it too"
        )
    world_from_capture = find_world(config)
    capture_from_world = inverse(world_from_capture)
    if config.warp:
        placed = check_placement(config.recording, calibration, config.capture_in_world, world_from_capture, rig)
    else:
        placed = displacements(calibration, capture_from_world, rig)
    views = {
        camera.name: make_view(calibration[camera.name], capture_from_world, camera, config.warp)
        for camera in rig.cameras
    }
    triplets, dropped = synchronise(config, world_from_capture, rig, views, target)
    if not triplets:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise DactylError(f"{config.recording}: no triplet is left of {dropped.total()}: {reasons}")
    colors = "not compared"
    if config.check_colors:
        colors = check_colors(
            config.recording, triplets, views, target, world_from_capture, config.object_in_markers, config.picture_bits
        )
    identity = to_jsonable(config) | {"kind": "recording", "files": _hashes(config.recording, rig)}
    del identity["output"]
    identity["scene"] = scene.identity()
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
                "calibration_rms_px": {name: calibration[name].rms for name in rig.names},
                "camera_displacement": {name: asdict(each) for name, each in placed.items()},
                "colors": colors,
            },
            shards=shards,
        )
        write_record(config.output / MANIFEST, manifest)
    return TripletDataset(config.output), dropped


def find_world(config: ImportConfig) -> FloatArray:
    """Capture to world, (4, 4): as configured, or from where the markers of the hand's base were seen.

    Raises:
        DactylError: the base was not seen, or it moved, and with it every pose.
    """
    path = config.recording / "base.csv"
    if not path.exists():
        return transform_from_pose(config.capture_in_world)
    base = read_poses(path)
    seen = np.isfinite(base.position).all(axis=1)
    if not seen.any():
        raise DactylError(f"{path}: the base was never seen; check its markers, or remove the file")
    position = np.median(base.position[seen], axis=0)
    turns = rotation_from_quaternion(base.quaternion[seen])
    turn = turns.mean()
    moved = 1000.0 * np.percentile(np.linalg.norm(base.position[seen] - position, axis=1), 95)
    turned = np.rad2deg(np.percentile((turn.inv() * turns).magnitude(), 95))
    if moved > _BASE_MM or turned > _BASE_DEG:
        raise DactylError(
            f"{path}: the hand's base moved by {moved:.1f} mm and {turned:.1f} degrees; fix it and record again"
        )
    return transform_from_pose(config.capture_in_world) @ np.linalg.inv(rigid_transform(turn.as_matrix(), position))


def synchronise(
    config: ImportConfig, world_from_capture: FloatArray, rig: Rig, views: Mapping[str, View], target: PoseObject
) -> tuple[list[Triplet], Counter[str]]:
    """Triplets with a pose, in order of time, and how many were dropped for which reason."""
    pictures = picture_streams(config.recording, rig)
    poses = read_poses(config.recording / "object.csv")
    _refuse_other_clocks(config.recording, pictures, poses)
    found = recorded_triplets(pictures, config.tolerance_s)
    dropped = Counter({"no picture of another camera within tolerance_s": found.alone} if found.alone else {})
    triplets = []
    for each in found.triplets:
        assert each.time_s is not None
        markers = poses.at(each.time_s, config.max_gap_s)
        if isinstance(markers, str):
            dropped[markers] += 1
            continue
        pose = world_from_capture @ markers @ transform_from_pose(config.object_in_markers)
        if hidden := _outside(pose, views, target):
            dropped[f"object outside of camera {hidden}"] += 1
        else:
            triplets.append(Triplet(each.files, each.time_s, pose))
    return triplets, dropped


def _refuse_other_clocks(recording: Path, pictures: Mapping[str, PictureStream], poses: PoseStream) -> None:
    """Refuse streams none of whose times is another's."""
    spans = {f"{name}.csv": (stream.time[0], stream.time[-1]) for name, stream in pictures.items()}
    spans["object.csv"] = poses.time[0], poses.time[-1]
    latest, earliest = max(spans, key=lambda name: spans[name][0]), min(spans, key=lambda name: spans[name][1])
    if spans[latest][0] > spans[earliest][1]:
        first, second = ("{} from {:.10g} to {:.10g} s".format(name, *spans[name]) for name in (earliest, latest))
        raise DactylError(f"{recording}: times do not overlap: {first}, {second}; one clock for all")


def _outside(pose: FloatArray, views: Mapping[str, View], target: PoseObject) -> str | None:
    """Name of a camera whose picture does not hold all corners of the object."""
    corners = target.keypoints @ pose[:3, :3].T + pose[:3, 3]
    return next((name for name, view in views.items() if not view.holds(corners)), None)


def _write_shards(
    config: ImportConfig, scene: Scene, views: Mapping[str, View], triplets: list[Triplet], config_fingerprint: str
) -> tuple[ShardRecord, ...]:
    """Write all shards and return their records."""
    pauses = np.diff([triplet.time for triplet in triplets], prepend=triplets[0].time) > _EPISODE_PAUSE_S
    episodes = np.cumsum(pauses)
    rig = scene.rig
    joints = 0 if scene.hand is None else len(scene.hand.joints)
    matrices = np.stack([views[name].matrix for name in rig.names])
    transforms = np.stack([views[name].transform for name in rig.names])
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
                "joint_position": np.zeros(joints),  # nobody measured them; the manifest says so
                "camera_intrinsics": matrices,
                "camera_extrinsics": transforms,
            }
            images = np.zeros((len(rig), rig.height, rig.width, 3), np.uint8)
            for image, camera, file in zip(images, rig.cameras, triplet.files, strict=True):
                image[: camera.height, : camera.width] = views[camera.name](
                    read_picture(file, config.picture_bits), file
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
    """SHA-256 of the recording's tables."""
    names = ["calibration.json", "object.csv", "base.csv", *(f"{name}.csv" for name in rig.names)]
    return {name: sha256(recording / name) for name in names if (recording / name).exists()}
