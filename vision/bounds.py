"""Bounds of configurations: what their ``__post_init__`` raises for numbers that mean nothing."""

from __future__ import annotations

from typing import Any


def at_least_one(config: Any, *names: str) -> None:
    """A ValueError that names the first of these attributes that is below 1, and its value; None passes."""
    for name in names:
        if (value := getattr(config, name)) is not None and not value >= 1:
            raise ValueError(f"{name}: must be at least 1, got {value}")


def not_negative(config: Any, *names: str) -> None:
    """Likewise, below 0."""
    for name in names:
        if not (value := getattr(config, name)) >= 0:
            raise ValueError(f"{name}: must not be negative, got {value}")


def positive(config: Any, *names: str) -> None:
    """Likewise, 0 or below."""
    for name in names:
        if not (value := getattr(config, name)) > 0:
            raise ValueError(f"{name}: must be positive, got {value}")


def drawable_size(config: Any, *names: str) -> None:
    """Likewise, outside [16, 2048]: longest sides of images, pixels; None passes."""
    for name in names:
        if (value := getattr(config, name)) is not None and not 16 <= value <= 2048:
            raise ValueError(f"{name}: must lie between 16 and 2048 pixels, got {value}")


def share(config: Any, *names: str) -> None:
    """Likewise, outside [0, 1]: probabilities, shares, colours."""
    for name in names:
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise ValueError(f"{name}: must lie in [0, 1], got {value}")
