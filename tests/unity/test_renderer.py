"""The renderer `unity` over the whole path: what a player draws from the wire alone is what MuJoCo draws."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from datagen.render import create_renderer
from datagen.render.base import RenderOptions
from datagen.render.drivers import choose_opengl
from datagen.render.unity_options import PlayerOptions, UnityOptions
from datagen.unity.scene_export import export_scene
from datagen.unity.scene_pack import ScenePack
from tests.render.looks import random_sample
from tests.scenes import scene
from tests.unity.mujoco_stage import PackStage
from tests.unity.test_scene_pack import scene_of
from vision.errors import DactylError
from vision.scene.rig import Camera, Rig


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 80}, "square images of one size"),
        ({"intrinsics": np.array([[300.0, 0, 33], [0, 300, 32], [0, 0, 1]])}, "centred images alone"),
        ({"intrinsics": np.array([[300.0, 0, 32], [0, 310, 32], [0, 0, 1]])}, "square pixels"),
    ],
)
def test_cameras_that_the_wire_cannot_describe_are_refused(change: dict[str, Any], message: str) -> None:
    plain = scene(image_size=64)
    first, *others = plain.rig.cameras
    fields = {name: getattr(first, name) for name in ("name", "width", "height", "intrinsics", "extrinsics")}
    other = plain.with_rig(Rig(cameras=(Camera(**fields | change), *others)))
    with pytest.raises(DactylError, match=f"camera left: .*{message}.*use filament"):
        create_renderer("unity", other, RenderOptions())


def assert_same_pictures(images: np.ndarray, expected: np.ndarray) -> None:
    """But for a pixel here and there on an edge or a shadow's border, where rounding to float32 decides."""
    assert images.shape == expected.shape
    difference = np.abs(images.astype(int) - expected)
    assert difference.mean() < 0.01
    assert (difference.max(axis=-1) > 2).mean() < 0.001


def test_textures_of_the_model_go_along() -> None:
    """A textured mesh, drawn by MuJoCo from the model and from its pack."""
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
    model = spec.compile()
    pack = ScenePack.decode(export_scene(scene_of(model, "noisy")).encode())
    assert [name for name, _ in pack.textures] == ["noise"]
    rebuilt = PackStage(pack, cameras=0)
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
