"""Self-calibration: one displacement for each camera, estimated from the hand that it watches in many frames at once.

In a laboratory cameras are displaced once, not again for each image, so a hundred images determine what one leaves
open. The solver finds the most probable set of

- for each camera a rotation about its centre, a translation and a zoom (7 numbers, priors as in
  :mod:`vision.solvers.bundle`), optionally a radial distortion, the offset of its detections of each landmark that
  is the same in every frame, and by how much it sees the object too small in every frame,
- for each frame the object's pose (6) and the wrist's angles (2).

The equations are those of a single frame, but the cameras are shared by all frames: here each frame's eight numbers are
eliminated, which leaves one matrix over the cameras, however many frames there are.

The deviations can be relied on. Errors of neighbouring points in a frame are correlated, so the covariance follows from
how much frames contradict each other (the sandwich estimator, each frame a cluster). Errors that are the same in all
frames do not average out; the landmarks' offsets and the object's size account for them. (A network draws points that
it is unsure of towards their middle, as a best estimate does: an object of 0.93 of its size made the focal length of a
camera 4.4 % too short, six stated deviations.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.machine.hardware import one_thread
from vision.solvers.bundle import refine, solve_bundle
from vision.solvers.bundle_problem import Equations, Linearization, Problem, State
from vision.solvers.frame_scatter import contradiction, sandwich, trend
from vision.solvers.given import CameraPrior, PointObservations, Subject, WeightedPixels
from vision.solvers.look_alikes import named_by
from vision.solvers.rig_problem import RigProblem, RigState
from vision.solvers.triangulate import PoseSolution
from vision.solvers.views import ViewAgreement
from vision.statistics.medians import lower_median

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation
_ITERATIONS = 100  # at most: most searches take 6, those from unsure keypoints a few dozen
_MOST_TURN = math.radians(0.6)  # largest accepted deviation of a camera's rotation; a triplet leaves about 0.3 degrees
_ANGLES_WEIGHT = 0.01  # factor on the weight of the wrist's usual angles: a recording may hold others in all frames
_LEAST_DRIFT_DEG, _CERTAIN_DRIFT = 0.02, 4.0  # what counts as one, at least: degrees, and its own deviations
_MOST_CONTRADICTION = 3.0  # recordings show 0.8 to 1.1, cameras that Table 9 displaced for each triplet 3.7 to 5
_SHRINKAGE = 50.0
"""Deviation of the fraction by which the object is seen too small, in cubes of the keypoints' expected error as a
fraction of their distance from their middle. With errors of 2 % (the shipped block) it was 0.03 and 0.04 %, with 8 and
13 % (two networks trained for minutes) 1.6 to 3.6 and 4 to 13 %: 20 to 76 times the cube."""
_MOST_SHRINKAGE = 0.3
_LEAST_WEIGHT = 1e-2  # 1 / pixels^2: a point with an expected error above 10 pixels counts as not seen


@dataclass(frozen=True)
class RigSolution:
    """Cameras of a recording.

    Attributes:
        cameras: intrinsics (C, 3, 3) and extrinsics (C, 4, 4).
        distortion: (C,) radial coefficient k1 of OpenCV; zeros if it was not estimated.
        covariance: (7 C, 7 C) of the errors of each camera's rotation (radians, world axes), translation (metres,
            world) and logarithm of the focal length, one camera after the other.
        deviation: (C, 7) square roots of its diagonal.
        direction_deviation_deg: (C,) deviation of each camera's rotation about all axes together, degrees.
        poses: of the object in each of the N frames, by the estimated cameras.
        drift_deg: (C, 3) rotation of each camera from the first frame to the last, about the world's axes, degrees.
        drift_deviation_deg: (C, 3) deviations of these.
        spread: (N,) pixels, :attr:`vision.solvers.views.ViewAgreement.spread` of each frame: how far the object's
            points scatter about their projections by these cameras and poses.
        contradiction: (C,) how many times as far the frames lie apart about each camera's rotation as their pixels'
            scales promise (:func:`vision.solvers.frame_scatter.contradiction`).
        converged: whether the search ended because its last step gained nothing, not because it took too many.
    """

    cameras: Cameras
    distortion: Tensor
    covariance: Tensor
    poses: PoseSolution
    drift_deg: Tensor
    drift_deviation_deg: Tensor
    spread: Tensor
    contradiction: Tensor
    converged: bool

    @property
    def deviation(self) -> Tensor:
        deviation: Tensor = self.covariance.diagonal().clamp_min(0).sqrt().unflatten(0, (-1, 7))
        return deviation

    @property
    def direction_deviation_deg(self) -> Tensor:
        deviation: Tensor = torch.rad2deg(torch.linalg.vector_norm(self.deviation[:, :3], dim=1))
        return deviation

    def drifted(self) -> Tensor:
        """Return (C,), which cameras certainly rotated, and by more than 0.02 degrees."""
        surprise = self.drift_deg.abs() / self.drift_deviation_deg.clamp_min(1e-9)
        return ((surprise > _CERTAIN_DRIFT) & (self.drift_deg.abs() > _LEAST_DRIFT_DEG)).any(dim=1)


def self_calibrate(
    subject: Subject,
    corners: PointObservations,
    seen: PointObservations,
    nominal: Cameras,
    landmark_offset: float = 0.0,
    distortion: bool = False,
    names: Sequence[str] | None = None,
    shrinks: bool = False,
) -> RigSolution:
    """Find the cameras, displaced once as in Table 9, that best explain all frames.

    Args:
        subject: what the cameras watch.
        corners: observations of the object's points in each camera, in N frames.
        seen: observations of the hand's landmarks in each camera.
        nominal: the nominal cameras, (C, 3, 3) and (C, 4, 4), with the height of their images.
        landmark_offset: pixels, standard deviation of a landmark's detection offset that is the same in all frames.
        distortion: whether to estimate each camera's radial distortion, too.
        names: the cameras' names, for messages; their numbers from 1 when None.
        shrinks: whether the detector draws the object's points towards their middle where it is unsure, as networks do.

    Raises:
        DactylError: there are no frames, or they do not determine a camera; the message names it and what is missing.
    """
    count = len(corners.pixels)
    if not count:
        raise DactylError("self-calibration: no triplets; record the hand at work, some hundred triplets")
    subject, nominal = subject.double(), nominal.double()
    everywhere = nominal._replace(
        intrinsics=nominal.intrinsics.expand(count, -1, -1, -1), extrinsics=nominal.extrinsics.expand(count, -1, -1, -1)
    )
    with one_thread():
        first = solve_bundle(subject, corners, seen, everywhere)
        pose = first.object.pose
        named, hand = corners.weighted(), seen.weighted()
        if subject.permutations is not None:
            named = named_by(subject.points, named, first.cameras, pose, subject.permutations)
        observed = WeightedPixels(*(torch.cat(pair, dim=2) for pair in zip(named, hand, strict=True)))
        precision = CameraPrior().precision(nominal)
        nothing = torch.zeros_like(precision)  # no prior in a single frame; the recording has it once
        frames = Problem(subject.points, observed, everywhere, nothing, subject.landmarks, _ANGLES_WEIGHT)
        shrinkage = _shrinkage(named) if shrinks else torch.zeros(len(precision), dtype=precision.dtype)
        problem = RigProblem(frames, precision, landmark_offset, distortion, shrinkage)
        rig = problem.shared(first.cameras)
        found = _poses(frames, frames.cameras(problem.state(frames.start(), rig)), pose)
        body = frames.start()._replace(pose=found.pose, angles=first.angles)
        solution = _minimize(problem, body, rig)
    names = names or [str(number + 1) for number in range(observed.weight.shape[1])]
    _refuse_open(solution, observed.weight, len(subject.points), names)
    return solution


def _shrinkage(named: WeightedPixels) -> Tensor:
    """Return the deviation (C,) of the fraction by which each camera sees the object too small."""
    seen = named.weight > _LEAST_WEIGHT
    share = seen.double()[..., None] / seen.sum(dim=2).clamp_min(1)[..., None, None]
    off = torch.linalg.vector_norm(named.pixels - (named.pixels * share).sum(dim=2, keepdim=True), dim=-1)
    error = named.weight.clamp_min(1e-12).rsqrt() / off.clamp_min(1e-9)
    known = torch.where(seen, error, torch.full_like(error, torch.nan))
    usual: Tensor = known.transpose(0, 1).flatten(1).nanmedian(dim=1).values.nan_to_num(1.0)
    return (_SHRINKAGE * usual**3).clamp(max=_MOST_SHRINKAGE)


def refuse_moved(solution: RigSolution, names: Sequence[str] | None) -> None:
    """Raise DactylError where frames lie too far apart to share a camera: what was found is a mean that fits none of
    them, and its deviation says nothing of that. ``names`` of the cameras as in :func:`self_calibrate`."""
    most = int(solution.contradiction.argmax())
    if (times := float(solution.contradiction[most])) > _MOST_CONTRADICTION:
        raise DactylError(
            f"self-calibration: {len(solution.spread)} triplets contradict each other about the direction of camera "
            f"{names[most] if names else most + 1}, {times:.1f} times as much as the errors of their pixels allow: the "
            "cameras moved from triplet to triplet, or the network does not know such pictures"
        )


def refuse_unconverged(solution: RigSolution) -> None:
    """Raise DactylError where the search was cut short: its cameras are on their way, and their deviations say nothing
    of how far it is."""
    if not solution.converged:
        raise DactylError(
            f"self-calibration: the cameras still moved after {_ITERATIONS} steps of the search, with "
            f"{len(solution.spread)} triplets; record more of them in which every camera sees the hand's fixed "
            "parts and the moving object, or begin nearer to the cameras (an earlier calibration)"
        )


def _refuse_open(solution: RigSolution, weight: Tensor, count: int, names: Sequence[str]) -> None:
    """Raise DactylError where a camera's rotation is not determined; the first ``count`` points of ``weight`` (N, C, P)
    are the object's."""
    left = solution.deviation[:, :3].square().mean(dim=1).sqrt()
    seen = weight > _LEAST_WEIGHT
    for camera, deviation in enumerate(left.tolist()):
        if deviation < _MOST_TURN:
            continue
        hand, thing = (
            int((part.sum(dim=-1) >= 3).sum()) for part in (seen[:, camera, count:], seen[:, camera, :count])
        )
        missing = [
            f"{what} in {number} of them"
            for what, number in (("the hand's landmarks", hand), ("the object", thing))
            if 2 * number < len(weight)
        ]
        raise DactylError(
            f"self-calibration: {len(weight)} triplets leave camera {names[camera]} open to "
            f"{math.degrees(deviation):.2f} degrees: it shows "
            + (" and ".join(missing) if missing else "hand and object, but too few or too uncertain")
            + "; record more triplets in which every camera sees the hand's fixed parts and the moving object"
        )


def _minimize(problem: RigProblem, body: State, rig: RigState) -> RigSolution:
    """Return the most probable cameras and poses, from a start."""
    state, damping = problem.state(body, rig), 1e-3
    view, more = problem.linearize(state, rig)
    cost, converged = problem.cost(state, rig, view), False
    for _ in range(_ITERATIONS):
        after, moved_rig = problem.step(state, rig, problem.equations(state, view, more), damping)
        moved_view, moved_more = problem.linearize(after, moved_rig)
        moved_cost = problem.cost(after, moved_rig, moved_view)
        gain = float(cost - moved_cost)
        if gain > 0:
            state, rig, view, more, cost = after, moved_rig, moved_view, moved_more, moved_cost
        damping = min(max(damping / 5 if gain > 0 else damping * 5, 1e-9), 1e6)
        if converged := abs(gain) < _CONVERGED:
            break
    return _solution(problem, state, rig, view, problem.equations(state, view, more), converged)


def _solution(
    problem: RigProblem, state: State, rig: RigState, view: Linearization, found: Equations, converged: bool
) -> RigSolution:
    """Return the solution with deviations judged by how much frames contradict each other."""
    frames = problem.frames
    coupling = found.coupling.transpose(1, 2).flatten(2)
    eye = 1e-9 * torch.eye(found.matrix.shape[-1], dtype=coupling.dtype, device=coupling.device)
    solved = torch.linalg.solve_ex(found.matrix + eye, torch.cat([coupling, found.gradient[..., None]], dim=-1))[0]
    # Each frame's information on the cameras once its own pose is eliminated: matrix (N, m, m) and gradient (N, m).
    matrix = torch.stack([torch.block_diag(*one) for one in found.camera_matrix]) - coupling.mT @ solved[..., :-1]
    gradient = found.camera_gradient.flatten(1) - (coupling.mT @ solved[..., -1:]).squeeze(-1)
    prior = torch.diag(problem.precision.flatten())
    total = matrix.sum(dim=0)
    covariance = sandwich(total, gradient, prior)
    size = problem.precision.shape[1]
    seven = torch.cat([torch.arange(7) + size * camera for camera in range(problem.cameras)])
    cameras = frames.cameras(state)
    each = [torch.arange(3) + size * camera for camera in range(problem.cameras)]
    turns = torch.cat(each)
    drift, deviation = trend(matrix[:, turns][:, :, turns], gradient[:, turns])
    return RigSolution(
        Cameras(cameras.intrinsics[0], cameras.extrinsics[0]),
        rig.further[:, -1] if problem.distortion else torch.zeros_like(rig.log_zoom),
        covariance[seven][:, seven],
        _poses(frames, cameras, state.pose),
        torch.rad2deg(drift).unflatten(0, (-1, 3)),
        torch.rad2deg(deviation).unflatten(0, (-1, 3)),
        _spread(frames, cameras, view),
        torch.tensor([contradiction(total[turn][:, turn], gradient[:, turn]) for turn in each]),
        converged,
    )


def _poses(frames: Problem, cameras: Cameras, near: Pose) -> PoseSolution:
    """Return the object's pose in each frame for known cameras, near given ones."""
    own = frames.seen.first(len(frames.points))
    return refine(frames.points, own, cameras, near, iterations=5)


def _spread(frames: Problem, cameras: Cameras, view: Linearization) -> Tensor:
    """Return the spread (N,) in pixels of the object's points in each frame."""
    count = len(frames.points)
    off = lower_median(torch.linalg.vector_norm(view.residual[:, :, :count], dim=-1))
    scale = frames.seen.weight[:, :, :count].clamp_min(1e-12).rsqrt()
    return ViewAgreement(cameras, scale, off).spread
