"""Play with a recurrent policy and write down all that it takes to learn from that: what PPO calls a rollout."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datagen.policy.network import Normaliser
from datagen.policy.recurrent import Recurrent
from datagen.sim.bins import BINS
from datagen.sim.interface import ACTIONS


@dataclass(frozen=True)
class StepResult:
    """What a step brought to N worlds, (N,) each.

    Attributes:
        reward: float.
        ended: the episode is over, boolean.
        lost: it is, and nothing comes after it, boolean; out of time, by contrast, says nothing of the state.
    """

    reward: NDArray[np.float64]
    ended: NDArray[np.bool_]
    lost: NDArray[np.bool_]


class VectorEnv(Protocol):
    """Something to play in N worlds at once."""

    worlds: int

    def observe(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the policy network sees of all worlds, (N, P), and what the value network does, (N, V)."""

    def step(self, bins: NDArray[np.int64], acting: NDArray[np.bool_]) -> StepResult:
        """Act: the bin of each actuator, (N, 20), where `acting` (N,); the other worlds stand still."""

    def begin(self, worlds: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Begin another episode in each of `worlds`."""


class ActorCritic(nn.Module):
    """Policy and value network, and the returns seen so far: the value network speaks in their mean and spread."""

    def __init__(self, policy_width: int, value_width: int, dense: int, lstm: int) -> None:
        super().__init__()
        self.policy = Recurrent(policy_width, dense, lstm, ACTIONS * BINS)
        self.value = Recurrent(value_width, dense, lstm, 1)
        self.returns = Normaliser(1)

    def values(self, outputs: Tensor) -> Tensor:
        """Returns, from the value network's outputs (..., 1) to (...)."""
        return self.returns.mean.float() + self.returns.spread.float() * outputs[..., 0]


def log_probabilities(logits: Tensor) -> Tensor:
    """Of each bin of each actuator, (..., 20, BINS), from the policy network's outputs (..., 20 x BINS)."""
    return torch.log_softmax(logits.unflatten(-1, (ACTIONS, BINS)), dim=-1)


@dataclass(frozen=True)
class Experience:
    """T steps of N worlds, in chunks of L steps that networks learn from without looking further back.

    The step after an episode's last one shows the state that ended it, and no action.
    """

    policy_inputs: Tensor
    """(T, N, P) float32."""
    value_inputs: Tensor
    """(T, N, V) float32."""
    first: Tensor
    """(T, N) boolean: the networks forgot everything before this step."""
    acted: Tensor
    """(T, N) boolean."""
    bins: Tensor
    """(T, N, 20) int64: the action."""
    log_probability: Tensor
    """(T, N): of the action."""
    value: Tensor
    """(T + 1, N): the return that was expected."""
    reward: Tensor
    """(T, N)."""
    lost: Tensor
    """(T, N) boolean: nothing comes after this step."""
    policy_memory: Tensor
    """(T / L, N, 2, lstm): before each chunk."""
    value_memory: Tensor
    """(T / L, N, 2, lstm)."""


def together(parts: list[Experience]) -> Experience:
    """The worlds of all `parts`, side by side."""
    return Experience(
        *(torch.cat([getattr(part, field.name) for part in parts], dim=1) for field in fields(Experience))
    )


class Rollout:
    """Plays a game on and on; the players may change between calls of `collect`."""

    def __init__(self, game: VectorEnv, players: ActorCritic, chunk: int) -> None:
        self.game, self.players, self.chunk = game, players, chunk

    def begin(self, rng: np.random.Generator) -> None:
        """Begin another episode in every world."""
        worlds = self.game.worlds
        self._policy_memory, self._value_memory = self.players.policy.blank(worlds), self.players.value.blank(worlds)
        self._over = np.zeros(worlds, dtype=bool)
        self._first = np.ones(worlds, dtype=bool)
        self.game.begin(np.arange(worlds), rng)

    @torch.no_grad()
    def collect(self, steps: int, rng: np.random.Generator) -> Experience:
        """Play `steps` steps, a multiple of the chunk, with actions drawn from the policy."""
        rows: dict[str, list[Tensor]] = {field.name: [] for field in fields(Experience)}
        for step in range(steps):
            if step % self.chunk == 0:
                rows["policy_memory"].append(self._policy_memory)
                rows["value_memory"].append(self._value_memory)
            seen, known, first = self._look()
            logits, self._policy_memory = self.players.policy(seen[None], self._policy_memory, first[None])
            value, self._value_memory = self.players.value(known[None], self._value_memory, first[None])
            likely = log_probabilities(logits[0])
            bins = (likely + torch.from_numpy(rng.gumbel(size=likely.shape))).argmax(dim=-1)  # a draw from them
            over = self._over
            turn = self.game.step(bins.numpy(), ~over)
            self.game.begin(np.flatnonzero(over), rng)
            self._over, self._first = turn.ended, over
            row = {
                "policy_inputs": seen,
                "value_inputs": known,
                "first": first,
                "acted": torch.from_numpy(~over),
                "bins": bins,
                "log_probability": likely.gather(-1, bins[..., None])[..., 0].sum(dim=-1),
                "value": self.players.values(value[0]),
                "reward": torch.from_numpy(turn.reward).float(),
                "lost": torch.from_numpy(turn.lost),
            }
            for name, tensor in row.items():
                rows[name].append(tensor)
        _, known, first = self._look()
        rows["value"].append(
            self.players.values(self.players.value(known[None], self._value_memory, first[None])[0][0])
        )
        return Experience(**{name: torch.stack(tensors) for name, tensors in rows.items()})

    def _look(self) -> tuple[Tensor, Tensor, Tensor]:
        seen, known = self.game.observe()
        return torch.from_numpy(seen), torch.from_numpy(known), torch.from_numpy(self._first)
