"""How sure a pose is: the deviations that a solver expects, made honest on samples whose errors are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CONFIDENT_ANGLE = math.radians(2.0)
"""A geometric confidence is the probability, as the network sees it, that the rotation is right to this angle: narrow
enough for a good network to be unsure now and then, or all its confidences would be one."""
_MEDIAN = 1.5382  # of the length of a standard normal vector in three dimensions
_POWERS = torch.linspace(1.0, 2.0, 41)  # below 1, what is hard to tell would be surer than the network itself says
_PRIOR = 0.5  # standard deviation about 1: a handful of samples tells nothing of a power
_WRONG = 0.02  # share of errors of any size: faces taken for others are no measure of how sure the rest may be


def honest_deviation(expected: Tensor, scale: Tensor | float, power: Tensor | float) -> Tensor:
    """Deviations (...) in radians of which the errors were found to be, for ``expected`` ones.

    Args:
        expected: (...) radians, as a solver has them from the network's own scales.
        scale: by what factor errors exceed an expected deviation of :data:`CONFIDENT_ANGLE`.
        power: with which power of the expected deviation errors grow; above 1 where a network that is unsure is more
            often wrong than it thinks.
    """
    return scale * CONFIDENT_ANGLE * (expected.clamp_min(1e-6) / CONFIDENT_ANGLE) ** power


def fit_deviation(errors: Tensor, expected: Tensor) -> tuple[float, float]:
    """The scale and power of :func:`honest_deviation` that errors of held-out samples suggest.

    The median error is what it should be; of the powers, the likeliest is taken, errors being normal about three axes
    (Maxwell) but for a few of any size.

    Args:
        errors: (N,) of the rotation in radians.
        expected: (N,) radians, the deviations that were expected.
    """
    errors = errors.double().clamp_min(1e-6)
    powers = _POWERS.to(errors)
    unscaled = honest_deviation(expected.double(), 1.0, powers[:, None])
    scales = (errors / unscaled).median(dim=1).values / _MEDIAN
    deviations = unscaled * scales[:, None]
    density = math.sqrt(2 / math.pi) * errors**2 / deviations**3 * torch.exp(-0.5 * (errors / deviations) ** 2)
    likelihood = ((1 - _WRONG) * density + _WRONG / math.pi).log().sum(dim=1)
    best = int((likelihood - 0.5 * ((powers - 1) / _PRIOR) ** 2).argmax())
    return float(scales[best]), float(powers[best])


def probability_within(angle: float, deviation: Tensor) -> Tensor:
    """The probability (...) that a turn, normal about each of three axes with that deviation (...), is by less than
    ``angle`` (Maxwell)."""
    ratio = angle / deviation.clamp_min(1e-9)
    probability = torch.erf(ratio / math.sqrt(2)) - math.sqrt(2 / math.pi) * ratio * torch.exp(-(ratio**2) / 2)
    return probability.clamp(0.0, 1.0)
