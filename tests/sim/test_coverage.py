"""The report on states counts right: even orientations look even, others do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.sim.environment import Environment
from datagen.sim.interface import Observation
from datagen.states.collect import StatesConfig, collect
from datagen.states.coverage import CoverageConfig, cell_of, coverage, measure, stillness_warning
from datagen.states.files import States
from tests.scenes import scene
from vision.geometry.rotations import cube_rotations, quaternion_from_rotation


def states(orientation: Rotation, episode: np.ndarray, step: np.ndarray, position: np.ndarray) -> States:
    count = len(episode)
    nothing = np.zeros((count, 24))
    return States(
        scene("block"), "test", 0, episode, step.astype(np.int32), nothing, nothing, position,
        quaternion_from_rotation(orientation), position, position, np.zeros((count, 4)), np.zeros((count, 5, 3)),
    )  # fmt: skip


def test_figures_are_not_overwritten_by_the_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"output: expected an image, for example coverage\.png"):
        CoverageConfig(tmp_path, tmp_path / "coverage.json")


def test_uniform_orientations_fill_cells_of_equal_volume() -> None:
    some = quaternion_from_rotation(Rotation.random(200_000, rng=np.random.default_rng(0)))
    counts = np.bincount(cell_of(some), minlength=576)
    expected = 200_000 / 576
    assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(575, abs=5 * np.sqrt(2 * 575))  # chi square
    np.testing.assert_array_equal(cell_of(some), cell_of(-some))


def test_even_and_uneven_states_are_told_apart() -> None:
    count = 5000
    episode, step = np.arange(count) // 10, np.arange(count) % 10
    rng = np.random.default_rng(1)
    even = measure(states(Rotation.random(count, rng=rng), episode, step, rng.normal(size=(count, 3)))).figures()
    assert even["cells_seen"] == 1
    assert even["cube_rotations_evenness"] > 0.99
    alike = Rotation.from_matrix(cube_rotations()[3]) * Rotation.from_rotvec(0.01 * rng.normal(size=(count, 3)))
    one = measure(states(alike, episode, step, rng.normal(size=(count, 3)))).figures()
    assert one["cube_rotations_seen"] == pytest.approx(1 / 24)
    assert one["cube_rotations_evenness"] == pytest.approx(1 / 24)


def test_neighbours_are_those_of_one_episode() -> None:
    # Two episodes, interleaved as a part stores them: one turns by 10 degrees a step, the other by 30.
    step = np.repeat(np.arange(6), 2)
    episode = np.tile([4, 9], 6)
    angle = np.where(episode == 4, 10, 30) * step
    position = 0.001 * np.where(episode == 4, 1, 3)[:, None] * step[:, None] * [1.0, 0, 0]
    result = measure(states(Rotation.from_rotvec(np.radians(angle)[:, None] * [0, 0, 1]), episode, step, position))
    np.testing.assert_allclose(np.sort(result.steps_deg), [10] * 5 + [30] * 5)
    np.testing.assert_allclose(np.sort(result.steps_mm), [1] * 5 + [3] * 5)
    assert result.figures()["between_neighbours"]["deg_percentiles"]["50"] == pytest.approx(20)
    assert result.episodes == 2
    np.testing.assert_allclose(
        result.position_median, [0.001 * np.median([0, 1, 2, 3, 4, 5, 0, 3, 6, 9, 12, 15]), 0, 0]
    )


def test_an_object_that_hardly_moves_is_warned_of() -> None:
    episode, step = np.repeat([0, 1], 10), np.tile(np.arange(10), 2)

    def warning(degrees: float, mm: float) -> str | None:
        turned = Rotation.from_rotvec(np.radians(degrees) * step[:, None] * [0, 0, 1])
        return stillness_warning(states(turned, episode, step, mm / 1000 * step[:, None] * np.ones(3) / np.sqrt(3)))

    assert warning(5, 0.001) is None
    assert warning(0.01, 5) is None
    assert "turns 0.02° and moves 0.3 mm (medians)" in str(warning(0.02, 0.3))
    single = np.arange(20)  # no neighbours: nothing to compare
    assert stillness_warning(states(Rotation.identity(20), single, np.zeros(20, int), np.zeros((20, 3)))) is None


def test_drops_are_counted_of_all_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four are lost before a state of theirs is kept."""
    observe = Environment.observe

    def lost(self: Environment) -> Observation:
        observation = observe(self)
        observation["object_position"][1:] += 1
        return observation

    monkeypatch.setattr(Environment, "observe", lost)
    collect(StatesConfig(tmp_path, count=3, worlds=4, episode_steps=3, threads=1))
    figures = coverage(CoverageConfig(tmp_path)).figures()
    assert (figures["episodes"], figures["dropped_episodes"]) == (1, 0.75)


def test_the_report_is_written(tmp_path: Path) -> None:
    collect(StatesConfig(tmp_path / "states", count=12, worlds=4, episode_steps=6, stride=2))
    coverage(CoverageConfig(tmp_path / "states"))
    assert json.loads((tmp_path / "states" / "coverage.json").read_text())["states"] == 12
    assert (tmp_path / "states" / "coverage.png").read_bytes().startswith(b"\x89PNG")
