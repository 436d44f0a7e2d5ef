"""dactyl render under signals: it stops within seconds, leaves nothing half done, and the same command finishes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from datagen.states import StatesConfig, collect

COUNT, SHARD = 12, 2


def start(states: Path, output: Path) -> subprocess.Popen[str]:
    options = f"--count {COUNT} --shard_size {SHARD} --renderer classic --render.image_size 64 --workers 2".split()
    command = [sys.executable, "-m", "dactyl", "render", "--states", str(states), "--output", str(output), *options]
    # A session of its own, as a terminal's job has: the signal goes to all its processes.
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def alive(group: int) -> list[str]:
    """Processes of a group that are no zombies, as the kernel tells."""
    fields = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields.append(path.read_text().rsplit(")", 1)[1].split())
    return [state for state, _, its_group, *_ in fields if int(its_group) == group and state != "Z"]


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def test_stopped_and_resumed(tmp_path: Path) -> None:
    collect(StatesConfig(tmp_path / "states", count=5, seed=3, worlds=4, threads=1))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(tmp_path / "states", whole).wait(120) == 0
    for number, (sent, status, said) in enumerate(
        [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
    ):
        process = start(tmp_path / "states", broken)
        deadline = time.monotonic() + 120
        while len(list(broken.glob("*.json"))) < 2 + number and process.poll() is None:
            assert time.monotonic() < deadline, "no shard was made"
            time.sleep(0.01)
        sent_at = time.monotonic()
        os.killpg(process.pid, sent)
        _, error = process.communicate(timeout=30)
        assert time.monotonic() - sent_at < 5
        assert process.returncode == status
        assert error.splitlines()[-1].endswith(f"{said}; the same command resumes")
        assert "Traceback" not in error
        assert not (broken / "manifest.json").exists()
        while alive(process.pid):
            assert time.monotonic() - sent_at < 5, "a process is left"
            time.sleep(0.05)
    assert start(tmp_path / "states", broken).wait(120) == 0
    assert tars(broken) == tars(whole)
    assert len(tars(whole)) == COUNT // SHARD
    assert not list(broken.glob(".tmp-*"))
