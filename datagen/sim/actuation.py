"""Effects on an action on its way to the hand: noise (Table 8), delay and backlash (appendix C.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datagen.sim.physics import Generators
from datagen.sim.scene import SimScene
from datagen.sim.streams import Stream
from vision.configuration.bounds import fraction
from vision.geometry.rotations import FloatArray

if TYPE_CHECKING:
    from datagen.sim.randomization import Randomization

_RANGE = 2.0  # of an action, from -1 to 1

_NO_BACKLASH = 4.25  # logarithm of 1 / (rad s): default rate at which slack is taken up
_SLOWEST_TAKE_UP = 2.0  # 1 / (rad s): at a lower rate the hand would be useless


@dataclass(frozen=True)
class ActionNoise:
    """Gaussian noise on actions (Table 8): standard deviations as fractions of the action range or the action.

    Attributes:
        additive: fraction of the range, each step.
        offset: fraction of the range, each episode.
        multiplicative: fraction of the action, each step.
    """

    additive: float = 0.05
    offset: float = 0.015
    multiplicative: float = 0.015

    def __post_init__(self) -> None:
        fraction(self, *vars(self))

    def scaled(self, width: float) -> ActionNoise:
        return ActionNoise(width * self.additive, width * self.offset, width * self.multiplicative)


@dataclass(frozen=True)
class ActionDelay:
    """With this probability, each actuator lags one step of 80 ms behind throughout an episode."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        fraction(self, *vars(self))

    def scaled(self, width: float) -> ActionDelay:
        return ActionDelay(width * self.probability)


@dataclass(frozen=True)
class Backlash:
    """A motor that reverses first takes up the slack of its tendons; until then the joint gets only part of the action.

    Attributes:
        spread: standard deviation of an episode's (logarithmic) rates around the calibrated ones, relative to them.
        strength: fraction of the calibrated hand's loss to slack that each joint has; 1 is the calibrated hand.
    """

    spread: float = 0.1
    strength: float = 1.0

    def __post_init__(self) -> None:
        fraction(self, *vars(self))

    def scaled(self, width: float) -> Backlash:
        return Backlash(self.spread, width * self.strength)


class Actuation:
    """The three effects on actions, in N worlds.

    Attributes:
        config: what is randomized; its ranges may change between episodes, but not which effects there are.
    """

    def __init__(self, config: Randomization, scene: SimScene, worlds: int) -> None:
        self.config = config
        low, high = scene.control_range.T
        self._half_range = (high - low) / 2
        actions = self._actions = scene.actions
        hand = scene.hand
        calibrated = None if hand is None else hand.backlash
        self._take_up = np.array(calibrated or np.full((2, actions), _NO_BACKLASH))
        self._fresh = Stream(worlds, 2 * actions, "normal")
        self._offset = np.zeros((worlds, actions))
        self._late = np.zeros((worlds, actions), dtype=bool)
        self._last = np.zeros((worlds, actions))
        self._rate = np.ones((worlds, 2, actions))  # at which slack is taken up downwards and upwards, 1 / (rad s)
        self._slack = np.zeros((worlds, actions))

    def begin(self, world: int, generators: Generators) -> None:
        """Begin an episode in ``world``."""
        self._last[world] = self._slack[world] = 0
        if noise := self.config.action_noise:
            self._fresh.begin(world, generators("action noise"))
            self._offset[world] = generators("action offset").normal(0, _RANGE * noise.offset, self._actions)
        if delay := self.config.action_delay:
            self._late[world] = generators("action delay").random(self._actions) < delay.probability
        if backlash := self.config.backlash:
            spread = 1 + backlash.spread * generators("backlash").normal(size=(2, self._actions))
            rate = np.exp(self._take_up * spread)
            self._rate[world] = np.maximum(rate, _SLOWEST_TAKE_UP)

    def __call__(self, action: FloatArray, worlds: NDArray[np.int64], seconds: FloatArray) -> FloatArray:
        """Return the action (K, A) that reaches the hand for ``action`` in the K ``worlds``; steps last ``seconds``
        (K,)."""
        if noise := self.config.action_noise:
            fresh = self._fresh.next(worlds).reshape(len(worlds), 2, self._actions)
            action = action * (1 + noise.multiplicative * fresh[:, 0])
            action = action + _RANGE * noise.additive * fresh[:, 1] + self._offset[worlds]
        if self.config.action_delay:
            action, self._last[worlds] = np.where(self._late[worlds], self._last[worlds], action), action
        if backlash := self.config.backlash:
            action = self._take_up_slack(backlash, action, worlds, seconds)
        return action

    def hidden(self) -> FloatArray:
        """Return what the effects drew and remember, (N, H), of order 1: offset, delay, last action, slack, rates."""
        worlds = len(self._rate)
        rates = np.log(self._rate).reshape(worlds, -1) / 4 if self.config.backlash else np.zeros((worlds, 0))
        return np.hstack([30 * self._offset, self._late, self._last, self._slack, rates])

    def _take_up_slack(
        self, backlash: Backlash, action: FloatArray, worlds: NDArray[np.int64], seconds: FloatArray
    ) -> FloatArray:
        """Update the slack s and reduce the action.

        s moves by dt times rate times commanded rotation (``turn``) between -1 and 1, where the tendon is taut. The
        joint gets the part of the step that remains once it is: 1 - |sign(turn) - s| / |change of s|, within [0, 1].
        """
        turn = action * self._half_range
        rate = np.where(turn < 0, self._rate[worlds, 0], self._rate[worlds, 1])
        change = turn * rate * seconds[:, None]
        slack = self._slack[worlds]
        waiting = np.abs(np.sign(turn) - slack) / np.maximum(np.abs(change), 1e-12)
        self._slack[worlds] = np.clip(slack + change, -1, 1)
        moved: FloatArray = action * (1 - backlash.strength * np.clip(waiting, 0, 1))
        return moved
