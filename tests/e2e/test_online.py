"""Training on triplets that are rendered meanwhile, through the real command line, tiny."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from datagen.states.collect import StatesConfig, collect
from tests.synthetic import make_dataset

MARK = "DACTYL_TEST_OF_ONLINE_TRAINING"


def test_half_of_each_batch_is_rendered_meanwhile(tmp_path: Path) -> None:
    stored = make_dataset(tmp_path / "stored", 8, image_size=48, samples_per_episode=2)
    collect(StatesConfig(tmp_path / "states", count=20, worlds=4, threads=1))
    run = tmp_path / "run"
    online = ["--data.online.states", str(tmp_path / "states"), "--data.online.fraction", "0.5"]
    online += ["--data.online.chunk", "2", "--data.online.workers", "1", "--data.online.render.image_size", "48"]
    small = ["--model.backbone.name", "pyramid", "--model.backbone.width", "8", "--model.backbone.blocks", "1"]
    small += ["--data.batch_size", "4", "--trainer.max_steps", "2", "--trainer.log_every_n_steps", "1"]
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dactyl", "train", "--data.train", str(stored), "--data.val_fraction", "0.3"),
            *(*online, *small, "--trainer.accelerator", "cpu", "--threads", "1", "--output", str(run)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, MARK: str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    assert len([row for row in rows if row.get("val/rotation_mean_deg")]) == 1
    rates = [row for row in rows if row.get("rate/triplets_per_second")]
    assert len(rates) == 2
    assert float(rates[0]["rate/waiting_share"]) > 0.5  # a network this small waits for its pictures
    (events,) = run.glob("tensorboard/**/events*")
    assert b"\x89PNG" in events.read_bytes()  # of the held-out triplets
    assert not alive(str(tmp_path))


def alive(value: str, timeout_s: float = 5.0) -> list[str]:
    """Processes of the command above that are still there after that many seconds."""
    deadline = time.monotonic() + timeout_s
    while (found := [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if _marked(path, value)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    return found


def _marked(path: Path, value: str) -> bool:
    try:
        return f"{MARK}={value}".encode() in path.read_bytes()
    except OSError:
        return False
