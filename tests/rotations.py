"""Rotations drawn for tests."""

import roma
import torch
from torch import Tensor


def random_rotations(count: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return rotations (count, 3, 3), uniform over all of them.

    ``roma.random_rotmat`` takes a generator but draws two of its three numbers from torch's global one (1.5.7), so the
    same seed gave other rotations.
    """
    quaternion = torch.randn(count, 4, generator=generator, dtype=dtype)
    rotation: Tensor = roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternion, dim=1))
    return rotation
