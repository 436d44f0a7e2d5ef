"""The hand for other reinforcement learning libraries: importing this registers ``dactyl/Block-v0`` with gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium

from datagen.policy.gym_env import HandVectorEnv, register

register()


def env(scene: str = "block", num_envs: int = 64, **options: Any) -> HandVectorEnv:
    """Make ``num_envs`` hands with an object to turn; ``datagen.policy.gym_env.HandVectorEnv`` lists the options.

    Args:
        scene: name or file of the scene (configs/scenes).
        num_envs: number of environments.
        options: further options of the environment.
    """
    made = gymnasium.make_vec("dactyl/Block-v0", num_envs=num_envs, scene=scene, **options)
    assert isinstance(made, HandVectorEnv)
    return made
