"""Hands of MuJoCo Menagerie: found in a clone or where its package has fetched them, else one line says how."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dactyl.cli import main
from datagen.policy.layout import Layout, layout_of
from datagen.sim.complete import complete_scene, completed
from datagen.sim.scene import compile_scene
from vision.errors import DactylError
from vision.scene.load import load_scene

FINGERS = {"if": 0.023, "mf": -0.022, "rf": -0.068, "th": -0.1}
JOINTS = {"th": ("cmc", "axl", "mcp", "ipl")}


def leap(mesh: bool = False) -> str:
    """A hand of boxes with the names of LEAP's joints and actuators, laid out as Menagerie has it."""
    joints = [(finger, JOINTS.get(finger, ("mcp", "rot", "pip", "dip"))) for finger in FINGERS]
    chains = ""
    for finger, names in joints:
        ends = "".join(
            f'<body name="{finger}_{body}" pos="0.03 0 0"><joint name="{finger}_{joint}" axis="0 1 0" range="-0.4 2"/>'
            '<geom type="box" size="0.01 0.01 0.01"/>'
            for body, joint in zip(("bs", "px", "md", "ds"), names, strict=True)
        )
        tip = '<geom type="mesh" mesh="tip"/>' if mesh else '<geom type="sphere" size="0.009" pos="0.02 0 0"/>'
        chains += f'<body name="{finger}_root" pos="0 {FINGERS[finger]} 0">{ends}{tip}{"</body>" * 5}'
    actuators = "".join(
        f'<position name="{finger}_{name}_act" joint="{finger}_{name}" ctrlrange="-0.4 2" kp="3"/>'
        for finger, names in joints
        for name in names
    )
    asset = '<asset><mesh name="tip" vertex="0 0 0 .02 0 0 0 .02 0 0 0 .02"/></asset>' if mesh else ""
    seen = '<geom type="box" size="0.05 0.06 0.011" group="1" contype="0" conaffinity="0"/>'
    palm = f'{seen}<geom type="box" size="0.05 0.06 0.01"/>'
    return (
        f'<mujoco><compiler angle="radian"/>{asset}<worldbody><body name="palm" pos="0 0 0.1">{palm}{chains}</body>'
        f"</worldbody><actuator>{actuators}</actuator></mujoco>"
    )


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder laid out as a clone of Menagerie."""
    folder = tmp_path / "clone" / "leap_hand"
    folder.mkdir(parents=True)
    (folder / "right_hand.xml").write_text(leap())
    monkeypatch.setenv("MENAGERIE_ROOT", str(folder.parent))
    complete_scene.cache_clear()
    yield folder.parent
    complete_scene.cache_clear()


def test_a_clone_is_found_by_its_variable(clone: Path) -> None:
    scene = completed(load_scene("leap-block"))
    assert scene.hand is not None
    assert len(scene.hand.joints) == len(scene.hand.actuators) == 16
    assert scene.hand.fingertips == ("if_ds", "mf_ds", "rf_ds", "th_ds")
    simulated = compile_scene(scene)
    assert layout_of(simulated) == Layout("leap", fingertips=4, joints=16, actuators=16, shape="moments")
    assert simulated.model.body("palm").pos[2] == pytest.approx(0.2), "where the scene puts it"


def test_meshes_that_collide_among_what_is_seen_are_drawn(clone: Path) -> None:
    """LEAP's fingertips: with boxes alone, what collides is left out of the pictures."""
    boxes = completed(load_scene("leap-block"))
    (clone / "leap_hand" / "right_hand.xml").write_text(leap(mesh=True))
    tips = completed(load_scene("leap-block"))
    assert boxes.hand is not None
    assert tips.hand is not None
    assert (boxes.hand.visual_group, tips.hand.visual_group) == (1, None)


def test_what_the_clone_has_not_is_one_line(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scene", "check", "allegro-block"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{clone / 'wonik_allegro' / 'right_hand.xml'} is missing; MENAGERIE_ROOT has to name" in said


def test_without_clone_and_package_a_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    assert main(["scene", "check", "leap-block"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("pip install 'dactyl-vision[menagerie]'", "mujoco-menagerie prefetch leap_hand", "MENAGERIE_ROOT"):
        assert part in said


def test_what_the_package_has_fetched_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``get``, ``Cache.model_path`` and ``Cache.is_cached`` are the interface of mujoco-menagerie 2026.10."""
    folder = tmp_path / "models" / "leap_hand-0123"
    robots = {"leap_hand": folder}

    class UnknownRobotError(Exception):
        pass

    def get(name: str) -> str:
        if name not in robots:
            raise UnknownRobotError(name)
        return name

    cache = SimpleNamespace(model_path=robots.get, is_cached=lambda robot: folder.is_dir())
    package = SimpleNamespace(get=get, Cache=lambda: cache, MenagerieError=UnknownRobotError)
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    with pytest.raises(DactylError, match="mujoco-menagerie prefetch leap_hand"):
        completed(load_scene("leap-block"))
    folder.mkdir(parents=True)
    with pytest.raises(DactylError, match=r"right_hand.xml is missing; check the name"):
        completed(load_scene("leap-block"))
    (folder / "right_hand.xml").write_text(leap())
    assert completed(load_scene("leap-block")).hand is not None
    with pytest.raises(DactylError, match="Menagerie's wonik_allegro is not on this machine"):
        completed(load_scene("allegro-block"))
