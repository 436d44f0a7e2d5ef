"""Versions: a source tree states its own."""

import importlib.metadata
import shutil
import tomllib
from pathlib import Path

import pytest

import vision
from vision.machine.versions import code_fingerprint, package_version, package_versions, tree_fingerprint

STATED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]


def test_a_source_tree_has_its_own_version_whatever_was_recorded_when_it_was_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    assert package_version("dactyl-vision") == STATED
    assert package_version("numpy") == "0.0.1"


def test_code_is_known_by_its_files_and_not_by_its_place(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages" / "vision"
    shutil.copytree(Path(vision.__file__).parent, installed, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    assert tree_fingerprint(installed) == code_fingerprint()
    (installed / "notes.txt").touch()
    (installed / "__pycache__").mkdir()
    (installed / "__pycache__" / "color.pyc").touch()
    assert tree_fingerprint(installed) == code_fingerprint(), "only sources count"
    found = {code_fingerprint()}
    with (installed / "color.py").open("a") as file:
        file.write("# another day")
    found.add(tree_fingerprint(installed))
    (installed / "color.py").rename(installed / "colour.py")
    found.add(tree_fingerprint(installed))
    assert len(found) == 3


def test_packages_that_are_missing_are_left_out() -> None:
    assert list(package_versions(["numpy", "no-such-package"])) == ["numpy"]
