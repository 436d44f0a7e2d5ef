"""The built package alone, without a checkout: configurations, scenes and weights come along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from vision.configuration.config_files import config_file
from vision.errors import DactylError


def dactyl(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", "from dactyl.cli import main; raise SystemExit(main())", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_it_imports_nothing_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    imports = "import dactyl, vision, vision.configuration.config_files as c"
    code = f"{imports}; print(vision.__file__, c.CONFIGS, dactyl.__version__)"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    file, configs, version = done.stdout.split()
    assert Path(file).is_relative_to(installed)
    assert Path(configs).is_relative_to(installed)
    assert version == (installed / next(installed.glob("*.dist-info")).name).name.split("-")[1].removesuffix(".dist")


def test_configurations_scenes_and_weights_come_along(installed: Path, tmp_path: Path) -> None:
    made = dactyl(
        *(installed, tmp_path, "states", "--config", "dactyl:states/explore", "--scene", "trifinger-cube"),
        *("--count", "16", "--worlds", "4", "--output", "states"),
    )
    assert made.returncode == 0, made.stderr
    assert (installed / "vision" / "weights" / "block.pt").stat().st_size > 1_000_000
    for room in ("vision", "eval/report", "datagen/inspection"):
        there, here = (sorted(p.name for p in (root / room / "templates").iterdir()) for root in (installed, ROOT))
        assert there == here


def test_a_configuration_that_does_not_come_along_is_one_line() -> None:
    with pytest.raises(DactylError, match="did you mean dactyl:train/best"):
        config_file("dactyl:train/bets")
