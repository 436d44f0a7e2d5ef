"""Does rendering slow down or grow? Rate and memory of ``dactyl render`` itself over many samples.

The states are those of random exploration; everything else is as in real use: a new graphics context for every shard, a
new process after some shards, a process for every core.

    python -m benchmarks.render_flat --count 20000 > benchmarks/results/render_flat.txt
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import describe

_LOOK_S = 0.5
_STATES = 1_000


def family(parent: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield parent
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from family(int(child))


def memory_mb(process: int) -> float:
    """Return the memory of a process and its descendants: their private part and their fraction of shared memory."""
    rollups = (Path(f"/proc/{number}/smaps_rollup").read_text() for number in family(process))
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1e3


def processor_s(process: int) -> float:
    """Return the processor time of a process, its threads, its children, and their children that have ended."""
    total = 0.0
    for number in family(process):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])  # own and waited-for children's, user and system
    return total / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1_000, help="samples between two lines")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--config", type=Path, default=Path("configs/render/filament-fast.yaml"))
    parser.add_argument("--shard_size", type=int, default=125)
    arguments = parser.parse_args()
    print(describe())
    print(f"\n{arguments.count:,} triplets, {arguments.config}, {arguments.workers} workers\n")
    with tempfile.TemporaryDirectory() as folder:
        states, output = Path(folder) / "states", Path(folder) / "set"
        dactyl = [sys.executable, "-m", "dactyl"]
        collect = ["states", "--policy", "random-exploration", "--count", str(_STATES), "--output", str(states)]
        subprocess.run([*dactyl, *collect], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        options = {key: str(getattr(arguments, key)) for key in ("config", "count", "workers", "shard_size")}
        options |= {"states": str(states), "output": str(output)}
        command = ["render", *(part for key, value in options.items() for part in (f"--{key}", value))]
        print("| samples | triplets/s | triplets per second of processor time | memory, MB |\n|---:|---:|---:|---:|")
        start = time.monotonic()
        with subprocess.Popen([*dactyl, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            watch(process, output, arguments)
        rate = arguments.count / (time.monotonic() - start)
        print(f"\nin all {rate:.1f} triplets/s, from the command's start to its end")
    if process.returncode:
        sys.exit(f"dactyl render ended with status {process.returncode}")


def watch(process: subprocess.Popen[bytes], output: Path, arguments: argparse.Namespace) -> None:
    """Print a line after every ``--every`` samples: rates and largest memory since the line before."""
    shards_a_line = max(1, arguments.every // arguments.shard_size)
    line, most, used = 1, 0.0, 0.0
    since = time.monotonic(), 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError, ValueError):  # a worker may end while it is inspected
            most, used = max(most, memory_mb(process.pid)), max(used, processor_s(process.pid))
        shards = len(list(output.glob("shard-*.json")))
        if shards >= line * shards_a_line or shards * arguments.shard_size >= arguments.count:
            samples = min(shards * arguments.shard_size, arguments.count)
            done = shards_a_line * arguments.shard_size
            wall, processor = time.monotonic() - since[0], used - since[1]
            print(f"| {samples:,} | {done / wall:.1f} | {done / processor:.1f} | {most:.0f} |", flush=True)
            line, most, since = line + 1, 0.0, (time.monotonic(), used)
            if samples >= arguments.count:
                break
        time.sleep(_LOOK_S)
    process.wait()


if __name__ == "__main__":
    main()
