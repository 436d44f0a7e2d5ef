"""``dactyl train``."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

from train.augment import AugmentConfig
from train.checkpoints import BEST, LAST, SafeCheckpointIO, SaveLast, save_best
from train.data import DataConfig, TripletDataModule
from train.losses import LossConfig
from train.module import OptimizerConfig, PoseTask
from train.progress import TrainingBar
from vision.config import (
    CONFIG_ERRORS,
    UsageError,
    known_keys,
    new_parser,
    one_line,
    plain,
    refuse_not_finite,
    usage_error,
)
from vision.estimator import read_checkpoint
from vision.files import exclusive_folder
from vision.folders import claim
from vision.model import DataSpec, ModelConfig

# Ours to set: they decide where things go and what a batch is.
_OWN_TRAINER_KEYS = {
    "logger", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "max_epochs", "min_epochs",
    "reload_dataloaders_every_n_epochs", "num_sanity_val_steps", "check_val_every_n_epoch", "barebones",
}  # fmt: skip
_TRAINER_DEFAULTS = {
    "max_steps": 400_000,
    "val_check_interval": 5_000,
    "log_every_n_steps": 50,
    "enable_model_summary": False,
}


@dataclass(frozen=True)
class TrainConfig:
    """A training.

    Attributes:
        output: folder for checkpoints and logs; a training that was stopped there goes on.
        data: datasets and batches.
        model: the network.
        loss: what is minimised.
        augment: changes of the pictures.
        optimizer: optimiser and schedule; the number of batches is ``trainer.max_steps``.
        seed: of the first weights, the order of the samples and the augmentation.
        save_every: batches between checkpoints, beside those at each validation.
        threads: of torch on the CPU; as many as cores when null.
    """

    output: Path
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = 0
    save_every: int = 1_000
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0 or self.save_every < 1 or (self.threads is not None and self.threads < 1):
            raise ValueError("seed must be 0 or more; save_every and threads 1 or more")


def main_train(argv: Sequence[str]) -> None:
    """Train a pose estimator on a dataset of image triplets.

    Leaves best.ckpt (lowest mean rotation error on held-out triplets), last.ckpt, and TensorBoard and CSV logs. The
    same command resumes a training that was stopped and reuses one that is done. All options of Lightning's Trainer
    are under --trainer: devices, strategy, precision, ...

    examples:
      dactyl train --config configs/train/paper.yaml --data.train data/train --output runs/paper
      dactyl train --config configs/train/best.yaml --data.train data/train --data.val data/val --output runs/best
      dactyl train ... --trainer.devices 8 --trainer.strategy ddp --trainer.precision bf16-mixed
      dactyl train ... --model.backbone.name resnet50 --optimizer.learning_rate 1e-4
    """
    config, options = parse(argv)
    data = TripletDataModule(config.data, config.seed)
    # A further process of a training on several devices leaves the folder to the first.
    with contextlib.nullcontext() if "LOCAL_RANK" in os.environ else exclusive_folder(config.output):
        train(config, options, data)


def parse(argv: Sequence[str]) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration and the Trainer's options that ``argv`` describes; UsageError says what is wrong with it."""
    parser = new_parser("dactyl train", main_train.__doc__ or "")
    parser.add_class_arguments(TrainConfig, None)
    keys = parser.add_class_arguments(lightning.Trainer, "trainer", skip=_OWN_TRAINER_KEYS, instantiate=False)
    parser.set_defaults({f"trainer.{key}": value for key, value in _TRAINER_DEFAULTS.items()})
    try:
        values = parser.instantiate(parser.parse_args(list(argv))).as_dict()
        del values["config"]
        options = values.pop("trainer")
        if options["max_steps"] < 1:
            raise ValueError(f"trainer.max_steps must be 1 or more, got {options['max_steps']}")
        config = TrainConfig(**values)
        refuse_not_finite({"trainer": options, **vars(config)})
        return config, options
    except CONFIG_ERRORS as error:
        raise usage_error("dactyl train", argv, error, [*known_keys(TrainConfig), *keys]) from error


def train(config: TrainConfig, options: dict[str, Any], data: TripletDataModule) -> None:
    """Train on ``data``, resume or reuse; ``options`` are the Trainer's."""
    console = Console(stderr=True, quiet="LOCAL_RANK" in os.environ)
    spec = DataSpec(data.source.object.name, data.source.rig, data.source.image_size)
    claim(config.output, _identity(config, options, data), "*.ckpt")
    last = config.output / LAST
    done = read_checkpoint(last)["global_step"] if last.exists() else 0
    if done >= options["max_steps"]:
        console.print(f"{config.output}: training is done ({done:,} batches), reused")
        return
    if done:
        console.print(f"{config.output}: resuming at batch {done:,} of {options['max_steps']:,}")
    if config.data.verify:
        data.verify()
    if config.threads is not None:
        torch.set_num_threads(config.threads)

    task = PoseTask(config.model, spec, config.loss, config.augment, config.optimizer, config.seed)
    task.model.set_position_statistics(*data.position_statistics())
    trainer = _trainer(config, options)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=str(last) if done else None)
    except SystemExit:
        if trainer.interrupted:  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from None
        raise
    best = trainer.checkpoint_callback
    if trainer.is_global_zero and isinstance(best, ModelCheckpoint) and best.best_model_score is not None:
        console.print(
            f"{config.output / BEST}: mean rotation error {best.best_model_score:.2f} deg on held-out triplets"
        )


def _trainer(config: TrainConfig, options: dict[str, Any]) -> lightning.Trainer:
    # Lightning advises on workers and logging; the configuration has decided those.
    warnings.filterwarnings("ignore", module="lightning.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    options = {**options, "val_check_interval": _interval(options)}
    callbacks = [
        save_best(config.output, "val/rotation_mean_deg"),
        SaveLast(config.output / LAST, config.save_every),
        LearningRateMonitor("step"),
    ]
    if options.pop("enable_progress_bar") is not False:
        callbacks.append(TrainingBar())
    plugins = options.pop("plugins") or []
    try:
        return lightning.Trainer(
            **{**options, "callbacks": [*callbacks, *_list(options["callbacks"])]},
            enable_progress_bar=any(isinstance(callback, TrainingBar) for callback in callbacks),
            plugins=[SafeCheckpointIO(), *_list(plugins)],
            logger=[CSVLogger(config.output, name="csv"), TensorBoardLogger(config.output, name="tensorboard")],
            default_root_dir=config.output,
            max_epochs=-1,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=None,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"dactyl train: trainer: {one_line(error)}") from error


def _interval(options: dict[str, Any]) -> int:
    """Batches between validations; never more than there are."""
    interval = options["val_check_interval"]
    if type(interval) is not int or interval < 1:
        raise UsageError(f"dactyl train: trainer.val_check_interval: expected a number of batches, got {interval!r}")
    return min(interval, options["max_steps"])


def _identity(config: TrainConfig, options: dict[str, Any], data: TripletDataModule) -> dict[str, Any]:
    """What decides the weights that come out."""
    identity = plain(config)
    for key in ("output", "save_every", "threads"):
        del identity[key]
    for key in ("workers", "cache", "verify"):
        del identity["data"][key]
    # Datasets by what they hold, wherever they lie.
    identity["data"]["train"] = data.source.fingerprint
    identity["data"]["val"] = None if config.data.val is None else data.val_source.fingerprint
    decisive = ("max_steps", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision")
    identity["trainer"] = {key: options[key] for key in decisive}
    return identity


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
