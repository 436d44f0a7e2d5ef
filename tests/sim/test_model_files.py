"""Hands of other people: models that MuJoCo would wait for or fill the memory with, and choices that fit no model."""

from __future__ import annotations

import os
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from msgspec.structs import replace

from datagen.sim.complete import as_installed, completed
from datagen.sim.hand import hand_file, load_hand
from datagen.sim.model_files import model_digest, model_files
from datagen.sim.scene import compile_scene
from tests.scenes import scene
from vision.errors import DactylError
from vision.objects.pose_object import Piece
from vision.scene.hand import Hand
from vision.scene.load import load_scene
from vision.scene.scene import Scene

BODY = (
    '<body name="b"><joint name="j" axis="0 1 0" range="-57 57" limited="true"/>'
    '<geom type="box" size=".02 .02 .02" pos="0 0 .03"/></body>'
)

ZERO = 'contype="0" conaffinity="0"'


def with_hand(folder: Path, inside: str = "", body: str = BODY, root: str = "mujoco", **keys: object) -> Scene:
    path = folder / "hand.xml"
    path.write_text(f"<{root}>{inside}<worldbody>{body}</worldbody></{root}>")
    hand = Hand(name="it", source=str(path), **keys)  # type: ignore[arg-type]
    plain = scene("block")
    return Scene(
        name="it",
        hand=hand,
        object=plain.object,
        rig=plain.rig,
        background=plain.background,
        workspace=plain.workspace,
    )


def refused(given: Scene) -> str:
    with pytest.raises(DactylError) as error:
        completed(given)
    return str(error.value)


def test_the_hand_that_the_others_change_is_sound(tmp_path: Path) -> None:
    assert compile_scene(completed(with_hand(tmp_path))).joint_names == ("j",)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", ['<include file="f"/>', '<asset><mesh name="f" file="f"/></asset>'])
def test_pipes_are_not_waited_for(tmp_path: Path, line: str) -> None:
    os.mkfifo(tmp_path / "f")
    assert "a pipe or device" in refused(with_hand(tmp_path, line))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("inside", "body", "said"),
    [
        ("", f'<replicate count="100000000">{BODY}</replicate>', "<replicate>"),
        ("", f'<replicate count="900"><replicate count="900">{BODY}</replicate></replicate>', "<replicate>"),
        ('<asset><hfield name="h" nrow="30000" ncol="30000" size="1 1 1 1"/></asset>', BODY, "height field"),
    ],
)
def test_a_line_does_not_stand_for_gigabytes(tmp_path: Path, inside: str, body: str, said: str) -> None:
    assert said in refused(with_hand(tmp_path, inside, body))


def with_parts(folder: Path) -> Scene:
    """A hand whose body stands in a second file, its link's shape in a third and its meshes' folder in the second."""
    (folder / "shapes").mkdir(parents=True)
    shape = trimesh.creation.box((0.04, 0.04, 0.04))
    shape.export(folder / "shapes" / "link.stl")
    (folder / "assets.xml").write_text(
        '<mujoco><compiler meshdir="shapes"/><asset><mesh name="link" file="link.stl"/></asset></mujoco>'
    )
    body = BODY.replace("</body>", '<geom type="mesh" mesh="link"/></body>')
    return with_hand(folder, '<include file="assets.xml"/>', body)


@pytest.mark.timeout(20)
def test_a_hand_of_thousands_of_bodies_is_refused(tmp_path: Path) -> None:
    body = BODY + '<body><geom size=".01"/></body>' * 3000
    assert "has 3,002 bodies; expected at most 1,000" in refused(with_hand(tmp_path, body=body))


def test_a_model_is_all_the_files_that_it_names(tmp_path: Path) -> None:
    given = with_parts(tmp_path / "one")
    assert set(model_files(tmp_path / "one" / "hand.xml")) == {"hand.xml", "assets.xml", "link.stl"}
    moved = completed(with_parts(tmp_path / "two"))
    assert completed(given).hand != moved.hand  # their sources differ
    assert completed(given).hand.sha256 == moved.hand.sha256  # type: ignore[union-attr]


@pytest.mark.parametrize("changed", ["hand.xml", "assets.xml", "shapes/link.stl"])
def test_a_model_that_changed_since_is_not_taken_for_the_old_one(tmp_path: Path, changed: str) -> None:
    """States hold joint positions: of another model they would be drawn as another pose, or another hand."""
    before = completed(with_parts(tmp_path / "it"))
    assert compile_scene(before).joint_names == ("j",)
    path = tmp_path / "it" / changed
    content = path.read_bytes()
    if changed.endswith("xml"):
        path.write_bytes(content.replace(b"</mujoco>", b"<!-- changed --></mujoco>"))
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DactylError, match=r"hand it: .*hand\.xml, or a file that it names, has changed"):
        compile_scene(before)
    assert compile_scene(as_installed(before)).joint_names == ("j",)  # what a network asks for is still there


def test_the_file_that_is_used_is_hashed_not_one_beside_it(tmp_path: Path) -> None:
    """Found: an old mesh beside the XML stood for the one in meshdir, which could then be changed."""
    given = with_parts(tmp_path)
    (tmp_path / "link.stl").write_bytes((tmp_path / "shapes" / "link.stl").read_bytes())
    assert model_files(tmp_path / "hand.xml")["link.stl"] == tmp_path / "shapes" / "link.stl"
    before = completed(given)
    trimesh.creation.box((0.01, 0.01, 0.01)).export(tmp_path / "link.stl")
    compile_scene(before)
    trimesh.creation.box((0.01, 0.01, 0.01)).export(tmp_path / "shapes" / "link.stl")
    with pytest.raises(DactylError, match="has changed"):
        compile_scene(before)


def test_meshes_and_textures_are_looked_for_in_their_own_folders(tmp_path: Path) -> None:
    for folder in ("m", "t", "a"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(b"")
    path = tmp_path / "hand.xml"
    named = '<asset><{} file="x"/></asset></mujoco>'
    for element, folder in ("mesh", "m"), ("texture", "t"):
        path.write_text('<mujoco><compiler meshdir="m" texturedir="t" assetdir="a"/>' + named.format(element))
        assert model_files(path)["x"] == tmp_path / folder / "x"
    path.write_text('<mujoco><compiler assetdir="a" texturedir="t"/>' + named.format("mesh"))
    assert model_files(path)["x"] == tmp_path / "a" / "x"


@pytest.mark.parametrize("changed", ["finger/finger.xml", "finger/inner.xml", "finger/shapes/link.stl"])
def test_a_model_that_is_attached_belongs_to_the_hand(tmp_path: Path, changed: str) -> None:
    """Found: what it includes and its meshes could change unseen."""
    (tmp_path / "finger" / "shapes").mkdir(parents=True)
    trimesh.creation.box((0.01, 0.01, 0.01)).export(tmp_path / "finger" / "shapes" / "link.stl")
    (tmp_path / "finger" / "finger.xml").write_text(
        '<mujoco model="finger"><compiler meshdir="shapes"/><asset><mesh name="link" file="link.stl"/></asset>'
        '<include file="inner.xml"/></mujoco>'
    )
    (tmp_path / "finger" / "inner.xml").write_text(
        '<mujoco><worldbody><body name="f"><joint name="k" range="-1 1"/><geom type="mesh" mesh="link"/></body>'
        "</worldbody></mujoco>"
    )
    body = BODY.replace("</body>", '<attach model="finger" body="f" prefix="first_"/></body>')
    given = completed(with_hand(tmp_path, '<asset><model name="finger" file="finger/finger.xml"/></asset>', body))
    assert compile_scene(given).joint_names == ("j", "first_k")
    path = tmp_path / changed
    path.write_bytes(path.read_bytes().replace(b"-1 1", b"-2 2") + b" ")
    with pytest.raises(DactylError, match="has changed"):
        compile_scene(given)


def test_models_that_attach_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "hand.xml").write_text('<mujoco><asset><model file="other.xml"/></asset></mujoco>')
    (tmp_path / "other.xml").write_text('<mujoco><asset><model file="hand.xml"/></asset></mujoco>')
    assert len(set(model_files(tmp_path / "hand.xml").values())) == 2
    os.mkfifo(tmp_path / "f")
    (tmp_path / "other.xml").write_text('<mujoco><include file="f"/></mujoco>')
    with pytest.raises(DactylError, match="a pipe or device"):
        model_files(tmp_path / "hand.xml")


def test_digests_of_the_shipped_hands_stay() -> None:
    """Whoever has states of them goes on with these."""
    for name, digest in {"block": "d571133217319b4d", "adroit-box": "b5d7375dc63bf69f"}.items():
        hand = load_scene(name).hand
        assert hand is not None
        assert model_digest(hand_file(hand)).startswith(digest)


def test_another_kind_of_xml_is_named(tmp_path: Path) -> None:
    assert "neither MJCF nor URDF but <svg>" in refused(with_hand(tmp_path, root="svg"))


@pytest.mark.parametrize("name", ["object", "background"])
def test_names_of_the_scene_are_not_the_hands(tmp_path: Path, name: str) -> None:
    assert f"a body '{name}'" in refused(with_hand(tmp_path, body=BODY.replace('"b"', f'"{name}"')))


@pytest.mark.parametrize("name", ["a&#9;b", "a&#10;b", "a&#x202E;b", "a" * 201])
def test_names_that_no_record_can_hold_are_refused(tmp_path: Path, name: str) -> None:
    """A million states were collected, whose manifest nobody could read."""
    assert "the joint 'a" in refused(with_hand(tmp_path, body=BODY.replace('"j"', f'"{name}"')))
    motor = f'<actuator><position joint="j" kp="1" name="{name}" ctrlrange="0 1"/></actuator>'
    assert "the actuator 'a" in refused(with_hand(tmp_path, motor))


def test_numbers_that_mujoco_lets_pass_are_refused(tmp_path: Path) -> None:
    assert "geom_pos" in refused(with_hand(tmp_path, body=BODY.replace("0 0 .03", "0 0 inf")))
    motor = '<actuator><position joint="j" kp="nan" ctrlrange="0 1"/></actuator>'
    assert "actuator_gainprm" in refused(with_hand(tmp_path, motor))


@pytest.mark.parametrize(
    ("inside", "hand_mass"),
    [
        ("", 0.064),
        ('<compiler boundmass="0.5"/>', 0.5),
        ('<compiler settotalmass="2"/>', 2.0),
        ('<compiler boundinertia="0.01" inertiafromgeom="true"/>', 0.064),
        ('<compiler inertiagrouprange="0 0" fusestatic="true" discardvisual="true"/>', 0.064),
        (
            '<option density="1000" viscosity="1" wind="9 0 0"><flag constraint="disable" override="enable"/></option>',
            0.064,
        ),
        ('<option gravity="nan 0 0"/><size memory="1K"/>', 0.064),
    ],
)
def test_a_hands_file_changes_the_hand_alone(tmp_path: Path, inside: str, hand_mass: float) -> None:
    """Weights, contacts and air of the object were the hand's file's; links that MuJoCo joins were a traceback."""
    fixed = BODY.replace("/></body>", "/><geom type='sphere' size='.01' contype='0' conaffinity='0' mass='0'/></body>")
    given = completed(with_hand(tmp_path, inside, f'<body name="base">{fixed}</body>'))
    plain, model = compile_scene(scene("block")).model, compile_scene(given).model
    assert model.body("object").mass == plain.body("object").mass
    assert (model.body("object").inertia == plain.body("object").inertia).all()
    assert model.body("b").mass == pytest.approx(hand_mass)
    assert (model.opt.gravity == plain.opt.gravity).all()
    assert (model.opt.density, model.opt.viscosity, model.opt.wind[0]) == (0, 0, 0)
    assert (model.opt.disableflags, model.opt.enableflags) == (plain.opt.disableflags, plain.opt.enableflags)
    assert model.narena > 1 << 20
    assert "link/b" in compile_scene(given, "render").materials


@pytest.mark.parametrize(
    "inside",
    [
        '<compiler alignfree="true"/>',
        '<default><joint springdamper="0.1 1"/></default>',
        '<default><geom euler="0 0 45"/><site euler="0 0 45"/><camera euler="0 0 45"/></default>',
        '<visual><headlight active="0"/></visual>',
        '<option><flag sensor="disable"/></option>',
    ],
)
def test_object_cameras_and_sensors_are_not_the_hands(tmp_path: Path, inside: str) -> None:
    """Found: each of these changed how the object moves, where it is, what is seen of it, or what nails feel."""

    def models(inside: str) -> tuple[mujoco.MjModel, mujoco.MjModel]:
        given = completed(with_hand(tmp_path, inside))
        beside = Piece(kind="hull", vertices=0.02 * np.array([(0, 0, 0), (3, 0, 0), (0, 2, 0), (0, 0, 1.0)]))
        given = replace(given, object=replace(given.object, pieces=(beside,)))
        return compile_scene(given).model, compile_scene(given, "render").model

    for ours, theirs in zip(models(""), models(inside), strict=True):
        assert ours.opt.disableflags == theirs.opt.disableflags
        assert not ours.ncam or ours.vis.headlight.active == theirs.vis.headlight.active
        body, joint = (getattr(ours, kind)("object").id for kind in ("body", "joint"))
        for name in ("body_ipos", "body_iquat", "body_inertia"):
            np.testing.assert_array_equal(getattr(ours, name)[body], getattr(theirs, name)[body])
        for name in ("jnt_stiffness", "jnt_pos"):
            np.testing.assert_array_equal(getattr(ours, name)[joint], getattr(theirs, name)[joint])
        free = slice(ours.jnt_dofadr[joint], ours.jnt_dofadr[joint] + 6)
        np.testing.assert_array_equal(ours.dof_damping[free], theirs.dof_damping[free])
        geoms = ours.geom_bodyid == body
        for name in ("geom_pos", "geom_quat"):
            np.testing.assert_array_equal(getattr(ours, name)[geoms], getattr(theirs, name)[geoms])
        np.testing.assert_array_equal(ours.cam_quat, theirs.cam_quat)


def test_what_has_a_material_or_a_default_is_read(tmp_path: Path) -> None:
    """Materials are the scene's: of sites, tendons and skins they were missed. Cameras had the hand's lens."""
    inside = (
        '<default><geom material="m"/><site material="m"/><camera resolution="640 480" focal="1 1" sensorsize="1 1"/>'
        '</default><asset><material name="m"/><skin name="k" material="m" vertex="0 0 0 1 0 0 0 1 0" face="0 1 2">'
        '<bone body="b" bindpos="0 0 0" bindquat="1 0 0 0" vertid="0 1 2" vertweight="1 1 1"/></skin></asset>'
    )
    body = (
        BODY.replace("</body>", '<site name="s"/><site name="t" pos=".1 0 0"/></body>')
        + '</worldbody><tendon><spatial material="m"><site site="s"/><site site="t"/></spatial></tendon><worldbody>'
    )
    given = completed(with_hand(tmp_path, inside, body))
    assert compile_scene(given).model.ntendon == 1
    assert not compile_scene(given, "render").model.cam_sensorsize.any()


def test_what_holds_the_hand_together_stays(tmp_path: Path) -> None:
    """Sites that feel and that tendons, motors and constraints hang on; geoms that only touch each other."""
    body = (
        BODY.replace("<geom ", '<geom name="g" contype="0" conaffinity="0" ').replace(
            "</body>", '<site name="s"/></body>'
        )
        + '<body name="c" pos=".1 0 0"><geom name="h" size=".01"/><site name="t"/></body>'
        + '</worldbody><sensor><touch site="s"/><touch site="t"/></sensor>'
        + '<contact><pair geom1="g" geom2="h"/></contact>'
        + '<tendon><spatial name="T"><site site="s"/><site site="t"/></spatial></tendon>'
        + '<actuator><general site="s" ctrlrange="0 1"/></actuator>'
        + '<equality><connect site1="s" site2="t"/></equality><worldbody>'
    )
    assert compile_scene(completed(with_hand(tmp_path, body=body))).model.npair == 1


def test_bodies_that_hold_together_are_no_fingertips(tmp_path: Path) -> None:
    """A site of a body's name marks a fingertip; the scene names none of these two."""
    body = BODY + '<body name="c" pos=".1 0 0"><geom size=".01"/></body>'
    given = with_hand(tmp_path, '<equality><weld body1="b" body2="c"/></equality>', body)
    assert given.hand is not None
    assert [site.name for site in load_hand(given.hand).sites] == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"visual_group": 9}, "visual_group: no geom"),
        ({"collision_group": 9}, "collision_group: no geom"),
        ({"joints": ("q",)}, "joints: the model has j"),
        ({"initial_pose": {"j": 90.0}}, "are these degrees?"),
    ],
)
def test_what_a_scene_file_says_of_the_model_is_so(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    assert said in refused(with_hand(tmp_path, **keys))


@pytest.mark.parametrize("source", ["package:evil.inner/x.xml", "package:..x/y", "package:", "package:json/../x.xml"])
def test_no_package_is_imported_to_find_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DactylError, match="hand it"):
        hand_file(Hand(name="it", source=source))


def test_what_tendons_run_over_is_seen_or_not(tmp_path: Path) -> None:
    """As in MuJoCo Menagerie's Aero hand, whose pulleys only are seen: they stay where something moves, and nothing of
    them is left where links are only drawn."""
    body = BODY.replace(
        "</body>",
        '<geom name="pulley" type="cylinder" size=".004 .01" pos=".03 0 0" contype="0" conaffinity="0" group="{}"/>'
        '<site name="from" pos="0 0 -.03"/><site name="to" pos="0 0 .03"/></body>',
    )
    over = (
        '</worldbody><tendon><spatial name="t" range="0 1"><site site="from"/><geom geom="pulley"/><site site="to"/>'
        '</spatial></tendon><actuator><position name="a" tendon="t" ctrlrange="0 1"/></actuator><worldbody>'
    )
    seen = '<geom group="2" contype="0" conaffinity="0" size=".01"/>'
    for group in (2, 3):
        body_here = body.format(group).replace("<site", seen + "<site", 1)
        own = completed(with_hand(tmp_path, body=body_here + over, visual_group=2))
        physics, drawn = compile_scene(own).model, compile_scene(own, "render").model
        assert (physics.ntendon, physics.nu) == (1, 1)
        assert not physics.geom_contype[physics.geom("pulley").id]
        assert (drawn.ntendon, drawn.nu) == (0, 0)
        assert ("pulley" in [drawn.geom(i).name for i in range(drawn.ngeom)]) == (group == 2)


def test_a_pulley_outside_the_group_that_collides_does_not_collide(tmp_path: Path) -> None:
    body = BODY.replace(
        "</body>",
        '<geom name="pulley" type="cylinder" size=".004 .01" pos=".03 0 0" group="4"/>'
        '<site name="from" pos="0 0 -.03"/><site name="to" pos="0 0 .03"/></body>',
    )
    over = (
        '</worldbody><tendon><spatial name="t"><site site="from"/><geom geom="pulley"/><site site="to"/></spatial>'
        "</tendon><worldbody>"
    )
    model = compile_scene(completed(with_hand(tmp_path, body=body + over, collision_group=0))).model
    pulley = model.geom("pulley").id
    assert not model.geom_contype[pulley] | model.geom_conaffinity[pulley]


def touching(model: mujoco.MjModel) -> set[tuple[str, ...]]:
    """Pairs of bodies that touch where the model starts."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return {tuple(sorted(model.body(model.geom_bodyid[geom]).name for geom in each.geom)) for each in data.contact}


@pytest.mark.parametrize(
    ("bits", "group"), [('contype="2" conaffinity="2"', None), ('contype="0" conaffinity="4"', None), (ZERO, 0)]
)
def test_hand_and_object_touch_whatever_bits_the_hand_uses(tmp_path: Path, bits: str, group: int | None) -> None:
    """Found: an object fell through a hand whose geoms have contact bits of their own. Its links stay as they are to
    each other."""
    body = BODY.replace("<geom ", f"<geom {bits} ") + f'<body name="c" pos="0 0 .03"><geom {bits} size=".02"/></body>'
    given = completed(with_hand(tmp_path, body=body, collision_group=group))
    given = replace(given, workspace=replace(given.workspace, start=(0.0, 0.0, 0.03)))
    among_links = {("b", "c")} if "2" in bits else set()
    assert touching(compile_scene(given).model) == {("b", "object"), ("c", "object")} | among_links


def test_bits_of_hands_that_meet_the_object_stay(tmp_path: Path) -> None:
    """States of hands that work must stay the same."""
    model = compile_scene(completed(with_hand(tmp_path, body=BODY.replace("<geom ", '<geom contype="3" ')))).model
    assert (model.geom_contype.max(), model.geom_conaffinity.max()) == (3, 1)


def test_a_placed_hand_is_where_the_scene_says_whatever_frame_it_is_in(tmp_path: Path) -> None:
    """Found: a <frame> around the root moved it once more."""
    body = f'<frame pos="1 0 0" euler="0 0 90"><frame pos="0 1 0">{BODY}</frame></frame>'

    def placed(**keys: object) -> tuple[np.ndarray, np.ndarray]:
        model = compile_scene(completed(with_hand(tmp_path, body=body, **keys))).model
        return model.body("b").pos, model.body("b").quat

    turned = np.array([1, 0, 0, 1]) / np.sqrt(2)
    np.testing.assert_allclose(np.concatenate(placed(position=(0.0, 0.0, 0.5))), [0, 0, 0.5, *turned], atol=1e-9)
    np.testing.assert_allclose(
        np.concatenate(placed(quaternion=(1.0, 0.0, 0.0, 0.0))), [0, 0, 0, 1, 0, 0, 0], atol=1e-9
    )


def test_what_a_placed_hand_would_leave_behind_is_refused(tmp_path: Path) -> None:
    base = '<geom name="base" size=".01"/>'
    assert "geom 'base'; put that into the body" in refused(with_hand(tmp_path, body=base + BODY, position=(0, 0, 0.1)))
    tendon = (
        '</worldbody><tendon><spatial><site site="anchor"/><site site="s"/></spatial></tendon><worldbody>'
        '<site name="anchor"/><site name="mark"/>'
    )
    body = BODY.replace("</body>", '<site name="s"/></body>') + tendon
    assert "<worldbody>: site 'anchor'; put" in refused(with_hand(tmp_path, body=body, position=(0, 0, 0.1)))
    assert "<worldbody>: geom without a name; put" in refused(
        with_hand(tmp_path, body='<geom size=".01"/>' + BODY, quaternion=(1, 0, 0, 0))
    )
    for keys, beside in ({"remove": ("base",)}, base), ({}, '<geom type="plane" size="1 1 1"/><site name="mark"/>'):
        given = with_hand(tmp_path, body=beside + BODY, position=(0, 0, 0.1), **keys)
        assert compile_scene(completed(given)).model.body("b").pos[2] == 0.1


@pytest.mark.parametrize("unit", ["degree", "radian"])
def test_a_locked_wrist_is_held_at_its_angle_wherever_the_model_is_drawn(tmp_path: Path, unit: str) -> None:
    """Found: a joint's ref was added to the angle."""
    ref, ends = (20, "-57 57") if unit == "degree" else (np.deg2rad(20), "-1 1")
    body = BODY.replace("-57 57", ends).replace("/><geom", f' ref="{ref}" damping="1"/><geom')
    inside = f'<compiler angle="{unit}"/><option gravity="0 0 0"/>'
    given = completed(with_hand(tmp_path, inside, body, wrist=("j",), initial_pose={"j": 0.5}))
    model = compile_scene(given, locked_wrist=True).model
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    assert data.joint("j").qpos == pytest.approx(np.deg2rad(20))
    data.joint("object").qpos[:3] = (9, 9, 9)
    for _ in range(2000):
        mujoco.mj_step(model, data)
    assert data.joint("j").qpos == pytest.approx(0.5, abs=1e-3)
