"""One typed decoder for everything that is read from a file from outside.

A file's values become typed here: types are strict (1.0 is not an integer, "1" not a number), numbers are finite and
have ranges, keys are those of the type, texts are short and have no control characters, and nesting and the number of
values are limited before anything is built from them. Only a scene leaves here as plain values, for
``vision.plain``: it has arrays, and quantities with their own limits.
"""

from __future__ import annotations

import math
import re
from dataclasses import is_dataclass
from typing import Annotated, Any, TypeVar

import msgspec

from vision.errors import DactylError, decoding_reason, shortened
from vision.io.store import Location

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
"""A number of things, or the index of one."""

Name = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z._ -]{0,99}\Z")]
"""Name of something, for example ``block``; part of file names, so neither a path nor hidden."""

Text = Annotated[str, msgspec.Meta(max_length=300)]
"""Text for people: versions, devices."""

Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A hash in hexadecimal digits; part of file names."""

_MAX_DEPTH = 24
_MAX_TEXT = 4096  # characters: a path is the longest text in our files
_PACKED = ("zlib", "texture")  # keys of a scene's arrays and images (``vision.plain``)
_MAX_PACKED = 1 << 26
_MAX_VALUES = 4_000_000  # in one file: some 200 MB in memory; a manifest of a million triplets has 100,000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Content of a JSON file, by key. A file with any other key is refused."""


def decode(content: bytes, kind: type[T], where: str | Location) -> T:
    """Decode JSON to a value of type ``kind``; ``where`` names it in errors.

    Raises:
        DactylError: the content is not JSON, or a value does not fit the type; the message names its key.
    """
    return convert(parse_json(content, where), kind, where)


def convert(value: Any, kind: type[T], where: str | Location) -> T:
    """Convert values that are already parsed, a checkpoint's or a YAML file's, as :func:`decode` does.

    ``kind`` may be a :class:`Record`, a dataclass with others in it, or any type of JSON values.
    """
    _refuse_excess(value, where)
    try:
        found = msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DactylError(f"{where}: {decoding_reason(error)}; make it again") from None
    # msgspec ignores keys that a dataclass does not have.
    if is_dataclass(kind) and (key := _unknown_key(value, msgspec.to_builtins(found))) is not None:
        raise DactylError(f"{where}: unknown key '{shortened(key, 60)}'; make it again")
    return found


def parse_json(content: bytes, where: str | Location) -> Any:
    """Parse JSON to plain values, within the limits of this module; a byte order mark is skipped."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > _MAX_VALUES:
        raise DactylError(f"{where}: more than {_MAX_VALUES:,} values; this is no file of this program")
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DactylError(f"{where}: not readable JSON ({decoding_reason(error)}); make it again") from None
    _refuse_excess(value, where)
    return value


def _refuse_excess(value: Any, where: str | Location) -> None:
    """Refuse deep nesting, numbers that are not finite, and texts that are long or could control a terminal."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(_MAX_DEPTH):
        inner: list[tuple[str, Any]] = []
        for key, each in level:
            if isinstance(each, dict):
                _refuse_odd_keys(each, where)
                inner += each.items()
            elif isinstance(each, (list, tuple)):
                inner += ((key, item) for item in each)
            elif isinstance(each, str) and (
                len(each) > (_MAX_PACKED if key in _PACKED else _MAX_TEXT) or _CONTROL.search(each)
            ):
                said = f"key '{shortened(key, 60)}': " if key else ""
                raise DactylError(f"{where}: {said}a text of {len(each)} characters that none should be; make it again")
            elif isinstance(each, float) and not math.isfinite(each):
                raise DactylError(f"{where}: key '{shortened(key, 60)}': expected a finite number; make it again")
        level = inner
        if not level:
            return
    raise DactylError(f"{where}: nested deeper than {_MAX_DEPTH} levels; this is no file of this program")


def _refuse_odd_keys(values: dict[Any, Any], where: str | Location) -> None:
    for name in values:
        if not isinstance(name, str) or len(name) > _MAX_TEXT or _CONTROL.search(name):
            raise DactylError(f"{where}: a key that is no name, {shortened(repr(name), 60)}; make it again")


def _unknown_key(given: Any, known: Any) -> str | None:
    """Return the first key of nested values that the typed ones do not have."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                return str(key)
            if (inner := _unknown_key(value, known[key])) is not None:
                return inner
    elif isinstance(given, (list, tuple)) and isinstance(known, (list, tuple)):
        for value, other in zip(given, known, strict=False):
            if (inner := _unknown_key(value, other)) is not None:
                return inner
    return None
