"""Errors during training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vision.networks.validation import pose_metrics
from vision.statistics.medians import lower_median, median


def test_medians_are_of_the_two_middle_values() -> None:
    values = torch.tensor([[4.0, 1.0, 3.0, 9.0], [1.0, 2.0, 8.0, 5.0]], dtype=torch.float64)
    np.testing.assert_array_equal(median(values), np.median(values, axis=-1))
    assert lower_median(values).tolist() == [3.0, 2.0]


def test_medians_of_an_even_number_of_errors_are_numpys() -> None:
    columns = torch.tensor([[0.1, 0.002, 0.0, 0.0], [0.3, 0.004, 0.0, 0.0]])
    found = pose_metrics(columns)
    assert float(found["rotation_median_deg"]) == pytest.approx(np.rad2deg(0.2))
    assert float(found["position_median_mm"]) == pytest.approx(3.0)
