"""States that ``dactyl states`` keeps per second, from start to end of the simulation, on 1, 2, 4, ... cores, with its
own choice of processes and threads."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from benchmarks.configurations import states_config
from benchmarks.gpu.rows import Plan, emit, run_part
from datagen.states.collect import collect

_KEPT = 800  # states for each core, about eight seconds


def main(plan: Plan) -> None:
    sparse = states_config("sparse")
    base = replace(sparse, worlds=2) if plan.tiny else sparse
    cores = sorted(os.sched_getaffinity(0))
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < len(cores)] + [len(cores)]
    single = None
    for count in counts:
        folder = plan.folder / f"states-on-{count}"
        config = replace(base, output=folder, count=(2 if plan.tiny else _KEPT) * count)
        os.sched_setaffinity(0, cores[:count])
        began = time.perf_counter()
        collect(config)
        rate = config.count / (time.perf_counter() - began)
        single = single or rate
        emit(f"{count} core{'s' * (count > 1)}", rate, "states/s", of_linear=rate / single / count)


if __name__ == "__main__":
    run_part(main)
