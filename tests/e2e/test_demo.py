"""The whole way of the data through the real command line, tiny; then everything again, reused; then bad input."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import dactyl

SIZES = ["--train_triplets", "24", "--test_triplets", "6", "--steps", "4"]


def from_the_shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """With a process of its own, which imports all that it needs: :func:`dactyl` has everything already."""
    command = [sys.executable, "-m", "dactyl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def assert_one_line(result: subprocess.CompletedProcess[str], status: int, *expected: str) -> None:
    """The command failed with that status, and with one line on standard error that says what is expected."""
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for text in expected:
        assert text in lines[0]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "demo"
    result = from_the_shell("demo", "--output", str(output), *SIZES)
    assert result.returncode == 0, result.stderr
    return output


def test_leaves_what_it_promises(demo: Path) -> None:
    for name in ("train", "test-filament", "test-classic"):
        assert (demo / name / "manifest.json").exists()
    for name in ("contact-sheet.png", "training/best.ckpt", "evaluation/table.md", "evaluation/table.csv"):
        assert (demo / name).stat().st_size > 0, name
    assert list((demo / "evaluation").glob("predictions-*.png"))
    rows = list(csv.DictReader((demo / "evaluation" / "table.csv").open()))
    found = {(row["estimator"], row["renderer"], row["protocol"]) for row in rows}
    for renderer in ("filament", "classic"):
        assert ("constant", renderer, "") in found
        for protocol in ("nominal", "calibrated"):
            assert ("ours", renderer, protocol) in found
    assert all(row["samples"] == "6" for row in rows if row["estimator"] == "ours")
    assert {row["estimator"] for row in rows if row["renderer"] in ("unity", "real")} == {
        *("paper", "successor", "missing"),
    }


def test_train_and_test_sets_share_nothing(demo: Path) -> None:
    manifests = {name: json.loads((demo / name / "manifest.json").read_text()) for name in ("train", "test-filament")}
    assert manifests["train"]["seed"] != manifests["test-filament"]["seed"]
    assert manifests["train"]["config"]["states"] != manifests["test-filament"]["config"]["states"]


def test_a_rerun_reuses_everything(demo: Path) -> None:
    made = [*demo.rglob("*.tar"), *demo.rglob("*.ckpt"), *demo.rglob("part-*.parquet"), *demo.glob("**/predictions/*")]
    assert len(made) > 8
    before = {path: path.stat().st_mtime_ns for path in made}
    result = dactyl("demo", "--output", str(demo), *SIZES)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "reused" in result.stderr
    assert "used again" in result.stderr


@pytest.fixture
def damaged(demo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo / "test-filament", tmp_path / "damaged"))


def evaluate(demo: Path, test_set: Path, output: Path) -> subprocess.CompletedProcess[str]:
    checkpoint = ["--checkpoint", str(demo / "training" / "best.ckpt")]
    return dactyl("evaluate", *checkpoint, "--test_sets.set", str(test_set), "--output", str(output))


def test_a_half_written_shard(demo: Path, damaged: Path, tmp_path: Path) -> None:
    shard = next(damaged.glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    assert_one_line(evaluate(demo, damaged, tmp_path / "out"), 1, str(shard), "rerun")
    assert not (tmp_path / "out").exists()


def test_a_missing_shard(demo: Path, damaged: Path, tmp_path: Path) -> None:
    shard = next(damaged.glob("*.tar"))
    shard.unlink()
    assert_one_line(evaluate(demo, damaged, tmp_path / "out"), 1, str(shard), "missing")


def test_a_flipped_bit(demo: Path, damaged: Path, tmp_path: Path) -> None:
    shard = next(damaged.glob("*.tar"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    assert_one_line(evaluate(demo, damaged, tmp_path / "out"), 1, str(shard), "differs from the manifest")


def test_another_schema_version(demo: Path, damaged: Path, tmp_path: Path) -> None:
    manifest = json.loads((damaged / "manifest.json").read_text())
    (damaged / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    assert_one_line(evaluate(demo, damaged, tmp_path / "out"), 1, "manifest.json", "schema version 99")
    assert_one_line(dactyl("inspect", "--dataset", str(damaged)), 1, "manifest.json", "schema version 99")


def test_a_damaged_checkpoint(demo: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "half.ckpt"
    checkpoint.write_bytes((demo / "training" / "best.ckpt").read_bytes()[:5000])
    arguments = ["--test_sets.set", str(demo / "test-filament"), "--output", str(tmp_path / "out")]
    assert_one_line(dactyl("evaluate", "--checkpoint", str(checkpoint), *arguments), 1, "half.ckpt")


def test_wrong_paths(tmp_path: Path) -> None:
    absent, out = str(tmp_path / "absent"), str(tmp_path / "out")
    assert_one_line(dactyl("render", "--states", absent, "--output", out), 1, "absent", "check the path")
    assert_one_line(dactyl("inspect", "--dataset", absent), 1, "absent", "check the path")
    assert_one_line(dactyl("train", "--data.train", absent, "--output", out), 1, "absent")
    assert not (tmp_path / "out").exists()


def test_a_typing_error_in_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("rendrer: filament\n")
    arguments = ["--config", str(file), "--states", "states", "--output", str(tmp_path / "out")]
    assert_one_line(dactyl("render", *arguments), 2, "rendrer", "renderer")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("renderer", "environment", "expected"),
    [
        ("filament", {"VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}, "mesa-vulkan-drivers"),
        ("classic", {"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"}, "libegl1"),
    ],
)
def test_no_driver(demo: Path, tmp_path: Path, renderer: str, environment: dict[str, str], expected: str) -> None:
    arguments = ["--states", str(demo / "states-test"), "--output", str(tmp_path / "out"), "--count", "2"]
    result = from_the_shell("render", *arguments, "--renderer", renderer, **environment)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert expected in result.stderr.strip().splitlines()[-1]
    assert not list((tmp_path / "out").glob("shard-*"))
