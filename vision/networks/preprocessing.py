"""Preprocessing of images for a tower: their size, their augmentation in training, and their normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Augment(Protocol):
    """Augmentation of images (N, 3, h, w) as they enter a tower in training; it keeps their shape."""

    def adjust_tone(self, images: Tensor) -> Tensor:
        """Return changed levels from 0 to 255, before they are normalised."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return changed normalised images."""


class TrainingAugment(Augment, Protocol):
    """Everything else that training draws for a model's losses."""

    def cameras_known(self, count: int) -> Tensor:
        """Return (count, 1, 1) ones and zeros: the samples that receive their true cameras."""

    def windows(self, centre: Tensor, side: Tensor | float, size: int) -> Tensor:
        """Return windows (..., 2, 3) of ``size`` pixels near true object centres (..., 2), image pixels."""

    def scenes(self, sides: Tensor, size: int) -> Tensor:
        """Return windows (..., 2, 3) of ``size`` pixels near the whole of images of ``sides`` (...) pixels."""


def normalize(images: Tensor) -> Tensor:
    """Normalise each image (N, 3, h, w) to zero mean and unit variance over all its pixels and channels."""
    images = images - images.mean(dim=(1, 2, 3), keepdim=True)
    # torch.var_mean takes twelve times as long on a CPU. One level of 255 is added: a constant image stays at zero.
    return images / (images.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1.0)


def resize(images: Tensor, size: int | None) -> Tensor:
    """Resize images (N, 3, H, W) uint8 to squares of ``size`` pixels as float, with antialiasing; those that are not
    square are padded right and below first. If ``size`` is None, only convert to float."""
    if size is None:
        return images.float()
    if (beside := images.shape[-2] - images.shape[-1]) != 0:
        images = nn.functional.pad(images, (0, max(beside, 0), 0, max(-beside, 0)))
    if size == images.shape[-1]:
        return images.float()
    if images.device.type != "cpu":  # only a CPU resamples bytes, five times as fast as floats
        images = images.float()
    return nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True).float()


def resize_each(images: Tensor, sides: Sequence[int], size: int | None) -> Tensor:
    """Resize images (B * C, 3, H, W) uint8, the cameras in turn, each from a square of its camera's own side, however
    large others of the rig are; as :func:`resize` where all are the same.

    Args:
        sides: side of each camera's images, C, pixels; H and W are those of the largest.
        size: side of the result; if None, the largest of ``sides``.
    """
    if len(set(sides)) == 1:
        return resize(images, size)
    each = zip(images.unflatten(0, (-1, len(sides))).unbind(1), sides, strict=True)
    return torch.stack([resize(own[..., :side, :side], size or max(sides)) for own, side in each], 1).flatten(0, 1)


def preprocess(images: Tensor, augment: Augment | None) -> Tensor:
    """Return a tower's input from images (N, 3, h, w): normalised, and augmented in training."""
    return normalize(images) if augment is None else augment(normalize(augment.adjust_tone(images)))
