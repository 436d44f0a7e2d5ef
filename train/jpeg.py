"""JPEG compression artefacts, batched and on the device: images as they are after compression and decompression.

The steps are those of libjpeg with colour at half resolution (4:2:0), its tables and its smooth upsampling, in floating
point, with a separate quality for each image. No bytes are written. Kornia has such a codec, with a smooth substitute
for rounding; ``benchmarks/results/camera.txt`` compares the two in speed and with libjpeg's own images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Annex K of the standard, as in libjpeg.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Return images (N, 3, H, W) uint8 after JPEG of a quality (N,) from 1 to 100, rounded to whole numbers as in
    files."""
    height, width = images.shape[-2:]
    # Pad to whole blocks of 16 as libjpeg does, by repeating the last row and column.
    levels = functional.pad(images.float(), (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = torch.einsum("ij,njhw->nihw", levels.new_tensor(_YCC), levels).round()
    luminance = _coded(ycc[:, :1] - 128, _tables(_LUMINANCE, quality)) + 128
    chrominance = _coded(functional.avg_pool2d(ycc[:, 1:], 2).round(), _tables(_CHROMINANCE, quality))
    chrominance = functional.interpolate(chrominance, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = torch.cat([luminance, chrominance], dim=1)[..., :height, :width]
    rgb = torch.einsum("ij,njhw->nihw", levels.new_tensor(_RGB), decoded)
    return rgb.round().clamp(0, 255).to(torch.uint8)


def _coded(planes: Tensor, tables: Tensor) -> Tensor:
    """Return planes (N, C, H, W), sides multiples of 8, with the cosine transform of each block rounded to steps (N, 8,
    8)."""
    transform = _cosines(planes.device)
    blocks = planes.unfold(2, 8, 8).unfold(3, 8, 8)  # (N, C, H / 8, W / 8, 8, 8)
    steps = tables[:, None, None, None]
    coefficients = ((transform @ blocks @ transform.mT) / steps).round() * steps
    blocks = transform.mT @ coefficients @ transform
    # Samples are rounded to whole numbers between 0 and 255 before colour conversion.
    return blocks.round().clamp(-128, 127).permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)


def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal cosine transform of eight values, (8, 8)."""
    frequency, place = torch.arange(8.0, device=device)[:, None], torch.arange(8.0, device=device)
    matrix = torch.cos(math.pi / 8 * (place + 0.5) * frequency) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _tables(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Return quantisation steps (N, 8, 8) for qualities (N,), as libjpeg scales them."""
    quality = quality.round().clamp(1, 100)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor(base, dtype=torch.float32, device=quality.device)
    return ((steps * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)
