"""Randomised samples to render: the block in the cupped hand, everything as in Table 9."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Sample
from datagen.sim.materials import Material
from datagen.variation import generator
from vision.scene.scene import Scene


def make_samples(scene: Scene, materials: Sequence[Material], count: int) -> list[Sample]:
    """Make samples of a scene, with displaced cameras."""
    assert scene.hand is not None
    posture = scene.hand.start
    samples = []
    for index in range(count):
        rng = generator(0, index, "benchmark")
        look = draw_appearance(AppearanceConfig(), scene, materials, 0, index)
        position = np.array([1.0, 0.87, 0.18]) + rng.normal(0, 0.01, 3)
        samples.append(Sample(index, posture + rng.normal(0, 0.1, len(posture)), position, _unit_quaternion(rng), look))
    return samples


def _unit_quaternion(rng: np.random.Generator) -> np.ndarray:
    quaternion = rng.normal(size=4)
    return quaternion / np.linalg.norm(quaternion)
