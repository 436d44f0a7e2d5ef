"""Configuration of networks, and the registry of models."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from vision.networks.backbones import BackboneConfig
from vision.networks.heads import RotationFormat
from vision.registry import Registry

MODELS = Registry(
    "model",
    "dactyl.models",
    {
        "regression": "vision.networks.regression:RegressionModel",
        "geometric": "vision.networks.geometric:GeometricModel",
    },
)
"""Classes of :class:`vision.networks.pose_model.PoseModel` by ``head``."""

MOST_WINDOWS = 100
"""Largest number of windows in which a network sees one image."""


@dataclass(frozen=True)
class WindowConfig:
    """The window of an image that the geometric model sees.

    Attributes:
        side: side of the window, as a fraction of the longer side of its camera's image; null fits it to the object,
            separately for each camera. (0.38 for the block: its corners lie within 0.19 of its centre.)
        size: side of the window in the tower's pixels; a window of a multiple of it in image pixels is reduced first,
            by averaging.
        locator_size: pixels to which the whole image is reduced to find the object and the hand's landmarks.
        locator_width: channels of the locator's first layer, as a pyramid's ``width``, a multiple of 8.
        count: number of windows, rolled against each other, in which it sees each image except in training
            (:mod:`vision.networks.several_windows`).
    """

    side: float | None = None
    size: int = 80
    locator_size: int = 100
    locator_width: int = 24
    count: int = 1

    def __post_init__(self) -> None:
        if self.side is not None and not 0 < self.side <= 2:
            raise ValueError(f"window side must lie between 0 and 2 image sides, got {self.side}")
        sizes = (self.size, self.locator_size)
        if min(sizes) < 32 or max(sizes) > 4096:
            raise ValueError(f"window size and locator_size must be 32 to 4096, got {self.size}, {self.locator_size}")
        if not 8 <= self.locator_width <= 1024 or self.locator_width % 8:
            raise ValueError(f"window locator_width must be a multiple of 8 up to 1024, got {self.locator_width}")
        if not 1 <= self.count <= MOST_WINDOWS:
            raise ValueError(f"window count must be 1 to {MOST_WINDOWS}, got {self.count}")


@dataclass(frozen=True)
class ModelConfig:
    """A network.

    Attributes:
        head: the model: regression (the paper's), geometric (corners and geometry), or one that another package offers.
        backbone: the tower.
        rotation: output format of the regression head's rotation.
        hidden: width of the regression head's hidden layer.
        image_size: pixels to which images are reduced; their own size when null.
        window: window around the object that the geometric model sees; the whole image when null.
        iterations: number of refinement iterations of a geometric pose with known cameras.
        camera_input: whether the regression head also receives the cameras: how far each is from its nominal pose.
        options: additional keys of another package's model.
    """

    head: str = "regression"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rotation: RotationFormat = "quaternion"
    hidden: int = 128
    image_size: int | None = None
    window: WindowConfig | None = None
    iterations: int = 10
    camera_input: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.hidden <= 65_536 or not 0 <= self.iterations <= 1000:
            raise ValueError(
                f"hidden must be 1 to 65,536 and iterations 0 to 1,000, got {self.hidden}, {self.iterations}"
            )
        if self.image_size is not None and not 32 <= self.image_size <= 4096:
            raise ValueError(f"image_size must be 32 to 4,096, got {self.image_size}")
        if self.head not in MODELS.names():
            raise ValueError(f"head: expected one of {', '.join(MODELS.names())}, got {self.head}")
        MODELS.load(self.head).check_config(self)


def used_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a file without known keys that its model does not use: earlier versions, which did
    not refuse them, wrote any value there."""
    if isinstance(backbone := values.get("backbone"), dict):
        values = values | {"backbone": BackboneConfig.used_keys(backbone)}
    head = values.get("head")
    keys = MODELS.load(head).config_keys if isinstance(head, str) and head in MODELS.names() else None
    if keys is None:
        return values
    unused = {each.name for each in fields(ModelConfig)} - {"head", "backbone", "options", *keys}
    return {key: value for key, value in values.items() if key not in unused}
