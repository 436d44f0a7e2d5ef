"""Displacement of a laboratory's cameras from those for which a network was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.poses import inverse, reordered, transform_from_pose
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import FloatArray, geodesic_distance
from vision.rigs.rig import Rig

_FAR_M, _FAR_DEG = 0.3, 45.0  # beyond this from the trained camera, the frame is wrong, not the camera displaced


@dataclass(frozen=True)
class Displacement:
    """Distance of a camera from the trained one.

    Attributes:
        mm: between their centres, millimetres.
        degrees: between their orientations.
        axis_deg: between their optical axes alone, degrees: what remains when images are rotated.
    """

    mm: float
    degrees: float
    axis_deg: float


def displacements(cameras: Cameras, rig: Rig) -> dict[str, Displacement]:
    """Compute the displacement of each of a rig's cameras, by name, from cameras in the world, (C, 4, 4)."""
    found = {}
    for name, true, nominal in zip(rig.names, cameras.extrinsics, rig.nominal.extrinsics, strict=True):
        between = inverse(true)[:3, 3] - inverse(nominal)[:3, 3]
        turn = np.rad2deg(geodesic_distance(true[:3, :3], nominal[:3, :3]))
        axis = np.rad2deg(np.arccos(np.clip(true[2, :3] @ nominal[2, :3], -1.0, 1.0)))
        found[name] = Displacement(1000 * float(np.linalg.norm(between)), float(turn), float(axis))
    return found


def in_world(calibration: Rig, world_from_capture: FloatArray) -> Rig:
    """Return calibrated cameras in the world, for the transform (4, 4) of capture coordinates to it."""
    return calibration.with_extrinsics(calibration.nominal.in_frame(inverse(world_from_capture)).extrinsics)


def check_placement(
    recording: Path, calibration: Rig, capture_in_world: Sequence[float], world_from_capture: FloatArray, rig: Rig
) -> dict[str, Displacement]:
    """Return the displacements of all cameras, after checking that none is implausibly large.

    Args:
        recording: the recording, for errors.
        calibration: the calibrated cameras, in capture coordinates.
        capture_in_world: configured pose of the capture frame, or of the base's markers if a base was recorded.
        world_from_capture: (4, 4) that follows from it.
        rig: the trained cameras, in the same order.

    Raises:
        DactylError: a camera is far from the trained one; the message names the likely mistake.
    """
    cameras = calibration.nominal
    found = displacements(cameras.in_frame(inverse(world_from_capture)), rig)
    far = [name for name, each in found.items() if _is_far(each)]
    if not far:
        return found
    likely = "check capture_in_world, or import with --warp false where the cameras are elsewhere"
    for text, meant in _changes(cameras, capture_in_world, world_from_capture):
        if not any(map(_is_far, displacements(meant, rig).values())):
            likely = text
            break
    require_near(recording, found, likely)
    return found


def require_near(where: Path, found: Mapping[str, Displacement], mend: str) -> None:
    """Raise :class:`DactylError` about ``where`` if a camera is far from the trained one; ``mend`` is the remedy."""
    name, worst = max(found.items(), key=lambda item: farness(item[1]))  # the frame's alignment moves the others, too
    if _is_far(worst):
        raise DactylError(
            f"{where}: camera '{name}' is {worst.mm:.0f} mm and {worst.axis_deg:.0f} degrees from the trained one, "
            f"expected at most {1000 * _FAR_M:.0f} and {_FAR_DEG:.0f}; {mend}"
        )


def farness(displacement: Displacement) -> float:
    """Return a displacement as a fraction of what is too far, by distance or direction."""
    return max(displacement.mm / (1000 * _FAR_M), displacement.axis_deg / _FAR_DEG)


def _is_far(displacement: Displacement) -> bool:
    return farness(displacement) > 1


def _changes(
    cameras: Cameras, capture_in_world: Sequence[float], world_from_capture: FloatArray
) -> Iterator[tuple[str, Cameras]]:
    """Yield what the user may have meant by cameras in capture coordinates: a description, and cameras in the world."""
    configured = transform_from_pose(capture_in_world)
    from_base = inverse(configured) @ world_from_capture  # the inverse of the base's pose, else the identity
    base = inverse(reordered(inverse(from_base)))
    for text, world in (
        ("capture_in_world seems to be x y z w, expected w x y z", reordered(configured) @ from_base),
        ("capture_in_world seems to be the inverse, expected capture in world", inverse(configured) @ from_base),
        ("the quaternions of base.csv seem to be x y z w, expected w x y z", configured @ base),
    ):
        yield text, cameras.in_frame(inverse(world))
    turned = cameras._replace(extrinsics=inverse(cameras.extrinsics))
    text = "the calibration's transforms seem to be camera to capture, expected the inverse"
    yield text, turned.in_frame(inverse(world_from_capture))
