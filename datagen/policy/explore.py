"""Interim policy for scenes without a trained one: smooth random motion of the fingers around the grasp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.sim.interface import Observation, Worlds
from datagen.sim.scene import SimScene
from vision.geometry.rotations import FloatArray
from vision.published import STEP_SECONDS

_CORRELATION_TIME = 0.6  # s: fingers sweep rather than tremble
_SPREAD = 0.8  # standard deviation of a joint's target around the grasp, in half control ranges


class RandomExploration:
    """Random exploration: each joint's target follows an Ornstein-Uhlenbeck process around the cupped hand.

    Goals are ignored. The object rotates by about 17 degrees every 0.4 s, and three of ten episodes of 8 s lose the
    block: poses and occlusions are varied, though not those of a hand that pursues goals.
    """

    name = "random-exploration"

    def __init__(self, scene: SimScene, worlds: int) -> None:
        self._controls = scene.controls
        low, high = scene.control_range.T
        self._half_range = (high - low) / 2
        self._spread = _SPREAD * scene.scene.workspace.random_motion
        self._grasp = self._controls.present(scene.scene.initial_joints)
        self._noise = np.zeros((worlds, scene.actions))
        self._generators: dict[int, np.random.Generator] = {}

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        for world, rng in zip(worlds, generators, strict=True):
            self._generators[int(world)] = rng
            self._noise[world] = rng.normal(size=self._noise.shape[1])

    def act(self, observation: Observation) -> FloatArray:
        memory = np.exp(-STEP_SECONDS / _CORRELATION_TIME)
        for world, rng in self._generators.items():
            fresh = np.sqrt(1 - memory**2) * rng.normal(size=self._noise.shape[1])
            self._noise[world] = memory * self._noise[world] + fresh
        target = self._grasp + self._spread * self._half_range * self._noise
        current = self._controls.present(observation["joint_position"])
        action: FloatArray = np.clip((target - current) / self._half_range, -1, 1)
        return action
