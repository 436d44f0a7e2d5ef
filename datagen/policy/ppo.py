"""The learner of proximal policy optimisation, with a recurrent policy and a value network that sees more than it.

Our own, because no library carries the method whole. stable-baselines3 and sb3-contrib show both networks the same
observation; RSL-RL has continuous actions only. rl_games comes nearest, but does not save the value network's
optimiser, so that a training that was stopped goes on as another one, and its environments on other machines report to
the learner at every step, where ours play a whole rollout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datagen.policy.rollout import ActorCritic, Experience, log_probabilities


@dataclass(frozen=True)
class PpoLearning:
    """How the networks learn; the defaults are Table 10's, for each of its 8 GPUs.

    Attributes:
        discount: of the reward, per step (gamma).
        trace: lambda of generalised advantage estimation.
        clip: how far the probability of an action may move from the one that it was chosen with.
        entropy: weight of the policy's entropy in its loss.
        learning_rate: of Adam, for both networks.
        dense, lstm: widths of the hidden layers, of each network.
        chunk: steps that gradients flow back through.
        minibatch: steps in a gradient step.
        minibatches: gradient steps after each rollout.
        gradient_norm: longest gradient; not the paper's, which names none.
    """

    discount: float = 0.998
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    learning_rate: float = 3e-4
    dense: int = 1024
    lstm: int = 512
    chunk: int = 10
    minibatch: int = 25_600
    minibatches: int = 60
    gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("clip", "learning_rate", "dense", "lstm", "chunk", "minibatches", "gradient_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must lie in [0, 1], got {getattr(self, name)}")
        if not 0 <= self.entropy < float("inf"):
            raise ValueError(f"entropy: must not be negative, got {self.entropy}")
        if self.minibatch < self.chunk or self.minibatch % self.chunk:
            raise ValueError(f"minibatch: must be a multiple of chunk ({self.chunk}), got {self.minibatch}")


def advantages(experience: Experience, discount: float, trace: float) -> Tensor:
    """How much better each action turned out than expected, (T, N): generalised advantage estimation
    (arXiv 1506.02438). Zero where nobody acted; beyond an episode's last step the value that was expected there
    stands in for what would have come, unless everything was lost."""
    later = torch.zeros_like(experience.reward[0])
    result = torch.zeros_like(experience.reward)
    for step in reversed(range(len(result))):
        onward = discount * ~experience.lost[step] * experience.value[step + 1]
        surprise = experience.reward[step] + onward - experience.value[step]
        later = experience.acted[step] * (surprise + discount * trace * later)
        result[step] = later
    return result


class PpoLearner:
    """Both networks and their optimiser. Initial weights come from torch's generator, seeded here."""

    def __init__(self, config: PpoLearning, policy_width: int, value_width: int, seed: int, device: str) -> None:
        self.config, self.device = config, torch.device(device)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.players = ActorCritic(policy_width, value_width, config.dense, config.lstm)
        with torch.no_grad():
            self.players.policy.head.weight.mul_(0.01)  # every bin about as likely as every other
            self.players.policy.head.bias.zero_()
        self.players.to(self.device)
        self.optimizer = torch.optim.Adam(self.players.parameters(), config.learning_rate)

    def update(self, experience: Experience, rng: np.random.Generator) -> dict[str, float]:
        """Learn from a rollout; returns what the log says of it."""
        config, players = self.config, self.players
        advantage = advantages(experience, config.discount, config.trace)
        returns, acted = advantage + experience.value[:-1], experience.acted
        players.returns.update(returns[acted][:, None].to(self.device))
        advantage = (advantage - advantage[acted].mean()) / advantage[acted].std().clamp(min=1e-6)
        target = players.returns(returns.to(self.device)[..., None])[..., 0]
        rows = [
            self._chunks(tensor)
            for tensor in (
                experience.policy_inputs, experience.value_inputs, experience.first, experience.acted, experience.bins,
                experience.log_probability, advantage, target,
            )
        ]  # fmt: skip
        memories = [
            tensor.flatten(0, 1).to(self.device) for tensor in (experience.policy_memory, experience.value_memory)
        ]
        chunks, size = len(memories[0]), config.minibatch // config.chunk
        passes = -(-config.minibatches * size // chunks)
        order = torch.from_numpy(np.concatenate([rng.permutation(chunks) for _ in range(passes)])).to(self.device)
        figures = [
            self._step(*(row[:, some] for row in rows), *(memory[some] for memory in memories))
            for some in order[: config.minibatches * size].split(size)
        ]
        players.policy.normaliser.update(experience.policy_inputs[acted].to(self.device))
        players.value.normaliser.update(experience.value_inputs[acted].to(self.device))
        unexplained = (returns - experience.value[:-1])[acted].var() / returns[acted].var().clamp(min=1e-6)
        return {
            **{key: float(np.mean([figure[key] for figure in figures])) for key in figures[0]},
            "first_divergence": figures[0]["divergence"],
            "reward": float(experience.reward[acted].mean()),
            "explained": 1 - float(unexplained),
        }

    def _chunks(self, tensor: Tensor) -> Tensor:
        """From (T, N, ...) to (L, T / L x N, ...)."""
        return tensor.to(self.device).unflatten(0, (-1, self.config.chunk)).transpose(0, 1).flatten(1, 2)

    def _step(
        self,
        seen: Tensor,
        known: Tensor,
        first: Tensor,
        acted: Tensor,
        bins: Tensor,
        before: Tensor,
        advantage: Tensor,
        target: Tensor,
        policy_memory: Tensor,
        value_memory: Tensor,
    ) -> dict[str, float]:
        logits, _ = self.players.policy(seen, policy_memory, first)
        value, _ = self.players.value(known, value_memory, first)
        likely = log_probabilities(logits)[acted]
        change = likely.gather(-1, bins[acted][..., None])[..., 0].sum(dim=-1) - before[acted]
        ratio, better = change.exp(), advantage[acted]
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        policy_loss = -torch.minimum(ratio * better, clipped * better).mean()
        entropy = -(likely.exp() * likely).sum(dim=(-1, -2)).mean()
        value_loss = ((value[..., 0] - target)[acted] ** 2).mean()
        self.optimizer.zero_grad(set_to_none=True)
        (policy_loss - self.config.entropy * entropy + value_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.players.policy.parameters(), self.config.gradient_norm)
        torch.nn.utils.clip_grad_norm_(self.players.value.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        return {
            "policy_loss": policy_loss.item(),
            "value_loss": value_loss.item(),
            "entropy": entropy.item(),
            "divergence": (ratio - 1 - change).mean().item(),  # from the policy that played, estimated from below
            "clipped": ((ratio - 1).abs() > self.config.clip).float().mean().item(),
        }
