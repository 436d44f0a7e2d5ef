"""A scene whose hand says all that the rest of the program asks of it: what its file leaves out, its model tells."""

from __future__ import annotations

import functools
import hashlib

import msgspec

from datagen.sim.hand import hand_file, load_hand
from vision.errors import DactylError
from vision.scene.load import load_scene
from vision.scene.scene import Scene


@functools.lru_cache(maxsize=8)
def complete_scene(source: str) -> Scene:
    """The scene of that name or in that file, completed.

    Raises:
        DactylError: there is none, or its hand's model is missing or has not what the scene names.
    """
    return completed(load_scene(source))


def completed(scene: Scene) -> Scene:
    """The same scene with the hand's joints and actuators, and the hash of its model; as it is without a hand."""
    hand = scene.hand
    if hand is None or hand.joints:
        return scene
    spec = load_hand(hand)
    try:
        hand = msgspec.structs.replace(
            hand,
            sha256=hashlib.sha256(hand_file(hand).read_bytes()).hexdigest(),
            joints=tuple(joint.name.removeprefix(hand.prefix) for joint in spec.joints),
            actuators=tuple(actuator.name.removeprefix(hand.prefix) for actuator in spec.actuators),
        )
    except ValueError as error:  # the scene names what the model has not
        raise DactylError(f"hand {hand.name}: {error}") from None
    return msgspec.structs.replace(scene, hand=hand)
