"""Towers, which turn one camera's image into a feature map. All cameras share one tower.

``paper``
    Table 12. Convolutions without padding, a max-pool, four ResNet stages. The table's stride 3 for the pool and for
    every stage, read literally, shrinks a 200-pixel image to one pixel (64, 22, 8, 3, 1), for which a spatial softmax
    is meaningless. The default strides keep 16 x 16.
``resnet18``, ``resnet50``
    torchvision's, from random weights. With the default strides the map of a 200-pixel image is 13 x 13.
``pyramid``
    Ours, for the geometric head on few cores: features at a quarter of the size, where corners are found, to which
    those of two coarser levels are added for context.

The reference does not state how its ResNet is normalised. Batch normalisation, as in He et al., is the default; with
group normalisation the demo's network trains at two thirds of the speed (``benchmarks/results/train.txt``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from vision.configuration.bounds import changed_keys
from vision.machine.extras import optional

_KEYS = {
    "paper": ("pool_stride", "stage_strides"),
    "resnet18": ("stage_strides",),
    "resnet50": ("stage_strides",),
    "pyramid": ("width", "blocks"),
}
"""Keys of :class:`BackboneConfig` that a tower uses beside its name and norm."""

Norm = Callable[[int], nn.Module]


@dataclass(frozen=True)
class BackboneConfig:
    """A tower.

    Attributes:
        name: kind of tower.
        pool_stride: stride of the paper's max-pool.
        stage_strides: stride of each of the four stages of ``paper`` and the torchvision networks.
        width: channels of the pyramid's first layer; its levels have 2, 3 and 4 times as many.
        blocks: residual blocks on each level of the pyramid.
        norm: normalisation, "batch", or "group" for very small batches.
    """

    name: Literal["paper", "resnet18", "resnet50", "pyramid"] = "paper"
    pool_stride: int = 3
    stage_strides: tuple[int, int, int, int] = (1, 2, 2, 1)
    width: int = 32
    blocks: int = 2
    norm: Literal["batch", "group"] = "batch"

    @classmethod
    def used_keys(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration of a file without known keys that its tower does not use: earlier versions, which
        did not refuse them, wrote any value there."""
        used = _KEYS.get(str(values.get("name")))
        unused = set() if used is None else {each.name for each in fields(cls)} - {"name", "norm", *used}
        return {key: value for key, value in values.items() if key not in unused}

    def __post_init__(self) -> None:
        strides = (self.pool_stride, *self.stage_strides)
        if min(strides) < 1 or max(strides) > 16:
            raise ValueError(f"strides must be 1 to 16, got {self.pool_stride} and {self.stage_strides}")
        if not 8 <= self.width <= 1024 or self.width % 8:
            raise ValueError(f"width must be a multiple of 8 up to 1024, got {self.width}")
        if not 1 <= self.blocks <= 64:
            raise ValueError(f"blocks must be 1 to 64, got {self.blocks}")
        for key in changed_keys(self, {"name", "norm", *_KEYS[self.name]}):
            raise ValueError(f"{key}: the tower {self.name} does not use it; leave it out")


class Tower(nn.Module):
    """Images (N, 3, H, W) to features (N, ``channels``, h, w)."""

    channels: int


def build_backbone(config: BackboneConfig) -> Tower:
    norm: Norm = nn.BatchNorm2d if config.norm == "batch" else partial(nn.GroupNorm, 8)
    if config.name == "paper":
        tower: Tower = PaperTower(config.pool_stride, config.stage_strides, norm)
    elif config.name == "pyramid":
        tower = PyramidTower(config.width, config.blocks, norm)
    else:
        tower = TorchvisionTower(config.name, config.stage_strides, norm)
    for module in tower.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1):
            module.__class__ = StridedPointwise
    return tower


class StridedPointwise(nn.Conv2d):
    """A convolution of one pixel with a stride, computed by dropping the pixels in between first.

    In its gradient, oneDNN 3.13 (torch 2.15) reads beyond the images on processors with AVX-512 but without bfloat16,
    channels last, and crashes the process.
    """

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = self.stride
        return functional.conv2d(input[..., ::rows, ::columns], self.weight, self.bias)


class PaperTower(Tower):
    """Table 12 from the image to the last ResNet stage."""

    channels = 64

    def __init__(self, pool_stride: int, stage_strides: tuple[int, int, int, int], norm: Norm) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 5), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(3, pool_stride)
        )
        stages: list[nn.Module] = []
        channels = 32
        for width, blocks, stride in zip((16, 32, 64, 64), (1, 2, 2, 2), stage_strides, strict=True):
            stages += [
                ResidualBlock(channels, width, stride, norm),
                *(ResidualBlock(width, width, 1, norm) for _ in range(blocks - 1)),
            ]
            channels = width
        self.stages = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.stages(self.stem(images))
        return features


class TorchvisionTower(Tower):
    """A torchvision ResNet without its classifier, with the given strides of its stages."""

    def __init__(self, name: str, stage_strides: tuple[int, int, int, int], norm: Norm) -> None:
        super().__init__()
        with optional("torchvision", f"backbone {name}"):
            import torchvision  # type: ignore[import-untyped]
        network = torchvision.models.get_model(name, weights=None, norm_layer=norm)
        stages = (network.layer1, network.layer2, network.layer3, network.layer4)
        for stage, stride in zip(stages, stage_strides, strict=True):
            _set_stride(stage[0], stride)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = nn.Sequential(*stages)
        self.channels = network.fc.in_features

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.stages(self.stem(images))
        return features


class PyramidTower(Tower):
    """Residual levels at 1/4, 1/8 and 1/16 of the image, the coarse ones added back to the finest."""

    def __init__(self, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        widths = (2 * width, 3 * width, 4 * width)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False), norm(width), nn.ReLU())
        self.levels = nn.ModuleList()
        channels = width
        for level in widths:
            first = ResidualBlock(channels, level, 2, norm)
            self.levels.append(nn.Sequential(first, *(ResidualBlock(level, level, 1, norm) for _ in range(blocks - 1))))
            channels = level
        self.lateral = nn.ModuleList(nn.Conv2d(level, widths[0], 1) for level in widths[1:])
        self.fuse = ResidualBlock(widths[0], widths[0], 1, norm)
        self.channels = widths[0]

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        maps = []
        for level in self.levels:
            features = level(features)
            maps.append(features)
        fused = maps[0]
        for lateral, coarse in zip(self.lateral, maps[1:], strict=True):
            fused = fused + functional.interpolate(lateral(coarse), fused.shape[-2:], mode="bilinear")
        combined: Tensor = self.fuse(fused)
        return combined


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut past them (He et al.): torchvision's ``BasicBlock``, with the same tensor names.

    Ours, so that inference does not need torchvision, whose build has to match torch's.
    """

    def __init__(self, channels: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        shortcut = None
        if stride != 1 or channels != width:
            shortcut = nn.Sequential(StridedPointwise(channels, width, 1, stride, bias=False), norm(width))
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = shortcut

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        features = self.bn2(self.conv2(features))
        features += images if self.downsample is None else self.downsample(images)
        return functional.relu(features, inplace=True)


def _set_stride(block: nn.Module, stride: int) -> None:
    """Set the stride of a torchvision residual block, on the convolutions that carry it."""
    carriers = [block.conv2 if hasattr(block, "conv3") else block.conv1]
    if isinstance(block.downsample, nn.Sequential):
        carriers.append(block.downsample[0])
    for convolution in carriers:
        assert isinstance(convolution, nn.Conv2d)
        convolution.stride = (stride, stride)
