"""Hands of other people: models that MuJoCo would wait for or fill the memory with, and choices that fit no model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datagen.sim.complete import completed
from datagen.sim.hand import hand_file
from datagen.sim.scene import compile_scene
from tests.scenes import scene
from vision.errors import DactylError
from vision.scene.hand import Hand
from vision.scene.scene import Scene

BODY = (
    '<body name="b"><joint name="j" axis="0 1 0" range="-57 57" limited="true"/>'
    '<geom type="box" size=".02 .02 .02" pos="0 0 .03"/></body>'
)


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


def test_urdf_is_named(tmp_path: Path) -> None:
    assert "<robot>" in refused(with_hand(tmp_path, root="robot"))


@pytest.mark.parametrize("name", ["object", "background"])
def test_names_of_the_scene_are_not_the_hands(tmp_path: Path, name: str) -> None:
    assert f"a body '{name}'" in refused(with_hand(tmp_path, body=BODY.replace('"b"', f'"{name}"')))


def test_numbers_that_mujoco_lets_pass_are_refused(tmp_path: Path) -> None:
    assert "geom_pos" in refused(with_hand(tmp_path, body=BODY.replace("0 0 .03", "0 0 inf")))
    assert "gravity" in refused(with_hand(tmp_path, '<option gravity="nan 0 0"/>'))


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
