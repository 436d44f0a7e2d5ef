"""Randomizations as values: comparable, printable, configurable, and called with an explicit generator."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Shape = int | tuple[int, ...]


def _require_finite(variation: object) -> None:
    for field in fields(variation):  # type: ignore[arg-type]
        value = getattr(variation, field.name)
        if not math.isfinite(value):
            raise ValueError(f"{type(variation).__name__}: {field.name} must be finite, got {value}")


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_finite(self)
        if self.low > self.high:
            raise ValueError(f"Uniform: low {self.low} exceeds high {self.high}")

    def __call__(self, rng: np.random.Generator, shape: Shape = ()) -> NDArray[np.float64]:
        """Draw independent values, float64 of the given shape."""
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class LogUniform:
    """exp(u) with u uniform on [log low, log high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_finite(self)
        if not 0 < self.low <= self.high:
            raise ValueError(f"LogUniform: needs 0 < low <= high, got low {self.low}, high {self.high}")

    def __call__(self, rng: np.random.Generator, shape: Shape = ()) -> NDArray[np.float64]:
        """Draw independent values, float64 of the given shape."""
        return np.exp(rng.uniform(math.log(self.low), math.log(self.high), shape))


@dataclass(frozen=True)
class Normal:
    """Gaussian with the given mean and standard deviation."""

    mean: float
    std: float

    def __post_init__(self) -> None:
        _require_finite(self)
        if self.std < 0:
            raise ValueError(f"Normal: std must not be negative, got {self.std}")

    def __call__(self, rng: np.random.Generator, shape: Shape = ()) -> NDArray[np.float64]:
        """Draw independent values, float64 of the given shape."""
        return np.asarray(rng.normal(self.mean, self.std, shape))


@dataclass(frozen=True)
class UniformInt:
    """Uniform on the integers low, ..., high, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if int(self.low) != self.low or int(self.high) != self.high:
            raise ValueError(f"UniformInt: low and high must be whole, got {self.low} and {self.high}")
        if self.low > self.high:
            raise ValueError(f"UniformInt: low {self.low} exceeds high {self.high}")

    def __call__(self, rng: np.random.Generator) -> int:
        """Draw one integer."""
        return int(rng.integers(self.low, self.high, endpoint=True))
