"""Confidence of poses: a solver's expected deviations, corrected on samples whose errors are known."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vision.statistics.medians import lower_median
from vision.storage.schema import CONFIDENT_DEG

CONFIDENT_ANGLE = math.radians(CONFIDENT_DEG)
_MEDIAN = {3: 1.5382, 2: 1.1774}  # of the length of a standard normal vector in so many dimensions
_POWERS = torch.linspace(1.0, 2.0, 41)  # below 1, hard samples would be surer than the network itself claims
_PRIOR = 0.5  # standard deviation about 1: a handful of samples does not determine a power
_KNOWN = 0.95  # quantile of the held-out samples' expected deviations up to which they tell how errors grow
_WRONG = 0.02  # fraction of errors of any size: confused faces do not measure how sure the rest may be


class DeviationFit(NamedTuple):
    """Relation of real errors to expected deviations, as held-out samples show it.

    Attributes:
        scale: factor by which errors exceed an expected deviation of :data:`CONFIDENT_ANGLE`.
        power: power of the expected deviation with which errors grow; above 1 if an unsure network is wrong more often
            than it expects.
        most: expected deviation, radians, up to which they do. Hardly a sample was less sure: beyond it errors grow in
            proportion, since nothing tells how else.
    """

    scale: float | Tensor
    power: float | Tensor
    most: float | Tensor


def honest_deviation(expected: Tensor, fit: DeviationFit) -> Tensor:
    """Return the deviations (...) in radians that errors were found to have, for ``expected`` ones.

    Args:
        expected: (...) radians, as a solver derives them from the network's own scales.
        fit: from :func:`fit_deviation`.
    """
    expected = expected.clamp_min(1e-6)
    return fit.scale * expected * (expected.clamp(max=fit.most) / CONFIDENT_ANGLE) ** (fit.power - 1.0)


def fit_deviation(errors: Tensor, expected: Tensor, axes: int = 3) -> DeviationFit:
    """Fit :func:`honest_deviation` to errors of held-out samples.

    The scale matches the median error. The power is the most likely one if errors are normal about each axis, except
    for a few of any size.

    Args:
        errors: (N,) rotation errors in radians.
        expected: (N,) expected deviations in radians, about each axis.
        axes: number of axes about which a rotation shows: 2 for a body of revolution, else 3.
    """
    errors = errors.double().clamp_min(1e-6)
    expected = expected.double().clamp_min(1e-6)
    powers, most = _POWERS.to(errors), float(torch.quantile(expected, _KNOWN))
    unscaled = honest_deviation(expected, DeviationFit(1.0, powers[:, None], most))
    scales = lower_median(errors / unscaled) / _MEDIAN[axes]
    deviations = unscaled * scales[:, None]
    ratio = errors / deviations
    density = torch.exp(-0.5 * ratio**2) / deviations * (ratio if axes == 2 else math.sqrt(2 / math.pi) * ratio**2)
    likelihood = ((1 - _WRONG) * density + _WRONG / math.pi).log().sum(dim=1)
    best = int((likelihood - 0.5 * ((powers - 1) / _PRIOR) ** 2).argmax())
    return DeviationFit(float(scales[best]), float(powers[best]), most)


def probability_within(angle: float, deviation: Tensor, axes: int = 3) -> Tensor:
    """Return the probability (...) that a rotation, normal about each of so many axes (2 or 3) with that deviation
    (...), is smaller than ``angle`` (Rayleigh, Maxwell)."""
    ratio = angle / deviation.clamp_min(1e-9)
    if axes == 2:
        return 1.0 - torch.exp(-(ratio**2) / 2)
    probability = torch.erf(ratio / math.sqrt(2)) - math.sqrt(2 / math.pi) * ratio * torch.exp(-(ratio**2) / 2)
    return probability.clamp(0.0, 1.0)
