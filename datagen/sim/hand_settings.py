"""What a hand's file sets beyond the hand, and the scene takes back: gravity, masses, contacts, others' defaults."""

from __future__ import annotations

import mujoco
import numpy as np

_WEIGHED_BY = ("settotalmass", "boundmass", "boundinertia", "balanceinertia", "inertiagrouprange", "inertiafromgeom")
"""What of a model's compiler settings changes masses, the object's too."""
_WORLD_OFF = (
    mujoco.mjtDisableBit.mjDSBL_GRAVITY | mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
)
_LEAST_MEMORY = 16 << 20  # bytes, of a model's own choice for its contacts
# What a model's main default class may set of the kinds of things that a scene adds to a hand.
_DEFAULTS = {
    "mesh": "scale refpos refquat inertia maxhullvert smoothnormal material needsdf octree_maxdepth",
    "geom": "type size pos quat contype conaffinity condim priority friction solmix solref solimp margin gap density "
    "mass group rgba typeinertia fluid_ellipsoid fluid_coefs material meshname hfieldname fitscale adhesion surfacevel",
    "joint": "limited range damping armature frictionloss stiffness margin springref ref solref_limit solimp_limit "
    "solref_friction solimp_friction group",
    "site": "type size pos quat group rgba material meshname",
    "camera": "fovy mode resolution sensor_size focal_length focal_pixel principal_length principal_pixel intrinsic "
    "ipd proj output",
    "light": "active castshadow type attenuation cutoff exponent ambient diffuse specular bulbradius intensity range "
    "softness texture",
    "material": "emission metallic reflectance rgba roughness shininess specular texrepeat texuniform textures",
    "equality": "active solref solimp",
}


def compiler_weighs(spec: mujoco.MjSpec) -> bool:
    """Whether the hand's file lets MuJoCo's compiler change masses that it gives."""
    own = mujoco.MjSpec().compiler
    return any(np.any(getattr(spec.compiler, key) != getattr(own, key)) for key in _WEIGHED_BY)


def forget_world(spec: mujoco.MjSpec) -> None:
    """Put back MuJoCo's own settings where a hand's file would weigh the object, take away its contacts, or put it
    into water: all around the hand is the scene's, and its z points up."""
    own = mujoco.MjSpec()
    for key in _WEIGHED_BY:
        setattr(spec.compiler, key, getattr(own.compiler, key))
    for key in ("gravity", "density", "viscosity", "wind"):
        setattr(spec.option, key, getattr(own.option, key))
    spec.option.disableflags &= ~_WORLD_OFF
    spec.option.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_OVERRIDE)
    spec.nconmax = spec.njmax = -1  # as many as hand and object together need; and what little a hand alone did
    spec.memory = spec.memory if spec.memory >= _LEAST_MEMORY else -1


def forget_defaults(spec: mujoco.MjSpec) -> None:
    """Put back MuJoCo's own defaults, which the hand's parts have taken theirs from: object, floor and cameras, which
    come after, are no part of the hand."""
    own = mujoco.MjSpec()
    for kind, names in _DEFAULTS.items():
        there, before = getattr(spec.default, kind), getattr(own.default, kind)
        for name in names.split():
            setattr(there, name, getattr(before, name))
