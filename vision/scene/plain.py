"""Plain data of scenes: typed, frozen, with arrays, and unchanged by a round trip through JSON.

Small arrays of float64 are lists of numbers, readable in any file; all others are packed. This is not the decoder of
``vision.io.decode``, through which these values have already passed: that one creates no arrays, and its errors advise
making a file again, while scenes are written and corrected by hand.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any, TypeVar

import msgspec
import numpy as np

from vision.errors import DactylError, decoding_reason, printable

_READABLE = 96  # numbers up to which an array is a list
_MOST_BYTES = 1 << 28  # in one array: a mesh of ten million vertices
_LARGEST = 1e9  # largest number: sums and squares with larger ones lose all precision
_LONGEST_NAME = 100  # characters: names become part of those of files
_DTYPES = ("float64", "float32", "int64", "int32", "uint8")

Vector3 = tuple[float, float, float]
"""Three numbers: a point, a direction or an axis."""

T = TypeVar("T")


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True, eq=False):
    """Base class of plain data: numbers, texts, arrays, and other plain data."""


def to_plain(value: Any) -> Any:
    """Convert plain data to JSON values, from which :func:`from_plain` restores the same data bit for bit."""
    return msgspec.to_builtins(value, enc_hook=_encode)


def from_plain(value: Any, kind: type[T], where: str) -> T:
    """Convert JSON (or YAML) values to typed plain data.

    Args:
        value: lists, dictionaries, numbers and texts, from :func:`vision.io.decode.parse_json` or a strict YAML.
        kind: the expected type.
        where: name of their file, for errors.

    Raises:
        DactylError: a key is missing, unknown or of another type, or a number is not finite; the message names it.
    """
    try:
        _refuse_odd_numbers(value)
        return msgspec.convert(value, kind, dec_hook=_decode)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise DactylError(f"{where}: {decoding_reason(error)}") from None


def check_name(name: str, what: str) -> None:
    """Raise ValueError for a name that cannot be shown in one line or be part of a file name.

    Args:
        name: of a scene or of a part of one.
        what: the thing that is named, for the message.
    """
    if not 0 < len(name) <= _LONGEST_NAME or "/" in name or printable(name) != name:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:40]}..."
        raise ValueError(
            f"name: of the {what}: expected 1 to {_LONGEST_NAME} printable letters and no /, got '{printable(shown)}'"
        )


def checked_array(value: Any, dtype: str = "float64", shape: tuple[int | None, ...] | None = None) -> np.ndarray:
    """Return a copy of an array of finite numbers.

    Args:
        value: an array, or lists of numbers.
        dtype: of the result.
        shape: required shape; None for a length that is free.

    Raises:
        ValueError: another shape, something that is no number, or a number that is not finite.
    """
    if np.asarray(value).dtype.kind not in "fiu":  # NumPy would take texts for numbers
        raise ValueError("expected numbers")
    array = np.array(value, dtype=dtype)
    if shape is not None and (
        array.ndim != len(shape)
        or any(size is not None and size != there for size, there in zip(shape, array.shape, strict=True))
    ):
        expected = " x ".join("N" if size is None else str(size) for size in shape)
        raise ValueError(f"expected {expected} numbers, got {' x '.join(map(str, array.shape)) or 'one'}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array


def _refuse_odd_numbers(value: Any, key: str = "") -> None:
    """Raise ValueError for a number that is not finite, or so large that it must be a mistake: no range would catch
    it."""
    if isinstance(value, (int, float)) and not abs(value) <= _LARGEST:  # true for NaN, too
        shown = str(value) if len(str(value)) < _LONGEST_NAME else "one of very many digits"
        raise ValueError(f"key '{key}': expected a number within {_LARGEST:g}, got {shown}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, inner in items:
        place = f"{key}[{name}]" if isinstance(name, int) else f"{key}.{name}" if key else str(name)
        _refuse_odd_numbers(inner, place)


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if 0 < value.size <= _READABLE and value.dtype == np.float64:
            return value.tolist()
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 6)).decode()
        return {"dtype": str(value.dtype), "shape": list(value.shape), "zlib": packed}
    raise NotImplementedError(f"no plain data: {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is not np.ndarray:
        raise NotImplementedError(f"no plain data: {kind.__name__}")
    if isinstance(value, np.ndarray):
        return checked_array(value, str(value.dtype))
    if isinstance(value, list):
        return checked_array(value)
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "zlib"} or value["dtype"] not in _DTYPES:
        raise ValueError("expected numbers")
    shape = tuple(int(size) for size in value["shape"])
    size = math.prod(shape) * np.dtype(value["dtype"]).itemsize
    if min(shape, default=0) < 0 or size > _MOST_BYTES:
        raise ValueError(f"an array of shape {shape} is too large")
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(value["zlib"], validate=True), size + 1)
    except (ValueError, TypeError, zlib.error):
        raise ValueError("a damaged array") from None
    if len(content) != size:
        raise ValueError("a damaged array")
    return checked_array(np.frombuffer(content, value["dtype"]).reshape(shape), value["dtype"])
