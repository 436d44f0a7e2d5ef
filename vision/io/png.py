"""PNG files in memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


def png_bytes(image: Image.Image, **options: Any) -> bytes:
    """Return the content of a PNG file; ``options`` are Pillow's, such as ``compress_level``."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()
