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
