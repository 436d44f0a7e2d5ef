"""Pictures of others: PNG and JPEG, as 8-bit RGB, or refused by name.

A PNG of 16 bits holds what a camera's 10, 12 or 14 bits say, and the file does not say which: such values are scaled by
the number of bits that is known, from the configuration or because only 16 bits hold the largest of them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eval.laboratory.opencv import opencv
from vision.errors import DactylError
from vision.io.files import read_file

BIT_DEPTHS = (10, 12, 14, 16)
"""What a camera's values may have in a file of 16 bits."""

LONGEST_STEP_S = 5.0
"""Seconds from picture to picture of a recording, most often."""

_SUFFIXES = (".png", ".jpg", ".jpeg")
_MAX_PIXELS = 50_000_000  # of a picture: more is no camera's, and 150 MB
_MAX_BYTES = 6 * _MAX_PIXELS  # of 16 bits, uncompressed
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # in EXIF
# As Pillow's own exif_transpose has them; that also writes EXIF again, which fails where a tag is damaged.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_BIT_DEPTH = 24  # where a PNG has it: the header is its first chunk


def check_bits(key: str, bits: int | None) -> None:
    """A ValueError that names ``key`` unless ``bits`` is None or one of :data:`BIT_DEPTHS`."""
    if bits is not None and bits not in BIT_DEPTHS:
        raise ValueError(f"{key}: expected one of {', '.join(map(str, BIT_DEPTHS))}, got {bits}")


def refuse_shared(key: str, sources: Mapping[str, Path | str]) -> None:
    """A ValueError that names ``key`` where two cameras have one source, which a copied line leaves behind."""
    cameras: dict[str, str] = {}
    for name, source in sources.items():
        if (other := cameras.setdefault(os.path.realpath(source), name)) != name:
            raise ValueError(f"{key}: {source} is camera '{other}' and camera '{name}'; each has pictures of its own")


def list_pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """PNG and JPEG files of a folder, and the names of the other files in it; hidden files are neither.

    Raises:
        DactylError: there is no such folder, or it cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DactylError(f"{folder}: expected a folder of pictures: {error.strerror}; check the path") from None
    pictures = [path for path in files if path.suffix.lower() in _SUFFIXES]
    return pictures, [path.name for path in files if path not in pictures]


def read_picture(path: Path, bits: int | None = None) -> np.ndarray:
    """A picture file as (H, W, 3) uint8 RGB, turned upright where its EXIF says how.

    Args:
        path: PNG or JPEG.
        bits: of a 16-bit PNG that count, one of :data:`BIT_DEPTHS`; None where its values must tell.

    Raises:
        DactylError: it is unreadable or of another format, or its 16-bit values do not tell what white is.
    """
    try:
        content = read_file(path, _MAX_BYTES, "picture")
        # By its content Pillow would take any of 40 formats, and hand PostScript to Ghostscript, which runs it.
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"{picture.width}x{picture.height} pixels")
            picture.load()
            if content.startswith(_PNG) and content[_PNG_BIT_DEPTH] == 16:
                return _eight_bits(_decode_deep(content), bits, path)
            return np.asarray(_upright(picture).convert("RGB"))
    except Image.UnidentifiedImageError:
        raise DactylError(
            f"{path}: not a readable picture: neither PNG nor JPEG; convert it, or copy it again"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{path}: not a readable picture ({error}); delete or record it again") from error


def _upright(picture: Image.Image) -> Image.Image:
    """A picture as every viewer shows it, and OpenCV reads it: turned as its EXIF says, if that says anything."""
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever a reader of damaged EXIF meets: the pixels are sound
        return picture
    return picture if turn is None else picture.transpose(turn)


def _decode_deep(content: bytes) -> np.ndarray:
    """(H, W, 3) uint16 RGB of a PNG that Pillow has found to be whole; Pillow itself clips or cuts such values."""
    cv2 = opencv()
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if decoded is None or decoded.dtype != np.uint16:
        raise ValueError("a 16-bit PNG that OpenCV cannot decode")
    return np.asarray(decoded[..., ::-1])


def _eight_bits(picture: np.ndarray, bits: int | None, path: Path) -> np.ndarray:
    largest = int(picture.max())
    if bits is None:
        if largest < 1 << BIT_DEPTHS[-2]:
            raise DactylError(
                f"{path}: 16-bit picture whose largest value is {largest}: fewer bits in 16, or a dark picture; "
                f"say with picture_bits how many count ({', '.join(map(str, BIT_DEPTHS))}), or convert to 8 bits"
            )
        bits = BIT_DEPTHS[-1]
    white = (1 << bits) - 1
    if largest > white:
        raise DactylError(f"{path}: 16-bit picture with the value {largest}, picture_bits {bits} ends at {white}")
    return np.round(picture * (255.0 / white)).astype(np.uint8)


def shown(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
