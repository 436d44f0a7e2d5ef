"""What frames say of the cameras that they share, judged by how much they contradict each other.

All functions take, for N frames and m numbers of the cameras, the gradients (N, m) at the solution and the information
(m, m) that the pixels' scales promise of all frames together, each frame's own pose eliminated.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PRIOR_FRAMES = 20  # number of frames that the model's own covariance counts for, against the frames' scatter


def sandwich(matrix: Tensor, gradient: Tensor, prior: Tensor) -> Tensor:
    """Return the covariance (m, m) for frames with gradients (N, m) at the solution and information ``matrix`` (m, m)
    in all.

    Frames scatter more or less than their pixels' scales promise. A few frames cannot show how much, so the promise
    then prevails.
    """
    frames = len(gradient)
    shown = (gradient - gradient.mean(dim=0)).mT @ gradient * (frames / max(frames - 1, 1))
    said = (frames * shown + _PRIOR_FRAMES * matrix) / (frames + _PRIOR_FRAMES)
    inverse = torch.linalg.inv_ex(matrix + prior)[0]
    covariance: Tensor = inverse @ (said + prior) @ inverse
    return covariance


def contradiction(matrix: Tensor, gradient: Tensor) -> float:
    """Return how many times as far the frames lie apart about these numbers as their pixels' scales promise, root mean
    square: about 1 of frames that share them. A linear change from the first to the last, which :func:`trend` finds, is
    not counted. Needs three frames; 0 of fewer."""
    frames = len(gradient)
    if frames < 3:
        return 0.0
    time = torch.linspace(-0.5, 0.5, frames, dtype=gradient.dtype, device=gradient.device)[:, None]
    apart = gradient - gradient.mean(dim=0) - time * (time * gradient).sum(dim=0) / time.square().sum()
    shown = apart.mT @ apart * (frames / (frames - 2))
    inverse = torch.linalg.pinv(matrix, hermitian=True)
    return float((inverse @ shown).trace().clamp_min(0).div(len(matrix)).sqrt())


def trend(matrix: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the linear change (m,) of parameters from the first frame to the last, and its deviation (m,): one
    Gauss-Newton step from no change, given the frames' matrices (N, m, m) and gradients (N, m)."""
    time = torch.linspace(-0.5, 0.5, len(gradient), dtype=gradient.dtype, device=gradient.device)
    scores = gradient * time[:, None]
    weighted = (matrix * time.square()[:, None, None]).sum(dim=0)
    inverse = torch.linalg.pinv(weighted, hermitian=True)
    return -inverse @ scores.sum(dim=0), (inverse @ (scores.mT @ scores) @ inverse).diagonal().clamp_min(0).sqrt()
