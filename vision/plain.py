"""Plain data of scenes: typed, frozen, with read-only arrays, and unchanged by a round trip through JSON.

Small arrays of float64 are lists of numbers, readable in any file; all others are packed. This is not the decoder of
``vision.io.decode``, through which these values have already passed: that one creates no arrays, and its errors advise
making a file again, while scenes are written and corrected by hand.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import re
import zlib
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
import numpy as np

from vision.errors import DactylError, decoding_reason, printable, suggestion

_READABLE = 96  # numbers up to which an array is a list
_MOST_BYTES = 1 << 28  # in one array: a mesh of ten million vertices
_LARGEST = 1e9  # largest number: sums and squares with larger ones lose all precision
_LONGEST_NAME = 100  # characters: names become part of those of files
_SAME, _DECIMALS = 1e-9, 10  # how far apart numbers are alike, in their units or as a fraction; decimals in hashes
_PACKED = {"dtype", "shape", "zlib"}  # keys of an array that is packed
_DTYPES = ("float64", "float32", "int64", "int32", "uint8")

Vector3 = tuple[float, float, float]
"""Three numbers: a point, a direction or an axis."""

T = TypeVar("T")


@dataclass(frozen=True)
class ArrayOf:
    """Shape and type of an array in plain data, beside its type: ``Annotated[np.ndarray, ArrayOf((None, 3))]``.

    Attributes:
        shape: required shape, with None for a length that is free; None for any shape.
        dtype: type of the numbers.
    """

    shape: tuple[int | None, ...] | None = None
    dtype: str = "float64"


Vectors = Annotated[np.ndarray, ArrayOf((None, 3))]
"""Array of points, directions or axes, (N, 3) float64."""


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True, eq=False):
    """Base class of plain data: numbers, texts, arrays, and other plain data.

    Arrays become read-only copies of the type and shape that :class:`ArrayOf` states, however a value is made: in code,
    from a file, or as a changed copy. Subclasses check the rest in :meth:`check`.

    Raises:
        ValueError: an array does not fit, or :meth:`check` refuses the values; from a file, a :class:`DactylError`.
    """

    def __post_init__(self) -> None:
        for name, kind in _arrays(type(self)).items():
            if (value := getattr(self, name)) is None:  # where that is allowed, which decoding and types ensure
                continue
            try:
                array = checked_array(value, kind.dtype, kind.shape)
            except ValueError as error:
                raise ValueError(f"{self.here}: {name}: {error}" if self.here else f"{name}: {error}") from None
            msgspec.structs.force_setattr(self, name, read_only(array))
        self.check()

    @property
    def here(self) -> str:
        """What messages call it, where its kind and key would not tell which of several it is."""
        return ""

    def check(self) -> None:
        """Raise ValueError for values that are impossible, or do not go together."""


def to_rounded(value: Any) -> Any:
    """Convert plain data to JSON values for hashes, which agree between machines: numbers have ten decimals.

    The last digits of what was computed depend on the processor, whose kernels NumPy chooses.
    """
    return _rounded(msgspec.to_builtins(value, enc_hook=_hashed))


def alike(one: Any, other: Any) -> bool:
    """Return whether two values of plain data, as :func:`to_plain` converts them, agree to rounding errors."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() == other.keys() == _PACKED:
            return one == other or _alike_arrays(_unpacked(one), _unpacked(other))
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)
    return bool(one == other)


def _alike_arrays(one: np.ndarray, other: np.ndarray) -> bool:
    same = (one.dtype, one.shape) == (other.dtype, other.shape)
    return same and (np.allclose(one, other, _SAME, _SAME) if one.dtype == np.float64 else np.array_equal(one, other))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, _DECIMALS) + 0.0 if isinstance(value, float) else value  # + 0.0 takes off a sign of zero


def _hashed(value: Any) -> Any:
    assert isinstance(value, np.ndarray)
    if value.dtype.kind == "f":
        value = value.round(_DECIMALS) + 0.0
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return {"dtype": str(value.dtype), "shape": list(value.shape), "sha256": digest}


@functools.cache
def _arrays(kind: type[Plain]) -> dict[str, ArrayOf]:
    """Return what is stated of each array of a class, by name."""
    found: dict[str, ArrayOf] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for option in (hint, *get_args(hint)):  # X | None
            stated = [each for each in getattr(option, "__metadata__", ()) if isinstance(each, ArrayOf)]
            if stated or option is np.ndarray:
                found.setdefault(name, stated[0] if stated else ArrayOf())
    return found


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
        raise DactylError(f"{where}: {decoding_reason(error)}{_suggested(error, kind)}") from None


def _suggested(error: Exception, kind: Any) -> str:
    """Return what an unknown key was probably meant to be, to stand after the message; nothing for other errors."""
    unknown = re.search("unknown field `(.+?)`", str(error))
    return suggestion(unknown[1], sorted(_keys(kind))) if unknown else ""


def _keys(kind: Any) -> set[str]:
    """Return the keys of a type and of all types in it."""
    if isinstance(kind, type) and issubclass(kind, Plain):
        hints = get_type_hints(kind)
        return {*kind.__struct_fields__}.union(*map(_keys, hints.values()))
    return set[str]().union(*map(_keys, get_args(kind)))


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
    if array.shape == (0,) and shape is not None and shape[0] is None:  # an empty list does not show its shape
        array = array.reshape([length or 0 for length in shape])
    if shape is not None and (
        array.ndim != len(shape)
        or any(size is not None and size != there for size, there in zip(shape, array.shape, strict=True))
    ):
        expected = " x ".join("N" if size is None else str(size) for size in shape)
        raise ValueError(f"expected {expected} numbers, got {' x '.join(map(str, array.shape)) or 'one'}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array


def read_only(array: np.ndarray) -> np.ndarray:
    """Make an array read-only and return it: one that many share must not be changed by one of them."""
    array.flags.writeable = False
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
    if isinstance(value, (np.ndarray, list)):
        return np.asarray(value)  # which the plain data that it belongs to checks
    if not isinstance(value, dict) or value.keys() != _PACKED or value["dtype"] not in _DTYPES:
        raise ValueError("expected numbers")
    return _unpacked(value)


def _unpacked(value: dict[str, Any]) -> np.ndarray:
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
    return np.frombuffer(content, value["dtype"]).reshape(shape)
