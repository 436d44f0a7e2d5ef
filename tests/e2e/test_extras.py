"""What each extra brings, and what the package does without it: an estimate in an installation without any extra, and
one line instead of a traceback wherever a package is missing."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from dactyl.commands import COMMANDS
from tests.e2e.conftest import ROOT
from tests.e2e.isolation import Isolated, linked, reachable, truly_installed, uv
from tests.synthetic import make_dataset
from tests.test_structure import ROOMS, imported
from vision.machine.extras import EXTRAS

_TRY_EVERYTHING = """
import contextlib, importlib, importlib.util, io, json, pkgutil
import numpy as np
from dactyl.cli import main
from dactyl.commands import COMMANDS
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.machine.extras import EXTRAS, missing_extra

estimator = PoseEstimator.from_pretrained("block")
rig, random = estimator.rig, np.random.default_rng(0)
images = random.integers(0, 256, (1, len(rig), rig.height, rig.width, 3), dtype=np.uint8)
for nominal in (False, True):
    poses = estimator.predict(images, rig.nominal, nominal=nominal)
    assert poses["position"].shape == (1, 3)
    assert np.allclose(np.linalg.norm(poses["quaternion"], axis=1), 1)
for command in (
    *(["--help"], ["--version"], ["info", "--dataset", "data"], ["check", "--dataset", "data"]),
    ["estimate", "--pictures", "data", "--checkpoint", "block", "--output", "poses.jsonl"],
):
    assert main(command) == 0, command

packages = {package for packages in EXTRAS.values() for package in packages}
found = {"there": [name for name in packages if importlib.util.find_spec(name)], "commands": {}, "refused": {}}
for name in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = main([*name.split(), "--help"])
    found["commands"][name] = status, said.getvalue()
for room in ("vision", "datagen", "train", "eval", "dactyl"):
    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
        try:
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        except DactylError as error:
            found["refused"][module.name] = str(error)
        except ModuleNotFoundError as error:
            found["refused"][module.name] = missing_extra(error) or f"{error}, which no extra brings"
print("found:", json.dumps(found))
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Without ``--install`` those that together show what all can: ``lab`` is what ``sim`` and ``train`` share, and the
    others bring packages for one purpose each."""
    if "extra" in metafunc.fixturenames:
        every = metafunc.config.getoption("--install")
        metafunc.parametrize("extra", ["", *EXTRAS] if every else ["", "sim", "train"])


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A package index that answers."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    try:
        uv("pip", "install", "--dry-run", "--no-cache", "--target", str(nowhere), "roma")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no package index can be reached: {error.stderr.splitlines()[-1]}")


@pytest.fixture
def isolated(
    wheel: Path, installed: Path, tmp_path: Path, extra: str, request: pytest.FixtureRequest
) -> Iterator[Isolated]:
    """An installation with the test's extra."""
    extras, folder = [extra] if extra else [], tmp_path / "environment"
    if request.config.getoption("--install"):
        request.getfixturevalue("index")
        yield truly_installed(installed, wheel, extras, folder)
        shutil.rmtree(folder)  # gigabytes
    else:
        yield linked(installed, extras, folder)


def test_an_estimate_needs_no_extra_and_all_else_is_promised_or_one_line(
    isolated: Isolated, extra: str, tmp_path: Path
) -> None:
    make_dataset(tmp_path / "data", 2)
    done = isolated.run(tmp_path, _TRY_EVERYTHING)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.rpartition("found:")[2])
    there = {package for extra in isolated.extras for package in EXTRAS[extra]}
    assert set(found["there"]) >= there
    assert extra or not found["there"]
    assert found["commands"].keys() == COMMANDS.keys()
    for name, (status, said) in found["commands"].items():
        missing = [extra for extra in COMMANDS[name].extras if extra not in isolated.extras]
        assert status == bool(missing), said
        assert said.count("\n") == bool(missing)
        assert not missing or said.endswith(f": pip install 'dactyl-vision[{','.join(missing)}]'\n")
    for module, line in found["refused"].items():
        assert (asked := re.search(r"pip install 'dactyl-vision\[(\w+)\]'$", line)), f"{module}: {line}"
        assert asked[1] not in isolated.extras, f"{module}: {line}"


def test_every_package_that_is_imported_comes_with_the_core_or_the_extra_that_is_named(installed: Path) -> None:
    owners = importlib.metadata.packages_distributions()
    extra_of = {package: extra for extra, packages in EXTRAS.items() for package in packages}
    sources = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    packages = {package for source in sources for package in imported(source)} - sys.stdlib_module_names - ROOMS.keys()
    assert {"torch", "mujoco", "lightning"} < packages
    for package in packages:
        if package in owners:
            brought = reachable(installed, [extra_of[package]] if package in extra_of else [])
            assert brought & {canonicalize_name(name) for name in owners[package]}, package
        else:
            assert package in extra_of, package  # not installed here
