"""Triplets per second of every renderer in 1, 2, 4 and 8 parallel processes.

All processes start once; the first starts alone, because it may compile kernels that the others then reuse. They render
for some seconds in each round, in the first round one of them, in the last all.
"""

from __future__ import annotations

import importlib.util
import itertools
import multiprocessing
import multiprocessing.synchronize
import queue
import time
from typing import Any

from benchmarks.configurations import render_config
from benchmarks.gpu.rows import Plan, emit, emit_error, run_part
from benchmarks.samples import make_samples
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.warp_options import WarpOptions
from datagen.sim.complete import complete_scene
from vision.errors import DactylError

_TIMEOUT_S = 90.0  # for a process to start, or to render for some seconds
CONTENDERS = {
    "filament, filament-fast.yaml": ("filament", render_config("filament-fast").render),
    "filament, filament.yaml": ("filament", RenderOptions()),
    "classic": ("classic", RenderOptions()),
}
if importlib.util.find_spec("mujoco_warp"):  # optional extra
    CONTENDERS |= {
        "warp, 4 rays a pixel": ("warp", RenderOptions(shadow_lights=1)),
        "warp, 1 ray a pixel": ("warp", RenderOptions(shadow_lights=1, warp=WarpOptions(rays=1))),
    }


def main(plan: Plan) -> None:
    processes, seconds = ([1, 2], 0.5) if plan.tiny else ([1, 2, 4, 8], 3.0)
    for label, (name, options) in CONTENDERS.items():
        small = RenderOptions(**{**vars(options), "image_size": 32}) if plan.tiny else options
        try:
            for number, rate in rates(name, small, processes, seconds):
                emit(f"{label}, {number} process{'es' * (number > 1)}", rate, "triplets/s")
        except (DactylError, TimeoutError) as error:
            emit_error(label, "triplets/s", error)


def rates(name: str, options: RenderOptions, processes: list[int], seconds: float) -> list[tuple[int, float]]:
    """Measure triplets per second of each number of processes together.

    Raises:
        DactylError: the renderer cannot be used here.
        TimeoutError: a process did not start, or died.
    """
    context = multiprocessing.get_context("spawn")
    count = processes[-1]
    barrier, results = context.Barrier(count), context.Queue()
    workers = [
        context.Process(target=draw, args=(rank, name, options, processes, seconds, barrier, results), daemon=True)
        for rank in range(count)
    ]
    try:
        workers[0].start()
        receive(results, _TIMEOUT_S)
        for worker in workers[1:]:
            worker.start()
        for _ in workers[1:]:
            receive(results, _TIMEOUT_S)
        return [(active, sum(receive(results, _TIMEOUT_S) for _ in range(active))) for active in processes]
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.kill()
                worker.join()


def receive(results: multiprocessing.Queue[Any], timeout: float) -> float:
    """Return the number that a process sends, or raise the error that it sends."""
    try:
        said = results.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"a render process said nothing for {timeout:g} s") from None
    if isinstance(said, Exception):
        raise said
    return float(said)


def draw(
    rank: int,
    name: str,
    options: RenderOptions,
    processes: list[int],
    seconds: float,
    barrier: multiprocessing.synchronize.Barrier,
    results: multiprocessing.Queue[Any],
) -> None:
    """Run in a process: send a number when ready, then the rate of each round in which it takes part."""
    try:
        scene = rendered_scene(complete_scene("block"), options)
        with create_renderer(name, scene, options) as renderer:
            samples = make_samples(scene, renderer.materials, 16)
            endless = itertools.cycle(samples)
            renderer.render([next(endless)] * renderer.batch_size)
            results.put(0.0)
            for active in processes:
                barrier.wait()
                if rank < active:
                    began, drawn = time.perf_counter(), 0
                    while (spent := time.perf_counter() - began) < seconds:
                        drawn += len(renderer.render(list(itertools.islice(endless, renderer.batch_size))))
                    results.put(drawn / spent)
    except DactylError as error:
        results.put(error)


if __name__ == "__main__":
    run_part(main)
