"""Cost per sample of opening a dataset: places of members from the shards' records, or by scanning the tars.

Also the cost of comparing every shard with its hash before its first sample is returned, next to reading all samples.

    python -m benchmarks.opening [--samples 20480] [--runs 5]

Sample size does not affect opening, so the set repeats one sample with images of 200 x 200. All ways take turns in one
run, on a warm page cache; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from tests.datasets import RENDERER, make_sample, write_manifest
from vision.io.files import sha256
from vision.storage.datasets import TripletDataset
from vision.storage.layout import sample_key
from vision.storage.shards import write_shard

SHARD = 128
IMAGE_SIZE = 200


def make(folder: Path, samples: int) -> Path:
    members = make_sample(0, IMAGE_SIZE)
    records = [
        write_shard(
            folder,
            number,
            (numbered(members, index) for index in range(number * SHARD, (number + 1) * SHARD)),
            "benchmark",
            RENDERER,
        )
        for number in range(samples // SHARD)
    ]
    write_manifest(folder, records, IMAGE_SIZE)
    return folder


def numbered(members: dict[str, Any], index: int) -> dict[str, Any]:
    label = members["label.json"].replace(b'"index": 0', b'"index": %d' % index, 1)
    return {**members, "__key__": sample_key(index), "label.json": label}


def opening_s(folder: Path) -> float:
    start = time.perf_counter()
    TripletDataset(folder)
    return time.perf_counter() - start


def reading_s(dataset: TripletDataset) -> float:
    """Measure reading every sample once, with decoded images."""
    start = time.perf_counter()
    for number in range(len(dataset)):
        dataset[number]
    return time.perf_counter() - start


def hashing_s(dataset: TripletDataset) -> float:
    start = time.perf_counter()
    for shard in dataset.shards:
        sha256(dataset.folder / shard.name)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_480, help="rounded down to whole shards of 128")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        recorded = make(Path(place) / "recorded", arguments.samples)
        walked = make(Path(place) / "walked", arguments.samples)
        for path in walked.glob("shard-*.json"):
            path.unlink()
        samples = len(TripletDataset(recorded))
        times: dict[str, list[float]] = {"walked": [], "recorded": []}
        dataset = TripletDataset(recorded, verify=False)
        megabytes = sum(shard.bytes for shard in dataset.shards) / 1e6
        reading: dict[str, list[float]] = {"read": [], "hashed": []}
        for _ in range(arguments.runs):
            times["walked"].append(opening_s(walked))
            times["recorded"].append(opening_s(recorded))
            reading["read"].append(reading_s(dataset))
            reading["hashed"].append(hashing_s(dataset))
    medians = {way: statistics.median(seconds) for way, seconds in times.items()}
    print(describe())
    print(f"\nopening {samples:,} samples in {samples // SHARD} shards, median of {arguments.runs} runs in turns\n")
    for way, seconds in medians.items():
        print(f"{way:9} {seconds:7.3f} s  {seconds / samples * 1e6:6.2f} us a sample")
    print(f"ratio     {medians['walked'] / medians['recorded']:7.1f}\n")
    read, hashed = (statistics.median(reading[way]) for way in ("read", "hashed"))
    print(f"read once {read:7.3f} s  {read / samples * 1e6:6.0f} us a sample, pictures decoded")
    print(f"hashed    {hashed:7.3f} s  {hashed / samples * 1e6:6.0f} us a sample, {megabytes / hashed:,.0f} MB/s")
    print(f"share     {100 * hashed / read:7.1f} % of reading every sample once")


if __name__ == "__main__":
    main()
