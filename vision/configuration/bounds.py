"""Bounds checks for configurations, called from ``__post_init__``. None passes all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import MISSING, fields
from typing import Any

_MOST_COUNT, _MOST_NUMBER = 1 << 53, 1e37
"""From here on, whole numbers and others overflow elsewhere: as float64 and float32."""


def at_least_one(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that is below 1, with its value; None passes."""
    _require(config, names, lambda value: value >= 1, "must be at least 1, got {}")


def all_cores_or_some(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes (numbers of processes or threads, of which None takes all
    cores) that is below 1, with its value."""
    _require(config, names, lambda value: value >= 1, "must be at least 1, got {}; null takes all cores")


def known_device(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that is none of auto, cpu, cuda and cuda:N, with its
    value."""
    for name in names:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value := getattr(config, name)):
            raise ValueError(f"{name}: expected auto, cpu, cuda or a GPU by its number, such as cuda:1, got '{value}'")


def not_negative(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that is below 0, with its value."""
    _require(config, names, lambda value: value >= 0, "must not be negative, got {}")


def positive(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that is 0 or below, with its value."""
    _require(config, names, lambda value: value > 0, "must be positive, got {}")


def at_most_seconds(config: Any, most: float, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that exceeds ``most`` seconds, with its value; None
    passes."""
    for name in names:
        if (value := getattr(config, name)) is not None and value > most:
            raise ValueError(f"{name}: expected at most {most:g} seconds, got {value:g}; are these milliseconds?")


def drawable_size(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes (longest sides of images, pixels) that lies outside [16,
    2048], with its value; None passes."""
    _require(config, names, lambda value: 16 <= value <= 2048, "must lie between 16 and 2048 pixels, got {}")


def fraction(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes (probabilities, fractions, colours) that lies outside [0,
    1], with its value."""
    _require(config, names, lambda value: 0 <= value <= 1, "must lie in [0, 1], got {}")


def inner_fraction(config: Any, *names: str) -> None:
    """Raise a ValueError for the first of these attributes that does not lie strictly between 0 and 1, with its
    value."""
    _require(config, names, lambda value: 0 < value < 1, "must lie between 0 and 1, got {}")


def changed_keys(config: Any, others: Collection[str]) -> Iterator[str]:
    """Yield the keys of a configuration that are none of ``others`` and differ from their defaults."""
    for field in fields(config):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name not in others and getattr(config, field.name) != default:
            yield field.name


def _require(config: Any, names: Sequence[str], holds: Callable[[Any], bool], words: str) -> None:
    """Raise a ValueError for the first of these attributes that does not hold, with its value, or that is huge; None
    passes."""
    for name in names:
        if (value := getattr(config, name)) is None:
            continue
        if not holds(value):
            raise ValueError(f"{name}: {words.format(value)}")
        most = _MOST_COUNT if isinstance(value, int) else _MOST_NUMBER
        if most <= value < math.inf:  # what is not finite is refused in other words
            shown = value if value < 10**40 else "one of very many digits"
            raise ValueError(f"{name}: must be below {most:g}, got {shown}")
