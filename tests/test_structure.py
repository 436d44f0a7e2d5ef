"""Who may import whom: an arrow that is not in this list fails, and adding one is a decision to be made here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "vision": set[str](),
    "datagen": {"vision"},
    "train": {"vision"},
    "eval": {"vision"},
    "dactyl": {"vision", "datagen", "train", "eval"},
}
EXCEPTIONS = {
    "train/online.py": {"datagen"},  # renders while it trains
    "train/online_config.py": {"datagen"},  # by datagen's options
    "eval/closed_loop": {"datagen"},  # runs the simulation
    "eval/testsets.py": {"datagen"},  # renders test sets
}
SIMULATORS = {"mujoco", "gymnasium", "gymnasium_robotics", "mlagents_envs"}


def imported(source: str) -> Iterator[str]:
    """Top-level packages that a module imports, anywhere in it; its own room for a relative import is left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def forbidden(path: str, source: str) -> set[str]:
    """What the module at ``path`` (relative to the repository) imports but must not."""
    room = path.partition("/")[0]
    known = EXCEPTIONS.get(path, set()) | EXCEPTIONS.get(str(Path(path).parent), set())
    allowed = ROOMS[room] | known | {room}
    closed = (ROOMS.keys() | {"tests"}) - allowed
    if room == "vision":
        closed |= SIMULATORS
    return set(imported(source)) & closed


def modules() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", modules())
def test_a_module_imports_only_rooms_it_may_know(path: str) -> None:
    assert not forbidden(path, (ROOT / path).read_text())


def test_every_room_was_walked() -> None:
    assert {path.partition("/")[0] for path in modules()} == ROOMS.keys()


@pytest.mark.parametrize(
    ("path", "source", "arrows"),
    [
        ("vision/model.py", "import mujoco", {"mujoco"}),
        ("vision/model.py", "def f():\n    from train.losses import mse", {"train"}),
        ("vision/model.py", "import torch, datagen.states as s", {"datagen"}),
        ("datagen/states.py", "import mujoco\nfrom vision import files\nfrom . import pool", set()),
        ("datagen/states.py", "from eval import metrics", {"eval"}),
        ("train/online.py", "import datagen.generate", set()),
        ("train/data.py", "import datagen.generate", {"datagen"}),
        ("eval/closed_loop/run.py", "import datagen.policy, train.module", {"train"}),
        ("eval/trials.py", "import datagen.policy", {"datagen"}),
        ("eval/predict.py", "from tests import synthetic", {"tests"}),
        ("dactyl/demo.py", "import datagen, train, eval, vision", set()),
    ],
)
def test_the_rules_themselves(path: str, source: str, arrows: set[str]) -> None:
    assert forbidden(path, source) == arrows
