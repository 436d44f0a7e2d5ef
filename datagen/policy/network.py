"""Policy network and its file, which holds everything needed to run it and can be loaded with torch alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn

from datagen.policy.features import GOAL_WIDTH
from datagen.policy.layout import SHADOW, Layout
from datagen.policy.memory import FRAME_INPUTS, Memory
from datagen.policy.targets import Servo
from vision.errors import DactylError
from vision.io.decode import Text, convert
from vision.io.files import atomic_write
from vision.storage.tensors import checked_tensors, fitted, load_tensors

FORMAT, VERSION = "dactyl-policy", 1
_TURN_SCALE = 4.0  # brings rotations of the object in the last steps, rad, to order 1
Names = Annotated[tuple[Text, ...], msgspec.Meta(max_length=32)]
Widths = Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=65_536)], ...], msgspec.Meta(max_length=32)]
Privileged = Annotated[int, msgspec.Meta(ge=0, le=65_536)]

CLIP = 5.0  # standard deviations to which normalised inputs are clipped (Table 10)


class Normaliser(nn.Module):
    """Normalisation of vectors by mean and standard deviation of those seen so far."""

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("square", torch.ones(width, dtype=torch.float64))

    def update(self, vectors: Tensor) -> None:
        """Add vectors (N, width) to the statistics."""
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
    """Network from normalised states and goal vectors to joint targets (N, A), [-1, 1] over the control range.

    Args:
        inputs: names of the parts of the state that it sees (``features.INPUTS``).
        hidden: widths of the hidden layers.
        layout: layout of the state.
        memory: memory of the actor.
        privileged: number of values it receives that no observation contains (``Environment.hidden``): 0 except for
            teachers, which stay in the simulation.
        servo: how joints are led to the targets.
    """

    columns: Tensor
    frame_columns: Tensor

    def __init__(
        self,
        inputs: Sequence[str],
        hidden: Sequence[int],
        layout: Layout,
        memory: Memory | None = None,
        privileged: int = 0,
        servo: Servo | None = None,
    ) -> None:
        super().__init__()
        self.servo = servo or Servo()
        self.inputs, self.hidden, self.layout = tuple(inputs), tuple(hidden), layout
        self.memory, self.privileged = memory or Memory(), privileged
        self.register_buffer("columns", torch.tensor(layout.columns(self.inputs)), persistent=False)
        self.register_buffer("frame_columns", torch.tensor(layout.columns(FRAME_INPUTS)), persistent=False)
        frame, kind = len(self.frame_columns) + 3, self.memory.kind
        remembered = {"none": 0, "stack": self.memory.frames * frame, "gru": self.memory.units}[kind]
        if kind == "gru":
            self.recurrent = nn.GRU(frame, self.memory.units, batch_first=True)
        # Optional inputs come last, so that `take_on` finds the weights of actors without them at the front.
        self.layers = perceptron(
            len(self.columns) + GOAL_WIDTH + remembered + privileged, self.hidden, layout.actuators
        )

    def forward(self, state: Tensor, goal: Tensor, past: Tensor, turns: Tensor, hidden: Tensor) -> Tensor:
        """Compute joint targets.

        Args:
            state: normalised state vectors (N, S).
            goal: goal vectors (N, G).
            past, turns: frames before, as :meth:`History.recall` returns them: (N, K, S), normalised, and (N, K, 3).
            hidden: values that no observation contains, (N, H); used by teachers only.
        """
        parts = [state[:, self.columns], goal]
        if self.memory.frames:
            frames = torch.cat([past[..., self.frame_columns], _TURN_SCALE * turns], dim=-1)[:, : self.memory.frames]
            if self.memory.kind == "gru":
                parts.append(self.recurrent(frames.flip(1))[0][:, -1])
            else:
                parts.append(frames.flatten(1))
        if self.privileged:
            parts.append(hidden)
        return torch.tanh(self.layers(torch.cat(parts, dim=1)))

    @torch.no_grad()
    def take_on(self, other: Actor) -> None:
        """Copy the weights of ``other`` to act as it does; memory that the other lacks is ignored at first.

        Raises:
            ValueError: it has other inputs or layers, or a memory or privileged inputs that differ from this one's.
        """
        if (self.inputs, self.hidden) != (other.inputs, other.hidden):
            raise ValueError(f"inputs {other.inputs} and layers {other.hidden} are not {self.inputs} and {self.hidden}")
        theirs = other.state_dict()
        if (self.memory, self.privileged) != (other.memory, other.privileged):
            if other.memory.frames or other.privileged:
                raise ValueError(f"it has {other.memory} and is told {other.privileged} numbers, not {self.memory}")
            weight = torch.zeros_like(self.get_parameter("layers.0.weight"))
            known = theirs["layers.0.weight"]
            weight[:, : known.shape[1]] = known
            theirs["layers.0.weight"] = weight
        self.load_state_dict(theirs, strict=False)


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Build linear layers with layer normalisation and ReLU in between."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def save_policy(path: Path, actor: Actor, normaliser: Normaliser, about: dict[str, Any]) -> None:
    """Write a policy; ``about`` describes its training in JSON values (at least "name" and "object")."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "about": about,
        "inputs": list(actor.inputs),
        "hidden": list(actor.hidden),
        "layout": asdict(actor.layout),
        "memory": asdict(actor.memory),
        "told": actor.privileged,
        "servo": asdict(actor.servo),
        "actor": actor.state_dict(),
        "normaliser": normaliser.state_dict(),
    }
    atomic_write(path, lambda file: torch.save(content, file))


def load_policy(path: Path) -> tuple[Actor, Normaliser, dict[str, Any]]:
    """Load actor, normaliser and description from a file written by :func:`save_policy`.

    Raises:
        DactylError: the file does not exist, is damaged, or is not a policy of this version.
    """
    content = load_file(path, "policy")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DactylError(f"{path}: not a policy of dactyl; pass policy.pt of a training")
    if content.get("version") != VERSION:
        raise DactylError(f"{path}: version {content.get('version')} of the format, this is {VERSION}; train it again")
    with fitting(path):
        inputs = convert(content["inputs"], Names, f"{path}: inputs")
        hidden = convert(content["hidden"], Widths, f"{path}: hidden")
        layout = convert(content["layout"], Layout, f"{path}: layout") if "layout" in content else SHADOW
        # Older files lack some keys.
        memory = convert(content.get("memory", {}), Memory, f"{path}: memory")
        servo = convert(content.get("servo", {}), Servo, f"{path}: servo")
        privileged = convert(content.get("told", 0), Privileged, f"{path}: told")
        actor = fitted(
            lambda: Actor(inputs, hidden, layout, memory, privileged, servo),
            checked_tensors(content["actor"], f"{path}: actor"),
            str(path),
        )
        normaliser = fitted(
            lambda: Normaliser(layout.state), checked_tensors(content["normaliser"], f"{path}: normaliser"), str(path)
        )
        about = convert(content["about"], dict[str, Any], f"{path}: about")
        about |= {key: convert(about[key], Text, f"{path}: about.{key}") for key in ("name", "object")}
    return actor.eval(), normaliser.eval(), about


def load_policy_for(path: Path, layout: Layout, target: str | None) -> tuple[Actor, Normaliser, dict[str, Any]]:
    """Load a policy as :func:`load_policy` does, for a scene of that layout and an object of that name; None stands for
    any object.

    Raises:
        DactylError: as :func:`load_policy`, or the policy is for another layout or object.
    """
    actor, normaliser, about = load_policy(path)
    if target is not None and about["object"] != target:
        raise DactylError(f"{path}: a policy for the {about['object']}, not the {target}; choose another")
    if actor.layout != layout:
        raise DactylError(f"{path}: a policy for {actor.layout}, where the scene has {layout}; choose another")
    return actor, normaliser, about


@contextlib.contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn exceptions from unsuitable content into an error of one line that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise DactylError(f"{path}: does not fit this version's network ({text}); train it again") from error


def load_file(path: Path, what: str) -> Any:
    """Load what torch saved in ``path``, without running code and after checking checksums; ``what`` is for errors."""
    return load_tensors(path, what, "fetch or train it again")
