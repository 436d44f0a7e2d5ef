"""Windows: square crops of an image around the object, and the way back to the image's pixels.

A corner is found to a fraction of a cell of the feature map, so resolution matters only around the object: a window of
80 pixels costs a sixth of the whole 200-pixel image. A window is the affine map (2, 3) from its own pixels to those of
the image. It may be rotated about its centre, with which training augments its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def make_windows(centre: Tensor, side: Tensor | float, size: int, roll: Tensor | None = None) -> Tensor:
    """Return maps (..., 2, 3) from window pixels to image pixels.

    Args:
        centre: (..., 2) image pixels.
        side: length of the window's side in image pixels, a number or (...).
        size: the same in window pixels.
        roll: (...) rotation of the window in radians, its right side towards the image's bottom; default 0.
    """
    roll = torch.zeros_like(centre[..., 0]) if roll is None else roll
    cosine, sine = torch.cos(roll), torch.sin(roll)
    turn = torch.stack([cosine, -sine, sine, cosine], dim=-1).unflatten(-1, (2, 2))
    scale = torch.as_tensor(side, dtype=centre.dtype, device=centre.device) / size
    linear = turn * scale[..., None, None]
    offset = centre - linear.sum(dim=-1) * (size / 2)
    return torch.cat([linear, offset[..., None]], dim=-1)


def crop(
    images: Tensor, windows: Tensor, size: int, padding: Literal["zeros", "border"] = "zeros", times: int = 1
) -> Tensor:
    """Crop windows from float images, bilinear.

    Args:
        images: (N, 3, H, W).
        windows: (times * N, 2, 3): one of each image, then another of each, and so on.
        size: side of the windows in their own pixels.
        padding: what lies outside an image: zeros, or its nearest pixel.
        times: number of windows of each image.

    Returns:
        Crops (times * N, 3, size, size).
    """
    height, width = images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would round coordinates to a quarter of a pixel
        to_unit = torch.tensor([2.0 / width, 2.0 / height], device=windows.device)
        linear = windows[..., :2] * to_unit[:, None] * (size / 2)
        offset = (windows[..., 2] + windows[..., :2].sum(dim=-1) * (size / 2)) * to_unit - 1.0
        theta = torch.cat([linear, offset[..., None]], dim=-1)
        grid = functional.affine_grid(theta, [windows.shape[0], 3, size, size], align_corners=False)
        images = images.expand(times, *images.shape).flatten(0, 1)
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def crop_around(images: Tensor, windows: Tensor, size: int, sides: Sequence[float], times: int = 1) -> Tensor:
    """Crop windows as :func:`crop` does, from images that show them larger or smaller.

    A bilinear crop reads four pixels for each of its own. Where a window spans more, its image is first reduced by a
    whole factor, each pixel the mean of those that it replaces: else it would show some of them and lose the rest.

    Args:
        images: (B * C, 3, H, W) uint8 or float, the cameras in turn.
        windows: (times * B * C, 2, 3).
        size: side of the windows in their own pixels.
        sides: usual side of each camera's windows in image pixels, C. (Factors follow from it, and not from the windows
            at hand, so that a network sees all images of a camera in the same way.)
        times: number of windows of each image, as in :func:`crop`.
    """
    factors = [max(1, int(side / size)) for side in sides]
    if max(factors) == 1:
        return crop(images.float(), windows, size, times=times)
    shape = (-1, len(factors))
    each = zip(images.unflatten(0, shape).unbind(1), windows.unflatten(0, shape).unbind(1), factors, strict=True)
    return torch.stack(
        [crop(_reduced(own.float(), by), window / by, size, times=times) for own, window, by in each], 1
    ).flatten(0, 1)


def _reduced(images: Tensor, factor: int) -> Tensor:
    """Average squares of ``factor`` x ``factor`` pixels of images (N, 3, H, W), which are zero beyond their edges."""
    height, width = images.shape[-2:]
    whole = functional.pad(images, (0, -width % factor, 0, -height % factor))
    return functional.avg_pool2d(whole, factor)


def to_image(windows: Tensor, pixels: Tensor) -> Tensor:
    """Map window pixels (..., K, 2) to image pixels (..., K, 2)."""
    return pixels @ windows[..., :2].mT + windows[..., None, :, 2]


def window_scale(windows: Tensor) -> Tensor:
    """Return image pixels per window pixel, (...)."""
    length: Tensor = torch.linalg.vector_norm(windows[..., 0], dim=-1)
    return length
