"""Simulation as a standard vector environment, for learners of other libraries.

.. code-block:: python

    import gymnasium, dactyl.policies
    env = gymnasium.make_vec("dactyl/Block-v0", num_envs=64, randomization=EVERYTHING)

or ``dactyl.policies.env(...)``, which is the same. Reward, trials and actions are the paper's: a trial is truncated at
50 goals or after 8 s without reaching one, and terminated by a drop. Use a policy trained with it through
``--policy package.module:function`` (:mod:`datagen.policy.trained`).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from datagen.policy.features import SENSED_INPUTS, goal_vector, state_vector
from datagen.policy.layout import layout_of
from datagen.policy.starts import drawn_starts
from datagen.sim.complete import complete_scene
from datagen.sim.environment import Environment
from datagen.sim.randomization import NOTHING, Randomization
from datagen.sim.trials import TRAINING, TrialRules, Trials

Vectors = NDArray[np.float32]
Booleans = NDArray[np.bool_]


class HandVectorEnv(VectorEnv[Vectors, Any, Any]):
    """Vector environment of N hands, each with an object to turn.

    Observations are float32 vectors of sensor reports: parts of the state (``datagen.policy.features.SENSED_INPUTS``,
    including the last action) and a goal vector. ``info["privileged"]`` holds, for critics, what only a simulation
    knows: the true state vector, velocities included, the true goal vector and the drawn values
    (``Environment.hidden``). Actions are relative joint targets in [-1, 1]. A world
    whose episode is over begins another in the next step, which ignores its action and gives no reward.

    Args:
        num_envs: number of hands, N.
        scene: name or file of the scene.
        randomization: randomization of physics, actions and sensors; ``datagen.sim.randomization.EVERYTHING`` is the
            paper's.
        rules: rules that end a trial.
        locked_wrist: hold the hand's wrist joints still (``wrist`` in its file).
        threads: number of simulation threads; None takes all cores.
        starts: number of states that episodes begin from, each made by the paper's 100 random actions at the first
            reset.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scene: str = "block",
        randomization: Randomization = NOTHING,
        rules: TrialRules = TRAINING,
        locked_wrist: bool = False,
        threads: int | None = None,
        starts: int = 64,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("starts", starts), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        self.num_envs, self._starts_wanted = num_envs, starts
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.environment = Environment(complete_scene(scene), 0, num_envs, threads, randomization, locked_wrist)
        layout = layout_of(self.environment.scene)
        actions, self._sensed = layout.actuators, layout.columns(SENSED_INPUTS)
        self._last_action = np.zeros((num_envs, actions))
        self._trials, self._over = Trials(rules, num_envs), np.zeros(num_envs, dtype=bool)
        width = self._observations()[0].shape[1]
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1, 1, (actions,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vectors, dict[str, Any]]:
        """Begin episodes in all worlds. The same seed gives the same episodes for the same actions; without a seed,
        episodes continue the previous sequence."""
        first = self._np_random is None
        super().reset(seed=seed)
        if first or seed is not None:
            self.environment.reseed(int(self.np_random.integers(2**31)))
            self._starts = drawn_starts(self.environment, self._starts_wanted)
            self._episode = self._starts_wanted  # earlier episodes made the starts
        self._begin(np.arange(self.num_envs))
        self._over[:] = False
        observation, privileged = self._observations()
        return observation, {"privileged": privileged}

    def step(self, actions: Any) -> tuple[Vectors, NDArray[np.float64], Booleans, Booleans, dict[str, Any]]:
        """Advance all worlds by 80 ms; ``info["goals"]`` counts the goals of each trial, int64 (N,)."""
        action = np.asarray(actions, dtype=np.float64)
        if action.shape != self._last_action.shape:
            raise ValueError(f"expected actions of shape {self._last_action.shape}, got {action.shape}")
        acting, over = np.flatnonzero(~self._over), self._over
        outcome = self.environment.step(action, acting)
        self._last_action = np.clip(action, -1, 1)
        self._begin(np.flatnonzero(over))
        ended, _ = self._trials.update(outcome, acting)
        self._over = ended
        observation, privileged = self._observations()
        info = {"privileged": privileged, "goals": self._trials.reached.copy()}
        return observation, outcome.reward, outcome.ended, ended & ~outcome.ended, info

    def _begin(self, worlds: NDArray[np.int64]) -> None:
        if not len(worlds):
            return
        self._trials.begin(worlds)
        chosen = self._starts[self.np_random.integers(len(self._starts), size=len(worlds))]
        self.environment.restore(worlds, chosen, self._episode + np.arange(len(worlds)))
        self._episode += len(worlds)
        self._last_action[worlds] = 0

    def _observations(self) -> tuple[Vectors, Vectors]:
        """Return sensed and privileged observations."""
        scene, vectors = self.environment.scene, []
        for observation in (self.environment.sense(), self.environment.observe()):
            state = np.nan_to_num(state_vector(scene, observation, self._last_action))
            vectors += [state, goal_vector(observation["relative_goal"])]
        hidden = self.environment.hidden().astype(np.float32)
        return np.hstack([vectors[0][:, self._sensed], vectors[1]]), np.hstack([*vectors[2:], hidden])


class HandEnv(gymnasium.Env[Vectors, Vectors]):
    """Environment of one hand: a :class:`HandVectorEnv` of one world, for learners without vector environments."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self._env = HandVectorEnv(1, **options)
        self.observation_space = self._env.single_observation_space
        self.action_space = self._env.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vectors, dict[str, Any]]:
        """Begin an episode, as :meth:`HandVectorEnv.reset` does."""
        super().reset(seed=seed)
        observation, info = self._env.reset(seed=seed)
        return observation[0], {key: value[0] for key, value in info.items()}

    def step(self, action: Vectors) -> tuple[Vectors, float, bool, bool, dict[str, Any]]:
        """Advance by 80 ms, as :meth:`HandVectorEnv.step` does."""
        observation, reward, terminated, truncated, info = self._env.step(action[None])
        row = {key: value[0] for key, value in info.items()}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), row


def register() -> None:
    """Register ``dactyl/Block-v0`` and the other objects' environments with ``gymnasium.make`` and ``make_vec``."""
    for name in ("block", "prism"):
        identity = f"dactyl/{name.capitalize()}-v0"
        if identity not in gymnasium.registry:
            gymnasium.register(
                identity,
                entry_point=f"{__name__}:HandEnv",
                vector_entry_point=f"{__name__}:HandVectorEnv",
                kwargs={"scene": name},
            )
