"""Labels of each camera's view of the object: visible fraction, position in the image, and mask.

They are computed from the geometry by a small depth buffer, not read back from a renderer, so a sample's labels are the
same for every renderer, driver and device, and do not depend on earlier samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.render.base import RenderOptions
from datagen.render.stage import Stage
from datagen.sim.geom_meshes import geom_mesh
from vision.geometry.cameras import Cameras, project
from vision.geometry.rotations import FloatArray
from vision.geometry.triangles import pixels_of_boxes
from vision.objects.pose_object import joined
from vision.scene.scene import Scene
from vision.storage.shards import mask_box

_BEHIND = np.packbits([False, False, False, False, True])[0]


class ViewLabeller:
    """Labels of an object's views, computed with the renderers' own meshes of the hand.

    The hand, clutter and the background may hide the object: a bowl's wall, or the floor into which a pose was moved,
    unless a sample's surroundings leave the background out.
    Triangles that reach behind a camera are left out, such as a floor's that the camera stands over.
    """

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        self._stage = Stage(scene, options)
        self._rig = scene.rig
        self._object = scene.object.mesh
        self._keypoints = scene.object.keypoints
        model, compiled = self._stage.model, self._stage.scene
        others = np.setdiff1d(np.arange(model.ngeom), compiled.object_geoms)
        background = set(compiled.background_geoms)
        vertices, geoms, faces, of_background, count = [], [], [], [], 0
        for geom in others:
            shape = geom_mesh(model, int(geom))
            vertices.append(shape.vertices)
            geoms.append(np.full(len(shape.vertices), geom))
            faces.append(count + shape.faces)
            of_background.append(np.full(len(shape.faces), int(geom) in background))
            count += len(shape.vertices)
        nothing = np.zeros((0, 3))
        self._vertices = np.concatenate([nothing, *vertices])
        self._geoms = np.concatenate([np.zeros(0, np.int64), *geoms])
        self._faces = np.concatenate([nothing.astype(np.int64), *faces])
        self._bare_faces = self._faces[~np.concatenate([np.zeros(0, bool), *of_background])]

    def __call__(self, sample: Sample, cameras: Cameras) -> tuple[dict[str, FloatArray], NDArray[np.bool_]]:
        """Return labels of a sample's views (optional keys of ``vision.storage.schema.LABEL``), and masks (C, H, W).

        A pixel belongs to the surface at its centre, as in an image without antialiasing.
        """
        data = self._stage.data
        self._stage.set(sample)
        pose = sample.pose
        surface = pose.transform(self._object.vertices)
        others = data.geom_xpos[self._geoms] + np.einsum(
            "nij,nj->ni", data.geom_xmat[self._geoms].reshape(-1, 3, 3), self._vertices
        )
        around, clutter = sample.appearance.surroundings, [piece.triangles() for piece in sample.appearance.clutter]
        hiding = self._bare_faces if around is not None and around.bare else self._faces
        others, faces = joined([(others, hiding), *((vertices, faces) for vertices, _, faces in clutter)])
        outline = project(surface, cameras)
        sizes = np.stack([self._rig.nominal.width, self._rig.nominal.height], axis=-1)  # (C, 2)
        window = np.stack([outline.min(axis=1), outline.max(axis=1)], axis=1).clip(0, sizes[:, None])
        shape = (self._rig.height, self._rig.width)
        near = _nearness(surface, self._object.faces, cameras, window, shape)
        near_others = _nearness(others, faces, cameras, window, shape)
        alone, masks = near > 0, near > near_others
        labels = {
            "visibility": masks.sum(axis=(1, 2)) / np.maximum(alone.sum(axis=(1, 2)), 1),
            "box_2d": np.array([mask_box(mask) for mask in masks], dtype=np.float64),
            "keypoints_2d": project(pose.transform(self._keypoints), cameras),
        }
        return labels, masks


def _nearness(
    points: FloatArray,
    faces: NDArray[np.integer],
    cameras: Cameras,
    window: FloatArray,
    shape: tuple[int, int],
) -> FloatArray:
    """Return a depth buffer (C, H, W): one over the depth of the nearest triangle at each pixel's centre, 0 for none.

    Args:
        points: vertices in metres, world frame, (N, 3).
        faces: vertices of each triangle, (T, 3); a camera omits triangles with a vertex behind it.
        cameras: K (C, 3, 3) and T (C, 4, 4).
        window: upper left and lower right corner, in pixels, of the area to draw, (C, 2, 2).
        shape: height and width of the buffer.
    """
    depth = np.einsum("cj,nj->cn", cameras.extrinsics[:, 2, :3], points) + cameras.extrinsics[:, 2, 3:]
    seen = np.concatenate([project(points, cameras), 1.0 / depth[..., None]], axis=-1)  # (C, N, 3)
    # Most triangles lie wholly on one side of the window: discard them by their vertices before assembling triangles.
    low, high = window[:, 0, None], window[:, 1, None]
    side = np.packbits(
        np.concatenate([seen[..., :2] < low, seen[..., :2] > high, depth[..., None] <= 0], axis=-1), axis=-1
    )
    a, b, c = (side[:, faces[:, k], 0] for k in range(3))
    camera, number = np.nonzero(((a & b & c) | (a | b | c) & _BEHIND) == 0)
    corner = seen[camera[:, None], faces[number]]  # (t, 3, 3)
    first = np.ceil(np.maximum(corner[..., :2].min(axis=1), window[camera, 0]) - 0.5).astype(int)
    last = np.floor(np.minimum(corner[..., :2].max(axis=1), window[camera, 1]) - 0.5).astype(int)
    # Barycentric coordinates of a pixel: the inverse of the triangle's homogeneous corners times (x, y, 1).
    (ax, ay), (bx, by), (cx, cy) = (corner[:, k, :2].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight_b = np.stack([cy - ay, ax - cx, cx * ay - ax * cy]) / area
        weight_c = np.stack([ay - by, bx - ax, ax * by - bx * ay]) / area
    owner, column, row = pixels_of_boxes(first, (last - first + 1).clip(0))
    x, y = column + 0.5, row + 0.5
    b = weight_b[0, owner] * x + weight_b[1, owner] * y + weight_b[2, owner]
    c = weight_c[0, owner] * x + weight_c[1, owner] * y + weight_c[2, owner]
    inside = (b >= 0) & (c >= 0) & (b + c <= 1)  # false for NaN, a triangle seen edge-on
    owner, b, c = owner[inside], b[inside], c[inside]
    at_a, at_b, at_c = corner[owner, :, 2].T
    buffer = np.zeros((len(depth), *shape))
    np.maximum.at(buffer, (camera[owner], row[inside], column[inside]), at_a + b * (at_b - at_a) + c * (at_c - at_a))
    return buffer
