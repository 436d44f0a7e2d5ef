"""What opening a dataset costs a sample: where its members lie is read from the shards' records, or walked in the tars.

    python -m benchmarks.opening [--samples 20480] [--runs 5]

Sample size does not matter to either way, so the set is one small sample over and over. Both ways in turns, in one
run, on a warm page cache; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from tests.datasets import RENDERER, make_sample, write_manifest
from vision.storage.datasets import TripletDataset
from vision.storage.layout import sample_key
from vision.storage.shards import write_shard

SHARD = 128


def make(folder: Path, samples: int) -> Path:
    members = make_sample(0)
    records = [
        write_shard(
            folder,
            number,
            ({**members, "__key__": sample_key(index)} for index in range(number * SHARD, (number + 1) * SHARD)),
            "benchmark",
            RENDERER,
        )
        for number in range(samples // SHARD)
    ]
    write_manifest(folder, records)
    return folder


def opening_s(folder: Path) -> float:
    start = time.perf_counter()
    TripletDataset(folder)
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
            path.write_text(
                json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "layout"})
            )
        samples = len(TripletDataset(recorded))
        times: dict[str, list[float]] = {"walked": [], "recorded": []}
        for _ in range(arguments.runs):
            times["walked"].append(opening_s(walked))
            times["recorded"].append(opening_s(recorded))
    medians = {way: statistics.median(seconds) for way, seconds in times.items()}
    print(describe())
    print(f"\nopening {samples:,} samples in {samples // SHARD} shards, median of {arguments.runs} runs in turns\n")
    for way, seconds in medians.items():
        print(f"{way:9} {seconds:7.3f} s  {seconds / samples * 1e6:6.2f} us a sample")
    print(f"ratio     {medians['walked'] / medians['recorded']:7.1f}")


if __name__ == "__main__":
    main()
