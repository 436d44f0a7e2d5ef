"""The pose when only the nominal cameras are known: pose, cameras and wrist found together.

A camera that is turned by one degree shifts the object by some 14 mm, so each camera's displacement has to be found in
the picture. The hand's landmarks (:mod:`vision.scene.landmarks`) tell most of it, the object's own corners, whose true
distances are known, the rest. What is sought is the most probable set of

- the object's pose (6 numbers),
- the wrist's angles (2),
- for each camera a turn about its centre, a shift and a zoom (7),

given all pixels with their scales, and how cameras are displaced (:class:`Displacement`) and wrists bent before any
pixel is seen. Levenberg-Marquardt in float64, each camera's seven numbers eliminated from the equations of the others
(the Schur complement, as in any bundle adjustment). Nothing gives NaN: what the pixels leave open stays where the prior
has it, and the returned deviations say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vision.scene.landmarks import Landmarks
from vision.solvers.bundle_problem import Displacement, PointObservations, Problem, State
from vision.solvers.triangulate import Cameras, PoseSolution, initial_pose, one_thread

_CONVERGED = 1e-3  # of the cost, in which 1/2 is one deviation: less than this is not worth another step
_LANDMARK_ITERATIONS = 4  # with no object yet: enough to bring 40 pixels down to one


@dataclass(frozen=True)
class BundleSolution:
    """What was found: the object's pose, the cameras as they are, the wrist's angles (B, P) in radians."""

    pose: PoseSolution
    cameras: Cameras
    angles: Tensor


def solve_bundle(
    points: Tensor,
    corners: PointObservations,
    landmarks: Landmarks,
    seen: PointObservations,
    nominal: Cameras,
    image_size: int,
    anchor: Tensor,
    displacement: Displacement | None = None,
    iterations: int = 6,
) -> BundleSolution:
    """The pose, cameras and wrist that explain the pixels best.

    Args:
        points: (K, 3) metres, in the object's frame.
        corners: where each camera sees them.
        landmarks: of the hand.
        seen: where each camera sees those.
        nominal: where the cameras should be.
        image_size: height of the images in pixels.
        anchor: (3,) metres, world: where the object usually is.
        displacement: of the cameras; as in Table 9 when None.
        iterations: of the refinement.
    """
    with one_thread():
        problem = Problem(points.double(), corners, landmarks, seen, nominal.double(), image_size, displacement)
        state = problem.start()
        state, _ = _minimize(problem, state, problem.without_object(), _LANDMARK_ITERATIONS)
        count = len(points)
        rotation, position = initial_pose(
            problem.points, problem.pixels[:, :, :count], problem.weight[:, :, :count], problem.cameras(state),
            anchor.double(),
        )  # fmt: skip
        state = state._replace(rotation=rotation, position=position)
        state, cost = _minimize(problem, state, problem.weight, iterations)
        return BundleSolution(_solution(problem, state, cost), problem.cameras(state), state.angles)


def _minimize(problem: Problem, state: State, weight: Tensor, iterations: int) -> tuple[State, Tensor]:
    """The state of lowest cost near ``state`` and that cost (B,)."""
    damping = torch.full_like(state.position[:, 0], 1e-3)
    view = problem.view(state)
    cost = problem.cost(state, view, weight)
    for _ in range(iterations):
        moved = problem.step(state, view, weight, damping)
        moved_view = problem.view(moved)
        moved_cost = problem.cost(moved, moved_view, weight)
        better = moved_cost < cost
        if bool(better.all()):
            converged = bool((cost - moved_cost < _CONVERGED).all())
            state, view, cost = moved, moved_view, moved_cost
            if converged:
                break
        else:
            chosen = (torch.where(_like(better, old), new, old) for new, old in zip(moved, state, strict=True))
            state = State(*chosen)
            view = problem.view(state)
            cost = torch.where(better, moved_cost, cost)
        damping = torch.where(better, damping / 5, damping * 5).clamp(1e-9, 1e6)
    return state, cost


def _solution(problem: Problem, state: State, cost: Tensor) -> PoseSolution:
    """The pose, and deviations that grow where pixels are further off than their scales say."""
    variance = problem.pose_variance(state).unflatten(-1, (2, 3)).mean(dim=-1)
    excess = (2.0 * cost / (problem.weight > 0).sum(dim=(1, 2)).clamp_min(1)).clamp_min(1.0)
    deviation = (variance * excess[:, None]).clamp_min(0).sqrt()
    return PoseSolution(state.position, state.rotation, deviation[:, 0], deviation[:, 1])


def _like(flags: Tensor, tensor: Tensor) -> Tensor:
    return flags.view(-1, *[1] * (tensor.ndim - 1))
