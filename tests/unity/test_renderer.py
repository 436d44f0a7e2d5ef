"""The renderer `unity` over the whole path: what a player draws from the wire alone is what MuJoCo draws."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from datagen.appearance.clutter import ClutterConfig, draw_clutter
from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.room import Surfaces
from datagen.appearance.sample import Sample
from datagen.pictures.surroundings import directions, radiance_towards
from datagen.pictures.texture_pool import TextureConfig
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.drivers import choose_opengl
from datagen.render.unity_options import PlayerOptions, UnityOptions
from datagen.sim.complete import complete_scene
from datagen.unity import probe, probe_verdict
from datagen.unity.scene_export import export_scene
from datagen.unity.unity_player import UnityPlayer
from tests.render.looks import ABOVE_HAND, JOINTS, plain_look, random_sample, uneven_rig
from tests.render.test_renderers import assert_silhouettes_are_the_labels
from tests.render.test_surroundings_drawn import OPTIONS as SURROUNDED
from tests.render.test_surroundings_drawn import rays, use_of, write
from tests.scenes import scene
from tests.unity.codec import decode_pack
from tests.unity.mujoco_stage import PackStage
from tests.unity.test_scene_pack import scene_of
from vision.color import linear_from_srgb, srgb_from_linear
from vision.distributions import Uniform, UniformInt
from vision.errors import DactylError


@pytest.mark.parametrize(
    ("object_name", "size", "shadow_lights", "player"),
    [
        ("block", 200, 6, {"reply": "raw", "batch_size": 2, "players": 2}),
        ("prism", 64, 1, {"reply": "png", "batch_size": 2}),
    ],
)
def test_pictures_equal_a_direct_render(
    player_options: Callable[..., PlayerOptions],
    object_name: str,
    size: int,
    shadow_lights: int,
    player: dict[str, object],
) -> None:
    unity = UnityOptions(player=player_options(**player))
    options = RenderOptions(image_size=size, mesh_fraction=0.2, shadow_lights=shadow_lights, unity=unity)
    drawn = scene(object_name, size)
    with create_renderer("unity", drawn, options) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(5)]
        images = renderer.render(samples)
        with pytest.raises(DactylError, match="sample 9: material_rgb"):  # of a scene with fewer materials
            renderer.render([random_sample(drawn, renderer.materials[:-1], 9)])
        assert renderer.info.name == "unity"
        assert renderer.info.version.startswith("stand-in, mujoco")
    with create_renderer("classic", drawn, options) as direct:
        assert direct.materials == renderer.materials
        expected = direct.render(samples)
    assert_same_pictures(images, expected)
    # The tolerance tells samples apart: another sample's pictures fail it.
    with pytest.raises(AssertionError):
        assert_same_pictures(images, np.roll(expected, 1, axis=0))


@pytest.mark.parametrize("player", [{"reply": "raw"}, {"reply": "png", "batch_size": 2}])
def test_silhouette_is_the_labels_through_any_lens(
    player_options: Callable[..., PlayerOptions], player: dict[str, object]
) -> None:
    """Cameras of different sizes, no squares, principal points off the middle: as the other renderers are tested."""
    drawn = scene("prism").with_rig(uneven_rig(ABOVE_HAND))
    options = RenderOptions(mesh_fraction=0.1, shadows=False, unity=UnityOptions(player=player_options(**player)))
    with create_renderer("unity", drawn, options) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(3)]
        assert renderer.render(samples[:1]).shape == (1, 3, 210, 240, 3)
        assert_silhouettes_are_the_labels(renderer, samples, drawn)


@pytest.mark.parametrize("name", ["adroit-box", "trifinger-cube-v2"])
def test_any_scene_is_what_a_direct_render_shows(player_options: Callable[..., PlayerOptions], name: str) -> None:
    """Another hand, of meshes and boxes, before five cameras of 4:3; no hand at all, in a bowl with textured floor and
    wall."""
    unity = UnityOptions(player=player_options())
    options = RenderOptions(image_size=96, mesh_fraction=0.2, shadows=False, textures=True, unity=unity)
    drawn = rendered_scene(complete_scene(name), options)
    quaternion = np.array([0.8, 0.36, 0.48, 0.0])
    with create_renderer("unity", drawn, options) as renderer, create_renderer("classic", drawn, options) as direct:
        looks = AppearanceConfig(textures=TextureConfig(background=1.0), light_total_intensity=Uniform(15.0, 15.0))
        look = draw_appearance(looks, drawn, renderer.materials, 0, 1)
        samples = [Sample(0, np.zeros(drawn.joints), np.array(drawn.workspace.start), quaternion, look)]
        images, expected = (one.render(samples) for one in (renderer, direct))
        assert direct.materials == renderer.materials
    assert expected.std() > 20, "shows nothing"
    difference = np.abs(images.astype(int) - expected)
    # MuJoCo divides round surfaces otherwise than the pack does.
    assert difference.mean() < 0.5
    assert (difference.max(axis=-1) > 20).mean() < 0.01


def test_drawn_textures_are_what_a_direct_render_shows(
    player_options: Callable[..., PlayerOptions], tmp_path: Path
) -> None:
    """On links, faces and background, other ones for each sample, and taken off again; a player that is replaced has
    them too."""
    arguments = ("--fault", "die", "--fault-at", 2, "--once", tmp_path / "once")
    unity = UnityOptions(player=player_options(*arguments, batch_size=2))
    options = RenderOptions(image_size=96, mesh_fraction=0.1, shadows=False, textures=True, unity=unity)
    drawn, looks = scene("block", 96), AppearanceConfig(textures=TextureConfig(links=0.7, object=0.7, background=0.7))
    with create_renderer("unity", drawn, options) as renderer, create_renderer("classic", drawn, options) as direct:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(5)]
        textured = [
            replace(sample, appearance=draw_appearance(looks, drawn, renderer.materials, 0, sample.index))
            for sample in samples[:4]
        ]
        samples = [*textured, samples[0]]
        assert len({use.name for sample in samples for use in sample.appearance.textures}) > 20
        images, expected = (one.render(samples) for one in (renderer, direct))
    assert (tmp_path / "once").exists(), "no player died"
    assert np.abs(expected[0].astype(int) - expected[4]).mean() > 5, "shows no textures"
    for image, other in zip(images, expected, strict=True):
        assert_same_pictures(image, other)


def test_clutter_is_what_a_direct_render_shows(player_options: Callable[..., PlayerOptions]) -> None:
    """Boxes, rods, spheres, rings and cables, other ones for each sample, and taken away again."""
    unity = UnityOptions(player=player_options(batch_size=3))
    options = RenderOptions(image_size=64, mesh_fraction=0.1, shadows=False, unity=unity)
    some = UniformInt(2, 4)
    drawn, clutter = scene("block", 64), ClutterConfig(behind=some, beside=some, front=some)
    surfaces = Surfaces(drawn, clutter.clearance)
    with create_renderer("unity", drawn, options) as renderer, create_renderer("classic", drawn, options) as direct:
        plain = random_sample(drawn, renderer.materials, 0)
        samples = []
        for index in range(2):
            sample = random_sample(drawn, renderer.materials, index)
            room = surfaces.room(sample.joint_position, sample.pose, sample.appearance.cameras)
            pieces = draw_clutter(clutter, room, 0, index)
            samples.append(replace(sample, appearance=replace(sample.appearance, clutter=pieces)))
        samples.append(plain)
        kinds = {part.shape for sample in samples for piece in sample.appearance.clutter for part in piece.parts}
        assert kinds == {"box", "capsule", "sphere"}
        images, expected = (one.render(samples) for one in (renderer, direct))
    assert np.abs(expected[0].astype(int) - expected[2]).mean() > 5, "shows no clutter"
    for image, other in zip(images, expected, strict=True):
        assert_same_pictures(image, other)


def test_surroundings_are_seen_and_light(player_options: Callable[..., PlayerOptions], tmp_path: Path) -> None:
    """In each direction the map's colour, as bright as the even light that they take the place of; turned, and gone
    again; the plane is left out where it is to be."""
    around = use_of(write(tmp_path / "colors.hdr", 1.6 + 1.5 * np.sin(9 * directions(128))), 1 / 6, 0.8)
    unity = UnityOptions(player=player_options(batch_size=2))
    options = replace(SURROUNDED, unity=unity)
    drawn = rendered_scene(scene("block"), options)
    with create_renderer("unity", drawn, options) as renderer:
        plain = plain_look(drawn, renderer.materials, 0.0)
        looks = [replace(plain, surroundings=use) for use in (None, around, replace(around, bare=True), None)]
        samples = [Sample(0, JOINTS, ABOVE_HAND, np.array([1.0, 0, 0, 0]), look) for look in looks]
        before, with_plane, bare, after = renderer.render(samples).astype(int)
    np.testing.assert_array_equal(after, before)
    sky = (np.abs(bare - with_plane).max(axis=-1) > 0) & (np.abs(with_plane - before).max(axis=-1) > 0)
    towards = rays()
    seen = radiance_towards(around.surroundings().radiance, towards)
    expected = 255 * srgb_from_linear(np.clip(linear_from_srgb(unity.ambient) * 0.8 * seen, 0, 1))
    assert sky.sum() > 5_000
    apart = np.abs(bare - expected)[sky]
    assert np.median(apart) < 4
    assert np.abs(bare - expected[:, :, ::-1])[sky].mean() > 3 * apart.mean()  # as in a mirror


def test_very_much_clutter_travels_in_parts_or_is_refused(
    player_options: Callable[..., PlayerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    draw = UnityPlayer.draw
    monkeypatch.setattr(
        UnityPlayer, "draw", lambda player, batch, scene: sent.append(len(batch)) or draw(player, batch, scene)
    )
    monkeypatch.setattr(probe_verdict, "complaint", lambda images, sizes: None)
    drawn = scene("block", 48)
    unity = UnityOptions(player=player_options("--content", "ready"))
    with create_renderer("unity", drawn, RenderOptions(mesh_fraction=0.1, unity=unity)) as renderer:
        part = ClutterPart("box", np.zeros(3), np.array([1.0, 0, 0, 0]), np.full(3, 0.01))
        sample = random_sample(drawn, renderer.materials, 5)

        def with_solids(count: int) -> Sample:
            pieces = (ClutterPiece("heap", "beside", (part,) * count, np.ones(3), 0.0, 0.0),)
            return replace(sample, appearance=replace(sample.appearance, clutter=pieces))

        assert len(renderer.render([with_solids(20_000)] * 7)) == 7
        with pytest.raises(DactylError, match="sample 5: 70,000 solids of clutter are too many"):
            renderer.render([with_solids(70_000)])
    assert sent == [probe.SAMPLES, 3, 3, 1]


def test_large_batches_travel_in_parts(
    player_options: Callable[..., PlayerOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message holds more bytes of images than is meant, be it one sample."""
    monkeypatch.setattr("datagen.unity.renderer._MAX_REPLY", 5 * 3 * 3 * 48 * 48)
    sent: list[int] = []
    draw = UnityPlayer.draw
    monkeypatch.setattr(
        UnityPlayer, "draw", lambda player, batch, scene: sent.append(len(batch)) or draw(player, batch, scene)
    )
    drawn = scene("block", 48)
    options = RenderOptions(mesh_fraction=0.1, shadows=False, unity=UnityOptions(player=player_options(batch_size=8)))
    with create_renderer("unity", drawn, options) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(7)]
        assert len(renderer.render(samples)) == 7
    assert sent == [probe.SAMPLES, 5, 2]


def test_textures_that_would_not_be_seen_are_refused(player_options: Callable[..., PlayerOptions]) -> None:
    drawn = scene("block", 48)
    options = RenderOptions(mesh_fraction=0.1, unity=UnityOptions(player=player_options()))
    with create_renderer("unity", drawn, options) as renderer:
        look = draw_appearance(
            AppearanceConfig(textures=TextureConfig(background=1.0)), drawn, renderer.materials, 0, 7
        )
        with pytest.raises(DactylError, match=r"sample 7: has textures.*render\.textures"):
            renderer.render([replace(random_sample(drawn, renderer.materials, 7), appearance=look)])


def assert_same_pictures(images: np.ndarray, expected: np.ndarray) -> None:
    """But for a pixel here and there on an edge or a shadow's border, where rounding to float32 decides."""
    assert images.shape == expected.shape
    difference = np.abs(images.astype(int) - expected)
    assert difference.mean() < 0.01
    assert (difference.max(axis=-1) > 2).mean() < 0.001


def test_textures_of_the_model_go_along() -> None:
    """A textured mesh and box, drawn by MuJoCo from the model and from its pack."""
    spec = mujoco.MjSpec()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    texture = spec.add_texture(name="noise", type=mujoco.mjtTexture.mjTEXTURE_2D, width=8, height=4, nchannel=3)
    texture.data = pixels.tobytes()
    spec.add_material(name="noisy", texrepeat=(1, 1)).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "noise"
    spec.add_mesh(
        name="tetrahedron",
        uservert=[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        usertexcoord=[0, 0, 1, 0, 0, 1, 0.9, 0.8],
        userface=[0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3],
    )
    body = spec.worldbody.add_body(name="one", pos=(0.3, 0, 0), quat=(1, 0, 0, 1))
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="tetrahedron", material="noisy")
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.3, 0.2, 0.1), pos=(0.6, 0.6, 0.5), material="noisy")
    model = spec.compile()
    pack = decode_pack(export_scene(scene_of(model, "noisy")).encode())
    assert [name for name, _ in pack.textures] == ["noise"]
    rebuilt = PackStage(pack, [])
    rebuilt.data.mocap_pos[0], rebuilt.data.mocap_quat[0] = pack.bodies[0].pose[:3], pack.bodies[0].pose[3:]
    expected, image = draw(model, mujoco.MjData(model)), draw(rebuilt.model, rebuilt.data)
    assert expected.std() > 20, "shows nothing"
    assert_same_pictures(image, expected)


def draw(model: mujoco.MjModel, data: mujoco.MjData, size: int = 64) -> np.ndarray:
    """A picture (size, size, 3) of the model's surroundings, in even light."""
    model.vis.headlight.ambient[:] = 1.0
    model.stat.extent = 1.0
    mujoco.mj_forward(model, data)
    gl = importlib.import_module(f"mujoco.{choose_opengl()}").GLContext(size, size)
    gl.make_current()
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    view = mujoco.MjvCamera()
    view.lookat, view.distance, view.azimuth, view.elevation = (0.3, 0.3, 0.3), 3.0, 40.0, -20.0
    scene, viewport = mujoco.MjvScene(model, maxgeom=10), mujoco.MjrRect(0, 0, size, size)
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, view, mujoco.mjtCatBit.mjCAT_ALL, scene)
    mujoco.mjr_render(viewport, scene, context)
    image = np.empty((size, size, 3), np.uint8)
    mujoco.mjr_readPixels(image, None, viewport, context)
    context.free()
    gl.free()
    return image
