"""Physics randomized per episode (Table 1), written into each world's own copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from datagen.sim.geom_meshes import mesh_triangles
from datagen.sim.objects import OBJECT_SIZES
from datagen.sim.scene import SimScene
from vision.distributions import LogUniform, Normal, Uniform

Generators = Callable[[str], np.random.Generator]
"""Function that returns one episode's generator of the named parameter."""


@dataclass(frozen=True)
class PhysicsRandomization:
    """Physics of Table 1. Factors multiply the model's value, terms are added to it; null leaves it unchanged.

    Attributes:
        object_size: factor of the object's dimensions, one for all three; a mesh takes the nearest of
            `objects.OBJECT_SIZES`. Mass stays, inertia changes with the square.
        mass: factor of mass and inertia, for the object and each link of the hand.
        friction: factor of all friction coefficients, one for everything: a contact takes the larger of its two
            geoms' coefficients, so that independent factors would raise friction.
        joint_damping: factor, for each joint of the hand.
        actuator_gain: factor of the position gain P, for each actuator.
        joint_limit: term, rad, for each end of each hinge of the hand; a range is never inverted.
        gravity: term, m/s^2, for each coordinate.
    """

    object_size: Uniform | None = Uniform(0.95, 1.05)
    mass: Uniform | None = Uniform(0.5, 1.5)
    friction: Uniform | None = Uniform(0.7, 1.3)
    joint_damping: LogUniform | None = LogUniform(0.3, 3.0)
    actuator_gain: LogUniform | None = LogUniform(0.75, 1.5)
    joint_limit: Normal | None = Normal(0.0, 0.15)
    gravity: Normal | None = Normal(0.0, 0.4)

    def scaled(self, width: float) -> PhysicsRandomization:
        """Return a copy with ranges narrowed to the model's own value: at 0 nothing varies, 1 is the full range."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return PhysicsRandomization(**{name: value and _narrowed(value, width) for name, value in values.items()})


def _narrowed(value: Uniform | LogUniform | Normal, width: float) -> Any:
    """Return the same kind of range, narrowed to 1 for a factor and to 0 for a term."""
    if isinstance(value, Uniform):
        return Uniform(1 + width * (value.low - 1), 1 + width * (value.high - 1))
    if isinstance(value, LogUniform):
        return LogUniform(value.low**width, value.high**width)
    return Normal(width * value.mean, width * value.std)


def _slices(counts: Sequence[int]) -> list[slice]:
    ends = np.cumsum(counts)
    return [slice(int(end) - count, int(end)) for end, count in zip(ends, counts, strict=True)]


_SAME_AXES = 1e-9  # 1 - cos of half the angle between them
_LEAST_RANGE = 0.01  # rad between the limits of a hinge


class Physics:
    """Application of a :class:`PhysicsRandomization` to worlds of a batch. Unchanged fields stay shared."""

    def __init__(self, config: PhysicsRandomization, scene: SimScene, batch: Batch) -> None:
        self.config, self.scene, self.batch = config, scene, batch
        self._fields: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        model = scene.model
        self._object = int(model.geom_bodyid[scene.object_geoms[0]])
        hulls = [geom for geom in scene.object_geoms if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH]
        sized = hulls if config.object_size else []
        self._sized_meshes = {int(geom): _mesh_sizes(model, model.geom(geom).name) for geom in sized}
        self._turned = [geom for geom, sizes in self._sized_meshes.items() if _axes_differ(model, geom, sizes)]
        aside = bool(model.geom_pos[scene.object_geoms].any() or model.body_ipos[self._object].any())
        self._moved = ("geom_pos", "body_ipos") if aside else ()  # scale with the size if pieces are off the origin
        framed = ("geom_pos", "geom_quat") if self._turned else ()
        joints = model.dof_jntid[scene.hand_dof]
        self._hinges = joints[model.jnt_type[joints] == int(mujoco.mjtJoint.mjJNT_HINGE)]
        counts = (1, model.nbody, 1, len(scene.hand_dof), model.nu, 2 * len(self._hinges), 3)
        self._places = dict(zip((field.name for field in fields(config)), _slices(counts), strict=True))
        self.drawn = np.zeros((batch.nsim, sum(counts)))
        """Values drawn for each world's episode, (N, D): logarithms of factors, and terms, around 0 and of order 1."""
        used = {
            "object_size": (
                *("geom_size", "geom_rbound", "geom_aabb", "bvh_aabb", "geom_dataid", "body_inertia"),
                *self._moved,
                *framed,
            ),
            "mass": ("body_mass", "body_inertia"),
            "friction": ("geom_friction", "pair_friction"),
            "joint_damping": ("dof_damping",),
            "actuator_gain": ("actuator_gainprm", "actuator_biasprm"),
            "joint_limit": ("jnt_range",),
            "gravity": ("opt.gravity",),
        }
        for parameter, changed in used.items():
            for name in changed if getattr(config, parameter) is not None else ():
                live = batch.expand(name)
                self._fields[name] = live, live[0].copy()

    def begin(self, world: int, generators: Generators) -> None:
        """Draw an episode's physics and write it into ``world``, replacing the previous episode's."""
        if not self._fields:
            return
        for live, nominal in self._fields.values():
            live[world] = nominal
        self.drawn[world] = 0
        config, field = self.config, {name: live[world] for name, (live, _) in self._fields.items()}
        size = self._resize(field, float(config.object_size(generators("object size")))) if config.object_size else 1.0
        self._note(world, "object_size", 20 * np.log(size))
        if config.mass:
            factor = config.mass(generators("mass"), self.scene.model.nbody)
            field["body_mass"] *= factor
            field["body_inertia"] *= factor[:, None]
            self._note(world, "mass", 2 * np.log(factor))
        if config.friction:
            factor = config.friction(generators("friction"))
            field["geom_friction"] *= factor
            field["pair_friction"] *= factor
            self._note(world, "friction", 4 * np.log(factor))
        if config.joint_damping:
            factor = config.joint_damping(generators("joint damping"), len(self.scene.hand_dof))
            field["dof_damping"][self.scene.hand_dof] *= factor
            self._note(world, "joint_damping", np.log(factor))
        if config.actuator_gain:
            factor = config.actuator_gain(generators("actuator gain"), self.scene.model.nu)
            field["actuator_gainprm"][:, 0] *= factor
            field["actuator_biasprm"][:, 1] *= factor
            self._note(world, "actuator_gain", 3 * np.log(factor))
        if config.joint_limit:
            moved = config.joint_limit(generators("joint limit"), (len(self._hinges), 2))
            limits = field["jnt_range"][self._hinges] + moved
            self._note(world, "joint_limit", 7 * moved.ravel())
            limits[:, 1] = np.maximum(limits[:, 1], limits[:, 0] + _LEAST_RANGE)
            field["jnt_range"][self._hinges] = limits
        if config.gravity:
            added = config.gravity(generators("gravity"), 3)
            self._fields["opt.gravity"][0][world] += added
            self._note(world, "gravity", 2.5 * added)
        self.batch.set_const([world])
        if config.object_size:  # set_const resets a mesh's radius to the compiled one
            live, nominal = self._fields["geom_rbound"]
            live[world, self.scene.object_geoms] = size * nominal[self.scene.object_geoms]

    def _note(self, world: int, parameter: str, value: np.ndarray | float) -> None:
        self.drawn[world, self._places[parameter]] = value

    def object_mass(self, world: int) -> float:
        """Return the mass of the object in the present episode, kg."""
        masses = self._fields["body_mass"][0][world] if "body_mass" in self._fields else self.scene.model.body_mass
        return float(masses[self._object])

    def _resize(self, field: dict[str, np.ndarray], factor: float) -> float:
        """Scale the object by about ``factor``, and return the factor used."""
        geoms, model = self.scene.object_geoms, self.scene.model
        if self._sized_meshes:
            nearest = int(np.abs(np.array(OBJECT_SIZES) - factor).argmin())
            factor = OBJECT_SIZES[nearest]
            for geom, sizes in self._sized_meshes.items():
                field["geom_dataid"][geom] = sizes[nearest]
        for name in ("geom_size", "geom_aabb"):
            field[name][geoms] *= factor
        if self._moved:
            field["geom_pos"][geoms] *= factor
            field["body_ipos"][self._object] *= factor
        for geom in self._turned:
            mesh = int(field["geom_dataid"][geom])
            vertices = mesh_triangles(model, mesh).vertices
            low, high = vertices.min(axis=0), vertices.max(axis=0)
            field["geom_pos"][geom], field["geom_quat"][geom] = model.mesh_pos[mesh], model.mesh_quat[mesh]
            field["geom_size"][geom] = (high - low) / 2
            field["geom_aabb"][geom] = np.concatenate([low + high, high - low]) / 2
        tree = slice(model.body_bvhadr[self._object], model.body_bvhadr[self._object] + model.body_bvhnum[self._object])
        field["bvh_aabb"][tree] *= factor
        field["body_inertia"][self._object] *= factor**2
        return factor


def _mesh_sizes(model: mujoco.MjModel, name: str) -> list[int]:
    """Return the ids of a piece's meshes, one for each of ``OBJECT_SIZES``."""
    return [model.mesh(f"{name}/{index}").id for index in range(len(OBJECT_SIZES))]


def _axes_differ(model: mujoco.MjModel, geom: int, sizes: list[int]) -> bool:
    """Return whether a piece's sizes lie along other axes than the piece. MuJoCo turns each mesh to its principal axes,
    which rounding errors choose for a body as regular as a cube."""
    alike = np.abs(model.mesh_quat[sizes] @ model.mesh_quat[model.geom_dataid[geom]])
    return bool((alike < 1 - _SAME_AXES).any())
