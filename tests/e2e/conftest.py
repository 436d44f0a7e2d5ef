"""The built package, as an installation puts it beside its dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file."""
    source = tmp_path_factory.mktemp("source") / "dactyl-vision"
    unwanted = shutil.ignore_patterns(
        ".*", "runs", "data", "build", "*.egg-info", "tests", "docs", "benchmarks", "unity_project"
    )
    shutil.copytree(ROOT, source, ignore=unwanted)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, env=os.environ, capture_output=True, text=True, check=True
    )
    return source / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is in it."""
    target = tmp_path_factory.mktemp("installed")
    shutil.unpack_archive(wheel, target, "zip")
    return target
