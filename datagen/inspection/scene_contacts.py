"""Warnings from a scene's compiled model: a hand with its own floor, odd joint limits, parts inside each other."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from datagen.sim.overlaps import placed_at_start
from datagen.sim.scene import SimScene

_OVERLAP = 0.002  # m: more than a contact yields
_FAR_BEYOND = 5.0  # times a joint's limits; servos that press against an object are led somewhat beyond them
_STIFF, _LOOSE = 0.1, 4 * np.pi  # rad: every hand's widest hinge turns more than the first, no finger's than the second


def model_warnings(compiled: SimScene) -> Iterator[str]:
    """Yield a sentence for each likely mistake: a hand with its own floor, odd limits or controls, one below the
    background, one whose links overlap, or one that encloses the object's start.

    Args:
        compiled: scene compiled for physics.
    """
    scene, model, hand = compiled.scene, compiled.model, compiled.hand
    if hand is None:
        return
    data = placed_at_start(compiled)
    ours = {*compiled.object_geoms, *compiled.background_geoms}
    links = [geom for geom in range(model.ngeom) if geom not in ours]
    if floors := [geom for geom in links if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE]:
        links = [geom for geom in links if geom not in floors]
        named = model.geom(floors[0]).name or "without a name"
        yield (
            f"hand: its model has a floor of its own (plane {named}), which is drawn and touched as a part of the "
            "hand; take it out of the model, or name it in hand.remove: the floor is the scene's background"
        )
    for body in np.flatnonzero(model.body_mocapid >= 0):
        yield (
            f"hand: '{model.body(body).name}' is a mocap body, which nothing moves here; name it in hand.remove, "
            "or it is drawn as a part of the hand"
        )
    yield from _limit_warnings(compiled)
    yield from _control_warnings(compiled)
    if scene.background.kind != "none" and links:
        floor = scene.background.centre[2]
        lowest = {geom: _bottom(model, data, geom) for geom in links}
        geom = min(links, key=lowest.__getitem__)
        if lowest[geom] < floor - _OVERLAP:
            body = model.body(model.geom_bodyid[geom]).name.removeprefix(hand.prefix)
            yield (
                f"hand: {body} reaches {1000 * (floor - lowest[geom]):.0f} mm below the {scene.background.kind}, which "
                "hides it; raise hand.position, or lower background.centre"
            )
    yield from _overlap_warnings(compiled, data, links)
    depth = max((-each.dist for each in data.contact if _between(each.geom, compiled.object_geoms, links)), default=0.0)
    if depth > _OVERLAP:
        yield (
            f"workspace: the object starts {1000 * depth:.0f} mm inside the hand, which will throw it out; raise "
            "workspace.start, or open the hand by hand.initial_pose"
        )


def _overlap_warnings(compiled: SimScene, data: mujoco.MjData, links: list[int]) -> Iterator[str]:
    """Warn of links that overlap each other where the hand starts."""
    model, hand = compiled.model, compiled.hand
    assert hand is not None
    deepest: dict[tuple[str, str], float] = {}
    for contact in data.contact:
        if contact.geom[0] in links and contact.geom[1] in links:
            first, second = (
                model.body(body).name.removeprefix(hand.prefix) for body in model.geom_bodyid[contact.geom]
            )
            deepest[first, second] = max(deepest.get((first, second), 0.0), -float(contact.dist))
    overlapping = {pair: depth for pair, depth in deepest.items() if depth > _OVERLAP}
    if overlapping:
        (first, second), depth = max(overlapping.items(), key=lambda item: item[1])
        more = f", and so do {len(overlapping) - 1} more pairs" if len(overlapping) > 1 else ""
        yield (
            f"hand: {first} and {second} overlap by {1000 * depth:.0f} mm where it starts{more}; they push each other "
            "apart. If they always overlap, exclude the pair from contacts in the model, else change hand.initial_pose"
        )


def _limit_warnings(compiled: SimScene) -> Iterator[str]:
    """Warn of limits of hinges that look like another unit's."""
    model = compiled.model
    joints = model.dof_jntid[compiled.hand_dof]
    hinges = joints[(model.jnt_type[joints] == int(mujoco.mjtJoint.mjJNT_HINGE)) & (model.jnt_limited[joints] > 0)]
    spans = np.ptp(model.jnt_range[hinges], axis=1)
    if not len(spans):
        return
    if spans.max() < _STIFF:
        yield (
            f"hand: no hinge turns by more than {np.rad2deg(spans.max()):.2g} degrees between its limits; are they "
            'radians? say so in the model: <compiler angle="radian"/>'
        )
    elif spans.max() > _LOOSE:
        name = compiled.joint_names[list(joints).index(hinges[spans.argmax()])]
        yield f"hand: joint {name} turns by {spans.max():.3g} radians between its limits; are these degrees?"


def _control_warnings(compiled: SimScene) -> Iterator[str]:
    """Warn of servos on limited hinges whose controls go far beyond the hinges' limits."""
    model, follows = compiled.model, np.abs(compiled.controls.follows)
    joints = model.dof_jntid[compiled.hand_dof]
    unlimited = (model.jnt_type[joints] != int(mujoco.mjtJoint.mjJNT_HINGE)) | (model.jnt_limited[joints] == 0)
    reach = follows @ np.ptp(model.jnt_range[joints], axis=1)
    span = np.ptp(compiled.control_range, axis=1)
    far = np.flatnonzero(~follows[:, unlimited].any(axis=1) & (reach > 0) & (span > _FAR_BEYOND * reach))
    if len(far):
        first = int(far[0])
        name = model.actuator(first).name.removeprefix(compiled.hand.prefix if compiled.hand else "")
        more = f", and {len(far) - 1} more like it" if len(far) > 1 else ""
        yield (
            f"hand: the ctrlrange of actuator {name} spans {span[first]:.3g} where its joint's limits span "
            f"{reach[first]:.3g} radians{more}; are these degrees? MuJoCo converts limits of joints, but no ctrlrange"
        )


def _bottom(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Return the height of the lowest corner of a geom's bounding box, metres."""
    down = data.geom_xmat[geom].reshape(3, 3)[2]
    centre, half = model.geom_aabb[geom].reshape(2, 3)
    return float(data.geom_xpos[geom][2] + down @ centre - np.abs(down) @ half)


def _between(pair: np.ndarray, some: np.ndarray, others: list[int]) -> bool:
    first, second = pair
    return (first in some and second in others) or (second in some and first in others)
