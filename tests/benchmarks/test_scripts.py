"""Benchmarks of training loops run: they reach into the loops, and would break in silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.gpu.__main__ import ROOT


@pytest.mark.parametrize(
    "command",
    [
        ("benchmarks.train_loop", "--batch", "4", "--steps", "1", "--runs", "1"),
        ("benchmarks.learner", "--steps", "1", "--runs", "1"),
        ("benchmarks.worker_states", "--counts", "200"),
    ],
    ids=lambda command: command[0],
)
def test_a_small_run_prints_figures(command: tuple[str, ...], pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--soak"):
        pytest.skip("takes a minute: make soak")
    result = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "nan" not in result.stdout
