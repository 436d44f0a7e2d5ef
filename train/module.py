"""The training task: one batch to a loss, held-out triplets to degrees and millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torchmetrics import CatMetric

from train.faults import LossNotFiniteError
from train.image_augmentation import AugmentConfig, ImageAugment
from train.losses import (
    LossConfig,
    laplace_loss,
    nearest_alike,
    regression_loss,
    surface_loss,
    symmetric_laplace_loss,
)
from train.surface import SurfaceTargets
from vision.estimator import checkpoint_record
from vision.geometry.cameras import Cameras, project_torch
from vision.geometry.rotations import geodesic_distance_torch, quaternion_to_matrix
from vision.networks.geometric import GeometricModel
from vision.networks.heads import rotation_from_values
from vision.networks.model import RegressionModel, build_model
from vision.networks.pose_model import ModelConfig, PoseModel
from vision.scene.scene import Scene
from vision.scene.symmetries import symmetric_distance
from vision.solvers.landmarks import locate

_STEPS = 72  # of a turn, in which continuous symmetries are tried


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser and schedule; the defaults are Table 11's.

    Attributes:
        name: "adam" adds weight decay to the gradient, as the paper's; "adamw" keeps it apart.
        learning_rate: at its highest.
        weight_decay: not applied to biases and normalisation under "adamw".
        schedule: "halve" every ``halve_every`` batches, or "cosine" down to zero at the last one.
        halve_every: batches.
        warmup: batches over which the learning rate rises to its highest.
        ema: decay, for each step, of a moving average of the weights, which is then what is validated and kept; none
            when null. After n steps it is at most (1 + n) / (10 + n), so that the first weights are soon forgotten.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3
    schedule: Literal["halve", "cosine"] = "halve"
    halve_every: int = 20_000
    warmup: int = 0
    ema: float | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or self.weight_decay < 0:
            raise ValueError("learning_rate must be above 0 and weight_decay 0 or more")
        if self.halve_every < 1 or self.warmup < 0:
            raise ValueError("halve_every must be 1 or more and warmup 0 or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, got {self.ema}")

    def factor(self, batch: int, batches: int) -> float:
        """Of the learning rate, for batch number ``batch`` of ``batches``."""
        rise = min(1.0, (batch + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "halve":
            return rise * 0.5 ** (batch // self.halve_every)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, batch / max(1, batches))))


class PoseTask(lightning.LightningModule):
    """Trains a pose model. Everything random in a batch is a function of (seed, batch number, process).

    Attributes:
        model: the network that learns.
        began: whether training has begun, all that a checkpoint holds being restored.
        average: of its weights, with ``optimizer.ema``. Lightning's callback for this swaps the two for a validation,
            but back again before a geometric network's confidence is set and pictures are drawn: both would be of the
            wrong one. Here torch's average is a part of the task, and so of its checkpoints, and nothing is swapped
            but names in the file.
    """

    motions: Tensor

    def __init__(
        self,
        model: ModelConfig,
        scene: Scene,
        loss: LossConfig,
        augment: AugmentConfig,
        optimizer: OptimizerConfig,
        seed: int,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: PoseModel = build_model(model, scene).to(memory_format=torch.channels_last)
        self.average = None if optimizer.ema is None else _moving_average(self.model, optimizer.ema)
        self.loss_config = loss
        self.augment_config = augment
        self.optimizer_config = optimizer
        self.seed = seed
        self.began = False
        self.surface = SurfaceTargets(self.model.object)
        motions = torch.tensor(self.model.object.symmetries.transforms(_STEPS), dtype=torch.float32)
        self.register_buffer("motions", motions, persistent=False)
        self.errors = CatMetric()

    @property
    def validated(self) -> PoseModel:
        """The network that is validated, drawn and kept: with the averaged weights, if there are any."""
        if self.average is None:
            return self.model
        model = self.average.module
        assert isinstance(model, PoseModel)
        return model

    def on_train_start(self) -> None:
        self.began = True

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        del batch_index  # counts within an epoch of the trainer's; augmentation follows the count of all batches
        augment = ImageAugment(self.augment_config, self._generator())
        losses = self.losses(batch, augment)
        loss = losses.mean()
        if not torch.isfinite(loss):
            raise LossNotFiniteError(self.trainer.fit_loop.total_batch_idx, batch, losses)
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        del batch_index
        model, images = self.validated, batch["images"]
        true, nominal = Cameras(batch["camera_intrinsics"], batch["camera_extrinsics"]), self._nominal(len(images))
        if isinstance(model, GeometricModel):
            output = model(images)
            found = [model.pose(output, true)]
            found += [model.pose(output, nominal, nominal=True)] if model.finds_cameras else []
        else:
            found = [model.predict(images, true)]
            found += [model.predict(images, nominal, nominal=True)] if model.uses_cameras else []
        truth, position = quaternion_to_matrix(batch["object_quaternion"].double()), batch["object_position"]
        columns = []
        centre = torch.tensor(model.object.symmetries.centre, device=position.device)  # which no symmetry moves
        for pose in found:
            turn = self._rotation_error(truth, pose.rotation)
            shift = torch.linalg.vector_norm(pose.position - position + (pose.rotation - truth) @ centre, dim=-1)
            nothing = torch.zeros_like(turn)
            columns += [turn, shift, nothing if pose.deviation is None else pose.deviation]
            columns += [nothing if pose.views is None else pose.views.spread]
        self.errors.update(torch.stack(columns, dim=-1).flatten())

    def on_validation_epoch_end(self) -> None:
        both = self.model.finds_cameras or (isinstance(self.model, RegressionModel) and self.model.uses_cameras)
        protocols = ("", "nominal_") if both else ("",)
        errors = self.errors.compute().unflatten(0, (-1, len(protocols), 4)).unbind(1)
        self.errors.reset()
        for model in (self.model, self.validated):  # equal in both, it stays as it is in their average
            if isinstance(model, GeometricModel):
                for nominal, error in enumerate(errors):
                    model.calibrate(error[:, 0], error[:, 2], bool(nominal))
                model.set_usual_spread(errors[0][:, 3])
        values = {}
        for protocol, (turn, shift, _, _) in zip(protocols, (error.unbind(-1) for error in errors), strict=True):
            values[f"val/{protocol}rotation_mean_deg"] = torch.rad2deg(turn.mean())
            values[f"val/{protocol}rotation_median_deg"] = torch.rad2deg(turn.median())
            values[f"val/{protocol}position_mean_mm"] = 1e3 * shift.mean()
            values[f"val/{protocol}position_median_mm"] = 1e3 * shift.median()
        # Equal in all processes, each has computed them from the errors of all; best.ckpt needs them in all.
        self.log_dict({name: value.float() for name, value in values.items()})

    def _rotation_error(self, truth: Tensor, found: Tensor) -> Tensor:
        """Angles (B,) in radians to the nearest rotation that looks like the true one, (B, 3, 3) each."""
        symmetries = self.model.object.symmetries
        if symmetries.trivial:
            return geodesic_distance_torch(found, truth)
        angles = symmetric_distance(symmetries, truth.cpu().numpy(), found.double().cpu().numpy())
        return torch.from_numpy(angles).to(truth.device)

    def _nominal(self, batch: int) -> Cameras:
        """The rig's cameras for every sample of a batch."""
        nominal = self.model.scene.rig.nominal
        matrices = (nominal.intrinsics, nominal.extrinsics)
        return Cameras(*(torch.tensor(m).float().to(self.device).expand(batch, -1, -1, -1) for m in matrices))

    def optimizer(self) -> torch.optim.Optimizer:
        """A fresh one, of the network's parameters."""
        config = self.optimizer_config
        if config.name == "adam":
            return torch.optim.Adam(self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.95))

    def configure_optimizers(self) -> Any:
        config, optimizer = self.optimizer_config, self.optimizer()
        batches = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda batch: config.factor(batch, batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    def update_average(self) -> None:
        """Once after each step of the optimiser."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(checkpoint_record(self.model))
        # Else an interrupted validation, which is done again, would leave its batches in the count.
        validated = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
        validated["total"] = dict(validated["current"])
        self._exchange_names(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._exchange_names(checkpoint["state_dict"])

    def _exchange_names(self, state: dict[str, Tensor]) -> None:
        """In a file the averaged weights go by the network's own names, by which estimators read them, and its weights
        by the average's."""
        if self.average is not None:
            for name in self.model.state_dict():
                own, averaged = f"model.{name}", f"average.module.{name}"
                state[own], state[averaged] = state[averaged], state[own]

    def losses(self, batch: dict[str, Tensor], augment: ImageAugment) -> Tensor:
        """Loss of every sample, (B,)."""
        model, images = self.model, batch["images"]
        images = augment.photographed(images.flatten(0, 1)).view(images.shape)
        position, rotation = batch["object_position"], quaternion_to_matrix(batch["object_quaternion"])
        if isinstance(model, RegressionModel):
            target = (position - model.position_mean) / model.position_deviation
            features = None
            if model.config.camera_input:  # of half of the samples, so that one network learns both protocols
                known = augment.cameras_known(len(images))
                features = known * model.camera_features(
                    Cameras(batch["camera_intrinsics"], batch["camera_extrinsics"])
                )
            output = model(images, augment, features)
            if not model.object.symmetries.trivial:
                found, _ = rotation_from_values(output.values[:, 3:].detach(), model.config.rotation)
                rotation, position = nearest_alike(found.to(rotation.dtype), rotation, position, self.motions)
                target = (position - model.position_mean) / model.position_deviation
            return regression_loss(output.values, target, rotation, model.config.rotation, self.loss_config.rotation)
        assert isinstance(model, GeometricModel)
        cameras = Cameras(batch["camera_intrinsics"], batch["camera_extrinsics"])
        with torch.autocast(self.device.type, enabled=False):
            corners = model.keypoints.float() @ rotation.mT + position[:, None]
            targets = project_torch(
                torch.cat([corners, position[:, None]], dim=1)[:, None], cameras.intrinsics, cameras.extrinsics
            )
        windows, scenes, window, side = None, None, model.config.window, model.image_side
        if window is not None:
            windows = augment.windows(targets[:, :, -1], model.sides(images.shape[:2]), window.size)
            scenes = augment.scenes((images.shape[0], images.shape[1]), side, window.locator_size)
        output = model(images, augment, windows, scenes)
        alike = None
        if model.permutations is None:
            losses = laplace_loss(output.corners, targets[:, :, :-1])
        else:
            losses, alike = symmetric_laplace_loss(output.corners, targets[:, :, :-1], model.permutations)
        if output.centre is not None:
            losses = losses + laplace_loss(output.centre, targets[:, :, -1:])
            if model.finds_cameras:
                losses = losses + self.loss_config.landmarks * laplace_loss(output.landmarks, self._landmarks(batch))
        # About a continuous symmetry's axis nothing tells where a point of the surface is.
        if self.loss_config.surface and not len(model.object.symmetries.axes):
            with torch.autocast(self.device.type, enabled=False):
                points, hit = self.surface(
                    output.windows, model.input_size, output.surface.shape[-2:], cameras, position, rotation
                )
                if alike is not None:  # the same points as in the pose that the image has chosen
                    inverse = torch.linalg.inv(self.motions)[alike]
                    points = points @ inverse[..., :3, :3].mT + inverse[..., None, :3, 3] / self.surface.radius
                losses = losses + self.loss_config.surface * surface_loss(output.surface, points, hit)
        return losses

    def _landmarks(self, batch: dict[str, Tensor]) -> Tensor:
        """True pixels (B, C, L, 2) of the hand's landmarks."""
        with torch.autocast(self.device.type, enabled=False):
            hand = self.model.scene.hand
            assert hand is not None
            assert hand.landmarks is not None
            points, _ = locate(hand.landmarks, batch["joint_position"][:, list(hand.landmark_joints)])
            return project_torch(points[:, None], batch["camera_intrinsics"], batch["camera_extrinsics"])

    def _generator(self) -> torch.Generator:
        entropy = [self.seed, self.trainer.fit_loop.total_batch_idx, self.global_rank]
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        return torch.Generator(device=self.device).manual_seed(seed)


def _moving_average(model: PoseModel, decay: float) -> AveragedModel:
    """An average of the weights and of batch normalisation's statistics, so far of nothing."""

    def averaged(average: Tensor, weight: Tensor, steps: Tensor | int) -> Tensor:
        share = 1 - torch.clamp((1 + torch.as_tensor(steps)) / (10 + torch.as_tensor(steps)), max=decay)
        return average + share * (weight - average)  # exactly as it was, where both are equal

    return AveragedModel(model, avg_fn=averaged, use_buffers=True).requires_grad_(False)
