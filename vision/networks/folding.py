"""Folding of batch normalisation into the preceding convolutions: the same output in fewer steps.

After training, a batch normalisation is one factor and one offset for each channel, which can be merged into the
convolution before it. An estimate then makes fewer passes over memory (``benchmarks/results/latency.txt``).
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vision.networks.backbones import ResidualBlock

_IN_ORDER = (nn.Sequential, ResidualBlock)  # run their children in the order in which they hold them


def fold_norms(model: nn.Module) -> None:
    """Fold every batch normalisation that directly follows a convolution, in place. The network's output stays the same
    to rounding, but it must not be trained afterwards. Modules of other packages are left unchanged."""
    model.eval()
    for parent in model.modules():
        if not isinstance(parent, _IN_ORDER):
            continue
        for (place, convolution), (next_place, norm) in pairwise(list(parent.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, place, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, next_place, nn.Identity())
