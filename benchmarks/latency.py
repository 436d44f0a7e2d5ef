"""Milliseconds from one triplet's pixels to its pose, under both protocols, and the solver's part of it.

The network's part is measured in float32 and, where the machine computes fast in it, in bfloat16 (``--precision auto``
of ``dactyl estimate``). The goal is 25 ms on two cores, the reference's policy budget. Weights are random, which does
not change the network's time. The solver's number of steps depends on its input, so it gets pixels as a trained network
finds them (all points of a block and of the hand, through cameras displaced as in Table 9, one pixel off). Process time
is printed beside wall time; on a busy machine it is the more reliable one.

    python -m benchmarks.latency > benchmarks/results/latency.txt
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch

from benchmarks.machine import describe
from benchmarks.train import CONFIGS, SIZE, made_up_batch, sized_scene
from train.cli import parse
from vision.geometry.cameras import Cameras, project_torch
from vision.machine.hardware import fast_bfloat16
from vision.networks.folding import fold_norms
from vision.networks.geometric import GeometricModel
from vision.networks.geometric_output import GeometricOutput
from vision.networks.heads import PointOutput
from vision.networks.model import build_model
from vision.networks.reduced_precision import towers_in_bfloat16
from vision.solvers.landmarks import locate_landmarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30, help="the median is printed; three more warm up")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{describe()}\n{arguments.threads} threads, one triplet of {SIZE} x {SIZE}, median of {arguments.runs} runs\n"
    )
    print(f"{'network':18}{'':22}{'wall ms':>10}{'process ms':>12}")
    for name in ("demo", "shipped"):
        config, _ = parse(["--config", str(CONFIGS / f"{name}.yaml"), "--data.train", "-", "--output", "-"])
        model = build_model(config.model, sized_scene()).to(memory_format=torch.channels_last)
        assert isinstance(model, GeometricModel)
        fold_norms(model)  # as in PoseEstimator
        images, cameras = made_up_batch(1)["images"], nominal()
        model.set_position_statistics(torch.tensor([1.02, 0.87, 0.145]), torch.full((3,), 0.02))
        with torch.inference_mode():
            seen = as_trained(model, images)
            network = {
                "network" + (f", {count} windows" if count > 1 else ""): partial(in_windows, model, images, count)
                for count in (1, 3, 5)
            }
            show(name, network, arguments.runs)
            solver = {
                "solver, calibrated": partial(model.pose, seen, cameras),
                "solver, nominal": partial(model.pose, seen, cameras, nominal=True),
            }
            show(name, solver, arguments.runs)
            if fast_bfloat16():
                towers_in_bfloat16(model)
                show(f"{name}, bfloat16", network, arguments.runs)


def show(name: str, parts: Mapping[str, Callable[[], object]], runs: int) -> None:
    """Print a line for each part of an estimate."""
    for part, work in parts.items():
        wall, process = measured(work, runs)
        print(f"{name:18}{part:22}{wall:10.1f}{process:12.1f}", flush=True)


def in_windows(model: GeometricModel, images: torch.Tensor, count: int) -> None:
    """Run the network with so many windows of each image (``--windows``)."""
    model.use_windows(count)
    model(images)


def nominal() -> Cameras:
    """Return the nominal cameras of one triplet."""
    cameras = sized_scene().rig.nominal
    return Cameras(*(torch.tensor(matrix, dtype=torch.float32)[None] for matrix in cameras[:2]))


def as_trained(model: GeometricModel, images: torch.Tensor) -> GeometricOutput:
    """Return a trained network's output, one pixel off, for a block in its usual place and cameras rotated by 2°."""
    generator = torch.Generator().manual_seed(0)
    k, t, *_ = nominal()
    hand = sized_scene().hand
    assert hand is not None
    assert hand.landmarks is not None
    angle = torch.deg2rad(torch.tensor(2.0))
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    found = model(images)
    points = {
        "corners": model.keypoints.float()[None] + torch.tensor([1.02, 0.87, 0.145]),
        "landmarks": locate_landmarks(hand.landmarks, torch.tensor([[-0.17, -0.33]]))[0],
    }
    seen = {}
    for what, world in points.items():
        pixels = project_torch(world[:, None], Cameras(k, turn @ t))
        pixels = pixels + torch.randn(pixels.shape, generator=generator)
        seen[what] = PointOutput(pixels, torch.zeros(pixels.shape[:-1]))
    trained: GeometricOutput = replace(found, **seen)
    return trained


def measured(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Measure the median wall and process time of ``work`` in milliseconds."""
    walls, processes = [], []
    for _ in range(runs + 3):
        wall, process = time.perf_counter(), time.process_time()
        work()
        walls.append(1e3 * (time.perf_counter() - wall))
        processes.append(1e3 * (time.process_time() - process))
    return statistics.median(walls[3:]), statistics.median(processes[3:])


if __name__ == "__main__":
    main()
