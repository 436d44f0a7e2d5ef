"""Critics: networks that estimate the value of an action from the full state of the simulation.

The return is the discounted fraction of time at the goal, a number in [0, 1]. A critic is either a classifier of
success (cross entropy to the bootstrapped fraction, as in QT-Opt, arXiv 1806.10293), or predicts the return's
distribution over evenly spaced atoms (C51, arXiv 1707.06887).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from datagen.policy.network import perceptron


@dataclass(frozen=True)
class CriticConfig:
    """How critics are built.

    Attributes:
        count: number of critics; targets use the smallest of their values.
        hidden: widths of the hidden layers.
        blocks: perceptron (linear layers with layer normalisation and ReLU) or residual (each width a block of two
            linear layers with RMS normalisation, added to its input; all widths are then equal).
        atoms: atoms of the return's distribution; 1 for classifiers of success.
    """

    count: int = 2
    hidden: tuple[int, ...] = (256, 256, 256)
    blocks: Literal["perceptron", "residual"] = "perceptron"
    atoms: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.atoms < 1:
            raise ValueError(f"count and atoms: must be at least 1, got {self.count} and {self.atoms}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden: expected at least one width, got {self.hidden}")
        if self.blocks == "residual" and len(set(self.hidden)) > 1:
            raise ValueError(f"hidden: residual blocks are all of one width, got {self.hidden}")


class Critics(nn.Module):
    """Several critics of the same action, each with its own weights."""

    atoms: Tensor

    def __init__(self, config: CriticConfig, inputs: int) -> None:
        super().__init__()
        build = residual if config.blocks == "residual" else perceptron
        members = [build(inputs, config.hidden, config.atoms) for _ in range(config.count)]
        self.members = nn.ModuleList(members)
        self.register_buffer("atoms", torch.linspace(0, 1, config.atoms), persistent=False)
        with torch.no_grad():
            for member in members:
                # Pessimistic at first: about 5 % of the time at the goal.
                bias = member.get_parameter(f"{len(member) - 1}.bias")
                bias.copy_(torch.full_like(bias, -3.0) if config.atoms == 1 else -20.0 * self.atoms)

    def forward(self, inputs: Tensor, members: int | None = None) -> Tensor:
        """Return logits (M, N, atoms) of the first ``members`` critics, or of all."""
        return torch.stack([member(inputs) for member in self.members[:members]]).float()

    def value(self, logits: Tensor) -> Tensor:
        """Return expected returns (M, N)."""
        if len(self.atoms) == 1:
            return torch.sigmoid(logits[..., 0])
        return (torch.softmax(logits, dim=-1) * self.atoms).sum(dim=-1)

    def log_odds(self, logits: Tensor) -> Tensor:
        """Return the actor's objective (M, N): the gradient of the expected return would vanish if success is rare."""
        return logits[..., 0] if len(self.atoms) == 1 else torch.logit(self.value(logits), eps=1e-4)

    def target(self, logits: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Return the critics' training target (N, atoms) from target critics' logits (M, N, atoms) in the next state,
        of which the lowest expectation counts, the reward on the way (N,) and the discount (N,)."""
        value = self.value(logits)
        if len(self.atoms) == 1:
            return (reward + discount * value.min(dim=0).values).clamp(0, 1)[:, None]
        least = torch.softmax(logits, dim=-1)[value.argmin(dim=0), torch.arange(value.shape[1], device=value.device)]
        place = (reward[:, None] + discount[:, None] * self.atoms).clamp(0, 1) * (len(self.atoms) - 1)
        low = place.floor().clamp(max=len(self.atoms) - 2)
        high = place - low  # fraction of the upper of the two atoms around an outcome
        projected = torch.zeros_like(least)
        projected.scatter_add_(1, low.long(), least * (1 - high))
        projected.scatter_add_(1, low.long() + 1, least * high)
        return projected

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy of the logits (M, N, atoms) to the target (N, atoms)."""
        if len(self.atoms) == 1:
            return functional.binary_cross_entropy_with_logits(logits, target.expand_as(logits))
        return -(target * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


class _Norm(nn.RMSNorm):
    """RMS normalisation in float32: torch warns where its inputs, in bfloat16, and weights differ in type."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.float())


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _Norm(width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = inputs + self.outer(functional.relu(self.inner(self.norm(inputs))))
        return outputs


def residual(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Build a linear layer, residual blocks, RMS normalisation and a linear layer (SimBa, arXiv 2410.09754)."""
    width = hidden[0]
    blocks = [_Block(width) for _ in hidden]
    return nn.Sequential(nn.Linear(inputs, width), *blocks, _Norm(width), nn.Linear(width, outputs))
