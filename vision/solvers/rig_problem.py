"""The least-squares problem of :mod:`vision.solvers.self_calibration`: the numbers that frames share, their residuals,
and a step that reduces the cost."""

from __future__ import annotations

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras, camera_centres_torch
from vision.solvers.bundle_problem import Equations, Linearization, Problem, State, camera_numbers, damped, moved
from vision.statistics.medians import lower_median

_DISTORTION_DEVIATION = 0.3  # prior standard deviation of k1


class RigState(NamedTuple):
    """What all frames share: rotation (C, 3, 3), translation (C, 3) and logarithm of the zoom (C) of the cameras, and
    additional numbers (C, E)."""

    camera_rotation: Tensor
    camera_translation: Tensor
    log_zoom: Tensor
    further: Tensor


class RigProblem:
    """All frames and what they share; constant during optimization.

    Args:
        frames: the problem of all frames, in which cameras have no prior.
        precision: (C, 7) of the cameras (:meth:`vision.solvers.given.CameraPrior.precision`).
        landmark_offset: pixels, standard deviation of a landmark's detection offset that is the same in all frames; 0
            for none.
        distortion: whether to estimate each camera's radial distortion, too.
        shrinkage: (C,) standard deviation of the fraction by which a camera's detections of the object's points are
            too far from their middle in all frames alike; zeros for none.

    Attributes:
        cameras: number of cameras, C.
        precision: (C, 7 + E) of the cameras' numbers, additional ones included.
    """

    def __init__(
        self, frames: Problem, precision: Tensor, landmark_offset: float, distortion: bool, shrinkage: Tensor
    ) -> None:
        self.frames, self.cameras, self.distortion = frames, len(precision), distortion
        count = len(frames.points)
        hand = frames.seen.weight.shape[2] - count
        offsets = 2 * (hand + 1) if landmark_offset > 0 else 0  # one for each landmark, and one for all together
        numbers = [precision, precision.new_full((self.cameras, offsets), max(landmark_offset, 1e-9) ** -2)]
        self.shrinks = bool((shrinkage > 0).any())
        if self.shrinks:
            numbers.append(shrinkage[:, None].clamp_min(1e-6) ** -2)
        if distortion:  # the last one
            numbers.append(precision.new_full((self.cameras, 1), _DISTORTION_DEVIATION**-2))
        self.precision = torch.cat(numbers, dim=1)  # (C, 7 + E)
        by_offset = precision.new_zeros(count + hand, 2, offsets)
        for landmark in range(hand if offsets else 0):
            for axis in range(2):
                by_offset[count + landmark, axis, [2 * landmark + axis, 2 * hand + axis]] = 1.0
        self.by_offset = by_offset.flatten(0, 1)  # (2 P, offsets)

    def shared(self, cameras: Cameras) -> RigState:
        """Return what the frames' cameras (N, C, ...) have in common: the median of each number."""
        nominal = self.frames.nominal
        rotation = cameras.extrinsics[..., :3, :3].mT @ nominal.extrinsics[..., :3, :3]
        centre = camera_centres_torch(cameras.extrinsics)
        log_zoom = (cameras.intrinsics[..., 0, 0] / nominal.intrinsics[..., 0, 0]).log()
        vector = lower_median(roma.rotmat_to_rotvec(rotation), dim=0)
        further = log_zoom.new_zeros(self.cameras, self.precision.shape[1] - 7)
        translation = lower_median(centre - self.frames.centre, dim=0)
        return RigState(roma.rotvec_to_rotmat(vector), translation, lower_median(log_zoom, dim=0), further)

    def state(self, body: State, rig: RigState) -> State:
        """Return the frames' state with the shared cameras."""
        count = len(body.angles)
        rotation, translation, log_zoom = (tensor.expand(count, *tensor.shape) for tensor in rig[:3])
        return body._replace(camera_rotation=rotation, camera_translation=translation, log_zoom=log_zoom)

    def linearize(self, state: State, rig: RigState) -> tuple[Linearization, Tensor | None]:
        """Linearise the frames; also return the derivatives by the cameras' additional numbers, (N, C, 2 P, E)."""
        view = self.frames.linearize(state)
        if not rig.further.shape[1]:
            return view, None
        more = self.by_offset.expand(*view.residual.shape[:2], -1, -1)
        if self.shrinks:
            about = view.off_axis.clone()
            count = len(self.frames.points)
            about[:, :, :count] -= about[:, :, :count].mean(dim=2, keepdim=True)
            about[:, :, count:] = 0.0
            more = torch.cat([more, about.flatten(2)[..., None]], dim=-1)
        if self.distortion:
            radial = (view.off_axis * view.slope.square().sum(dim=-1, keepdim=True)).flatten(2)
            more = torch.cat([more, radial[..., None]], dim=-1)
        off = (more @ rig.further[:, :, None]).squeeze(-1).unflatten(-1, (-1, 2))
        return view._replace(residual=view.residual + off), more

    def cost(self, state: State, rig: RigState, view: Linearization) -> Tensor:
        """Return half the squared residuals of all frames' pixels and of the rig's numbers that have a prior."""
        pixels = self.frames.cost(state, view, self.frames.seen.weight).sum()
        return pixels + 0.5 * (self.numbers(rig).square() * self.precision).sum()

    def numbers(self, rig: RigState) -> Tensor:
        """Return the rig's numbers (C, 7 + E), zero for nominal cameras."""
        return torch.cat(
            [camera_numbers(rig.camera_rotation, rig.camera_translation, rig.log_zoom), rig.further], dim=1
        )

    def equations(self, state: State, view: Linearization, more: Tensor | None) -> Equations:
        """Return gradients and matrices of each frame, as :meth:`vision.solvers.bundle_problem.Problem.equations`
        does."""
        return self.frames.equations(state, view, self.frames.seen.weight, more)

    def step(self, state: State, rig: RigState, found: Equations, damping: float) -> tuple[State, RigState]:
        """Take a damped Gauss-Newton step, which may increase the cost."""
        each, every = (found.gradient.new_full((count,), damping) for count in (len(found.gradient), self.cameras))
        matrix, coupling = damped(found.matrix, each), found.coupling.transpose(1, 2).flatten(2)  # (N, n, C m)
        solved = torch.linalg.solve_ex(matrix, torch.cat([coupling, found.gradient[..., None]], dim=-1))[0]
        own = damped(found.camera_matrix.sum(dim=0) + torch.diag_embed(self.precision), every)
        gradient = found.camera_gradient.sum(dim=0) + self.numbers(rig) * self.precision
        reduced = torch.block_diag(*own) - coupling.flatten(0, 1).mT @ solved[..., :-1].flatten(0, 1)
        right = gradient.flatten() - coupling.flatten(0, 1).mT @ solved[..., -1].flatten()
        shared = -torch.linalg.solve_ex(reduced, right)[0]
        step = -(solved[..., -1] + solved[..., :-1] @ shared)
        shared = shared.unflatten(0, (self.cameras, -1))
        state = moved(state, step, shared.expand(len(step), -1, -1))
        cameras = state.camera_rotation[0], state.camera_translation[0], state.log_zoom[0]
        return state, RigState(*cameras, rig.further + shared[:, 7:])
