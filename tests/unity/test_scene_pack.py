"""Scene packs: they hold the compiled model's geometry, every damage shows, and equal scenes give equal bytes."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.sim.scene import SimScene, compile_scene
from datagen.unity import wire
from datagen.unity.scene_export import export_scene
from tests.scenes import compiled
from tests.scenes import scene as scene_named
from tests.unity.batches import small_pack
from tests.unity.codec import decode_pack
from vision.errors import DactylError
from vision.geometry.rotations import matrix_from_quaternion


@pytest.fixture(scope="module", params=["block", "prism"])
def scene(request: pytest.FixtureRequest) -> SimScene:
    return compiled(request.param, 0.1)


def test_every_triangle_of_the_model_is_there_once(scene: SimScene) -> None:
    pack, model = export_scene(scene), scene.model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    assert [material.name for material in pack.materials] == list(scene.materials)
    assert len(pack.parts) == model.ngeom
    for geom, part in enumerate(pack.parts):
        body = pack.bodies[part.body]
        assert body.name == model.body(model.geom_bodyid[geom]).name
        assert scene.material_ids[part.material] == model.geom_matid[geom]
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
            reach = np.abs(part.positions - model.geom_pos[geom]).max(axis=0)
            np.testing.assert_allclose(reach, model.geom_size[geom], atol=1e-6)
            continue
        mesh = model.geom_dataid[geom]
        faces = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        in_world = vertices[faces] @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        position, quaternion = np.array(body.pose[:3]), np.array(body.pose[3:])
        packed = part.positions[part.triangles] @ matrix_from_quaternion(quaternion).T + position
        np.testing.assert_allclose(packed, in_world, atol=1e-6)


def test_normals_point_out_of_the_triangles(scene: SimScene) -> None:
    for part in export_scene(scene).parts:
        corners = part.positions[part.triangles].astype(np.float64)
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(flat, axis=1, keepdims=True)
        cosine = (part.normals[part.triangles] * (flat / np.maximum(area, 1e-15))[:, None]).sum(axis=2)
        assert (cosine[area[:, 0] > 1e-12] > 0.79).all(), part.name
        np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-4)


def test_equal_scenes_give_equal_bytes_and_others_do_not() -> None:
    first, again, other = (
        export_scene(compile_scene(scene_named(name), "render", mesh_fraction=0.1)).encode()
        for name in ("block", "block", "prism")
    )
    assert first == again
    assert wire.content_hash(first) != wire.content_hash(other)
    assert len(first) < wire.MAX_REQUEST


def test_a_pack_survives_the_wire() -> None:
    encoded = small_pack().encode()
    assert decode_pack(encoded).encode() == encoded


@given(st.data())
def test_a_damaged_pack_is_refused(data: st.DataObject) -> None:
    encoded = bytearray(small_pack().encode())
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= 1 << data.draw(st.integers(0, 7))
    if place in (6, 7):  # the minor version: newer writers may be read
        decode_pack(bytes(encoded))
        return
    with pytest.raises(wire.WireError):
        decode_pack(bytes(encoded))


@given(st.integers(0, len(small_pack().encode()) - 1))
def test_a_cut_pack_is_refused(length: int) -> None:
    with pytest.raises(wire.WireError):
        decode_pack(small_pack().encode()[:length])


@pytest.mark.parametrize(
    ("geom", "message"),
    [
        ('<geom name="field" type="plane" size="1 1 1" material="skin"/>', "field: a mjGEOM_PLANE has no surface"),
        ('<geom name="bare" type="box" size="1 1 1"/>', "bare has no material"),
        ('<geom name="sky" type="box" size="1 1 1" material="sky"/>', "texture clouds: a scene pack holds flat"),
    ],
)
def test_what_a_pack_cannot_hold_is_named(geom: str, message: str) -> None:
    with pytest.raises(DactylError, match=message):
        export_scene(handmade_scene(geom))


@pytest.mark.parametrize(
    ("kind", "size", "volume"),
    [
        ("sphere", "0.3", 4 / 3 * np.pi * 0.3**3),
        ("ellipsoid", "0.3 0.2 0.1", 4 / 3 * np.pi * 0.006),
        ("capsule", "0.1 0.2", np.pi * 0.1**2 * 0.4 + 4 / 3 * np.pi * 0.1**3),
        ("cylinder", "0.1 0.2", np.pi * 0.1**2 * 0.4),
        ("box", "0.1 0.2 0.3", 0.048),
    ],
)
def test_geoms_of_every_shape_are_there(kind: str, size: str, volume: float) -> None:
    """Their surface by its volume and its middle, closed and outwards; curved ones are shaded smoothly."""
    geom = f'<geom name="one" type="{kind}" size="{size}" pos="1 2 3" material="skin"/>'
    (part,) = export_scene(handmade_scene(geom)).parts
    corners = part.positions[part.triangles].astype(np.float64)
    volumes = np.linalg.det(corners - (1, 2, 3)) / 6
    assert (volumes > -1e-9).all()
    assert volumes.sum() == pytest.approx(volume, rel=0.06)
    np.testing.assert_allclose((corners.max(axis=(0, 1)) + corners.min(axis=(0, 1))) / 2, (1, 2, 3), atol=1e-3)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    cosine = np.einsum("fcx,fx->fc", part.normals[part.triangles], flat)
    assert cosine.min() > 0.9
    assert (cosine.min() < 0.999) == (kind != "box")


def handmade_scene(geom: str) -> SimScene:
    """A scene of one body; its materials are skin, a plain colour, and sky, a cube texture."""
    model = mujoco.MjModel.from_xml_string(f"""
        <mujoco>
          <asset>
            <texture name="clouds" type="cube" builtin="flat" rgb1="1 0 0" rgb2="0 0 1" width="8" height="8"/>
            <material name="skin" rgba="1 0.5 0 1"/>
            <material name="sky" texture="clouds"/>
          </asset>
          <worldbody><body name="one">{geom}</body></worldbody>
        </mujoco>""")
    return scene_of(model, "sky" if "sky" in geom else "skin")


def scene_of(model: mujoco.MjModel, *materials: str) -> SimScene:
    """A scene that knows of its model and materials only."""
    ids = np.array([model.material(name).id for name in materials])
    fields = dict.fromkeys(SimScene.__dataclass_fields__) | {
        "model": model,
        "materials": materials,
        "material_ids": ids,
    }
    return SimScene(**fields)  # type: ignore[arg-type]
