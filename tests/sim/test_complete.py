"""Completing a scene: what its hand's model tells, in the model's order, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium_robotics
import msgspec
import mujoco
import numpy as np
import pytest
import trimesh

from datagen.sim.complete import complete_scene, completed
from datagen.sim.hand import hand_file, load_hand
from datagen.sim.scene import compile_scene
from tests.scenes import JOINTS
from vision.errors import DactylError
from vision.scene.hand import Hand
from vision.scene.load import SCENES, load_scene
from vision.scene.scene import Scene

MODEL = Path(gymnasium_robotics.__file__).parent / "envs" / "assets" / "hand" / "manipulate_block.xml"
TWO_FINGERS = """
    <mujoco>
      <worldbody>
        <body name="my_palm">
          <geom name="palm" type="box" size="0.05 0.05 0.01"/>
          <body name="my_left" pos="-0.05 0 0.02">
            <joint name="my_L" type="hinge" axis="0 1 0" range="-1 1"/>
            <geom type="capsule" fromto="0 0 0 0 0 0.05" size="0.01"/>
            <site name="my_left_tip" pos="0 0 0.06"/>
          </body>
          <body name="my_right" pos="0.05 0 0.02">
            <joint name="my_R" type="slide" axis="1 0 0" range="-0.02 0.02"/>
            <geom type="capsule" fromto="0 0 0 0 0 0.05" size="0.01"/>
            <site name="my_right_tip" pos="0 0 0.06"/>
          </body>
        </body>
      </worldbody>
      <actuator>
        <position name="my_push" joint="my_R" ctrlrange="-0.02 0.02" kp="1"/>
        <position name="my_bend" joint="my_L" ctrlrange="-1 1" kp="1"/>
      </actuator>
    </mujoco>"""


def with_hand(hand: Hand) -> Scene:
    return msgspec.structs.replace(load_scene("block"), hand=hand)


@pytest.fixture
def two_fingers(tmp_path: Path) -> Hand:
    (tmp_path / "two.xml").write_text(TWO_FINGERS)
    return Hand(name="two", source=str(tmp_path / "two.xml"), prefix="my_", fingertips=("left_tip", "right_tip"))


def test_the_shadow_hand_is_completed_from_its_model() -> None:
    hand = complete_scene("block").hand
    assert hand is not None
    # MuJoCo's own reading of the whole file: the object's joints come after the hand's.
    model = mujoco.MjModel.from_xml_path(str(MODEL))
    names = [model.joint(i).name.removeprefix("robot0:") for i in range(model.njnt)]
    assert len(hand.joints) == JOINTS
    assert list(hand.joints) == names[:JOINTS]
    assert not any("object" in name or "target" in name for name in hand.joints)
    assert list(hand.actuators) == [model.actuator(i).name.removeprefix("robot0:") for i in range(model.nu)]
    assert len(hand.actuators) == 20


def test_names_are_in_the_order_of_the_compiled_model(two_fingers: Hand) -> None:
    """Joints in the order of the body tree, actuators in that of actions: both as simulation has them."""
    for scene in (complete_scene("block"), completed(with_hand(two_fingers))):
        hand = scene.hand
        assert hand is not None
        for purpose in ("physics", "render"):
            simulated = compile_scene(scene, purpose, mesh_fraction=0.05)
            assert simulated.joint_names == hand.joints
            names = [simulated.model.actuator(i).name.removeprefix(hand.prefix) for i in range(simulated.model.nu)]
            assert names == (list(hand.actuators) if purpose == "physics" else []), "what is only drawn moves nothing"


def test_a_hand_of_another_kind(two_fingers: Hand) -> None:
    scene = completed(with_hand(msgspec.structs.replace(two_fingers, initial_pose={"R": 0.01})))
    hand = scene.hand
    assert hand is not None
    assert (hand.joints, hand.actuators) == (("L", "R"), ("push", "bend"))
    np.testing.assert_array_equal(hand.start, [0, 0.01])
    simulated = compile_scene(scene)
    assert simulated.controls.follows.argmax(axis=1).tolist() == [1, 0]
    assert simulated.actions == 2
    assert [simulated.model.site(i).name for i in simulated.fingertip_sites] == ["my_left_tip", "my_right_tip"]


def test_marks_of_a_model_are_not_seen(tmp_path: Path) -> None:
    """A site at each fingertip, and a tendon that runs from one to the other: no camera sees either, but renderers draw
    what MuJoCo's visualizer does."""
    tendon = '<tendon><spatial><site site="my_left_tip"/><site site="my_right_tip"/></spatial></tendon>'
    (tmp_path / "two.xml").write_text(TWO_FINGERS.replace("<actuator>", f"{tendon}<actuator>"))
    scene = completed(with_hand(Hand(name="two", source=str(tmp_path / "two.xml"), prefix="my_")))
    model = compile_scene(scene, "render").model
    assert (model.nsite, model.ntendon) == (2, 0)
    data, seen = mujoco.MjData(model), mujoco.MjvScene(model, maxgeom=1000)
    mujoco.mj_forward(model, data)
    camera, every = mujoco.MjvCamera(), mujoco.mjtCatBit.mjCAT_ALL
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, every, seen)
    kinds = {geom.objtype for geom in seen.geoms[: seen.ngeom]}
    assert kinds == {int(mujoco.mjtObj.mjOBJ_GEOM)}


def test_nothing_else_of_the_scene_changes() -> None:
    before, after = load_scene("block"), complete_scene("block")
    assert before.hand is not None
    assert after.hand is not None
    assert not before.hand.joints
    theirs = msgspec.structs.replace(after.hand, sha256="", joints=(), actuators=())
    assert msgspec.structs.replace(after, hand=theirs) == before
    assert after != before


def test_a_completed_scene_stays_as_it_is(two_fingers: Hand) -> None:
    """Also where the model is gone: datasets hold the hand completed."""
    scene = completed(with_hand(two_fingers))
    Path(two_fingers.source).unlink()
    assert completed(scene) is scene
    assert completed(Scene.from_json(scene.to_json(), "here")) == scene
    alone = msgspec.structs.replace(load_scene("block"), hand=None)
    assert completed(alone) is alone


def test_another_model_of_the_same_name_is_another_scene(two_fingers: Hand) -> None:
    first = completed(with_hand(two_fingers))
    path = Path(two_fingers.source)
    path.write_text(TWO_FINGERS.replace('size="0.01"', 'size="0.011"'))
    assert completed(with_hand(two_fingers)) != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "package:no_such_package/hand.xml"}, "package no_such_package is not installed"),
        ({"source": "package:gymnasium_robotics/none.xml"}, "none.xml is missing"),
        ({"source": "/nowhere/hand.xml"}, "/nowhere/hand.xml is missing"),
        ({"remove": ("thumb",)}, "has no body or geom 'thumb'"),
    ],
)
def test_what_is_missing_is_named(two_fingers: Hand, change: dict[str, object], message: str) -> None:
    with pytest.raises(DactylError, match=message) as caught:
        completed(with_hand(msgspec.structs.replace(two_fingers, **change)))
    assert "hand two" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_joints_that_the_model_lacks_are_named(two_fingers: Hand) -> None:
    for change in ({"wrist": ("W",)}, {"initial_pose": {"W": 0.1}}, {"backlash": ((1.0,), (1.0,))}):
        with pytest.raises(DactylError, match=r"hand two: (joint 'W' is none|backlash)") as caught:
            completed(with_hand(msgspec.structs.replace(two_fingers, **change)))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_a_model_that_is_none_is_named(two_fingers: Hand) -> None:
    Path(two_fingers.source).write_text("<mujoco><worldbody><body></mujoco>")
    with pytest.raises(DactylError, match=r"two\.xml: MuJoCo cannot read it: [^\n]+$"):
        completed(with_hand(two_fingers))


def test_removed_things_are_gone_and_nothing_senses() -> None:
    hand = load_scene("block").hand
    assert hand is not None
    assert hand_file(hand) == MODEL
    spec = load_hand(hand)
    assert not {"object", "target"} & {body.name for body in spec.bodies}
    assert not {*hand.remove} & {geom.name for geom in spec.geoms}
    assert len(spec.sensors) == len(spec.lights) == len(spec.cameras) == 0


BARE = TWO_FINGERS.replace("_tip", "_end")


def bare(tmp_path: Path, change: tuple[str, str] = ("", "")) -> Hand:
    (tmp_path / "bare.xml").write_text(BARE.replace(*change))
    return Hand(name="bare", source=str(tmp_path / "bare.xml"), prefix="my_")


def test_the_ends_of_chains_are_fingertips_where_no_site_is_named_so(tmp_path: Path) -> None:
    scene = completed(with_hand(bare(tmp_path)))
    assert scene.hand is not None
    assert scene.hand.fingertips == ("left", "right")
    simulated = compile_scene(scene)
    tips = simulated.model.site_pos[simulated.fingertip_sites]
    np.testing.assert_allclose(tips, [[0, 0, 0.06]] * 2, atol=1e-9)  # a capsule's far end


def test_a_fingertip_may_feel_touch(tmp_path: Path) -> None:
    """A site of a sensor is left out only where its body has another one that is named as a fingertip."""
    felt = TWO_FINGERS.replace(
        '<site name="my_right_tip"', '<site name="my_touch_right_tip"/><site name="my_right_tip"'
    ).replace(
        "</mujoco>",
        '<sensor><touch site="my_left_tip"/><touch site="my_touch_right_tip"/></sensor></mujoco>',
    )
    (tmp_path / "felt.xml").write_text(felt)
    hand = completed(with_hand(Hand(name="felt", source=str(tmp_path / "felt.xml"), prefix="my_"))).hand
    assert hand is not None
    assert hand.fingertips == ("left_tip", "right_tip")


def test_the_world_is_the_scenes_and_not_the_hands(tmp_path: Path) -> None:
    flags = '<option gravity="0 0 0"><flag contact="disable"/></option><worldbody>'
    option = compile_scene(completed(with_hand(bare(tmp_path, ("<worldbody>", flags))))).model.opt
    assert option.gravity[2] == -9.81
    assert not option.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT


def test_a_name_that_the_scenes_object_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DactylError, match=r"hand bare: its model has a body 'object'.*rename it"):
        completed(with_hand(bare(tmp_path, ('body name="my_palm"', 'body name="object"'))))


def test_adroit_is_completed_from_its_model_alone() -> None:
    hand = complete_scene("adroit-box").hand
    assert hand is not None
    assert (len(hand.joints), len(hand.actuators)) == (24, 24)
    assert hand.fingertips == ("S_fftip", "S_mftip", "S_rftip", "S_lftip", "S_thtip")
    assert hand.landmarks is not None
    points = hand.landmarks.points
    assert 12 <= len(points) <= 16
    assert points[:, 1].max() < -0.28  # of the forearm, which ends at the wrist
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + np.eye(len(points))
    assert distance.min() > 0.005


def test_a_servo_without_a_range_has_that_of_its_joint(tmp_path: Path) -> None:
    hand = bare(tmp_path, (' ctrlrange="-1 1" kp', " kp"))
    controls = compile_scene(completed(with_hand(hand))).controls
    np.testing.assert_allclose(controls.range, [[-0.02, 0.02], np.deg2rad([-1, 1])])


@pytest.mark.parametrize(
    ("actuator", "follows"),
    [
        ('position joint="my_L" kp="2"', True),
        ('position joint="my_L" kp="2" timeconst="0.1"', True),
        ('pid joint="my_L" kp="2" ki="1" input="pos"', True),
        ('pid joint="my_L" kp="2" kv="1" input="vel" velrange="-1 2"', False),
        ('velocity joint="my_L" kv="2"', False),
        ('intvelocity joint="my_L" kp="2" actrange="-1 1"', False),
        ('cylinder joint="my_L" area="1" bias="0 -3 0"', False),
        ('general joint="my_L" gainprm="0.01" biastype="affine" biasprm="0 -3 0"', False),
        ('general joint="my_L" gainprm="3" biastype="affine" biasprm="0 -3 -1"', True),
        ('general joint="my_L" dyntype="user" gainprm="3" biastype="affine" biasprm="0 -3 -1"', False),
    ],
)
def test_only_a_control_that_is_a_position_is_relative_to_the_present_one(
    tmp_path: Path, actuator: str, follows: bool
) -> None:
    """The integrated velocity of <intvelocity> was relative to the joint's position: a bent finger moved on."""
    inserted = f'<actuator><{actuator} name="my_first" ctrlrange="-1 2"/>'
    controls = compile_scene(completed(with_hand(bare(tmp_path, ("<actuator>", inserted))))).controls
    assert controls.present(np.array([[0.7, 0]]))[0, 0] == pytest.approx(0.7 if follows else 0.5)


def test_an_actuator_with_several_controls_is_refused(tmp_path: Path) -> None:
    inserted = '<actuator><pid name="my_first" joint="my_L" kp="2" kv="1" input="pos vel" ctrlrange="-1 1"/>'
    with pytest.raises(DactylError, match=r'has 2 controls.*input="pos"'):
        completed(with_hand(bare(tmp_path, ("<actuator>", inserted))))


def test_a_servo_on_a_tendon_follows_the_joints_it_runs_over(tmp_path: Path) -> None:
    """Motors have no position: their actions are shares of the whole range."""
    actuators = """
      <tendon><fixed name="my_T"><joint joint="my_L" coef="2"/><joint joint="my_R" coef="-3"/></fixed></tendon>
      <actuator><position name="my_pull" tendon="my_T" ctrlrange="-1 1"/><motor name="my_turn" joint="my_L"
      ctrlrange="0 4"/>"""
    controls = compile_scene(completed(with_hand(bare(tmp_path, ("<actuator>", actuators))))).controls
    np.testing.assert_allclose(controls.present(np.array([[0.5, 0.1]]))[0, :2], [2 * 0.5 - 3 * 0.1, 2.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('joint name="my_L" type="hinge" axis="0 1 0" range="-1 1"', 'joint name="my_L" type="ball"'),
            "'my_L' .* ball",
        ),
        (
            ('<position name="my_bend" joint="my_L" ctrlrange="-1 1" kp="1"/>', '<motor name="my_M" joint="my_L"/>'),
            "my_M",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    hand = bare(tmp_path, change)
    if "ball" in message:
        text = Path(hand.source).read_text()
        Path(hand.source).write_text(
            text.replace('<position name="my_bend" joint="my_L" ctrlrange="-1 1" kp="1"/>', "")
        )
    with pytest.raises(DactylError, match=message) as caught:
        completed(with_hand(hand))
    assert "\n" not in str(caught.value)


def test_a_hand_is_put_where_the_scene_has_it(tmp_path: Path) -> None:
    half = float(np.sqrt(0.5))
    hand = msgspec.structs.replace(bare(tmp_path), position=(1.0, 2.0, 3.0), quaternion=(half, 0.0, 0.0, half))
    model = compile_scene(completed(with_hand(hand))).model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.body("my_left").xpos, [1.0, 1.95, 3.02], atol=1e-9)


def test_a_hands_file_is_looked_for_beside_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever folder the program is started."""
    (tmp_path / "lab" / "hands").mkdir(parents=True)
    (tmp_path / "lab" / "hands" / "claw.xml").write_text(
        "<mujoco><worldbody><body name='palm'><geom size='0.05'/><body name='tip' pos='0 0 0.1'><joint name='bend'/>"
        "<geom size='0.01'/></body></body></worldbody><actuator><position name='A' joint='bend' ctrlrange='-1 1'/>"
        "</actuator></mujoco>"
    )
    (tmp_path / "lab" / "hands" / "claw.yaml").write_text("name: claw\nsource: claw.xml\n")
    block = (SCENES / "block.yaml").read_text()
    (tmp_path / "lab" / "scene.yaml").write_text(block.replace("hand: shadow", "hand: claw"))
    monkeypatch.chdir(tmp_path)
    hand = complete_scene("lab/scene.yaml").hand
    assert hand is not None
    assert hand.joints == ("bend",)
    assert hand.source == str(tmp_path / "lab" / "hands" / "claw.xml")


def test_a_scene_whose_files_are_edited_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook went on with the scene of before. What has not changed is not read again."""
    (tmp_path / "two.xml").write_text(TWO_FINGERS)
    (tmp_path / "hand.yaml").write_text("{name: two, source: two.xml, prefix: my_}")
    trimesh.creation.box((0.05, 0.05, 0.08)).export(tmp_path / "box.stl")
    rig = (SCENES / "rigs" / "trifinger.yaml").read_text()
    (tmp_path / "cameras.yaml").write_text(rig)
    text = (SCENES / "trifinger-cube.yaml").read_text().replace("rig: trifinger", "rig: cameras.yaml")
    text = re.sub(r"(?m)^hand:.*", "hand: hand.yaml", text)
    text = re.sub(r"(?m)^object:\n(  .*\n)+", "object: {kind: mesh, name: it, file: box.stl, mass: 0.1}\n", text)
    (tmp_path / "it.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    def edited(file: str, *change: str) -> Scene:
        before = complete_scene("it.yaml")
        assert complete_scene("it.yaml") is before
        assert load_scene("it.yaml") is load_scene("it.yaml")
        if change:
            (tmp_path / file).write_text((tmp_path / file).read_text().replace(*change))
        else:
            trimesh.creation.box((0.05, 0.05, 0.06)).export(tmp_path / file)
        assert complete_scene("it.yaml") is not before
        return complete_scene("it.yaml")

    assert edited("it.yaml", "mass: 0.1", "mass: 0.3").object.mass == 0.3
    assert edited("box.stl").object.diameter == pytest.approx(np.linalg.norm([0.05, 0.05, 0.06]))
    name = load_scene("it.yaml").rig.names[0]
    assert edited("cameras.yaml", f"name: {name}", "name: first").rig.names[0] == "first"
    for file, change in (("hand.yaml", ("two,", "other,")), ("two.xml", ("my_L", "my_M"))):
        changed = edited(file, *change).hand
        assert changed is not None
    assert (changed.name, changed.joints) == ("other", ("M", "R"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DactylError, match="no such scene"):
        complete_scene("it.yaml")
