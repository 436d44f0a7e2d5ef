"""Measure a GPU node in one command of at most nine minutes.

Measures: doctor; every renderer's rate with 1, 2, 4 and 8 processes; states over cores; training of ``paper.yaml`` and
``best.yaml`` (float32, bfloat16, ``torch.compile``) with its memory; rendering a dataset, the accuracy after two
minutes of training on it, the rate of evaluation, and how long online training waits. Each part runs in its own
process: one that crashes, hangs or takes too long loses only its own figures. Runs from the source tree, without
installation.

    python -m benchmarks.gpu --output runs/gpu           # leaves runs/gpu/gpu.json, and prints the table
    python -m benchmarks.gpu --tiny --output runs/tiny   # all of it, small, without a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json
from vision.machine.processes import die_with

ROOT = Path(__file__).parents[2]
LIMIT_S, TINY_LIMIT_S = 540.0, 1_500.0  # a machine without a GPU may be slow and busy
_RESERVE_S = 6.0  # for the table
_GRACE = 1.3  # multiple of its planned seconds after which a part is ended


@dataclass(frozen=True)
class BenchmarkPart:
    """A module of this package that measures, and the seconds it should take on a GPU node, including its start."""

    module: str
    seconds: float


# The order matters: expensive parts come last, after the parts that they need.
PARTS = (
    BenchmarkPart("doctor", 40.0),
    BenchmarkPart("training", 95.0),
    BenchmarkPart("states", 45.0),
    BenchmarkPart("renderers", 110.0),
    BenchmarkPart("learning", 250.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="everything small, for a machine without a GPU")
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"), help="folder for gpu.json and what is made")
    parser.add_argument("--parts", nargs="+", choices=[part.module for part in PARTS], help="all when left out")
    arguments = parser.parse_args()
    began = time.monotonic()
    folder = arguments.output / "work"
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier run would falsify the figures
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    print(f"{describe()}\n\n| part | what | value |\n|---|---|---:|", flush=True)
    for part in PARTS:
        if arguments.parts and part.module not in arguments.parts:
            continue
        left = (TINY_LIMIT_S if arguments.tiny else LIMIT_S) - _RESERVE_S - (time.monotonic() - began)
        for row in measure(part, left, arguments.tiny, folder):
            rows.append(row)
            print(f"| {row['part']} | {row['what']} | {formatted(row)} |", flush=True)
    seconds = time.monotonic() - began
    print(f"\n{seconds:.0f} s in all", flush=True)
    result = {"machine": describe(), "tiny": arguments.tiny, "seconds": seconds, "rows": rows}
    atomic_write(arguments.output / "gpu.json", canonical_json(result))
    shutil.rmtree(folder)


def measure(part: BenchmarkPart, left_s: float, tiny: bool, folder: Path) -> list[dict[str, Any]]:
    """Run a part and return its rows; if it ended early, those so far and a last one that states why."""
    seconds = min(part.seconds, left_s / _GRACE)
    if seconds < 5.0:
        return [{"part": part.module, "what": "all", "value": None, "unit": "", "error": "no time was left"}]
    command = [sys.executable, "-m", f"benchmarks.gpu.{part.module}", "--seconds", str(seconds)]
    command += ["--folder", str(folder), *(["--tiny"] if tiny else [])]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    parent = os.getpid()
    log = folder / f"{part.module}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # so that its child processes end with it
            preexec_fn=lambda: die_with(parent),
        )
        try:
            said, _ = process.communicate(timeout=max(5.0, left_s if tiny else seconds * _GRACE))
            status = "" if process.returncode == 0 else f"ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            status = f"took longer than {seconds * _GRACE:.0f} s"
    rows = [{"part": part.module, **json.loads(line)} for line in said.splitlines() if line.startswith("{")]
    if status:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no word"])[-1]
        rows.append({"part": part.module, "what": "all", "value": None, "unit": "", "error": f"{status}: {last}"[:300]})
    return rows


def formatted(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return str(row["error"])
    value = row["value"]
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {row['unit']}".strip()


if __name__ == "__main__":
    main()
