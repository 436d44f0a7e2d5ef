"""States folders: the same bytes however often they are interrupted, and no fault passes unnamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datagen.policy import RandomExploration
from datagen.policy.features import INPUTS
from datagen.policy.layout import SHADOW
from datagen.policy.network import Actor, Normaliser, save_policy
from datagen.sim.complete import complete_scene
from datagen.sim.environment import INITIAL_STEPS, Environment
from datagen.sim.interface import Observation
from datagen.sim.outcome import Outcome
from datagen.states.collect import StatesConfig, collect
from datagen.states.files import REJECTIONS, Columns, load_states, read_manifest, states_fingerprint
from datagen.states.parts import PartTask, StatesPart, _rejections
from datagen.workers.stream import OrderedStream
from tests.datasets import reseal
from tests.scenes import JOINTS, scene
from vision.errors import DactylError
from vision.scene.load import SCENES
from vision.storage.schema import STATES, check_column
from vision.storage.tables import read_table

# At most 12 states a part.
SMALL = {"worlds": 4, "episode_steps": 12, "stride": 4, "threads": 2, "policy": RandomExploration.name}
COUNT = 40


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock."""
    files = sorted(path for path in folder.iterdir() if path.name != ".lock")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_policy(path: Path, seed: int) -> None:
    """Write weights of the block that no training has touched."""
    torch.manual_seed(seed)
    about = {"name": "mine", "object": "block"}
    save_policy(path, Actor(INPUTS[:5], (64, 64), SHADOW), Normaliser(SHADOW.state), about)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StatesConfig:
    config = StatesConfig(tmp_path_factory.mktemp("states") / "whole", count=COUNT, **SMALL)
    collect(config)
    return config


@pytest.fixture
def copied(finished: StatesConfig, tmp_path: Path) -> StatesConfig:
    return replace(finished, output=Path(shutil.copytree(finished.output, tmp_path / "copy")))


def test_states_follow_the_schema(finished: StatesConfig) -> None:
    states = load_states(finished.output)
    assert len(states) == COUNT
    assert (states.scene.name, states.policy, states.seed) == ("block", RandomExploration.name, 0)
    assert states.scene == complete_scene("block")
    for key, field in STATES.items():
        column = getattr(states, key)
        assert column.dtype == field.dtype, key
        assert len(column) == COUNT
        check_column(column, field, key)
    assert states.joint_position.shape == (COUNT, JOINTS)
    assert (states.object_position[:, 2] > scene().workspace.drop_height).all()
    assert set(states.step) == {0, 4, 8}
    assert len({(e, s) for e, s in zip(states.episode, states.step, strict=True)}) == COUNT
    assert len(np.unique(states.object_position, axis=0)) == COUNT
    # Fingertips belong to the same moment: within a hand's length of the object.
    distance = np.linalg.norm(states.fingertip_position - states.object_position[:, None], axis=-1)
    assert distance.max() < 0.25


def test_every_file_names_its_policy(finished: StatesConfig) -> None:
    manifest = json.loads((finished.output / "manifest.json").read_text())
    assert manifest["policy"] == manifest["config"]["policy"] == RandomExploration.name
    parts = sorted(finished.output.glob("*.parquet"))
    assert len(parts) > 3
    for path in parts:
        _, metadata = read_table(path, STATES)
        assert metadata == {"scene": complete_scene("block").fingerprint, "policy": RandomExploration.name, "seed": 0}


@pytest.mark.parametrize(
    "gone", [["part-000001.parquet"], ["part-000002.json"], ["part-000000.parquet", "manifest.json"]]
)
def test_a_rerun_restores_the_same_bytes(copied: StatesConfig, gone: list[str]) -> None:
    before = digests(copied.output)
    for name in gone:
        (copied.output / name).unlink()
    collect(copied)
    assert digests(copied.output) == before


def test_a_damaged_part_is_made_again(copied: StatesConfig) -> None:
    before = digests(copied.output)
    path = copied.output / "part-000001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    collect(copied)
    assert digests(copied.output) == before


def test_a_rerun_of_finished_states_simulates_nothing(copied: StatesConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.states.parts.Environment", None)
    assert len(collect(copied)) == COUNT


def test_threads_do_not_matter(finished: StatesConfig, tmp_path: Path) -> None:
    collect(replace(finished, output=tmp_path, threads=1))
    assert digests(tmp_path) == digests(finished.output)


def test_processes_do_not_matter(finished: StatesConfig, tmp_path: Path) -> None:
    """Nor where the count cuts a part that they made whole, nor which parts are there already."""
    config = replace(finished, output=tmp_path, threads=1)
    collect(replace(config, workers=2, count=29))
    (tmp_path / "part-000001.json").unlink()
    collect(replace(config, workers=3))
    assert digests(tmp_path) == digests(finished.output)


def test_a_scene_that_is_edited_meanwhile_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states would be said to be of a scene that they are not of."""
    path = tmp_path / "it.yaml"
    path.write_text((SCENES / "block.yaml").read_text().replace("object: block", "object: prism"))
    expected = complete_scene(str(path)).identity()

    def edit(part: StatesPart, limit: int) -> tuple[Columns, dict[str, int], bool]:
        path.write_text((SCENES / "block.yaml").read_text())
        return cut(part, limit)

    cut = StatesPart.cut
    monkeypatch.setattr(StatesPart, "cut", edit)
    states = collect(StatesConfig(tmp_path / "states", scene=str(path), count=4, **SMALL))
    assert states.scene.identity() == expected
    assert complete_scene(str(path)).identity() != expected


def with_workers_after(edit: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Let ``edit`` happen when a command has begun, but none of its worker processes has."""

    def start(*arguments: Any) -> OrderedStream[StatesPart]:
        edit()
        return OrderedStream(*arguments)

    patch.setattr("datagen.states.collect.OrderedStream", start)


def test_workers_simulate_the_scene_that_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "it.yaml"
    block = (SCENES / "block.yaml").read_text()
    path.write_text(block.replace("object: block", "object: prism"))
    config = StatesConfig(tmp_path / "alone", scene=str(path), count=4, **SMALL)
    collect(config)
    with_workers_after(lambda: path.write_text(block), monkeypatch)
    collect(replace(config, output=tmp_path / "by-workers", workers=2))
    assert complete_scene(str(path)).object.name == "block"
    assert digests(tmp_path / "by-workers") == digests(tmp_path / "alone")


def test_a_policy_that_is_replaced_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training rewrites its policy.pt every few minutes: one folder would hold states of several."""
    path = tmp_path / "policy.pt"
    write_policy(path, seed=0)
    config = StatesConfig(tmp_path / "states", **{**SMALL, "policy": str(path), "count": 4, "workers": 2})
    with_workers_after(lambda: write_policy(path, seed=1), monkeypatch)
    with pytest.raises(DactylError, match=rf"policy {path}: was replaced while this command ran; put it back"):
        collect(config)
    assert not list(config.output.glob("part-*"))


def test_a_part_is_cut_where_simulation_would_have_stopped(
    finished: StatesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States and rejections alike, though one world after the other drops its object."""
    task = PartTask(finished, complete_scene(finished.scene), finished.policy, threads=2)
    step, steps = Environment.step, [0]

    def dropping(self: Environment, action: np.ndarray, worlds: np.ndarray) -> Outcome:
        steps[0] += 1
        outcome = step(self, action, worlds)
        return replace(outcome, dropped=outcome.dropped | (3 * np.arange(self.worlds) == steps[0]))

    def simulate(limit: int) -> StatesPart:
        steps[0] = 0
        return task.simulate(3, limit, lambda _: None)

    monkeypatch.setattr(Environment, "step", dropping)
    whole = simulate(1_000)
    assert whole.rejected["dropped"] > whole.rejected_before[-1]["dropped"] > 0, "else the cut is not tried"
    for limit in range(1, 1 + len(whole.cut(1_000)[0]["step"])):
        columns, *rest = whole.cut(limit)
        stopped, *expected = simulate(limit).cut(limit)
        assert rest == expected
        for key, values in stopped.items():
            np.testing.assert_array_equal(columns[key], values)


def test_a_part_reports_each_step_from_the_first(finished: StatesConfig) -> None:
    """Found: a long stride, or an object that is lost often as episodes begin, was taken for a process that hangs."""
    task = PartTask(replace(finished, stride=10), complete_scene(finished.scene), finished.policy, threads=2)
    kept: list[int] = []
    part = task.simulate(0, 1_000, kept.append)
    assert sum(kept) == sum(len(row["episode"]) for row in part.rows)
    first = kept.index(4)  # the states of all worlds, of the first step
    assert kept[:first] == [0] * first
    assert first >= INITIAL_STEPS
    assert len(kept[first:]) >= finished.episode_steps


def test_another_simulation_is_another_folder(
    finished: StatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.output, tmp_path / "states")
    config = replace(finished, output=tmp_path / "states")
    assert "simulation" not in config.identity(complete_scene(config.scene)), "as before there were versions"
    monkeypatch.setattr("datagen.states.collect.SIMULATION", 2)
    with pytest.raises(DactylError, match="simulation: None there, 2 here"):
        collect(config)


def test_the_manifest_names_the_versions_of_all_parts(
    finished: StatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(finished, output=tmp_path, count=17)
    collect(config)
    present = read_manifest(tmp_path).versions
    assert read_manifest(tmp_path).parts[0].versions == present
    monkeypatch.setattr("datagen.states.files.package_versions", lambda names: {**present, "mujoco": "99.0"})
    collect(replace(config, count=COUNT))
    found = read_manifest(tmp_path)
    assert found.versions == {**present, "mujoco": f"{present['mujoco']}, 99.0"}
    assert load_states(tmp_path).episode.shape == (COUNT,)


def test_threads_do_not_matter_to_a_network(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    write_policy(path, seed=0)
    config = StatesConfig(tmp_path / "1", **{**SMALL, "policy": str(path), "count": 30, "threads": 1})
    collect(config)
    for threads in (2, 3):
        collect(replace(config, output=tmp_path / str(threads), threads=threads))
        assert digests(tmp_path / str(threads)) == digests(tmp_path / "1")
    assert load_states(tmp_path / "1").policy.startswith("mine-")


def test_states_grow(finished: StatesConfig, tmp_path: Path) -> None:
    for count in (5, 17, COUNT):
        assert len(collect(replace(finished, output=tmp_path, count=count))) == count
    assert digests(tmp_path) == digests(finished.output)


def test_seeds_differ(finished: StatesConfig, tmp_path: Path) -> None:
    collect(replace(finished, output=tmp_path, count=4, seed=1))
    other, here = load_states(tmp_path), load_states(finished.output)
    assert not np.isin(other.object_position, here.object_position).any()
    assert states_fingerprint(tmp_path) != states_fingerprint(finished.output)


def test_a_kill_leaves_what_a_rerun_completes(finished: StatesConfig, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    options = ", ".join(f"{key}={value!r}" for key, value in SMALL.items())
    program = (
        "from pathlib import Path; from datagen.states.collect import StatesConfig, collect; "
        f"collect(StatesConfig(Path({str(output)!r}), count={COUNT}, {options}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not any(output.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert any(output.glob("*.parquet"))
    if not (output / "manifest.json").exists():
        with pytest.raises(DactylError, match="unfinished"):
            load_states(output)
    collect(replace(finished, output=output))
    assert digests(output) == digests(finished.output)


def set_nan(environment: Environment) -> None:
    environment.batch.qvel[1, 0] = np.nan


def turn_a_joint_too_far(environment: Environment) -> None:
    """As a hand that flies apart: states of such a one would be refused as a whole."""
    environment.batch.qpos[1, environment.scene.hand_qpos[0]] = 100.0


def put_beside_the_hand(environment: Environment) -> None:
    environment.batch.qpos[1, environment.scene.object_qpos] = 1.3


def put_on_the_forearm(environment: Environment) -> None:
    start = environment.scene.object_qpos
    environment.batch.qpos[1, start : start + 3] = [0.96, 1.22, 0.3]  # higher than any that was dropped


def raise_a_warning(environment: Environment) -> None:
    environment._warnings[1] -= 1  # as if MuJoCo's counter had risen by one


@pytest.mark.parametrize(
    ("reason", "poison"),
    [
        ("non_finite", set_nan),
        ("non_finite", turn_a_joint_too_far),
        ("dropped", put_beside_the_hand),
        ("dropped", put_on_the_forearm),
        ("physics_warning", raise_a_warning),
    ],
)
def test_an_episode_that_goes_wrong_is_rejected_and_counted(
    finished: StatesConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    poison: Callable[[Environment], None],
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo logs its warnings to a file in the working folder
    step = Environment.step
    poisoned = []

    def poisoned_step(self: Environment, action: np.ndarray, worlds: np.ndarray) -> Outcome:
        if not poisoned:
            poison(self)
            poisoned.append(True)
        return step(self, action, worlds)

    monkeypatch.setattr(Environment, "step", poisoned_step)
    states = collect(replace(finished, output=tmp_path / "poisoned", count=10))
    reference = load_states(finished.output)
    manifest = json.loads((tmp_path / "poisoned" / "manifest.json").read_text())
    assert manifest["rejected"] | {"initial_lost": 0} == dict.fromkeys(REJECTIONS, 0) | {reason: 1}
    assert states.step[states.episode == 1].tolist() == [0]
    for episode in (0, 2, 3):  # the others never notice
        rows = states.episode == episode
        expected = reference.object_position[reference.episode == episode][: rows.sum()]
        np.testing.assert_array_equal(states.object_position[rows], expected)


def test_a_part_whose_episodes_all_end_is_still_a_part(
    finished: StatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop_all(self: Environment, action: np.ndarray, worlds: np.ndarray) -> Outcome:
        everyone, no_one = np.isin(np.arange(self.worlds), worlds), np.zeros(self.worlds, dtype=bool)
        return Outcome(no_one, everyone, no_one, no_one, np.zeros(len(action)))

    monkeypatch.setattr(Environment, "step", drop_all)
    states = collect(replace(finished, output=tmp_path, count=6))
    assert states.episode.tolist() == [0, 1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "manifest.json").read_text())["rejected"]["dropped"] == 4


def test_parts_without_any_state_are_not_made_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observe = Environment.observe

    def lost(self: Environment) -> Observation:
        return observe(self) | {"object_position": np.full((self.worlds, 3), 9.0)}

    def begin(self: Environment, worlds: np.ndarray, episodes: np.ndarray, *_: object) -> np.ndarray:
        return np.zeros(len(worlds), dtype=np.int64)

    monkeypatch.setattr(Environment, "observe", lost)
    monkeypatch.setattr(Environment, "reset", begin)
    config = StatesConfig(tmp_path / "states", count=9, **SMALL)
    for _ in range(2):
        with pytest.raises(DactylError, match=r"states: 5 parts in a row .*lost_distance \(0.22 m\)"):
            collect(config)
    assert len(list(config.output.glob("part-*.parquet"))) == 5


def test_an_episode_that_gets_stuck_ends_after_8_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_happens(self: Environment, action: np.ndarray, worlds: np.ndarray) -> Outcome:
        nobody, calls[0] = np.zeros(self.worlds, dtype=bool), calls[0] + 1
        reached = np.arange(self.worlds) == (1 if calls[0] == 30 else -1)  # world 1 reaches a goal in step 30
        return Outcome(reached, nobody, nobody, nobody, np.zeros(self.worlds))

    calls = [0]
    monkeypatch.setattr(Environment, "step", nothing_happens)
    states = collect(StatesConfig(tmp_path / "states", count=220, worlds=2, episode_steps=400, stride=1, threads=1))
    # 100 steps of both, then 20 of the 30 that the other has left: the count stops it.
    assert [int(states.step[states.episode == episode].max()) for episode in (0, 1)] == [99, 119]
    assert json.loads((tmp_path / "states" / "manifest.json").read_text())["rejected"]["dropped"] == 0


def test_an_episode_is_rejected_for_one_reason() -> None:
    yes, no = np.array([True]), np.array([False])
    assert _rejections(Outcome(no, yes, yes, yes, np.zeros(len(yes)))) == {
        "non_finite": 1,
        "physics_warning": 0,
        "dropped": 0,
    }
    assert _rejections(Outcome(no, yes, no, yes, np.zeros(len(yes)))) == {
        "non_finite": 0,
        "physics_warning": 1,
        "dropped": 0,
    }
    assert _rejections(Outcome(yes, yes, no, no, np.zeros(len(yes)))) == {
        "non_finite": 0,
        "physics_warning": 0,
        "dropped": 1,
    }
    assert _rejections(Outcome(yes, no, no, no, np.zeros(len(yes)))) == {
        "non_finite": 0,
        "physics_warning": 0,
        "dropped": 0,
    }


def edit_manifest(folder: Path, **changes: object) -> None:
    reseal(folder / "manifest.json", lambda manifest: manifest.update(changes))


def flip_a_byte(folder: Path) -> None:
    path = folder / "part-000001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap_parts(folder: Path) -> None:
    (folder / "part-000000.parquet").rename(folder / "aside")
    (folder / "part-000001.parquet").rename(folder / "part-000000.parquet")
    (folder / "aside").rename(folder / "part-000001.parquet")


def escape(folder: Path) -> None:
    parts = json.loads((folder / "manifest.json").read_text())["parts"]
    edit_manifest(folder, parts=[parts[0] | {"name": "../part-000000.parquet"}])


FAULTS = {
    "flipped": (flip_a_byte, "part-000001.parquet: differs"),
    "swapped": (swap_parts, "part-000000.parquet: differs"),
    "missing": (lambda folder: (folder / "part-000002.parquet").unlink(), "part-000002.parquet: is missing"),
    "unfinished": (lambda folder: (folder / "manifest.json").unlink(), "unfinished"),
    "version": (lambda folder: edit_manifest(folder, schema_version=99), "schema version 99"),
    "no version": (lambda folder: edit_manifest(folder, schema_version=None), "schema version None"),
    "wrong type": (lambda folder: edit_manifest(folder, seed="zero"), "seed"),
    "no parts": (lambda folder: edit_manifest(folder, parts=[]), "key 'parts'"),
    "strange part": (lambda folder: edit_manifest(folder, parts=[{"name": "x"}]), "missing key"),
    "outside": (escape, "parts[0].name"),
    "no JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json"),
    "a list": (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json"),
    "no folder": (shutil.rmtree, "manifest.json: no such"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_in_one_line(copied: StatesConfig, fault: str) -> None:
    break_it, message = FAULTS[fault]
    break_it(copied.output)
    with pytest.raises(DactylError) as caught:
        load_states(copied.output)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_configuration_is_refused_and_named(copied: StatesConfig) -> None:
    before = digests(copied.output)
    with pytest.raises(DactylError, match="stride: 4 there, 3 here"):
        collect(replace(copied, stride=3))
    with pytest.raises(DactylError, match="holds 40 states, more than count 10"):
        collect(replace(copied, count=10))
    assert digests(copied.output) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 0),
        ("stride", 0),
        ("worlds", -1),
        ("episode_steps", 0),
        ("seed", -1),
        ("threads", -2),
        ("scene", "ball"),
        ("policy", "expert"),
    ],
)
def test_impossible_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key) as caught:
        StatesConfig(**{"output": Path("unused"), key: value})
    assert "\n" not in str(caught.value)
