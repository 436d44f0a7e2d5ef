"""The pose that explains the pixels best, with cameras that are known or found together with it.

A camera that is turned by one degree shifts the object by some 14 mm, so where only nominal cameras are known, each
camera's displacement has to be found in the picture. The hand's landmarks (:mod:`vision.scene.landmarks`) tell most of
it, the object's own corners, whose true distances are known, the rest. What is sought is the most probable set of

- the object's pose (6 numbers),
- and, where cameras are free, the wrist's angles (2) and for each camera a turn about its centre, a shift and a zoom
  (7),

given all pixels with their scales, and how cameras are displaced (:class:`vision.solvers.given.Displacement`) and
wrists bent before any pixel is seen. Levenberg-Marquardt in float64, each camera's seven numbers eliminated from the
equations of the others (the Schur complement, as in any bundle adjustment). Nothing gives NaN: what the pixels leave
open stays where the prior has it, and the returned deviations say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.hardware import one_thread
from vision.solvers.bundle_problem import Problem, State
from vision.solvers.given import Displacement, PointObservations, Subject
from vision.solvers.look_alikes import agree
from vision.solvers.triangulate import PoseSolution, initial_pose, with_weights

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation: less than this is not worth another step
_LANDMARK_ITERATIONS = 4  # with no object yet: enough to bring 40 pixels down to one


@dataclass(frozen=True)
class BundleSolution:
    """What was found: the object's pose, the cameras as they are, the wrist's angles (B, P) in radians."""

    pose: PoseSolution
    cameras: Cameras
    angles: Tensor


def solve_pose(
    points: Tensor,
    pixels: Tensor,
    scale: Tensor,
    cameras: Cameras,
    anchor: Tensor,
    iterations: int = 10,
    permutations: Tensor | None = None,
) -> PoseSolution:
    """The pose that explains the pixels of known cameras best.

    Starts from the triangulation of all cameras and, with three or more, of all but each one: when one camera mistakes
    the body's orientation, a start without it wins.

    Args:
        points: (K, 3) metres, in the body's frame. Of points on one line the turn about it is arbitrary.
        pixels: (B, C, K, 2) where each camera sees them.
        scale: (B, C, K) pixels, the expected error of each.
        cameras: the cameras that saw them.
        anchor: (3,) metres, world: where the body usually is.
        iterations: of the refinement.
        permutations: (S, K) of a body with symmetries, which each camera may see in another pose that looks the same.
    """
    pixels, weight = with_weights(pixels, scale)
    points, anchor, cameras = points.double(), anchor.double(), cameras.double()
    with one_thread():
        if permutations is not None:
            pixels, weight = agree(points, pixels, weight, cameras, anchor, permutations)
        start = initial_pose(points, pixels, weight, cameras, anchor)
        return refine(points, pixels, weight, cameras, *start, iterations)


def refine(
    points: Tensor,
    pixels: Tensor,
    weight: Tensor,
    cameras: Cameras,
    rotation: Tensor,
    position: Tensor,
    iterations: int,
    tolerance: float = _CONVERGED,
) -> PoseSolution:
    """The pose of least robust (Cauchy) reprojection error near ``rotation`` (B, 3, 3) and ``position`` (B, 3).

    Float64, ``weight`` (B, C, K) in 1 / pixels^2, else as in :func:`solve_pose`; a step that changes the cost by less
    than ``tolerance`` is the last.
    """
    problem = Problem(points, pixels, weight, cameras)
    state = problem.start()._replace(rotation=rotation, position=position)
    state, cost = _minimize(problem, state, weight, iterations, tolerance)
    return _solution(problem, state, cost)


def solve_bundle(
    subject: Subject, corners: PointObservations, seen: PointObservations, nominal: Cameras, iterations: int = 6
) -> BundleSolution:
    """The pose, cameras and wrist that explain the pixels best, where cameras are displaced as in Table 9.

    Args:
        subject: what the cameras watch.
        corners: where each camera sees the object's points.
        seen: where each camera sees the hand's landmarks.
        nominal: where the cameras should be, and the height of their images.
        iterations: of the refinement.
    """
    with one_thread():
        subject, nominal = subject.double(), nominal.double()
        points, landmarks, anchor, permutations = subject
        count = len(points)
        pixels, weight = with_weights(*(torch.cat(pair, dim=2) for pair in zip(corners, seen, strict=True)))
        precision = Displacement().precision(nominal)
        problem = Problem(points, pixels, weight, nominal, precision, landmarks)
        state, _ = _minimize(problem, problem.start(), problem.without_object(), _LANDMARK_ITERATIONS)
        if permutations is not None:
            seen_as = pixels[:, :, :count], weight[:, :, :count]
            found = agree(points, *seen_as, problem.cameras(state), anchor, permutations)
            pixels, weight = (
                torch.cat([renamed, whole[:, :, count:]], dim=2)
                for renamed, whole in zip(found, (pixels, weight), strict=True)
            )
            problem = Problem(points, pixels, weight, nominal, precision, landmarks)
        rotation, position = initial_pose(
            points, pixels[:, :, :count], weight[:, :, :count], problem.cameras(state), anchor
        )
        state = state._replace(rotation=rotation, position=position)
        state, cost = _minimize(problem, state, weight, iterations)
        return BundleSolution(_solution(problem, state, cost), problem.cameras(state), state.angles)


def _minimize(
    problem: Problem, state: State, weight: Tensor, iterations: int, tolerance: float = _CONVERGED
) -> tuple[State, Tensor]:
    """The state of lowest cost near ``state`` and that cost (B,)."""
    damping = torch.full_like(state.position[:, 0], 1e-3)
    view = problem.linearize(state)
    cost = problem.cost(state, view, weight)
    for _ in range(iterations):
        moved = problem.step(state, view, weight, damping)
        moved_view = problem.linearize(moved)
        moved_cost = problem.cost(moved, moved_view, weight)
        better = moved_cost < cost
        converged = bool(((cost - moved_cost).abs() < tolerance).all())
        if bool(better.all()):
            state, view, cost = moved, moved_view, moved_cost
        else:
            chosen = (torch.where(_like(better, old), new, old) for new, old in zip(moved, state, strict=True))
            state = State(*chosen)
            view = problem.linearize(state)
            cost = torch.where(better, moved_cost, cost)
        if converged:
            break
        damping = torch.where(better, damping / 5, damping * 5).clamp(1e-9, 1e6)
    return state, cost


def _solution(problem: Problem, state: State, cost: Tensor) -> PoseSolution:
    """The pose, and a covariance that grows where pixels are further off than their scales say."""
    excess = (2.0 * cost / (problem.weight > 0).sum(dim=(1, 2)).clamp_min(1)).clamp_min(1.0)
    return PoseSolution(state.position, state.rotation, problem.covariance(state) * excess[:, None, None])


def _like(flags: Tensor, tensor: Tensor) -> Tensor:
    return flags.view(-1, *[1] * (tensor.ndim - 1))
