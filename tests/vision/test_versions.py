"""Versions: a source tree states its own."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from vision.machine.versions import package_version, package_versions

STATED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]


def test_a_source_tree_has_its_own_version_whatever_was_recorded_when_it_was_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    assert package_version("dactyl-vision") == STATED
    assert package_version("numpy") == "0.0.1"


def test_packages_that_are_missing_are_left_out() -> None:
    assert list(package_versions(["numpy", "no-such-package"])) == ["numpy"]
