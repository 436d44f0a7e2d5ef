"""The scene: letters the right way round, the solid's shape, one kinematics for both purposes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest
import trimesh
import yaml
from msgspec.structs import replace
from mujoco.batch import Batch
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from datagen.sim.cameras import mujoco_pose
from datagen.sim.complete import completed
from datagen.sim.geom_meshes import geom_mesh
from datagen.sim.objects import add_parts
from datagen.sim.scene import SimScene, compile_scene
from tests.scenes import JOINTS, compiled, rig, scene
from vision.errors import DactylError
from vision.geometry.cameras import change_field_of_view
from vision.geometry.rotations import matrix_from_quaternion
from vision.objects.glyphs import FONT, letter_mesh
from vision.objects.lettered import LETTER_RELIEF
from vision.objects.pose_object import Face, Mesh, Part, Piece
from vision.scene.hand import Hand
from vision.scene.load import SCENES
from vision.scene.surroundings import Background

OBJECTS = ("block", "prism")


@pytest.fixture(scope="module", params=OBJECTS)
def render_scene(request: pytest.FixtureRequest) -> SimScene:
    return compiled(request.param, mesh_fraction=0.2)


@pytest.fixture(scope="module")
def physics_scene(render_scene: SimScene) -> SimScene:
    return compile_scene(render_scene.scene)


@dataclass(frozen=True)
class Letter:
    """What a face should bear; height in metres."""

    text: str
    height: float


def letters(name: str) -> dict[str, Letter]:
    """By face, as the object's file has them."""
    file = yaml.safe_load(Path(SCENES / "objects" / f"{name}.yaml").read_text())
    if name == "block":
        return {face: Letter(look["letter"], file["letter_height"]) for face, look in file["faces"].items()}
    sides = {f"side{n}": Letter(look["letter"], file["letter_height"]) for n, look in enumerate(file["side_looks"])}
    ends = zip(("+z", "-z"), file["end_looks"], strict=True)
    return sides | {face: Letter(look["letter"], file["end_letter_height"]) for face, look in ends}


PICTURE_PIXEL = 0.057 / 34  # m on the object, as the cameras see it


def face_picture(scene: SimScene, face: Face, height: float, pixel: float) -> np.ndarray:
    """What someone sees who looks straight at a letter, its up upwards: names of geoms, (N, N), `pixel` m apart.

    Letters are `height` m high."""
    batch = Batch(scene.model, nsim=1, nthread=1)
    batch.qpos[0, scene.object_qpos : scene.object_qpos + 7] = [1, 0.87, 0.5, 1, 0, 0, 0]  # clear of the hand
    forward, up = -np.array(face.normal, float), np.array(face.up, float)
    right = np.cross(forward, up)  # of the onlooker
    centre = scene.object.keypoints[list(face.corners)].mean(axis=0)
    half = 0.53 * height
    pixels = round(2 * half / pixel)
    offsets = half * (2 * (np.arange(pixels) + 0.5) / pixels - 1)
    start = centre - 0.1 * forward + offsets[:, None] * right - offsets[:, None, None] * up + [1, 0.87, 0.5]
    _, geoms = batch.ray(start.reshape(-1, 3), forward)
    names = np.array([scene.model.geom(int(geom)).name for geom in geoms.ravel()])
    return names.reshape(pixels, pixels)


def crop(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks after their bounding boxes are brought to one size."""
    size = (64, 64)
    a, b = (np.asarray(Image.fromarray(crop(mask)).resize(size, Image.Resampling.NEAREST)) for mask in (first, second))
    return float((a & b).sum() / (a | b).sum())


def typeset(letter: str) -> np.ndarray:
    """The letter as Pillow's font renderer draws it, an outline code of its own."""
    image = Image.new("1", (300, 300))
    ImageDraw.Draw(image).text((30, 30), letter, font=ImageFont.truetype(str(FONT), 200), fill=1)
    return np.asarray(image)


def test_letters_are_upright_and_not_mirrored(render_scene: SimScene) -> None:
    expected_letters = letters(render_scene.object.name)
    for face in render_scene.object.faces:
        letter = expected_letters[face.name]
        seen = face_picture(render_scene, face, letter.height, letter.height / 100)
        mask = seen == f"letter/{face.name}"
        assert set(np.unique(seen)) == {f"face/{face.name}", f"letter/{face.name}"}
        expected = typeset(letter.text)
        assert overlap(mask, expected) > 0.9, letter
        # A bounding box brought to one size hides a quarter turn of I and O from the overlap, not from the proportions.
        height, width = crop(mask).shape
        assert height / width == pytest.approx(np.divide(*crop(expected).shape), rel=0.1)


def test_the_overlap_tells_turned_and_mirrored_letters() -> None:
    for letter, change in (("P", np.fliplr), ("N", np.fliplr), ("A", np.flipud), ("E", np.fliplr), ("E", np.rot90)):
        assert overlap(typeset(letter), change(typeset(letter))) < 0.8, letter


def test_letters_differ_at_the_size_of_a_picture(render_scene: SimScene) -> None:
    faces, letter = render_scene.object.faces, letters(render_scene.object.name)
    pictures = [face_picture(render_scene, face, letter[face.name].height, PICTURE_PIXEL) for face in faces]
    masks = [crop(seen == f"letter/{face.name}") for face, seen in zip(faces, pictures, strict=True)]
    for first in range(len(faces)):
        for second in range(first):
            # I and E differ in width, which one size for all hides.
            alike = overlap(masks[first], masks[second])
            shape = np.abs(np.log(np.divide(*masks[first].shape) / np.divide(*masks[second].shape)))
            assert alike < 0.8 or shape > 0.5, (faces[first].name, faces[second].name)


def object_vertices(scene: SimScene, prefix: str) -> dict[str, np.ndarray]:
    """Vertices (V, 3) in the object's frame of the object's meshes whose geom's name begins with `prefix`."""
    model = scene.model
    vertices = {}
    for geom in map(model.geom, scene.object_geoms):
        if geom.name.startswith(prefix):
            mesh = model.mesh(int(geom.dataid[0]))
            start, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
            rotation = Rotation.from_quat(geom.quat[[1, 2, 3, 0]])
            vertices[geom.name.removeprefix(prefix)] = rotation.apply(model.mesh_vert[start : start + count]) + geom.pos
    return vertices


def test_faces_are_the_solid(render_scene: SimScene) -> None:
    target = render_scene.object
    vertices = object_vertices(render_scene, "face/")
    for face in target.faces:
        outer = target.keypoints[list(face.corners)]
        expected = np.vstack([outer, np.zeros(3)])
        distance = np.linalg.norm(vertices[face.name][:, None] - expected, axis=-1)
        assert distance.min(axis=1).max() < 1e-7  # single precision
        assert distance.min(axis=0).max() < 1e-7


def test_letters_stay_on_their_faces(render_scene: SimScene) -> None:
    target = render_scene.object
    vertices, expected = object_vertices(render_scene, "letter/"), letters(target.name)
    for face in target.faces:
        height = vertices[face.name] @ face.normal - target.keypoints[face.corners[0]] @ face.normal
        assert height.max() == pytest.approx(LETTER_RELIEF, abs=1e-7)
        upward = vertices[face.name] @ np.array(face.up, float)
        assert np.ptp(upward) == pytest.approx(expected[face.name].height, rel=1e-4)
        corners = target.keypoints[list(face.corners)]
        for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inward = np.cross(face.normal, there - here)
            assert ((vertices[face.name] - here) @ inward).min() > 0


def test_both_purposes_have_one_kinematics(render_scene: SimScene, physics_scene: SimScene) -> None:
    assert render_scene.joint_names == physics_scene.joint_names
    assert len(render_scene.joint_names) == JOINTS
    rng = np.random.default_rng(0)
    frames = []
    angles = rng.uniform(-0.3, 1.0, JOINTS)
    pose = np.concatenate([rng.normal(size=3), Rotation.random(rng=rng).as_quat()])
    for one in (render_scene, physics_scene):
        data = mujoco.MjData(one.model)
        data.qpos[one.hand_qpos] = angles
        data.qpos[one.object_qpos : one.object_qpos + 7] = pose
        mujoco.mj_forward(one.model, data)
        bodies = {one.model.body(i).name: (data.xpos[i], data.xmat[i]) for i in range(one.model.nbody)}
        frames.append((bodies, data.site_xpos[one.fingertip_sites]))
    (first, first_tips), (second, second_tips) = frames
    assert first.keys() == second.keys()
    for name, (position, rotation) in first.items():
        np.testing.assert_allclose(position, second[name][0], atol=1e-12)
        np.testing.assert_allclose(rotation, second[name][1], atol=1e-12)
    np.testing.assert_allclose(first_tips, second_tips, atol=1e-12)


def test_the_simulated_solid_weighs_what_the_visible_one_would(render_scene: SimScene, physics_scene: SimScene) -> None:
    """Mass as the file says, inertia and centre those of an even solid within the visible surface."""
    target, simulated = render_scene.object, physics_scene.model.body("object")
    visible = trimesh.convex.convex_hull(np.concatenate(list(object_vertices(render_scene, "face/").values())))
    visible.density = target.mass / visible.volume
    assert simulated.mass == pytest.approx(target.mass, rel=1e-5)
    np.testing.assert_allclose(np.sort(simulated.inertia), np.linalg.eigvalsh(visible.moment_inertia), rtol=1e-4)
    np.testing.assert_allclose(simulated.ipos, visible.center_mass, atol=1e-7)


def test_pieces_share_the_mass_by_volume() -> None:
    """A bar of two boxes' volume, made of hulls: it weighs and balances as one."""
    block = scene("block")
    corners = np.array([(x, y, z) for x in (0.0, 1.0) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * 0.04
    pieces = tuple(Piece(kind="hull", vertices=corners * (length, 1, 1)) for length in (-1.0, 2.0))
    bar = msgspec.structs.replace(block, object=msgspec.structs.replace(block.object, pieces=pieces))
    simulated = compile_scene(bar)
    body = simulated.model.body("object")
    assert len(simulated.object_geoms) == 2
    assert body.mass == pytest.approx(block.object.mass)
    np.testing.assert_allclose(body.ipos, [0.02, 0, 0], atol=1e-6)
    whole = block.object.mass / 12 * (np.array([0.04, 0.12, 0.12]) ** 2 + 0.04**2)
    np.testing.assert_allclose(np.sort(body.inertia), whole, rtol=1e-4)


def test_a_scene_can_do_without_a_hand() -> None:
    alone = msgspec.structs.replace(scene("block"), hand=None)
    for purpose in ("physics", "render"):
        simulated = compile_scene(alone, purpose)
        assert simulated.joint_names == ()
        assert (simulated.actions, len(simulated.fingertip_sites)) == (0, 0)
        assert (simulated.object_qpos, simulated.object_dof) == (0, 0)
        assert (simulated.model.nq, simulated.model.nv) == (7, 6)


def test_a_scene_can_do_without_a_background() -> None:
    bare = msgspec.structs.replace(scene("block"), background=Background(kind="none"))
    assert "background" not in compile_scene(bare, "render", mesh_fraction=0.05).materials


def test_every_visible_thing_has_a_material_of_its_own(render_scene: SimScene) -> None:
    model, materials = render_scene.model, render_scene.materials
    faces = [face.name for face in render_scene.object.faces]
    assert [name for name in materials if name.startswith("face/")] == [f"face/{name}" for name in faces]
    assert [name for name in materials if name.startswith("letter/")] == [f"letter/{name}" for name in faces]
    assert sum(name.startswith("link/") for name in materials) == 23
    assert materials[-1] == "background"
    assert [model.material(int(i)).name for i in render_scene.material_ids] == list(materials)
    assert set(model.geom_matid) == set(render_scene.material_ids)
    for face in render_scene.object.faces:
        np.testing.assert_allclose(model.material(f"face/{face.name}").rgba[:3], face.color, atol=1e-6)


def test_every_picture_is_filled(render_scene: SimScene) -> None:
    """No ray of a camera, displaced as Table 9 allows, leaves the scene: an empty spot could not be randomised."""
    batch = Batch(render_scene.model, nsim=1, nthread=1)
    edge = np.linspace(0, 1, 9)
    border = [(x, y) for x in edge for y in (0, 1)] + [(x, y) for x in (0, 1) for y in edge]
    for camera in rig().cameras:
        matrix = change_field_of_view(camera.intrinsics, camera.height, 1) / [[camera.width], [camera.height], [1]]
        transform = camera.extrinsics
        rays = np.column_stack([border, np.ones(len(border))]) @ np.linalg.inv(matrix).T
        turns = Rotation.from_rotvec(np.radians(3) * np.vstack([np.eye(3), -np.eye(3)]))
        for turn in turns:
            _, geoms = batch.ray(camera.position, turn.apply(rays) @ transform[:3, :3])
            assert (geoms >= 0).all(), camera.name


def test_cameras_and_lights(render_scene: SimScene, physics_scene: SimScene) -> None:
    model = render_scene.model
    assert tuple(model.camera(int(i)).name for i in render_scene.camera_ids) == tuple(
        f"camera/{name}" for name in rig().names
    )
    positions, quaternions = mujoco_pose(rig().nominal.extrinsics)
    np.testing.assert_allclose(model.cam_pos[render_scene.camera_ids], positions)
    np.testing.assert_allclose(model.cam_quat[render_scene.camera_ids], quaternions)
    assert len(render_scene.light_ids) == 6
    assert model.nlight == 6
    assert len(physics_scene.light_ids) == len(physics_scene.camera_ids) == len(physics_scene.materials) == 0


def test_mesh_reduction_keeps_the_hand_in_shape() -> None:
    whole, reduced, again = (
        compile_scene(scene(), "render", mesh_fraction=fraction).model for fraction in (1.0, 0.2, 0.2)
    )
    assert reduced.nmeshface < 0.45 * whole.nmeshface
    np.testing.assert_array_equal(reduced.mesh_vert, again.mesh_vert)
    # The boxes around the links stay within a millimetre and a half.
    links = [i for i in range(whole.ngeom) if whole.geom(i).name.startswith("robot0:")]
    np.testing.assert_allclose(whole.geom_aabb[links], reduced.geom_aabb[links], atol=1.5e-3)


def test_meshes_are_reduced_wherever_mujoco_finds_them(tmp_path: Path) -> None:
    """In the folder that a path is stripped to, or of a model that another attaches."""
    link = trimesh.creation.icosphere(5, 25.0)
    link.apply_translation([4.0, 0.0, 30.0])  # millimetres, off the middle of its own frame
    (tmp_path / "parts").mkdir()
    link.export(tmp_path / "parts" / "link.stl")
    (tmp_path / "hand.xml").write_text("""
        <mujoco model="hand"><compiler meshdir="parts"/>
          <asset><mesh name="link" file="link.stl" scale=".001 .001 .001"/></asset>
          <worldbody><body name="palm"><geom size="0.01"/>
            <body><joint name="bend" range="-1 1"/><geom name="finger" type="mesh" mesh="link"/></body>
          </body></worldbody></mujoco>""")
    stripped = (tmp_path / "hand.xml").read_text().replace('"parts"', '"parts" strippath="true"')
    (tmp_path / "stripped.xml").write_text(stripped.replace('"link.stl"', '"elsewhere/link.stl"'))
    (tmp_path / "arm.xml").write_text("""
        <mujoco><compiler meshdir="nowhere"/><asset><model name="hand" file="hand.xml"/></asset>
          <worldbody><body name="arm"><geom size="0.01"/><frame>
            <attach model="hand" body="palm" prefix="right/"/></frame></body></worldbody></mujoco>""")
    found = []
    for file, prefix, fraction in (("hand", "", 1.0), ("hand", "", 0.1), ("stripped", "", 0.1), ("arm", "right/", 0.1)):
        own = completed(replace(scene(), hand=Hand(name="own", source=str(tmp_path / f"{file}.xml"))))
        model = compile_scene(own, "render", mesh_fraction=fraction, textured=file == "arm").model
        faces = model.mesh(f"{prefix}link").facenum[0]
        found.append((faces, _corners(model, model.geom(f"{prefix}finger").id)))
    for faces, corners in found[1:]:
        assert 0.08 * found[0][0] <= faces <= 0.1 * found[0][0]
        np.testing.assert_allclose(corners, found[0][1], atol=1e-3)


def _corners(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """The lowest and the highest corner of a mesh, (2, 3) metres in its body's frame."""
    points = geom_mesh(model, geom).vertices @ matrix_from_quaternion(model.geom_quat[geom]).T + model.geom_pos[geom]
    return np.stack([points.min(axis=0), points.max(axis=0)])


def test_a_machined_part_keeps_its_shape(tmp_path: Path) -> None:
    """Of MuJoCo Menagerie's Allegro hand a tenth of the triangles was a crumpled palm, and fingers that were shards."""
    part = trimesh.creation.annulus(r_min=0.03, r_max=0.045, height=0.02, sections=64)
    part += trimesh.creation.annulus(r_min=0.045, r_max=0.047, height=0.06, sections=64)
    part.export(tmp_path / "part.stl")
    (tmp_path / "own.xml").write_text("""
        <mujoco><asset><mesh name="part" file="part.stl"/></asset><worldbody><body><geom type="mesh" mesh="part"/>
        <body><joint range="-1 1"/><geom size="0.01"/></body></body></worldbody></mujoco>""")
    hand = Hand(name="own", source=str(tmp_path / "own.xml"))
    model = compile_scene(completed(replace(scene(), hand=hand)), "render", mesh_fraction=0.1).model
    drawn = geom_mesh(model, int(np.flatnonzero(model.geom_dataid == model.mesh("part").id)[0]))
    fewer = trimesh.Trimesh(drawn.vertices, drawn.faces)
    assert abs(fewer.area / part.area - 1) < 0.03
    assert abs(fewer.volume / part.volume - 1) < 0.05


def test_locked_wrist_is_held_where_the_hand_cups() -> None:
    hand = scene().hand
    assert hand is not None
    locked, free = compile_scene(scene(), locked_wrist=True), compile_scene(scene())
    angles = []
    for variant in (locked, free):
        data = mujoco.MjData(variant.model)
        data.qpos[variant.hand_qpos] = hand.start
        data.ctrl[:] = variant.control_range[:, 1]
        mujoco.mj_step(variant.model, data, nstep=100)
        angles.append([data.joint(f"robot0:{name}").qpos[0] - hand.initial_pose[name] for name in ("WRJ1", "WRJ0")])
    assert np.abs(angles[0]).max() < 0.02
    assert np.abs(angles[1]).min() > 0.1


def test_a_hand_without_a_wrist_has_none_to_lock() -> None:
    hand = scene().hand
    assert hand is not None
    bare = msgspec.structs.replace(scene(), hand=msgspec.structs.replace(hand, wrist=()))
    with pytest.raises(DactylError, match="hand shadow: names no joints of a wrist"):
        compile_scene(bare, locked_wrist=True)


def test_a_fingertip_that_the_hand_lacks_is_named() -> None:
    hand = scene().hand
    assert hand is not None
    wrong = msgspec.structs.replace(hand, fingertips=(*hand.fingertips[:4], "S_tail"))
    with pytest.raises(DactylError, match=r"hand shadow: fingertips: its model has no site or body .robot0:S_tail"):
        compile_scene(msgspec.structs.replace(scene(), hand=wrong))


def test_what_mujoco_cannot_compile_is_named() -> None:
    """Pieces without volume: MuJoCo's own words, after the scene's name, on one line."""
    flat = Piece(kind="hull", vertices=np.array([(0.0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]) * 1e-9)
    thin = msgspec.structs.replace(scene().object, pieces=(flat,))
    with pytest.raises(DactylError, match=r"scene block: MuJoCo cannot compile it: [^\n]+$"):
        compile_scene(msgspec.structs.replace(scene(), object=thin))


@pytest.mark.parametrize("letter", ["", "AB", " ", "\n"])
def test_only_one_letter_is_a_glyph(letter: str) -> None:
    with pytest.raises(ValueError, match="glyph"):
        letter_mesh(letter, 0.01, 0.001)


@pytest.mark.parametrize("letter", sorted({letter.text for name in OBJECTS for letter in letters(name).values()}))
def test_glyphs_are_solids(letter: str) -> None:
    mesh = letter_mesh(letter, 0.038, 0.0002)
    assert mesh.is_watertight
    assert mesh.volume > 0
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("degrees", [0, 37])
@pytest.mark.parametrize("count", [2, 1])
def test_a_part_with_one_flat_face_is_drawn_where_it_is(degrees: float, count: int) -> None:
    """MuJoCo refuses a mesh without volume, and one of fewer than four vertices: a mug whose label is a rectangle, or a
    triangle, with a material of its own."""
    box = trimesh.creation.box((0.05, 0.06, 0.07))
    box.apply_transform(trimesh.transformations.rotation_matrix(np.deg2rad(degrees), [1, 2, 3]))
    parts = tuple(
        Part(name=f"surface/{number}", mesh=Mesh(np.array(box.vertices, np.float32), box.faces[side]), color=(1, 0, 0))
        for number, side in enumerate([box.facets[0][:count], np.concatenate(box.facets[1:])])
    )
    spec = mujoco.MjSpec()
    add_parts(spec, spec.worldbody.add_body(), replace(scene("block").object, parts=parts))
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    for part in parts:
        geom = model.geom(part.name).id
        corners = geom_mesh(model, geom).vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        wanted = part.mesh.vertices[np.unique(part.mesh.faces)]
        assert np.linalg.norm(corners[:, None] - wanted, axis=-1).min(axis=0).max() < 1e-6
        assert np.linalg.norm(corners[:, None] - wanted, axis=-1).min(axis=1).max() < 1e-6
