"""The hand for other libraries' learners: importing this makes ``dactyl/Block-v0`` known to gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium

from datagen.policy.gym_env import HandVectorEnv, register

register()


def env(object: str = "block", num_envs: int = 64, **options: Any) -> HandVectorEnv:
    """So many hands with an object to turn; `datagen.policy.gym_env.HandVectorEnv` lists the options."""
    made = gymnasium.make_vec(f"dactyl/{object.capitalize()}-v0", num_envs=num_envs, **options)
    assert isinstance(made, HandVectorEnv)
    return made
