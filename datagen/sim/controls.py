"""What the environment's actions mean to a hand's actuators.

An action in [-1, 1] is a target in half control ranges: of a servo on a joint or on a tendon that runs over joints,
relative to where that is now; of every other actuator (a motor, one at a site, along a spatial tendon), relative to the
middle of its range.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.scene.hand import Hand

# MuJoCo's enumerations do not equal NumPy's integers: compare plain ones.
_JOINT = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_TENDON = int(mujoco.mjtTrn.mjTRN_TENDON)
_JOINT_WRAP = int(mujoco.mjtWrap.mjWRAP_JOINT)
_AFFINE = int(mujoco.mjtBias.mjBIAS_AFFINE)


class Control(NamedTuple):
    """How one actuator is told.

    Attributes:
        low, high: of its control.
        joints: index of each joint of the model whose position a servo follows, with its factor; empty where it
            follows none.
    """

    low: float
    high: float
    joints: dict[int, float]


class Controls(NamedTuple):
    """Those of a hand with A actuators and J joints.

    Attributes:
        range: lowest and highest control, (A, 2).
        follows: (A, J): what of the joints' positions each is relative to.
        middle: (A,) what is added to that: the middle of the range where an actuator follows no joint, else zero.
    """

    range: FloatArray
    follows: FloatArray
    middle: FloatArray

    def present(self, joint_position: FloatArray) -> FloatArray:
        """What actions are relative to (N, A), where the joints are at (N, J)."""
        return joint_position @ self.follows.T + self.middle


def controls_of(model: mujoco.MjModel, joint_ids: list[int], hand: Hand | None) -> Controls:
    """Controls of a compiled hand whose joints are those of the model in this order; raises as `control_of`."""
    if hand is None:
        return Controls(np.zeros((0, 2)), np.zeros((0, len(joint_ids))), np.zeros(0))
    found = [control_of(model, actuator, hand) for actuator in range(model.nu)]
    limits = np.array([(one.low, one.high) for one in found], dtype=np.float64).reshape(-1, 2)
    follows = np.zeros((len(found), len(joint_ids)))
    for row, one in zip(follows, found, strict=True):
        for joint, factor in one.joints.items():
            row[joint_ids.index(joint)] += factor
    return Controls(limits, follows, np.where(follows.any(axis=1), 0.0, limits.mean(axis=1)))


def control_of(model: mujoco.MjModel, actuator: int, hand: Hand) -> Control:
    """How one actuator is told.

    Raises:
        DactylError: it has no range, and no joint or tendon whose limits could stand in.
    """
    joints = _followed(model, actuator) if _is_servo(model, actuator) else {}
    if model.actuator_ctrllimited[actuator]:
        low, high = model.actuator_ctrlrange[actuator]
    else:
        low, high = _range_of_joint(model, actuator) if joints else (0.0, 0.0)
    if not low < high:
        raise DactylError(
            f"hand {hand.name}: actuator '{model.actuator(actuator).name}' has no ctrlrange, and no limited joint or "
            "tendon that it holds at a position; give it a ctrlrange in its model"
        )
    return Control(float(low), float(high), joints)


def _is_servo(model: mujoco.MjModel, actuator: int) -> bool:
    """Whether its control is a position."""
    return bool(model.actuator_biastype[actuator] == _AFFINE and model.actuator_biasprm[actuator, 1] < 0)


def _followed(model: mujoco.MjModel, actuator: int) -> dict[int, float]:
    gear, target = float(model.actuator_gear[actuator, 0]), int(model.actuator_trnid[actuator, 0])
    kind = int(model.actuator_trntype[actuator])
    if kind in _JOINT:
        return {target: gear}
    if kind != _TENDON:
        return {}
    first, count = model.tendon_adr[target], model.tendon_num[target]
    wraps = range(first, first + count)
    if any(model.wrap_type[wrap] != _JOINT_WRAP for wrap in wraps):
        return {}
    return {int(model.wrap_objid[wrap]): gear * float(model.wrap_prm[wrap]) for wrap in wraps}


def _range_of_joint(model: mujoco.MjModel, actuator: int) -> tuple[float, float]:
    """Limits of the joint or tendon it acts on, in units of its control; nothing where there are none."""
    target, gear = int(model.actuator_trnid[actuator, 0]), float(model.actuator_gear[actuator, 0])
    if int(model.actuator_trntype[actuator]) in _JOINT:
        limited, limits = model.jnt_limited[target], model.jnt_range[target]
    else:
        limited, limits = model.tendon_limited[target], model.tendon_range[target]
    low, high = sorted(gear * limits) if limited else (0.0, 0.0)
    return float(low), float(high)
