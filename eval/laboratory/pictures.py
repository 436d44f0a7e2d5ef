"""Reading of a user's PNG and JPEG images as 8-bit RGB.

A 16-bit PNG may hold a camera's 10, 12 or 14 bits, and the file does not state how many. Such values are scaled by the
number of bits from the configuration, or by 16 if the largest value needs them.
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
"""Numbers of significant bits that a camera's values may have in a 16-bit file."""

_SHOWN = 3  # names in a message
_SUFFIXES = (".png", ".jpg", ".jpeg")
_MAX_PIXELS = 50_000_000  # more than any camera has; 150 MB as RGB
_MAX_BYTES = 6 * _MAX_PIXELS  # of 16 bits, uncompressed
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # in EXIF
# As in Pillow's exif_transpose, which also rewrites the EXIF data and fails if a tag is damaged.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_BIT_DEPTH = 24  # its offset in a PNG, whose first chunk is the header


def check_bits(key: str, bits: int | None) -> None:
    """Raise ValueError naming ``key`` unless ``bits`` is None or one of :data:`BIT_DEPTHS`."""
    if bits is not None and bits not in BIT_DEPTHS:
        raise ValueError(f"{key}: expected one of {', '.join(map(str, BIT_DEPTHS))}, got {bits}")


def refuse_shared(key: str, sources: Mapping[str, Path | str]) -> None:
    """Raise ValueError naming ``key`` if two cameras have the same source, as after copying a line."""
    cameras: dict[str, str] = {}
    for name, source in sources.items():
        if (other := cameras.setdefault(os.path.realpath(source), name)) != name:
            raise ValueError(f"{key}: {source} is camera '{other}' and camera '{name}'; each has pictures of its own")


def list_pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """List the PNG and JPEG files of a folder, and the names of its other files; hidden files are skipped.

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
    """Read an image file as (H, W, 3) uint8 RGB, rotated as its EXIF orientation says.

    Args:
        path: PNG or JPEG.
        bits: number of significant bits in a 16-bit PNG, one of :data:`BIT_DEPTHS`; None to infer it from the values.

    Raises:
        DactylError: it is unreadable or of another format, or the bits of a 16-bit PNG cannot be inferred.
    """
    try:
        content = read_file(path, _MAX_BYTES, "picture")
        # Otherwise Pillow would accept any of 40 formats, and pass PostScript to Ghostscript, which executes it.
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"{picture.width}x{picture.height} pixels")
            picture.load()
            if content.startswith(_PNG) and content[_PNG_BIT_DEPTH] == 16:
                rgb = Image.fromarray(_eight_bits(_decode_deep(content), bits, path))
            else:
                rgb = picture.convert("RGB")
            return np.asarray(_upright(rgb, picture))
    except Image.UnidentifiedImageError:
        raise DactylError(
            f"{path}: not a readable picture: neither PNG nor JPEG; convert it, or copy it again"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{path}: not a readable picture ({error}); delete or record it again") from error


def _upright(rgb: Image.Image, picture: Image.Image) -> Image.Image:
    """Rotate an image by the EXIF orientation of the file's ``picture``, if it has one, as viewers and OpenCV do."""
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF raises errors of many types, but the pixels are sound
        return rgb
    return rgb if turn is None else rgb.transpose(turn)


def _decode_deep(content: bytes) -> np.ndarray:
    """Decode (H, W, 3) uint16 RGB of a PNG that Pillow has validated; Pillow itself clips or truncates such values."""
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


def shown(names: Sequence[str]) -> str:
    """Join the first names of a list for a message, with the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
