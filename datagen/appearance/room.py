"""Contents of a scene before clutter is added: object, hand, cameras and floor."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from datagen.appearance.clutter_pieces import ClutterPiece
from datagen.sim.geom_meshes import geom_mesh
from datagen.sim.scene import compile_scene
from vision.geometry.cameras import Cameras, camera_centres
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.scene.scene import Scene
from vision.scene.surroundings import Background

_CAMERA_CLEARANCE = 0.08  # fraction of the cameras' distance: a closer piece may fill the image
_CONE_POINTS = 24  # closer together than the object's radius for cameras up to a metre away
_FROM_HAND = 2.0  # factor on the clearance, since the hand's surface is sampled more coarsely
_RAYS = 64  # points of the object whose visibility is tested


@dataclass(frozen=True, eq=False)
class Room:
    """Part of one sample's state that matters for clutter. Metres, world frame.

    Attributes:
        cameras: positions of the cameras, (C, 3).
        target: points all over the object's surface, (N, 3).
        hand: points all over the hand's surface, (M, 3).
        axis: point on the axis of the workspace, (3,).
        background: the floor.
    """

    cameras: FloatArray
    target: FloatArray
    hand: FloatArray
    axis: FloatArray
    background: Background

    @functools.cached_property
    def centre(self) -> FloatArray:
        """Centre of the object, (3,), metres."""
        middle: FloatArray = (self.target.min(axis=0) + self.target.max(axis=0)) / 2
        return middle

    @functools.cached_property
    def scale(self) -> float:
        """Mean distance of the cameras from the object, metres."""
        return float(np.linalg.norm(self.cameras - self.centre, axis=1).mean())

    @functools.cached_property
    def radius(self) -> float:
        """Radius of a ball around the centre that encloses the object, metres."""
        return float(np.linalg.norm(self.target - self.centre, axis=1).max())

    @functools.cached_property
    def inner_radius(self) -> float:
        """Radius of a ball around the centre that the object's surface does not enter, metres."""
        return float(np.linalg.norm(self.target - self.centre, axis=1).min())

    def floor(self, place: FloatArray) -> float:
        """Return the height of the background under a place (3,); minus infinity if there is none."""
        return self.background.height(float(place[0]), float(place[1]))

    @functools.cached_property
    def ground(self) -> float:
        """Height of the floor in the middle of the workspace, or of the workspace if there is no floor."""
        floor = self.floor(self.axis)
        return floor if np.isfinite(floor) else float(self.axis[2])

    def is_clear(self, piece: ClutterPiece, clearance: float) -> bool:
        """Return whether a piece touches nothing, and blocks a camera only if it stands in front or comes from above.

        Args:
            piece: piece at its intended place.
            clearance: distance to keep from samples of the object's surface, and twice that from samples of the
                hand's, as a fraction of ``scale``. No point of the surfaces is farther than that from a sample: no
                piece reaches into them, but between samples one may come closer.
        """
        clearance *= self.scale
        # Fingers may reach closer than a ball around the object; pieces inside the object are close to its centre.
        ball = self.inner_radius if piece.place == "above" else self.radius + clearance
        points = np.concatenate([self.centre[None], self.cameras])
        least = np.array([ball, *np.full(len(self.cameras), _CAMERA_CLEARANCE * self.scale)])
        if piece.place in ("behind", "beside"):
            along, radii = self._cones
            points, least = np.concatenate([points, along]), np.concatenate([least, radii])
        if (piece.distance(points) < least).any():
            return False
        if piece.place == "above" and not self._apart(piece, self.target, clearance):
            return False
        return self._apart(piece, self.hand, _FROM_HAND * clearance)

    @functools.cached_property
    def _cones(self) -> tuple[FloatArray, FloatArray]:
        """Cones in which the cameras see the object, as spheres along them: centres (K, 3) and radii (K,)."""
        way = np.linspace(0.1, 1.0, _CONE_POINTS)
        points = self.cameras[:, None] + way[:, None] * (self.centre - self.cameras[:, None])
        return points.reshape(-1, 3), np.tile(way * self.radius, len(self.cameras))

    @staticmethod
    def _apart(piece: ClutterPiece, surface: FloatArray, clearance: float) -> bool:
        middle, radius = piece.ball
        near = surface[((surface - middle) ** 2).sum(axis=1) < (radius + clearance) ** 2]
        return len(near) == 0 or bool(piece.distance(near).min() >= clearance)

    def nothing_hidden(self) -> NDArray[np.bool_]:
        """Return a mask (C, K), all False: without clutter, none of K points of the object is hidden from a camera."""
        return np.zeros((len(self.cameras), len(self._seen)), dtype=np.bool_)

    def hides(self, piece: ClutterPiece) -> NDArray[np.bool_]:
        """Return which of these points a piece hides from which camera, (C, K)."""
        if piece.place in ("behind", "beside"):
            return self.nothing_hidden()
        return piece.blocks(self.cameras[:, None], self._seen)

    @functools.cached_property
    def _seen(self) -> FloatArray:
        return self.target[:: -(-len(self.target) // _RAYS)]


class Surfaces:
    """Surface points of a scene's hand and object, from which rooms of its samples are made.

    Args:
        scene: scene with the hand and the object.
        spacing: largest distance of the object's surface from one of its points, as a fraction of the nominal cameras'
            distance from the workspace. On the hand it is twice that.
    """

    def __init__(self, scene: Scene, spacing: float) -> None:
        compiled = compile_scene(scene, "render", mesh_fraction=0.1)
        self._scene, self._model, self._qpos = scene, compiled.model, compiled.hand_qpos
        self._data = mujoco.MjData(compiled.model)
        centre = np.array(scene.workspace.light_centre)
        positions = np.array([camera.position for camera in scene.rig.cameras])
        metres = spacing * float(np.linalg.norm(positions - centre, axis=1).mean())
        self._object = _points(scene.object.mesh.vertices, scene.object.mesh.faces, metres)
        model = compiled.model
        hand = np.flatnonzero((model.geom_bodyid != 0) & ~np.isin(np.arange(model.ngeom), compiled.object_geoms))
        surfaces = [_points(*geom_mesh(model, int(geom)), _FROM_HAND * metres) for geom in hand]
        self._geoms = np.repeat(hand, [len(points) for points in surfaces])
        self._hand = np.concatenate([np.zeros((0, 3)), *surfaces])

    def room(self, joint_position: FloatArray, pose: Pose, cameras: Cameras) -> Room:
        """Return the room of a state.

        Args:
            joint_position: joints of the hand, radians, (J,).
            pose: of the object.
            cameras: T (C, 4, 4).
        """
        data = self._data
        data.qpos[self._qpos] = joint_position
        mujoco.mj_kinematics(self._model, data)
        turns = data.geom_xmat[self._geoms].reshape(-1, 3, 3)
        hand = data.geom_xpos[self._geoms] + np.einsum("nij,nj->ni", turns, self._hand)
        centres, target = camera_centres(cameras.extrinsics), pose.transform(self._object)
        return Room(centres, target, hand, np.array(self._scene.workspace.light_centre), self._scene.background)


def _points(vertices: FloatArray, faces: np.ndarray, spacing: float) -> FloatArray:
    """Return points (N, 3) such that the whole surface is within ``spacing`` of one of them."""
    # No point of a triangle is farther from a corner than 0.58 of its longest side; no point of a cube, than 1.74.
    fine, _ = trimesh.remesh.subdivide_to_size(vertices, faces, 0.5 * spacing, max_iter=20)
    _, kept = np.unique(np.floor(fine / (0.4 * spacing)), axis=0, return_index=True)
    return np.asarray(fine[np.sort(kept)], np.float64)
