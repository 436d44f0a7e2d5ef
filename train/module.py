"""The training task: a batch to a loss, held-out triplets to errors in degrees and millimetres."""

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
from train.image_augmentation import ImageAugment, ImageAugmentConfig
from vision.configuration.bounds import at_least_one, inner_fraction, not_negative, positive
from vision.errors import DactylError
from vision.network_files import checkpoint_record
from vision.networks.losses import LossConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig
from vision.networks.pose_model import PoseModel
from vision.scene.scene import Scene


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser and schedule; the defaults are Table 11's.

    Attributes:
        name: optimiser: "adam" adds weight decay to the gradient, as in the paper; "adamw" keeps it separate, and
            averages squared gradients over some 20 steps (betas 0.9 and 0.95) instead of 1,000.
        learning_rate: highest learning rate.
        weight_decay: strength of the weight decay; "adamw" does not apply it to biases and normalisation.
        schedule: course of the learning rate: "halve" every ``halve_every`` steps, or "cosine" down to zero at the last
            one. Steps are the optimiser's, each of ``trainer.accumulate_grad_batches`` batches.
        halve_every: steps after which "halve" halves it.
        warmup: steps over which the learning rate rises to its highest value.
        ema: decay, for each step, of a moving average of the weights, which is then validated and kept instead; none
            when null. After n steps it is at most (1 + n) / (10 + n), so that the initial weights are soon forgotten.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3
    schedule: Literal["halve", "cosine"] = "halve"
    halve_every: int = 20_000
    warmup: int = 0
    ema: float | None = None

    def __post_init__(self) -> None:
        positive(self, "learning_rate")
        not_negative(self, "weight_decay", "warmup")
        at_least_one(self, "halve_every")
        inner_fraction(self, "ema")

    def factor(self, step: int, steps: int) -> float:
        """Return the factor on the learning rate for step number ``step`` of ``steps`` of the optimiser."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "halve":
            return rise * 0.5 ** (step // self.halve_every)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


class PoseTask(lightning.LightningModule):
    """Task that trains a pose model. Everything random in a batch is a function of (seed, batch number, process).

    Attributes:
        model: network that is trained.
        began: whether training has begun, with the checkpoint fully restored.
        average: moving average of its weights, with ``optimizer.ema``. Lightning's callback for this swaps the two for
            a validation, but swaps them back before a geometric network's confidence is set and images are drawn: both
            would use the wrong weights. Here torch's average is part of the task, and so of its checkpoints, and only
            names in the file are swapped.
    """

    def __init__(
        self,
        model: ModelConfig,
        scene: Scene,
        loss: LossConfig,
        augment: ImageAugmentConfig,
        optimizer: OptimizerConfig,
        seed: int,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: PoseModel = build_model(model, scene).to(memory_format=torch.channels_last)
        learned = {id(parameter) for parameter in self.model.learned(loss)}
        for parameter in self.model.parameters():
            # Processes that train together wait for the gradient of each parameter that requires one.
            parameter.requires_grad_(id(parameter) in learned)
        self.average = None if optimizer.ema is None else _moving_average(self.model, optimizer.ema)
        self.loss_config = loss
        self.augment_config = augment
        self.optimizer_config = optimizer
        self.seed = seed
        self.began = False
        self.errors = CatMetric()

    @property
    def validated(self) -> PoseModel:
        """Network that is validated, drawn and kept: with the averaged weights, if there are any."""
        if self.average is None:
            return self.model
        model = self.average.module
        assert isinstance(model, PoseModel)
        return model

    def on_train_start(self) -> None:
        self.began = True

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        del batch_index  # counts within an epoch of the trainer; augmentation follows the count of all batches
        augment = ImageAugment(self.augment_config, self._generator())
        losses = self.losses(batch, augment)
        if losses.shape != (len(batch["images"]),):
            raise DactylError(
                f"model '{self.model.config.head}': losses returned the shape {tuple(losses.shape)}, expected one "
                f"value for each of {len(batch['images'])} samples"
            )
        loss = losses.mean()
        if not torch.isfinite(loss):
            raise LossNotFiniteError(self.trainer.fit_loop.total_batch_idx, batch, losses)
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        del batch_index
        columns = self.validated.validate(batch)
        if not (finite := torch.isfinite(columns).all(dim=1)).all():
            samples = ", ".join(map(str, batch["index"][~finite].tolist()[:8]))
            raise DactylError(
                f"errors of held-out samples {samples} are not finite after batch "
                f"{self.trainer.fit_loop.total_batch_idx}: lower optimizer.learning_rate, or take another "
                "trainer.precision, and choose a new output"
            )
        self.errors.update(columns)

    def on_validation_epoch_end(self) -> None:
        errors = self.errors.compute()
        self.errors.reset()
        for model in (self.model, self.validated):  # set equally in both, it is unchanged by averaging
            model.finish_validation(errors)
        metrics = self.validated.validation_metrics(errors)
        # Every process computes the same values from the errors of all; best.ckpt needs them in each.
        self.log_dict({f"val/{name}": value.float() for name, value in metrics.items()})

    def optimizer(self) -> torch.optim.Optimizer:
        """Return a new optimiser for the network's parameters that the loss depends on."""
        config, learned = self.optimizer_config, list(self.model.learned(self.loss_config))
        if config.name == "adam":
            return torch.optim.Adam(learned, config.learning_rate, weight_decay=config.weight_decay)
        weights = [p for p in learned if p.ndim > 1]
        others = [p for p in learned if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.95))

    def configure_optimizers(self) -> Any:
        config, optimizer = self.optimizer_config, self.optimizer()
        steps = int(self.trainer.estimated_stepping_batches)  # counts steps, in spite of its name
        schedule = LambdaLR(optimizer, lambda step: config.factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    def update_average(self) -> None:
        """Update the average with the current weights; call it once after each step of the optimiser."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(checkpoint_record(self.model))
        # Otherwise an interrupted validation, which is repeated, would leave its batches in the count.
        validated = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
        validated["total"] = dict(validated["current"])
        self._exchange_names(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._exchange_names(checkpoint["state_dict"])

    def _exchange_names(self, state: dict[str, Tensor]) -> None:
        """Exchange names in a file: the averaged weights get the network's own names, by which estimators read them,
        and the network's weights get the average's."""
        if self.average is not None:
            for name in self.model.state_dict():
                own, averaged = f"model.{name}", f"average.module.{name}"
                state[own], state[averaged] = state[averaged], state[own]

    def losses(self, batch: dict[str, Tensor], augment: ImageAugment) -> Tensor:
        """Return the loss of every sample, (B,)."""
        images = augment.camera(batch["images"], self.model.scene.rig)
        return self.model.losses({**batch, "images": images}, augment, self.loss_config)

    def _generator(self) -> torch.Generator:
        entropy = [self.seed, self.trainer.fit_loop.total_batch_idx, self.global_rank]
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        return torch.Generator(device=self.device).manual_seed(seed)


def _moving_average(model: PoseModel, decay: float) -> AveragedModel:
    """Return an average of the weights and of batch normalisation's statistics, not updated yet."""

    def averaged(average: Tensor, weight: Tensor, steps: Tensor | int) -> Tensor:
        share = 1 - torch.clamp((1 + torch.as_tensor(steps)) / (10 + torch.as_tensor(steps)), max=decay)
        return average + share * (weight - average)  # exactly unchanged if both are equal

    return AveragedModel(model, avg_fn=averaged, use_buffers=True).requires_grad_(False)
