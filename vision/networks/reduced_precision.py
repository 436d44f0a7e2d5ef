"""Towers in bfloat16: a trained network answers in a fraction of the time where the machine computes fast in it.

Only the towers compute in it: they take almost all of the time, and learn in it on such machines. Windows, heads and
solvers stay in float32 and float64, because bfloat16 would round positions to half a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.networks.backbones import Tower


class Bfloat16Tower(Tower):
    """A tower that computes in bfloat16, float32 in and out."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower.to(torch.bfloat16)
        self.channels = tower.channels

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.tower(images.to(torch.bfloat16)).float()
        return features


def towers_in_bfloat16(model: nn.Module) -> bool:
    """Let a network's towers compute in bfloat16, in place, and return whether it has any (that of another package may
    have none of ours). It must not be trained or saved afterwards."""
    found = False
    for parent in list(model.modules()):
        for place, tower in list(parent.named_children()):
            if isinstance(tower, Tower):
                setattr(parent, place, Bfloat16Tower(tower))
                found = True
    return found
