"""Settings of a hand's file beyond the hand, which the scene resets: gravity, masses, contacts, others' defaults."""

from __future__ import annotations

import mujoco
import numpy as np

_WEIGHED_BY = ("settotalmass", "boundmass", "boundinertia", "balanceinertia", "inertiagrouprange", "inertiafromgeom")
"""Compiler settings of a model that change masses, including the object's."""
_WORLD_OFF = (
    mujoco.mjtDisableBit.mjDSBL_GRAVITY | mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
)
_LEAST_MEMORY = 16 << 20  # bytes for contacts, below which a model's own choice is dropped
# Attributes that a model's main default class may set for the kinds of elements that a scene adds to a hand.
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
    """Return whether the hand's file lets MuJoCo's compiler change the masses it states."""
    own = mujoco.MjSpec().compiler
    return any(np.any(getattr(spec.compiler, key) != getattr(own, key)) for key in _WEIGHED_BY)


def forget_world(spec: mujoco.MjSpec) -> None:
    """Restore MuJoCo's own settings wherever a hand's file would change the object's mass, disable its contacts, or put
    it into water: everything around the hand belongs to the scene, whose z points up."""
    own = mujoco.MjSpec()
    for key in _WEIGHED_BY:
        setattr(spec.compiler, key, getattr(own.compiler, key))
    for key in ("gravity", "density", "viscosity", "wind"):
        setattr(spec.option, key, getattr(own.option, key))
    spec.option.disableflags &= ~_WORLD_OFF
    spec.option.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_OVERRIDE)
    spec.nconmax = spec.njmax = -1  # as many as hand and object together need, not the few of a hand alone
    spec.memory = spec.memory if spec.memory >= _LEAST_MEMORY else -1


def forget_defaults(spec: mujoco.MjSpec) -> None:
    """Restore MuJoCo's own defaults once the hand's parts have taken theirs: object, floor and cameras, which are added
    later, are not part of the hand."""
    own = mujoco.MjSpec()
    for kind, names in _DEFAULTS.items():
        there, before = getattr(spec.default, kind), getattr(own.default, kind)
        for name in names.split():
            setattr(there, name, getattr(before, name))
