"""What starts fast imports little: counted in modules, which a busy machine does not change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import make_dataset

NETWORKS = {"torch", "torchvision", "lightning", "roma"}
SIMULATION = {"mujoco", "gymnasium", "trimesh", "matplotlib", "shapely"}
TABLES = {"pyarrow", "cv2"}


def imported(code: str) -> set[str]:
    """Top-level packages that a fresh process has imported at the end of ``code``."""
    code += "\nimport sys\nprint('modules:', *{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.rpartition("modules:")[2].split())


def test_help_imports_next_to_nothing() -> None:
    found = imported("from dactyl.cli import main\nassert main(['--help']) == 0")
    assert not found & (NETWORKS | SIMULATION | TABLES | {"numpy", "scipy", "jsonargparse", "rich", "upath"})


def test_info_imports_no_network_and_no_simulator(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", 4, image_size=64)
    found = imported(f"from dactyl.cli import main\nassert main(['info', '--dataset', {str(data)!r}]) == 0")
    assert "numpy" in found  # it did read the dataset
    assert not found & (NETWORKS | SIMULATION | TABLES)


def test_an_estimate_imports_no_compiler_and_no_plots() -> None:
    """Found: a package of rotations imported torch's compiler, which took as long as torch itself."""
    found = imported("from vision.estimator import PoseEstimator\nPoseEstimator.from_pretrained()")
    assert "torch" in found
    assert not found & {"sympy", "triton", "torchvision", "lightning", "matplotlib", "mujoco", "jsonargparse"}


def test_garbage_is_collected_again_once_a_command_is_imported() -> None:
    code = "import gc\nfrom dactyl.commands import COMMANDS\nCOMMANDS['info'].load()\nassert gc.isenabled()"
    imported(code)
    imported(f"import gc\ngc.disable()\n{code.replace('assert', 'assert not')}")


def test_who_reads_datasets_keeps_the_settings_of_its_own_parser() -> None:
    """Found: to compare configurations brought jsonargparse, whose settings are then ours in the whole process."""
    assert "jsonargparse" not in imported("import vision.storage.datasets, vision.storage.folders")


def test_who_drives_a_training_keeps_the_settings_of_its_own_parser() -> None:
    """Found: after ``import train.fit`` no parser of the process took a class by its name, and paths were ours."""
    imported(
        "import calendar, pathlib, typing, jsonargparse, jsonargparse.typing as types\n"
        "def registered(): return types.get_registered_type(pathlib.Path)\n"
        "before = registered()\n"
        "import train.cli, train.fit, train.trainer, vision.configuration.command_line, vision.estimator\n"
        "assert registered() is before\n"
        "parser = jsonargparse.ArgumentParser(exit_on_error=False)\n"
        "parser.add_argument('--calendar', type=calendar.Calendar)\n"
        "made = parser.instantiate(parser.parse_args(['--calendar', 'calendar.TextCalendar']))\n"
        "assert isinstance(made.calendar, calendar.TextCalendar)"
    )


@pytest.mark.parametrize(
    "module",
    ["datagen.generate.shard_task", "datagen.generate.chunks", "datagen.render.filament", "datagen.render.classic"],
)
def test_render_processes_do_without_networks(module: str) -> None:
    found = imported(f"import {module}")
    assert "mujoco" in found
    assert not found & (NETWORKS | {"cv2"})
