"""Textures from a folder of images."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from datagen.pictures.textures import Texture
from vision.errors import DactylError
from vision.io.files import read_file
from vision.objects.mesh_files import is_clipped

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Formats that Pillow may assume; it passes some others to external programs that execute them."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_MAX_BYTES = 64 * 2**20
_MAX_PIXELS = 100_000_000


def picture_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return the images in a folder and its subfolders, sorted by name.

    Args:
        folder: folder to search.
        suffixes: suffixes of the files to use, in lower case.

    Raises:
        DactylError: the folder does not exist, or contains no image.
    """
    if not folder.is_dir():
        raise DactylError(f"{folder}: no such folder of pictures; correct the path")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    paths = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise DactylError(f"{folder}: no pictures in it; expected files that end in {', '.join(suffixes)}")
    return paths


def read_texture(path: Path, size: int) -> Texture:
    """Read the central square of an image, oriented by its EXIF data, and named by its file and bytes.

    Raises:
        DactylError: the file is not an image, or too large.
    """
    data = read_file(path, _MAX_BYTES, "picture")
    square = ImageOps.fit(decode_picture(path, data, _MAX_PIXELS), (size, size), Image.Resampling.BOX)
    return Texture(f"{path.stem}-{bytes_hash(data)}", np.asarray(square))


def decode_picture(path: Path, data: bytes, most_pixels: int) -> Image.Image:
    """Decode an ordinary image to RGB, oriented by its EXIF data.

    Raises:
        DactylError: ``data``, the content of ``path``, is not an image, too large, or has values that Pillow would
            clip.
    """
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise DactylError(f"{path}: {image.width} x {image.height} pixels are too many; make it smaller")
            if is_clipped(image):
                raise DactylError(f"{path}: more than 8 bits a channel; convert it to 8 bits")
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: object) -> DactylError:
    return DactylError(f"{path}: is no picture that can be read ({error}); replace it or take it away")


def bytes_hash(data: bytes) -> str:
    """Return a hash of sixteen digits that identifies a file's content."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
