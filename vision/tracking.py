"""Pose tracking over time: an error-state Kalman filter on position, rotation and both velocities.

The state's mean is a pose with velocities. The covariance is that of its error, twelve numbers in the world frame: a
rotation vector (the true rotation is ``exp(error) @ rotation``), metres, radians per second, metres per second. Between
frames the velocities decay exponentially under accelerations that are white noise (Ornstein-Uhlenbeck processes): an
object that is shaken soon comes to rest. Each frame's estimate comes with the covariance of its solver. Estimates that
contradict the prediction are left out, and after several in a row the object counts as lost: tracking restarts with the
next estimate that is certain enough.

If several poses of an object look the same, the one nearest to the prediction is tracked. Rotations about a continuous
symmetry's axis, which no image shows, are ignored. The filter follows the symmetries' centre, which all these poses
share; elsewhere the errors of rotation and position would be correlated, differently in each of them.

Only NumPy and SciPy are needed: one frame takes less than a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation
from scipy.special import gammaincinv

from vision.configuration.bounds import at_least_one, inner_fraction, positive
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.objects.symmetries import Symmetries, least_turn

NO_COVARIANCE = "track: a regression does not say how sure it is; tracking needs a geometric network"
"""What a user is told who asks for tracking of estimates without covariances."""

_ANY_ANGLE = np.pi**2 / 3  # rad^2, variance of an unknown angle

Status = Literal["lost", "found", "tracked", "predicted"]
"""Status of a frame: no pose known; started with its estimate; estimate used; estimate left out, pose predicted."""


@dataclass(frozen=True)
class TrackingConfig:
    """How an object moves, and which estimates to trust.

    The defaults suit the shipped policy, which turns and shakes the object at some 140 deg/s and 0.25 m/s: tighter ones
    reject its true poses (``python -m benchmarks.prediction``). For an object that moves gently, a quarter of them
    smooths more, with velocities that do not decay.

    Attributes:
        rotation_acceleration: rad/s^2 times sqrt(s), density of the white noise that changes the angular velocity.
        position_acceleration: m/s^2 times sqrt(s), the same of the velocity.
        velocity_decay_s: seconds in which the velocities fall to a third (1/e); 1e6 for constant ones.
        start_rotation_velocity: rad/s, standard deviation of the velocity about each axis when tracking begins.
        start_position_velocity: m/s, the same along each axis.
        gate: probability with which a right estimate passes; estimates beyond it are left out.
        patience: estimates left out in a row after which the object is lost.
        sure_deg: standard deviation in degrees that an estimate must stay below to begin with it.
        sure_m: the same of its position, metres.
    """

    rotation_acceleration: float = 12.0
    position_acceleration: float = 1.2
    velocity_decay_s: float = 0.13
    start_rotation_velocity: float = 6.0
    start_position_velocity: float = 0.6
    gate: float = 0.9999
    patience: int = 3
    sure_deg: float = 8.0
    sure_m: float = 0.05

    def __post_init__(self) -> None:
        positive(self, "rotation_acceleration", "position_acceleration", "velocity_decay_s", "sure_deg", "sure_m")
        positive(self, "start_rotation_velocity", "start_position_velocity")
        inner_fraction(self, "gate")
        at_least_one(self, "patience")


@dataclass(frozen=True)
class TrackedPose:
    """An object at one time, world frame.

    Attributes:
        pose: of the object.
        velocity: (3,) metres per second.
        angular_velocity: (3,) radians per second.
        covariance: (12, 12) of the errors of rotation, position, angular velocity and velocity.
        status: status of the frame.
    """

    pose: Pose
    velocity: FloatArray
    angular_velocity: FloatArray
    covariance: FloatArray
    status: Status


class Tracker:
    """Tracker of one object.

    Args:
        config: how the object moves.
        symmetries: of its appearance; None for none.
    """

    def __init__(self, config: TrackingConfig | None = None, symmetries: Symmetries | None = None) -> None:
        self.config = config or TrackingConfig()
        self._symmetries = symmetries or Symmetries(rotations=np.eye(3)[None])
        self._gate = 2 * float(gammaincinv(3, self.config.gate))  # chi-squared of six numbers; scipy.stats takes 0.5 s
        self._now: TrackedPose | None = None  # of the symmetries' centre, as all poses within
        self._time = -np.inf  # of the last frame
        self._left_out = 0

    def predict(self, time_s: float) -> TrackedPose | None:
        """Predict the pose at a time without an estimate, for example to compensate latency; None while the object is
        lost."""
        return self._of_origin(self._predicted(time_s))

    def update(
        self, time_s: float, estimate: Pose, covariance: ArrayLike, may_begin: bool = True
    ) -> TrackedPose | None:
        """Return the pose at the time of an estimate; None if the object is lost.

        Args:
            time_s: seconds, increasing from call to call.
            estimate: of the object's pose; one, of arrays.
            covariance: (6, 6) of the estimate's error, radians about the world's axes then metres
                (:meth:`vision.estimator.PoseEstimator.predict`).
            may_begin: whether a track may begin with it, if there is none or it was given up.

        Raises:
            ValueError: time does not increase.
        """
        noise = np.asarray(covariance, np.float64)
        if not all(np.isfinite(part).all() for part in (*estimate, noise)):
            return self.miss(time_s)
        sure = may_begin and self.sure(estimate, noise)
        noise = self._covariance_of_centre(estimate, noise)
        centre = estimate._replace(position=estimate.position + estimate.rotation @ self._symmetries.centre)
        before = self._advanced(time_s)
        if before is None:
            self._now = self._begun(centre, noise) if sure else None
            return self._of_origin(self._now)
        reference, seen = (Rotation.from_matrix(pose.rotation[None]) for pose in (before.pose, centre))
        turn = least_turn(self._symmetries, reference, seen)[0].as_rotvec()
        off = np.concatenate([turn, centre.position - before.pose.position])
        innovation = before.covariance[:6, :6] + noise
        if off @ np.linalg.solve(innovation, off) < self._gate:
            self._now, self._left_out = self._corrected(before, off, innovation, noise), 0
            return self._of_origin(self._now)
        # Restart at once if this estimate is certain: the prediction was wrong.
        self._leave_out(before)
        if self._now is None and sure:
            self._now = self._begun(centre, noise)
        return self._of_origin(self._now)

    def miss(self, time_s: float) -> TrackedPose | None:
        """Return the pose at the time of a frame without a usable estimate; None if the object is lost.

        Raises:
            ValueError: time does not increase.
        """
        if (before := self._advanced(time_s)) is not None:
            self._leave_out(before)
        return self._of_origin(self._now)

    def _advanced(self, time_s: float) -> TrackedPose | None:
        """Advance the present to a later time and return the pose predicted for it."""
        if not time_s > self._time:
            raise ValueError(f"time must rise: {time_s} s after {self._time} s")
        before = self._predicted(time_s)
        self._time = time_s
        return before

    def _predicted(self, time_s: float) -> TrackedPose | None:
        return None if self._now is None else self._moved(self._now, time_s - self._time)

    def _of_origin(self, track: TrackedPose | None) -> TrackedPose | None:
        """Return a track of the symmetries' centre as one of the object's origin."""
        if track is None or not self._symmetries.centre.any():
            return track
        lever, moved = -track.pose.rotation @ self._symmetries.centre, np.eye(12)
        # A rotation that does not show is no error of the position either.
        swung = _cross(lever) @ self._shown(track.pose)
        moved[3:6, :3] = moved[9:, 6:9] = -swung
        moved[9:, :3] = -_cross(track.angular_velocity) @ swung
        return replace(
            track,
            pose=track.pose._replace(position=track.pose.position + lever),
            velocity=track.velocity + np.cross(track.angular_velocity, lever),
            covariance=moved @ track.covariance @ moved.T,
        )

    def _leave_out(self, before: TrackedPose) -> None:
        """Keep the prediction only, or give up."""
        self._left_out += 1
        self._now = None if self._left_out >= self.config.patience else before

    @property
    def lost(self) -> bool:
        """Whether no pose is known."""
        return self._now is None

    def sure(self, estimate: Pose, noise: FloatArray) -> bool:
        """Return whether an estimate with that covariance, (6, 6), is certain enough to start with."""
        shown = self._shown(estimate)
        variance = np.trace(shown @ noise[:3, :3] @ shown)
        turned = np.sqrt(variance / max(1.0, np.trace(shown))) < np.deg2rad(self.config.sure_deg)
        place = self._covariance_of_centre(estimate, noise)[3:, 3:]
        return bool(turned and np.sqrt(np.trace(place) / 3) < self.config.sure_m)

    def _shown(self, pose: Pose) -> FloatArray:
        """Return the projection (3, 3) of rotation vectors in the world onto those that change the object's
        appearance."""
        axes = self._symmetries.axes
        if len(axes) > 1:
            return np.zeros((3, 3))
        return np.eye(3) - sum((np.outer(axis, axis) for axis in axes @ pose.rotation.T), np.zeros((3, 3)))

    def _covariance_of_centre(self, pose: Pose, noise: FloatArray) -> FloatArray:
        """Return the covariance (6, 6) at the symmetries' centre for that at an estimate's origin, with rotations that
        do not show set to unknown: a solver's own numbers for them only keep its equations solvable."""
        keep, shown, moved = np.eye(6), self._shown(pose), np.eye(6)
        keep[:3, :3] = shown
        moved[3:, :3] = -_cross(pose.rotation @ self._symmetries.centre)
        observable = keep @ moved @ noise @ moved.T @ keep
        observable[:3, :3] += _ANY_ANGLE * (np.eye(3) - shown)
        return observable

    def _begun(self, pose: Pose, noise: FloatArray) -> TrackedPose:
        covariance = np.zeros((12, 12))
        covariance[:6, :6] = noise
        speeds = (self.config.start_rotation_velocity, self.config.start_position_velocity)
        covariance[6:, 6:] = np.diag(np.repeat(np.square(speeds), 3))
        self._left_out = 0
        return TrackedPose(pose, np.zeros(3), np.zeros(3), covariance, "found")

    def _moved(self, track: TrackedPose, seconds: float) -> TrackedPose:
        """Return the track after some time, with the uncertainty that accelerations add."""
        decay, reach, spread = _ornstein_uhlenbeck(seconds, self.config.velocity_decay_s)
        turn = Rotation.from_rotvec(reach * track.angular_velocity).as_matrix()
        # A rotation error rotates with the object: exp(w t) error.
        transition = np.diag(np.repeat([1.0, decay], 6))
        transition[:3, :3] = turn
        transition[:6, 6:] = reach * np.eye(6)
        density = np.square([self.config.rotation_acceleration, self.config.position_acceleration])
        return TrackedPose(
            Pose(turn @ track.pose.rotation, track.pose.position + reach * track.velocity),
            decay * track.velocity,
            decay * track.angular_velocity,
            transition @ track.covariance @ transition.T + np.kron(spread, np.diag(np.repeat(density, 3))),
            "predicted",
        )

    def _corrected(
        self, before: TrackedPose, off: FloatArray, innovation: FloatArray, noise: FloatArray
    ) -> TrackedPose:
        gain = np.linalg.solve(innovation, before.covariance[:6]).T  # (12, 6)
        step = gain @ off
        keep = np.eye(12)
        keep[:, :6] -= gain
        covariance = keep @ before.covariance @ keep.T + gain @ noise @ gain.T  # Joseph's form stays positive
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        return TrackedPose(
            Pose(turn @ before.pose.rotation, before.pose.position + step[3:6]),
            before.velocity + step[9:],
            before.angular_velocity + step[6:9],
            covariance,
            "tracked",
        )


def _cross(vector: FloatArray) -> FloatArray:
    """Return the matrix (3, 3) of the cross product with a vector (3,)."""
    return np.cross(vector, -np.eye(3))


def _ornstein_uhlenbeck(seconds: float, decay_s: float) -> tuple[float, float, FloatArray]:
    """Integrate a velocity that decays with a time constant, under white accelerations of unit density.

    Args:
        seconds: negative for the past, which is as uncertain as the future.
        decay_s: the time constant; infinity for none.

    Returns:
        The fraction of the velocity that is left, the seconds' worth of it by which the position moves, and the
            covariance (2, 2) of position and velocity that the accelerations add.
    """
    span, sign = abs(seconds), np.sign(seconds)
    if span < 1e-3 * decay_s:  # constant velocities, to a thousandth; below, nearly equal numbers would be subtracted
        left, reach, velocity, position = 1.0, span, span, span**3 / 3
    else:
        left = np.exp(-span / decay_s)
        reach = decay_s * (1 - left)
        velocity = decay_s * (1 - left**2) / 2
        position = decay_s**2 * (span - 2 * reach + velocity)
    both = sign * reach**2 / 2
    return left, sign * reach, np.array([[position, both], [both, velocity]])
