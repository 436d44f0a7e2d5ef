"""The network: images of all cameras in, the object's pose in the world out.

Two models behind one interface. ``forward`` is what training compares with the truth, ``pose`` makes a
:class:`PosePrediction` of it, ``predict`` does both.

regression
    Table 12: one tower for all cameras, spatial softmax, two linear layers.
geometric
    One tower for all cameras finds the object's corners in each image, with an expected error each; the pose follows
    from the cameras' calibration. With a window, a small locator finds the object in the whole image first and the
    tower sees only its surroundings, at full resolution. The locator also finds landmarks of the hand, from which
    nominal cameras are mended: the same weights serve both protocols.

Everything between the bytes of a picture and the pose is in here, so that a checkpoint alone says how images and
targets are scaled. Each image that enters a tower is normalised to zero mean and unit variance, as in the paper;
contrast and noise come after that and only in training, hence the ``augment`` argument of ``forward``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vision.backbones import build_backbone
from vision.geometric import GeometricModel
from vision.heads import RegressionHead, RegressionOutput, rotation_from_values
from vision.pose_model import Augment, DataSpec, ModelConfig, PoseModel, PosePrediction, enter, resize
from vision.triangulate import Cameras


class RegressionModel(PoseModel):
    """Table 12. The number of cameras is fixed by its first linear layer."""

    def __init__(self, config: ModelConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.tower = build_backbone(config.backbone)
        self.head = RegressionHead(self.tower.channels, len(data.rig), config.hidden, config.rotation)

    def forward(self, images: Tensor, augment: Augment | None = None) -> RegressionOutput:
        """Normalised poses from images (B, C, 3, H, W) uint8."""
        flat = enter(resize(self._check(images), self.config.image_size), augment)
        return self.head(self.tower(flat).unflatten(0, images.shape[:2]))

    @torch.no_grad()
    def pose(self, output: RegressionOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        del cameras, nominal
        values = output.values.double()
        rotation, length = rotation_from_values(values[:, 3:], self.config.rotation)
        return PosePrediction(
            values[:, :3] * self.position_deviation + self.position_mean, rotation, length.clamp(0.0, 1.0)
        )


def build_model(config: ModelConfig, data: DataSpec) -> PoseModel:
    """A network with random weights (from torch's default generator)."""
    return RegressionModel(config, data) if config.head == "regression" else GeometricModel(config, data)
