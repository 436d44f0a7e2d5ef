"""PNG files in memory."""

from __future__ import annotations

import functools
import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image


def png_bytes(image: Image.Image, **options: Any) -> bytes:
    """Return the content of a PNG file; ``options`` are Pillow's, such as ``compress_level``."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def png_pixels(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG file's content, (H, W, 3) RGB, row 0 at the top."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


@functools.lru_cache(maxsize=64)  # scenes are compared often, and their copies share textures
def pixels_sha256(content: bytes) -> str:
    """Return the SHA-256 of the size and the pixels of a PNG file's content, whatever program compressed it; that of
    the bytes themselves if it is no image, which is reported where it is drawn."""
    try:
        pixels = png_pixels(content)
    except (OSError, ValueError, SyntaxError):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
