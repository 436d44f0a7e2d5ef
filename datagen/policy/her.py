"""Learner of hindsight experience replay: TD3 on binary rewards, with critics that see more than actors.

The actor ascends the log odds of its critics' returns, whose gradient does not vanish while success is rare.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datagen.policy.critics import CriticConfig, Critics
from datagen.policy.experience import Hindsight, Moments, Transitions
from datagen.policy.features import GOAL_WIDTH, SENSED_INPUTS
from datagen.policy.layout import Layout, check_inputs
from datagen.policy.learner import PartsLearner, means
from datagen.policy.memory import Memory
from datagen.policy.network import Actor, Normaliser
from datagen.policy.targets import Servo
from vision.configuration.bounds import not_negative, positive


class _Batch(NamedTuple):
    """Transitions of one update, on the learning device."""

    now: dict[str, Tensor]
    then: dict[str, Tensor]
    action: Tensor
    reward: Tensor
    discount: Tensor


@dataclass(frozen=True)
class Learning:
    """How the networks learn.

    Attributes:
        actor_inputs: parts of the state that the actor sees, as the sensors report them; critics see the whole true
            state and the drawn physics. The default omits the velocities, which only a simulator knows. The paper's
            Table 2, ["fingertip_position", "object_position"], leaves a network without memory blind to how the object
            lies.
        hidden: widths of the actor's hidden layers.
        memory: what the actor remembers.
        servo: how joints are led to the actor's targets.
        privileged: whether the actor also sees the true state and the drawn physics: a teacher
            (`datagen.policy.student`), of no use outside the simulation.
        critic: how critics are built.
        learning_rate: learning rate of Adam, for all networks.
        batch: number of transitions in one update.
        actor_every: number of the critics' updates for each of the actor's.
        actor_critics: number of critics whose least value the actor ascends. With several, it leaves the actions of
            the experience only where all of them agree, which matters most after `init`.
        averaging: fraction by which target networks follow the trained ones in each update.
        policy_averaging: fraction by which the policy that is saved follows the trained actor in each of the actor's
            updates. A mean over many updates acts better than the last of them; 1 saves the trained actor itself.
        smoothing: standard deviation of noise on the actions that targets are computed from, clipped at twice as much
            (TD3, arXiv 1802.09477), so that the actor cannot exploit critics that are wrong about single actions.
        action_cost: weight of the actions' mean square in the actor's loss.
        hindsight: how goals and returns are made.
    """

    actor_inputs: tuple[str, ...] = SENSED_INPUTS
    hidden: tuple[int, ...] = (256, 256, 256)
    memory: Memory = field(default_factory=Memory)
    servo: Servo = field(default_factory=Servo)
    privileged: bool = False
    critic: CriticConfig = field(default_factory=CriticConfig)
    learning_rate: float = 5e-4
    batch: int = 256
    actor_every: int = 1
    actor_critics: int = 1
    averaging: float = 0.005
    policy_averaging: float = 1.0
    smoothing: float = 0.0
    action_cost: float = 0.1
    hindsight: Hindsight = field(default_factory=Hindsight)

    def __post_init__(self) -> None:
        check_inputs(self.actor_inputs)
        positive(self, "batch", "learning_rate", "actor_every", "actor_critics")
        not_negative(self, "action_cost")
        if not all(1 <= width <= 65_536 for width in self.hidden):
            raise ValueError(f"hidden: expected widths of 1 to 65,536, got {list(self.hidden)}")
        if self.actor_critics > self.critic.count:
            raise ValueError(
                f"actor_critics: must be at most critic.count ({self.critic.count}), got {self.actor_critics}"
            )
        for name in ("averaging", "policy_averaging"):
            if not 0 < (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name}: must lie in (0, 1], got {value}")
        if not 0 <= self.smoothing <= 1:
            raise ValueError(f"smoothing: must lie in [0, 1], got {self.smoothing}")

    def actor(self, layout: Layout, hidden: int) -> Actor:
        """Create an actor with weights from torch's generator; ``hidden`` is the number of unobserved values."""
        extra = hidden if self.privileged else 0
        return Actor(self.actor_inputs, self.hidden, layout, self.memory, extra, self.servo)


class Learner(PartsLearner):
    """Actor, critics, target networks and optimisers. Initial weights come from torch's generator, seeded here.

    Args:
        config: configuration of the networks and their learning.
        layout: layout of the states.
        hidden: number of values that no observation contains (``Environment.hidden``).
        seed: seed of the initial weights.
        device: device of the learner, as torch names it.
        compiled: compile both losses (:func:`torch.compile`), which takes a C++ compiler on a CPU.
    """

    def __init__(
        self, config: Learning, layout: Layout, hidden: int, seed: int, device: str = "cpu", compiled: bool = False
    ) -> None:
        super().__init__(device)
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.actor = config.actor(layout, hidden)
            self.critics = Critics(config.critic, layout.state + hidden + GOAL_WIDTH + layout.actuators)
        with torch.no_grad():
            self.actor.get_parameter(f"layers.{len(self.actor.layers) - 1}.weight").mul_(0.1)  # targets near the middle
        self.normaliser = Normaliser(layout.state)
        for part in (self.actor, self.critics, self.normaliser):
            part.to(self.device)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.given = copy.deepcopy(self.target_actor)
        self.saved_actor = self.actor if config.policy_averaging == 1 else copy.deepcopy(self.target_actor)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), config.learning_rate, fused=True)
        self.updates = 0
        self._critic_loss, self._actor_terms = self._evaluate_critics, self._evaluate_actor
        if compiled:
            self._critic_loss, self._actor_terms = torch.compile(self._critic_loss), torch.compile(self._actor_terms)

    def take_on(self, actor: Actor, normaliser: Normaliser) -> None:
        """Start from a trained actor. Its inputs depend on its normaliser, which is no longer changed.

        Raises:
            ValueError: it has other inputs or layers.
        """
        self.actor.take_on(actor)
        self.target_actor.load_state_dict(self.actor.state_dict())
        self.given.load_state_dict(self.actor.state_dict())
        self.saved_actor.load_state_dict(self.actor.state_dict())
        self.normaliser.load_state_dict(normaliser.state_dict())

    def update(
        self, sample: Transitions, rng: np.random.Generator, actor: bool = True, anchor: float = 0.0
    ) -> dict[str, float]:
        """Learn from a sample, with one update for each batch in it, and return means over the updates.

        Args:
            sample: transitions.
            rng: generator of the noise that smooths targets.
            actor: whether the actor learns too, or only the critics.
            anchor: weight of the mean squared difference between its actions and those of the actor it started from.
        """
        now, then = (tensors(view, self.normaliser, self.device) for view in (sample.now, sample.then))
        action, reward, discount = (
            torch.from_numpy(column).to(self.device) for column in (sample.action, sample.reward, sample.discount)
        )
        figures = []
        for start in range(0, len(sample.action), self.config.batch):
            rows = slice(start, start + self.config.batch)
            here, there = ({name: column[rows] for name, column in view.items()} for view in (now, then))
            batch = _Batch(here, there, action[rows], reward[rows], discount[rows])
            figures.append(self._learn(batch, rng, actor, anchor))
        return means(figures)

    def _learn(self, batch: _Batch, rng: np.random.Generator, actor: bool, anchor: float) -> dict[str, float]:
        noise = None
        if self.config.smoothing:
            drawn = self.config.smoothing * rng.standard_normal(batch.action.shape, np.float32).clip(-2, 2)
            noise = torch.from_numpy(drawn).to(self.device)
        critic_loss, value = self._critic_loss(batch, noise)
        self.critic_optimizer.zero_grad(set_to_none=True)
        critic_loss.backward()
        self.critic_optimizer.step()
        figures = {"critic_loss": critic_loss.item(), "value": value.item()}
        self.updates += 1
        if actor and self.updates % self.config.actor_every == 0:
            figures |= self._improve(batch.now, anchor)
        follow(self.target_actor, self.actor, self.config.averaging)
        follow(self.target_critics, self.critics, self.config.averaging)
        return figures

    def _improve(self, now: dict[str, Tensor], anchor: float) -> dict[str, float]:
        """Update the actor by the least value of the first critics."""
        self.critics.requires_grad_(False)
        gain, cost, distance = self._actor_terms(now, anchor > 0)
        loss = self.config.action_cost * cost - gain + anchor * distance
        self.actor_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.actor_optimizer.step()
        if self.saved_actor is not self.actor:
            follow(self.saved_actor, self.actor, self.config.policy_averaging)
        self.critics.requires_grad_(True)
        return {"chosen_logit": gain.item(), "action_square": cost.item()}

    def _evaluate_critics(self, batch: _Batch, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the critics' loss and their mean value."""
        with self._autocast():
            with torch.no_grad():
                onward = act(self.target_actor, batch.then)
                if noise is not None:
                    onward = (onward + noise).clamp(-1, 1)
                target = self.critics.target(
                    self.target_critics(known(batch.then, onward)), batch.reward, batch.discount
                )
            logits = self.critics(known(batch.now, batch.action))
            loss = self.critics.loss(logits, target)
        return loss, self.critics.value(logits.detach()).mean()

    def _evaluate_actor(self, now: dict[str, Tensor], anchored: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean of the critics' least log odds of the actor's actions, the mean square of these, and that of
        their difference from the given actor's (0 unless ``anchored``)."""
        with self._autocast():
            chosen = act(self.actor, now)
            logits = self.critics(known(now, chosen), members=self.config.actor_critics)
            gain = self.critics.log_odds(logits).min(dim=0).values.mean()
            distance = torch.zeros_like(gain)
            if anchored:
                with torch.no_grad():
                    given = act(self.given, now)
                distance = ((chosen - given) ** 2).mean()
        return gain, (chosen**2).mean(), distance

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "actor": self.actor,
            "critics": self.critics,
            "target_actor": self.target_actor,
            "given": self.given,
            "target_critics": self.target_critics,
            "normaliser": self.normaliser,
            "actor_optimizer": self.actor_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
        return parts if self.saved_actor is self.actor else parts | {"saved_actor": self.saved_actor}


@torch.no_grad()
def follow(slow: nn.Module, trained: nn.Module, fraction: float) -> None:
    """Move the weights of a network by a fraction of the way to those of another one."""
    torch._foreach_lerp_(list(slow.parameters()), list(trained.parameters()), fraction)


def tensors(view: Moments, normaliser: Normaliser, device: torch.device) -> dict[str, Tensor]:
    """Move the view's columns to a device, with normalised states."""
    columns = {name: torch.from_numpy(column).to(device) for name, column in vars(view).items()}
    return columns | {name: normaliser(columns[name]) for name in ("state", "seen", "past")}


def act(actor: Actor, view: dict[str, Tensor]) -> Tensor:
    """Return the actor's actions, float32, from the sensed values of a view, or from the true ones for teachers."""
    state, goal = ("state", "goal") if actor.privileged else ("seen", "seen_goal")
    action: Tensor = actor(view[state], view[goal], view["past"], view["turns"], view["hidden"]).float()
    return action


def known(view: dict[str, Tensor], action: Tensor) -> Tensor:
    """Return the critics' input for a view and an action."""
    return torch.cat([view["state"], view["hidden"], view["goal"], action], dim=1)
