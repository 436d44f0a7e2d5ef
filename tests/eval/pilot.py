"""A policy, a renderer and an estimator for tests of the closed loop: cheap, and each does what it is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.appearance.sample import Sample
from datagen.sim.interface import Observation, Worlds
from datagen.sim.scene import SimScene
from tests.scenes import compiled, scene
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion


class Pilot:
    """Acts on all that concerns the object, so that a wrong pose is another action."""

    name = "pilot"

    def __init__(self, actions: int) -> None:
        self.actions = actions
        self.told: list[Observation] = []

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        """It has no memory."""

    def act(self, observation: Observation) -> FloatArray:
        self.told.append(observation)
        parts = [observation[key] for key in ("object_position", "object_quaternion", "relative_goal")]  # type: ignore[literal-required]
        weights = np.random.default_rng(0).normal(size=(11, self.actions))
        # Not a matrix product: the last bits of its rows depend on how many there are.
        return np.tanh((np.nan_to_num(np.hstack(parts))[:, :, None] * weights).sum(axis=1))


def build(scene: SimScene, worlds: int) -> Pilot:
    return Pilot(scene.actions)


class Canvas:
    """A renderer that draws nothing, and remembers what it was asked for."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, list[Sample]()
        self.materials = compiled().materials

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        self.asked = list(samples)
        noise = np.random.default_rng(0).integers(0, 256, (3, self.size, self.size, 3), dtype=np.uint8)
        return np.stack([noise] * len(samples))

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to free."""


class Eye:
    """An estimator that sees what a :class:`Canvas` was asked for, wrong by ``turn_deg`` about z and ``shift_mm``
    along x."""

    head, uses_cameras, finds_cameras, device = "geometric", True, False, torch.device("cpu")
    any_number_of_cameras, nominal_fault, usual_spread, windows, precision = True, None, 1.0, 1, "float32"

    def __init__(self, canvas: Canvas, turn_deg: float = 0.0, shift_mm: float = 0.0) -> None:
        self.canvas, self.turn_deg, self.shift_mm = canvas, turn_deg, shift_mm
        self.scene = scene("block", canvas.size)
        self.told: list[tuple[np.ndarray, np.ndarray, bool]] = []

    def predict(
        self, images: np.ndarray, cameras: Cameras, *, nominal: bool = False, batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        assert images.shape == (len(self.canvas.asked), 3, self.canvas.size, self.canvas.size, 3)
        intrinsics, extrinsics = cameras[:2]
        assert (intrinsics.shape[:2], extrinsics.shape[:2]) == (images.shape[:2],) * 2
        self.told.append((intrinsics, extrinsics, nominal))
        turn = Rotation.from_euler("z", self.turn_deg, degrees=True)
        true = rotation_from_quaternion([sample.object_quaternion for sample in self.canvas.asked])
        position = np.stack([sample.object_position for sample in self.canvas.asked])
        return {
            "position": position + np.array([self.shift_mm / 1000, 0, 0]),
            "quaternion": quaternion_from_rotation(turn * true),
            "confidence": np.full(len(images), 0.5),
            "covariance": np.tile(np.diag([1e-4] * 3 + [1e-6] * 3), (len(images), 1, 1)),
        }
