"""The scene: letters the right way round, the solid's shape, one kinematics for both purposes."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from datagen.sim.glyphs import FONT, letter_mesh
from datagen.sim.hand import CUPPED_POSE
from datagen.sim.scene import LETTER_RELIEF, Scene, SceneConfig, build_scene
from vision.errors import DactylError
from vision.geometry.cameras import DACTYL_RIG, extrinsics, intrinsics
from vision.scene.objects import OBJECTS, Face, get_object


@pytest.fixture(scope="module", params=sorted(OBJECTS))
def render_scene(request: pytest.FixtureRequest) -> Scene:
    return build_scene(SceneConfig(request.param, purpose="render", mesh_fraction=0.2))


@pytest.fixture(scope="module")
def physics_scene(render_scene: Scene) -> Scene:
    return build_scene(SceneConfig(render_scene.config.object))


PICTURE_PIXEL = 0.057 / 34  # m on the object, as the cameras see it


def face_picture(scene: Scene, face: Face, pixel: float) -> np.ndarray:
    """What someone sees who looks straight at a letter, its up upwards: names of geoms, (N, N), `pixel` m apart."""
    batch = Batch(scene.model, nsim=1, nthread=1)
    batch.qpos[0, scene.object_qpos : scene.object_qpos + 7] = [1, 0.87, 0.5, 1, 0, 0, 0]  # clear of the hand
    forward, up = -np.array(face.normal, float), np.array(face.up, float)
    right = np.cross(forward, up)  # of the onlooker
    centre = scene.object.keypoints[list(face.corners)].mean(axis=0)
    half = 0.53 * face.letter_height
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


def test_letters_are_upright_and_not_mirrored(render_scene: Scene) -> None:
    for face in render_scene.object.faces:
        seen = face_picture(render_scene, face, face.letter_height / 100)
        mask = seen == f"letter/{face.name}"
        assert set(np.unique(seen)) == {f"face/{face.name}", f"letter/{face.name}"}
        expected = typeset(face.letter)
        assert overlap(mask, expected) > 0.9, face.letter
        # A bounding box brought to one size hides a quarter turn of I and O from the overlap, not from the proportions.
        height, width = crop(mask).shape
        assert height / width == pytest.approx(np.divide(*crop(expected).shape), rel=0.1)


def test_the_overlap_tells_turned_and_mirrored_letters() -> None:
    for letter, change in (("P", np.fliplr), ("N", np.fliplr), ("A", np.flipud), ("E", np.fliplr), ("E", np.rot90)):
        assert overlap(typeset(letter), change(typeset(letter))) < 0.8, letter


def test_letters_differ_at_the_size_of_a_picture(render_scene: Scene) -> None:
    faces = render_scene.object.faces
    masks = [crop(face_picture(render_scene, face, PICTURE_PIXEL) == f"letter/{face.name}") for face in faces]
    for first in range(len(faces)):
        for second in range(first):
            # I and E differ in width, which one size for all hides.
            alike = overlap(masks[first], masks[second])
            shape = np.abs(np.log(np.divide(*masks[first].shape) / np.divide(*masks[second].shape)))
            assert alike < 0.8 or shape > 0.5, (faces[first].letter, faces[second].letter)


def object_vertices(scene: Scene, prefix: str) -> dict[str, np.ndarray]:
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


def test_faces_are_the_solid(render_scene: Scene) -> None:
    target = render_scene.object
    vertices = object_vertices(render_scene, "face/")
    for face in target.faces:
        outer = target.keypoints[list(face.corners)]
        expected = np.vstack([outer, np.zeros(3)])
        distance = np.linalg.norm(vertices[face.name][:, None] - expected, axis=-1)
        assert distance.min(axis=1).max() < 1e-7  # single precision
        assert distance.min(axis=0).max() < 1e-7


def test_letters_stay_on_their_faces(render_scene: Scene) -> None:
    target = render_scene.object
    vertices = object_vertices(render_scene, "letter/")
    for face in target.faces:
        height = vertices[face.name] @ face.normal - target.keypoints[face.corners[0]] @ face.normal
        assert height.max() == pytest.approx(LETTER_RELIEF, abs=1e-7)
        upward = vertices[face.name] @ np.array(face.up, float)
        assert np.ptp(upward) == pytest.approx(face.letter_height, rel=1e-4)
        corners = target.keypoints[list(face.corners)]
        for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inward = np.cross(face.normal, there - here)
            assert ((vertices[face.name] - here) @ inward).min() > 0


def test_both_purposes_have_one_kinematics(render_scene: Scene, physics_scene: Scene) -> None:
    assert render_scene.joint_names == physics_scene.joint_names
    assert len(render_scene.joint_names) == 24
    rng = np.random.default_rng(0)
    frames = []
    angles = rng.uniform(-0.3, 1.0, 24)
    pose = np.concatenate([rng.normal(size=3), Rotation.random(rng=rng).as_quat()])
    for scene in (render_scene, physics_scene):
        data = mujoco.MjData(scene.model)
        data.qpos[scene.hand_qpos] = angles
        data.qpos[scene.object_qpos : scene.object_qpos + 7] = pose
        mujoco.mj_forward(scene.model, data)
        bodies = {scene.model.body(i).name: (data.xpos[i], data.xmat[i]) for i in range(scene.model.nbody)}
        frames.append((bodies, data.site_xpos[scene.fingertip_sites]))
    (first, first_tips), (second, second_tips) = frames
    assert first.keys() == second.keys()
    for name, (position, rotation) in first.items():
        np.testing.assert_allclose(position, second[name][0], atol=1e-12)
        np.testing.assert_allclose(rotation, second[name][1], atol=1e-12)
    np.testing.assert_allclose(first_tips, second_tips, atol=1e-12)


def test_the_visible_solid_weighs_what_the_simulated_one_does(render_scene: Scene, physics_scene: Scene) -> None:
    visible, simulated = (scene.model.body("object") for scene in (render_scene, physics_scene))
    assert visible.mass == pytest.approx(render_scene.object.mass, rel=1e-5)
    assert simulated.mass == pytest.approx(render_scene.object.mass, rel=1e-5)
    np.testing.assert_allclose(np.sort(visible.inertia), np.sort(simulated.inertia), rtol=1e-4)
    np.testing.assert_allclose(visible.ipos, 0, atol=1e-7)


def test_every_visible_thing_has_a_material_of_its_own(render_scene: Scene) -> None:
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


def test_every_picture_is_filled(render_scene: Scene) -> None:
    """No ray of a camera, displaced as Table 9 allows, leaves the scene: an empty spot could not be randomised."""
    batch = Batch(render_scene.model, nsim=1, nthread=1)
    edge = np.linspace(0, 1, 9)
    border = [(x, y) for x in edge for y in (0, 1)] + [(x, y) for x in (0, 1) for y in edge]
    for camera in DACTYL_RIG:
        matrix = intrinsics(camera.fovy_deg + 1, 1, 1)
        transform = extrinsics(camera.position, camera.quaternion)
        rays = np.column_stack([border, np.ones(len(border))]) @ np.linalg.inv(matrix).T
        turns = Rotation.from_rotvec(np.radians(3) * np.vstack([np.eye(3), -np.eye(3)]))
        for turn in turns:
            _, geoms = batch.ray(np.array(camera.position), turn.apply(rays) @ transform[:3, :3])
            assert (geoms >= 0).all(), camera.name


def test_cameras_and_lights(render_scene: Scene, physics_scene: Scene) -> None:
    model = render_scene.model
    assert tuple(model.camera(int(i)).name for i in render_scene.camera_ids) == DACTYL_RIG.names
    for camera, index in zip(DACTYL_RIG, render_scene.camera_ids, strict=True):
        np.testing.assert_allclose(model.cam_pos[index], camera.position)
        np.testing.assert_allclose(model.cam_fovy[index], camera.fovy_deg)
    assert len(render_scene.light_ids) == 6
    assert model.nlight == 6
    assert len(physics_scene.light_ids) == len(physics_scene.camera_ids) == len(physics_scene.materials) == 0


def test_mesh_reduction_keeps_the_hand_in_shape() -> None:
    whole, reduced, again = (
        build_scene(SceneConfig(purpose="render", mesh_fraction=fraction)).model for fraction in (1.0, 0.2, 0.2)
    )
    assert reduced.nmeshface < 0.3 * whole.nmeshface
    np.testing.assert_array_equal(reduced.mesh_vert, again.mesh_vert)
    # The boxes around the links stay within a millimetre and a half.
    links = [i for i in range(whole.ngeom) if whole.geom(i).name.startswith("robot0:")]
    np.testing.assert_allclose(whole.geom_aabb[links], reduced.geom_aabb[links], atol=1.5e-3)


def test_locked_wrist_is_held_where_the_hand_cups() -> None:
    scene = build_scene(SceneConfig(locked_wrist=True))
    free = build_scene(SceneConfig())
    angles = []
    for variant in (scene, free):
        data = mujoco.MjData(variant.model)
        data.qpos[variant.hand_qpos] = [CUPPED_POSE.get(name, 0.0) for name in variant.joint_names]
        data.ctrl[:] = variant.control_range[:, 1]
        mujoco.mj_step(variant.model, data, nstep=100)
        angles.append([data.joint(f"robot0:{name}").qpos[0] - CUPPED_POSE[name] for name in ("WRJ1", "WRJ0")])
    assert np.abs(angles[0]).max() < 0.02
    assert np.abs(angles[1]).min() > 0.1


@pytest.mark.parametrize("bad", [{"mesh_fraction": 0.0}, {"mesh_fraction": 1.5}, {"purpose": "draw"}])
def test_impossible_scenes_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SceneConfig(**bad)


def test_unknown_object_is_refused() -> None:
    with pytest.raises(DactylError, match="ball"):
        SceneConfig("ball")


@pytest.mark.parametrize("letter", ["", "AB", " ", "\n"])
def test_only_one_letter_is_a_glyph(letter: str) -> None:
    with pytest.raises(ValueError, match="glyph"):
        letter_mesh(letter, 0.01, 0.001)


@pytest.mark.parametrize("letter", sorted({face.letter for name in OBJECTS for face in get_object(name).faces}))
def test_glyphs_are_solids(letter: str) -> None:
    mesh = letter_mesh(letter, 0.038, 0.0002)
    assert mesh.is_watertight
    assert mesh.volume > 0
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), 0, atol=1e-9)
