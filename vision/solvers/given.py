"""Inputs of the solvers: what cameras watch, what they observe, and how far they may be displaced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.published import CAMERA_FOVY_DEG, CAMERA_POSITION_M, CAMERA_ROTATION_DEG
from vision.scene.landmarks import Landmarks

_MIN_SCALE, _MAX_SCALE = 0.02, 1e4  # pixels


@dataclass(frozen=True)
class CameraPrior:
    """Prior of a true camera: its standard deviations about the nominal one; the defaults are those of Table 9.

    Attributes:
        rotation: radians about each axis: up to 3 degrees about a random axis.
        position: metres along each axis: up to 1.5 mm.
        fovy: radians, vertical field of view: up to 1 degree.
    """

    rotation: float = math.radians(CAMERA_ROTATION_DEG) / 3
    position: float = CAMERA_POSITION_M / math.sqrt(3)
    fovy: float = math.radians(CAMERA_FOVY_DEG) / math.sqrt(3)

    def precision(self, nominal: Cameras) -> Tensor:
        """Return the precision of each camera's seven numbers, (B, C, 7): inverse variances of rotation, translation
        and logarithm of the zoom. The nominal cameras need a ``height``."""
        half = nominal.height / 2 / nominal.intrinsics[..., 1, 1]  # tangent of half the field of view
        sine = 2 * half / (1 + half.square())  # d(log f) = d(fovy) / sin(fovy)
        fixed = sine.new_tensor((self.rotation,) * 3 + (self.position,) * 3).expand(*sine.shape, 6)
        return torch.cat([fixed, (self.fovy / sine)[..., None]], dim=-1) ** -2


class Subject(NamedTuple):
    """What cameras watch: an object and the hand that holds it.

    Attributes:
        points: (K, 3) metres, object frame.
        landmarks: the hand's landmarks.
        anchor: (3,) metres, world: the object's usual position.
        permutations: (S, K) of an object with symmetries, which each camera may see in another pose that looks the
            same; None without.
    """

    points: Tensor
    landmarks: Landmarks
    anchor: Tensor
    permutations: Tensor | None = None

    def cpu(self) -> Subject:
        """Return a copy with its tensors on the CPU."""
        onto = None if self.permutations is None else self.permutations.cpu()
        return Subject(self.points.cpu(), self.landmarks, self.anchor.cpu(), onto)

    def double(self) -> Subject:
        """Return a copy with its coordinates in float64."""
        return self._replace(points=self.points.double(), anchor=self.anchor.double())


class PointObservations(NamedTuple):
    """Points as cameras see them: pixels (B, C, N, 2) and the expected error of each, (B, C, N) pixels."""

    pixels: Tensor
    scale: Tensor

    def weighted(self) -> WeightedPixels:
        """Return the same as a solver takes them."""
        seen = torch.isfinite(self.pixels).all(dim=-1) & torch.isfinite(self.scale)
        pixels = torch.where(seen[..., None], self.pixels, torch.zeros_like(self.pixels)).double()
        scale = torch.where(seen, self.scale, torch.ones_like(self.scale)).double().clamp(_MIN_SCALE, _MAX_SCALE)
        return WeightedPixels(pixels, seen.double() / scale.square())


class WeightedPixels(NamedTuple):
    """Observations as a solver takes them: pixels (B, C, N, 2) in float64, and the weight of each, (B, C, N) 1 /
    pixels^2: zero where pixel or expected error is not finite."""

    pixels: Tensor
    weight: Tensor

    def first(self, count: int) -> WeightedPixels:
        """Return those of the first ``count`` points."""
        return WeightedPixels(self.pixels[:, :, :count], self.weight[:, :, :count])
