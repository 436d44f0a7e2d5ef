"""Completion of a scene's hand: what the scene file omits is taken from the hand's model."""

from __future__ import annotations

import functools

import msgspec
import mujoco

from datagen.sim.controls import control_of
from datagen.sim.hand import hand_file, load_hand, whole_model
from datagen.sim.hand_model import fingertip_names, fixed_landmarks, visual_group
from datagen.sim.model_files import model_digest
from vision.errors import DactylError
from vision.io.kept import KeptWhileFilesStay
from vision.scene.hand import Hand
from vision.scene.load import load_scene
from vision.scene.scene import Scene

_NEAR = 1e-3  # rad or m beyond a limit: rounding


@KeptWhileFilesStay
def complete_scene(source: str) -> Scene:
    """Load and complete the scene of that name or in that file, again if the file or the hand's model has changed.

    Raises:
        DactylError: there is no such scene, or its hand's model is missing or lacks something that the scene names.
    """
    return completed(load_scene(source))


def completed(scene: Scene) -> Scene:
    """Complete the scene's hand from its model; a scene without a hand is returned unchanged.

    Joints and actuators are the model's. What the scene omits is derived: fingertips are the sites named ``*tip``, or
    the ends of chains; joints that cannot start at zero start at the nearest limit; landmarks are points far apart on
    parts that no joint moves.

    Raises:
        DactylError: the hand's model is missing, has joints or actuators that cannot be used, or lacks something that
            the scene names.
    """
    hand = scene.hand
    if hand is None or (hand.joints and hand.sha256):
        return scene
    spec = load_hand(hand)
    model = whole_model(spec, hand)
    _refuse_joints(hand, model)
    for actuator in range(model.nactuator):
        control_of(model, actuator, hand)
    joints = tuple(joint.name.removeprefix(hand.prefix) for joint in spec.joints)
    _refuse_odd_choices(hand, model, joints)
    group = visual_group(model) if hand.visual_group is None else hand.visual_group
    try:
        hand = msgspec.structs.replace(
            hand,
            sha256=model_digest(hand_file(hand)),
            visual_group=group,
            joints=joints,
            actuators=tuple(actuator.name.removeprefix(hand.prefix) for actuator in spec.actuators),
            fingertips=hand.fingertips or tuple(n.removeprefix(hand.prefix) for n in fingertip_names(spec, model)),
            initial_pose=_start(model, hand),
            landmarks=hand.landmarks or fixed_landmarks(model, group, scene.rig),
        )
    except ValueError as error:  # the scene names something that the model lacks
        raise DactylError(f"hand {hand.name}: {error}") from None
    return msgspec.structs.replace(scene, hand=hand)


def as_installed(scene: Scene) -> Scene:
    """Complete a network's scene with the hand model now installed: a network stores joints and landmarks, no model.

    Raises:
        DactylError: as :func:`completed`, or the model's joints have changed.
    """
    if scene.hand is None:
        return scene
    return _completed_once(msgspec.structs.replace(scene, hand=msgspec.structs.replace(scene.hand, sha256="")))


# Without its hash, so that scenes whose hands lie in different places are told apart.
_completed_once = functools.lru_cache(maxsize=8)(completed)


def _refuse_odd_choices(hand: Hand, model: mujoco.MjModel, joints: tuple[str, ...]) -> None:
    """Refuse wrong statements of a scene file about the model, which would hide the hand or change it."""
    if hand.joints and hand.joints != joints:
        raise DactylError(f"hand {hand.name}: joints: the model has {', '.join(joints)}; leave them out")
    for key in ("visual_group", "collision_group"):
        if (group := getattr(hand, key)) is not None and group not in model.geom_group:
            there = ", ".join(map(str, sorted({*model.geom_group.tolist()})))
            raise DactylError(f"hand {hand.name}: {key}: no geom of the model is in group {group}; there are {there}")
    for name, angle in hand.initial_pose.items():
        if name not in joints:
            continue  # reported elsewhere
        joint = model.joint(joints.index(name))
        low, high = joint.range
        if model.jnt_limited[joint.id] and not low - _NEAR <= angle <= high + _NEAR:
            raise DactylError(
                f"hand {hand.name}: initial_pose: joint '{name}' at {angle:g}, its limits are {low:g} and {high:g}; "
                "are these degrees?"
            )


def _refuse_joints(hand: Hand, model: mujoco.MjModel) -> None:
    for joint in map(model.joint, range(model.njnt)):
        kind = mujoco.mjtJoint(joint.type[0])
        if kind not in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
            said = "free" if kind == mujoco.mjtJoint.mjJNT_FREE else "ball"
            raise DactylError(
                f"hand {hand.name}: joint '{joint.name}' of body '{model.body(model.jnt_bodyid[joint.id]).name}' is a "
                f"{said} joint; a hand has hinges and slides: remove the body if it is no part of the hand, or replace "
                "the joint in its model"
            )


def _start(model: mujoco.MjModel, hand: Hand) -> dict[str, float]:
    """Return the scene's initial pose, with the nearest limit for joints that it omits and that cannot be at zero."""
    pose = dict(hand.initial_pose)
    for joint in map(model.joint, range(model.njnt)):
        name, (low, high) = joint.name.removeprefix(hand.prefix), joint.range
        if model.jnt_limited[joint.id] and name not in pose and not low <= 0 <= high:
            pose[name] = float(low if low > 0 else high)
    return pose
