"""The measurement of a GPU node, all of it, small and without a GPU."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import ROOT, BenchmarkPart, measure
from vision.machine.versions import package_version, package_versions

EXPECTED = {
    "doctor": ("cores", "GPUs", "filament works", "classic works"),
    "training": ("paper.yaml, float32", "best.yaml, bfloat16", "best.yaml, bfloat16, torch.compile"),
    "states": ("1 core",),
    "renderers": (
        *("filament, filament-fast.yaml, 1 process", "filament, filament-fast.yaml, 2 processes"),
        "classic, 2 processes",
    ),
    "learning": (
        *("dactyl render", "best.yaml, stored: rate", "best.yaml, stored: waiting share", "dactyl evaluate, nominal"),
        *("best.yaml, 2 batches", "best.yaml, online: rate", "best.yaml, online: waiting share"),
    ),
}


@pytest.mark.timeout(1_200)
def test_tiny_measures_everything(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """From the source tree alone: from a folder that is not the repository's, where nothing else says where it is."""
    if not pytestconfig.getoption("--soak"):
        pytest.skip("trains and renders for minutes: make soak")
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--output", str(tmp_path / "gpu")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "gpu" / "gpu.json").read_text())
    assert not [row for row in record["rows"] if row["value"] is None], "no figure may be missing"
    for part, names in EXPECTED.items():
        said = [row["what"] for row in record["rows"] if row["part"] == part]
        for name in names:
            assert any(what.startswith(name) for what in said), f"{part}: no {name} among {said}"
    assert result.stdout.count("\n| ") >= len(record["rows"])
    assert not (tmp_path / "gpu" / "work").exists()


def test_a_part_that_fails_or_hangs_costs_its_own_figures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "benchmarks" / "gpu"
    fake.mkdir(parents=True)
    for folder in (fake.parent, fake):
        (folder / "__init__.py").touch()
    row = """print('{"what": "first", "value": 1.0, "unit": "s"}', flush=True)\n"""
    (fake / "failing.py").write_text(row + "raise SystemExit('no driver')\n")
    (fake / "hanging.py").write_text(row + "import time\ntime.sleep(600)\n")
    monkeypatch.setattr("benchmarks.gpu.__main__.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    first, failed = measure(BenchmarkPart("failing", 60.0), 500.0, False, tmp_path)
    assert first["value"] == 1.0
    assert failed["value"] is None
    assert "status 1: no driver" in failed["error"]
    first, failed = measure(BenchmarkPart("hanging", 5.0), 500.0, False, tmp_path)
    assert (first["value"], failed["value"]) == (1.0, None)
    assert "longer" in failed["error"]
    (late,) = measure(BenchmarkPart("failing", 60.0), 3.0, False, tmp_path)
    assert late["error"] == "no time was left"


def test_versions_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    numpy = package_version("numpy")
    assert numpy is not None
    assert numpy[0].isdigit()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert package_versions(("numpy", "dactyl-vision")) == {"dactyl-vision": package_version("dactyl-vision")}
    assert f'version = "{package_version("dactyl-vision")}"' in (ROOT / "pyproject.toml").read_text()
