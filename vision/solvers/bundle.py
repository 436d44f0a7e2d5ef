"""The pose that best explains the pixels, with cameras that are known or estimated jointly with it.

A camera that is rotated by one degree shifts the object by some 14 mm, so with nominal cameras only, each camera's
displacement has to be estimated from the image. Most of it follows from the hand's landmarks
(:mod:`vision.scene.landmarks`), the rest from the object's own corners, whose true distances are known. The solver
finds the most probable set of

- the object's pose (6 numbers),
- and, where cameras are free, the wrist's angles (2) and for each camera a rotation about its centre, a translation and
  a zoom (7),

given all pixels with their scales and the priors of camera displacements (:class:`vision.solvers.given.CameraPrior`)
and wrist angles. Levenberg-Marquardt in float64; each camera's seven numbers are eliminated from the equations of the
others (the Schur complement, as in any bundle adjustment). No input gives NaN: whatever the pixels do not determine
stays at its prior, and the returned deviations show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.machine.hardware import one_thread
from vision.solvers.bundle_problem import Problem, State
from vision.solvers.given import CameraPrior, PointObservations, Subject, WeightedPixels
from vision.solvers.lines import line_through, mirrored
from vision.solvers.look_alikes import agree
from vision.solvers.triangulate import PoseSolution, initial_pose

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation: a smaller change ends the iterations
_LANDMARK_ITERATIONS = 4  # without the object: enough to reduce 40 pixels to one
_LEAST_SHOWN = 0.25  # of the promised variance: a few residuals that happen to be small show nothing


@dataclass(frozen=True)
class BundleSolution:
    """The object's pose, the cameras as estimated, and the wrist's angles (B, P) in radians."""

    object: PoseSolution
    cameras: Cameras
    angles: Tensor


def solve_pose(
    points: Tensor,
    corners: PointObservations,
    cameras: Cameras,
    anchor: Tensor,
    iterations: int = 10,
    permutations: Tensor | None = None,
) -> PoseSolution:
    """Find the pose that best explains the pixels of known cameras.

    Starts from the triangulation of all cameras and, with three or more, of all but each one: when one camera mistakes
    the body's orientation, a start without it wins.

    Args:
        points: (K, 3) metres, body frame. If they lie on one line, the rotation about it is arbitrary.
        corners: observations of the points in each camera.
        cameras: the cameras that took them.
        anchor: (3,) metres, world: the body's usual position.
        iterations: maximum number of refinement iterations.
        permutations: (S, K) of a body with symmetries, which each camera may see in another pose that looks the same.
    """
    seen = corners.weighted()
    points, anchor, cameras = points.double(), anchor.double(), cameras.double()
    with one_thread():
        if permutations is not None:
            seen = agree(points, seen, cameras, anchor, permutations)
        problem = Problem(points, seen, cameras)
        state = problem.start()._replace(pose=initial_pose(points, seen, cameras, anchor))
        return _solution(problem, *_minimize_from_both_sides(problem, state, seen.weight, iterations))


def refine(points: Tensor, seen: WeightedPixels, cameras: Cameras, start: Pose, iterations: int) -> PoseSolution:
    """Find the poses of least robust (Cauchy) reprojection error near the B of ``start``.

    Float64, otherwise as in :func:`solve_pose`.
    """
    problem = Problem(points, seen, cameras)
    state = problem.start()._replace(pose=start)
    return _solution(problem, *_minimize(problem, state, seen.weight, iterations))


def solve_bundle(
    subject: Subject, corners: PointObservations, seen: PointObservations, nominal: Cameras, iterations: int = 6
) -> BundleSolution:
    """Find the pose, cameras and wrist angles that best explain the pixels, with cameras displaced as in Table 9.

    Args:
        subject: what the cameras watch.
        corners: observations of the object's points in each camera.
        seen: observations of the hand's landmarks in each camera.
        nominal: the nominal cameras, with the height of their images.
        iterations: maximum number of refinement iterations.
    """
    with one_thread():
        subject, nominal = subject.double(), nominal.double()
        points, landmarks, anchor, permutations = subject
        count = len(points)
        both = PointObservations(*(torch.cat(pair, dim=2) for pair in zip(corners, seen, strict=True))).weighted()
        precision = CameraPrior().precision(nominal)
        problem = Problem(points, both, nominal, precision, landmarks)
        state, _ = _minimize(problem, problem.start(), problem.without_object(), _LANDMARK_ITERATIONS)
        if permutations is not None:
            found = agree(points, both.first(count), problem.cameras(state), anchor, permutations)
            pairs = zip(found, both, strict=True)
            both = WeightedPixels(*(torch.cat([renamed, whole[:, :, count:]], dim=2) for renamed, whole in pairs))
            problem = Problem(points, both, nominal, precision, landmarks)
        state = state._replace(pose=initial_pose(points, both.first(count), problem.cameras(state), anchor))
        state, cost = _minimize_from_both_sides(problem, state, both.weight, iterations)
        return BundleSolution(_solution(problem, state, cost), problem.cameras(state), state.angles)


def _minimize_from_both_sides(problem: Problem, state: State, weight: Tensor, iterations: int) -> tuple[State, Tensor]:
    """Return the same as :func:`_minimize`; for points on a line, the better of two starts, as one image shows them
    nearly alike in two poses (:mod:`vision.solvers.lines`)."""
    state, cost = _minimize(problem, state, weight, iterations)
    if (line := line_through(problem.points)) is None:
        return state, cost
    of_object, cameras = weight[:, :, : len(problem.points)], problem.cameras(state)
    turned = state._replace(pose=mirrored(line, of_object, cameras, state.pose))
    other, other_cost = _minimize(problem, turned, weight, iterations)
    better = other_cost < cost
    return _chosen(better, other, state), torch.where(better, other_cost, cost)


def _minimize(problem: Problem, state: State, weight: Tensor, iterations: int) -> tuple[State, Tensor]:
    """Return the state of lowest cost near ``state``, and that cost (B,).

    Each of the B stops when it has converged, whatever the others do: a pose does not depend on its batch.
    """
    damping = torch.full_like(state.pose.position[:, 0], 1e-3)
    view = problem.linearize(state)
    cost = problem.cost(state, view, weight)
    converged = torch.zeros_like(cost, dtype=torch.bool)
    for _ in range(iterations):
        moved = problem.step(state, view, weight, damping)
        moved_view = problem.linearize(moved)
        moved_cost = problem.cost(moved, moved_view, weight)
        better = (moved_cost < cost) & ~converged
        converged = converged | ((cost - moved_cost).abs() < _CONVERGED)
        if bool(better.all()):
            state, view, cost = moved, moved_view, moved_cost
        else:
            state = _chosen(better, moved, state)
            view = problem.linearize(state)
            cost = torch.where(better, moved_cost, cost)
        if bool(converged.all()):
            break
        damping = torch.where(better, damping / 5, damping * 5).clamp(1e-9, 1e6)
    return state, cost


def _solution(problem: Problem, state: State, cost: Tensor) -> PoseSolution:
    """Return the pose with its covariance: the geometric mean of the one that the scales promise and the one that the
    residuals show."""
    # Errors of the shipped networks grow with the fourth root of the residuals' mean square. With its root, which is
    # right if all scales are wrong by the same factor, confidences of the block were up to 21 points off instead of 17.
    shown = 2.0 * cost / (problem.seen.weight > 0).sum(dim=(1, 2)).clamp_min(1)
    factor = shown.clamp_min(_LEAST_SHOWN).sqrt()
    return PoseSolution(state.pose, problem.covariance(state) * factor[:, None, None])


def _chosen(flags: Tensor, new: State, old: State) -> State:
    """Return the new state where the flags (B,) are set, else the old one."""

    def chosen(now: Tensor, then: Tensor) -> Tensor:
        return torch.where(flags.view(-1, *[1] * (then.ndim - 1)), now, then)

    return State(Pose(*map(chosen, new.pose, old.pose)), *map(chosen, new[1:], old[1:]))
