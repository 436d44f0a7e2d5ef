"""Lightning's trainer with our callbacks, loggers and checkpoints."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.fabric.plugins.environments import ClusterEnvironment, SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from train.checkpoints import LAST, SafeCheckpointIO, SaveLast, save_best
from train.config import TrainConfig
from train.data import TripletDataModule
from train.pictures import ValidationPictures
from train.preemption import StopOnSignal
from train.progress import Rates, TrainingBar
from vision.errors import DactylError, UsageError, format_error
from vision.io.json_values import fingerprint
from vision.statistics.spacing import evenly_spaced


def make_trainer(config: TrainConfig, options: dict[str, Any], data: TripletDataModule) -> lightning.Trainer:
    """Make Lightning's trainer with our callbacks, loggers and checkpoints; ``options`` are its own.

    Raises:
        UsageError: it refuses an option.
        DactylError: a logger's package is missing.
    """
    if options.get("limit_val_batches") == 0:
        raise UsageError("dactyl train: trainer.limit_val_batches: 0 leaves no validation to choose best.ckpt by")
    options = {**options, "val_check_interval": validation_interval(options)}
    stop = StopOnSignal(data.waiting)
    callbacks = [
        stop,
        save_best(config.output, "val/rotation_mean_deg"),
        SaveLast(config.output / LAST, config.save_every, stop),
        LearningRateMonitor("step"),
        Rates(data),
    ]
    if config.log.pictures:
        shown = data.sources.val_numbers[evenly_spaced(len(data.sources.val_numbers), config.log.pictures)]
        callbacks.append(ValidationPictures(data.sources.val_source, shown.tolist()))
    if options.pop("enable_progress_bar") is not False:
        callbacks.append(TrainingBar())
    plugins = [SafeCheckpointIO(), *_list(options.pop("plugins"))]
    if SLURMEnvironment.detect() and not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        # Lightning would save elsewhere and requeue the job; here last.ckpt and the exit status serve that purpose.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return lightning.Trainer(
            **{**options, "callbacks": [*callbacks, *_list(options["callbacks"])]},
            enable_progress_bar=any(isinstance(callback, TrainingBar) for callback in callbacks),
            plugins=plugins,
            logger=_loggers(config),
            default_root_dir=config.output,
            max_epochs=-1,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=None,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"dactyl train: trainer: {format_error(error)}") from error


def _loggers(config: TrainConfig) -> list[Logger]:
    loggers: list[Logger] = [
        CSVLogger(config.output, name="csv"),
        TensorBoardLogger(config.output, name="tensorboard"),
    ]
    if config.log.wandb is not None:
        try:
            name, folder = config.output.name, str(config.output.resolve())
            # Derive the W&B run id from the output folder, so that a resumed training continues the same run.
            number, project = fingerprint(folder)[:16], config.log.wandb
            loggers.append(WandbLogger(name, folder, id=number, project=project, resume="allow"))
        except ModuleNotFoundError:
            raise DactylError("log.wandb: the package wandb is missing; pip install wandb, or leave it null") from None
    return loggers


def validation_interval(options: dict[str, Any]) -> int:
    """Return the number of batches between validations, about as many as requested, in whole steps of the optimiser:
    the last validation then falls on the training's end, or a few steps before it. Anything learnt after the last
    validation would not be in the best checkpoint."""
    interval = options["val_check_interval"]
    if type(interval) is not int or interval < 1:
        raise UsageError(f"dactyl train: trainer.val_check_interval: expected a number of batches, got {interval!r}")
    steps, batches_per_step = int(options["max_steps"]), int(options["accumulate_grad_batches"])
    validations = min(steps, max(1, round(steps * batches_per_step / interval)))
    return steps // validations * batches_per_step


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
