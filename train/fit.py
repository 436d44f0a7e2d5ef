"""One training run: its start, resumption and end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ModelCheckpoint

from train import initial
from train.checkpoints import BEST, LAST
from train.config import TrainConfig
from train.data import TripletDataModule
from train.faults import LossNotFiniteError
from train.loading import loading_fault
from train.module import PoseTask
from train.precision import resolve_precision
from train.preemption import Stopped
from train.resume import refuse_misfit, steps_done
from train.trainer import make_trainer
from vision.camera_effects import CameraEffectsConfig
from vision.errors import DactylError, format_error, printable
from vision.io.json_values import identity_of, to_jsonable
from vision.machine.console import Console
from vision.network_files import read_checkpoint
from vision.storage.folders import reserve_output

_LATER_KEYS: dict[str, Any] = {
    "model.camera_input": False,
    "model.options": {},
    "model.window.count": 1,
    "augment.exposure": 0.0,
    "augment.gamma": 0.0,
    "augment.camera_effects": to_jsonable(CameraEffectsConfig()),
    "optimizer.ema": None,
    "init": None,
}
"""Keys that older trainings do not have on file, with the values at which they change nothing and are left out."""


def rank() -> int:
    """Return 0 in the first of the processes that train together and a higher number in each of the others, according
    to their launcher."""
    # Lightning reads RANK, LOCAL_RANK and SLURM's variables; if it is started by hand on each node, NODE_RANK is set.
    if launched := int(rank_zero_only.rank):  # type: ignore[attr-defined]
        return launched
    if not (node := os.environ.get("NODE_RANK", "0")).isdecimal():
        raise DactylError(f"NODE_RANK: expected this node's number, got '{printable(node)}'")
    return int(node)


def train(config: TrainConfig, options: dict[str, Any], data: TripletDataModule) -> None:
    """Train on ``data``, resume, or reuse a finished training; ``options`` are the Trainer's.

    Raises:
        DactylError: the output is another training's, a checkpoint is damaged, or the loss is no longer finite.
        UsageError: the Trainer refuses its options.
        KeyboardInterrupt: on Ctrl-C, after the training is saved. On SIGTERM that signal's handler is called instead.
    """
    first = rank() == 0
    console = Console(stderr=True, quiet=not first)
    last = config.output / LAST
    precision, reason = resolve_precision(options, config.output if last.exists() else None)
    options = {**options, "precision": precision}
    if first:
        reserve_output(config.output, _identity(config, options, data), "*.ckpt")
    saved = read_checkpoint(last) if last.exists() else {}
    done = steps_done(saved, last) if saved else 0
    if done >= options["max_steps"]:
        console.print(f"{config.output}: training is done ({done:,} steps), reused")
        return
    if done:
        console.print(f"{config.output}: resuming at step {done:,} of {options['max_steps']:,}")
    console.print(f"{config.output}: precision {precision or '32-true'}, {reason}")
    if data.sources.validates_on_training:
        console.print(
            "data.val: made of the states of data.train: errors on it, by which best.ckpt is chosen, are those of "
            "poses that were learnt; render it of other states",
        )
    if 0 < (count := len(data.sources.train_numbers)) < config.data.batch_size and config.data.online is None:
        console.print(
            f"data.batch_size: {config.data.batch_size:,}, and {config.data.train} has {count:,} triplets to train on: "
            "a batch holds some of them several times",
        )
    if config.data.verify and first:
        data.sources.verify()
    if config.threads is not None:
        torch.set_num_threads(config.threads)

    task = PoseTask(config.model, data.sources.scene, config.loss, config.augment, config.optimizer, config.seed)
    task.model.set_position_statistics(*data.sources.position_statistics())
    if not done:
        for line in task.model.advice():
            console.print(f"{config.output}: {line}")
        if config.init is not None:
            console.print(f"{config.output}: {initial.begin_from(task.model, config.init)}")
    task.model.begin_training(config.loss)
    if task.model.finds_cameras:
        _refuse_unknown_joints(data)
    trainer = make_trainer(config, options, data)
    if done:
        refuse_misfit(saved, task, trainer, last)
    if not data.prepare_loading(trainer.num_devices):
        console.print("data.workers: batches go through pipes, for lack of room in /dev/shm or a short TMPDIR")
    try:
        with _faults_named(config):
            _fit(trainer, task, data, last if done else None)
    finally:
        data.close()
    best = trainer.checkpoint_callback
    if trainer.is_global_zero and isinstance(best, ModelCheckpoint) and best.best_model_score is not None:
        console.print(
            f"{config.output / BEST}: mean rotation error {best.best_model_score:.2f} deg on held-out triplets"
        )


@contextlib.contextmanager
def _faults_named(config: TrainConfig) -> Iterator[None]:
    """Turn what ends a training into one line that says what to do."""
    try:
        yield
    except LossNotFiniteError as error:
        raise DactylError(f"{error}; all of the batch: {error.write(config.output)}") from None
    except OSError as error:  # from the logs, which other libraries write
        reason = f"{error.strerror or error}; free space or choose another output, and the same command resumes"
        raise DactylError(f"{error.filename or config.output}: {reason}") from error
    except RuntimeError as error:
        if (fault := loading_fault(error)) is None:
            raise
        raise fault from None


def _refuse_unknown_joints(data: TripletDataModule) -> None:
    """Raise DactylError if the training set is a recording: where its landmarks are is not known."""
    stored = data.sources.stored
    if stored is not None and "joint_position" in (stored.manifest.recording or {}).get("unknown", ()):
        raise DactylError(
            f"{stored.folder}: a recording, in which the hand's joints are not known, so landmarks cannot be learnt "
            "from it; train on rendered triplets, or with --loss.landmarks 0 and calibrated cameras"
        )


def _fit(trainer: lightning.Trainer, task: PoseTask, data: TripletDataModule, checkpoint: Path | None) -> None:
    try:
        trainer.fit(task, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    except Stopped as stop:
        # The training is saved; now the signal has its usual effect. The first process's exit status counts for all.
        if trainer.is_global_zero:
            signal.raise_signal(stop.signal)
    except BaseException as error:
        launcher = trainer.strategy.launcher
        if launcher is not None:  # its processes would wait for this one forever
            launcher.kill(signal.SIGKILL)
        restoring = checkpoint is not None and not task.began
        if restoring and isinstance(error, Exception) and not isinstance(error, (DactylError, OSError, MemoryError)):
            # Lightning and torch may raise anything for an invalid state.
            reason = f"{type(error).__name__}: {format_error(error)}"[:120]
            raise DactylError(
                f"{checkpoint}: cannot be resumed ({reason}); choose another output and train again"
            ) from error
        if isinstance(error, SystemExit) and trainer.interrupted:  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from None
        if (signalled := _signal_behind(error)) is not None:
            raise signalled from None
        if trainer.world_size > 1 and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise DactylError(f"another process of this training failed first ({format_error(error)[:200]})") from error
        raise


def _signal_behind(error: BaseException | None) -> BaseException | None:
    """Return the exception raised by a signal if Lightning's own cleanup raised another over it."""
    while error is not None and isinstance(error, (Exception, SystemExit)):
        error = error.__context__
    return error


def _identity(config: TrainConfig, options: dict[str, Any], data: TripletDataModule) -> dict[str, Any]:
    """Return the configuration and data that determine the resulting weights."""
    identity = identity_of(config, ("output", "log", "save_every", "threads"), _LATER_KEYS)
    if config.init is not None:  # their content, not their location
        identity["init"] = initial.identity(config.init)
    identity["data"] = data.sources.identity()
    decisive = ("max_steps", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision")
    identity["trainer"] = {key: options[key] for key in decisive}
    return identity
