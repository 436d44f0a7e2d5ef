"""A recording's triplets with the object's pose in the world from motion capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eval.laboratory.capture import PictureStream, PoseStream, read_poses
from eval.laboratory.import_config import ImportConfig
from eval.laboratory.poses import transform_from_pose
from eval.laboratory.triplets import Triplet, picture_streams, recorded_triplets
from eval.laboratory.undistortion import View
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, rigid_transform, rotation_from_quaternion
from vision.objects.pose_object import PoseObject
from vision.rigs.rig import Rig

_BASE_MM, _BASE_DEG = 3.0, 1.0  # a base whose markers move more was not fixed


def find_world(config: ImportConfig) -> FloatArray:
    """Find capture to world, (4, 4): as configured, or from the measured pose of the markers on the hand's base.

    Raises:
        DactylError: the base was not seen, or it moved, which makes every pose wrong.
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
    """Return the triplets that have a pose, in order of time, and the number of dropped ones by reason."""
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
    """Refuse streams whose times do not overlap."""
    spans = {f"{name}.csv": (stream.time[0], stream.time[-1]) for name, stream in pictures.items()}
    spans["object.csv"] = poses.time[0], poses.time[-1]
    latest, earliest = max(spans, key=lambda name: spans[name][0]), min(spans, key=lambda name: spans[name][1])
    if spans[latest][0] > spans[earliest][1]:
        first, second = ("{} from {:.10g} to {:.10g} s".format(name, *spans[name]) for name in (earliest, latest))
        raise DactylError(f"{recording}: times do not overlap: {first}, {second}; one clock for all")


def _outside(pose: FloatArray, views: Mapping[str, View], target: PoseObject) -> str | None:
    """Return the name of a camera whose image does not contain the whole object; None if there is none."""
    surface = target.mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
    return next((name for name, view in views.items() if not view.holds(surface)), None)
