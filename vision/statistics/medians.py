"""Medians of tensors: of an even number of values there are two in the middle."""

from __future__ import annotations

from torch import Tensor


def median(values: Tensor, dim: int = -1) -> Tensor:
    """Return the median along a dimension, as NumPy does: the mean of the middle two of an even number."""
    return values.quantile(0.5, dim=dim)


def lower_median(values: Tensor, dim: int = -1) -> Tensor:
    """Return the lower median along a dimension, as torch calls the median: the smaller of the middle two.

    Spreads of views are made of it, and so is the usual spread in trained weights, with which they are compared.
    """
    return values.median(dim=dim).values
