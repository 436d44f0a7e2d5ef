"""The SLURM example with stand-ins for SLURM's commands: asked for again after 143, and only then."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from train.fit import rank
from vision.errors import DactylError

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm" / "train.sbatch"


@pytest.mark.parametrize("status", [0, 1, 143])
def test_a_training_that_made_way_is_queued_again(status: int, tmp_path: Path) -> None:
    for name, body in {
        "srun": f'echo "$@" > {tmp_path}/run; exit {status}',
        "scontrol": f'echo "$@" > {tmp_path}/asked',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "17", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "8"}
    environment = {**os.environ, **job, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", str(SCRIPT), "--output", "a b"], env=environment, check=False)
    assert done.returncode == status
    assert "train --output a b --trainer.num_nodes 2 --trainer.devices 8" in (tmp_path / "run").read_text()
    asked = tmp_path / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 17\n" if status == 143 else "")


def test_a_node_rank_that_is_no_number_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "abc")
    with pytest.raises(DactylError, match="NODE_RANK: expected this node's number, got 'abc'"):
        rank()
