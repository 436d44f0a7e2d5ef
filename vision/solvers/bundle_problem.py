"""The equations of :mod:`vision.solvers.bundle`: what is sought, what a state of it predicts, and a step to a better
one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from vision.scene.landmarks import Landmarks, locate
from vision.solvers.triangulate import CAUCHY_SCALE, Cameras, robust_cost, skew, with_weights

_TINY = 1e-9


@dataclass(frozen=True)
class Displacement:
    """Standard deviations of a true camera about the nominal one; the defaults are those of Table 9.

    Attributes:
        rotation: radians about each axis: up to 3 degrees about a random axis.
        position: metres along each axis: up to 1.5 mm.
        fovy: radians, vertical field of view: up to 1 degree.
    """

    rotation: float = math.radians(3.0) / 3
    position: float = 0.0015 / math.sqrt(3)
    fovy: float = math.radians(1.0) / math.sqrt(3)


class PointObservations(NamedTuple):
    """Where cameras see points: pixels (B, C, N, 2) and the expected error of each, (B, C, N) pixels."""

    pixels: Tensor
    scale: Tensor


class State(NamedTuple):
    """Of a batch: pose (B, 3, 3) and (B, 3), angles (B, P); turn (B, C, 3, 3), centre's shift (B, C, 3) and logarithm
    of the zoom (B, C) of each camera, world frame."""

    rotation: Tensor
    position: Tensor
    angles: Tensor
    turn: Tensor
    shift: Tensor
    zoom: Tensor


class Linearization(NamedTuple):
    """All points in a state, N = K + L of them.

    World: points (B, N, 3), arms (B, K, 3) of the object's, derivative (B, L, 3, P) of the landmarks by the angles.
    Cameras: world to camera (B, C, 3, 3), focal lengths (B, C, 2, 2). Points in cameras: from the centre (B, C, N, 3)
    in the world's axes, x / z and y / z (B, C, N, 2), z (B, C, N, 1), pixels from the principal point and from where
    the point was seen, (B, C, N, 2) each.
    """

    world: Tensor
    arm: Tensor
    derivative: Tensor
    turn: Tensor
    focal: Tensor
    ray: Tensor
    slope: Tensor
    depth: Tensor
    off_axis: Tensor
    residual: Tensor


class Problem:
    """Everything that stays the same while the state is sought. Object's points first, then landmarks: N = K + L."""

    def __init__(
        self,
        points: Tensor,
        corners: PointObservations,
        landmarks: Landmarks,
        seen: PointObservations,
        nominal: Cameras,
        image_size: int,
        displacement: Displacement | None,
    ) -> None:
        self.points, self.landmarks, self.nominal = points, landmarks, nominal
        self.pixels, self.weight = with_weights(*(torch.cat(pair, dim=2) for pair in zip(corners, seen, strict=True)))
        self.centre = -(nominal.extrinsics[..., :3, :3].mT @ nominal.extrinsics[..., :3, 3:]).squeeze(-1)
        prior = displacement or Displacement()
        half = image_size / 2 / nominal.intrinsics[..., 1, 1]  # tangent of half the field of view
        sine = 2 * half / (1 + half.square())  # d(log f) = d(fovy) / sin(fovy)
        deviations = (prior.rotation,) * 3 + (prior.position,) * 3
        fixed = points.new_tensor(deviations).expand(*sine.shape, 6)
        self.camera_precision = torch.cat([fixed, (prior.fovy / sine)[..., None]], dim=-1) ** -2  # (B, C, 7)
        limits = points.new_tensor(landmarks.limits)
        self.usual_angles = limits.mean(dim=1)
        spread = (limits[:, 1] - limits[:, 0]) / math.sqrt(12)  # of a uniform distribution
        self.body_precision = torch.cat([points.new_zeros(6), spread**-2])

    def start(self) -> State:
        """Nominal cameras, the usual wrist, no pose."""
        batch, cameras = self.pixels.shape[:2]
        zeros = self.pixels.new_zeros(batch, cameras, 3)
        eye = torch.eye(3, dtype=zeros.dtype, device=zeros.device)
        return State(
            eye.expand(batch, 3, 3),
            zeros[:, 0],
            self.usual_angles.expand(batch, -1),
            eye.expand(batch, cameras, 3, 3),
            zeros,
            zeros[..., 0],
        )

    def without_object(self) -> Tensor:
        """Weights (B, C, N) with those of the object's points at zero."""
        weight = self.weight.clone()
        weight[:, :, : len(self.points)] = 0
        return weight

    def cameras(self, state: State) -> Cameras:
        """The cameras as the state has them."""
        rotation = self.nominal.extrinsics[..., :3, :3] @ state.turn.mT
        offset = -rotation @ (self.centre + state.shift)[..., None]
        extrinsics = self.nominal.extrinsics.clone()
        extrinsics[..., :3, :] = torch.cat([rotation, offset], dim=-1)
        intrinsics = self.nominal.intrinsics.clone()
        intrinsics[..., :2, :2] *= state.zoom.exp()[..., None, None]
        return Cameras(intrinsics, extrinsics)

    def view(self, state: State) -> Linearization:
        """Where everything is, and is seen, in a state."""
        arm = self.points @ state.rotation.mT
        landmarks, derivative = locate(self.landmarks, state.angles)
        world = torch.cat([arm + state.position[:, None], landmarks], dim=1)
        turn = self.nominal.extrinsics[..., :3, :3] @ state.turn.mT
        ray = world[:, None] - (self.centre + state.shift)[:, :, None]
        local = ray @ turn.mT
        depth = local[..., 2:].clamp_min(1e-3)
        slope = local[..., :2] / depth
        focal = self.nominal.intrinsics[..., :2, :2] * state.zoom.exp()[..., None, None]
        off_axis = slope @ focal.mT
        residual = off_axis + self.nominal.intrinsics[..., None, :2, 2] - self.pixels
        return Linearization(world, arm, derivative, turn, focal, ray, slope, depth, off_axis, residual)

    def cost(self, state: State, view: Linearization, weight: Tensor) -> Tensor:
        """(B,), half the squared deviations of pixels (robust), cameras and angles."""
        prior = (_displacement(state).square() * self.camera_precision).sum(dim=(1, 2))
        prior = prior + ((state.angles - self.usual_angles).square() * self.body_precision[6:]).sum(dim=1)
        return robust_cost(view.residual, weight) + 0.5 * prior

    def pose_variance(self, state: State) -> Tensor:
        """Of the pose's six numbers (B, 6), cameras and angles being unknown too: squares of radians and of metres."""
        _, body, coupling_block, camera, _ = self._equations(state, self.view(state), self.weight)
        eye = torch.eye(body.shape[-1], dtype=body.dtype, device=body.device)
        reduced = body - (coupling_block @ torch.linalg.solve_ex(camera, coupling_block.mT)[0]).sum(dim=1) + _TINY * eye
        return torch.linalg.inv_ex(reduced)[0].diagonal(dim1=-2, dim2=-1)[:, :6]

    def _equations(
        self, state: State, view: Linearization, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Gradients and Gauss-Newton matrices of body (pose and angles, n numbers) and cameras: gradient (B, n),
        matrix (B, n, n), (B, C, n, 7) coupling_block, (B, C, 7, 7), gradient (B, C, 7)."""
        eye = torch.eye(3, dtype=view.world.dtype, device=view.world.device)
        # d(u, v)/d(x, y, z) = K[:2, :2] [I, -slope] / z, then to the world
        through = torch.cat([eye[:2, :2].expand(*view.slope.shape, 2), -view.slope[..., None]], dim=-1)
        by_point = (view.focal[:, :, None] / view.depth[..., None]) @ through @ view.turn[:, :, None]  # (B, C, N, 2, 3)

        count, hinges = len(self.points), view.derivative.shape[-1]
        moved = view.world.new_zeros(*view.world.shape, 6 + hinges)  # (B, N, 3, n)
        moved[:, :count, :, :3] = -skew(view.arm)
        moved[:, :count, :, 3:6] = eye
        moved[:, count:, :, 6:] = view.derivative
        by_body = (by_point @ moved[:, None]).flatten(2, 3)
        by_camera = torch.cat([by_point @ skew(view.ray), -by_point, view.off_axis[..., None]], dim=-1).flatten(2, 3)

        residual = view.residual
        robust = weight / (1.0 + residual.square().sum(dim=-1) * weight / CAUCHY_SCALE**2)
        robust = robust.repeat_interleave(2, dim=-1)[..., None]
        weighted = robust * residual.flatten(2)[..., None]
        body = (by_body.mT @ (robust * by_body)).sum(dim=1) + torch.diag(self.body_precision)
        coupling_block = by_body.mT @ (robust * by_camera)
        camera = by_camera.mT @ (robust * by_camera) + torch.diag_embed(self.camera_precision)
        shift = torch.nn.functional.pad(state.angles - self.usual_angles, (6, 0)) * self.body_precision
        body_gradient = (by_body.mT @ weighted).sum(dim=1).squeeze(-1) + shift
        camera_gradient = (by_camera.mT @ weighted).squeeze(-1) + _displacement(state) * self.camera_precision
        return body_gradient, body, coupling_block, camera, camera_gradient

    def step(self, state: State, view: Linearization, weight: Tensor, damping: Tensor) -> State:
        """A damped Gauss-Newton step (Levenberg-Marquardt; ``damping`` (B,)), which may be for the worse."""
        body_gradient, body, coupling_block, camera, camera_gradient = self._equations(state, view, weight)
        body, camera = _damped(body, damping), _damped(camera, damping[:, None])
        # Both right-hand sides at once: camera^-1 [coupling_block^T, gradient].
        solved = torch.linalg.solve_ex(camera, torch.cat([coupling_block.mT, camera_gradient[..., None]], dim=-1))[0]
        reduced = torch.cat([body, body_gradient[..., None]], dim=-1) - (coupling_block @ solved).sum(dim=1)
        step = -torch.linalg.solve_ex(reduced[..., :-1], reduced[..., -1])[0]
        camera_step = -(solved[..., -1] + (solved[..., :-1] @ step[:, None, :, None]).squeeze(-1))
        turns = roma.rotvec_to_rotmat(torch.cat([step[:, None, :3], camera_step[..., :3]], dim=1))
        return State(
            turns[:, 0] @ state.rotation,
            state.position + step[:, 3:6],
            state.angles + step[:, 6:],
            turns[:, 1:] @ state.turn,
            state.shift + camera_step[..., 3:6],
            state.zoom + camera_step[..., 6],
        )


def _displacement(state: State) -> Tensor:
    """A camera's seven numbers (B, C, 7): rotation vector, shift, logarithm of the zoom."""
    # The antisymmetric part is the axis times the sine of the angle, which differs by 1/2000 at three degrees.
    odd = (state.turn - state.turn.mT).flatten(-2)[..., [7, 2, 3]] / 2
    return torch.cat([odd, state.shift, state.zoom[..., None]], dim=-1)


def _damped(matrix: Tensor, damping: Tensor) -> Tensor:
    """Matrices (..., n, n) with their diagonal raised by the share ``damping`` (...)."""
    return matrix + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1) * damping[..., None] + _TINY)
