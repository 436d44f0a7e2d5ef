"""Hands described by a URDF, as ROS packages have it, instead of an MJCF.

MuJoCo reads URDF itself, but looks for every mesh in the file's own folder, leaves out visual geometry, and adds no
actuators. Here meshes are found where the package has them, links keep what they look like, and every joint that does
not mimic another gets a position servo.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from datagen.sim.model_files import urdf_mesh
from vision.errors import DactylError
from vision.scene.hand import Hand

_MOVING = ("revolute", "continuous", "prismatic")  # joints that may mimic another
_COLLISION_GROUP = 3  # hidden, as in MuJoCo's viewers
_FULL_FORCE = {mujoco.mjtJoint.mjJNT_HINGE: 0.25, mujoco.mjtJoint.mjJNT_SLIDE: 0.01}
"""Distance from its target, radians or metres, at which a servo reaches its greatest force."""
_FREQUENCY = 55.0  # rad/s, of a servo and its motor's inertia, without a link: as Menagerie's LEAP with 0.001 kg m^2


def read_urdf(root: ElementTree.Element, path: Path, hand: Hand) -> mujoco.MjSpec:
    """Make MuJoCo's specification of a hand's URDF, whose XML is ``root`` and is changed.

    Raises:
        DactylError: MuJoCo cannot read it or one of its meshes, a mesh is missing, a joint mimics none that moves, or
            the greatest force of a joint is not known.
    """
    _refuse_lost_couplings(root, path)
    assets: dict[str, bytes] = {}
    names: dict[Path, str] = {}
    for mesh in root.iter("mesh"):
        said = mesh.get("filename", "")
        file = urdf_mesh(said, path)
        if file is None:
            raise DactylError(f"{path}: mesh {said} is missing; put the URDF into its package, beside the meshes")
        # A name of its own for each file: MuJoCo takes equal names in different folders for one mesh.
        name = names.setdefault(file, f"{len(names)}-{file.name}")
        assets[name] = file.read_bytes()
        mesh.set("filename", name)
    for element in root.findall("mujoco"):
        root.remove(element)
    settings = {"strippath": "false", "discardvisual": "false", "fusestatic": "false", "balanceinertia": "true"}
    ElementTree.SubElement(ElementTree.SubElement(root, "mujoco"), "compiler", settings)
    try:
        spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"), assets=assets)
    except (ValueError, RuntimeError) as error:
        raise DactylError(f"{path}: MuJoCo cannot read it: {' '.join(str(error).split())}") from None
    visual = [geom for geom in spec.geoms if not geom.contype and not geom.conaffinity]
    for geom in spec.geoms if visual else ():
        if geom.contype or geom.conaffinity:
            geom.group = _COLLISION_GROUP
    for body in spec.bodies:  # MuJoCo leaves out contacts between neighbours by itself, but not those of what is fixed
        for child in body.bodies if body.name != "world" else ():
            spec.add_exclude(bodyname1=body.name, bodyname2=child.name)
    following = {coupling.name1 for coupling in spec.equalities}  # as <mimic> says
    for joint in spec.joints:
        if joint.type in _FULL_FORCE and joint.name not in following:
            _add_servo(spec, joint, hand)
    return spec


def _refuse_lost_couplings(root: ElementTree.Element, path: Path) -> None:
    """Refuse joints that mimic one that is not there or does not move: MuJoCo would ignore that they follow it."""
    moving = {joint.get("name") for joint in root.findall("joint") if joint.get("type") in _MOVING}
    for joint in root.findall("joint"):
        mimic = joint.find("mimic")
        if mimic is not None and not {joint.get("name"), mimic.get("joint")} <= moving:
            raise DactylError(
                f"{path}: joint '{joint.get('name')}' mimics '{mimic.get('joint')}', and one of them does not move; "
                "correct the name, or remove <mimic>"
            )


def _add_servo(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, hand: Hand) -> None:
    """Let a position servo, critically damped, drive a joint, with the greatest force that the hand or the URDF gives.

    The inertia of motor and gear, of which a URDF says nothing, is chosen such that the servo is stable in steps of
    8 ms, unless the hand gives ``armature``.
    """
    force = hand.effort or float(joint.actfrcrange[1])
    if not 0 < force < np.inf:
        raise DactylError(
            f"hand {hand.name}: the URDF gives joint '{joint.name}' no effort, the greatest force of its motor; "
            "give the hand's effort, in N m (N for slides)"
        )
    gain = force / _FULL_FORCE[joint.type]
    servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=gain, dampratio=1.0)
    servo.forcerange = (-force, force)
    servo.ctrlrange = joint.range if joint.range[0] < joint.range[1] else (-np.pi, np.pi)
    joint.actfrcrange = (-force, force)
    if hand.armature is None:
        joint.armature = gain / _FREQUENCY**2
