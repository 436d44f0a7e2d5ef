"""Links of a hand that overlap each other where the hand starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mujoco

from vision.errors import DactylError

if TYPE_CHECKING:
    from datagen.sim.scene import SimScene

_MOST_CONTACTS = 500
"""Contacts between links at the start. Hands that work have none; with 1,200 a simulation hardly advances."""


def placed_at_start(compiled: SimScene) -> mujoco.MjData:
    """Return the scene with hand and object where episodes start on average, its contacts found.

    Raises:
        DactylError: the hand's links touch each other in more places than can be simulated.
    """
    hand, model = compiled.hand, compiled.model
    data = mujoco.MjData(model)
    if hand is not None:
        data.qpos[compiled.hand_qpos] = hand.start
    data.qpos[compiled.object_qpos :][:7] = (*compiled.scene.workspace.start, 1.0, 0.0, 0.0, 0.0)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    with _without_warnings():
        mujoco.mj_collision(model, data)
    if hand is not None and data.ncon > _MOST_CONTACTS:
        first, second = (
            model.body(body).name.removeprefix(hand.prefix) for body in model.geom_bodyid[data.contact[0].geom]
        )
        raise DactylError(
            f"hand {hand.name}: its parts touch each other in {data.ncon:,} places where it starts, first {first} and "
            f"{second}; no more than {_MOST_CONTACTS} can be simulated. Exclude pairs of links that always overlap "
            "(<contact><exclude body1=... body2=.../></contact> in its model), or choose another hand.collision_group"
        )
    return data


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep MuJoCo from printing that its memory for contacts is full."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
