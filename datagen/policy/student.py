"""Distillation of a teacher: an actor that sees only sensor reports learns to act like one with full information.

DAgger (arXiv 1011.0686): the student acts, and learns what the teacher would have done in the states that the student
reaches. What it cannot see it can only infer from its memory.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from datagen.policy.experience import Transitions
from datagen.policy.her import Learning, act, tensors
from datagen.policy.learner import PartsLearner
from datagen.policy.network import Actor, Normaliser


class Student(PartsLearner):
    """Learner like :class:`datagen.policy.her.Learner` that minimises the distance to a teacher's actions.

    Args:
        config: configuration of the student's networks; the critics' part is not used.
        teacher: actor whose actions are learnt.
        normaliser: normaliser of the teacher's inputs, and of the student's.
        hidden: number of values that no observation contains.
        seed: seed of the initial weights.
        device: device of the learner, as torch names it.
    """

    def __init__(
        self, config: Learning, teacher: Actor, normaliser: Normaliser, hidden: int, seed: int, device: str = "cpu"
    ) -> None:
        super().__init__(device)
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.actor = config.actor(teacher.layout, hidden).to(self.device)
        self.saved_actor = self.actor
        self.teacher = copy.deepcopy(teacher).requires_grad_(False).to(self.device)
        self.normaliser = copy.deepcopy(normaliser).to(self.device)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), config.learning_rate)

    def take_on(self, actor: Actor, normaliser: Normaliser) -> None:
        """Start from a trained actor.

        Raises:
            ValueError: it has other inputs or layers, or another normaliser than the teacher.
        """
        pairs = zip(normaliser.buffers(), self.normaliser.cpu().buffers(), strict=True)
        if not all(torch.equal(theirs, ours) for theirs, ours in pairs):
            raise ValueError("it scales its inputs otherwise than the teacher")
        self.normaliser.to(self.device)
        self.actor.take_on(actor)

    def update(
        self, sample: Transitions, rng: np.random.Generator, actor: bool = True, anchor: float = 0.0
    ) -> dict[str, float]:
        """Learn from a sample, with one update for each batch in it, and return the mean distance.

        ``rng`` and ``anchor`` are not used.
        """
        view, losses = tensors(sample.now, self.normaliser, self.device), []
        for start in range(0, len(sample.action), self.config.batch):
            batch = {name: column[start : start + self.config.batch] for name, column in view.items()}
            with self._autocast():
                with torch.no_grad():
                    right = act(self.teacher, batch)
                chosen = act(self.actor, batch)
            loss = nn.functional.mse_loss(chosen, right)
            if actor:
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
            losses.append(loss.item())
        return {"distance": sum(losses) / len(losses)} if losses else {}

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "actor": self.actor, "teacher": self.teacher, "normaliser": self.normaliser, "optimizer": self.optimizer
        }  # fmt: skip
