"""The least-squares problem of :mod:`vision.solvers.bundle`: its unknowns, their residuals, and a step that reduces the
cost. Cameras are fixed, or free within a prior on their displacement."""

from __future__ import annotations

import math
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras, camera_centres_torch
from vision.geometry.poses import Pose
from vision.scene.landmarks import Landmarks
from vision.solvers.given import WeightedPixels
from vision.solvers.landmarks import locate_landmarks
from vision.solvers.triangulate import CAUCHY_SCALE, robust_cost, skew

_TINY = 1e-9


class State(NamedTuple):
    """Unknowns of a batch: B poses, wrist angles (B, P), and for each camera a rotation (B, C, 3, 3), a translation of
    its centre (B, C, 3) and the logarithm of its zoom (B, C); world frame."""

    pose: Pose
    angles: Tensor
    camera_rotation: Tensor
    camera_translation: Tensor
    log_zoom: Tensor


class Linearization(NamedTuple):
    """All N = K + L points at one state.

    World: points (B, N, 3), arms of the object's points (B, K, 3), derivatives of the landmarks by the angles (B, L, 3,
    P). Cameras: world to camera (B, C, 3, 3), focal lengths (B, C, 2, 2). Points in cameras: from the centre in world
    axes (B, C, N, 3), x / z and y / z (B, C, N, 2), z (B, C, N, 1), pixels relative to the principal point and to the
    observed pixel, (B, C, N, 2) each.
    """

    world: Tensor
    arm: Tensor
    derivative: Tensor
    world_to_camera: Tensor
    focal: Tensor
    ray: Tensor
    slope: Tensor
    depth: Tensor
    off_axis: Tensor
    residual: Tensor


class Equations(NamedTuple):
    """Gradients and Gauss-Newton matrices.

    Of the body (pose and angles, n numbers): (B, n) and (B, n, n). Of each camera: (B, C, 7) and (B, C, 7, 7), and its
    coupling to the body (B, C, n, 7); empty where cameras are fixed.
    """

    gradient: Tensor
    matrix: Tensor
    camera_gradient: Tensor
    camera_matrix: Tensor
    coupling: Tensor


class Problem:
    """Everything that stays constant during optimization. N = K + L points: the object's first, then landmarks.

    Args:
        points: (K, 3) metres, object frame.
        seen: observations of the points and landmarks in each camera.
        cameras: the true ones, or nominal ones that are free.
        precision: (B, C, 7) prior of free cameras (:class:`vision.solvers.given.CameraPrior`); None if they are fixed.
        landmarks: the hand's landmarks; None without.
        angles_weight: factor on the weight of the wrist's usual angles.
    """

    def __init__(
        self,
        points: Tensor,
        seen: WeightedPixels,
        cameras: Cameras,
        precision: Tensor | None = None,
        landmarks: Landmarks | None = None,
        angles_weight: float = 1.0,
    ) -> None:
        self.points, self.landmarks, self.nominal = points, landmarks, cameras
        self.seen, self.camera_precision = seen, precision
        self.centre = camera_centres_torch(cameras.extrinsics)
        limits = points.new_zeros(0, 2) if landmarks is None else points.new_tensor(landmarks.limits)
        self.usual_angles = limits.mean(dim=1)
        std = (limits[:, 1] - limits[:, 0]) / math.sqrt(12)  # of a uniform distribution
        self.body_precision = torch.cat([points.new_zeros(6), std**-2 * angles_weight])

    def start(self) -> State:
        """Return the initial state: cameras as given, the wrist at its usual angles, no pose."""
        batch, cameras = self.seen.weight.shape[:2]
        zeros = self.seen.pixels.new_zeros(batch, cameras, 3)
        eye = torch.eye(3, dtype=zeros.dtype, device=zeros.device)
        return State(
            Pose(eye.expand(batch, 3, 3), zeros[:, 0]), self.usual_angles.expand(batch, -1),
            eye.expand(batch, cameras, 3, 3), zeros, zeros[..., 0],
        )  # fmt: skip

    def without_object(self) -> Tensor:
        """Return weights (B, C, N) with those of the object's points set to zero."""
        weight = self.seen.weight.clone()
        weight[:, :, : len(self.points)] = 0
        return weight

    def cameras(self, state: State) -> Cameras:
        """Return the cameras of a state."""
        world_to_camera, centre, focal = self._placed(state)
        extrinsics = self.nominal.extrinsics.clone()
        extrinsics[..., :3, :3] = world_to_camera
        extrinsics[..., :3, 3:] = -world_to_camera @ centre[..., None]
        intrinsics = self.nominal.intrinsics.clone()
        intrinsics[..., :2, :2] = focal
        return Cameras(intrinsics, extrinsics)

    def _placed(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Return world to camera (B, C, 3, 3), centres (B, C, 3) and focal lengths (B, C, 2, 2)."""
        nominal, focal = self.nominal.extrinsics[..., :3, :3], self.nominal.intrinsics[..., :2, :2]
        if self.camera_precision is None:
            return nominal, self.centre, focal
        centre = self.centre + state.camera_translation
        return nominal @ state.camera_rotation.mT, centre, focal * state.log_zoom.exp()[..., None, None]

    def linearize(self, state: State) -> Linearization:
        """Linearise at a state: compute all points and their pixels."""
        arm = self.points @ state.pose.rotation.mT
        world, derivative = arm + state.pose.position[:, None], arm.new_zeros(len(arm), 0, 3, 0)
        if self.landmarks is not None:
            landmarks, derivative = locate_landmarks(self.landmarks, state.angles)
            world = torch.cat([world, landmarks], dim=1)
        world_to_camera, centre, focal = self._placed(state)
        ray = world[:, None] - centre[:, :, None]
        local = ray @ world_to_camera.mT
        depth = local[..., 2:].clamp_min(1e-3)
        slope = local[..., :2] / depth
        off_axis = slope @ focal.mT
        residual = off_axis + self.nominal.intrinsics[..., None, :2, 2] - self.seen.pixels
        return Linearization(world, arm, derivative, world_to_camera, focal, ray, slope, depth, off_axis, residual)

    def cost(self, state: State, view: Linearization, weight: Tensor) -> Tensor:
        """Return (B,), half the squared residuals of pixels (robust) and of whatever has a prior: angles and free
        cameras."""
        cost = robust_cost(view.residual, weight)
        if self.landmarks is not None:
            off = state.angles - self.usual_angles
            cost = cost + 0.5 * (off.square() * self.body_precision[6:]).sum(dim=1)
        if self.camera_precision is not None:
            numbers = camera_numbers(state.camera_rotation, state.camera_translation, state.log_zoom)
            cost = cost + 0.5 * (numbers.square() * self.camera_precision).sum(dim=(1, 2))
        return cost

    def equations(self, state: State, view: Linearization, weight: Tensor, more: Tensor | None = None) -> Equations:
        """Return gradients and matrices of :meth:`cost` at a state.

        Args:
            more: (B, C, 2 N, E) derivatives of the pixels by additional numbers of each free camera, after its seven.
        """
        # d(u, v)/d(x, y, z) = K[:2, :2] [I, -slope] / z, then to the world
        eye = torch.eye(3, dtype=view.world.dtype, device=view.world.device)
        through = torch.cat([eye[:2, :2].expand(*view.slope.shape, 2), -view.slope[..., None]], dim=-1)
        by_point = (view.focal[:, :, None] / view.depth[..., None]) @ through @ view.world_to_camera[:, :, None]

        count, hinges = len(self.points), view.derivative.shape[-1]
        motion = view.world.new_zeros(*view.world.shape, 6 + hinges)  # (B, N, 3, n)
        motion[:, :count, :, :3] = -skew(view.arm)
        motion[:, :count, :, 3:6] = eye
        motion[:, count:, :, 6:] = view.derivative
        by_body = (by_point @ motion[:, None]).flatten(2, 3)

        residual = view.residual
        robust = weight / (1.0 + residual.square().sum(dim=-1) * weight / CAUCHY_SCALE**2)
        robust = robust.repeat_interleave(2, dim=-1)[..., None]
        weighted = robust * residual.flatten(2)[..., None]
        gradient = (by_body.mT @ weighted).sum(dim=1).squeeze(-1)
        matrix = (by_body.mT @ (robust * by_body)).sum(dim=1)
        if self.camera_precision is None:
            nothing = gradient.new_zeros(0)
            return self._with_priors(state, Equations(gradient, matrix, nothing, nothing, nothing))
        by_camera = torch.cat([by_point @ skew(view.ray), -by_point, view.off_axis[..., None]], dim=-1).flatten(2, 3)
        if more is not None:
            by_camera = torch.cat([by_camera, more], dim=-1)
        weighted_camera = robust * by_camera
        camera_gradient = (by_camera.mT @ weighted).squeeze(-1)
        camera_matrix, coupling = by_camera.mT @ weighted_camera, by_body.mT @ weighted_camera
        return self._with_priors(state, Equations(gradient, matrix, camera_gradient, camera_matrix, coupling))

    def _with_priors(self, state: State, found: Equations) -> Equations:
        gradient, matrix = found.gradient, found.matrix
        if self.landmarks is not None:
            off = torch.nn.functional.pad(state.angles - self.usual_angles, (6, 0))
            gradient, matrix = gradient + off * self.body_precision, matrix + torch.diag(self.body_precision)
        if self.camera_precision is None:
            return found._replace(gradient=gradient, matrix=matrix)
        further = (0, found.camera_gradient.shape[-1] - 7)  # additional numbers have no prior here
        numbers = camera_numbers(state.camera_rotation, state.camera_translation, state.log_zoom)
        off = torch.nn.functional.pad(numbers * self.camera_precision, further)
        camera_gradient = found.camera_gradient + off
        precision = torch.nn.functional.pad(self.camera_precision, further)
        camera_matrix = found.camera_matrix + torch.diag_embed(precision)
        return Equations(gradient, matrix, camera_gradient, camera_matrix, found.coupling)

    def covariance(self, state: State) -> Tensor:
        """Return the covariance of the pose (B, 6, 6), marginalised over all other unknowns: radians about the world's
        axes, then metres."""
        _, matrix, _, camera, coupling = self.equations(state, self.linearize(state), self.seen.weight)
        if self.camera_precision is not None:
            matrix = matrix - (coupling @ torch.linalg.solve_ex(camera, coupling.mT)[0]).sum(dim=1)
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        covariance: Tensor = torch.linalg.inv_ex(matrix + _TINY * eye)[0][:, :6, :6]
        return covariance

    def step(self, state: State, view: Linearization, weight: Tensor, damping: Tensor) -> State:
        """Take a damped Gauss-Newton step (Levenberg-Marquardt; ``damping`` (B,)), which may increase the cost."""
        gradient, matrix, camera_gradient, camera, coupling = self.equations(state, view, weight)
        matrix = damped(matrix, damping)
        if self.camera_precision is None:
            step = -torch.linalg.solve_ex(matrix, gradient)[0]
            return state._replace(pose=_moved_pose(state.pose, roma.rotvec_to_rotmat(step[:, :3]), step))
        camera = damped(camera, damping[:, None])
        # Both right-hand sides at once: camera^-1 [coupling^T, gradient].
        solved = torch.linalg.solve_ex(camera, torch.cat([coupling.mT, camera_gradient[..., None]], dim=-1))[0]
        reduced = torch.cat([matrix, gradient[..., None]], dim=-1) - (coupling @ solved).sum(dim=1)
        step = -torch.linalg.solve_ex(reduced[..., :-1], reduced[..., -1])[0]
        camera_step = -(solved[..., -1] + (solved[..., :-1] @ step[:, None, :, None]).squeeze(-1))
        return moved(state, step, camera_step)


def moved(state: State, step: Tensor, camera_step: Tensor) -> State:
    """Return a state after steps (B, n) of the body and (B, C, 7) of the cameras."""
    rotations = roma.rotvec_to_rotmat(torch.cat([step[:, None, :3], camera_step[..., :3]], dim=1))
    return State(
        _moved_pose(state.pose, rotations[:, 0], step),
        state.angles + step[:, 6:],
        rotations[:, 1:] @ state.camera_rotation,
        state.camera_translation + camera_step[..., 3:6],
        state.log_zoom + camera_step[..., 6],
    )


def _moved_pose(pose: Pose, rotation: Tensor, step: Tensor) -> Pose:
    """Return poses rotated by (B, 3, 3) and translated by the metres of steps (B, n)."""
    return Pose(rotation @ pose.rotation, pose.position + step[:, 3:6])


def camera_numbers(rotation: Tensor, translation: Tensor, log_zoom: Tensor) -> Tensor:
    """Return seven numbers (..., 7) of cameras rotated by (..., 3, 3), translated by (..., 3) and zoomed by the
    logarithms (...): rotation vector, translation, logarithm of the zoom."""
    # The antisymmetric part is the axis times the sine of the angle; at three degrees that differs by 1/2000.
    odd = (rotation - rotation.mT).flatten(-2)[..., [7, 2, 3]] / 2
    return torch.cat([odd, translation, log_zoom[..., None]], dim=-1)


def damped(matrix: Tensor, damping: Tensor) -> Tensor:
    """Return matrices (..., n, n) with their diagonal raised by the fraction ``damping`` (...)."""
    return matrix + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1) * damping[..., None] + _TINY)
