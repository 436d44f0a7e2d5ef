"""Simulated reports of motion capture and of the object's tracker: noise (Table 7), lost and hidden markers
(appendix C.2)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.sim.interface import Observation
from datagen.sim.physics import Generators
from datagen.sim.streams import Stream
from vision.configuration.bounds import not_negative
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion
from vision.objects.symmetries import Symmetries, least_turn

if TYPE_CHECKING:
    from datagen.sim.randomization import Randomization

_FIRM = 10.0  # N, a force that touches hardly ever exceed


Effect = TypeVar("Effect", bound="ObservationNoise | MarkerPlacement")


def _multiplied(effect: Effect, width: float) -> Effect:
    return replace(effect, **{field.name: width * getattr(effect, field.name) for field in fields(effect)})


@dataclass(frozen=True)
class ObservationNoise:
    """Gaussian noise of observations (Table 7): standard deviations, drawn once per episode (offset) and at each step
    (jitter).

    Attributes:
        fingertip_offset, fingertip_jitter: m, each coordinate.
        position_offset, position_jitter: position of the object, m, each coordinate.
        rotation_offset, rotation_jitter: orientation of the object, rad, about a random axis.
    """

    fingertip_offset: float = 0.001
    fingertip_jitter: float = 0.002
    position_offset: float = 0.005
    position_jitter: float = 0.001
    rotation_offset: float = 0.1
    rotation_jitter: float = 0.1

    def __post_init__(self) -> None:
        not_negative(self, *vars(self))

    def scaled(self, width: float) -> ObservationNoise:
        return _multiplied(self, width)


@dataclass(frozen=True)
class MarkerPlacement:
    """Displacement of markers from their nominal places: standard deviations, m, each coordinate, for an episode.

    Attributes:
        fingertip: on the finger, rotating with it.
        base: on the hand's base, which all fingertips are measured against.
    """

    fingertip: float = 0.003
    base: float = 0.001

    def __post_init__(self) -> None:
        not_negative(self, *vars(self))

    def scaled(self, width: float) -> MarkerPlacement:
        return _multiplied(self, width)


@dataclass(frozen=True)
class MarkerLoss:
    """Fingertip readings that freeze now and then.

    Attributes:
        probability: probability that a reading freezes, each second.
        seconds: duration of a freeze, s.
    """

    probability: float = 0.2
    seconds: float = 1.0

    def __post_init__(self) -> None:
        not_negative(self, *vars(self))
        if self.probability >= 1:
            raise ValueError(f"probability: must lie in [0, 1), got {self.probability}")

    def scaled(self, width: float) -> MarkerLoss:
        return MarkerLoss(width * self.probability, self.seconds)


@dataclass(frozen=True)
class MarkerOcclusion:
    """Fingertips that keep their last reading while something presses on the spot behind the nail.

    Attributes:
        force: least force that hides the marker, N.
    """

    force: float = 0.0

    def __post_init__(self) -> None:
        not_negative(self, *vars(self))

    def scaled(self, width: float) -> MarkerOcclusion:
        """Return an effect that hides only under firmer touches; fingers press with a few newtons."""
        return MarkerOcclusion(self.force + _FIRM * (1 - width))


class Sensing:
    """The four effects on reports, in N worlds.

    Args:
        config: what is randomized.
        worlds: number of worlds, N.
        fingertips: number of fingertips, F.
        symmetries: of the object's appearance.

    Attributes:
        config: as given; its ranges may change between episodes, but not which effects there are.
    """

    def __init__(self, config: Randomization, worlds: int, fingertips: int, symmetries: Symmetries) -> None:
        self.config = config
        self._tips, self._symmetries = fingertips, symmetries
        self._fresh = Stream(worlds, 3 * self._tips + 3 + 4, "normal")
        self._fades = Stream(worlds, self._tips, "uniform")
        self._tip_offset = np.zeros((worlds, self._tips, 3))
        self._tip_place = np.zeros((worlds, self._tips, 3))
        self._base_place = np.zeros((worlds, 1, 3))
        self._position_offset = np.zeros((worlds, 3))
        self._rotation_offset = np.tile([1.0, 0.0, 0.0, 0.0], (worlds, 1))
        self._frozen = np.zeros((worlds, self._tips))  # remaining seconds
        self._reading = np.full((worlds, self._tips, 3), np.nan)

    def begin(self, world: int, generators: Generators) -> None:
        """Begin an episode in ``world``: draw its offsets; all markers are visible at first."""
        self._reading[world], self._frozen[world] = np.nan, 0
        if noise := self.config.observation_noise:
            self._fresh.begin(world, generators("observation noise"))
            rng = generators("observation offset")
            self._tip_offset[world] = rng.normal(0, noise.fingertip_offset, (self._tips, 3))
            self._position_offset[world] = rng.normal(0, noise.position_offset, 3)
            turn = _turn(rng.normal(size=(1, 4)), noise.rotation_offset)
            self._rotation_offset[world] = quaternion_from_rotation(turn)[0]
        if placement := self.config.marker_placement:
            rng = generators("marker placement")
            self._tip_place[world] = rng.normal(0, placement.fingertip, (self._tips, 3))
            self._base_place[world] = rng.normal(0, placement.base, (1, 3))
        if self.config.marker_loss:
            self._fades.begin(world, generators("marker loss"))

    def hidden(self) -> FloatArray:
        """Return the offsets of the object's reports, constant throughout an episode, (N, 6), of order 1."""
        turned = rotation_from_quaternion(self._rotation_offset).as_rotvec()
        return np.hstack([200 * self._position_offset, 10 * turned])

    def __call__(
        self,
        true: Observation,
        fingertip_axes: FloatArray,
        touch: FloatArray,
        worlds: NDArray[np.int64],
        seconds: float,
    ) -> Observation:
        """Return what is reported of the K ``worlds``, whose true states ``true`` holds in K rows.

        Args:
            true: the true state; fingertips, object pose and rotation to the goal are returned as reported.
            fingertip_axes: orientation of the fingertips, tip to world, (K, F, 3, 3).
            touch: force behind each nail, N, (K, F); zero where no sensor reports it.
            worlds: numbers of the worlds, (K,).
            seconds: time since the last report, s.
        """
        rotation = rotation_from_quaternion(true["object_quaternion"])
        tips, position = true["fingertip_position"], true["object_position"]
        if self.config.marker_placement:
            place = np.einsum("ntij,ntj->nti", fingertip_axes, self._tip_place[worlds])
            tips = tips + place - self._base_place[worlds]
        if noise := self.config.observation_noise:
            fresh = self._fresh.next(worlds)
            jitter = fresh[:, : 3 * self._tips].reshape(len(fresh), self._tips, 3)
            tips = tips + self._tip_offset[worlds] + noise.fingertip_jitter * jitter
            jitter = fresh[:, 3 * self._tips : 3 * self._tips + 3]
            position = position + self._position_offset[worlds] + noise.position_jitter * jitter
            offset = rotation_from_quaternion(self._rotation_offset[worlds])
            rotation = _turn(fresh[:, -4:], noise.rotation_jitter) * offset * rotation
        goal = rotation_from_quaternion(true["goal_quaternion"])
        return {
            **true,
            "fingertip_position": self._unless_hidden(tips, touch, worlds, seconds),
            "object_position": position,
            "object_quaternion": quaternion_from_rotation(rotation),
            "relative_goal": quaternion_from_rotation(least_turn(self._symmetries, rotation, goal)),
        }

    def _unless_hidden(
        self, tips: FloatArray, touch: FloatArray, worlds: NDArray[np.int64], seconds: float
    ) -> FloatArray:
        hidden = np.zeros((len(worlds), self._tips), dtype=bool)
        if loss := self.config.marker_loss:
            left = np.maximum(self._frozen[worlds] - seconds, 0)
            fading = self._fades.next(worlds) < 1 - (1 - loss.probability) ** seconds
            # A frozen marker cannot freeze again before it returns.
            left = np.where((left < 1e-9) & fading, loss.seconds, left)
            self._frozen[worlds] = left
            hidden |= left > 1e-9
        if occlusion := self.config.marker_occlusion:
            hidden |= touch > occlusion.force
        before = self._reading[worlds]
        reading = np.where(hidden[..., None] & ~np.isnan(before), before, tips)
        self._reading[worlds] = reading
        return reading


def _turn(normal: FloatArray, spread: float) -> Rotation:
    """Return rotations about random axes by Gaussian angles, from rows of four standard normal numbers."""
    axis = normal[:, :3] / np.linalg.norm(normal[:, :3], axis=1, keepdims=True)
    return Rotation.from_rotvec(spread * normal[:, 3:] * axis)
