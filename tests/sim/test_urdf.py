"""Hands as URDF: a package's meshes, what is seen and what collides, coupled joints, servos, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest
import trimesh

from datagen.sim.complete import completed
from datagen.sim.hand import load_hand, whole_model
from datagen.sim.model_files import model_digest
from datagen.sim.scene import compile_scene
from tests.scenes import scene
from vision.errors import DactylError
from vision.scene.hand import Hand

LINK = """
  <link name="{name}">
    <inertial>
      <origin xyz="0 0 0.03"/><mass value="{mass}"/><inertia ixx="1e-5" iyy="1e-5" izz="2e-6" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <visual><geometry><mesh filename="{visual}"/></geometry></visual>
    <collision><geometry><mesh filename="package://my_hand/meshes/collision/link.stl"/></geometry></collision>
  </link>"""
JOINT = """
  <joint name="{name}" type="{kind}">
    <parent link="{parent}"/><child link="{child}"/><origin xyz="{xyz}"/><axis xyz="0 1 0"/>{rest}
  </joint>"""
LIMIT = '<limit lower="-0.5" upper="1.2" effort="0.4" velocity="3"/>'
SEEN = "package://my_hand/meshes/visual/link.stl"


def urdf(*changes: tuple[str, str], mesh: str = SEEN) -> str:
    links = ((name, mass) for name, mass in (("palm", 0.3), ("near", 0.05), ("far", 0.02), ("thumb", 0.04)))
    text = "<robot name='my_hand'>" + "".join(LINK.format(name=name, mass=mass, visual=mesh) for name, mass in links)
    text += JOINT.format(name="bend", kind="revolute", parent="palm", child="near", xyz="0.05 0 0.02", rest=LIMIT)
    mimic = LIMIT + '<mimic joint="bend" multiplier="0.5" offset="0.1"/>'
    text += JOINT.format(name="follow", kind="revolute", parent="near", child="far", xyz="0 0 0.07", rest=mimic)
    round_and_round = '<limit effort="0.2" velocity="3"/>'
    text += JOINT.format(
        name="roll", kind="continuous", parent="palm", child="thumb", xyz="-0.05 0 0.02", rest=round_and_round
    )
    text += "</robot>"
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A ROS package whose visual and collision meshes have the same file names."""
    folder = tmp_path / "my_hand"
    for kind, side in (("visual", 0.02), ("collision", 0.03)):
        (folder / "meshes" / kind).mkdir(parents=True)
        box = trimesh.creation.box((side, side, 0.06))
        box.apply_translation((0, 0, 0.03))
        box.export(folder / "meshes" / kind / "link.stl")
    (folder / "urdf").mkdir()
    (folder / "urdf" / "hand.urdf").write_text(urdf())
    return folder


def hand(package: Path, **keys: object) -> Hand:
    return Hand(name="mine", source=str(package / "urdf" / "hand.urdf"), position=(0, 0, 0.2), **keys)  # type: ignore[arg-type]


def written(package: Path, text: str, **keys: object) -> Hand:
    (package / "urdf" / "hand.urdf").write_text(text)
    return hand(package, **keys)


def model_of(hand: Hand) -> mujoco.MjModel:
    return whole_model(load_hand(hand), hand)


def test_a_package_is_completed_like_any_hand(package: Path) -> None:
    whole = completed(msgspec.structs.replace(scene("block"), hand=hand(package)))
    assert whole.hand is not None
    assert whole.hand.joints == ("bend", "follow", "roll")
    assert whole.hand.actuators == ("bend", "roll")  # what mimics another joint has no motor
    assert whole.hand.fingertips == ("far", "thumb")
    compile_scene(whole)


def test_links_look_like_their_visual_and_collide_as_their_collision_meshes(package: Path) -> None:
    here = hand(package)
    whole = completed(msgspec.structs.replace(scene("block"), hand=here)).hand
    model = model_of(here)
    for geom in range(model.ngeom):
        collides = bool(model.geom_contype[geom])
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        side = np.ptp(model.mesh_vert[first : first + count], axis=0).min()
        assert side == pytest.approx(0.03 if collides else 0.02)
        assert whole is not None
        assert (model.geom_group[geom] == whole.visual_group) != collides
    np.testing.assert_allclose(model.body_mass[1:], [0.3, 0.05, 0.02, 0.04])


def test_servos_reach_their_targets_and_followers_follow(package: Path) -> None:
    model = model_of(hand(package))
    model.opt.timestep = 0.008
    data = mujoco.MjData(model)
    data.ctrl[:] = 0.8, 2.5
    for _ in range(250):
        mujoco.mj_step(model, data)
    bend, follow, roll = data.qpos
    assert bend == pytest.approx(0.8, abs=0.05)
    assert roll == pytest.approx(2.5, abs=0.05)
    assert follow == pytest.approx(0.1 + 0.5 * bend, abs=0.02)
    assert np.abs(data.qvel).max() < 0.01  # no oscillation


def test_the_greatest_force_is_the_urdfs_or_the_hands(package: Path) -> None:
    np.testing.assert_allclose(model_of(hand(package)).actuator_forcerange, [[-0.4, 0.4], [-0.2, 0.2]])
    stronger = model_of(hand(package, effort=1.5))
    np.testing.assert_allclose(stronger.actuator_forcerange, [[-1.5, 1.5]] * 2)
    np.testing.assert_allclose(stronger.jnt_actfrcrange[[0, 2]], [[-1.5, 1.5]] * 2)
    np.testing.assert_allclose(model_of(hand(package, armature=0.002)).dof_armature[[0, 2]], 0.002)


def test_neighbours_do_not_touch_and_parts_can_be_removed(package: Path) -> None:
    model = model_of(hand(package))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0  # the palm is fixed: MuJoCo alone would let it touch the links that it carries
    assert load_hand(hand(package, remove=("thumb",))).body("thumb") is None
    assert model_of(hand(package, remove=("thumb",))).nu == 1


@pytest.mark.parametrize(
    "mesh", ["../meshes/visual/link.stl", "file://../meshes/visual/link.stl", "model://my_hand/meshes/visual/link.stl"]
)
def test_meshes_are_found_however_they_are_named(package: Path, mesh: str) -> None:
    assert model_of(written(package, urdf(mesh=mesh))).nmesh == 2


def test_a_mesh_belongs_to_the_models_digest(package: Path) -> None:
    path = package / "urdf" / "hand.urdf"
    before = model_digest(path)
    trimesh.creation.box((0.01, 0.01, 0.01)).export(package / "meshes" / "visual" / "link.stl")
    assert model_digest(path) != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((SEEN, "package://my_hand/meshes/no.stl"), "mesh package://my_hand/meshes/no.stl is missing"),
        ((SEEN, "package://my_hand/urdf/link.dae"), "MuJoCo reads .stl, .obj, .msh; convert it"),
        (('effort="0.2"', 'effort="0"'), "gives joint 'roll' no effort"),
        (('mimic joint="bend"', 'mimic joint="bent"'), "joint 'follow' mimics 'bent', and one of them does not move"),
        (('multiplier="0.5"', 'multiplier="half"'), "bad format in attribute 'multiplier'"),
        (("<robot name='my_hand'>", "<robot xmlns:xacro='http://x/xacro'><xacro:include filename='a'/>"), "a xacro"),
        (("continuous", "floating"), "free joint"),
        (("<parent link=\"near\"/>", ""), "MuJoCo cannot read it"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(package: Path, change: tuple[str, str], said: str) -> None:
    (package / "urdf" / "link.dae").write_text("<COLLADA/>")
    with pytest.raises(DactylError, match="hand") as error:
        completed(msgspec.structs.replace(scene("block"), hand=written(package, urdf(change))))
    assert said in str(error.value)


def test_effort_has_a_range() -> None:
    with pytest.raises(ValueError, match="effort: expected up to 1000 N m"):
        Hand(name="mine", source="hand.urdf", effort=-1.0).check()
