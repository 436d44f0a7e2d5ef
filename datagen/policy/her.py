"""The learner of hindsight experience replay: TD3 on binary rewards, with critics that see more than the actor.

The return is the discounted share of time at the goal, a number in [0, 1], so critics are trained like classifiers:
cross entropy to the bootstrapped share (as in QT-Opt, arXiv 1806.10293). The actor climbs their logits, whose slope
does not vanish where success is still rare.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from datagen.policy.features import GOAL_WIDTH, STATE_WIDTH, input_indices
from datagen.policy.network import Actor, Normaliser, perceptron
from datagen.policy.replay import Hindsight, Sample
from datagen.sim.interface import ACTIONS
from vision.hardware import fast_bfloat16


@dataclass(frozen=True)
class Learning:
    """How the networks learn.

    Attributes:
        actor_inputs: what of the state the actor sees; critics see all of it. The default leaves the velocities out,
            which only a simulator knows. The paper's Table 2, ["fingertip_position", "object_position"], leaves a
            network without memory blind to how the object lies.
        hidden: widths of the hidden layers, of the actor and of each critic.
        critics: how many; targets use the least of their values.
        learning_rate: of Adam, for all networks.
        batch: transitions of one update.
        averaging: share by which target networks follow the trained ones in each update.
        action_cost: weight of the actions' mean square in the actor's loss.
        hindsight: how goals and returns are made.
    """

    actor_inputs: tuple[str, ...] = (
        "fingertip_position", "object_position", "object_shape", "joint_position", "last_action",
    )  # fmt: skip
    hidden: tuple[int, ...] = (256, 256, 256)
    critics: int = 2
    learning_rate: float = 5e-4
    batch: int = 256
    averaging: float = 0.005
    action_cost: float = 0.1
    hindsight: Hindsight = field(default_factory=Hindsight)

    def __post_init__(self) -> None:
        input_indices(self.actor_inputs)
        for name in ("critics", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        if not 0 < self.averaging <= 1:
            raise ValueError(f"averaging: must lie in (0, 1], got {self.averaging}")


class Critics(nn.Module):
    """Logits of the discounted share of time at the goal, (critics, N), from all of the state, goal and action."""

    def __init__(self, count: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        width = STATE_WIDTH + GOAL_WIDTH + ACTIONS
        self.members = nn.ModuleList([perceptron(width, hidden, 1) for _ in range(count)])

    def forward(self, state: Tensor, goal: Tensor, action: Tensor) -> Tensor:
        together = torch.cat([state, goal, action], dim=1)
        return torch.stack([member(together)[:, 0] for member in self.members]).float()


class Learner:
    """Actor, critics, their targets and optimisers. Initial weights come from torch's generator, seeded here."""

    def __init__(self, config: Learning, seed: int) -> None:
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.actor = Actor(config.actor_inputs, config.hidden)
            self.critics = Critics(config.critics, config.hidden)
        with torch.no_grad():
            self.actor.get_parameter(f"layers.{len(self.actor.layers) - 1}.weight").mul_(0.1)  # near the middle
            for name, parameter in self.critics.named_parameters():
                if name.endswith(f".{len(self.actor.layers) - 1}.bias"):
                    parameter.fill_(-3.0)  # a pessimist: 5 % of the time at the goal
        self.normaliser = Normaliser()
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), config.learning_rate, fused=True)

    @torch.no_grad()
    def act(self, state: Tensor, goal: Tensor) -> Tensor:
        """Actions (N, 20) without noise."""
        return self.actor(self.normaliser(state), goal)

    def update(self, sample: Sample) -> dict[str, float]:
        """Learn from a sample, in as many updates as it holds batches; returns means over them."""
        tensors = {name: torch.from_numpy(column) for name, column in vars(sample).items()}
        for name in ("state", "next_state"):
            tensors[name] = self.normaliser(tensors[name])
        columns = [tensor.split(self.config.batch) for tensor in tensors.values()]
        figures = [self._update(*batch) for batch in zip(*columns, strict=True)]
        return {key: sum(figure[key] for figure in figures) / len(figures) for key in figures[0]}

    def _update(
        self,
        state: Tensor,
        goal: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        then: Tensor,
        onward: Tensor,
    ) -> dict[str, float]:
        # bfloat16 halves the time on processors that have it; losses stay in float32.
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            with torch.no_grad():
                value = torch.sigmoid(self.target_critics(then, onward, self.target_actor(then, onward).float()))
                share = (reward + discount * value.min(dim=0).values).clamp(0, 1)
            logits = self.critics(state, goal, action)
        critic_loss = functional.binary_cross_entropy_with_logits(logits, share.expand_as(logits))
        self.critic_optimizer.zero_grad(set_to_none=True)
        critic_loss.backward()
        self.critic_optimizer.step()

        self.critics.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            chosen = self.actor(state, goal).float()
            gain = self.critics(state, goal, chosen).mean()
        actor_loss = self.config.action_cost * (chosen**2).mean() - gain
        self.actor_optimizer.zero_grad(set_to_none=True)
        actor_loss.backward()
        self.actor_optimizer.step()
        self.critics.requires_grad_(True)

        with torch.no_grad():
            for trained, target in ((self.actor, self.target_actor), (self.critics, self.target_critics)):
                torch._foreach_lerp_(list(target.parameters()), list(trained.parameters()), self.config.averaging)
        return {
            "critic_loss": critic_loss.item(),
            "value": share.mean().item(),
            "chosen_logit": gain.item(),
            "action_square": (chosen**2).mean().item(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "actor": self.actor,
            "critics": self.critics,
            "target_actor": self.target_actor,
            "target_critics": self.target_critics,
            "normaliser": self.normaliser,
            "actor_optimizer": self.actor_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
