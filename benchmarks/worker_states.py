"""What do many states cost a render process? Memory and processor time of one, for few states and for many.

The states are made up. Each process makes the samples of as many shards as one makes before it is replaced, and draws
none of them.

    python -m benchmarks.worker_states
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe
from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import make_samples
from datagen.sim.complete import complete_scene
from datagen.sim.materials import Material
from datagen.sim.scene import compile_scene
from datagen.states.collect import StatesConfig
from datagen.states.drawn import DrawnStates, load_drawn_states
from datagen.states.files import REJECTIONS, write_manifest, write_part
from datagen.workers.pool import TASKS_PER_PROCESS, run
from vision.machine.progress import Advance
from vision.scene.scene import Scene
from vision.storage.schema import STATES

_SHARD = 128  # samples
_PART = 25_000  # states
_TIMES = 3


@dataclass(frozen=True)
class Use:
    """Task that makes one process's samples; its result is memory, MB, its own and all that is mapped, and time, s."""

    config: RenderConfig
    scene: Scene
    materials: tuple[Material, ...]
    states: DrawnStates

    def __call__(self, number: int, advance: Advance) -> tuple[float, float, float]:
        indices = range(TASKS_PER_PROCESS * _SHARD)
        for _ in make_samples(self.config, self.scene, self.states, self.materials, indices):
            pass
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        own, mapped = (
            sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1e3
            for kind in ("Anonymous:", "Rss:")
        )
        return own, mapped, time.process_time()


def make_up(folder: Path, scene: Scene, count: int) -> None:
    """Write ``count`` states with an upright object where it starts, and a hand that is open."""
    hand = scene.hand
    assert hand is not None
    records = []
    for part, first in enumerate(range(0, count, _PART)):
        rows = min(_PART, count - first)
        lengths = {"J": len(hand.joints), "F": len(hand.fingertips)}
        columns: dict[str, NDArray[Any]] = {
            key: np.random.default_rng(part).uniform(
                0, 0.1, (rows, *(lengths[size] if isinstance(size, str) else size for size in field.shape))
            )
            for key, field in STATES.items()
        }
        columns["episode"] = (first + np.arange(rows)) // 100
        columns["step"] = np.arange(rows) % 100
        columns["object_position"] = columns["object_position"] * 0.1 + scene.workspace.start
        for key in ("object_quaternion", "goal_quaternion"):
            columns[key] = np.tile([1.0, 0.0, 0.0, 0.0], (rows, 1))
        records.append(write_part(folder, part, columns, dict.fromkeys(REJECTIONS, 0), True, {}))
    write_manifest(folder, scene, StatesConfig(folder, count).identity(scene), records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 200_000], help="numbers of states")
    counts = parser.parse_args().counts
    scene = complete_scene("block")
    materials = compile_scene(scene, "render", mesh_fraction=0.1).materials
    print(describe())
    print(f"\n{TASKS_PER_PROCESS * _SHARD:,} samples by one process; the least of {_TIMES}\n")
    print("| states | own memory, MB | with what is shared, MB | processor time, s | read once, s |")
    print("|---:|---:|---:|---:|---:|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            make_up(Path(folder), scene, count)
            config = RenderConfig(Path(folder), Path(folder) / "set")
            began = time.process_time()
            states = load_drawn_states(config.states).shared()
            read = time.process_time() - began
            task = Use(config, scene, materials, states)
            used = [result for _, result in run(task, range(_TIMES), 1, lambda _: None, tasks_per_process=1)]
        own, mapped, seconds = np.min(used, axis=0)
        print(f"| {count:,} | {own:.0f} | {mapped:.0f} | {seconds:.2f} | {read:.2f} |", flush=True)


if __name__ == "__main__":
    main()
