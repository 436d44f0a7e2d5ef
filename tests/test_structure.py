"""Who may import whom: an arrow that is not in this list fails, and adding one is a decision to be made here.
Folders inside a room never import each other in a ring."""

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
    "train/online_device.py": {"datagen"},  # draws on the training's device
    "train/online_config.py": {"datagen"},  # by datagen's options
    "eval/closed_loop": {"datagen"},  # runs the simulation
    "eval/laboratory/cli.py": {"datagen"},  # completes a scene by its hand's model
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


def folder_arrows(room: str) -> dict[str, set[str]]:
    """For each folder of a room, and each module beside its folders, which others of the room it imports."""
    arrows: dict[str, set[str]] = {}
    for path in (ROOT / room).rglob("*.py"):
        parts = path.relative_to(ROOT / room).with_suffix("").parts
        here = arrows.setdefault(parts[0], set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == room:
                inside = node.module.split(".")[1:]
                here |= {inside[0]} if inside else {alias.name for alias in node.names}
        here.discard(parts[0])
    return arrows


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """Folders that import each other in a ring; empty without one."""

    def search(trail: list[str], done: set[str]) -> list[str]:
        for after in sorted(arrows.get(trail[-1], ())):
            if after in trail:
                return [*trail[trail.index(after) :], after]
            if after not in done and (found := search([*trail, after], done)):
                return found
        done.add(trail[-1])
        return []

    done: set[str] = set()
    return next((found for folder in sorted(arrows) if folder not in done and (found := search([folder], done))), [])


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_ring_of_folders(room: str) -> None:
    assert not cycle(folder_arrows(room))


def test_a_ring_is_found() -> None:
    assert cycle({"sim": {"policy"}, "policy": {"render"}, "render": {"sim"}}) == ["policy", "render", "sim", "policy"]
    assert not cycle({"policy": {"sim", "render"}, "render": {"sim"}, "sim": set()})


def test_modules_are_short() -> None:
    """Most have 80 to 250 lines; a longer one should be two things."""
    assert [path for path in modules() if len((ROOT / path).read_text().splitlines()) > 320] == []


def test_every_room_was_walked() -> None:
    assert {path.partition("/")[0] for path in modules()} == ROOMS.keys()


@pytest.mark.parametrize(
    ("path", "source", "arrows"),
    [
        ("vision/networks/model.py", "import mujoco", {"mujoco"}),
        ("vision/networks/model.py", "def f():\n    from train.losses import mse", {"train"}),
        ("vision/networks/model.py", "import torch, datagen.states.collect as s", {"datagen"}),
        ("datagen/states/collect.py", "import mujoco\nfrom vision import files\nfrom . import pool", set()),
        ("datagen/states/collect.py", "from eval import metrics", {"eval"}),
        ("train/online.py", "import datagen.generate.dataset", set()),
        ("train/data.py", "import datagen.generate.dataset", {"datagen"}),
        ("eval/closed_loop/run.py", "import datagen.policy, train.module", {"train"}),
        ("eval/scoring/trial_results.py", "import datagen.policy", {"datagen"}),
        ("eval/scoring/predict.py", "from tests import synthetic", {"tests"}),
        ("dactyl/demo.py", "import datagen, train, eval, vision", set()),
    ],
)
def test_the_rules_themselves(path: str, source: str, arrows: set[str]) -> None:
    assert forbidden(path, source) == arrows
