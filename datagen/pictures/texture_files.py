"""Textures from a folder of pictures that others took."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from datagen.pictures.textures import Texture
from vision.errors import DactylError
from vision.io.files import read_file
from vision.scene.mesh_files import is_clipped

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What Pillow may take a file for: others it hands to programs that run them."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_MAX_BYTES = 64 * 2**20
_MAX_PIXELS = 100_000_000


def picture_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The pictures in a folder and the folders in it, by name.

    Args:
        folder: where they are.
        suffixes: of the files to take, in lower case.

    Raises:
        DactylError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise DactylError(f"{folder}: no such folder of pictures; correct the path")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    paths = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise DactylError(f"{folder}: no pictures in it; expected files that end in {', '.join(suffixes)}")
    return paths


def read_texture(path: Path, size: int) -> Texture:
    """The middle square of a picture, the way up that its camera says, under the name of its file and bytes.

    Raises:
        DactylError: the file is no picture, or too large.
    """
    data = read_file(path, _MAX_BYTES, "picture")
    square = ImageOps.fit(decode_picture(path, data, _MAX_PIXELS), (size, size), Image.Resampling.BOX)
    return Texture(f"{path.stem}-{bytes_hash(data)}", np.asarray(square), tileable=False)


def decode_picture(path: Path, data: bytes, most_pixels: int) -> Image.Image:
    """An ordinary picture in RGB, the way up that its camera says.

    Raises:
        DactylError: ``data``, the content of ``path``, is no picture, too large, or has values that Pillow would clip.
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
    """Sixteen digits that tell files apart."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
