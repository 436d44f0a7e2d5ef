"""Readers of a laboratory's calibration files, for the cameras of a network's rig."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from scipy.spatial.transform import Rotation

from eval.laboratory.placement import displacements, farness, require_near
from eval.laboratory.poses import inverse
from vision.errors import DactylError
from vision.geometry.cameras import camera_centres
from vision.geometry.rotations import FloatArray, geodesic_distance, rigid_transform
from vision.rigs.rig import Camera, Rig
from vision.rigs.rig_readers import read_intrinsics, read_rig

_PARALLEL = 0.98  # cosine between optical axes
_SAME_M, _SAME_DEG = 0.05, 5.0  # between capture frame and world; if closer, only the cameras are displaced
_MOST_NUMBERED = 6  # of more cameras there are too many orders to try
_CLEARLY, _SAME_FARNESS = 3.0, 0.05  # an order must be so many times nearer than the next, or that much of what is far


def read_calibration(path: Path, rig: Rig) -> Rig:
    """Read calibrated cameras from our ``calibration.json`` or Kalibr's camchain, named and ordered as the rig's.

    Kalibr numbers its cameras cam0, cam1 and so on, in any order: each is the rig's camera that stands where it does.
    They may also be renamed in the file.

    Raises:
        DactylError: the file is damaged or of another kind, or lacks a camera of the rig; or numbered cameras can be
            the rig's in several ways, or are too many to try.
    """
    found = read_rig(path)
    if found is None:
        raise DactylError(
            f"{path}: no calibration of several cameras with their places (calibration.json, Kalibr's camchain)"
        )
    if not set(found.names) & set(rig.names) and list(found.names) == [f"cam{number}" for number in range(len(rig))]:
        return _assigned(path, found, rig)
    if absent := [name for name in rig.names if name not in found.names]:
        there = ", ".join(found.names)
        raise DactylError(
            f"{path}: camera '{absent[0]}' is missing (it has {there}); calibrate it too, "
            "or give the network of these cameras (--checkpoint)"
        )
    return found.chosen(rig.names)


def _assigned(path: Path, numbered: Rig, rig: Rig) -> Rig:
    """Return numbered cameras as the rig's, in the order that brings them nearest to the rig's."""
    rename = "rename the cameras in the file, in the order of its chain"
    if len(rig) > _MOST_NUMBERED:
        raise DactylError(f"{path}: more than {_MOST_NUMBERED} numbered cameras; {rename} ({', '.join(rig.names)})")
    orders = []
    for order in itertools.permutations(numbered.cameras):
        named = Rig(cameras=tuple(replace(each, name=name) for each, name in zip(order, rig.names, strict=True)))
        placed = displacements(named.nominal.in_frame(inverse(_alignment(named, rig))), rig)
        orders.append((max(map(farness, placed.values())), order, named))
    orders.sort(key=lambda each: each[0])
    (best, first, named), *others = orders
    if others and others[0][0] < min(1.0, _CLEARLY * best + _SAME_FARNESS):
        ways = " or ".join(", ".join(camera.name for camera in order) for order in (first, others[0][1]))
        raise DactylError(f"{path}: {', '.join(rig.names)} can be {ways}; {rename}")
    return named


def read_lenses(paths: Mapping[str, Path], rig: Rig) -> Rig:
    """Read each camera's lens from a file of OpenCV or ROS; the cameras are assumed at the rig's nominal poses.

    Raises:
        DactylError: a file is missing, damaged or of another kind.
    """
    paths = rig.in_order(paths, "lenses", "its file")
    found = []
    for camera in rig.cameras:
        seen = read_intrinsics(paths[camera.name])
        try:
            found.append(Camera(camera.name, seen.width, seen.height, seen.matrix, camera.extrinsics, seen.lens))
        except ValueError as error:
            raise DactylError(f"{paths[camera.name]}: {error}") from None
    return Rig(cameras=tuple(found))


def find_capture_frame(path: Path, calibration: Rig, rig: Rig) -> FloatArray:
    """Find capture to world, (4, 4), that brings the calibrated cameras nearest to the rig's nominal ones.

    If this is nearly the identity, the identity is returned: the calibration is then in the world frame, with displaced
    cameras. ``calibration`` has the rig's cameras in its order.

    Raises:
        DactylError: a camera remains far from the rig's.
    """
    world_from_capture = _alignment(calibration, rig)
    placed = displacements(calibration.nominal.in_frame(inverse(world_from_capture)), rig)
    require_near(path, placed, "the network knows the object as its own cameras see it: put them where those are")
    return world_from_capture


def _alignment(calibration: Rig, rig: Rig) -> FloatArray:
    nominal, true = rig.nominal.extrinsics, calibration.nominal.extrinsics
    turn: Rotation
    axes, seen_along = nominal[:, 2, :3], true[:, 2, :3]
    if max(float(np.abs(each @ each.T).min()) for each in (axes, seen_along)) < _PARALLEL:
        turn, _ = Rotation.align_vectors(axes, seen_along)  # a camera may be mounted upside down
    else:  # of parallel optical axes, or a single camera's, only whole orientations tell
        turn = Rotation.from_matrix(np.swapaxes(nominal[:, :3, :3], 1, 2) @ true[:, :3, :3]).mean()
    there, here = (camera_centres(each) for each in (nominal, true))
    shift = (there - turn.apply(here)).mean(axis=0)
    world_from_capture = rigid_transform(turn.as_matrix(), shift)
    off_deg = np.rad2deg(geodesic_distance(world_from_capture[:3, :3], np.eye(3)))
    middle = there.mean(axis=0)
    if off_deg < _SAME_DEG and np.linalg.norm(world_from_capture[:3] @ [*middle, 1.0] - middle) < _SAME_M:
        world_from_capture = np.eye(4)
    return world_from_capture
