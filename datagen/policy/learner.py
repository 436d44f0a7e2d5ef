"""Common part of the learners of actors: precision and checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn

from vision.errors import format_error
from vision.machine.console import Console
from vision.machine.hardware import fast_bfloat16


class PartsLearner(ABC):
    """Base of learners that consist of named networks and optimisers, on ``device`` as torch names it."""

    def __init__(self, device: str) -> None:
        self.device, self._bfloat16 = torch.device(device), fast_bfloat16(device)

    @abstractmethod
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Return all parts with a state, by their names in checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _autocast(self) -> torch.autocast:
        """Return a context with products in bfloat16 if that is faster; losses and weights stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16)


def compiles(device: str) -> bool:
    """Return whether torch can compile for a device, by compiling a sum; print why not."""
    try:
        torch.compile(torch.add)(torch.zeros(8, device=device), 1.0)
    except Exception as error:  # of compilers and drivers, of any kind
        reason = format_error(error)[:100]
        Console(stderr=True).print(f"compile: left out, since torch cannot compile here ({reason}); learning is slower")
        return False
    return True


def means(figures: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over those that have it; empty without figures."""
    keys = dict.fromkeys(key for figure in figures for key in figure)
    return {key: float(np.mean([figure[key] for figure in figures if key in figure])) for key in keys}
