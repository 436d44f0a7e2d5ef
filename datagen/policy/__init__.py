"""Policies that act in the environment, by name."""

from __future__ import annotations

from collections.abc import Callable

from datagen.policy.base import Policy
from datagen.policy.explore import RandomExploration
from datagen.sim.scene import Scene
from vision.errors import DactylError

POLICIES: dict[str, Callable[[Scene, int], Policy]] = {RandomExploration.name: RandomExploration}
"""Builders by name: from the scene and the number of worlds."""


def create_policy(name: str, scene: Scene, worlds: int) -> Policy:
    """The policy of that name; :class:`DactylError` lists the known ones."""
    if name not in POLICIES:
        raise DactylError(f"unknown policy '{name}': choose one of {', '.join(POLICIES)}")
    return POLICIES[name](scene, worlds)
