"""The network: images of all cameras in, the object's pose in the world out.

Two models behind one interface. ``forward`` is what training compares with the truth, ``pose`` makes a
:class:`PosePrediction` of it, ``predict`` does both.

regression
    Table 12: one tower for all cameras, spatial softmax, two linear layers. With ``camera_input``, ours, it is also
    told how far each camera is from its nominal place; or that nobody knows, which is the nominal protocol.
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

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.networks.backbones import build_backbone
from vision.networks.geometric import GeometricModel
from vision.networks.heads import RegressionHead, RegressionOutput, rotation_from_values
from vision.networks.pose_model import Augment, ModelConfig, PoseModel, PosePrediction, preprocess, resize
from vision.scene.scene import Scene

CAMERA_FEATURE_UNITS = (1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02, 0.03, 1.0)
"""What one unit of each number that the regression head is told of a camera stands for, so that all are about 1 under
Table 9's displacements: metres, radians, logarithm of the focal length, known or not."""


class RegressionModel(PoseModel):
    """Table 12. The number of cameras is fixed by its first linear layer."""

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.tower = build_backbone(config.backbone)
        features = len(CAMERA_FEATURE_UNITS) if config.camera_input else 0
        self.head = RegressionHead(self.tower.channels, len(scene.rig), config.hidden, config.rotation, features)

    def forward(
        self, images: Tensor, augment: Augment | None = None, camera_features: Tensor | None = None
    ) -> RegressionOutput:
        """Normalised poses from images (B, C, 3, H, W) uint8.

        Args:
            augment: applied to what enters the tower.
            camera_features: (B, C, 8) of the cameras, from :meth:`camera_features`; zeros, and None, where they are not
            known.
        """
        flat = preprocess(resize(self._check(images), self.config.image_size), augment)
        if self.config.camera_input and camera_features is None:
            camera_features = torch.zeros((*images.shape[:2], len(CAMERA_FEATURE_UNITS)), device=images.device)
        return self.head(self.tower(flat).unflatten(0, images.shape[:2]), camera_features)

    @property
    def uses_cameras(self) -> bool:
        return self.config.camera_input

    def camera_features(self, cameras: Cameras) -> Tensor:
        """What a head with ``camera_input`` is told of known cameras, (B, C, 8) float32, in ``CAMERA_FEATURE_UNITS``:
        the nominal camera's place (3) and the turn away from it (3) in the camera's own axes, the logarithm of the
        ratio of focal lengths, and 1 for being known. Other intrinsics never vary in training, so it is not told them.
        """
        nominal = self.scene.rig.nominal
        matrices, transforms = cameras.intrinsics.double(), cameras.extrinsics.double()
        nominal_matrices, nominal_transforms = (
            torch.tensor(array).to(matrices) for array in (nominal.intrinsics, nominal.extrinsics)
        )
        turn = transforms[..., :3, :3] @ nominal_transforms[..., :3, :3].mT
        place = transforms[..., :3, 3] - (turn @ nominal_transforms[..., :3, 3:])[..., 0]
        zoom = (matrices[..., 1, 1] / nominal_matrices[..., 1, 1]).log()[..., None]
        numbers = torch.cat([place, roma.rotmat_to_rotvec(turn), zoom, torch.ones_like(zoom)], dim=-1)
        return (numbers / numbers.new_tensor(CAMERA_FEATURE_UNITS)).float()

    def predict(self, images: Tensor, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        with torch.inference_mode():
            features = self.camera_features(cameras) if self.config.camera_input and not nominal else None
            return self.pose(self(images, camera_features=features), cameras, nominal)

    @torch.no_grad()
    def pose(self, output: RegressionOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        del cameras, nominal
        values = output.values.double()
        rotation, length = rotation_from_values(values[:, 3:], self.config.rotation)
        return PosePrediction(
            values[:, :3] * self.position_deviation + self.position_mean, rotation, length.clamp(0.0, 1.0)
        )


def build_model(config: ModelConfig, scene: Scene) -> PoseModel:
    """A network with random weights (from torch's default generator)."""
    return RegressionModel(config, scene) if config.head == "regression" else GeometricModel(config, scene)
