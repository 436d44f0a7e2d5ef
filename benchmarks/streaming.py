"""Triplets per second that training reads: by sample number (map-style) against streamed shards.

The images are coarse noise, so their JPEGs are smaller than rendered ones, which favours neither. The page cache is
warm; both ways decode everything. Streaming also compares every shard with its hash, which a training by number does
once, before it. They take turns within one
run; on a busy machine the processor time of this process and the loading ones is the reliable figure.

    python -m benchmarks.streaming > benchmarks/results/streaming.txt
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.train_loop import Clock, by_number
from tests.datasets import RENDERER, make_sample, write_manifest
from train.batches import Batch
from train.streaming import StreamedTriplets
from vision.storage.layout import sample_key
from vision.storage.shards import write_shard

SIZE, SHARD = 200, 128


def make(folder: Path, shards: int) -> Path:
    """Make a set that repeats the same sample, each with its own label."""
    records = []
    for number in range(shards):
        samples = (
            {**make_sample(index, SIZE), "__key__": sample_key(index)}
            for index in range(number * SHARD, (number + 1) * SHARD)
        )
        records.append(write_shard(folder, number, samples, "benchmark", RENDERER))
    write_manifest(folder, records, SIZE)
    return folder


def streamed(folder: Path, size: int, batches: int, workers: int) -> Iterator[Batch]:
    triplets = StreamedTriplets(folder, 16, seed=0)
    return iter(triplets.batches(size, 0, batches, 0, 1, workers))


CONTENDERS = {"map-style": by_number, "streaming": streamed}


def seconds(name: str, folder: Path, size: int, batches: int, workers: int) -> tuple[float, float]:
    """Measure wall and processor time, from the start of the loading processes to their end."""
    clock = Clock()
    loader = CONTENDERS[name](folder, size, batches, workers)
    for _ in itertools.islice(loader, batches):
        pass
    wall, _ = clock.read()
    del loader  # ends the workers, whose time is counted only then
    return wall, clock.read()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=20, help=f"of {SHARD} triplets")
    parser.add_argument("--batch", type=int, default=64, help="triplets")
    parser.add_argument("--runs", type=int, default=3, help="in turns; the median is printed")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = make(Path(place) / "set", arguments.shards)
        batches = arguments.shards * SHARD // arguments.batch
        triplets = batches * arguments.batch
        print(
            f"{describe()}\n\n{triplets:,} triplets of {SIZE} x {SIZE} once, start included, median of {arguments.runs}"
        )
        print("\n| way | loading processes | triplets/s | per second of processor time |\n|---|---:|---:|---:|")
        for workers in arguments.workers:
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
            for _ in range(arguments.runs):
                for name in CONTENDERS:
                    times[name].append(seconds(name, folder, arguments.batch, batches, workers))
            for name, each in times.items():
                wall, processor = (statistics.median(column) for column in zip(*each, strict=True))
                print(f"| {name} | {workers} | {triplets / wall:,.0f} | {triplets / processor:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
