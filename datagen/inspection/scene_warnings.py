"""Warnings of probable mistakes in a valid scene file, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import trimesh
from scipy.spatial import ConvexHull

from datagen.inspection.scene import inside, landmark_points
from vision.geometry.rotations import FloatArray
from vision.objects.mesh_symmetries import symmetries_change_colors, undeclared_symmetry
from vision.objects.pose_object import Piece, PoseObject
from vision.rigs.calibration import MAX_POSITION_M
from vision.rigs.rig import Camera
from vision.scene.framing import pixels_across
from vision.scene.scene import Scene
from vision.scene.surroundings import Background

_LEAST_PIXELS = 30  # no network estimates the pose of an object smaller than this in an image well
_FEWEST_LANDMARKS = 4  # whose pixels exceed the seven numbers of a displaced camera
_FOLDS_BACK = 0.7  # of the angle to the corner; polynomials of wide lenses end near it
_FAR_FROM_MIDDLE = 0.12  # of a side: calibrations of whole images lie nearer to it
_LEAST_DENSITY, _GREATEST_DENSITY = 30.0, 23_000.0  # kg/m^3, foam and platinum
_FACING_APART = 0.02  # fraction of the edges, because reduced meshes have some inconsistent ones
_FAR_FROM_PIECES = 0.05  # fraction of the object's diameter: more than a convex piece rounds off


def warnings(scene: Scene) -> Iterator[str]:
    """Yield a sentence for each statement that is allowed but probably a mistake."""
    yield from _object_warnings(scene.object)
    start, work = np.array(scene.workspace.start), scene.workspace
    if work.drop_height is not None and work.start[2] <= work.drop_height:
        yield f"workspace: the object starts at {work.start[2]:g} m, not above drop_height, {work.drop_height:g} m"
    if scene.background.kind != "none" and work.start[2] < scene.background.centre[2]:
        yield f"workspace: the object starts at {work.start[2]:g} m, below the {scene.background.kind}"
    if scene.hand is not None and not scene.hand.actuators:
        yield (
            "hand: it has no actuators, so nothing moves it: all images will show it as it falls or stays; "
            "add <position> actuators to its MJCF (a URDF's joints get servos)"
        )
    landmarks = landmark_points(scene)
    for camera in scene.rig.cameras:
        yield from _camera_warnings(scene, camera, start)
        if len(landmarks) and (seen := inside(camera, landmarks).sum()) < _FEWEST_LANDMARKS:
            yield (
                f"camera {camera.name}: only {seen} of the hand's {len(landmarks)} landmarks lie in its image, too few "
                "to find where it really is (nominal protocol); let it see more of the hand's base, or calibrate it"
            )
    for number, camera in enumerate(scene.rig.cameras):
        for other in scene.rig.cameras[:number]:
            if np.allclose(camera.extrinsics, other.extrinsics, atol=1e-6):
                yield f"cameras {other.name} and {camera.name} stand at one place and look one way"
    if len(scene.rig) == 1 and len(scene.object.symmetries.axes) == 1:
        yield (
            "one camera sees a body of revolution, which looks nearly the same with its axis mirrored in the line of "
            "sight: expect the wrong one of the two in some images, or add a camera"
        )
    if scene.landmarks is None:
        yield (
            "no landmarks: nothing in the scene stands still and is known, so estimates need calibrated cameras "
            "(the nominal protocol is refused)"
        )


def _object_warnings(target: PoseObject) -> Iterator[str]:
    volume = sum(piece.volume for piece in target.pieces)
    density = target.mass / volume
    if not _LEAST_DENSITY < density < _GREATEST_DENSITY:
        yield (
            f"object: {1000 * target.mass:.3g} g in {1e6 * volume:.3g} cm3 are {density:.3g} kg/m3; is the mass in "
            "kilograms, and the size in metres?"
        )
    far = _FAR_FROM_PIECES * target.diameter
    bare = (_outside(target.pieces, target.points) > far).mean()
    if bare > 0:
        yield (
            f"object: {bare:.0%} of its surface lies more than {1000 * far:.1f} mm outside all convex pieces, where "
            "nothing collides; is a piece missing, or in other coordinates?"
        )
    plain = len({part.color for part in target.parts}) == 1 and not any(part.texture for part in target.parts)
    if plain and target.symmetries.trivial and len(target.shape_symmetries) > 1:
        yield (
            f"object: one colour and no texture, and its shape looks the same after {len(target.shape_symmetries)} "
            "rotations, but no symmetries are declared: orientations that look alike will count as errors"
        )
    if target.faces:  # its symmetries follow from the colours and letters of its sides
        return
    yield from _facing_warnings(target)
    if turn := undeclared_symmetry(target):
        yield (
            f"object: {turn} leaves its shape and colours as they are, which its symmetries do not say: orientations "
            "that look alike will count as errors"
        )
    if symmetries_change_colors(target):
        yield (
            "object: a declared symmetry carries its colours onto others: orientations that look different will count "
            "as right"
        )


def _facing_warnings(target: PoseObject) -> Iterator[str]:
    """Warn if cameras would see through the surface, since renderers only draw the side that its triangles face."""
    solid = trimesh.Trimesh(target.mesh.vertices, target.mesh.faces)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    order = np.unique(solid.edges_sorted, axis=0, return_inverse=True)[1].reshape(-1)
    count = np.bincount(order)
    upwards = np.bincount(order, solid.edges[:, 0] < solid.edges[:, 1])
    if (upwards[count == 2] != 1).mean() > _FACING_APART:
        yield (
            "object: neighbouring triangles face opposite ways, and those that face inwards are not drawn; make its "
            "normals consistent"
        )
    elif np.linalg.det(solid.triangles - solid.centroid).sum() < 0:
        yield "object: its triangles face inwards, and are not drawn from outside; flip its normals"


def _outside(pieces: Sequence[Piece], points: FloatArray) -> FloatArray:
    """Return distances (N,) of points (N, 3) from the nearest piece, metres; negative inside.

    Distances are to the planes of the piece's faces, which is at most the true distance.
    """
    distances = []
    for piece in pieces:
        if piece.size is not None:
            distances.append((np.abs(points) - piece.size).max(axis=1))
        elif piece.vertices is not None:
            planes = ConvexHull(piece.vertices).equations
            distances.append((points @ planes[:, :3].T + planes[:, 3]).max(axis=1))
    nearest: FloatArray = np.min(distances, axis=0)
    return nearest


def _camera_warnings(scene: Scene, camera: Camera, start: FloatArray) -> Iterator[str]:
    away = float(np.linalg.norm(camera.position - start))
    if away > MAX_POSITION_M:
        yield f"camera {camera.name}: it is {away:.0f} m away from the object; is its position in millimetres?"
        return
    if away < scene.object.diameter / 2:
        yield f"camera {camera.name}: it is inside the object's initial position"
        return
    if not inside(camera, start[None])[0]:
        behind = (camera.extrinsics @ (*start, 1.0))[2] <= 0
        yield (
            f"camera {camera.name}: the object starts {'behind it' if behind else 'outside of its image'}; are its "
            "extrinsics from the world to the camera (OpenCV: x right, y down, z forward)?"
        )
    elif (size := pixels_across(scene, camera)) < _LEAST_PIXELS:
        yield f"camera {camera.name}: the object is only {size:.0f} pixels across"
    elif not inside(camera, scene.object.points + start).all():
        yield f"camera {camera.name}: the object does not fit into its image where it starts"
    off = np.abs(camera.intrinsics[:2, 2] / (camera.width, camera.height) - 0.5)
    if off.max() > _FAR_FROM_MIDDLE:
        yield (
            f"camera {camera.name}: its principal point is {100 * off.max():.0f} % of a side from the image's middle; "
            f"is {camera.width} x {camera.height} the size for which it was calibrated?"
        )
    lens = camera.distortion
    if lens is not None and lens.max_angle < _FOLDS_BACK * _corner_angle(camera):
        yield (
            f"camera {camera.name}: its distortion folds back {np.rad2deg(lens.max_angle):.0f} degrees from the axis, "
            "far inside of the image; check the coefficients' signs and decimal points"
        )
    if scene.background.kind == "plane" and _sees_past(camera, scene.background):
        yield (
            f"camera {camera.name}: sees past the background's border, where pictures are black, whatever is "
            "randomized; enlarge background.half_size, or look down more steeply"
        )


def _corner_angle(camera: Camera) -> float:
    """Return the largest angle from the axis to a corner of a camera's image without distortion, radians."""
    corners = np.array([[x, y] for x in (0, camera.width) for y in (0, camera.height)])
    off = (corners - camera.intrinsics[:2, 2]) / np.diag(camera.intrinsics)[:2]
    return float(np.arctan(np.linalg.norm(off, axis=1).max()))


def _sees_past(camera: Camera, plane: Background) -> bool:
    """Return whether a corner of a camera's image looks past or above a plane."""
    pixels = np.array([[x, y, 1.0] for x in (0, camera.width) for y in (0, camera.height)])
    rays = pixels @ np.linalg.inv(camera.intrinsics).T @ camera.extrinsics[:3, :3]  # in the world
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (plane.centre[2] - camera.position[2]) / rays[:, 2]
        met = camera.position[:2] + along[:, None] * rays[:, :2]
        on_it = (np.abs(met - plane.centre[:2]) <= plane.half_size).all(axis=1)
    return not ((along > 0) & on_it).all()
