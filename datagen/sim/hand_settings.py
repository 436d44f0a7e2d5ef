"""Settings of a hand's file beyond the hand, which the scene resets: gravity, masses, contacts, others' defaults."""

from __future__ import annotations

import mujoco
import numpy as np

_WEIGHED_BY = ("settotalmass", "boundmass", "boundinertia", "balanceinertia", "inertiagrouprange", "inertiafromgeom")
"""Compiler settings of a model that change masses, including the object's."""
_WORLD_OFF = (
    mujoco.mjtDisableBit.mjDSBL_GRAVITY
    | mujoco.mjtDisableBit.mjDSBL_CONTACT
    | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    | mujoco.mjtDisableBit.mjDSBL_SENSOR
)
_LEAST_MEMORY = 16 << 20  # bytes for contacts, below which a model's own choice is dropped
_ADDED = ("mesh", "geom", "joint", "site", "camera", "light", "material", "equality")
"""Kinds of elements that a scene adds to a hand."""
_NO_VALUES = ("id", "name", "classname", "signature", "compiler", "frame", "plugin", "info", "default", "parent")
"""Attributes of an element that say what it is, not how."""


def compiler_weighs(spec: mujoco.MjSpec) -> bool:
    """Return whether the hand's file lets MuJoCo's compiler change the masses it states."""
    own = mujoco.MjSpec().compiler
    return any(np.any(getattr(spec.compiler, key) != getattr(own, key)) for key in _WEIGHED_BY)


def forget_world(spec: mujoco.MjSpec) -> None:
    """Restore MuJoCo's own settings wherever a hand's file would change the object's mass, disable its contacts, or put
    it into water: everything around the hand belongs to the scene, whose z points up."""
    own = mujoco.MjSpec()
    for key in (*_WEIGHED_BY, "alignfree"):  # which moves the object's frame to its centre of mass
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
    for kind in _ADDED:
        there, before = getattr(spec.default, kind), getattr(own.default, kind)
        for name, attribute in vars(type(there)).items():
            if isinstance(attribute, property) and name not in _NO_VALUES and not name.startswith("user"):
                if name == "alt":  # an orientation in another form, which would count instead of a quaternion
                    there.alt.type = before.alt.type
                else:
                    setattr(there, name, getattr(before, name))
