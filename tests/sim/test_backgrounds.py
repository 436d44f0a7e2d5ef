"""What an object without a hand lies on: a bowl, and states of objects that fall."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest
import trimesh

from datagen.sim.backgrounds import Surface, bowl_floor, bowl_surface, bowl_wall
from datagen.sim.complete import complete_scene
from datagen.sim.scene import compile_scene
from datagen.states.collect import StatesConfig, collect
from vision.scene.surroundings import Background

FLOOR = -0.005
HALF = 0.0326


def test_the_wall_begins_at_the_floor_and_ends_at_the_rim() -> None:
    background = complete_scene("trifinger-cube").background
    slabs = bowl_wall(background)
    radius, height = np.hypot(slabs[..., 0], slabs[..., 1]), slabs[..., 2]
    rim = height.max()
    assert rim == pytest.approx(FLOOR + background.rim_height)
    np.testing.assert_allclose(radius[height == rim], background.rim_radius)
    assert radius.min() < background.floor_radius
    assert height[radius < background.floor_radius].max() < FLOOR  # the overlap is below the floor
    np.testing.assert_allclose(slabs[1:, :4].min(axis=(1, 2)), slabs[:-1, 4:].min(axis=(1, 2)))  # no gap between slabs


@pytest.mark.parametrize("surface", [bowl_floor, bowl_surface])
def test_what_is_seen_of_a_bowl_is_closed_and_faces_outwards(surface: Callable[[Background], Surface]) -> None:
    vertices, normals, faces = surface(complete_scene("trifinger-cube").background)
    mesh = trimesh.Trimesh(vertices, faces)
    mesh.merge_vertices(merge_norm=True)
    assert mesh.is_watertight
    assert mesh.volume > 0
    across = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    assert ((across[:, None] * normals[faces]).sum(-1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_the_bowl_that_is_seen_is_the_one_that_is_touched() -> None:
    background = complete_scene("trifinger-cube").background
    corners = bowl_wall(background).reshape(-1, 3)
    vertices, _, _ = bowl_surface(background)
    assert np.linalg.norm(corners[:, None] - vertices, axis=-1).min(axis=1).max() < 1e-9
    floor, _, _ = bowl_floor(background)
    assert floor[:, 2].max() == background.centre[2] == FLOOR
    assert np.hypot(floor[:, 0], floor[:, 1]).max() == pytest.approx(background.floor_radius)


@pytest.mark.parametrize("start", [(0.0, 0.0, 0.1), (0.27, 0.0, 0.3)])
def test_what_falls_into_the_bowl_stays_in_it(start: tuple[float, float, float]) -> None:
    """Also what falls onto its wall, which it slides down; without collisions it falls through."""
    scene = complete_scene("trifinger-cube")
    for collides in (True, False):
        background = msgspec.structs.replace(scene.background, collides=collides)
        simulated = compile_scene(msgspec.structs.replace(scene, background=background))
        data = mujoco.MjData(simulated.model)
        data.qpos[:3] = start
        for _ in range(400):
            mujoco.mj_step(simulated.model, data)
        if collides:
            assert FLOOR + HALF - 0.002 < data.qpos[2] < FLOOR + 2 * HALF
            assert np.hypot(*data.qpos[:2]) < scene.background.floor_radius
        else:
            assert data.qpos[2] < -1


def test_states_show_the_fall_and_the_rest(tmp_path: Path) -> None:
    """Longer than the rules of trials let a hand try for one goal: 8 s, 100 steps."""
    config = StatesConfig(output=tmp_path / "states", count=220, scene="trifinger-cube", episode_steps=110, worlds=2)
    states = collect(config)
    height = states.object_position[:, 2]
    assert len(states) == 220
    assert states.joint_position.shape == (220, 0)
    assert height[states.step == 0].min() > FLOOR + HALF
    at_rest = height[states.step == 109]
    assert len(at_rest) == 2
    np.testing.assert_allclose(at_rest, FLOOR + HALF, atol=0.001)
    first = states.object_quaternion[states.step == 0]
    assert abs(first[0] @ first[1]) < 0.999  # each falls in an orientation of its own
