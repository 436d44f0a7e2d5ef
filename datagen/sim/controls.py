"""Meaning of the environment's actions for a hand's actuators.

An action in [-1, 1] is a target in half control ranges. For a servo on a joint, or on a tendon that runs over joints,
it is relative to the present position; for every other actuator (a motor, one at a site, one along a spatial tendon),
to the middle of its range.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.scene.hand import Hand

# Plain integers, because MuJoCo's enumerations do not compare equal to NumPy's integers.
_JOINT = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_TENDON = int(mujoco.mjtTrn.mjTRN_TENDON)
_JOINT_WRAP = int(mujoco.mjtWrap.mjWRAP_JOINT)
_AFFINE = int(mujoco.mjtBias.mjBIAS_AFFINE)
_FIXED, _PID = int(mujoco.mjtGain.mjGAIN_FIXED), int(mujoco.mjtGain.mjGAIN_PID)
_POSITION_INPUT = 1  # of <pid>
_TO_THE_CONTROL = tuple(int(getattr(mujoco.mjtDyn, f"mjDYN_{kind}")) for kind in ("NONE", "FILTER", "FILTEREXACT"))
_SAME_GAIN = 0.01  # of a model that states gain and stiffness by hand, rounded


class Control(NamedTuple):
    """Control of one actuator.

    Attributes:
        low, high: limits of its control.
        joints: index in the model and factor of each joint whose position a servo follows; empty if it follows none.
    """

    low: float
    high: float
    joints: dict[int, float]


class Controls(NamedTuple):
    """Controls of a hand with A actuators and J joints.

    Attributes:
        range: lowest and highest control, (A, 2).
        follows: weights of the joints' positions that each control is relative to, (A, J).
        middle: term added to them: the middle of the range if an actuator follows no joint, else zero, (A,).
    """

    range: FloatArray
    follows: FloatArray
    middle: FloatArray

    def present(self, joint_position: FloatArray) -> FloatArray:
        """Return the controls (N, A) that actions are relative to, for joint positions (N, J)."""
        return joint_position @ self.follows.T + self.middle


def controls_of(model: mujoco.MjModel, joint_ids: list[int], hand: Hand | None) -> Controls:
    """Return the controls of a compiled hand with these joints of the model in order; raise as :func:`control_of`."""
    if hand is None:
        return Controls(np.zeros((0, 2)), np.zeros((0, len(joint_ids))), np.zeros(0))
    found = [control_of(model, actuator, hand) for actuator in range(model.nactuator)]
    limits = np.array([(one.low, one.high) for one in found], dtype=np.float64).reshape(-1, 2)
    follows = np.zeros((len(found), len(joint_ids)))
    for row, one in zip(follows, found, strict=True):
        for joint, factor in one.joints.items():
            row[joint_ids.index(joint)] += factor
    return Controls(limits, follows, np.where(follows.any(axis=1), 0.0, limits.mean(axis=1)))


def control_of(model: mujoco.MjModel, actuator: int, hand: Hand) -> Control:
    """Return the control of one actuator.

    Raises:
        DactylError: it has several controls; or no range, and no joint or tendon whose limits could replace it.
    """
    if (count := model.actuator_ctrlnum[actuator]) != 1:
        raise DactylError(
            f"hand {hand.name}: actuator '{model.actuator(actuator).name}' has {count} controls, and an action is one; "
            'give it input="pos" in its model'
        )
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
    """Return whether the actuator's control is a position: at it, the force is zero, at once or after a delay. A
    control of ``<intvelocity>`` is a velocity, one of a cylinder with a spring is a pressure."""
    stiffness = -model.actuator_biasprm[actuator, 1]
    if model.actuator_biastype[actuator] != _AFFINE or not stiffness > 0:
        return False
    if model.actuator_gaintype[actuator] == _PID:
        return bool(model.actuator_ctrlspec[actuator] == _POSITION_INPUT)
    return bool(
        model.actuator_gaintype[actuator] == _FIXED
        and model.actuator_dyntype[actuator] in _TO_THE_CONTROL
        and np.isclose(model.actuator_gainprm[actuator, 0], stiffness, rtol=_SAME_GAIN)
    )


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
    """Return the limits of the joint or tendon that it acts on, in units of its control; zeros if there are none."""
    target, gear = int(model.actuator_trnid[actuator, 0]), float(model.actuator_gear[actuator, 0])
    if int(model.actuator_trntype[actuator]) in _JOINT:
        limited, limits = model.jnt_limited[target], model.jnt_range[target]
    else:
        limited, limits = model.tendon_limited[target], model.tendon_range[target]
    low, high = sorted(gear * limits) if limited else (0.0, 0.0)
    return float(low), float(high)
