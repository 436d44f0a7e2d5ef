"""``dactyl scene check``: what is said of a scene, what is warned of, and where its sheet draws cameras."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from msgspec.structs import replace
from PIL import Image

from dactyl.cli import main
from datagen.inspection.scene import landmark_points
from datagen.inspection.scene_contacts import model_warnings
from datagen.inspection.scene_sheet import frusta, frustum_corners
from datagen.inspection.scene_warnings import warnings
from datagen.sim.complete import completed
from datagen.sim.scene import compile_scene
from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.cameras import look_at, project
from vision.geometry.distortion import Lens
from vision.objects.mesh_symmetries import symmetries_change_colors
from vision.objects.pose_object import Mesh, Part, Piece, PoseObject
from vision.objects.symmetries import Symmetries
from vision.rigs.rig import Rig
from vision.scene.hand import Hand
from vision.scene.scene import Scene


def changed(**values: object) -> Scene:
    return replace(scene("block"), **values)


def plain_block() -> PoseObject:
    block = scene("block").object
    parts = tuple(replace(part, color=(0.5, 0.5, 0.5)) for part in block.parts)
    return replace(block, parts=parts, symmetries=Symmetries(rotations=np.eye(3)[None]))


def half_a_block() -> PoseObject:
    """The block with one convex piece, which is missing what lies at x > 0."""
    block = scene("block").object
    vertices = np.array([[x, y, z] for x in (-0.028, 0) for y in (-0.028, 0.028) for z in (-0.028, 0.028)])
    return replace(block, pieces=(Piece(kind="hull", vertices=vertices),))


def moved_camera(extrinsics: np.ndarray) -> Rig:
    first, *others = scene("block").rig.cameras
    return Rig(cameras=(replace(first, extrinsics=extrinsics), *others))


@pytest.mark.parametrize("name", ["block", "trifinger-cube-v2"])
def test_no_label_is_cut_at_the_border_of_the_picture_of_the_cameras(name: str) -> None:
    picture = np.asarray(frusta(scene(name), 640))
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == picture[0, 0]).all()
    assert (picture[0, 0] == (0x16, 0x18, 0x1C)).all()


def test_nothing_is_said_against_our_own_scenes() -> None:
    assert [list(warnings(scene(name))) for name in ("block", "prism")] == [[], []]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"object": replace(scene("block").object, mass=78.0)}, "is the mass in kilograms"),
        ({"object": half_a_block()}, "outside all convex pieces"),
        ({"object": plain_block()}, "after 24 rotations, but no symmetries are declared"),
        ({"workspace": replace(scene("block").workspace, drop_height=0.3)}, "not above drop_height"),
        ({"hand": None}, "no landmarks"),
        ({"hand": replace(scene("block").hand, actuators=())}, "hand: it has no actuators"),
        (
            {"rig": moved_camera(np.linalg.inv(scene("block").rig.cameras[0].extrinsics))},
            "camera left: the object star",
        ),
        (
            {"rig": moved_camera(look_at((1.6, 0.87, 0.3), (1.0, 0.87, 0.2)))},
            "camera left: only 2 of the hand's 15 landmarks",
        ),
        (
            {"rig": moved_camera(look_at((1.0, 0.87, 9.0), (1.0, 0.87, 0.2)))},
            "camera left: the object is only 9 pixels",
        ),
        (
            {"background": replace(scene("block").background, half_size=(0.5, 0.5))},
            "camera right: sees past the background's border",
        ),
        ({"rig": moved_camera(look_at((1.6, 0.87, 0.3), (1.0, 0.87, 0.2)))}, "camera left: sees past the background's"),
        (
            {"rig": moved_camera(look_at((600.0, 0.87, 600.0), (1.0, 0.87, 0.2)))},
            "camera left: it is 848 m away from the object; is its position in millimetres?",
        ),
        (
            {"rig": moved_camera(look_at((1.0, 0.87, 0.2), (1.0, 0.87, 0.1)))},
            "camera left: it is inside the object",
        ),
        ({"rig": moved_camera(scene("block").rig.cameras[1].extrinsics)}, "cameras left and top stand at one place"),
    ],
)
def test_what_is_probably_not_meant_is_said(wrong: dict[str, object], message: str) -> None:
    assert any(message in warning for warning in warnings(changed(**wrong))), list(warnings(changed(**wrong)))


def test_one_camera_before_a_body_of_revolution_is_warned_of() -> None:
    block = scene("block").object
    round_about_z = replace(block, symmetries=replace(block.symmetries, axes=np.array([[0.0, 0.0, 1.0]])))
    alone = Rig(cameras=scene("block").rig.cameras[:1])
    for rig, said in ((alone, True), (scene("block").rig, False)):
        found = list(warnings(changed(object=round_about_z, rig=rig)))
        assert any("axis mirrored in the line of sight" in warning for warning in found) == said


def test_what_stands_in_each_other_is_said() -> None:
    for name in ("block", "prism", "adroit-box"):
        assert not list(model_warnings(compile_scene(scene(name))))
    floor, work = scene("block").background, scene("block").workspace
    raised = changed(background=replace(floor, centre=(1.0, 1.0, 0.1)))
    (said,) = model_warnings(compile_scene(raised))
    assert re.match(r"hand: \w+ reaches \d+ mm below the plane", said)
    (said,) = model_warnings(compile_scene(changed(workspace=replace(work, start=(1.0, 0.87, 0.15)))))
    assert re.match(r"workspace: the object starts \d+ mm inside the hand", said)


@pytest.mark.parametrize(
    ("inside", "limits", "message"),
    [
        ("", "-1.57 1.57", "no hinge turns by more than 3.1 degrees"),
        ('<compiler angle="radian"/>', "-90 90", "joint j turns by 180 radians"),
        ("", "-90 90", ""),
    ],
)
def test_a_hand_with_limits_of_another_unit_and_a_floor_is_warned_of(
    tmp_path: Path, inside: str, limits: str, message: str
) -> None:
    link = f'<body pos="1 .8 .1"><joint name="j" range="{limits}"/><geom size=".01"/></body>'
    model = '<mujoco>{}<worldbody><geom name="ground" type="plane" size="0 0 1"/>{}</worldbody></mujoco>'
    (tmp_path / "hand.xml").write_text(model.format(inside, link))
    given = completed(changed(hand=Hand(name="it", source=str(tmp_path / "hand.xml"))))
    floor, *others = model_warnings(compile_scene(given))
    assert "plane ground" in floor
    assert "".join(others).startswith(f"hand: {message}" if message else "")
    assert len(others) == bool(message)


@pytest.mark.parametrize(
    ("actuators", "said"),
    [
        ('<position name="a" joint="j" kp="1" ctrlrange="-57 57"/>', "actuator a spans 114 where .* 1.99 radians;"),
        (
            '<position name="a" joint="j" kp="1" ctrlrange="-1 1"/>'
            '<position name="b" joint="j" kp="1" gear="2" ctrlrange="-90 0"/>'
            '<position name="c" tendon="t" kp="1" ctrlrange="0 57"/>',
            "actuator b spans 90 where .* 3.98 radians, and 1 more like it",
        ),
        ('<position name="a" joint="j" kp="1" ctrlrange="-3 3"/>', None),  # presses against its limits
        ('<motor name="a" joint="j" ctrlrange="-57 57"/>', None),
        ('<position name="a" joint="free" kp="1" ctrlrange="-57 57"/>', None),
        ('<position name="a" joint="slide" kp="1" ctrlrange="-57 57"/>', None),
    ],
)
def test_a_servo_led_by_degrees_is_warned_of(tmp_path: Path, actuators: str, said: str | None) -> None:
    joints = '<joint name="j" axis="0 1 0" range="-57 57"/><joint name="free"/><joint type="slide" name="slide"/>'
    tendon = '<tendon><fixed name="t"><joint joint="j" coef=".5"/></fixed></tendon>'
    (tmp_path / "hand.xml").write_text(
        f'<mujoco><worldbody><body pos="1 .8 .1">{joints}<geom size=".01"/></body></worldbody>{tendon}'
        f"<actuator>{actuators}</actuator></mujoco>"
    )
    given = completed(changed(hand=Hand(name="it", source=str(tmp_path / "hand.xml"))))
    found = list(model_warnings(compile_scene(given)))
    assert len(found) == (said is not None), found
    assert said is None or re.search(f"{said}.*are these degrees", found[0]), found


@pytest.mark.parametrize(
    ("count", "excluded", "said"),
    [(2, "", "b0 and b1 overlap by 20 mm"), (4, "", ", and so do 5 more pairs"), (2, "b0 b1", None)],
)
def test_links_that_overlap_are_warned_of(tmp_path: Path, count: int, excluded: str, said: str | None) -> None:
    given = completed(changed(hand=overlapping_hand(tmp_path, count, excluded)))
    found = list(model_warnings(compile_scene(given)))
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]


@pytest.mark.timeout(30)
def test_a_hand_that_mujoco_would_simulate_for_ever_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for count in (50, 320):  # and more than MuJoCo's memory holds
        given = completed(changed(hand=overlapping_hand(tmp_path, count)))
        with pytest.raises(DactylError, match=r"touch each other in [\d,]+ places where it starts, first b0 and b\d+"):
            compile_scene(given)
    assert not any(capfd.readouterr())  # nothing from MuJoCo itself


def overlapping_hand(folder: Path, count: int, excluded: str = "") -> Hand:
    """Make a hand of balls of 1 cm on hinges, half a millimetre apart on a palm that does not collide."""
    balls = "".join(
        f'<body name="b{n}" pos="{n * 5e-4} 0 0"><joint axis="0 1 0"/><geom size=".01"/></body>' for n in range(count)
    )
    pair = 'contact><exclude body1="{}" body2="{}"/></contact'.format(*excluded.split()) if excluded else "contact/"
    (folder / "hand.xml").write_text(
        f'<mujoco><worldbody><body pos="1 .8 .1">{balls}</body></worldbody><{pair}></mujoco>'
    )
    return Hand(name="it", source=str(folder / "hand.xml"))


def test_a_hands_mocap_body_is_warned_of(tmp_path: Path) -> None:
    link = '<body pos="1 .8 .1"><joint name="j" axis="0 1 0"/><geom size=".01"/></body>'
    target = '<body name="target" mocap="true" pos="1 .8 .5"><geom size=".01" contype="0" conaffinity="0"/></body>'
    (tmp_path / "hand.xml").write_text(f"<mujoco><worldbody>{link}{target}</worldbody></mujoco>")
    hand = Hand(name="it", source=str(tmp_path / "hand.xml"))
    (said,) = model_warnings(compile_scene(completed(changed(hand=hand))))
    assert "'target' is a mocap body" in said
    assert not list(model_warnings(compile_scene(completed(changed(hand=replace(hand, remove=("target",)))))))


def test_symmetries_of_a_mesh_are_asked_for_and_compared_with_its_colours() -> None:
    block = scene("block").object
    plain, half = plain_block(), Symmetries(rotations=np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])]))
    for target, message in (
        (replace(plain, faces=(), shape_symmetries=np.eye(3)[None]), "a turn by 90 degrees about (1, 0, 0) leaves its"),
        (replace(block, faces=(), symmetries=half), "a declared symmetry carries its colours onto others"),
    ):
        assert any(message in warning for warning in warnings(changed(object=target)))


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        (lambda f: f[:-2], ""),
        (lambda f: f[:-2, ::-1], "face inwards"),
        (lambda f: np.concatenate([f[::2], f[1::2, ::-1]]), "face opposite ways"),
    ],
)
def test_a_mesh_that_cameras_would_see_through_is_warned_of(
    faces: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    box = trimesh.creation.box((0.05, 0.06, 0.07))
    part = Part(name="box", color=(1, 1, 1), mesh=Mesh(box.vertices, faces(box.faces)))
    said = list(warnings(changed(object=replace(scene("block").object, faces=(), parts=(part,)))))
    assert any("its triangles" in each or "neighbouring triangles" in each for each in said) == bool(message)
    assert message in " ".join(said)


def test_a_fine_pattern_that_a_symmetry_keeps_is_not_warned_of() -> None:
    """Squares hardly larger than the samples lie apart: colours are compared at the turned points themselves."""
    solid = trimesh.creation.box((0.061, 0.061, 0.061))
    solid.unmerge_vertices()
    squares = np.indices((64, 64)).sum(axis=0) % 2 * 255  # of 1 mm; half a turn carries them onto themselves
    texture = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(squares, 4, 0), 4, 1).astype(np.uint8)).convert("RGB").save(texture, "PNG")
    uv = solid.vertices[:, :2] / 0.064 + 0.5
    part = Part(name="box", color=(1, 1, 1), texture=texture.getvalue(), mesh=Mesh(solid.vertices, solid.faces, uv))
    block = replace(scene("block").object, faces=(), parts=(part,))
    for turn, changes in ((np.diag([-1.0, -1.0, 1.0]), False), (np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), True)):
        symmetries = Symmetries(rotations=np.stack([np.eye(3), turn]))
        assert symmetries_change_colors(replace(block, symmetries=symmetries)) == changes


def test_a_frustum_projects_to_the_corners_of_its_image() -> None:
    for camera in scene("block").rig.cameras:
        corners = frustum_corners(camera, 0.4)
        np.testing.assert_allclose(corners[0], camera.position, atol=1e-12)
        pixels = project(corners[1:], camera)
        np.testing.assert_allclose(pixels, [[0, 0], [200, 0], [200, 200], [0, 200]], atol=1e-9)


def test_landmarks_are_drawn_where_the_simulated_wrist_carries_them() -> None:
    """The middle finger's knuckle of the compiled hand at its initial pose."""
    import mujoco

    model = compile_scene(scene("block")).model
    data = mujoco.MjData(model)
    for name, angle in scene("block").hand.initial_pose.items():  # type: ignore[union-attr]
        data.joint(f"robot0:{name}").qpos = angle
    mujoco.mj_kinematics(model, data)
    knuckle = data.joint("robot0:MFJ3").xanchor
    assert np.linalg.norm(landmark_points(scene("block")) - knuckle, axis=1).min() < 1e-3


def test_the_command_says_what_a_scene_is_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scene", "check", "prism", "--renderer", "classic"]) == 0
    said = capsys.readouterr().out
    assert "24: WRJ1, WRJ0" in said
    assert "no warnings" in said
    assert (tmp_path / "scene-prism.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "expected check, got nothing"),
        (["draw"], 2, "expected check, got 'draw'"),
        (["check", "blok"], 1, "no scene 'blok'"),
        (["check", "block", "--output"], 2, "output"),
    ],
)
def test_bad_requests_are_one_line(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scene", *arguments]) == status
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_flat_piece_is_one_line() -> None:
    """Four corners in a plane have no hull."""
    corners = np.array([[0.0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0.05, 0.05, 0]])
    flat = replace(scene("block").object, pieces=(Piece(kind="hull", vertices=corners),))
    with pytest.raises(DactylError, match="object block: a convex piece is flat"):
        compile_scene(changed(object=flat))


@pytest.mark.parametrize(("k1", "said"), [(-0.28, False), (0.2, False), (-28.0, True)])
def test_a_distortion_that_folds_back_inside_of_the_image_is_warned_of(k1: float, said: bool) -> None:
    """A decimal point that slipped."""
    block = scene("block")
    first, *others = block.rig.cameras
    bent = replace(first, distortion=Lens(coefficients=(k1, 0.0, 0.0, 0.0)))
    found = [
        each for each in warnings(changed(rig=replace(block.rig, cameras=(bent, *others)))) if "folds back" in each
    ]
    assert [each.split(":")[0] for each in found] == [f"camera {first.name}"] * said


def test_a_calibration_of_another_size_is_warned_of() -> None:
    block = scene("block")
    first, *others = block.rig.cameras
    matrix = first.intrinsics + np.array([[0, 0, 0.15 * first.width], [0, 0, 0], [0, 0, 0]])
    off = replace(block.rig, cameras=(replace(first, intrinsics=matrix), *others))
    said = [each for each in warnings(changed(rig=off)) if "principal point" in each]
    assert said == [
        f"camera {first.name}: its principal point is 15 % of a side from the image's middle; is {first.width} x "
        f"{first.height} the size for which it was calibrated?"
    ]
    assert not any("principal point" in each for each in warnings(block))
