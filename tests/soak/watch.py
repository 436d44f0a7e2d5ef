"""Run a command for so long, look at all its processes every few seconds, and judge whether anything grows or slows.

    python -m tests.soak.watch --out runs/soak/render --shards 16 -- dactyl render ... --output runs/soak/render/out
    python -m tests.soak.watch --out runs/soak/train -- dactyl train ... --output runs/soak/train/out

Leaves ``watch.csv`` (a row every ten seconds) and ``verdict.json`` in ``--out``; exit status 1 unless all is flat.
The first tenth of the time is left out: caches fill. The rest must show

* memory of the first process with a slope that comes to less than 5 % over the whole run, and of all processes with a
  peak in the last third at most 10 % above the first third's: workers grow and are replaced. What counts is anonymous
  memory, once where processes share it; that of files (libraries) depends on who else has them open;
* work done per second of processor time, last third against first third, within 10 %: on a shared machine the clock
  on the wall measures the neighbours;
* no more processes and open files in the last third than in the first, and none left five seconds after its end.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

COLUMNS = ("time_s", "load", "processes", "threads", "files", "first_mb", "memory_mb", "cpu_s", "done")
_TICKS = os.sysconf("SC_CLK_TCK")


def group(leader: int) -> dict[int, list[str]]:
    """Fields of ``/proc/<pid>/stat`` after the name, of every live process in a process group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == leader and fields[0] != "Z":
                found[int(path.parent.name)] = fields
    return found


def memory_kb(pid: int) -> int:
    """Anonymous memory, proportionally where it is shared."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def done(output: Path, samples_per_shard: int) -> int:
    """Samples in committed shards, or batches that a training has logged."""
    if samples_per_shard:
        return samples_per_shard * len(list(output.glob("shard-*.json")))
    steps = [0]
    for log in output.glob("csv/*/metrics.csv"):
        with contextlib.suppress(ValueError, KeyError), log.open() as file:
            steps += [int(row["step"]) for row in csv.DictReader(file)]
    return max(steps)


def look(leader: int) -> dict[str, float]:
    """What the processes of a group hold and have used."""
    seen = {"processes": 0.0, "threads": 0.0, "files": 0.0, "first_mb": 0.0, "memory_mb": 0.0, "cpu_s": 0.0}
    for pid, fields in group(leader).items():
        with contextlib.suppress(OSError):
            seen["files"] += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            memory = memory_kb(pid) / 1024
            seen["memory_mb"] += memory
            seen["first_mb"] += memory if pid == leader else 0.0
            seen["threads"] += int(fields[17])
            # A worker that has ended lives on in its parent's account of children.
            used = fields[11:15] if pid == leader else fields[11:13]
            seen["cpu_s"] += sum(map(int, used)) / _TICKS
            seen["processes"] += 1
    return seen


def watch(command: list[str], output: Path, table: Path, seconds: float, every_s: float, shard: int) -> int:
    """Run ``command`` for so many seconds, end it, and count what is left of it five seconds later."""
    process = subprocess.Popen(command, start_new_session=True, stderr=table.with_name("log.txt").open("wb"))
    start = time.monotonic()
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        while time.monotonic() - start < seconds and process.poll() is None:
            time.sleep(every_s)
            now = {"time_s": time.monotonic() - start, "load": os.getloadavg()[0], "done": done(output, shard)}
            writer.writerow({key: f"{value:.1f}" for key, value in (now | look(process.pid)).items()})
            file.flush()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    time.sleep(5)
    left = len(group(process.pid))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode not in (0, 143):
        sys.exit(f"the command failed with status {process.returncode}; see {table.with_name('log.txt')}")
    return left


def verdict(table: Path) -> dict[str, float | bool | str]:
    """What a table shows, and whether that is flat."""
    with table.open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    columns = {key: np.array([row[key] for row in rows[len(rows) // 10 :]]) for key in COLUMNS}
    # A worker that has ended is in no account until its parent has waited for it; processor time never falls.
    columns["cpu_s"] = np.maximum.accumulate(columns["cpu_s"])
    third = max(1, len(columns["time_s"]) // 3)
    slope = np.polyfit(columns["time_s"], columns["first_mb"], 1)[0]
    span = columns["time_s"][-1] - columns["time_s"][0]

    def rate(part: slice) -> float:
        return float(np.ptp(columns["done"][part]) / max(np.ptp(columns["cpu_s"][part]), 1e-9))

    first, last = slice(None, third), slice(-third, None)
    found = {
        "minutes": rows[-1]["time_s"] / 60,
        "load": float(columns["load"].mean()),
        "done": rows[-1]["done"],
        "first_mb": float(columns["first_mb"].mean()),
        "first_drift": float(slope * span / columns["first_mb"].mean()),
        "peak_mb": float(columns["memory_mb"].max()),
        "peak_change": float(columns["memory_mb"][last].max() / columns["memory_mb"][first].max() - 1),
        "rate_per_cpu_s": rate(slice(None)),
        "rate_change": rate(last) / rate(first) - 1,
        **{f"{key}_{name}": float(columns[key][part].max()) for key in ("processes", "threads", "files")
           for name, part in (("first", first), ("last", last))},
    }  # fmt: skip
    grows = [key for key in ("processes", "files") if found[f"{key}_last"] > found[f"{key}_first"]]
    even = found["first_drift"] < 0.05 and found["peak_change"] < 0.10 and found["rate_change"] > -0.10
    flat = even and not grows
    return {key: round(value, 3) for key, value in found.items()} | {"flat": flat, "grows": ", ".join(grows)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=10, help="seconds between looks")
    parser.add_argument("--out", type=Path, required=True, help="folder for watch.csv and verdict.json")
    parser.add_argument("--shards", type=int, default=0, help="samples in a shard, for dactyl render")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command, writing to <out>/out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table, command = options.out / "watch.csv", [part for part in options.command if part != "--"]
    left = watch(command, options.out / "out", table, 60 * options.minutes, options.every, options.shards)
    found = verdict(table) | {"left_after_5_s": left}
    (options.out / "verdict.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if found["flat"] and not left else 1


if __name__ == "__main__":
    sys.exit(main())
