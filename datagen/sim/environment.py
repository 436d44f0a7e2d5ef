"""Many hands that turn an object to asked-for orientations, stepped at once.

One step lasts 80 ms, ten MuJoCo steps. An action is one number in [-1, 1] for each of the 20 actuators: the joint's
target relative to its current angle, in half control ranges, smoothed over time. An episode begins with the object on
the palm in a random orientation and 100 steps of random actions; one that loses the object on the way is redrawn. A
goal is a random orientation, replaced as soon as it is reached.

Whatever is random in an episode comes from generators keyed by (seed, episode): episodes are the same in any world, at
any number of worlds and threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.policy.base import ACTIONS, FloatArray, Observation, Worlds
from datagen.sim.hand import CUPPED_POSE
from datagen.sim.scene import PALM, SceneConfig, build_scene
from datagen.variation import generator
from vision.errors import DactylError
from vision.geometry import canonical_quaternion, quaternion_from_rotation, rotation_from_quaternion

SUBSTEPS = 10  # MuJoCo steps of 8 ms in one environment step of 80 ms
SMOOTHING = 0.3  # weight of the past in the actions' exponential moving average, per 80 ms
INITIAL_STEPS = 100  # steps of random actions before an episode begins
POSITION_SPREAD = 0.005  # m, standard deviation of the object's start around PALM, each coordinate
GOAL_THRESHOLD = 0.4  # rad, a goal is reached within
GOAL_REWARD, DROP_REWARD = 5.0, -20.0  # on top of the rotation angle (rad) by which the object came closer
DROP_HEIGHT = 0.09  # m: held objects stay above 0.10 m, dropped ones come to rest below 0.05 m
_MOST_ATTEMPTS = 200  # redraws of one initial state before we say that this object cannot be held


@dataclass(frozen=True)
class Outcome:
    """What a step did, (N,) each, booleans except the reward; all False in worlds that it did not advance.

    Attributes:
        reward: the paper's, float64: by how many radians the object came closer to the goal, +5 on reaching it, -20 on
            a drop; zero in worlds that did not advance or broke.
        reached: the object came within `GOAL_THRESHOLD` of the goal, which was then replaced.
        dropped: the object is below `DROP_HEIGHT`.
        non_finite: the state holds NaN or infinity.
        warned: MuJoCo's warning counters rose (instability, contact or constraint buffer full).
    """

    reward: FloatArray
    reached: NDArray[np.bool_]
    dropped: NDArray[np.bool_]
    non_finite: NDArray[np.bool_]
    warned: NDArray[np.bool_]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """The episode cannot go on, (N,)."""
        return self.dropped | self.non_finite | self.warned


class Environment:
    """N worlds of the same scene. Every world needs a `reset` before it is stepped.

    Args:
        scene: what to simulate; its purpose must be "physics".
        seed: of every random draw, together with an episode's number.
        worlds: N.
        threads: that step the worlds; 0 uses all processors. Results do not depend on it.
    """

    def __init__(self, scene: SceneConfig, seed: int, worlds: int, threads: int = 0) -> None:
        if scene.purpose != "physics":
            raise ValueError(f"an environment needs a scene built for physics, got {scene.purpose!r}")
        self.scene = build_scene(scene)
        self.seed = seed
        self.worlds = worlds
        self.batch = Batch(self.scene.model, nsim=worlds, nthread=threads)
        self._fingertips = self.batch.bind("site_xpos")
        self._hand_start = np.array([CUPPED_POSE.get(name, 0.0) for name in self.scene.joint_names])
        self._actuated = self.scene.hand_qpos[self.scene.actuated_joints]
        self._low, self._high = self.scene.control_range.T
        self._smoothed = np.zeros((worlds, ACTIONS))
        self._warnings = np.zeros(worlds, dtype=np.int64)
        self.goal = np.tile([1.0, 0.0, 0.0, 0.0], (worlds, 1))
        self.largest_turn = np.full(worlds, np.pi)
        """Goals are drawn within this angle (rad) of the object's orientation, (N,); pi: any orientation."""
        self._goal_generators: dict[int, np.random.Generator] = {}

    def reset(self, worlds: Worlds, episodes: Worlds) -> NDArray[np.int64]:
        """Begin an episode in each of `worlds`, identified by its number.

        Returns:
            How many initial states of each were discarded, because random actions dropped the object or broke the
            simulation, before one held; (len(worlds),).

        Raises:
            DactylError: no initial state held.
        """
        numbers = {int(world): int(episode) for world, episode in zip(worlds, episodes, strict=True)}
        draws = {world: generator(self.seed, episode, "initial state") for world, episode in numbers.items()}
        discarded = np.zeros(self.worlds, dtype=np.int64)
        age = np.zeros(self.worlds, dtype=np.int64)
        shaken = np.array(sorted(numbers), dtype=np.int64)
        self._place(shaken, draws)
        while len(shaken):
            action = np.zeros((self.worlds, ACTIONS))
            action[shaken] = [draws[world].uniform(-1, 1, ACTIONS) for world in shaken]
            lost = shaken[self._advance(action, shaken).ended[shaken]]
            age[shaken] += 1
            age[lost] = 0
            discarded[lost] += 1
            if discarded.max() >= _MOST_ATTEMPTS:
                raise DactylError(
                    f"object '{self.scene.object.name}': {_MOST_ATTEMPTS} initial states in a row were lost; "
                    "the hand cannot hold it, choose another object"
                )
            self._place(lost, draws)
            shaken = shaken[age[shaken] < INITIAL_STEPS]
        for world, episode in numbers.items():
            self._smoothed[world] = 0
            self._goal_generators[world] = generator(self.seed, episode, "goals")
            self._draw_goal(world)
        return discarded[list(numbers)]

    def step(self, action: FloatArray, worlds: Worlds | None = None) -> Outcome:
        """Advance `worlds`, or all, by 80 ms; their rows of `action` (N, 20) are clipped to [-1, 1].

        Raises:
            ValueError: `action` has another shape.
            DactylError: it is not finite where it is used.
        """
        stepped = np.arange(self.worlds) if worlds is None else np.unique(np.asarray(worlds, dtype=np.int64))
        if action.shape != (self.worlds, ACTIONS):
            raise ValueError(f"expected actions of shape {(self.worlds, ACTIONS)}, got {action.shape}")
        if not np.isfinite(action[stepped]).all():
            raise DactylError("the policy's action is not finite; choose another policy or checkpoint")
        outcome = self._advance(np.clip(action, -1, 1), stepped)
        for world in np.flatnonzero(outcome.reached):
            self._draw_goal(int(world))
        return outcome

    def restore(self, worlds: Worlds, states: FloatArray, rng: np.random.Generator) -> None:
        """Put `worlds` into saved rows of `batch.state`, with the hand's targets at rest and goals drawn from `rng`.

        An episode that begins in a state that another one reached costs no random actions (training does so).
        """
        chosen = np.asarray(worlds, dtype=np.int64)
        if not len(chosen):
            return
        self.batch.reset(chosen, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self.batch.state[chosen] = states
        self.batch.forward(chosen, stage=int(mujoco.mjtStage.mjSTAGE_POS))
        self._smoothed[chosen] = 0
        self._warnings[chosen] = self.batch.warning[chosen, :, 1].sum(axis=1)
        for world in map(int, chosen):
            self._goal_generators[world] = rng
            self._draw_goal(world)

    def observe(self) -> Observation:
        """Copies of the present state of all worlds."""
        position, dof = self.scene.object_qpos, self.scene.object_dof
        qpos, qvel = self.batch.qpos, self.batch.qvel
        return Observation(
            fingertip_position=self._fingertips[:, self.scene.fingertip_sites].copy(),
            object_position=qpos[:, position : position + 3].copy(),
            relative_goal=quaternion_from_rotation(self._to_goal()),
            object_quaternion=canonical_quaternion(self._orientation()),
            goal_quaternion=self.goal.copy(),
            joint_position=qpos[:, self.scene.hand_qpos],
            joint_velocity=qvel[:, self.scene.hand_dof],
            object_linear_velocity=qvel[:, dof : dof + 3].copy(),
            object_angular_velocity=qvel[:, dof + 3 : dof + 6].copy(),
        )

    def _advance(self, action: FloatArray, worlds: NDArray[np.int64]) -> Outcome:
        batch = self.batch
        self._smoothed[worlds] = SMOOTHING * self._smoothed[worlds] + (1 - SMOOTHING) * action[worlds]
        half_range = (self._high - self._low) / 2
        target = batch.qpos[worlds[:, None], self._actuated] + half_range * self._smoothed[worlds]
        batch.ctrl[worlds] = np.clip(target, self._low, self._high)
        before = self._to_goal().magnitude()
        # Up to the position stage after the last substep, so that fingertips belong to the state they are read with.
        batch.step(worlds, nstep=SUBSTEPS, stage=int(mujoco.mjtStage.mjSTAGE_POS))
        warnings = batch.warning[..., 1].sum(axis=1)
        stepped = np.zeros(self.worlds, dtype=bool)
        stepped[worlds] = True
        finite = np.isfinite(batch.qpos).all(axis=1) & np.isfinite(batch.qvel).all(axis=1)
        height = batch.qpos[:, self.scene.object_qpos + 2]
        distance = self._to_goal().magnitude()
        reached = stepped & finite & (distance < GOAL_THRESHOLD)
        dropped = stepped & (height < DROP_HEIGHT)
        reward = before - distance + GOAL_REWARD * reached + DROP_REWARD * dropped
        outcome = Outcome(
            reward=np.where(stepped & finite, reward, 0.0),
            reached=reached,
            dropped=dropped,
            non_finite=stepped & ~finite,
            warned=stepped & (warnings > self._warnings),
        )
        self._warnings = warnings
        return outcome

    def _place(self, worlds: NDArray[np.int64], draws: dict[int, np.random.Generator]) -> None:
        """Cup the hand and put the object above the palm in a random orientation, everything at rest."""
        self.batch.reset(worlds, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        position = self.scene.object_qpos
        for world in worlds:
            qpos = self.batch.qpos[world]
            qpos[self.scene.hand_qpos] = self._hand_start
            qpos[position : position + 3] = PALM + draws[world].normal(0, POSITION_SPREAD, 3)
            qpos[position + 3 : position + 7] = _random_quaternion(draws[world])
        self._smoothed[worlds] = 0
        self._warnings[worlds] = self.batch.warning[worlds, :, 1].sum(axis=1)

    def _draw_goal(self, world: int) -> None:
        rng = self._goal_generators[world]
        largest = self.largest_turn[world]
        if largest >= np.pi:
            self.goal[world] = _random_quaternion(rng)
        else:
            turn = Rotation.from_rotvec(_random_turn(rng, largest))
            self.goal[world] = quaternion_from_rotation(turn * rotation_from_quaternion(self._orientation()[world]))

    def _orientation(self) -> FloatArray:
        """The object's quaternions (N, 4); the identity stands in for that of a broken world."""
        start = self.scene.object_qpos + 3
        quaternion = self.batch.qpos[:, start : start + 4]
        norm = np.linalg.norm(quaternion, axis=1, keepdims=True)
        return np.where(np.isfinite(norm) & (norm > 0), quaternion, [1.0, 0.0, 0.0, 0.0])

    def _to_goal(self) -> Rotation:
        """Rotations that take each world's object to its goal."""
        return rotation_from_quaternion(self.goal) * rotation_from_quaternion(self._orientation()).inv()


def _random_quaternion(rng: np.random.Generator) -> FloatArray:
    """A quaternion (4,) uniform over the rotations."""
    quaternion = rng.normal(size=4)
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion))


def _random_turn(rng: np.random.Generator, largest: float) -> FloatArray:
    """Rotation vector (3,) uniform over the rotations by at most `largest` radians: angles go as 1 - cos."""
    angles = np.linspace(0, largest, 512)
    volume = angles - np.sin(angles)
    axis = rng.normal(size=3)
    return axis / np.linalg.norm(axis) * np.interp(rng.random() * volume[-1], volume, angles)
