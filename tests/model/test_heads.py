import numpy as np
import pytest
import torch

from vision.geometry.rotations import matrix_from_quaternion
from vision.networks.heads import ROTATION_SIZE, PointHead, rotation_from_values, spatial_softmax


def test_spatial_softmax_against_numpy() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 7)) * 3
    weight = np.exp(maps) / np.exp(maps).sum(axis=(2, 3), keepdims=True)
    x = np.array([-6, -4, -2, 0, 2, 4, 6]) / 7  # centres of seven cells between -1 and 1
    y = np.array([-4, -2, 0, 2, 4]) / 5
    expected = np.stack([(weight * x).sum(axis=(2, 3)), (weight * y[:, None]).sum(axis=(2, 3))], axis=-1)
    np.testing.assert_allclose(spatial_softmax(torch.from_numpy(maps)).numpy(), expected, atol=1e-6)


def test_positions_keep_their_precision_under_autocast() -> None:
    maps = torch.randn(4, 8, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = spatial_softmax(maps)
    # bfloat16 would be off by 1/256 and more.
    assert torch.equal(rounded, spatial_softmax(maps))


def test_point_head_finds_a_cell_and_adds_its_vote() -> None:
    head = PointHead(channels=2, points=1)
    with torch.no_grad():
        head.layers.weight.zero_()
        head.layers.bias.zero_()
        head.layers.weight[0, 0] = 50.0  # attention follows the first feature
        head.layers.weight[1, 1] = 1.0  # the vote's x offset is the second
    features = torch.zeros(1, 2, 8, 8)
    features[0, :, 6, 1] = torch.tensor([1.0, -4.0])
    found = head(features, side=80)
    # The cell's centre is (15, 65); the vote is -4 sixteenths of the side: 5 pixels to the left of the image.
    torch.testing.assert_close(found.pixels, torch.tensor([[[15.0 - 20.0, 65.0]]]))


@pytest.mark.parametrize("rotation", ["quaternion", "six_d"])
def test_rotation_of_raw_values(rotation: str) -> None:
    quaternion = np.array([[0.5, -0.1, 0.7, 0.2], [0.1, 0.9, 0.0, -0.3]])
    matrix = matrix_from_quaternion(quaternion)
    unit = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    values = unit * 2 if rotation == "quaternion" else np.concatenate([matrix[..., 0], matrix[..., 1]], -1) * 3**0.5
    for length in (1.0, 0.25):
        found, confidence = rotation_from_values(torch.from_numpy(values * length), rotation)
        np.testing.assert_allclose(found.numpy(), matrix, atol=1e-9)
        np.testing.assert_allclose(confidence.numpy(), length, atol=1e-9)


@pytest.mark.parametrize("rotation", ["quaternion", "six_d"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_values_that_are_no_rotation_still_give_one(rotation: str, value: float) -> None:
    matrix, length = rotation_from_values(torch.full((1, ROTATION_SIZE[rotation]), value), rotation)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64)[None], atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(1, dtype=torch.float64))
    assert length.item() == pytest.approx(value, rel=0.01)  # ones are as long as a rotation
