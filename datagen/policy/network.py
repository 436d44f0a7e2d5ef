"""The policy's network, and its file: everything that running it needs, loadable with torch alone."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datagen.policy.features import GOAL_WIDTH, STATE_WIDTH, input_indices
from datagen.policy.memory import FRAME_INPUTS, Memory
from datagen.sim.interface import ACTIONS
from vision.errors import DactylError
from vision.storage.files import atomic_write

FORMAT, VERSION = "dactyl-policy", 1
_TURN_SCALE = 4.0  # of rotations of the object in the last steps, rad: then of order 1
CLIP = 5.0  # normalised inputs are clipped to so many standard deviations (Table 10)


class Normaliser(nn.Module):
    """Shift and scale vectors by the mean and spread of those seen so far."""

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, width: int = STATE_WIDTH) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("square", torch.ones(width, dtype=torch.float64))

    def update(self, vectors: Tensor) -> None:
        """Count more vectors (N, width)."""
        vectors = vectors.double()
        self.count += len(vectors)
        share = len(vectors) / self.count
        self.mean += share * (vectors.mean(dim=0) - self.mean)
        self.square += share * ((vectors**2).mean(dim=0) - self.square)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of each number, (width,)."""
        return (self.square - self.mean**2).clamp(min=1e-6).sqrt()

    def forward(self, vectors: Tensor) -> Tensor:
        return ((vectors - self.mean.float()) / self.spread.float()).clamp(-CLIP, CLIP)


class Actor(nn.Module):
    """From normalised states and goal vectors to joint targets as shares of the control range, (N, 20) in [-1, 1].

    Args:
        inputs: names of the parts of the state that it sees (`features.INPUTS`).
        hidden: widths of the hidden layers.
        memory: how it remembers.
    """

    columns: Tensor
    frame_columns: Tensor

    def __init__(self, inputs: Sequence[str], hidden: Sequence[int], memory: Memory = Memory()) -> None:  # noqa: B008
        super().__init__()
        self.inputs, self.hidden, self.memory = tuple(inputs), tuple(hidden), memory
        self.register_buffer("columns", torch.tensor(input_indices(self.inputs)), persistent=False)
        self.register_buffer("frame_columns", torch.tensor(input_indices(FRAME_INPUTS)), persistent=False)
        frame = len(self.frame_columns) + 3
        remembered = {"none": 0, "stack": memory.frames * frame, "gru": memory.units}[memory.kind]
        if memory.kind == "gru":
            self.recurrent = nn.GRU(frame, memory.units, batch_first=True)
        self.layers = perceptron(len(self.columns) + GOAL_WIDTH + remembered, self.hidden, ACTIONS)

    def forward(self, state: Tensor, goal: Tensor, past: Tensor | None = None, turns: Tensor | None = None) -> Tensor:
        """`past` and `turns` are the frames before, normalised, as `memory.History.recall` gives them."""
        parts = [state[:, self.columns], goal]
        if self.memory.frames:
            assert past is not None
            assert turns is not None
            frames = torch.cat([past[..., self.frame_columns], _TURN_SCALE * turns], dim=-1)
            if self.memory.kind == "gru":
                parts.append(self.recurrent(frames.flip(1))[0][:, -1])
            else:
                parts.append(frames.flatten(1))
        return torch.tanh(self.layers(torch.cat(parts, dim=1)))

    @torch.no_grad()
    def take_on(self, other: Actor) -> None:
        """Act as `other` does, from its weights: what this one remembers and the other does not, it ignores at first.

        Raises:
            ValueError: other inputs or layers.
        """
        if (self.inputs, self.hidden) != (other.inputs, other.hidden):
            raise ValueError(f"inputs {other.inputs} and layers {other.hidden} are not {self.inputs} and {self.hidden}")
        theirs = other.state_dict()
        if self.memory != other.memory:
            if other.memory.frames:
                raise ValueError(f"it remembers by {other.memory}, not by {self.memory}")
            weight = torch.zeros_like(self.get_parameter("layers.0.weight"))
            known = theirs["layers.0.weight"]
            weight[:, : known.shape[1]] = known
            theirs["layers.0.weight"] = weight
        self.load_state_dict(theirs, strict=False)


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with layer normalisation and ReLU in between."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def save_policy(path: Path, actor: Actor, normaliser: Normaliser, about: dict[str, Any]) -> None:
    """Write a policy; `about` says in JSON values what it was trained for and how (at least "name", "object")."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "about": about,
        "inputs": list(actor.inputs),
        "hidden": list(actor.hidden),
        "memory": asdict(actor.memory),
        "actor": actor.state_dict(),
        "normaliser": normaliser.state_dict(),
    }
    atomic_write(path, lambda file: torch.save(content, file))


def load_policy(path: Path) -> tuple[Actor, Normaliser, dict[str, Any]]:
    """The actor and normaliser in a file that :func:`save_policy` wrote, and what it says about them.

    Raises:
        DactylError: no such file, damaged, or something else.
    """
    return read_policy(path, load_content(path))


def load_content(path: Path) -> dict[str, Any]:
    """What is in a policy file of ours, of any kind.

    Raises:
        DactylError: no such file, damaged, or something else.
    """
    content = load_file(path, "policy")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DactylError(f"{path}: not a policy of dactyl; pass policy.pt of a training")
    if content.get("version") != VERSION:
        raise DactylError(f"{path}: version {content.get('version')} of the format, this is {VERSION}; train it again")
    return content


def read_policy(path: Path, content: dict[str, Any]) -> tuple[Actor, Normaliser, dict[str, Any]]:
    """The same from the file's content."""
    with fitting(path):
        memory = Memory(**content.get("memory", {}))  # files from before there was one have none
        actor, normaliser = Actor(content["inputs"], content["hidden"], memory), Normaliser()
        actor.load_state_dict(content["actor"])
        normaliser.load_state_dict(content["normaliser"])
        about = {"name": str(content["about"]["name"]), "object": str(content["about"]["object"]), **content["about"]}
    return actor.eval(), normaliser.eval(), about


@contextlib.contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn what content of another make raises into one line that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise DactylError(f"{path}: does not fit this version's network ({text}); train it again") from error


def load_file(path: Path, what: str) -> Any:
    """What torch saved in `path`, without running code from it and after its checksums; errors call it `what`."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load ignores the checksums
            if (member := archive.testzip()) is not None:
                raise DactylError(f"{path}: damaged at {member}; fetch or train it again")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DactylError(f"{path}: no such {what}; check the path") from None
    except DactylError:
        raise
    except Exception as error:  # a hostile or damaged file raises anything
        raise DactylError(f"{path}: not a readable {what} ({type(error).__name__}); fetch or train it again") from error
