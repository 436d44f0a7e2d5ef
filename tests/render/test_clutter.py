"""Clutter: distances that are true, nothing through the object, everything where it is said to be."""

from __future__ import annotations

import dataclasses
import itertools
import json

import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter import ClutterConfig, FingerConfig, draw_clutter
from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.appearance.room import Room, Surfaces
from datagen.sim.geom_meshes import geom_mesh
from tests.render.looks import JOINTS
from tests.scenes import compiled, rig, scene
from vision.distributions import LogUniform, Uniform, UniformInt
from vision.errors import DactylError
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray, quaternion_from_rotation
from vision.scene.surroundings import Background

CAMERAS = np.array([camera.position for camera in rig().cameras])
OBJECT = np.array([1.0, 0.87, 0.2])
RADIUS = 0.05
FULL = ClutterConfig(behind=UniformInt(2, 4), beside=UniformInt(2, 4), front=UniformInt(1, 3))
FINGERS = ClutterConfig(fingers=FingerConfig(count=UniformInt(3, 3)))
NO_HAND = np.zeros((0, 3))


def room(radius: float = RADIUS, hand: FloatArray = NO_HAND, **changes: Background) -> Room:
    """A ball in the object's place, above nothing."""
    ball = OBJECT + radius * np.array(trimesh.creation.icosphere(3).vertices)
    return Room(CAMERAS, ball, hand, OBJECT, changes.get("background", Background(kind="none")))


def drawn(
    config: ClutterConfig = FULL, index: int = 0, seed: int = 0, radius: float = RADIUS
) -> tuple[ClutterPiece, ...]:
    return draw_clutter(config, room(radius), seed, index)


SCALE = room().scale
CLEARANCE = FULL.clearance * SCALE


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
    solid = ClutterPart(shape, centre, quaternion_from_rotation(turn), np.array(size))  # type: ignore[arg-type]
    part = ClutterPiece("one", "behind", (solid,), np.zeros(3), 0.0, 0.0)
    points = rng.uniform(-0.15, 0.15, (400, 3)) + centre
    exact, _ = cKDTree(surface(solid, 200_000)).query(points)
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
            assert np.linalg.norm(points - OBJECT, axis=1).min() >= RADIUS + CLEARANCE - 1e-3
            assert piece.distance(OBJECT[None])[0] >= RADIUS + CLEARANCE  # and the object is not inside
            assert (np.linalg.norm(points[:, None] - CAMERAS, axis=2) >= 0.07 * SCALE).all()
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


def test_a_hand_is_spared() -> None:
    """The real one, by points of its surface that are not those which the drawing looked at."""
    compiled_scene = compiled("block", 0.1)
    surfaces = Surfaces(scene(), FULL.clearance)
    there = surfaces.room(JOINTS, Pose(np.eye(3), OBJECT), rig().nominal)
    bare = dataclasses.replace(there, hand=NO_HAND)
    data = mujoco.MjData(compiled_scene.model)
    data.qpos[compiled_scene.hand_qpos] = JOINTS
    mujoco.mj_kinematics(compiled_scene.model, data)
    skin = []
    for geom in range(compiled_scene.model.ngeom):
        if compiled_scene.model.geom_bodyid[geom] and geom not in compiled_scene.object_geoms:
            points, _ = trimesh.sample.sample_surface(
                trimesh.Trimesh(*geom_mesh(compiled_scene.model, geom), process=False), 300, seed=0
            )
            skin.append(points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    hand = np.concatenate(skin)
    config = dataclasses.replace(FULL, distance=Uniform(0.05, 0.3), beside=UniformInt(6, 8))
    touched = 0
    for index in range(12):
        touched += sum(piece.distance(hand).min() < 0 for piece in draw_clutter(config, bare, 0, index))
        for piece in draw_clutter(config, there, 0, index):
            assert piece.distance(hand).min() > 0
    assert touched > 3  # by pieces that know nothing of it


@pytest.mark.parametrize("name", ["block", "trifinger-cube"])
def test_no_place_of_a_surface_is_far_from_a_point(name: str) -> None:
    one = scene(name)
    surfaces = Surfaces(one, 0.01)
    pose = Pose.from_quaternion(np.zeros(3), [0.5, 0.5, 0.5, 0.5])
    joints = JOINTS if one.hand else np.zeros(0)
    found = surfaces.room(joints, pose, one.rig.nominal)
    mesh = trimesh.Trimesh(one.object.mesh.vertices, one.object.mesh.faces, process=False)
    places, _ = trimesh.sample.sample_surface(mesh, 5_000, seed=0)
    turned = Rotation.from_quat([0.5, 0.5, 0.5, 0.5]).apply(places)
    far, _ = cKDTree(found.target).query(turned)
    centre = np.array(one.workspace.light_centre)
    scale = np.linalg.norm([camera.position - centre for camera in one.rig.cameras], axis=1).mean()
    assert far.max() <= 0.01 * scale
    assert (len(found.hand) > 500) == (one.hand is not None)


def test_where_no_place_is_free_there_is_no_piece() -> None:
    assert drawn(radius=5.0) == ()
    crowded = dataclasses.replace(FULL, size=LogUniform(0.5, 0.6), distance=Uniform(0.01, 0.02))
    assert all(piece.distance(OBJECT[None])[0] >= RADIUS + CLEARANCE for piece in drawn(crowded))


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
                assert 0.1 * SCALE < np.linalg.norm(middle - OBJECT) < 0.8 * SCALE
                assert middle[2] > OBJECT[2] - 0.1


def test_what_stands_on_a_floor_is_seen() -> None:
    """No piece's middle is under a plane or a bowl; where there is nothing, pieces are under the object too."""
    plane = Background(kind="plane", centre=(OBJECT[0], OBJECT[1], OBJECT[2] - 0.1))
    bowl = Background(kind="bowl", centre=plane.centre, floor_radius=0.1, rim_radius=0.6, rim_height=0.5)
    assert bowl.height(OBJECT[0] + 0.05, OBJECT[1]) == plane.centre[2]
    assert bowl.height(OBJECT[0], OBJECT[1] + 0.35) == pytest.approx(plane.centre[2] + 0.25)
    assert bowl.height(OBJECT[0] + 0.7, OBJECT[1]) == plane.height(OBJECT[0] + 2, OBJECT[1]) == -np.inf
    below = 0
    for index in range(20):
        for background in (plane, bowl):
            for piece in draw_clutter(FULL, room(background=background), 0, index):
                if piece.kind in ("box", "sphere", "rod"):
                    x, y, z = piece.parts[0].position
                    assert z >= background.height(x, y) - 1e-9
        below += sum(piece.parts[0].position[2] < plane.centre[2] for piece in drawn(index=index))
    assert below


def test_fingers_reach_in_from_above() -> None:
    """Three on the cube in the bowl: from above the object to near it, of the real ones' sizes, through nothing."""
    one = scene("trifinger-cube")
    surfaces = Surfaces(one, FINGERS.clearance)
    cube = trimesh.creation.box(extents=(0.0652,) * 3)
    faces, _ = trimesh.sample.sample_surface(cube, 2_000, seed=1)
    gaps, greys = [], set()
    for index in range(25):
        place = np.array([0.05 * np.cos(index), 0.05 * np.sin(index), 0.0274])
        there = surfaces.room(np.zeros(0), Pose(np.eye(3), place), one.rig.nominal)
        assert there.scale == pytest.approx(0.5, abs=0.05)
        pieces = draw_clutter(FINGERS, there, 0, index)
        assert {piece.kind for piece in pieces} <= {"finger", "fingertip"}
        for links, tip in zip(pieces[::2], pieces[1::2], strict=True):
            assert (links.kind, tip.kind) == ("finger", "fingertip")
            distance = np.minimum(links.distance(faces + place), tip.distance(faces + place))
            assert min(distance.min(), links.distance(place[None])[0]) > 0
            gaps.append(distance.min())
            assert links.triangles()[0][:, 2].max() > 0.2
            assert 0.006 < tip.parts[0].size[0] < 0.010
            assert 0.006 < min(part.size[0] for part in links.parts) < max(part.size[0] for part in links.parts) < 0.028
            assert links.rgb.max() < 0.11 or links.rgb.min() > 0.79
            greys.add(links.rgb.max() < 0.11)
            assert 0.2 < tip.rgb[0] == tip.rgb[1] == tip.rgb[2] < 0.6
    assert len(gaps) > 60
    assert min(gaps) < 0.015
    assert greys == {True, False}


def test_pieces_in_front_hide_no_more_than_they_may() -> None:
    """Counted in another way: by points on the way from the cameras to a ball in the object's place."""
    ball = OBJECT + RADIUS * np.array(trimesh.creation.icosphere(1).vertices)
    way = np.linspace(0.05, 1.0, 400)[:, None, None, None]
    rays = (CAMERAS[:, None] + way * (ball - CAMERAS[:, None])).reshape(-1, 3)
    thick = dataclasses.replace(FULL, behind=UniformInt(0, 0), beside=UniformInt(0, 0), front=UniformInt(6, 6))
    thick = dataclasses.replace(thick, thickness=LogUniform(0.01, 0.03))
    most = {}
    for hidden in (0.3, 1.0):
        shares = []
        for index in range(12):
            pieces = drawn(dataclasses.replace(thick, hidden=hidden), index)
            blocked = np.zeros((len(CAMERAS), len(ball)), bool)
            for piece in pieces:
                inside = (piece.distance(rays) < 0).reshape(400, len(CAMERAS), len(ball)).any(axis=0)
                blocked |= inside
                told = piece.blocks(CAMERAS[:, None], ball)
                assert (told != inside).mean() < 0.02
            shares.append(blocked.mean(axis=1).max())
        most[hidden] = max(shares)
    assert most[0.3] < 0.4 < 0.6 < most[1.0]


def test_a_probability_decides_for_whole_samples() -> None:
    half = [len(drawn(dataclasses.replace(FULL, probability=0.5), index)) > 0 for index in range(200)]
    assert 75 < sum(half) < 125
    assert not dataclasses.replace(FULL, probability=0.0).any
    assert FINGERS.any
    assert not ClutterConfig().any


def test_surfaces_are_closed_and_have_the_distances_said() -> None:
    for index in range(4):
        for piece in (*drawn(index=index), *drawn(FINGERS, index)):
            for part in piece.parts:
                vertices, normals, faces = part.triangles()
                mesh = trimesh.Trimesh(vertices, faces)
                mesh.merge_vertices(digits_vertex=6)
                mesh.update_faces(mesh.nondegenerate_faces())  # a sphere has no wall between its halves
                assert mesh.is_watertight
                assert mesh.volume > 0  # counter-clockwise from outside
                alone = dataclasses.replace(piece, parts=(part,))
                assert np.abs(alone.distance(vertices)).max() < 1e-6
                assert (alone.distance(vertices + 1e-3 * normals) > 5e-4).all()
            vertices, normals, faces = piece.triangles()
            assert faces.max() == len(vertices) - 1 == len(normals) - 1
            middle, radius = piece.ball
            assert np.linalg.norm(vertices - middle, axis=1).max() <= radius + 1e-9


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
        assert ClutterPiece.from_json(values, "here").to_json() == piece.to_json()
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
            ClutterPiece.from_json({**values, **wrong}, "here")
    with pytest.raises(DactylError, match="not a piece of clutter"):
        ClutterPiece.from_json({}, "here")


@pytest.mark.parametrize(
    "wrong",
    [{"behind": UniformInt(-1, 2)}, {"front": UniformInt(0, 99)}, {"metallic": Uniform(0, 2)}, {"clearance": -1.0},
     {"distance": Uniform(0, 1)}, {"probability": 2.0}, {"hidden": -0.5}],
)  # fmt: skip
def test_impossible_values_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        ClutterConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"count": UniformInt(0, 9)}, {"tip": Uniform(0, 1)}, {"colored": 1.5}])
def test_impossible_fingers_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        FingerConfig(**wrong)
