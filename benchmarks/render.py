"""Triplets per second of each renderer, against MuJoCo's stock ``mujoco.Renderer`` at its defaults in the same run.

All draw the same randomised samples (200x200, three cameras, shadows of four to six lights), in turns, so that they
meet the same load of the machine. Triplets per second of processor time do not depend on other processes' load.

    python -m benchmarks.render > benchmarks/results/render.txt
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from datagen.render.drivers import choose_opengl

choose_opengl()  # before MuJoCo is imported: its Renderer would otherwise look for a screen

import mujoco  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.machine import describe  # noqa: E402
from datagen.appearance import AppearanceConfig, draw_appearance  # noqa: E402
from datagen.render import create_renderer  # noqa: E402
from datagen.render.base import RenderOptions, Sample  # noqa: E402
from datagen.render.stage import Stage  # noqa: E402
from datagen.sim.hand import CUPPED_POSE  # noqa: E402
from datagen.variation import generator  # noqa: E402
from vision.cameras import DACTYL_RIG  # noqa: E402

OURS = RenderOptions()
PLAIN = RenderOptions(mesh_fraction=1.0, shadow_map_size=2048, ambient_occlusion=True)
RENDERERS = {
    "filament": ("filament", OURS),
    "filament, 100x100": ("filament", RenderOptions(image_size=100)),
    "filament, no shadows": ("filament", RenderOptions(shadows=False)),
    "filament, full meshes and its own defaults": ("filament", PLAIN),
    "classic": ("classic", OURS),
    "classic, no shadows": ("classic", RenderOptions(shadows=False)),
}


class StockRenderer:
    """``mujoco.Renderer`` as its documentation uses it, on the full meshes."""

    def __init__(self) -> None:
        self.stage = Stage("block", RenderOptions(mesh_fraction=1.0))
        self.renderer = mujoco.Renderer(self.stage.model, OURS.image_size, OURS.image_size)

    def render(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        images = []
        for sample in samples:
            self.stage.set(sample)
            for camera in DACTYL_RIG.names:
                self.renderer.update_scene(self.stage.data, camera)
                images.append(self.renderer.render())
        return images


def make_samples(materials: Sequence[str], joints: Sequence[str], count: int) -> list[Sample]:
    posture = np.array([CUPPED_POSE.get(joint, 0.0) for joint in joints])
    samples = []
    for index in range(count):
        rng = generator(0, index, "benchmark")
        look = draw_appearance(AppearanceConfig(), DACTYL_RIG, "block", materials, 0, index)
        position = np.array([1.0, 0.87, 0.18]) + rng.normal(0, 0.01, 3)
        samples.append(Sample(index, posture + rng.normal(0, 0.1, 24), position, _unit_quaternion(rng), look))
    return samples


def _unit_quaternion(rng: np.random.Generator) -> np.ndarray:
    quaternion = rng.normal(size=4)
    return quaternion / np.linalg.norm(quaternion)


def seconds(render: Callable[[Sequence[Sample]], object], samples: Sequence[Sample]) -> tuple[float, float]:
    """Of wall time and of processor time, per triplet."""
    wall, processor = time.perf_counter(), time.process_time()
    render(samples)
    return (time.perf_counter() - wall) / len(samples), (time.process_time() - processor) / len(samples)


def alone(samples: Sequence[Sample], runs: int) -> dict[str, tuple[float, float]]:
    """Triplets per second (wall, processor) of each renderer in one process: medians of interleaved runs."""
    with ExitStack() as stack:
        draw: dict[str, Callable[[Sequence[Sample]], object]] = {
            label: stack.enter_context(create_renderer(name, "block", options)).render
            for label, (name, options) in RENDERERS.items()
        }
        draw["mujoco.Renderer at its defaults"] = StockRenderer().render
        for render in draw.values():
            render(samples[:1])  # compiles shaders
        times = [{label: seconds(render, samples) for label, render in draw.items()} for _ in range(runs)]
    return {
        label: (
            1 / statistics.median(run[label][0] for run in times),
            1 / statistics.median(run[label][1] for run in times),
        )
        for label in draw
    }


def one_of_many(
    samples: Sequence[Sample], rounds: int, ready: multiprocessing.synchronize.Barrier, rates: multiprocessing.Queue
) -> None:
    """A process of its own: renders when all others are ready too."""
    with create_renderer("filament", "block", OURS) as renderer:
        renderer.render(samples[:1])
        ready.wait()
        wall, processor = seconds(renderer.render, list(samples) * rounds)
        rates.put((1 / wall, 1 / processor))


def together(samples: Sequence[Sample], rounds: int, processes: int) -> tuple[float, float]:
    """Triplets per second, and of each process's own time, of Filament in several processes side by side."""
    context = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=one_of_many, args=(samples, rounds, ready, rates)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    wall, processor = (sum(column) for column in zip(*(rates.get() for _ in workers), strict=True))
    for worker in workers:
        worker.join()
    return wall, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8, help="triplets of each run")
    parser.add_argument("--runs", type=int, default=5, help="the median is printed")
    arguments = parser.parse_args()
    os.environ.setdefault("LP_NUM_THREADS", "1")
    scene = Stage("block", OURS).scene
    samples = make_samples(scene.materials, scene.joint_names, arguments.samples)
    with create_renderer("filament", "block", OURS) as filament, create_renderer("classic", "block", OURS) as classic:
        devices = f"Filament on {filament.info.device}, classic on {classic.info.device} ({classic.info.api})"
    print(describe())
    print(devices)
    print(
        f"\n{arguments.samples} triplets, median of {arguments.runs} runs in turns, LP_NUM_THREADS="
        f"{os.environ['LP_NUM_THREADS']}\n"
    )
    print("| renderer | triplets/s | triplets per second of processor time |\n|---|---:|---:|")
    for label, (wall, processor) in alone(samples, arguments.runs).items():
        print(f"| {label} | {wall:.1f} | {processor:.1f} |", flush=True)
    cores = len(os.sched_getaffinity(0))
    wall, processor = together(samples, arguments.runs, cores)
    print(
        f"\nfilament in {cores} processes side by side: {wall:.1f} triplets/s in all; "
        f"{processor:.1f} if each had a core to itself"
    )


if __name__ == "__main__":
    main()
