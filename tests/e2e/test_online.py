"""Training on triplets that are rendered meanwhile, through the real command line, tiny."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SMALL = [
    *("--model.backbone.name", "pyramid", "--model.backbone.width", "8", "--model.backbone.blocks", "1"),
    *("--trainer.accelerator", "cpu", "--threads", "1", "--data.batch_size", "4", "--trainer.log_every_n_steps", "1"),
]


def dactyl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dactyl", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States, and a stored set of eight triplets of them."""
    folder = tmp_path_factory.mktemp("sources")
    states = ["--count", "40", "--worlds", "8", "--output", str(folder / "states")]
    render = ["--states", str(folder / "states"), "--output", str(folder / "stored"), "--count", "8", "--workers", "1"]
    for command in (["states", *states], ["render", *render, "--render.image_size", "48"]):
        result = dactyl(*command)
        assert result.returncode == 0, result.stderr
    return folder


def test_half_of_each_batch_is_rendered_meanwhile(sources: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    online = ["--data.online.states", str(sources / "states"), "--data.online.share", "0.5", "--data.online.chunk", "2"]
    online += ["--data.online.workers", "1", "--data.online.render.image_size", "48"]
    stored = ["--data.train", str(sources / "stored"), "--data.val_fraction", "0.3"]
    result = dactyl("train", *stored, *online, *SMALL, "--output", str(run), "--trainer.max_steps", "2")
    assert result.returncode == 0, result.stderr
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    assert len([row for row in rows if row.get("val/rotation_mean_deg")]) == 1
    rates = [row for row in rows if row.get("rate/triplets_per_second")]
    assert len(rates) == 2
    assert all(0 <= float(row["rate/waiting_share"]) <= 1 for row in rates)
    assert float(rates[0]["rate/waiting_share"]) > 0.5  # a network this small waits for its pictures
    assert list(run.glob("tensorboard/**/events*"))
    assert _left_behind(str(sources)) == []


def _left_behind(mark: str) -> list[str]:
    """Processes whose parent is gone and whose command names ``mark``, or that render for nobody."""
    deadline = time.monotonic() + 5
    while True:
        found = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, mark)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _names(path: Path, mark: str) -> bool:
    try:
        return mark.encode() in path.read_bytes() and path.parent.name != str(os.getpid())
    except OSError:
        return False
