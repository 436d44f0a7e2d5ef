"""Batched environment in which many hands turn an object to goal orientations.

One step lasts 80 ms, ten MuJoCo steps. An action is one number in [-1, 1] for each of the A
actuators: the joint's target relative to its current angle, in half control ranges, smoothed over time. An episode
begins with the object on the palm in a random orientation and 100 steps of random actions, and is redrawn if they lose
the object. A goal is a random orientation, replaced as soon as the object looks as it would there.

The plain simulation is the default; ``datagen.sim.randomization`` adds what the paper trains with. ``observe``
returns the true state, which stored states and value networks use; ``sense`` returns what the sensors of the randomized
simulation report, on which policies act.

All random values of an episode come from generators keyed by (seed, episode), so episodes are the same in any world,
for any number of worlds and threads.
"""

from __future__ import annotations

from functools import partial

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.sim.goals import orientation_near, random_orientation
from datagen.sim.interface import Observation, Worlds
from datagen.sim.outcome import DROP_REWARD, GOAL_REWARD, GOAL_THRESHOLD, Outcome
from datagen.sim.randomization import NOTHING, Randomization, SimRandomizer
from datagen.sim.scene import compile_scene
from datagen.variation import generator
from vision.errors import DactylError
from vision.geometry.rotations import (
    FloatArray,
    canonical_quaternion,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from vision.machine.hardware import count_or_cores
from vision.machine.progress import Advance
from vision.objects.symmetries import least_turn
from vision.scene.scene import Scene
from vision.storage.schema import STATES

SUBSTEPS = 10  # MuJoCo steps of 8 ms in one environment step of 80 ms
SMOOTHING = 0.3  # weight of earlier actions in their exponential moving average, per 80 ms
INITIAL_STEPS = 100  # steps of random actions before an episode begins
SENSED = ("fingertip_position", "object_position", "object_quaternion", "relative_goal")
_MOST_TURN = STATES["joint_position"].range[1]
_MOST_ATTEMPTS = 200  # redraws of one initial state before the object is considered impossible to hold


class Environment:
    """N worlds of the same scene. Every world needs a ``reset`` before its first step.

    Args:
        scene: scene to simulate.
        seed: seed of every random draw, together with an episode's number.
        worlds: number of worlds, N.
        threads: number of threads that step the worlds; None takes all cores. Results do not depend on it.
        randomization: randomization of physics, actions and sensors.
        locked_wrist: hold the wrist's joints at their initial angles (Table 3's locked wrist).
    """

    def __init__(
        self,
        scene: Scene,
        seed: int,
        worlds: int,
        threads: int | None = None,
        randomization: Randomization = NOTHING,
        locked_wrist: bool = False,
    ) -> None:
        self.scene = compile_scene(scene, locked_wrist=locked_wrist, object_sizes=randomization.resizes)
        self._workspace = scene.workspace
        floor = scene.background
        solid = floor.kind != "none" and floor.collides
        self._lowest_start = floor.centre[2] + scene.object.diameter / 2 if solid else -np.inf
        self.seed = seed
        self.worlds = worlds
        self.batch = Batch(self.scene.model, nsim=worlds, nthread=count_or_cores(threads))
        self.effects = None if randomization == NOTHING else SimRandomizer(randomization, self.scene, self.batch)
        self._sensed: dict[str, FloatArray] | None = None
        self._fingertips = self.batch.bind("site_xpos")
        self._hand_start = scene.initial_joints
        self._low, self._high = self.scene.control_range.T
        self._smoothed = np.zeros((worlds, self.scene.actions))
        self._warnings = np.zeros(worlds, dtype=np.int64)
        self.goal = np.tile([1.0, 0.0, 0.0, 0.0], (worlds, 1))
        self._largest_turn = np.full(worlds, np.pi)
        self._episodes = np.zeros(worlds, dtype=np.int64)
        self._attempts = np.zeros(worlds, dtype=np.int64)  # keys draws, so that impossible physics is redrawn too
        self._goal_generators: dict[int, np.random.Generator] = {}

    def reseed(self, seed: int) -> None:
        """Draw the episodes that begin from now on with another seed."""
        self.seed = seed

    def limit_turns(self, largest: FloatArray) -> None:
        """Draw goals at most so far (rad) from the object's orientation, (N,); pi, as at first, allows any."""
        self._largest_turn[:] = largest

    def configure(self, randomization: Randomization) -> None:
        """Change the ranges of the same effects for episodes that begin from now on; noise changes at once."""
        if self.effects is not None:
            self.effects.configure(randomization)
        elif randomization != NOTHING:
            raise ValueError("configure: expected no effects, as at first")

    def reset(self, worlds: Worlds, episodes: Worlds, advance: Advance = lambda _: None) -> NDArray[np.int64]:
        """Begin an episode in each of ``worlds``, identified by its number. Calls ``advance`` with 0 at each step.

        Returns:
            Number of initial states of each that were discarded because random actions dropped the object or broke the
            simulation, (len(worlds),).

        Raises:
            DactylError: no initial state held.
        """
        numbers = {int(world): int(episode) for world, episode in zip(worlds, episodes, strict=True)}
        self._episodes[list(numbers)] = list(numbers.values())
        draws = {world: generator(self.seed, episode, "initial state") for world, episode in numbers.items()}
        discarded = np.zeros(self.worlds, dtype=np.int64)
        self._attempts[list(numbers)] = 0
        age = np.zeros(self.worlds, dtype=np.int64)
        shaken = np.array(sorted(numbers), dtype=np.int64)
        self._place(shaken, draws)
        if not self.scene.actions:  # nothing moves the object at random: the episode begins with its fall
            self.batch.forward(shaken, stage=int(mujoco.mjtStage.mjSTAGE_POS))
            shaken = shaken[:0]
        while len(shaken):
            action = np.zeros((self.worlds, self.scene.actions))
            drawn = [draws[world].uniform(-1, 1, self.scene.actions) for world in shaken]
            action[shaken] = self.scene.scene.workspace.random_motion * np.array(drawn)
            lost = shaken[self._advance(action, shaken).ended[shaken]]
            advance(0)
            age[shaken] += 1
            age[lost] = 0
            discarded[lost] += 1
            self._attempts[lost] += 1
            if discarded.max() >= _MOST_ATTEMPTS:
                raise DactylError(
                    f"object '{self.scene.object.name}': {_MOST_ATTEMPTS} initial states in a row were lost, as the "
                    "hand moved at random; see in dactyl scene check whether it warns of anything, workspace.start "
                    "lies in the hand, initial_pose holds the object there, and drop_height is below that; or lower "
                    "workspace.random_motion"
                )
            self._place(lost, draws)
            shaken = shaken[age[shaken] < INITIAL_STEPS]
        for world, episode in numbers.items():
            self._smoothed[world] = 0
            self._goal_generators[world] = generator(self.seed, episode, "goals")
            self._draw_goal(world)
        self._sense(np.array(sorted(numbers), dtype=np.int64))
        return discarded[list(numbers)]

    def step(self, action: FloatArray, worlds: Worlds | None = None) -> Outcome:
        """Advance ``worlds``, or all, by 80 ms.

        Args:
            action: actions of all worlds, (N, A), clipped to [-1, 1].
            worlds: worlds whose rows are used.

        Raises:
            ValueError: ``action`` has another shape.
            DactylError: a row that is used is not finite.
        """
        stepped = np.arange(self.worlds) if worlds is None else np.unique(np.asarray(worlds, dtype=np.int64))
        action = np.asarray(action)  # a policy from elsewhere may return a list
        if action.shape != (self.worlds, self.scene.actions):
            raise ValueError(f"expected actions of shape {(self.worlds, self.scene.actions)}, got {action.shape}")
        if not np.isfinite(action[stepped]).all():
            raise DactylError("the policy's action is not finite; choose another policy or checkpoint")
        outcome = self._advance(np.clip(action, -1, 1), stepped)
        for world in np.flatnonzero(outcome.reached):
            self._draw_goal(int(world))
        self._sense(stepped)
        return outcome

    def restore(self, worlds: Worlds, states: FloatArray, episodes: Worlds) -> None:
        """Begin an episode in each of ``worlds`` from saved rows of ``batch.state``, with the actions' average at rest.

        Unlike ``reset`` it takes no random actions: training begins episodes all the time.
        """
        order = np.argsort(worlds)  # the batch requires worlds in order
        chosen = np.asarray(worlds, dtype=np.int64)[order]
        if not len(chosen):
            return
        states = states[order]
        self._episodes[chosen], self._attempts[chosen] = np.asarray(episodes)[order], 0
        self.batch.reset(chosen, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self.batch.state[chosen] = states
        self._begin_effects(chosen)
        self.batch.forward(chosen, stage=int(mujoco.mjtStage.mjSTAGE_POS))
        self._smoothed[chosen] = 0
        self._warnings[chosen] = self.batch.warning[chosen, :, 1].sum(axis=1)
        for world in map(int, chosen):
            self._goal_generators[world] = generator(self.seed, int(self._episodes[world]), "goals")
            self._draw_goal(world)
        self._sense(chosen)

    def observe(self) -> Observation:
        """Return copies of the present state of all worlds."""
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

    def sense(self) -> Observation:
        """Return a policy's observation: the true state, except that fingertips, object pose and rotation to the goal
        are as the sensors last reported them."""
        observation = self.observe()
        for key, value in (self._sensed or {}).items():
            observation[key] = value.copy()  # type: ignore[literal-required]
        return observation

    def hidden(self) -> FloatArray:
        """Return hidden values that move the hand, (N, H): the actions' average, and everything that the randomization
        drew and remembers. They are for critics, which train only in simulation."""
        effects = np.zeros((self.worlds, 0)) if self.effects is None else self.effects.hidden()
        return np.hstack([self._smoothed, effects])

    def _advance(self, action: FloatArray, worlds: NDArray[np.int64]) -> Outcome:
        batch = self.batch
        self._smoothed[worlds] = SMOOTHING * self._smoothed[worlds] + (1 - SMOOTHING) * action[worlds]
        half_range = (self._high - self._low) / 2
        done = self._smoothed[worlds] if self.effects is None else self.effects.act(self._smoothed[worlds], worlds)
        joints = batch.qpos[worlds[:, None], self.scene.hand_qpos]
        target = self.scene.controls.present(joints) + half_range * done
        batch.ctrl[worlds] = np.clip(target, self._low, self._high)
        before = self._to_goal().magnitude()
        # Compute the position stage after the last substep, so that fingertips belong to the state read with them.
        batch.step(worlds, nstep=SUBSTEPS, stage=int(mujoco.mjtStage.mjSTAGE_POS))
        warnings = batch.warning[..., 1].sum(axis=1)
        stepped = np.zeros(self.worlds, dtype=bool)
        stepped[worlds] = True
        finite = np.isfinite(batch.qpos).all(axis=1) & np.isfinite(batch.qvel).all(axis=1)
        # A hand that flies apart is broken too, before its values overflow; files of states would refuse it.
        finite &= (np.abs(batch.qpos[:, self.scene.hand_qpos]) <= _MOST_TURN).all(axis=1)
        height = batch.qpos[:, self.scene.object_qpos + 2]
        distance = self._to_goal().magnitude()
        reached = stepped & finite & (distance < GOAL_THRESHOLD)
        drop_height = self._workspace.drop_height
        dropped = stepped & (height < (-np.inf if drop_height is None else drop_height))
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
            qpos[position : position + 3] = self._workspace.start + draws[world].normal(0, self._workspace.start_std, 3)
            # Inside the floor it would be thrown out, or fall below it.
            qpos[position + 2] = max(qpos[position + 2], self._lowest_start)
            qpos[position + 3 : position + 7] = random_orientation(draws[world])
        self._begin_effects(worlds)
        self._smoothed[worlds] = 0
        self._warnings[worlds] = self.batch.warning[worlds, :, 1].sum(axis=1)

    def _begin_effects(self, worlds: NDArray[np.int64]) -> None:
        if self.effects is not None:
            for world in map(int, worlds):
                self.effects.begin(world, partial(self._generator, world))

    def _generator(self, world: int, name: str) -> np.random.Generator:
        """Return the generator of a parameter for the present attempt at an episode."""
        attempt = self._attempts[world]
        return generator(self.seed, int(self._episodes[world]), f"{name}/{attempt}" if attempt else name)

    def _sense(self, worlds: NDArray[np.int64]) -> None:
        """Update the sensors' reports of ``worlds``."""
        if self.effects is None or not len(worlds):
            return
        true = self.observe()
        if self._sensed is None:
            self._sensed = {key: true[key].copy() for key in SENSED}  # type: ignore[literal-required]
        reported = self.effects.sense(true, worlds)
        for key, rows in self._sensed.items():
            rows[worlds] = reported[key]  # type: ignore[literal-required]

    def _draw_goal(self, world: int) -> None:
        rng = self._goal_generators[world]
        self.goal[world] = orientation_near(rng, self._orientation()[world], self._largest_turn[world])

    def _orientation(self) -> FloatArray:
        """Return the object's quaternions (N, 4), with the identity for a broken world."""
        start = self.scene.object_qpos + 3
        quaternion = self.batch.qpos[:, start : start + 4]
        norm = np.linalg.norm(quaternion, axis=1, keepdims=True)
        return np.where(np.isfinite(norm) & (norm > 0), quaternion, [1.0, 0.0, 0.0, 0.0])

    def _to_goal(self) -> Rotation:
        """Return the smallest rotations after which each world's object looks as in its goal."""
        present, goal = rotation_from_quaternion(self._orientation()), rotation_from_quaternion(self.goal)
        return least_turn(self.scene.object.symmetries, present, goal)
