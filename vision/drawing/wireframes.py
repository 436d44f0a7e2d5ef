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

from vision.geometry.cameras import camera_centres, project
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.scene.objects import PoseObject

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
        position: object centre in metres, world frame, (3,).
        quaternion: object to world, w x y z, (4,).
        color: as Pillow names colours, for example ``#39e75f``.
        axes: whether to draw the object's x, y and z axes too, red, green and blue.
    """

    object: PoseObject
    position: ArrayLike
    quaternion: ArrayLike
    color: str = TRUE_COLOR
    axes: bool = False


def draw_wireframes(
    image: np.ndarray, wireframes: Sequence[Wireframe], matrix: ArrayLike, transform: ArrayLike, scale: int = 1
) -> np.ndarray:
    """Draw wireframes over an enlarged image.

    Args:
        image: (H, W, 3) uint8.
        wireframes: later ones lie on top.
        matrix: the camera's K (3, 3) in pixels of ``image``.
        transform: the camera's T (4, 4), world to camera.
        scale: enlargement of the image; lines do not get thicker.

    Returns:
        (H * scale, W * scale, 3) uint8.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image).resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    enlarged = np.diag([scale, scale, 1.0]) @ np.asarray(matrix, dtype=np.float64)
    for wireframe in wireframes:
        _draw_wireframe(picture, wireframe, enlarged, np.asarray(transform, dtype=np.float64))
    return np.asarray(picture)


def draw_triplet(
    images: Sequence[np.ndarray],
    wireframes: Sequence[Wireframe],
    matrices: ArrayLike,
    transforms: ArrayLike,
    scale: int = 1,
) -> list[np.ndarray]:
    """Call :func:`draw_wireframes` for all cameras: C images, each of its own size, with K (C, 3, 3) and T (C, 4,
    4)."""
    cameras = zip(images, np.asarray(matrices), np.asarray(transforms), strict=True)
    return [draw_wireframes(image, wireframes, K, T, scale) for image, K, T in cameras]


def crop(image: np.ndarray, matrix: ArrayLike, centre: ArrayLike, size: int) -> tuple[np.ndarray, FloatArray]:
    """Return the (size, size, 3) crop of an image around pixel ``centre`` (2,), moved inside the image, and its K."""
    limit = np.array([image.shape[1] - size, image.shape[0] - size])
    left, top = np.clip(np.rint(np.asarray(centre) - size / 2), 0, limit).astype(int)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return image[top : top + size, left : left + size], shift @ np.asarray(matrix, dtype=np.float64)


def visible_edges(target: PoseObject, position: ArrayLike, quaternion: ArrayLike, transform: ArrayLike) -> np.ndarray:
    """Return which of the object's edges a camera sees, (E,) bool: those of a face that faces it. Occlusion by other
    parts of a non-convex body is ignored."""
    rotation = matrix_from_quaternion(quaternion)
    from_object = camera_centres(transform) - np.asarray(position, dtype=np.float64)
    eye = rotation.T @ from_object  # the camera in the object's frame
    towards = eye - target.edges[:, :1]  # (E, 1, 3)
    return np.asarray(((target.edge_normals * towards).sum(axis=-1) > 0).any(axis=1))


def _draw_wireframe(picture: Image.Image, wireframe: Wireframe, matrix: FloatArray, transform: FloatArray) -> None:
    target = wireframe.object
    rotation = matrix_from_quaternion(wireframe.quaternion)
    position = np.asarray(wireframe.position, dtype=np.float64)
    lines = project(target.edges.reshape(-1, 3) @ rotation.T + position, matrix, transform).reshape(-1, 2, 2)
    seen = visible_edges(target, position, wireframe.quaternion, transform)
    unit = max(1.0, picture.height / 300)  # a line's width in pixels, so that large images have thicker lines
    _draw_lines(picture, lines[~seen], wireframe.color, 0.8 * unit, 0.55)
    _draw_lines(picture, lines[seen], "black", 3.2 * unit, 0.45)
    _draw_lines(picture, lines[seen], wireframe.color, 1.6 * unit, 1.0)
    if wireframe.axes:
        ends = position + 0.6 * target.diameter * rotation.T
        tips = project(np.concatenate([position[None], ends]), matrix, transform)
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
