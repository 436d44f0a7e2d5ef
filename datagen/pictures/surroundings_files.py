"""Surroundings from files: equirectangular images in ``.hdr`` (Radiance), ``.exr`` (OpenEXR), JPEG or PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.pictures.surroundings import Surroundings, normalised, resized
from datagen.pictures.texture_files import bytes_hash, decode_picture, unreadable
from vision.color import linear_from_srgb
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.io.files import read_file
from vision.machine.extras import optional

SUFFIXES = (".hdr", ".exr", ".jpg", ".jpeg", ".png")
_MAX_BYTES = 512 * 2**20
_MAX_PIXELS = 150_000_000


def read_surroundings(path: Path, height: int) -> Surroundings:
    """Read a file's map, averaged to ``height`` rows and twice as many columns, and named by the file and its bytes.

    Ordinary images are taken as sRGB-encoded; light that was clipped in them stays clipped.

    Raises:
        DactylError: the file is not an image, is not twice as wide as high, too large, black all over, or holds values
            that are not finite.
    """
    data = read_file(path, _MAX_BYTES, "picture")
    radiance = _READERS.get(path.suffix.lower(), _ordinary)(path, data)
    rows, columns = radiance.shape[:2]
    if columns != 2 * rows:
        raise DactylError(f"{path}: {columns} x {rows} pixels; an equirectangular picture is twice as wide as high")
    if not np.isfinite(radiance).all():
        raise DactylError(f"{path}: holds values that are not finite; write it again from its source")
    # Compression and resampling leave some values slightly below zero.
    reduced = resized(np.maximum(radiance, 0), height)
    if not reduced.any():
        raise DactylError(f"{path}: is black all over, so it lights nothing; replace it or take it away")
    return Surroundings(f"{path.stem}-{bytes_hash(data)}", normalised(reduced.astype(np.float64)))


def _ordinary(path: Path, data: bytes) -> FloatArray:
    return linear_from_srgb(np.asarray(decode_picture(path, data, _MAX_PIXELS)) / 255)


def _radiance(path: Path, data: bytes) -> FloatArray:
    import cv2

    # The header's last line, "-Y rows +X columns", gives the size that OpenCV allocates.
    header = data[:4096].split(b"\n\n", 1)
    words = header[1].split(b"\n", 1)[0].split() if len(header) == 2 else []
    if not data.startswith(b"#?") or len(words) != 4 or words[::2] != [b"-Y", b"+X"]:
        raise unreadable(path, "not the header of a Radiance picture, top row first")
    try:
        _check_size(path, int(words[3]), int(words[1]))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except (ValueError, cv2.error) as error:
        raise unreadable(path, error) from None
    if image is None:
        raise unreadable(path, "its pixels are damaged")
    return image[..., ::-1].astype(np.float64)


def _openexr(path: Path, data: bytes) -> FloatArray:
    del data  # the library only reads files
    with optional("OpenEXR", str(path)):
        import OpenEXR
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
            _check_size(path, int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            for name in ("RGB", "RGBA"):
                if name in channels:
                    colours: FloatArray = channels[name].pixels[..., :3].astype(np.float64)
                    return colours
            if "Y" in channels:
                grey: FloatArray = channels["Y"].pixels[..., None].astype(np.float64).repeat(3, axis=2)
                return grey
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, error) from None
    raise DactylError(f"{path}: has channels {', '.join(channels)}; R, G and B are needed")


_READERS = {".hdr": _radiance, ".exr": _openexr}


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > _MAX_PIXELS:
        raise DactylError(f"{path}: {width} x {height} pixels; 1 to {_MAX_PIXELS:,} can be read")
