"""Clutter: distances that are true, nothing through the object, everything where it is said to be."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter import ClutterConfig, ClutterPart, Piece, draw_clutter
from datagen.variation import LogUniform, Uniform, UniformInt
from tests.scenes import rig
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_rotation

CAMERAS = np.array([camera.position for camera in rig().cameras])
OBJECT = np.array([1.0, 0.87, 0.2])
RADIUS = 0.05
FULL = ClutterConfig(behind=UniformInt(2, 4), beside=UniformInt(2, 4), front=UniformInt(1, 3))


def drawn(config: ClutterConfig = FULL, index: int = 0, seed: int = 0, radius: float = RADIUS) -> tuple[Piece, ...]:
    return draw_clutter(config, CAMERAS, OBJECT[None], np.array([radius]), seed, index)


def surface(part: ClutterPart, count: int, detail: int = 48) -> np.ndarray:
    """Points (count, 3) on a part's surface, from a mesh of it."""
    if part.shape == "box":
        mesh = trimesh.creation.box(extents=2 * part.size)
    elif part.shape == "sphere":
        mesh = trimesh.creation.icosphere(detail // 12, part.size[0])
    else:
        mesh = trimesh.creation.capsule(2 * part.size[1], part.size[0], count=[detail, detail])
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    points, _ = trimesh.sample.sample_surface(mesh, count, seed=0)
    return Rotation.from_quat(np.roll(part.quaternion, -1)).apply(points) + part.position


@pytest.mark.parametrize(
    ("shape", "size", "depth"),
    [("box", (0.1, 0.02, 0.05), 0.02), ("capsule", (0.02, 0.08, 0), 0.02), ("sphere", (0.06, 0, 0), 0.06)],
)
def test_distances_are_those_to_the_surface(shape: str, size: tuple[float, ...], depth: float) -> None:
    rng = np.random.default_rng(0)
    turn = Rotation.random(random_state=rng)
    centre = np.array([0.3, -0.2, 0.5])
    part = ClutterPart(shape, centre, quaternion_from_rotation(turn), np.array(size))  # type: ignore[arg-type]
    points = rng.uniform(-0.15, 0.15, (400, 3)) + centre
    exact, _ = cKDTree(surface(part, 200_000)).query(points)
    found = part.distance(points)
    assert np.abs(np.abs(found) - exact).max() < 0.002
    inside = points[found < -0.003]
    assert len(inside)
    # From inside, a way in any direction crosses the surface: farther out the distance is positive.
    assert (part.distance(centre + 20 * (inside - centre)) > 0).all()
    assert part.distance(centre[None])[0] == pytest.approx(-depth)


def test_nothing_goes_through_the_object_or_a_camera() -> None:
    kinds = set()
    crowded = dataclasses.replace(FULL, front=UniformInt(12, 12), distance=Uniform(0.05, 0.3))
    for index in range(12):
        for piece in drawn(crowded, index):
            kinds.add(piece.kind)
            points = np.concatenate([surface(part, 200, 12) for part in piece.parts])
            assert np.linalg.norm(points - OBJECT, axis=1).min() >= RADIUS + FULL.clearance - 1e-3
            assert piece.distance(OBJECT[None])[0] >= RADIUS + FULL.clearance  # and the object is not inside
            assert (np.linalg.norm(points[:, None] - CAMERAS, axis=2) >= 0.099).all()
    assert kinds == {"box", "rod", "sphere", "ring", "cable"}


def test_only_thin_pieces_in_front_hide_any_of_the_object() -> None:
    """Rays from the cameras to a ball in the object's place."""
    ball = OBJECT + 0.95 * RADIUS * np.array(trimesh.creation.icosphere(2).vertices)
    way = np.linspace(0.1, 1.0, 100)[:, None, None, None]  # a centimetre apart
    rays = (CAMERAS[:, None] + way * (ball - CAMERAS[:, None])).reshape(-1, 3)
    hidden = {"behind": 0, "beside": 0, "front": 0}
    for index in range(6):
        for piece in drawn(index=index):
            blocked = piece.distance(rays).reshape(100, len(CAMERAS), len(ball)).min(axis=0) < 0
            hidden[piece.place] += int(blocked.any())
            assert blocked.mean(axis=1).max() < 0.9  # no camera loses the object to one piece
    assert hidden["behind"] == hidden["beside"] == 0
    assert hidden["front"] > 2


def test_other_spheres_are_spared_as_well() -> None:
    centres = OBJECT + np.array([[0, 0, 0], [0, -0.1, -0.1], [0, -0.25, -0.1]])
    radii = np.array([RADIUS, 0.1, 0.1])
    touched = 0
    for index in range(40):
        touched += sum(bool((piece.distance(centres) < radii).any()) for piece in drawn(index=index))
        for piece in draw_clutter(FULL, CAMERAS, centres, radii, 0, index):
            assert (piece.distance(centres) >= radii + FULL.clearance).all()
    assert touched  # by pieces that know nothing of them


def test_where_no_place_is_free_there_is_no_piece() -> None:
    assert drawn(radius=5.0) == ()
    crowded = dataclasses.replace(FULL, size=LogUniform(0.5, 0.6), distance=Uniform(0.01, 0.02))
    assert all(piece.distance(OBJECT[None])[0] >= RADIUS + FULL.clearance for piece in drawn(crowded))


def test_pieces_stand_where_they_are_said_to() -> None:
    for index in range(40):
        for piece in drawn(index=index):
            middle = np.mean([part.position for part in piece.parts], axis=0)
            far = np.linalg.norm(middle - CAMERAS, axis=1) - np.linalg.norm(OBJECT - CAMERAS, axis=1)
            if piece.place == "front":
                assert piece.kind in ("rod", "cable")
                towards, to_object = middle - CAMERAS, OBJECT - CAMERAS
                cosine = (towards * to_object).sum(axis=1) / np.linalg.norm(towards, axis=1)
                angle = np.arccos(np.clip(cosine / np.linalg.norm(to_object, axis=1), -1, 1))
                assert ((far < 0) & (angle < np.deg2rad(20))).any()
            elif piece.place == "behind":
                assert far.max() > 0
            else:
                assert 0.1 < np.linalg.norm(middle - OBJECT) < 0.8
                assert middle[2] > OBJECT[2] - 0.1


def test_one_key_one_clutter_and_each_place_by_itself() -> None:
    first, again = (json.dumps([piece.to_json() for piece in drawn(index=7)]) for _ in range(2))
    assert first == again != json.dumps([piece.to_json() for piece in drawn(index=8)])
    only_front = drawn(dataclasses.replace(FULL, behind=UniformInt(0, 0), beside=UniformInt(0, 0)), index=7)
    in_front = [piece for piece in drawn(index=7) if piece.place == "front"]
    assert [piece.to_json() for piece in only_front] == [piece.to_json() for piece in in_front]
    assert in_front
    assert drawn(ClutterConfig()) == ()


def test_a_ring_closes_and_a_cable_hangs_together() -> None:
    seen = set()
    for index in range(30):
        for piece in drawn(index=index):
            if piece.kind not in ("ring", "cable"):
                continue
            seen.add(piece.kind)
            ends = []
            for part in piece.parts:
                along = Rotation.from_quat(np.roll(part.quaternion, -1)).apply([0, 0, part.size[1]])
                ends.append((part.position - along, part.position + along))
            for (_, end), (start, _) in itertools.pairwise(ends):
                np.testing.assert_allclose(end, start, atol=1e-9)
            if piece.kind == "ring":
                np.testing.assert_allclose(ends[-1][1], ends[0][0], atol=1e-9)
    assert seen == {"ring", "cable"}


def test_values_survive_json_and_others_are_refused() -> None:
    for piece in drawn():
        values = json.loads(json.dumps(piece.to_json()))
        assert Piece.from_json(values, "here").to_json() == piece.to_json()
    for wrong in (
        {"place": "inside"},
        {"rgb": [1, 2]},
        {"parts": []},
        {"parts": [{**values["parts"][0], "shape": "cone"}]},
        {"parts": [{**values["parts"][0], "size": [1, 2]}]},
        {"parts": [{**values["parts"][0], "position": [1, 2, float("nan")]}]},
        {"metallic": None},
    ):
        with pytest.raises(DactylError, match=r"^here: not a piece of clutter"):
            Piece.from_json({**values, **wrong}, "here")
    with pytest.raises(DactylError, match="not a piece of clutter"):
        Piece.from_json({}, "here")


@pytest.mark.parametrize(
    "wrong",
    [{"behind": UniformInt(-1, 2)}, {"front": UniformInt(0, 99)}, {"metallic": Uniform(0, 2)}, {"clearance": -1.0},
     {"distance": Uniform(0, 1)}],
)  # fmt: skip
def test_impossible_values_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        ClutterConfig(**wrong)
