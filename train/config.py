"""Configuration of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from train.data_config import DataConfig
from train.image_augmentation import ImageAugmentConfig
from train.module import OptimizerConfig
from vision.configuration.bounds import all_cores_or_some, at_least_one, not_negative
from vision.networks.losses import LossConfig
from vision.networks.model_config import MODELS, ModelConfig
from vision.networks.several_windows import unlearnt_roll


@dataclass(frozen=True)
class LogConfig:
    """What to log beside TensorBoard's and CSV's curves.

    Attributes:
        pictures: held-out triplets to draw after each validation, with the true and the estimated object.
        wandb: Weights & Biases project to also log to (needs the package wandb); not used when null.
    """

    pictures: int = 6
    wandb: str | None = None

    def __post_init__(self) -> None:
        not_negative(self, "pictures")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        output: folder for checkpoints and logs; a stopped training in it is resumed.
        data: datasets and batches.
        model: the network.
        init: weights to start from: the name of shipped ones (block), or a checkpoint; random ones when null. Layers
            that differ, such as the last one for an object with other keypoints, are initialised at random.
        loss: the losses to minimise.
        augment: random changes of the images.
        optimizer: optimiser and schedule; the number of steps is ``trainer.max_steps``.
        log: images and loggers beside the curves.
        seed: seed of the initial weights, the order of the samples and the augmentation.
        save_every: steps of the optimiser between checkpoints, in addition to those at each validation.
        threads: number of CPU threads of torch; null takes all cores, or OMP_NUM_THREADS.
    """

    output: Path
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    init: str | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    augment: ImageAugmentConfig = field(default_factory=ImageAugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    save_every: int = 1_000
    threads: int | None = None

    def __post_init__(self) -> None:
        not_negative(self, "seed")
        at_least_one(self, "save_every")
        all_cores_or_some(self, "threads")
        MODELS.load(self.model.head).check_loss(self.loss)
        several = self.model.window is not None and self.model.window.count > 1
        if several and (roll := unlearnt_roll(vars(self.augment))) is not None:
            key, value, least = roll
            raise ValueError(
                f"augment.{key}: with several windows (model.window.count) images are rolled by up to {least:g} "
                f"degrees, which the network must have learnt; got {value:g}"
            )
