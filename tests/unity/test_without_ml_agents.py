"""Without the extra `unity` everything but the renderer of that name works, and that one says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.states.collect import StatesConfig, collect
from tests.unity.conftest import REPOSITORY

# Python runs a module of this name at every start, so worker processes lack the packages as well. Protobuf stays:
# TensorBoard brings it to every installation.
_HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mlagents_envs", "grpc"):
            raise ERROR

sys.meta_path.insert(0, Hidden())
"""
_ABSENT = _HIDE.replace("ERROR", 'ModuleNotFoundError(f"No module named {name!r}", name=name)')
_FOREIGN = _HIDE.replace("ERROR", r'TypeError("Descriptors cannot be created directly.\nIf this call came from")')


def run(folder: Path, hide: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages hidden from it and from its children."""
    (folder / "hide").mkdir(exist_ok=True)
    (folder / "hide" / "sitecustomize.py").write_text(hide)
    environment = os.environ | {"PYTHONPATH": f"{folder / 'hide'}{os.pathsep}{REPOSITORY}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def test_scene_packs_need_no_ml_agents(tmp_path: Path) -> None:
    output = tmp_path / "block.pack"
    done = run(tmp_path, _ABSENT, "-m", "dactyl", "unity", "export-scene", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert output.stat().st_size > 1000


def test_a_suggestion_of_another_renderer_loads_none(tmp_path: Path) -> None:
    """Also without the extra, a message names all that would do."""
    for program, said in (
        (
            "from datagen.render import others_that_draw as said; print(said('clutter'))",
            "take filament or classic or unity",
        ),
        ("from datagen.render import traits_of; print(traits_of('unity').reusable)", "True"),
    ):
        loaded = "import sys; print({'mujoco', 'mlagents_envs', 'datagen.unity'} & sys.modules.keys())"
        done = run(tmp_path, _ABSENT, "-c", f"{program}; {loaded}")
        assert done.stdout.splitlines() == [said, "set()"], done.stderr
    command = ("render", "--renderer", "classic", "--devices", "2", "--states", "none", "--output", "none")
    done = run(tmp_path, _ABSENT, "-m", "dactyl", *command)
    assert done.returncode == 2
    assert "devices: is of use only with renderer warp, got 2" in done.stderr


@pytest.mark.parametrize(("hide", "reason"), [(_ABSENT, "No module named 'grpc'"), (_FOREIGN, "older protobuf")])
def test_the_renderer_names_the_extra_in_one_line(tmp_path: Path, hide: str, reason: str) -> None:
    states, output = tmp_path / "states", tmp_path / "data"
    collect(StatesConfig(states, count=2, seed=3, worlds=2, threads=1))
    render = ("render", "--renderer", "unity", "--states", str(states), "--output", str(output), "--count", "2")
    for command in (render, ("unity", "check")):
        done = run(tmp_path, hide, "-m", "dactyl", *command)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        (line,) = [line for line in done.stderr.splitlines() if "dactyl-vision[unity]" in line]
        assert reason in line
