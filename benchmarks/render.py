"""Cost of rendering: each renderer, the straightforward use of each library, one process and two, and each stage.

All render the same randomised samples (200x200, three cameras, shadows of four to six lights), in turns, so that they
meet the same load of the machine. Triplets per second of processor time depend little on the load of other processes:
only caches and memory are shared.

    python -m benchmarks.render > benchmarks/results/render.txt
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from datagen.render.drivers import choose_opengl

choose_opengl()  # before MuJoCo is imported: its Renderer would otherwise look for a screen

import numpy as np  # noqa: E402

from benchmarks.configurations import render_config  # noqa: E402
from benchmarks.machine import describe  # noqa: E402
from benchmarks.samples import make_samples  # noqa: E402
from benchmarks.straightforward import FilamentAsDocumented, StockRenderer  # noqa: E402
from datagen.appearance.draw import AppearanceConfig, draw_appearance  # noqa: E402
from datagen.appearance.sample import Sample  # noqa: E402
from datagen.generate.view_labels import ViewLabeller  # noqa: E402
from datagen.render import create_renderer  # noqa: E402
from datagen.render.base import Renderer, RenderOptions, rendered_scene  # noqa: E402
from datagen.render.stage import Stage  # noqa: E402
from datagen.sim.complete import complete_scene  # noqa: E402
from vision.geometry.cameras import Cameras  # noqa: E402
from vision.scene.scene import Scene  # noqa: E402
from vision.storage.shards import encode_sample, write_shard  # noqa: E402

OURS = RenderOptions()
FAST = render_config("filament-fast").render
ONE_CASTS = dataclasses.replace(FAST, environment_lights=False)
RENDERERS = {
    "filament": ("filament", OURS),
    "filament, one light casts, none on the background": ("filament", ONE_CASTS),
    "filament-fast": ("filament", FAST),
    "filament, no shadows": ("filament", RenderOptions(shadows=False)),
    "filament, 100x100": ("filament", RenderOptions(image_size=100)),
    "classic": ("classic", OURS),
    "classic, no shadows": ("classic", RenderOptions(shadows=False)),
}
OURSELVES = {label: RENDERERS[label][1] for label in ("filament", "filament-fast")}
Draw = Callable[[Sequence[Sample]], object]


def drawn(options: RenderOptions) -> Scene:
    """Return the block's scene, with images of the size in the options."""
    return rendered_scene(complete_scene("block"), options)


def for_size(samples: Sequence[Sample], options: RenderOptions) -> list[Sample]:
    """Return the same samples with the intrinsics for images of another size."""
    scale = drawn(options).rig.width / drawn(OURS).rig.width
    resize = np.diag([scale, scale, 1.0])
    looks = (
        dataclasses.replace(sample.appearance, camera_intrinsics=resize @ sample.appearance.camera_intrinsics)
        for sample in samples
    )
    return [dataclasses.replace(sample, appearance=look) for sample, look in zip(samples, looks, strict=True)]


def make_label(sample: Sample) -> dict[str, Any]:
    look = sample.appearance
    quaternion = sample.object_quaternion * np.sign(sample.object_quaternion[0])
    return {
        **{"index": sample.index, "state_index": 0, "episode": 0, "augmentation": "none"},
        **{"object_position": sample.object_position, "object_quaternion": quaternion},
        "joint_position": sample.joint_position,
        "camera_intrinsics": look.camera_intrinsics,
        "camera_extrinsics": look.camera_extrinsics,
    }


def seconds(render: Draw, samples: Sequence[Sample]) -> tuple[float, float]:
    """Measure wall time and processor time per triplet."""
    wall, processor = time.perf_counter(), time.process_time()
    render(samples)
    return (time.perf_counter() - wall) / len(samples), (time.process_time() - processor) / len(samples)


def alone(samples: Sequence[Sample], runs: int) -> dict[str, tuple[float, float]]:
    """Measure triplets per second (wall, processor) of each renderer in one process: medians of interleaved runs."""
    with ExitStack() as stack:
        draw: dict[str, Draw] = {
            label: stack.enter_context(create_renderer(name, drawn(options), options)).render
            for label, (name, options) in RENDERERS.items()
        }
        given = {label: for_size(samples, options) for label, (_, options) in RENDERERS.items()}
        documented = stack.enter_context(closing(FilamentAsDocumented(drawn(OURS))))
        draw["Filament as MuJoCo's documentation has it"] = documented.render
        draw["mujoco.Renderer at its defaults"] = StockRenderer(drawn(OURS)).render
        for label, render in draw.items():
            render(given.setdefault(label, list(samples))[:1])  # compiles shaders
        times = [{label: seconds(render, given[label]) for label, render in draw.items()} for _ in range(runs)]
    return {
        label: (
            1 / statistics.median(run[label][0] for run in times),
            1 / statistics.median(run[label][1] for run in times),
        )
        for label in draw
    }


def stages(samples: Sequence[Sample], folder: Path, options: RenderOptions) -> tuple[dict[str, float], float]:
    """Measure milliseconds of processor time per triplet of each stage, and bytes per triplet, in making a shard."""
    spent = dict.fromkeys(("values", "kinematics", "drawing and readback", "labels of the views", "encoding"), 0.0)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        spent[stage] = spent.get(stage, 0.0) + time.process_time() - start

    scene = drawn(options)
    views = ViewLabeller(scene, options)
    members = []
    with timed("a new context, and its shaders"):
        renderer: Renderer = create_renderer("filament", scene, options)
        renderer.render(samples[:1])
    kinematics = Stage(scene, options)
    with renderer:
        for sample in samples:
            with timed("values"):
                draw_appearance(AppearanceConfig(), scene, renderer.materials, 0, sample.index)
                label = make_label(sample)
            with timed("kinematics"):  # separately, because the renderer's own is part of the drawing
                kinematics.set(sample)
            with timed("drawing and readback"):
                images = renderer.render([sample])[0]
            with timed("labels of the views"):
                seen, masks = views(sample, Cameras.from_label(label))
            with timed("encoding"):
                look = sample.appearance.to_json()
                members.append(encode_sample(label | seen, images, scene.rig, look, masks))
    with timed("writing"):
        record = write_shard(folder, 0, members, "benchmark", {})
    spent["drawing and readback"] -= spent["kinematics"]
    spent["a new context, and its shaders"] *= len(samples) / 128  # once in a shard of 128
    return {stage: 1e3 * value / len(samples) for stage, value in spent.items()}, record.bytes / len(samples)


def one_of_many(
    samples: Sequence[Sample],
    options: RenderOptions,
    rounds: int,
    ready: multiprocessing.synchronize.Barrier,
    rates: multiprocessing.Queue[tuple[float, float]],
) -> None:
    """Run in a process: render when all others are ready, too."""
    with create_renderer("filament", drawn(options), options) as renderer:
        renderer.render(samples[:1])
        ready.wait()
        wall, processor = seconds(renderer.render, list(samples) * rounds)
        rates.put((1 / wall, 1 / processor))


def together(samples: Sequence[Sample], options: RenderOptions, rounds: int, processes: int) -> tuple[float, float]:
    """Measure triplets per second of Filament in parallel processes, by wall time and by each process's own time."""
    context = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(processes), context.Queue()
    arguments = (samples, options, rounds, ready, rates)
    workers = [context.Process(target=one_of_many, args=arguments) for _ in range(processes)]
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
    scene = drawn(OURS)
    samples = make_samples(scene, Stage(scene, OURS).scene.materials, arguments.samples)
    with create_renderer("filament", scene, OURS) as filament, create_renderer("classic", scene, OURS) as classic:
        devices = f"Filament on {filament.info.device}, classic on {classic.info.device} ({classic.info.api})"
    print(describe())
    print(devices)
    print(
        f"\n{arguments.samples} triplets, median of {arguments.runs} runs in turns, LP_NUM_THREADS="
        f"{os.environ['LP_NUM_THREADS']}\n"
    )
    print("| renderer, one process | triplets/s | triplets per second of processor time |\n|---|---:|---:|")
    rates = alone(samples, arguments.runs)
    for label, (wall, processor) in rates.items():
        print(f"| {label} | {wall:.1f} | {processor:.1f} |", flush=True)
    plain = rates["Filament as MuJoCo's documentation has it"]
    for label in OURSELVES:
        wall, processor = (ours / theirs for ours, theirs in zip(rates[label], plain, strict=True))
        print(f"\n{label}: {wall:.1f} times the documented use by the clock, {processor:.1f} by processor time")
    print("\n| side by side | triplets/s in all | if each process had a core to itself |\n|---|---:|---:|")
    for label, options in OURSELVES.items():
        for processes in (1, len(os.sched_getaffinity(0))):
            wall, processor = together(samples, options, arguments.runs, processes)
            print(f"| {label}, {processes} processes | {wall:.1f} | {processor:.1f} |", flush=True)
    for label, options in OURSELVES.items():
        print_stages(label, samples * arguments.runs, options)


def print_stages(label: str, samples: Sequence[Sample], options: RenderOptions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spent, size = stages(samples, Path(folder), options)
    total, optional = sum(spent.values()), spent["labels of the views"]
    print(f"\n| stage of generation, {label} | ms of processor time a triplet |\n|---|---:|")
    for stage, milliseconds in spent.items():
        print(f"| {stage} | {milliseconds:.2f} |")
    print(f"| all | {total:.2f} |")
    print(
        f"\nend to end {1e3 / total:.1f} triplets per second of processor time, {1e3 / (total - optional):.1f} without "
        f"labels of the views; {size / 1e3:.1f} kB a triplet"
    )


if __name__ == "__main__":
    main()
