"""Generators of drawn values, keyed by (seed, sample index, parameter name).

A value therefore does not depend on the worker, machine or order that made the sample, and adding a parameter changes
no other. ``vision.distributions`` holds the distributions.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from vision.distributions import Shape


def generator(seed: int, index: int, name: str) -> np.random.Generator:
    """Return the generator of one parameter of one sample.

    It is a counter-based Philox keyed by a hash, which takes about ten microseconds and gives independent streams for
    any two different keys.
    """
    digest = hashlib.blake2b(f"{seed}/{index}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


def unit_vector(rng: np.random.Generator, shape: Shape = ()) -> NDArray[np.float64]:
    """Draw directions uniform on the unit sphere, float64 (*shape, 3)."""
    shape = (shape,) if isinstance(shape, int) else shape
    vector = rng.normal(size=(*shape, 3))
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    return unit
