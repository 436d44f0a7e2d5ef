from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from vision.networks.backbones import BackboneConfig, ResidualBlock, build_backbone
from vision.networks.heads import spatial_softmax


def test_the_tables_literal_strides_leave_one_pixel_that_says_nothing() -> None:
    tower = build_backbone(BackboneConfig("paper", stage_strides=(3, 3, 3, 3))).eval()
    maps = [tower.stem(torch.rand(2, 3, 200, 200))]
    for stage in tower.stages:
        maps.append(stage(maps[-1]))
    # One block in the first stage and two in the others: the sizes after each stage are 22, 8, 3, 1.
    assert [m.shape[-1] for m in maps] == [64, 22, 8, 8, 3, 3, 1, 1]
    assert not spatial_softmax(maps[-1]).any()  # every image puts every channel's point in the middle


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [("paper", 64, 16), ("resnet18", 512, 13), ("resnet50", 2048, 13), ("pyramid", 64, 50)],
)
def test_default_strides_keep_a_useful_map(name: str, channels: int, size: int) -> None:
    tower = build_backbone(BackboneConfig(name)).eval()
    with torch.no_grad():
        features = tower(torch.rand(1, 3, 200, 200))
    assert features.shape == (1, channels, size, size)
    assert tower.channels == channels


def test_strides_are_parameters_of_every_tower_with_stages() -> None:
    with torch.no_grad():
        for name, pool_stride, strides, size in (
            ("paper", 2, (1, 1, 2, 2), 24),
            ("resnet18", 3, (1, 2, 1, 1), 25),
            ("resnet50", 3, (1, 2, 2, 2), 7),
        ):
            pool = {"pool_stride": pool_stride} if name == "paper" else {}
            tower = build_backbone(BackboneConfig(name, stage_strides=strides, **pool)).eval()
            assert tower(torch.rand(1, 3, 200, 200)).shape[-1] == size, name


@pytest.mark.parametrize(
    "wrong", [{"pool_stride": 0}, {"stage_strides": (1, 0, 1, 1)}, {"width": 12}, {"width": 0}, {"blocks": 0}]
)
def test_impossible_values_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        BackboneConfig(**wrong)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("paper", "width", 64), ("pyramid", "pool_stride", 2), ("pyramid", "stage_strides", (1, 1, 2, 1)),
     ("resnet18", "pool_stride", 2), ("resnet50", "blocks", 3)],
)  # fmt: skip
def test_a_key_that_the_tower_does_not_use_is_refused(name: Any, key: str, value: Any) -> None:
    """A comparison of trainings would have compared a network with itself. Files of earlier versions may have them."""
    with pytest.raises(ValueError, match=f"{key}: the tower {name} does not use it"):
        BackboneConfig(name, **{key: value})
    assert BackboneConfig.used_keys({"name": name, key: value, "norm": "group"}) == {"name": name, "norm": "group"}


def test_the_smallest_tower_has_the_right_gradients_in_float32_and_channels_last() -> None:
    """oneDNN's kernel for its strided shortcuts crashes the process on processors with AVX-512 and no bfloat16."""
    tower = build_backbone(BackboneConfig("pyramid", width=8, blocks=1)).to(memory_format=torch.channels_last)
    shortcut = tower.levels[0][0].downsample[0]
    plain = nn.Conv2d(8, 16, 1, 2, bias=False).double()
    plain.weight.data = shortcut.weight.detach().double().contiguous()
    images = torch.rand(6, 8, 50, 50).to(memory_format=torch.channels_last).requires_grad_()
    exact = images.detach().double().contiguous().requires_grad_()
    ours, theirs = shortcut(images), plain(exact)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(images.grad.double(), exact.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shortcut.weight.grad.double(), plain.weight.grad, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("width", "stride"), [(8, 1), (16, 1), (8, 2)])
def test_the_residual_block_is_torchvisions_tensor_for_tensor(width: int, stride: int) -> None:
    torch.manual_seed(0)
    ours = ResidualBlock(8, width, stride, nn.BatchNorm2d)
    torch.manual_seed(0)
    shortcut = None
    if stride != 1 or width != 8:
        shortcut = nn.Sequential(nn.Conv2d(8, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    theirs = BasicBlock(8, width, stride, shortcut)
    tensors = ours.state_dict()
    assert list(tensors) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensors[name], tensor), name
    images = torch.rand(2, 8, 12, 12)
    assert torch.allclose(ours(images), theirs(images), atol=1e-6)
