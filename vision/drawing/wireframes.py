"""Pictures to look at: wireframes over camera images, and sheets of captioned triplets.

Lines are drawn at four times the size and shrunk, so that they are smooth and true to a quarter of a pixel. An edge
that the object itself hides is drawn thin and faint, which shows at a glance which way round a pose is.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageColor, ImageDraw, ImageFont

from vision.extras import optional
from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.io.files import atomic_write
from vision.io.store import Location
from vision.scene.objects import PoseObject
from vision.storage.datasets import TripletDataset

TRUE_COLOR = "#39e75f"
PREDICTED_COLOR = "#ff3df2"
"""Green and magenta: the pair that colour-blind readers, too, tell apart."""
LABEL_COLOR = "#ffe94a"
AXIS_COLORS = ("#ff4040", "#40e040", "#5090ff")

_SUPERSAMPLING = 4
_BACKGROUND = "#16181c"
_TEXT = "#e8eaed"
_FAINT_TEXT = "#9aa0a6"
_FAR = 1e5  # pixels; a pose this far off is only a direction


@dataclass(frozen=True)
class Wireframe:
    """An object in a pose, to be drawn in one colour.

    Attributes:
        object: whose edges.
        position: object centre in metres, world frame, (3,).
        quaternion: object to world, w x y z, (4,).
        color: as Pillow names colours, for example ``#39e75f``.
        axes: draw the object's x, y and z axes too, red, green and blue.
    """

    object: PoseObject
    position: ArrayLike
    quaternion: ArrayLike
    color: str = TRUE_COLOR
    axes: bool = False


@dataclass(frozen=True)
class Tile:
    """Pictures side by side, (h, w, 3) uint8 each of its own size, with a caption of one or more lines."""

    images: Sequence[np.ndarray]
    caption: str = ""


# ------------------------------------------------------------------------------------------------------- wireframes


def draw_wireframes(
    image: np.ndarray, wireframes: Sequence[Wireframe], matrix: ArrayLike, transform: ArrayLike, scale: int = 1
) -> np.ndarray:
    """An image with wireframes over it, enlarged.

    Args:
        image: (H, W, 3) uint8.
        wireframes: later ones lie on top.
        matrix: the camera's K (3, 3) in pixels of ``image``.
        transform: the camera's T (4, 4), world to camera.
        scale: enlargement of the picture; lines stay as thin.

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
    """As :func:`draw_wireframes` for all cameras: C images, each of its own size, with K (C, 3, 3) and T (C, 4, 4)."""
    cameras = zip(images, np.asarray(matrices), np.asarray(transforms), strict=True)
    return [draw_wireframes(image, wireframes, K, T, scale) for image, K, T in cameras]


def crop(image: np.ndarray, matrix: ArrayLike, centre: ArrayLike, size: int) -> tuple[np.ndarray, FloatArray]:
    """The (size, size, 3) part of an image around pixel ``centre`` (2,), moved inside the picture, and its K."""
    limit = np.array([image.shape[1] - size, image.shape[0] - size])
    left, top = np.clip(np.rint(np.asarray(centre) - size / 2), 0, limit).astype(int)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return image[top : top + size, left : left + size], shift @ np.asarray(matrix, dtype=np.float64)


def visible_edges(target: PoseObject, position: ArrayLike, quaternion: ArrayLike, transform: ArrayLike) -> np.ndarray:
    """Which of the object's edges a camera sees, (E,) bool: those of a face that looks at it. What hides an edge of a
    body that is not convex does not count."""
    rotation = matrix_from_quaternion(quaternion)
    transform = np.asarray(transform, dtype=np.float64)
    camera = -transform[:3, :3].T @ transform[:3, 3]
    eye = rotation.T @ (camera - np.asarray(position, dtype=np.float64))  # the camera in the object's frame
    towards = eye - target.edges[:, :1]  # (E, 1, 3)
    return np.asarray(((target.edge_normals * towards).sum(axis=-1) > 0).any(axis=1))


def _draw_wireframe(picture: Image.Image, wireframe: Wireframe, matrix: FloatArray, transform: FloatArray) -> None:
    target = wireframe.object
    rotation = matrix_from_quaternion(wireframe.quaternion)
    position = np.asarray(wireframe.position, dtype=np.float64)
    lines = project(target.edges.reshape(-1, 3) @ rotation.T + position, matrix, transform).reshape(-1, 2, 2)
    seen = visible_edges(target, position, wireframe.quaternion, transform)
    unit = max(1.0, picture.height / 300)  # a line's width in pixels, so that large pictures have thicker lines
    _draw_lines(picture, lines[~seen], wireframe.color, 0.8 * unit, 0.55)
    _draw_lines(picture, lines[seen], "black", 3.2 * unit, 0.45)
    _draw_lines(picture, lines[seen], wireframe.color, 1.6 * unit, 1.0)
    if wireframe.axes:
        ends = position + 0.6 * target.diameter * rotation.T
        tips = project(np.concatenate([position[None], ends]), matrix, transform)
        for tip, color in zip(tips[1:], AXIS_COLORS, strict=True):
            _draw_lines(picture, np.stack([tips[0], tip])[None], color, 1.6 * unit, 0.9)


def _draw_lines(picture: Image.Image, lines: np.ndarray, color: str, width: float, opacity: float) -> None:
    """Lines (N, 2, 2) in pixels; those with an end behind the camera (NaN) are left out."""
    lines = lines[np.isfinite(lines).all(axis=(1, 2))]
    scale = _SUPERSAMPLING
    mask = Image.new("L", (picture.width * scale, picture.height * scale))
    pen = ImageDraw.Draw(mask)
    radius = width * scale / 2
    # Pillow's pixel centres are whole numbers, ours lie at halves.
    for line in np.clip(lines, -_FAR, _FAR) * scale - 0.5:
        pen.line([tuple(end) for end in line], fill=255, width=max(1, round(2 * radius)))
        for x, y in line:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    shrunk = mask.resize(picture.size, Image.Resampling.BOX).point([round(opacity * level) for level in range(256)])
    picture.paste(ImageColor.getrgb(color), mask=shrunk)


# ------------------------------------------------------------------------------------------------------------ sheets


def contact_sheet(
    tiles: Sequence[Tile],
    columns: int,
    title: str = "",
    legend: Sequence[tuple[str, str]] = (),
    headings: Sequence[str] = (),
) -> Image.Image:
    """Tiles in rows, read like a page.

    Args:
        tiles: of as many pictures each; a picture smaller than the largest leaves the page's background beside it.
        columns: tiles beside each other.
        title: above everything.
        legend: (text, colour) pairs, right of the title.
        headings: over each picture of the first row, for example camera names.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    count = len(tiles[0].images)
    height, width = np.max([image.shape[:2] for tile in tiles for image in tile.images], axis=0).tolist()
    size = round(np.clip(height / 18, 11, 20))  # of the text, pixels
    seam, gap = 2, round(1.2 * size)
    inner = count * width + (count - 1) * seam
    captions = [_wrap(tile.caption, inner, size) for tile in tiles]
    below = round(1.35 * size * max(text.count("\n") + 1 for text in captions) + 0.5 * size) if any(captions) else 0
    top = gap + (2 * size if title or legend else 0) + (round(1.5 * size) if headings else 0)
    rows = -(-len(tiles) // columns)
    large = _font(round(1.2 * size), bold=True)
    over = large.getlength(title) + sum(_font(size).getlength(text) + 3.7 * size for text, _ in legend)
    whole = max(gap + min(columns, len(tiles)) * (inner + gap), round(2 * gap + over))
    sheet = Image.new("RGB", (whole, top + rows * (height + below + gap)), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((gap, gap), title, _TEXT, large, anchor="lt")
    _draw_legend(pen, legend, sheet.width - gap, gap, size)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(number, columns)
        left, upper = gap + column * (inner + gap), top + row * (height + below + gap)
        for camera, image in enumerate(tile.images):
            sheet.paste(Image.fromarray(image), (left + camera * (width + seam), upper))
        pen.text((left, upper + height + 0.4 * size), caption, _TEXT, _font(size), spacing=0.3 * size)
        if row == 0:
            for camera, heading in enumerate(headings):
                place = (left + camera * (width + seam), upper - 0.4 * size)
                pen.text(place, heading, _FAINT_TEXT, _font(size), anchor="ls")
    return sheet


def dataset_sheet(
    dataset: TripletDataset,
    numbers: Sequence[int],
    columns: int = 3,
    scale: int = 1,
    wireframes: bool = True,
    named: bool = True,
) -> Image.Image:
    """A contact sheet of samples ``numbers``, with the labelled object drawn over as a wireframe with axes; with the
    folder's name over it where ``named``."""
    tiles = []
    for number in numbers:
        sample = dataset[number]
        pose = Wireframe(dataset.object, sample["object_position"], sample["object_quaternion"], LABEL_COLOR, axes=True)
        images = draw_triplet(
            dataset.rig.without_padding(sample["images"]),
            [pose] if wireframes else [],
            sample["camera_intrinsics"],
            sample["camera_extrinsics"],
            scale,
        )
        tiles.append(Tile(images, f"sample {sample['index']} · {sample['augmentation']}"))
    renderers = dict.fromkeys(shard.renderer.get("name", "unknown renderer") for shard in dataset.shards)
    name = f"{dataset.folder.name} · " if named else ""
    title = f"{name}{dataset.object.name} · {', '.join(renderers)} · {len(dataset):,} triplets"
    legend = [("labelled pose", LABEL_COLOR)] if wireframes else []
    return contact_sheet(tiles, columns, title, legend, dataset.rig.names)


def save_png(image: Image.Image, path: Location) -> None:
    """Write a picture, whole or not at all."""
    atomic_write(path, lambda file: image.save(file, "png"))


def _draw_legend(
    pen: ImageDraw.ImageDraw, legend: Sequence[tuple[str, str]], right: float, top: float, size: int
) -> None:
    for text, color in reversed(legend):
        right -= _font(size).getlength(text)
        pen.text((right, top), text, _TEXT, _font(size), anchor="lt")
        right -= 2.2 * size
        pen.line([(right, top + 0.45 * size), (right + 1.7 * size, top + 0.45 * size)], color, max(2, size // 4))
        right -= 1.5 * size


def _wrap(text: str, width: int, size: int) -> str:
    """``text`` with line breaks so that no line is wider than ``width`` pixels."""
    characters = max(8, int(width / (_font(size).getlength("n"))))
    return "\n".join(piece for line in text.split("\n") for piece in textwrap.wrap(line, characters) or [""])


@functools.cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings."""
    with optional("matplotlib", "text in a picture"):
        import matplotlib
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
