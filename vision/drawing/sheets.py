"""Sheets of captioned images, and of a dataset's samples with their labels drawn over them."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision.drawing.wireframes import LABEL_COLOR, Wireframe, draw_triplet
from vision.fonts import font_file
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.io.files import atomic_write
from vision.io.store import Location
from vision.machine.extras import optional
from vision.storage.datasets import TripletDataset

_BACKGROUND = "#16181c"
_TEXT = "#e8eaed"
_FAINT_TEXT = "#9aa0a6"


@dataclass(frozen=True)
class Tile:
    """Images side by side, (h, w, 3) uint8 each of its own size, with a caption of one or more lines."""

    images: Sequence[np.ndarray]
    caption: str = ""


def contact_sheet(
    tiles: Sequence[Tile],
    columns: int,
    title: str = "",
    legend: Sequence[tuple[str, str]] = (),
    headings: Sequence[str] = (),
) -> Image.Image:
    """Arrange tiles in rows.

    Args:
        tiles: tiles with equally many images; images smaller than the largest leave the background visible.
        columns: number of tiles side by side.
        title: above everything.
        legend: (text, colour) pairs, right of the title.
        headings: over each image of the first row, for example camera names.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    count = len(tiles[0].images)
    height, width = np.max([image.shape[:2] for tile in tiles for image in tile.images], axis=0).tolist()
    size = round(np.clip(height / 18, 11, 20))  # text size, pixels
    seam, gap = 2, round(1.2 * size)
    inner = count * width + (count - 1) * seam
    captions = [_wrap(tile.caption, inner, size) for tile in tiles]
    below = round(1.35 * size * max(text.count("\n") + 1 for text in captions) + 0.5 * size) if any(captions) else 0
    top = gap + (2 * size if title or legend else 0) + (round(1.5 * size) if headings else 0)
    rows = -(-len(tiles) // columns)
    large = font(round(1.2 * size), bold=True)
    over = large.getlength(title) + sum(font(size).getlength(text) + 3.7 * size for text, _ in legend)
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
        pen.text((left, upper + height + 0.4 * size), caption, _TEXT, font(size), spacing=0.3 * size)
        if row == 0:
            for camera, heading in enumerate(headings):
                place = (left + camera * (width + seam), upper - 0.4 * size)
                pen.text(place, heading, _FAINT_TEXT, font(size), anchor="ls")
    return sheet


def dataset_sheet(
    dataset: TripletDataset,
    numbers: Sequence[int],
    columns: int = 3,
    scale: int = 1,
    wireframes: bool = True,
    named: bool = True,
) -> Image.Image:
    """Return a contact sheet of samples ``numbers``, with the labelled object drawn over each as a wireframe with axes;
    the title includes the folder's name if ``named``."""
    tiles = []
    for number in numbers:
        sample = dataset[number]
        pose = Wireframe(dataset.object, Pose.from_columns(sample, "object"), LABEL_COLOR, axes=True)
        images = draw_triplet(
            dataset.rig.without_padding(sample["images"]),
            [pose] if wireframes else [],
            Cameras.from_label(sample),
            scale,
        )
        tiles.append(Tile(images, f"sample {sample['index']} · {sample['augmentation']}"))
    renderers = dict.fromkeys(shard.renderer.get("name", "unknown renderer") for shard in dataset.shards)
    name = f"{dataset.folder.name} · " if named else ""
    title = f"{name}{dataset.object.name} · {', '.join(renderers)} · {len(dataset):,} triplets"
    legend = [("labelled pose", LABEL_COLOR)] if wireframes else []
    return contact_sheet(tiles, columns, title, legend, dataset.rig.names)


def save_png(image: Image.Image, path: Location) -> None:
    """Write an image atomically."""
    atomic_write(path, lambda file: image.save(file, "png"))


def _draw_legend(
    pen: ImageDraw.ImageDraw, legend: Sequence[tuple[str, str]], right: float, top: float, size: int
) -> None:
    for text, color in reversed(legend):
        right -= font(size).getlength(text)
        pen.text((right, top), text, _TEXT, font(size), anchor="lt")
        right -= 2.2 * size
        pen.line([(right, top + 0.45 * size), (right + 1.7 * size, top + 0.45 * size)], color, max(2, size // 4))
        right -= 1.5 * size


def _wrap(text: str, width: int, size: int) -> str:
    """Return ``text`` with line breaks so that no line is wider than ``width`` pixels."""
    characters = max(8, int(width / (font(size).getlength("n"))))
    return "\n".join(piece for line in text.split("\n") for piece in textwrap.wrap(line, characters) or [""])


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans in a size, pixels."""
    with optional("matplotlib", "text in a picture"):
        file = font_file(bold)
    return ImageFont.truetype(str(file), size)
