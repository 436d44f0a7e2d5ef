"""Checks of whether a training can be resumed from a checkpoint: its progress, counters and optimiser, before any is
used.

A training that lost its optimiser's state would run all the same, but learn something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from train.module import PoseTask
from vision.errors import DactylError, shortened
from vision.io.decode import Count, Record, convert
from vision.storage.tensors import first_mismatched_tensor, tensor_fault

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # Adam's state of each parameter


class Progress(Record, frozen=True):
    """Progress of a checkpoint: steps of the optimiser."""

    global_step: Count


def steps_done(checkpoint: Mapping[str, Any], path: Path) -> int:
    """Return the number of optimiser steps that a training's checkpoint has completed."""
    said = {key: checkpoint[key] for key in ("global_step",) if key in checkpoint}
    return convert(said, Progress, path).global_step


def refuse_misfit(checkpoint: Mapping[str, Any], task: PoseTask, trainer: lightning.Trainer, path: Path) -> None:
    """Raise DactylError unless ``checkpoint``, read from ``path``, was written by this training.

    Args:
        task: not trained yet.
        trainer: not started yet.
    """
    if (name := first_mismatched_tensor(task.state_dict(), checkpoint["state_dict"])) is not None:
        raise DactylError(
            f"{path}: begun by another version of this package (tensor '{name}' differs); "
            "resume it with that one, or choose another output and train again"
        )
    fault = _counters_fault(checkpoint, trainer) or _callbacks_fault(checkpoint, trainer)
    fault = fault or _optimiser_fault(checkpoint, task)
    if fault is not None:
        raise DactylError(f"{path}: cannot be resumed: {fault}; choose another output and train again")


def _counters_fault(checkpoint: Mapping[str, Any], trainer: lightning.Trainer) -> str | None:
    loops = checkpoint.get("loops")
    found = loops.get("fit_loop") if isinstance(loops, Mapping) else None
    if (key := _other_shape(trainer.fit_loop.state_dict(), found, "loops.fit_loop")) is not None:
        return f"key '{shortened(key, 100)}' is not a counter of this version"
    assert found is not None
    steps = found["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    batches = found["epoch_loop.batch_progress"]["total"]["ready"]
    expected = checkpoint["global_step"]
    if (steps, batches) != (expected, expected * trainer.accumulate_grad_batches):
        return f"its counters say {steps} steps and {batches} batches, its global_step {expected}"
    return None


def _callbacks_fault(checkpoint: Mapping[str, Any], trainer: lightning.Trainer) -> str | None:
    states = _mapping(checkpoint.get("callbacks"))
    if type(_mapping(states.get("SaveLast")).get("validation_due")) is not bool:
        return "it does not say whether a validation is due"
    keeper = trainer.checkpoint_callback
    assert keeper is not None
    best, found = keeper.state_dict(), _mapping(states.get(keeper.state_key))
    scores = [found.get(key) for key in ("best_model_score", "current_score", "kth_value")]
    scores += _mapping(found.get("best_k_models")).values()
    if found.keys() != best.keys() or not all(score is None or _is_score(score) for score in scores):
        return "it does not say which checkpoint is the best"
    return None


def _is_score(value: Any) -> bool:
    """Return whether a value is a number in a tensor; infinite before the first validation."""
    return isinstance(value, Tensor) and value.numel() == 1 and not bool(value.isnan().any())


def _optimiser_fault(checkpoint: Mapping[str, Any], task: PoseTask) -> str | None:
    optimiser = task.optimizer()
    schedule = LambdaLR(optimiser, lambda step: 1.0)
    found: Any = checkpoint.get("lr_schedulers")
    misfit = _other_shape([schedule.state_dict()], found, "") is not None
    if misfit or found[0]["last_epoch"] != checkpoint["global_step"]:
        return "the state of the learning rate's schedule is missing, or of another step"
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    states = checkpoint.get("optimizer_states")
    if not isinstance(states, list) or len(states) != 1:
        return "the optimiser's state is missing"
    groups = optimiser.state_dict()["param_groups"]
    if (key := _other_shape(groups, _mapping(states[0]).get("param_groups"), "param_groups")) is not None:
        return f"the optimiser's {shortened(key, 60)} are of another"
    state = _mapping(_mapping(states[0]).get("state"))
    if set(state) != set(range(len(parameters))):
        return f"the optimiser's state is of {len(state)} parameters, the network has {len(parameters)}"
    for number, parameter in enumerate(parameters):
        if _mapping(state[number]).keys() != _MOMENTS:
            return f"the optimiser's state of parameter {number} is none of Adam's"
        for key, value in state[number].items():
            fault = tensor_fault(value)
            if fault is None and value.shape != (() if key == "step" else parameter.shape):
                fault = "has another shape than its parameter"
            if fault is not None:
                return f"the optimiser's {key} of parameter {number} {fault}"
    return None


def _other_shape(expected: Any, found: Any, key: str) -> str | None:
    """Return the first key at which nested values have another type than those expected, or are negative or not
    finite."""
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or found.keys() != expected.keys():
            return key
        inner = (_other_shape(value, found[name], f"{key}.{name}") for name, value in expected.items())
        return next((each for each in inner if each is not None), None)
    if isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(expected):
            return key
        inner = (_other_shape(value, there, key) for value, there in zip(expected, found, strict=True))
        return next((each for each in inner if each is not None), None)
    if type(found) is not type(expected):
        return key
    wrong = (type(found) is int and found < 0) or (type(found) is float and not math.isfinite(found))
    return key if wrong else None


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
