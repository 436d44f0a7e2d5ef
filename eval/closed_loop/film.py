"""The film of a trial: the cameras' images with the true and the estimated object drawn over them, and the goal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vision.drawing.gif import save_gif
from vision.drawing.sheets import font
from vision.published import STEP_SECONDS

_BAR = 26  # pixels below the images, for the caption
_COLORS = 128  # fewer show banding, more enlarge the file


@dataclass(frozen=True)
class FilmFrame:
    """One step of a film.

    Attributes:
        images: images of the cameras, (h, w, 3) uint8 each.
        goal: square image of the object in its goal orientation, as high as the highest of them, uint8.
        caption: text below the images.
    """

    images: Sequence[np.ndarray]
    goal: np.ndarray
    caption: str


def save_film(path: Path, frames: Iterable[FilmFrame]) -> None:
    """Write frames atomically as a GIF that plays at the speed of the trial."""
    save_gif(path, [_compose(frame) for frame in frames], round(1000 * STEP_SECONDS), _COLORS)


def _compose(frame: FilmFrame) -> Image.Image:
    height = len(frame.goal)
    edges = np.cumsum([0, *(image.shape[1] for image in frame.images)]).tolist()
    sheet = Image.new("RGB", (edges[-1] + height, height + _BAR), "#16181c")
    for left, image in zip(edges, [*frame.images, frame.goal], strict=True):
        sheet.paste(Image.fromarray(image), (left, 0))
    pen = ImageDraw.Draw(sheet)
    pen.line([(edges[-1], 0), (edges[-1], height)], "#16181c", 3)
    pen.text((8, height + _BAR / 2), frame.caption, "#e8eaed", font(13), anchor="lm")
    pen.text((edges[-1] + 8, height + _BAR / 2), "goal", "#e8eaed", font(13), anchor="lm")
    return sheet
