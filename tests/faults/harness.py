"""Damage that a seed repeats, and the one answer that is allowed: a line that says what is wrong."""

from __future__ import annotations

import contextlib
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from vision.configuration.command_line import UsageError
from vision.errors import DactylError

Result = TypeVar("Result")

NASTY = (
    *("nan", ".nan", "inf", "-.inf", "1e999", "-1", "0", "9" * 30, "9" * 5000, "1e-3", "12:30:00", "017", "0x10"),
    *("null", "true", "yes", "''", '"', "'", "[", "]", "{", "}", "[]", "{}", "[1", "{a: 1}", ",", ":", "-", "- -"),
    *("!!python/name:os.system", "!x 1", "&a", "*a", "<<", "%", "@", "`", "|", ">", "#", "---", "...", "../..", "/"),
    *("\x00", "\ufeff", "é", "\u202e", "x" * 2000, "[" * 3000, "__class__", "class_path", "os.system", "\\u0000", "\n"),
)  # fmt: skip


def damaged(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """What was done to ``data``, and the bytes that came of it, never the same."""
    while True:
        first, last = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
        kind = str(rng.choice(list(DAMAGE)))
        changed = DAMAGE[kind](data, first, last, rng)
        if changed != data:
            return f"{kind} at {first} to {last}", changed


def _flipped(data: bytes, first: int, last: int, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[min(first, len(data) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _noise(rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, 64)))


DAMAGE: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "truncated": lambda data, first, last, rng: data[:first],
    "beheaded": lambda data, first, last, rng: data[last:],
    "flipped": _flipped,
    "zeroed": lambda data, first, last, rng: data[:first] + bytes(last - first) + data[last:],
    "extended": lambda data, first, last, rng: data + _noise(rng),
    "noise put in": lambda data, first, last, rng: data[:first] + _noise(rng) + data[first:],
    "overwritten": lambda data, first, last, rng: data[:first] + (noise := _noise(rng)) + data[first + len(noise) :],
    "cut out": lambda data, first, last, rng: data[:first] + data[last:],
    "doubled": lambda data, first, last, rng: data[:last] + data[first:last][:4096] + data[last:],
}


def misworded(text: str, rng: np.random.Generator) -> str:
    """``text`` with some of its words, numbers and brackets exchanged for nasty ones, or with lines moved."""
    words = [word for word in re.split(r"(\s+|[{}\[\]:,\"])", text) if word]
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(words)))
        match int(rng.integers(4)):
            case 0:
                words.insert(place, str(rng.choice(NASTY)))
            case 1:
                del words[place : place + int(rng.integers(1, 4))]
                words = words or [" "]
            case 2:
                words[place:place] = words[place : place + int(rng.integers(1, 12))]
            case _:
                words[place] = str(rng.choice(NASTY))
    return "".join(words)


def outcome(action: Callable[[], Result], names: str | Path = "", cpu_s: float = 2.0) -> Result | str:
    """What ``action`` returns, or the line in which it refuses. Fails on any other exception, and when it takes long.

    Args:
        names: what the line must name.
        cpu_s: seconds of processor time that it may take.
    """
    start = time.process_time()
    try:
        result: Result | str = action()
    except (DactylError, UsageError) as error:
        result = str(error)
        assert result, "an error without a word"
        assert "\n" not in result
        assert str(names) in result, f"'{result}' does not name {names}"
        assert len(result) < 2000, f"{len(result)} characters of error"
    assert time.process_time() - start < cpu_s
    return result


@contextlib.contextmanager
def memory_bounded(more_mb: int = 1024) -> Iterator[None]:
    """Let this process map only so much more: an image or alias bomb would then end in MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (more_mb << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
