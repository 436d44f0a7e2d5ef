"""``dactyl train``."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import lightning

from train.config import TrainConfig
from train.data import TripletDataModule
from train.fit import rank, train
from train.precision import AUTO
from vision.configuration.command_line import CONFIG_ERRORS, known_keys, new_parser, refuse_not_finite, usage_error
from vision.io.files import exclusive_folder

# Set by us, because they determine output locations and batches, or would change the batches unseen.
_OWN_TRAINER_KEYS = {
    "logger", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "max_epochs", "min_epochs",
    "reload_dataloaders_every_n_epochs", "num_sanity_val_steps", "check_val_every_n_epoch", "barebones", "precision",
    "limit_train_batches", "overfit_batches", "fast_dev_run",
}  # fmt: skip
_TRAINER_DEFAULTS = {
    "max_steps": 400_000,
    "val_check_interval": 5_000,
    "log_every_n_steps": 50,
    "enable_model_summary": False,
}


def main_train(argv: Sequence[str]) -> None:
    """Train a pose estimator on a dataset of image triplets.

    Writes best.ckpt (lowest mean rotation error on held-out triplets), last.ckpt, and TensorBoard and CSV logs. The
    same command resumes a training that was stopped and reuses one that is done. On SIGTERM (or SIGUSR1, or Ctrl-C
    once) it finishes the batch, saves and exits with status 143 (130 after Ctrl-C), after which a scheduler may start
    it again. All options of Lightning's Trainer are under --trainer: devices, strategy, precision, ... docs/training.md
    says more.

    examples:
      dactyl train --config configs/train/paper.yaml --data.train data/train --output runs/paper
      dactyl train --config configs/train/best.yaml --data.train data/train --data.val data/val --output runs/best
      dactyl train --config configs/train/best.yaml --config configs/train/online.yaml --data.val data/val \\
        --output runs/online
      dactyl train ... --data.train data/train --data.online.states data/states --data.online.fraction 0.25
      dactyl train ... --init block --trainer.max_steps 2000                begins with shipped weights
      dactyl train ... --trainer.devices 8 --trainer.strategy ddp
      dactyl train ... --model.backbone.name resnet50 --optimizer.learning_rate 1e-4
    """
    config, options = parse(argv)
    # Lightning advises on workers and logging; the configuration has decided those.
    warnings.filterwarnings("ignore", module="lightning.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    data = TripletDataModule(config.data, config.seed)
    # If several processes train together, the first one writes.
    with exclusive_folder(config.output) if rank() == 0 else contextlib.nullcontext():
        train(config, options, data)


def parse(argv: Sequence[str]) -> tuple[TrainConfig, dict[str, Any]]:
    """Parse ``argv`` into the configuration and the Trainer's options; UsageError says what is wrong with it."""
    parser = new_parser("dactyl train", main_train.__doc__ or "")
    parser.add_class_arguments(TrainConfig, None)
    keys = parser.add_class_arguments(lightning.Trainer, "trainer", skip=_OWN_TRAINER_KEYS, instantiate=False)
    parser.add_argument(
        "--trainer.precision",
        type=Literal["auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16", 32, 16],
        default=AUTO,
        help="auto: bf16-mixed where that is faster, else 32-true; a resumed training keeps its own",
    )
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
        raise usage_error(
            "dactyl train", argv, error, [*known_keys(TrainConfig), *keys, "trainer.precision"]
        ) from error
