"""Writing of GIF animations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vision.io.files import atomic_write

_PALETTE_FRAMES = 12


def save_gif(path: Path, pictures: Sequence[Image.Image], milliseconds: int, colors: int = 256) -> None:
    """Write images of one size as a repeating GIF, atomically.

    Args:
        path: path of the file.
        pictures: RGB, at least one.
        milliseconds: duration of each.
        colors: at most 256, the same palette for all images, or flat surfaces would flicker; fewer make the file
            smaller.
    """
    some = pictures[:: max(1, len(pictures) // _PALETTE_FRAMES)]
    sheet = Image.fromarray(np.hstack([np.asarray(picture) for picture in some]))
    palette = sheet.quantize(colors, Image.Quantize.MEDIANCUT)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    atomic_write(
        path,
        lambda file: first.save(
            file, "gif", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=True
        ),
    )
