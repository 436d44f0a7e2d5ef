"""Wireframes of objects over camera images.

Lines are drawn at four times the size and shrunk, so that they are smooth and accurate to a quarter of a pixel. An edge
that the object itself hides is drawn thin and faint, which shows the orientation of a pose at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageColor, ImageDraw

from vision.geometry.cameras import Cameras, Pinhole, camera_centres, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject

TRUE_COLOR = "#39e75f"
PREDICTED_COLOR = "#ff3df2"
"""Green and magenta: a pair that colour-blind readers can distinguish, too."""
LABEL_COLOR = "#ffe94a"
AXIS_COLORS = ("#ff4040", "#40e040", "#5090ff")

_SUPERSAMPLING = 4
_FAR = 1e5  # pixels; beyond this only the direction matters


@dataclass(frozen=True)
class Wireframe:
    """An object in a pose, drawn in one colour.

    Attributes:
        object: object whose edges are drawn.
        pose: of the object in the world; one, of arrays.
        color: as Pillow names colours, for example ``#39e75f``.
        axes: whether to draw the object's x, y and z axes too, red, green and blue.
    """

    object: PoseObject
    pose: Pose
    color: str = TRUE_COLOR
    axes: bool = False


COMPARISON_LEGEND = (("true", TRUE_COLOR), ("estimated", PREDICTED_COLOR))
"""Names and colours of the two wireframes of :func:`comparison`."""


def comparison(target: PoseObject, true: Pose, estimated: Pose) -> list[Wireframe]:
    """Return wireframes of an object's true pose and of its estimate, which lies on top."""
    return [Wireframe(target, true, TRUE_COLOR), Wireframe(target, estimated, PREDICTED_COLOR)]


def draw_wireframes(image: np.ndarray, wireframes: Sequence[Wireframe], camera: Pinhole, scale: int = 1) -> np.ndarray:
    """Draw wireframes over an enlarged image.

    Args:
        image: (H, W, 3) uint8.
        wireframes: later ones lie on top.
        camera: the camera that took the image.
        scale: enlargement of the image; lines do not get thicker.

    Returns:
        (H * scale, W * scale, 3) uint8.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image).resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    enlarged = Cameras(np.diag([scale, scale, 1.0]) @ camera.intrinsics, camera.extrinsics)
    for wireframe in wireframes:
        _draw_wireframe(picture, wireframe, enlarged)
    return np.asarray(picture)


def draw_triplet(
    images: Sequence[np.ndarray],
    wireframes: Sequence[Wireframe],
    cameras: Cameras,
    scale: int = 1,
) -> list[np.ndarray]:
    """Call :func:`draw_wireframes` for all C cameras and their images, each of its own size."""
    views = zip(images, cameras.intrinsics, cameras.extrinsics, strict=True)
    return [draw_wireframes(image, wireframes, Cameras(K, T), scale) for image, K, T in views]


def crop(image: np.ndarray, camera: Cameras, centre: ArrayLike, size: int) -> tuple[np.ndarray, Cameras]:
    """Return the (size, size, 3) crop of a camera's image around pixel ``centre`` (2,), moved inside the image, and the
    camera that would have taken it."""
    limit = np.array([image.shape[1] - size, image.shape[0] - size])
    left, top = np.clip(np.rint(np.asarray(centre) - size / 2), 0, limit).astype(int)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return image[top : top + size, left : left + size], Cameras(shift @ camera.intrinsics, camera.extrinsics)


def visible_edges(target: PoseObject, pose: Pose, camera: Pinhole) -> np.ndarray:
    """Return which of the object's edges a camera sees, (E,) bool: those of a face that faces it. Occlusion by other
    parts of a non-convex body is ignored."""
    eye = pose.rotation.T @ (camera_centres(camera.extrinsics) - pose.position)  # the camera in the object's frame
    towards = eye - target.edges[:, :1]  # (E, 1, 3)
    return np.asarray(((target.edge_normals * towards).sum(axis=-1) > 0).any(axis=1))


def projected_edges(target: PoseObject, pose: Pose, camera: Pinhole) -> FloatArray:
    """Return both ends of the object's edges in a camera's image, (E, 2, 2) pixels; NaN behind the camera."""
    return project(pose.transform(target.edges.reshape(-1, 3)), camera).reshape(-1, 2, 2)


def _draw_wireframe(picture: Image.Image, wireframe: Wireframe, camera: Cameras) -> None:
    target, pose = wireframe.object, wireframe.pose
    lines, seen = projected_edges(target, pose, camera), visible_edges(target, pose, camera)
    unit = max(1.0, picture.height / 300)  # a line's width in pixels, so that large images have thicker lines
    _draw_lines(picture, lines[~seen], wireframe.color, 0.8 * unit, 0.55)
    _draw_lines(picture, lines[seen], "black", 3.2 * unit, 0.45)
    _draw_lines(picture, lines[seen], wireframe.color, 1.6 * unit, 1.0)
    if wireframe.axes:
        tips = project(pose.transform(0.6 * target.diameter * np.concatenate([np.zeros((1, 3)), np.eye(3)])), camera)
        for tip, color in zip(tips[1:], AXIS_COLORS, strict=True):
            _draw_lines(picture, np.stack([tips[0], tip])[None], color, 1.6 * unit, 0.9)


def _draw_lines(picture: Image.Image, lines: np.ndarray, color: str, width: float, opacity: float) -> None:
    """Draw lines (N, 2, 2) in pixels; those with an end behind the camera (NaN) are left out."""
    lines = lines[np.isfinite(lines).all(axis=(1, 2))]
    scale = _SUPERSAMPLING
    mask = Image.new("L", (picture.width * scale, picture.height * scale))
    pen = ImageDraw.Draw(mask)
    radius = width * scale / 2
    # Pillow's pixel centres are at whole numbers, ours at halves.
    for line in np.clip(lines, -_FAR, _FAR) * scale - 0.5:
        pen.line([tuple(end) for end in line], fill=255, width=max(1, round(2 * radius)))
        for x, y in line:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    shrunk = mask.resize(picture.size, Image.Resampling.BOX).point([round(opacity * level) for level in range(256)])
    picture.paste(ImageColor.getrgb(color), mask=shrunk)
