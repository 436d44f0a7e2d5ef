"""Networks that remember (Table 10: dense layer, LSTM), and the policy that chooses its actions' bins with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from datagen.policy.network import FORMAT, VERSION, Normaliser, fitting
from datagen.sim.bins import BINS, actions_from_bins
from datagen.sim.interface import ACTIONS, FloatArray, Observation, Worlds
from vision.storage.files import atomic_write

KIND = "recurrent"
INPUTS = {
    "fingertip_position": 15,
    "object_position": 3,
    "relative_goal": 4,
    "object_quaternion": 4,
    "goal_quaternion": 4,
    "joint_position": 24,
    "joint_velocity": 24,
    "object_linear_velocity": 3,
    "object_angular_velocity": 3,
}
"""Widths of an observation's parts by name: all that the paper's value network sees."""

TABLE_2 = ("fingertip_position", "object_position", "relative_goal")
"""What its policy network sees."""


def input_vector(observation: Observation, names: Sequence[str]) -> NDArray[np.float32]:
    """The named parts side by side, (N, W) float32; a broken world's are zero."""
    parts = [np.asarray(observation[name]).reshape(len(observation["object_position"]), -1) for name in names]  # type: ignore[literal-required]
    return np.nan_to_num(np.hstack(parts), posinf=0.0, neginf=0.0).astype(np.float32)


def input_width(names: Sequence[str]) -> int:
    """Width of `input_vector`.

    Raises:
        ValueError: an unknown or repeated name, or none.
    """
    unknown = [name for name in names if name not in INPUTS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"inputs: expected different names out of {', '.join(INPUTS)}, got {', '.join(names)}")
    return sum(INPUTS[name] for name in names)


class Recurrent(nn.Module):
    """Normalised inputs, a dense layer with ReLU, an LSTM, a linear layer.

    Args:
        inputs, outputs: widths.
        dense, lstm: widths of the hidden layers.
    """

    def __init__(self, inputs: int, dense: int, lstm: int, outputs: int) -> None:
        super().__init__()
        self.widths = {"inputs": inputs, "dense": dense, "lstm": lstm, "outputs": outputs}
        self.normaliser = Normaliser(inputs)
        self.dense = nn.Linear(inputs, dense)
        self.cell = nn.LSTMCell(dense, lstm)
        self.head = nn.Linear(lstm, outputs)

    def blank(self, worlds: int) -> Tensor:
        """What is remembered before anything was seen, (worlds, 2, lstm)."""
        return torch.zeros(worlds, 2, self.widths["lstm"])

    def forward(self, inputs: Tensor, memory: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Go through T steps of N worlds.

        Args:
            inputs: (T, N, inputs).
            memory: before the first of them, (N, 2, lstm).
            first: steps before which a world forgets everything, boolean (T, N).

        Returns:
            Outputs (T, N, outputs), and the memory after the last step.
        """
        seen = functional.relu(self.dense(self.normaliser(inputs)))
        hidden, cell = memory.unbind(dim=1)
        remembered = []
        for now, keep in zip(seen, (~first).to(seen.dtype).unsqueeze(-1), strict=True):
            hidden, cell = self.cell(now, (keep * hidden, keep * cell))
            remembered.append(hidden)
        return self.head(torch.stack(remembered)), torch.stack([hidden, cell], dim=1)


class RecurrentPolicy:
    """Weights that ``dactyl policy train --method ppo`` made: the likeliest bin of each actuator."""

    def __init__(self, name: str, network: Recurrent, inputs: Sequence[str], worlds: int) -> None:
        self.name = name
        self._network, self._inputs = network, tuple(inputs)
        self._memory = network.blank(worlds)

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        self._memory[torch.as_tensor(np.asarray(worlds, dtype=np.int64))] = 0

    def act(self, observation: Observation) -> FloatArray:
        inputs = torch.from_numpy(input_vector(observation, self._inputs))[None]
        with torch.no_grad():
            logits, self._memory = self._network(inputs, self._memory, torch.zeros(inputs.shape[:2], dtype=torch.bool))
        return actions_from_bins(logits[0].view(-1, ACTIONS, BINS).argmax(dim=-1).numpy())


def save_recurrent(path: Path, network: Recurrent, inputs: Sequence[str], about: dict[str, Any]) -> None:
    """Write a policy; `about` as for `datagen.policy.network.save_policy`."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "kind": KIND,
        "about": about,
        "inputs": list(inputs),
        "widths": network.widths,
        "network": network.state_dict(),
    }
    atomic_write(path, lambda file: torch.save(content, file))


def read_recurrent(path: Path, content: dict[str, Any]) -> tuple[Recurrent, tuple[str, ...], dict[str, Any]]:
    """The network, the names of its inputs, and what the file says about them.

    Raises:
        DactylError: it does not fit.
    """
    with fitting(path):
        network, inputs = Recurrent(**content["widths"]), tuple(content["inputs"])
        if (input_width(inputs), ACTIONS * BINS) != (network.widths["inputs"], network.widths["outputs"]):
            raise ValueError(f"widths {network.widths}")
        network.load_state_dict(content["network"])
        about = {"name": str(content["about"]["name"]), "object": str(content["about"]["object"]), **content["about"]}
    return network.eval(), inputs, about
