"""Batch normalisation put into the convolutions before it: what a trained network answers, in fewer steps.

Once trained, a batch normalisation is one factor and one shift for each channel: together with the convolution before
it, it is one convolution. An estimate then makes fewer passes over memory (``benchmarks/results/latency.txt``).
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vision.networks.backbones import ResidualBlock

_IN_ORDER = (nn.Sequential, ResidualBlock)  # run their parts in the order in which they hold them


def fold_norms(model: nn.Module) -> None:
    """Fold every batch normalisation that directly follows a convolution, in place; the network answers as before to
    rounding and is not to be trained on. Parts of other packages are left as they are."""
    model.eval()
    for parent in model.modules():
        if not isinstance(parent, _IN_ORDER):
            continue
        for (place, convolution), (next_place, norm) in pairwise(list(parent.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, place, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, next_place, nn.Identity())
