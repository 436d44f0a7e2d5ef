"""Check of a recording by the object's colours: exchanged cameras, wrong rotations, red and blue exchanged.

The colour of each visible face is sampled beside its letter, at the pixels given by the recorded pose, and compared
with the definition's. If another interpretation of the recording fits much better, it is the likely mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from eval.laboratory.import_config import ImportConfig
from eval.laboratory.orders import other_orders
from eval.laboratory.pictures import read_picture
from eval.laboratory.poses import inverse, reordered, transform_from_pose
from eval.laboratory.triplets import Triplet
from eval.laboratory.undistortion import View
from vision.errors import DactylError
from vision.geometry.cameras import camera_centres, project
from vision.geometry.rotations import FloatArray, rigid_transform
from vision.objects.pose_object import PoseObject
from vision.statistics.spacing import evenly_spaced

Verdict = Literal["fit", "cannot tell"]

_SAMPLES = 40
_BETTER = 0.7  # fraction of the recorded cost, below which another interpretation is believed
_CONVINCES = 0.6  # fraction of the rotations' mean cost: it must also fit well by itself, since many are tried
_TELLS = 0.8  # fraction of the same mean, above which the recorded colours prove nothing
_GREY = 0.04  # standard deviation of chromaticities, below which the images have no colour
_FACING = 0.35  # cosine between a face's normal and the direction to the camera


@dataclass(frozen=True)
class _Sighting:
    """Faces that were sampled: number (M,) and observed chromaticity (M, 3); and how many images show none."""

    faces: np.ndarray
    colors: FloatArray
    empty: int

    @classmethod
    def joined(cls, parts: Sequence[_Sighting]) -> _Sighting:
        faces = np.concatenate([part.faces for part in parts])
        return cls(faces, np.concatenate([part.colors for part in parts]), sum(part.empty for part in parts))

    def mirrored(self) -> _Sighting:
        """Return the same faces with red and blue exchanged."""
        return _Sighting(self.faces, self.colors[:, ::-1], self.empty)

    def spread(self) -> float:
        """Compute the root mean square distance of the colours from their mean: 0 in grey images."""
        return float(np.sqrt(self.colors.var(axis=0).sum())) if len(self.colors) else 0.0

    def cost(self, target: PoseObject) -> float:
        """Compute the mean distance of observed from defined chromaticities; an image without a face counts as 1."""
        defined = np.array([face.color for face in target.faces])
        # Black has no chromaticity, and is taken for grey.
        brightness = defined.sum(axis=1, keepdims=True)
        defined = np.divide(defined, brightness, out=np.full_like(defined, 1 / 3), where=brightness > 0)
        distances = np.linalg.norm(self.colors - defined[self.faces], axis=1)
        return float((distances.sum() + self.empty) / max(len(distances) + self.empty, 1))


def check_colors(
    config: ImportConfig,
    triplets: Sequence[Triplet],
    views: Mapping[str, View],
    target: PoseObject,
    world_from_capture: FloatArray,
) -> Verdict:
    """Return whether the object's colours fit the recorded poses, or cannot tell.

    Args:
        config: the import.
        triplets: all triplets of the recording that have a pose.
        views: conversion of each camera's images, by name.
        target: the object.
        world_from_capture: (4, 4) capture to world.

    Raises:
        DactylError: exchanged cameras, another rotation, or red and blue exchanged fit much better.
    """
    names = list(views)
    chosen = [triplets[number] for number in evenly_spaced(len(triplets), _SAMPLES)]
    poses = np.stack([triplet.pose for triplet in chosen])
    made = _made_pictures(chosen, views, config.picture_bits)
    own = [made[name, name] for name in names]

    def read(other: FloatArray) -> _Sighting:
        return _Sighting.joined(
            [_look_up(each, views[name], other, target) for name, each in zip(names, own, strict=True)]
        )

    recorded = read(poses)
    if recorded.spread() < _GREY:
        return "cannot tell"
    cost = np.ones((len(names), len(names)))  # row: camera of the images; column: camera of the calibration
    for (i, first), (j, second) in itertools.product(enumerate(names), repeat=2):
        if (first, second) in made:
            cost[i, j] = _look_up(made[first, second], views[second], poses, target).cost(target)
    as_recorded = recorded.cost(target)
    readings = _exchanges(cost, names)
    readings["red and blue seem to be exchanged in the pictures"] = recorded.mirrored().cost(target)
    mount = transform_from_pose(config.object_in_markers)
    for text, other in _other_poses(poses, world_from_capture, mount):
        readings[text] = read(other).cost(target)
    turned = {_turn_text(turn): read(_turned(poses, turn)).cost(target) for turn in target.shape_symmetries[1:]}
    readings |= turned
    chance = float(np.mean([as_recorded, *turned.values()]))
    best = min(readings, key=lambda text: readings[text])
    if readings[best] < min(_BETTER * as_recorded, _CONVINCES * chance):
        raise DactylError(
            f"{config.recording}: the object's colours do not fit its poses: {best}; where the object is painted "
            "otherwise, import with --check_colors false"
        )
    return "fit" if as_recorded < _TELLS * chance else "cannot tell"


def _made_pictures(
    triplets: Sequence[Triplet], views: Mapping[str, View], bits: int | None
) -> dict[tuple[str, str], np.ndarray]:
    """Convert the images of each camera by the calibration of each camera of the same size, to (N, H, W, 3)."""
    made: dict[tuple[str, str], list[np.ndarray]] = {(first, second): [] for first in views for second in views}
    for triplet in triplets:
        for first, file in zip(views, triplet.files, strict=True):
            picture = read_picture(file, bits)  # one at a time: it may have fifty million pixels
            for second, view in views.items():
                if first == second or picture.shape[:2] == (view.source.height, view.source.width):
                    made[first, second].append(view(picture, file))
    return {pair: np.stack(pictures) for pair, pictures in made.items() if len(pictures) == len(triplets)}


def _exchanges(cost: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """Compute the cost of other orders of the cameras, by their description; ``cost`` is by image and calibration."""
    found = {}
    for order in other_orders(len(names)):
        swapped = [f"{names[i]} shows what {names[j]} should see" for i, j in enumerate(order) if i != j]
        text = f"cameras are swapped: {', '.join(swapped)}; exchange their CSV files"
        found[text] = float(np.mean([cost[i, j] for i, j in enumerate(order)]))
    return found


def _other_poses(
    poses: FloatArray, world_from_capture: FloatArray, object_in_markers: FloatArray
) -> list[tuple[str, FloatArray]]:
    """Return other interpretations of the poses: a description, and the object's poses in the world (N, 4, 4)."""
    markers = inverse(world_from_capture) @ poses @ inverse(object_in_markers)
    back = rigid_transform(np.swapaxes(markers[:, :3, :3], 1, 2), markers[:, :3, 3])
    mount = reordered(object_in_markers)
    return [
        (
            "the quaternions of object.csv seem to be x y z w, expected w x y z",
            world_from_capture @ reordered(markers) @ object_in_markers,
        ),
        (
            "the quaternions of object.csv seem to turn from capture to body, expected body to capture",
            world_from_capture @ back @ object_in_markers,
        ),
        ("object_in_markers seems to be x y z w, expected w x y z", world_from_capture @ markers @ mount),
        (
            "object_in_markers seems to be the inverse, expected the object's frame in that of its markers",
            world_from_capture @ markers @ inverse(object_in_markers),
        ),
    ]


def _turned(poses: FloatArray, turn: FloatArray) -> FloatArray:
    return np.asarray(poses @ rigid_transform(turn, [0, 0, 0]))


def _turn_text(turn: FloatArray) -> str:
    vector = Rotation.from_matrix(turn).as_rotvec()
    angle = np.linalg.norm(vector)
    axis = " ".join(f"{value:.3g}" for value in np.round(vector / angle, 3) + 0.0)
    return (
        f"they fit when it is turned by {np.rad2deg(angle):.0f} degrees about its axis {axis}: check the rotation in "
        "object_in_markers"
    )


def _look_up(pictures: np.ndarray, view: View, poses: FloatArray, target: PoseObject) -> _Sighting:
    """Sample the faces in images (N, H, W, 3) at the pixels to which poses (N, 4, 4) project them."""
    camera = view.result
    eye = camera_centres(camera.extrinsics)
    rotation, place = poses[:, :3, :3], poses[:, :3, 3]
    faces, colors = [], []
    looked = np.zeros(len(poses), bool)
    size = np.array([pictures.shape[2], pictures.shape[1]])  # width and height
    for number, face in enumerate(target.faces):
        corners = target.keypoints[list(face.corners)]
        toward = eye - (rotation @ corners.mean(axis=0) + place)
        facing = np.einsum("ni,ni->n", rotation @ np.asarray(face.normal), toward)
        beside = 0.15 * corners.mean(axis=0) + 0.85 * corners  # near the corners, beside the letter
        points = np.einsum("nij,kj->nki", rotation, beside) + place[:, None]
        places = np.nan_to_num(project(points, camera), nan=-1).astype(int)  # (N, K, 2)
        inside = np.all((places >= 0) & (places < size), axis=-1)
        for n in np.flatnonzero((facing > _FACING * np.linalg.norm(toward, axis=-1)) & inside.any(axis=1)):
            x, y = places[n, inside[n]].T
            seen = pictures[n, y, x].astype(np.float64)
            faces.append(number)
            colors.append(np.median(seen / np.maximum(seen.sum(axis=-1, keepdims=True), 1.0), axis=0))
            looked[n] = True
    return _Sighting(np.array(faces, int), np.reshape(colors, (-1, 3)), int((~looked).sum()))
