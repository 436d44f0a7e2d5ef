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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.hardware import one_thread
from vision.scene.landmarks import Landmarks
from vision.solvers.bundle import refine, solve_bundle
from vision.solvers.bundle_problem import (
    Displacement,
    Equations,
    Linearization,
    PointObservations,
    Problem,
    State,
    camera_numbers,
    damped,
    moved,
)
from vision.solvers.look_alikes import named_by
from vision.solvers.triangulate import PoseSolution, with_weights
from vision.solvers.views import Views

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation
_DISTORTION_DEVIATION = 0.3  # of k1, before any pixel is seen
_PRIOR_FRAMES = 20  # how many frames the model's own covariance counts for against what frames show
_MOST_TURN = math.radians(0.6)  # deviation of a camera's turn that is still left; a triplet leaves about 0.3 degrees
_ANGLES = 0.01  # of the weight of the wrist's usual angles: a recording may keep to others, in all frames alike
_LEAST_WEIGHT = 1e-2  # 1 / pixels^2: a point found worse than to 10 pixels was not seen


class RigState(NamedTuple):
    """Shared by all frames: turn (C, 3, 3), shift (C, 3), zoom (C), and further numbers (C, E)."""

    turn: Tensor
    shift: Tensor
    zoom: Tensor
    further: Tensor


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
    points: Tensor,
    corners: PointObservations,
    landmarks: Landmarks,
    seen: PointObservations,
    nominal: Cameras,
    height: Tensor | int,
    anchor: Tensor,
    displacement: Displacement | None = None,
    landmark_offset: float = 0.0,
    distortion: bool = False,
    iterations: int = 30,
    permutations: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> RigSolution:
    """The cameras that explain all frames best.

    Args:
        points: (K, 3) metres, in the object's frame.
        corners: where each camera sees them, in N frames.
        landmarks: of the hand.
        seen: where each camera sees those.
        nominal: where the cameras should be, (C, 3, 3) and (C, 4, 4).
        height: of the images in pixels, one for all or (C,).
        anchor: (3,) metres, world: where the object usually is.
        displacement: of the cameras; as in Table 9 when None.
        landmark_offset: pixels, standard deviation of what detections of a landmark are off in all frames alike.
        distortion: whether also the radial distortion of each camera is sought.
        iterations: at most.
        permutations: as in :func:`vision.solvers.bundle.solve_pose`.
        names: of the cameras, for messages; their numbers from 1 when None.

    Raises:
        DactylError: the frames leave a camera open; it says which, and what is missing.
    """
    frames = len(corners.pixels)
    if not frames:
        raise DactylError("self-calibration: no triplets; record the hand at work, some hundred triplets")
    one = Cameras(nominal.intrinsics.double()[None], nominal.extrinsics.double()[None])
    nominal = Cameras(*(tensor.expand(frames, -1, -1, -1) for tensor in one[:2]))
    with one_thread():
        first = solve_bundle(
            points, corners, landmarks, seen, nominal, height, anchor, displacement, permutations=permutations
        )
        named, hand = with_weights(*corners), with_weights(*seen)
        if permutations is not None:
            pose = first.pose.rotation, first.pose.position
            named = named_by(points.double(), *named, first.cameras, *pose, permutations)
        pixels, weight = (torch.cat(pair, dim=2) for pair in zip(named, hand, strict=True))
        precision = (displacement or Displacement()).precision(one, height)[0]
        nothing = torch.zeros_like(precision)  # in a single frame; the recording has its prior once
        problem = Problem(points.double(), pixels, weight, nominal, nothing, landmarks)
        problem.body_precision = problem.body_precision * _ANGLES
        bundle = _Bundle(problem, precision, landmark_offset, distortion)
        rig = bundle.shared(first.cameras)
        cameras = problem.cameras(bundle.state(problem.start(), rig))
        found = refine(
            problem.points,
            pixels[:, :, : len(points)],
            weight[:, :, : len(points)],
            cameras,
            first.pose.rotation,
            first.pose.position,
            5,
        )
        body = problem.start()._replace(rotation=found.rotation, position=found.position, angles=first.angles)
        solution = bundle.solve(body, rig, iterations)
    _refuse_open(solution, weight, len(points), names or [str(number + 1) for number in range(weight.shape[1])])
    return solution


def _refuse_open(solution: RigSolution, weight: Tensor, count: int, names: Sequence[str]) -> None:
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
            f"self-calibration: {len(weight)} triplets leave camera {names[camera]} open to "
            f"{math.degrees(deviation):.2f} degrees: it shows "
            + (" and ".join(missing) if missing else "hand and object, but too few or too uncertain")
            + "; record more triplets in which every camera sees the forearm and the moving object"
        )


class _Bundle:
    """All frames and what they share."""

    def __init__(self, problem: Problem, precision: Tensor, landmark_offset: float, distortion: bool) -> None:
        self.problem, self.cameras, self.distortion = problem, len(precision), distortion
        self.count = len(problem.points)
        hand = problem.pixels.shape[2] - self.count
        self.offsets = 2 * (hand + 1) if landmark_offset > 0 else 0  # of each landmark, and of all of them together
        further = precision.new_full((self.cameras, self.offsets), max(landmark_offset, 1e-9) ** -2)
        if distortion:
            further = torch.cat([further, precision.new_full((self.cameras, 1), _DISTORTION_DEVIATION**-2)], dim=1)
        self.precision = torch.cat([precision, further], dim=1)  # (C, 7 + E)
        by_offset = precision.new_zeros(self.count + hand, 2, self.offsets)
        for landmark in range(hand if self.offsets else 0):
            for axis in range(2):
                by_offset[self.count + landmark, axis, [2 * landmark + axis, 2 * hand + axis]] = 1.0
        self.by_offset = by_offset.flatten(0, 1)  # (2 P, offsets)

    def shared(self, cameras: Cameras) -> RigState:
        """What the frames' cameras (N, C, ...) have in common: the median of each number."""
        nominal = self.problem.nominal
        turn = cameras.extrinsics[..., :3, :3].mT @ nominal.extrinsics[..., :3, :3]
        centre = -(cameras.extrinsics[..., :3, :3].mT @ cameras.extrinsics[..., :3, 3:]).squeeze(-1)
        zoom = (cameras.intrinsics[..., 0, 0] / nominal.intrinsics[..., 0, 0]).log()
        vector = roma.rotmat_to_rotvec(turn).median(dim=0).values
        further = zoom.new_zeros(self.cameras, self.precision.shape[1] - 7)
        shift = (centre - self.problem.centre).median(dim=0).values
        return RigState(roma.rotvec_to_rotmat(vector), shift, zoom.median(dim=0).values, further)

    def state(self, body: State, rig: RigState) -> State:
        """Frames with the cameras that they share."""
        frames = len(body.position)
        turn, shift, zoom = (tensor.expand(frames, *tensor.shape) for tensor in rig[:3])
        return body._replace(turn=turn, shift=shift, zoom=zoom)

    def linearize(self, state: State, rig: RigState) -> tuple[Linearization, Tensor | None]:
        """Linearise the frames: where everything is seen, and the derivatives by the cameras' further numbers,
        (N, C, 2 P, E)."""
        view = self.problem.linearize(state)
        if not rig.further.shape[1]:
            return view, None
        more = self.by_offset.expand(*view.residual.shape[:2], -1, -1)
        if self.distortion:
            radial = (view.off_axis * view.slope.square().sum(dim=-1, keepdim=True)).flatten(2)
            more = torch.cat([more, radial[..., None]], dim=-1)
        off = (more @ rig.further[:, :, None]).squeeze(-1).unflatten(-1, (-1, 2))
        return view._replace(residual=view.residual + off), more

    def cost(self, state: State, rig: RigState, view: Linearization) -> Tensor:
        frames = self.problem.cost(state, view, self.problem.weight).sum()
        return frames + 0.5 * (self.numbers(rig).square() * self.precision).sum()

    def numbers(self, rig: RigState) -> Tensor:
        """(C, 7 + E), zero for nominal cameras."""
        zeros = rig.zoom.new_zeros(1, 0)
        state = State(zeros, zeros, zeros, rig.turn[None], rig.shift[None], rig.zoom[None])
        return torch.cat([camera_numbers(state)[0], rig.further], dim=1)

    def solve(self, body: State, rig: RigState, iterations: int) -> RigSolution:
        state, damping = self.state(body, rig), 1e-3
        view, more = self.linearize(state, rig)
        cost = self.cost(state, rig, view)
        for _ in range(iterations):
            found = self.problem.equations(state, view, self.problem.weight, more)
            after, moved_rig = self.step(state, rig, found, damping)
            moved_view, moved_more = self.linearize(after, moved_rig)
            moved_cost = self.cost(after, moved_rig, moved_view)
            gain = float(cost - moved_cost)
            if gain > 0:
                state, rig, view, more, cost = after, moved_rig, moved_view, moved_more, moved_cost
            damping = min(max(damping / 5 if gain > 0 else damping * 5, 1e-9), 1e6)
            if abs(gain) < _CONVERGED:
                break
        return self.solution(state, rig, view, self.problem.equations(state, view, self.problem.weight, more))

    def step(self, state: State, rig: RigState, found: Equations, damping: float) -> tuple[State, RigState]:
        """A damped Gauss-Newton step, which may be for the worse."""
        each = found.gradient.new_full((len(found.gradient),), damping)
        matrix, coupling = damped(found.matrix, each), found.coupling.transpose(1, 2).flatten(2)  # (N, n, C m)
        solved = torch.linalg.solve_ex(matrix, torch.cat([coupling, found.gradient[..., None]], dim=-1))[0]
        own = damped(found.camera_matrix.sum(dim=0) + torch.diag_embed(self.precision), each[: self.cameras])
        gradient = found.camera_gradient.sum(dim=0) + self.numbers(rig) * self.precision
        reduced = torch.block_diag(*own) - coupling.flatten(0, 1).mT @ solved[..., :-1].flatten(0, 1)
        right = gradient.flatten() - coupling.flatten(0, 1).mT @ solved[..., -1].flatten()
        shared = -torch.linalg.solve_ex(reduced, right)[0]
        step = -(solved[..., -1] + solved[..., :-1] @ shared)
        shared = shared.unflatten(0, (self.cameras, -1))
        state = moved(state, step, shared.expand(len(step), -1, -1))
        return state, RigState(state.turn[0], state.shift[0], state.zoom[0], rig.further + shared[:, 7:])

    def solution(self, state: State, rig: RigState, view: Linearization, found: Equations) -> RigSolution:
        coupling = found.coupling.transpose(1, 2).flatten(2)
        eye = 1e-9 * torch.eye(found.matrix.shape[-1], dtype=coupling.dtype, device=coupling.device)
        solved = torch.linalg.solve_ex(found.matrix + eye, torch.cat([coupling, found.gradient[..., None]], dim=-1))[0]
        # What each frame says of the cameras once its own pose is eliminated: matrix (N, m, m) and gradient (N, m).
        matrix = torch.stack([torch.block_diag(*one) for one in found.camera_matrix]) - coupling.mT @ solved[..., :-1]
        gradient = found.camera_gradient.flatten(1) - (coupling.mT @ solved[..., -1:]).squeeze(-1)
        prior = torch.diag(self.precision.flatten())
        covariance = _sandwich(matrix.sum(dim=0), gradient, prior)
        size = self.precision.shape[1]
        seven = torch.cat([torch.arange(7) + size * camera for camera in range(self.cameras)])
        cameras = self.problem.cameras(state)
        count = self.count
        poses = refine(
            self.problem.points, self.problem.pixels[:, :, :count], self.problem.weight[:, :, :count],
            cameras, state.rotation, state.position, 5,
        )  # fmt: skip
        turns = torch.cat([torch.arange(3) + size * camera for camera in range(self.cameras)])
        drift, deviation = _trend(matrix[:, turns][:, :, turns], gradient[:, turns])
        return RigSolution(
            Cameras(cameras.intrinsics[0], cameras.extrinsics[0]),
            rig.further[:, -1] if self.distortion else torch.zeros_like(rig.zoom),
            covariance[seven][:, seven],
            self.precision[:, :7] ** -0.5,
            poses,
            torch.rad2deg(drift).unflatten(0, (-1, 3)),
            torch.rad2deg(deviation).unflatten(0, (-1, 3)),
            self.spread(cameras, view),
        )

    def spread(self, cameras: Cameras, view: Linearization) -> Tensor:
        """(N,) pixels: of the object's points in each frame."""
        off = torch.linalg.vector_norm(view.residual[:, :, : self.count], dim=-1).median(dim=-1).values
        scale = self.problem.weight[:, :, : self.count].clamp_min(1e-12).rsqrt()
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
