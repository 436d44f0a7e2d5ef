"""The part of states that rendering uses: the same numbers, read once and shared by all processes."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import DrawnStates, load_drawn_states
from datagen.states.files import load_states, states_fingerprint
from datagen.workers.pool import run
from vision.errors import DactylError
from vision.machine.progress import Advance

KEYS = ("episode", "joint_position", "object_position", "object_quaternion")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=30, worlds=4, episode_steps=12, stride=4, threads=1))
    return folder


def made_up(count: int, joints: int = 24) -> DrawnStates:
    rng = np.random.default_rng(count)
    columns = [rng.normal(size=(count, width)) for width in (joints, 3, 4)]
    return DrawnStates("made up", np.arange(count), *columns)


def require_equal(found: DrawnStates, expected: DrawnStates) -> None:
    assert found.fingerprint == expected.fingerprint
    for key in KEYS:
        np.testing.assert_array_equal(getattr(found, key), getattr(expected, key), err_msg=key, strict=True)


@dataclass(frozen=True)
class Compare:
    """Whether states that came to a worker process are those of ``path``, as an array; and where they lie."""

    states: DrawnStates
    path: Path

    def __call__(self, number: int, advance: Advance) -> tuple[bool, bool]:
        expected = np.load(self.path)
        maps = Path(f"/proc/{os.getpid()}/maps").read_text()
        return np.array_equal(self.states.joint_position, expected), "dactyl-states" in maps


def test_these_are_columns_of_the_states(folder: Path) -> None:
    states, drawn = load_states(folder), load_drawn_states(folder)
    assert len(drawn) == len(states) == 30
    assert drawn.fingerprint == states_fingerprint(folder)
    for key in KEYS:
        np.testing.assert_array_equal(getattr(drawn, key), getattr(states, key), err_msg=key, strict=True)


def test_a_damaged_part_is_refused_here_too(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "states"))
    path = sorted(copy.glob("part-*.parquet"))[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DactylError, match=f"{path}: differs from its manifest"):
        load_drawn_states(copy)


@pytest.mark.parametrize("joints", [24, 0])
def test_a_pickle_of_shared_states_is_only_their_place(joints: int) -> None:
    states = made_up(5_000, joints)
    shared = states.shared()
    require_equal(shared, states)
    sent = pickle.dumps(shared)
    assert len(sent) < 1_000
    received = pickle.loads(sent)
    require_equal(received, states)
    with pytest.raises(ValueError, match="read-only"):
        received.object_position[0] = 0.0
    del shared
    require_equal(received, states)
    with pytest.raises(FileNotFoundError):
        pickle.loads(sent)


def test_states_that_are_not_shared_are_pickled_whole() -> None:
    """To another machine, for example."""
    states = made_up(100)
    require_equal(pickle.loads(pickle.dumps(states)), states)
    left = states.shared().excluding(range(50))
    require_equal(pickle.loads(pickle.dumps(left)), states.excluding(range(50)))
    assert left.episode.tolist() == list(range(50, 100))


def test_worker_processes_map_them(tmp_path: Path) -> None:
    states = made_up(2_000)
    np.save(tmp_path / "expected.npy", states.joint_position)
    task = Compare(states.shared(), tmp_path / "expected.npy")
    found = dict(run(task, range(3), 2, lambda count: None, tasks_per_process=1))
    assert found == dict.fromkeys(range(3), (True, True))
