"""Triplets per second of the protocol between Python and a Unity player, without any rendering.

The player is the tests' stand-in, with ready images (200x200, three cameras). Measured are the request with a scene's
values, the reply with its pixels, and everything between; a real player does its side of this in C#. Python and the
player take turns, so their processor times add up; they do not depend on other processes' load.

    python -m benchmarks.unity_protocol > benchmarks/results/unity_protocol.txt
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from datagen.unity import records, wire
from datagen.unity.unity_player import UnityPlayer
from tests.unity.batches import random_batch, small_pack

PACK = small_pack().encode()
SIZE, CAMERAS = 200, 3
FORMS = {"raw": records.Form.RGB, "png": records.Form.OBSERVATIONS}


def processor_time(process: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    player: UnityPlayer, process: int, form: records.Form, samples: int, triplets: int, runs: int
) -> Iterator[tuple[float, float, float]]:
    """Yield for each run: triplets per second, and milliseconds of processor time per triplet in Python and player."""
    scene = wire.content_hash(PACK)
    # As many records as in the block's real scene.
    values = random_batch(
        np.random.default_rng(0), samples, bodies=25, materials=36, lights=6, sizes=((SIZE, SIZE),) * CAMERAS, form=form
    )
    for _ in range(runs):
        before = time.perf_counter(), time.process_time(), processor_time(process)
        for _ in range(triplets // samples):
            assert player.draw(values, scene).shape == values.image_shape
        after = time.perf_counter(), time.process_time(), processor_time(process)
        wall, python, stand_in = (b - a for a, b in zip(before, after, strict=True))
        yield triplets / wall, 1000 * python / triplets, 1000 * stand_in / triplets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 8, 32], help="in one message")
    parser.add_argument("--triplets", type=int, default=256, help="of each run")
    parser.add_argument("--runs", type=int, default=5, help="the median is printed; one more run warms up")
    arguments = parser.parse_args()
    print(describe())
    print(f"\nprotocol only, {CAMERAS} pictures of {SIZE}x{SIZE}, median (best) of {arguments.runs} runs\n")
    print("| reply | samples in a message | triplets/s | (best) | ms of processor: Python | player |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        executable = Path(folder) / "player"
        executable.write_text(
            f"#!/bin/sh\ncd {shlex.quote(str(Path.cwd()))}\n"
            f'exec {shlex.quote(sys.executable)} -m tests.unity.standin --content ready "$@"\n'
        )
        executable.chmod(0o755)
        for name, form in FORMS.items():
            shape = f"{max(arguments.samples)}:" + ",".join([f"{SIZE}x{SIZE}"] * CAMERAS)
            options = ("--observations", shape) if form == records.Form.OBSERVATIONS else ()
            player = UnityPlayer(executable, options, log=Path(folder) / "log", start_timeout_s=60, reply_timeout_s=60)
            process = int(player.ask(wire.Kind.DESCRIBE).text.rpartition("process: ")[2])
            try:
                player.load(PACK)
                for samples in arguments.samples:
                    triplets = arguments.triplets if form == records.Form.RGB else arguments.triplets // 4
                    _warm_up, *runs = measure(player, process, form, samples, triplets, arguments.runs + 1)
                    rates, python, stand_in = zip(*runs, strict=True)
                    print(
                        f"| {name} | {samples} | {statistics.median(rates):,.0f} | {max(rates):,.0f} "
                        f"| {statistics.median(python):.2f} | {statistics.median(stand_in):.2f} |",
                        flush=True,
                    )
            finally:
                player.close()


if __name__ == "__main__":
    main()
