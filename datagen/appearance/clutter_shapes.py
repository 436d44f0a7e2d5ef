"""Shapes of clutter: box, rod, sphere, ring and cable, each made of solids that every renderer can draw."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter_pieces import ClutterPart
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, quaternion_from_z

_RING_PARTS, _CABLE_PARTS = 16, 12


def _box(rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, _: float) -> list[ClutterPart]:
    half = size * rng.permutation([1.0, *rng.uniform(0.1, 1.0, 2)])
    return [ClutterPart("box", site, quaternion_from_rotation(turn), half)]


def _sphere(rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, _: float) -> list[ClutterPart]:
    del rng
    return [ClutterPart("sphere", site, quaternion_from_rotation(turn), np.array([size, 0.0, 0.0]))]


def _rod(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    del rng
    end = turn.apply([0.0, 0.0, size])
    return chain(np.stack([site - end, site + end]), thickness)


def _ring(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    del rng
    angle = np.linspace(0, 2 * np.pi, _RING_PARTS + 1)
    circle = size * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    return chain(site + turn.apply(circle), thickness)


def _cable(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    """Draw a cubic Bézier curve between two ends that bends sideways."""
    bends = np.array([[0, 0, -1], [0, 0, -0.3], [0, 0, 0.3], [0, 0, 1.0]]) * size
    bends[1:3, :2] = size * rng.uniform(-1.0, 1.0, (2, 2))
    t = np.linspace(0, 1, _CABLE_PARTS + 1)[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    return chain(site + turn.apply(weights @ bends), thickness)


def chain(points: FloatArray, radius: float) -> list[ClutterPart]:
    """Build capsules along a line through points (K, 3)."""
    starts, ends = points[:-1], points[1:]
    along = ends - starts
    length = np.linalg.norm(along, axis=1)
    sizes = np.column_stack([np.full(len(along), radius), length / 2, np.zeros(len(along))])
    turns = quaternion_from_z(along / length[:, None])
    return [ClutterPart("capsule", *values) for values in zip((starts + ends) / 2, turns, sizes, strict=True)]


KINDS = {"box": _box, "rod": _rod, "sphere": _sphere, "ring": _ring, "cable": _cable}
"""Functions by name, called with a generator, the centre (3,) in the world frame, a rotation, size and thickness, in
metres; the last two are defined in :class:`datagen.appearance.clutter.ClutterConfig`."""
