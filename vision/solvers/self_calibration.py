"""Cameras found from the hand they watch: one displacement for each camera, from many frames at once.

In a laboratory cameras are displaced once, not again for each picture, so what one picture leaves open a hundred
decide. What is sought is the most probable set of

- for each camera a turn about its centre, a shift and a zoom (7 numbers, priors as in :mod:`vision.solvers.bundle`), on
  request a radial distortion, and by how much its detections of each landmark are off in every frame alike,
- for each frame the object's pose (6) and the wrist's angles (2).

The same equations as for a single frame, but cameras stand in all frames: here each frame's eight numbers are
eliminated, and what is left is one matrix over the cameras, however many frames there are.

Deviations are to be believed. Errors of neighbouring points in a frame are alike, so what frames tell is judged by how
much they contradict each other (the sandwich estimator, each frame a cluster); and errors that are alike in all frames
do not average out, which is what the landmarks' offsets are for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.hardware import one_thread
from vision.solvers.bundle import refine, solve_bundle
from vision.solvers.bundle_problem import Equations, Linearization, Problem, State
from vision.solvers.given import Displacement, PointObservations, Subject
from vision.solvers.look_alikes import named_by
from vision.solvers.rig_problem import RigProblem, RigState
from vision.solvers.triangulate import PoseSolution, with_weights
from vision.solvers.views import Views

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation
_ITERATIONS = 30  # at most
_PRIOR_FRAMES = 20  # how many frames the model's own covariance counts for against what frames show
_MOST_TURN = math.radians(0.6)  # deviation of a camera's turn that is still left; a triplet leaves about 0.3 degrees
_ANGLES = 0.01  # of the weight of the wrist's usual angles: a recording may keep to others, in all frames alike
_LEAST_WEIGHT = 1e-2  # 1 / pixels^2: a point found worse than to 10 pixels was not seen


@dataclass(frozen=True)
class RigSolution:
    """Cameras of a recording.

    Attributes:
        cameras: intrinsics (C, 3, 3) and extrinsics (C, 4, 4).
        distortion: (C,) radial coefficient k1 of OpenCV; zeros where it was not asked for.
        covariance: (7 C, 7 C) of the errors of each camera's turn (radians, world axes), shift (metres, world) and
            logarithm of the focal length, cameras one after the other.
        deviation: (C, 7) its square roots.
        direction_deviation_deg: (C,) of each camera's turn about all axes together, degrees.
        prior_deviation: (C, 7) the same before any pixel was seen.
        poses: of the object in each of the N frames, as the found cameras see them.
        drift_deg: (C, 3) by which each camera turned from the first frame to the last, about the world's axes, degrees.
        drift_deviation_deg: (C, 3) of these.
        spread: (N,) pixels, :attr:`vision.solvers.views.Views.spread` of each frame: how far the object's points
            scatter about where these cameras and poses put them.
    """

    cameras: Cameras
    distortion: Tensor
    covariance: Tensor
    prior_deviation: Tensor
    poses: PoseSolution
    drift_deg: Tensor
    drift_deviation_deg: Tensor
    spread: Tensor

    @property
    def deviation(self) -> Tensor:
        deviation: Tensor = self.covariance.diagonal().clamp_min(0).sqrt().unflatten(0, (-1, 7))
        return deviation

    @property
    def direction_deviation_deg(self) -> Tensor:
        deviation: Tensor = torch.rad2deg(torch.linalg.vector_norm(self.deviation[:, :3], dim=1))
        return deviation

    def drifted(self, least_deg: float = 0.02, certainty: float = 4.0) -> Tensor:
        """(C,) which cameras turned by ``least_deg`` or more, and by more than ``certainty`` deviations."""
        surprise = self.drift_deg.abs() / self.drift_deviation_deg.clamp_min(1e-9)
        return ((surprise > certainty) & (self.drift_deg.abs() > least_deg)).any(dim=1)


def self_calibrate(
    subject: Subject,
    corners: PointObservations,
    seen: PointObservations,
    nominal: Cameras,
    landmark_offset: float = 0.0,
    distortion: bool = False,
) -> RigSolution:
    """The cameras that explain all frames best, displaced once as in Table 9.

    Args:
        subject: what the cameras watch.
        corners: where each camera sees the object's points, in N frames.
        seen: where each camera sees the hand's landmarks.
        nominal: where the cameras should be, (C, 3, 3) and (C, 4, 4), and the height of their images.
        landmark_offset: pixels, standard deviation of what detections of a landmark are off in all frames alike.
        distortion: whether also the radial distortion of each camera is sought.

    Raises:
        DactylError: the frames leave a camera open; it says which, and what is missing.
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
        pose = first.pose.rotation, first.pose.position
        named, hand = with_weights(*corners), with_weights(*seen)
        if subject.permutations is not None:
            named = named_by(subject.points, *named, first.cameras, *pose, subject.permutations)
        pixels, weight = (torch.cat(pair, dim=2) for pair in zip(named, hand, strict=True))
        precision = Displacement().precision(nominal)
        nothing = torch.zeros_like(precision)  # in a single frame; the recording has its prior once
        frames = Problem(subject.points, pixels, weight, everywhere, nothing, subject.landmarks)
        frames.body_precision = frames.body_precision * _ANGLES
        problem = RigProblem(frames, precision, landmark_offset, distortion)
        rig = problem.shared(first.cameras)
        found = _poses(frames, frames.cameras(problem.state(frames.start(), rig)), *pose)
        body = frames.start()._replace(rotation=found.rotation, position=found.position, angles=first.angles)
        solution = _minimize(problem, body, rig)
    _refuse_open(solution, weight, len(subject.points))
    return solution


def _refuse_open(solution: RigSolution, weight: Tensor, count: int) -> None:
    """Raise DactylError where a camera's turn is not determined; of ``weight`` (N, C, P) the object has ``count``."""
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
            f"self-calibration: {len(weight)} triplets leave camera {camera + 1} open to "
            f"{math.degrees(deviation):.2f} degrees: it shows "
            + (" and ".join(missing) if missing else "hand and object, but too few or too uncertain")
            + "; record more triplets in which every camera sees the forearm and the moving object"
        )


def _minimize(problem: RigProblem, body: State, rig: RigState) -> RigSolution:
    """The most probable cameras and poses, from a start."""
    state, damping = problem.state(body, rig), 1e-3
    view, more = problem.linearize(state, rig)
    cost = problem.cost(state, rig, view)
    for _ in range(_ITERATIONS):
        after, moved_rig = problem.step(state, rig, problem.equations(state, view, more), damping)
        moved_view, moved_more = problem.linearize(after, moved_rig)
        moved_cost = problem.cost(after, moved_rig, moved_view)
        gain = float(cost - moved_cost)
        if gain > 0:
            state, rig, view, more, cost = after, moved_rig, moved_view, moved_more, moved_cost
        damping = min(max(damping / 5 if gain > 0 else damping * 5, 1e-9), 1e6)
        if abs(gain) < _CONVERGED:
            break
    return _solution(problem, state, rig, view, problem.equations(state, view, more))


def _solution(problem: RigProblem, state: State, rig: RigState, view: Linearization, found: Equations) -> RigSolution:
    """What was found, and how sure it is: judged by how much frames contradict each other."""
    frames = problem.frames
    coupling = found.coupling.transpose(1, 2).flatten(2)
    eye = 1e-9 * torch.eye(found.matrix.shape[-1], dtype=coupling.dtype, device=coupling.device)
    solved = torch.linalg.solve_ex(found.matrix + eye, torch.cat([coupling, found.gradient[..., None]], dim=-1))[0]
    # What each frame says of the cameras once its own pose is eliminated: matrix (N, m, m) and gradient (N, m).
    matrix = torch.stack([torch.block_diag(*one) for one in found.camera_matrix]) - coupling.mT @ solved[..., :-1]
    gradient = found.camera_gradient.flatten(1) - (coupling.mT @ solved[..., -1:]).squeeze(-1)
    prior = torch.diag(problem.precision.flatten())
    covariance = _sandwich(matrix.sum(dim=0), gradient, prior)
    size = problem.precision.shape[1]
    seven = torch.cat([torch.arange(7) + size * camera for camera in range(problem.cameras)])
    cameras = frames.cameras(state)
    turns = torch.cat([torch.arange(3) + size * camera for camera in range(problem.cameras)])
    drift, deviation = _trend(matrix[:, turns][:, :, turns], gradient[:, turns])
    return RigSolution(
        Cameras(cameras.intrinsics[0], cameras.extrinsics[0]),
        rig.further[:, -1] if problem.distortion else torch.zeros_like(rig.zoom),
        covariance[seven][:, seven],
        problem.precision[:, :7] ** -0.5,
        _poses(frames, cameras, state.rotation, state.position),
        torch.rad2deg(drift).unflatten(0, (-1, 3)),
        torch.rad2deg(deviation).unflatten(0, (-1, 3)),
        _spread(frames, cameras, view),
    )


def _poses(frames: Problem, cameras: Cameras, rotation: Tensor, position: Tensor) -> PoseSolution:
    """The object's in each frame, as known cameras see it, near a rotation and a position."""
    count = len(frames.points)
    own = frames.pixels[:, :, :count], frames.weight[:, :, :count]
    return refine(frames.points, *own, cameras, rotation, position, iterations=5)


def _spread(frames: Problem, cameras: Cameras, view: Linearization) -> Tensor:
    """(N,) pixels: of the object's points in each frame."""
    count = len(frames.points)
    off = torch.linalg.vector_norm(view.residual[:, :, :count], dim=-1).median(dim=-1).values
    scale = frames.weight[:, :, :count].clamp_min(1e-12).rsqrt()
    return Views(cameras, scale, off).spread


def _sandwich(matrix: Tensor, gradient: Tensor, prior: Tensor) -> Tensor:
    """Covariance (m, m) where frames with gradients (N, m) at the solution say ``matrix`` (m, m) in all.

    What frames say varies by more or less than their pixels' scales promise. With few frames that cannot be told from
    them, and the promise is kept.
    """
    frames = len(gradient)
    shown = (gradient - gradient.mean(dim=0)).mT @ gradient * (frames / max(frames - 1, 1))
    said = (frames * shown + _PRIOR_FRAMES * matrix) / (frames + _PRIOR_FRAMES)
    inverse = torch.linalg.inv_ex(matrix + prior)[0]
    covariance: Tensor = inverse @ (said + prior) @ inverse
    return covariance


def _trend(matrix: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """By how much (m,) parameters change evenly from the first frame to the last, and its deviation, (m,) each: one
    Gauss-Newton step from no change; frames' matrices (N, m, m) and gradients (N, m)."""
    time = torch.linspace(-0.5, 0.5, len(gradient), dtype=gradient.dtype, device=gradient.device)
    scores = gradient * time[:, None]
    weighted = (matrix * time.square()[:, None, None]).sum(dim=0)
    inverse = torch.linalg.pinv(weighted, hermitian=True)
    return -inverse @ scores.sum(dim=0), (inverse @ (scores.mT @ scores) @ inverse).diagonal().clamp_min(0).sqrt()
