"""The paper's model (Table 12): one tower for all cameras, spatial softmax, two linear layers to the pose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.networks.backbones import build_backbone
from vision.networks.heads import RegressionHead, RegressionOutput, rotation_from_values
from vision.networks.losses import LossConfig, nearest_symmetric_target, regression_loss
from vision.networks.model_config import ModelConfig
from vision.networks.pose_model import PoseModel, true_pose
from vision.networks.prediction import PosePrediction
from vision.networks.preprocessing import Augment, TrainingAugment, preprocess
from vision.scene.scene import Scene

CAMERA_FEATURE_UNITS = (1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02, 0.03, 1.0)
"""Unit of each camera number that the regression head receives, so that all are about 1 under Table 9's displacements:
metres, radians, logarithm of the focal length, known or not."""


class RegressionModel(PoseModel):
    """The paper's network (Table 12). Its first linear layer fixes the number of cameras."""

    config_keys: ClassVar[Collection[str]] = ("rotation", "hidden", "image_size", "camera_input")
    loss_keys: ClassVar[Collection[str]] = ("rotation",)

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.tower = build_backbone(config.backbone)
        features = len(CAMERA_FEATURE_UNITS) if config.camera_input else 0
        self.head = RegressionHead(self.tower.channels, len(scene.rig), config.hidden, config.rotation, features)

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        if config.window is not None:
            raise ValueError("a window needs head: geometric, and its size takes the place of image_size")
        super().check_config(config)

    def forward(
        self, images: Tensor, augment: Augment | None = None, camera_features: Tensor | None = None
    ) -> RegressionOutput:
        """Return normalised poses for images (B, C, 3, H, W) uint8.

        Args:
            augment: applied to the input of the tower.
            camera_features: (B, C, 8) from :meth:`camera_features`; zeros or None if the cameras are not known.
        """
        flat = preprocess(self._whole(self._check(images), images.shape[1], self.config.image_size), augment)
        if self.config.camera_input and camera_features is None:
            camera_features = torch.zeros((*images.shape[:2], len(CAMERA_FEATURE_UNITS)), device=images.device)
        output: RegressionOutput = self.head(self.tower(flat).unflatten(0, images.shape[:2]), camera_features)
        return output

    @property
    def description(self) -> str:
        known = "is told the cameras' calibration" if self.uses_cameras else "never uses the cameras' calibration"
        return f"answers with the pose at once and {known}"

    @property
    def uses_cameras(self) -> bool:
        return self.config.camera_input

    def camera_features(self, cameras: Cameras) -> Tensor:
        """Return the input of a ``camera_input`` head for known cameras, (B, C, 8) float32, in
        ``CAMERA_FEATURE_UNITS``: translation (3) and rotation (3) from the nominal camera, in the camera's own axes,
        the logarithm of the ratio of focal lengths, and 1 for known. Other intrinsics never vary in training and are
        left out."""
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
        return PosePrediction(Pose(rotation, self._position(values)), length.clamp(0.0, 1.0))

    def losses(self, batch: Mapping[str, Tensor], augment: TrainingAugment, config: LossConfig) -> Tensor:
        images, pose = batch["images"], true_pose(batch)
        features = None
        if self.config.camera_input:  # cameras of half of the samples, so that one network learns both protocols
            known = augment.cameras_known(len(images))
            features = known * self.camera_features(Cameras.from_label(batch))
        values, form = self(images, augment, features).values.float(), self.config.rotation
        with torch.autocast(values.device.type, enabled=False):  # which would round products of rotations
            if not self.object.symmetries.trivial:
                found, _ = rotation_from_values(values[:, 3:].detach(), form)
                pose = nearest_symmetric_target(found.to(pose.rotation.dtype), pose, self.motions)
            normalized = (pose.position - self.position_mean) / self.position_deviation
            return regression_loss(values, pose._replace(position=normalized), form, config.rotation)

    def exported(self, output: RegressionOutput) -> dict[str, Tensor]:
        rotation, _ = rotation_from_values(output.values[:, 3:], self.config.rotation)
        return {"position": self._position(output.values), "rotation": rotation}

    def _position(self, values: Tensor) -> Tensor:
        """Return the positions (B, 3) in metres that the network's normalised output stands for."""
        return values[:, :3] * self.position_deviation + self.position_mean
