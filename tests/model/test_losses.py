import math

import pytest
import roma
import torch

from tests.rotations import random_rotations
from vision.geometry.poses import Pose
from vision.geometry.rotations import matrix_to_quaternion, matrix_to_six_d
from vision.networks.heads import ROTATION_DEVIATION, PointOutput
from vision.networks.losses import LossConfig, laplace_loss, regression_loss, surface_loss

COUNT = 8


def truth() -> Pose:
    generator = torch.Generator().manual_seed(0)
    position = torch.randn(COUNT, 3, generator=generator)
    return Pose(random_rotations(COUNT, generator), position)


@pytest.mark.parametrize("kind", ["mse", "geodesic"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_quaternion_and_its_negative_are_equally_right(kind: str, sign: float) -> None:
    true = truth()
    quaternion = sign * matrix_to_quaternion(true.rotation) / ROTATION_DEVIATION["quaternion"]
    right = regression_loss(torch.cat([true.position, quaternion], dim=1), true, "quaternion", kind)
    assert right.max() < (1e-10 if kind == "mse" else 5e-3)
    values = torch.cat([true.position, quaternion + 0.3], dim=1)
    same = regression_loss(values * torch.tensor([1, 1, 1, -1, -1, -1, -1]), true, "quaternion", kind)
    torch.testing.assert_close(regression_loss(values, true, "quaternion", kind), same)


def test_the_nearer_sign_pulls() -> None:
    """At w = 0 the two answers are neighbours; the gradient must lead to the near one, not across the sphere."""
    rotation = roma.rotvec_to_rotmat(torch.tensor([[math.pi - 0.05, 0.0, 0.0]]))
    past = matrix_to_quaternion(roma.rotvec_to_rotmat(torch.tensor([[math.pi + 0.05, 0.0, 0.0]])))
    values = torch.cat([torch.zeros(1, 3), past / ROTATION_DEVIATION["quaternion"]], dim=1)
    assert regression_loss(values, Pose(rotation, torch.zeros(1, 3)), "quaternion", "mse").item() < 0.01


def test_mean_squared_error_is_over_all_normalised_numbers() -> None:
    true = truth()
    six_d = matrix_to_six_d(true.rotation) / ROTATION_DEVIATION["six_d"]
    off = torch.cat([true.position + 1.0, six_d + 2.0], dim=1)
    expected = torch.full((COUNT,), (3 * 1.0 + 6 * 4.0) / 9)
    torch.testing.assert_close(regression_loss(off, true, "six_d", "mse"), expected)


def test_geodesic_is_the_angle() -> None:
    true = truth()
    turned = true.rotation @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0]))
    six_d = 5 * matrix_to_six_d(turned)  # its length does not matter
    loss = regression_loss(torch.cat([true.position, six_d], dim=1), true, "six_d", "geodesic")
    torch.testing.assert_close(loss, torch.full((COUNT,), 0.3), atol=1e-4, rtol=0)


def test_laplace_loss_is_least_at_the_true_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = 2.5
    target = torch.zeros(4, 3, 5000, 2)
    error = torch.distributions.Laplace(0.0, scale).icdf(
        torch.rand(target.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    )
    losses = {
        tried: laplace_loss(PointOutput(error, torch.full(target.shape[:-1], math.log(tried))), target).mean().item()
        for tried in (1.5, 2.0, 2.5, 3.0, 4.0)
    }
    assert min(losses, key=losses.__getitem__) == scale
    assert laplace_loss(PointOutput(error, torch.zeros(target.shape[:-1])), target).shape == (4,)


def test_surface_loss_counts_only_cells_that_see_the_object() -> None:
    maps = torch.zeros(2, 3, 4, 5, 5)
    points = torch.full((2, 3, 25, 3), 0.5)
    hit = torch.zeros(2, 3, 25, dtype=torch.bool)
    assert not surface_loss(maps, points, hit).any()
    hit[:, 0, :4] = True
    points[:, 1:] = 100.0
    torch.testing.assert_close(surface_loss(maps, points, hit), torch.full((2,), 1.5))


def test_impossible_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="surface"):
        LossConfig(surface=-1)
