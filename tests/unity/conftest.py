"""What the tests of the Unity renderer share: the stand-in player as an executable, and the C# compiler."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.render.unity_options import PlayerOptions

REPOSITORY = Path(__file__).parents[2]
ASSETS = REPOSITORY / "unity_project" / "Assets"
STUBS = Path(__file__).parent / "cs" / "stubs"

_MARK = f"DACTYL_TEST_PLAYER={uuid.uuid4().hex}".encode()  # in the environment of every player of this test run

# Assemblies that Unity and its packages bring, by the stub that stands for them.
_GIVEN = {"UnityEngine": (), "UnityEditor": ("UnityEngine",), "Unity.ML-Agents": ("UnityEngine",)}
_STUB_FILES = {"UnityEngine": "UnityEngine.cs", "UnityEditor": "UnityEditor.cs", "Unity.ML-Agents": "MLAgents.cs"}


def require_mono() -> None:
    """Skip where there is no C# compiler; where CI could have installed one (scripts/test_tools.sh), fail."""
    missing = [program for program in ("mcs", "mono") if shutil.which(program) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found; to test the C# code: apt-get install mono-mcs mono-runtime"
        (pytest.fail if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip)(reason)


def compile_csharp(output: Path, sources: list[Path], references: list[Path], *options: str) -> None:
    """Run mcs; a warning is an error."""
    command = ["mcs", "-langversion:7.2", "-warnaserror", *options, f"-out:{output}"]
    command += [f"-r:{reference}" for reference in references]
    done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All C# of the project, compiled as its assembly definitions say, against stubs of Unity."""
    require_mono()
    folder = tmp_path_factory.mktemp("assemblies")
    made: dict[str, Path] = {}
    for name, references in _GIVEN.items():
        made[name] = folder / f"{name}.dll"
        compile_csharp(made[name], [STUBS / _STUB_FILES[name]], [made[r] for r in references], "-target:library")
    definitions = [(path, json.loads(path.read_text())) for path in ASSETS.rglob("*.asmdef")]
    while definitions:
        ready = [entry for entry in definitions if set(entry[1]["references"]) <= set(made)]
        assert ready, f"assemblies refer to each other in a circle, or to nothing: {definitions}"
        for path, definition in ready:
            references = list(definition["references"])
            if not definition.get("noEngineReferences", False):
                references.append("UnityEngine")
            if definition.get("includePlatforms") == ["Editor"]:
                references.append("UnityEditor")
            name = definition["name"]
            made[name] = folder / f"{name}.dll"
            sources = sorted(path.parent.rglob("*.cs"))
            compile_csharp(made[name], sources, [made[r] for r in references], "-target:library")
            definitions.remove((path, definition))
    return made


@pytest.fixture(scope="session")
def check(assemblies: dict[str, Path]) -> Callable[..., str]:
    """Runs tests/unity/cs/Check.cs under mono and returns what it printed."""
    return _program("Check.cs", [assemblies["Dactyl.Protocol"]])


@pytest.fixture(scope="session")
def editor_check(assemblies: dict[str, Path]) -> Callable[..., str]:
    """Runs tests/unity/cs/Editor.cs under mono, against the stubs, and returns what it printed."""
    return _program("Editor.cs", list(assemblies.values()))


def _program(source: str, references: list[Path]) -> Callable[..., str]:
    program = references[0].parent / f"{source}.exe"
    compile_csharp(program, [Path(__file__).parent / "cs" / source], references)

    def run(*arguments: object) -> str:
        done = subprocess.run(["mono", str(program), *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in player as a file that can be started."""
    path = tmp_path_factory.mktemp("player") / "stage.x86_64"  # UnityEnvironment itself would cut this ending off
    run = f"cd {shlex.quote(str(REPOSITORY))} && exec {shlex.quote(sys.executable)} -m tests.unity.standin"
    path.write_text(f'#!/bin/sh\nexport {_MARK.decode()}\n{run} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def player_options(executable: Path, tmp_path: Path) -> Callable[..., PlayerOptions]:
    """Options that start the stand-in with some arguments: ``player_options("--fault", "die", players=2)``."""

    def options(*arguments: object, **changes: Any) -> PlayerOptions:
        given = {"start_timeout_s": 60.0, "reply_timeout_s": 60.0, "logs": tmp_path / "logs"} | changes
        return PlayerOptions(executable=executable, arguments=tuple(map(str, arguments)), **given)

    return options


def running_players() -> list[int]:
    """Process ids of the stand-ins that this test run started, whoever is their parent by now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if _MARK in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """No test leaves a player behind."""
    yield
    assert not running_players()
