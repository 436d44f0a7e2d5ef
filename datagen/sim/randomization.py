"""Effects that separate the randomized simulation from the plain one; each can be switched off.

Two constants: ``NOTHING``, the plain simulation, and ``EVERYTHING``, the paper's training environment. Every draw
comes from a generator keyed by (seed, episode, parameter), so switching an effect on or off changes no other's draws.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from datagen.sim.actuation import ActionDelay, ActionNoise, Actuation, Backlash
from datagen.sim.interface import Observation
from datagen.sim.physics import Generators, Physics, PhysicsRandomization
from datagen.sim.scene import PHYSICS_TIMESTEP, SimScene
from datagen.sim.sensing import MarkerLoss, MarkerOcclusion, MarkerPlacement, ObservationNoise, Sensing
from datagen.sim.streams import Stream
from vision.distributions import LogUniform, Uniform
from vision.geometry.rotations import FloatArray
from vision.published import STEP_SECONDS


@dataclass(frozen=True)
class StepTiming:
    """MuJoCo's steps last 8 ms plus an exponentially distributed time.

    The time is drawn once for the ten steps of an action, as in the authors' published environments (openai/robogym).
    Drawn for each step, it would almost average out, and cost a quarter of the simulation's speed in calls.

    Attributes:
        rate: rate of the exponential distribution, 1/s, drawn for each episode.
    """

    rate: Uniform = Uniform(1250.0, 10000.0)

    def __post_init__(self) -> None:
        if self.rate.low <= 0:
            raise ValueError(f"StepTiming: rate must be positive, got {self.rate.low}")

    def scaled(self, width: float) -> StepTiming:
        share = max(width, 1e-6)
        return StepTiming(Uniform(self.rate.low / share, self.rate.high / share))


@dataclass(frozen=True)
class RandomForce:
    """Occasional pushes on the object, which fade.

    Attributes:
        probability: probability of a push in a step of 80 ms, drawn for each episode.
        acceleration: standard deviation of force over mass, m/s^2, each coordinate.
        decay: fraction of a force that remains after 80 ms.
    """

    probability: LogUniform = LogUniform(0.001, 0.1)
    acceleration: float = 1.0
    decay: float = 0.99

    def __post_init__(self) -> None:
        if not (self.acceleration >= 0 and 0 <= self.decay <= 1):
            raise ValueError(f"RandomForce: acceleration {self.acceleration} or decay {self.decay} is out of range")

    def scaled(self, width: float) -> RandomForce:
        return replace(self, acceleration=width * self.acceleration)


@dataclass(frozen=True)
class Randomization:
    """What is randomized; None (null in a configuration) switches an effect off."""

    physics: PhysicsRandomization | None = PhysicsRandomization()
    observation_noise: ObservationNoise | None = ObservationNoise()
    marker_placement: MarkerPlacement | None = MarkerPlacement()
    marker_loss: MarkerLoss | None = MarkerLoss()
    marker_occlusion: MarkerOcclusion | None = MarkerOcclusion()
    action_noise: ActionNoise | None = ActionNoise()
    action_delay: ActionDelay | None = ActionDelay()
    backlash: Backlash | None = Backlash()
    step_timing: StepTiming | None = StepTiming()
    random_force: RandomForce | None = RandomForce()

    @property
    def resizes(self) -> bool:
        """Whether the object's size is randomized."""
        return self.physics is not None and self.physics.object_size is not None

    def only(self, *names: str) -> Randomization:
        """Return a copy with all effects but the named ones switched off."""
        return replace(self, **{field.name: None for field in fields(self) if field.name not in names})

    def scaled(self, width: float) -> Randomization:
        """Return the same effects, weakened: at 0 hardly any remain, at 1 all. A curriculum widens them again."""
        if not 0 <= width <= 1:
            raise ValueError(f"width: must lie in [0, 1], got {width}")
        effects = {field.name: getattr(self, field.name) for field in fields(self)}
        return Randomization(**{name: effect and effect.scaled(width) for name, effect in effects.items()})


Group = Literal["physics", "observation", "unmodelled"]
GROUPS: dict[Group, tuple[str, ...]] = {
    "physics": ("physics",),
    "observation": ("observation_noise", "marker_placement"),
    "unmodelled": (
        *("marker_loss", "marker_occlusion", "action_noise", "action_delay"),
        *("backlash", "step_timing", "random_force"),
    ),
}
"""Effects by the groups that the paper holds out (Table 4): Table 1, Table 7, and Table 8 with appendix C.2, which
includes lost and hidden markers."""

EVERYTHING = Randomization()
NOTHING = EVERYTHING.only()


class SimRandomizer:
    """Application of a :class:`Randomization` to the worlds of a batch."""

    def __init__(self, config: Randomization, scene: SimScene, batch: Batch) -> None:
        self.batch, self._touchable = batch, scene.model.nsensor > 0
        self.config = config = self._possible(config)
        worlds = batch.nsim
        self._physics = Physics(config.physics, scene, batch) if config.physics else None
        self._actuation = Actuation(config, scene, worlds)
        senses = (config.observation_noise, config.marker_placement, config.marker_loss, config.marker_occlusion)
        self._fingertips, symmetries = scene.fingertip_sites, scene.object.symmetries
        self._sensing = Sensing(config, worlds, len(self._fingertips), symmetries) if any(senses) else None
        if config.marker_placement:
            self._axes = batch.bind("site_xmat")
        if config.marker_occlusion:
            self._touch = batch.bind("sensordata")
            self._nails = [scene.model.sensor(i).adr[0] for i in range(scene.model.nsensor)]
        self._object = int(scene.model.geom_bodyid[scene.object_geoms[0]])
        self._object_mass = np.full(worlds, scene.model.body_mass[self._object])
        if config.step_timing:
            self._timestep = batch.expand("opt.timestep")
            self._stretch = Stream(worlds, 1, "exponential")
            self._rate = np.ones(worlds)
        if config.random_force:
            self._pushes = Stream(worlds, 1, "uniform")
            self._directions = Stream(worlds, 3, "normal")
            self._probability = np.zeros(worlds)

    def _possible(self, config: Randomization) -> Randomization:
        """Switch off hidden markers for a hand without nails, since no sensor reports which are touched."""
        return config if self._touchable else replace(config, marker_occlusion=None)

    def configure(self, config: Randomization) -> None:
        """Change the ranges of the same effects for episodes that begin from now on; noise changes at once."""
        config = self._possible(config)
        before = {field.name for field in fields(config) if getattr(self.config, field.name) is not None}
        if before != {field.name for field in fields(config) if getattr(config, field.name) is not None}:
            raise ValueError("configure: expected the same effects, " + ", ".join(sorted(before)))
        self.config = self._actuation.config = config
        if self._sensing:
            self._sensing.config = config
        if self._physics and config.physics:
            self._physics.config = config.physics

    def hidden(self) -> FloatArray:
        """Return all values that an episode drew and no observation contains, and what effects remember, (N, H), of
        order 1."""
        worlds = self.batch.nsim
        parts = [self._actuation.hidden()]
        if self._physics:
            parts.append(self._physics.drawn)
        if self._sensing:
            parts.append(self._sensing.hidden())
        if self.config.step_timing:
            parts.append(1000 / self._rate[:, None])
        if self.config.random_force:
            force = self.batch.xfrc_applied[:, self._object, :3] / self._object_mass[:, None]
            parts += [force, np.log(self._probability[:, None] + 1e-6) / 5]
        return np.hstack(parts).reshape(worlds, -1)

    def begin(self, world: int, generators: Generators) -> None:
        """Begin an episode in ``world``, whose state was reset: draw the values that last for the episode."""
        config = self.config
        if self._physics:
            self._physics.begin(world, generators)
            self._object_mass[world] = self._physics.object_mass(world)
        self._actuation.begin(world, generators)
        if self._sensing:
            self._sensing.begin(world, generators)
        if config.step_timing:
            self._rate[world] = config.step_timing.rate(generators("step rate"))
            self._stretch.begin(world, generators("step timing"))
        if config.random_force:
            self._probability[world] = config.random_force.probability(generators("push probability"))
            self._pushes.begin(world, generators("pushes"))
            self._directions.begin(world, generators("push directions"))

    def act(self, action: FloatArray, worlds: NDArray[np.int64]) -> FloatArray:
        """Set length and forces of the next step of ``worlds``, and return the action that reaches the hand, (K, A)."""
        seconds = np.full(len(worlds), STEP_SECONDS)
        if self.config.step_timing:
            step = PHYSICS_TIMESTEP + self._stretch.next(worlds)[:, 0] / self._rate[worlds]
            self._timestep[worlds] = step
            seconds *= step / PHYSICS_TIMESTEP
        if self.config.random_force:
            self._push(self.config.random_force, worlds)
        return self._actuation(action, worlds, seconds)

    def sense(self, true: Observation, worlds: NDArray[np.int64]) -> Observation:
        """Return what is reported after a step of the K ``worlds``, in K rows; ``true`` is the state of all worlds."""
        rows: Observation = {key: value[worlds] for key, value in true.items()}  # type: ignore[assignment,index]
        if not self._sensing:
            return rows
        count, tips = len(worlds), len(self._fingertips)
        axes, touch = np.broadcast_to(np.eye(3), (count, tips, 3, 3)), np.zeros((count, tips))
        if self.config.marker_placement:
            axes = self._axes[worlds[:, None], self._fingertips].reshape(count, tips, 3, 3)
        if self.config.marker_occlusion:
            touch = self._touch[worlds[:, None], self._nails]
        return self._sensing(rows, axes, touch, worlds, STEP_SECONDS)

    def _push(self, force: RandomForce, worlds: NDArray[np.int64]) -> None:
        pushed = self._pushes.next(worlds)[:, 0] < self._probability[worlds]
        fresh = force.acceleration * self._object_mass[worlds, None] * self._directions.next(worlds)
        applied = self.batch.xfrc_applied
        applied[worlds, self._object, :3] = np.where(
            pushed[:, None], fresh, force.decay * applied[worlds, self._object, :3]
        )
