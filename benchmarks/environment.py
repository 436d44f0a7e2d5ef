"""Environment steps per second, policy included, against the bare ``Batch.step`` of the same physics in the same run.

After each step of the environment a bare batch, begun in the same states, replays the controls that the environment
applied: both solve the same contacts under the same load of the machine, and the difference is what the policy,
observations, actions, goals and checks cost.

    python -m benchmarks.environment > benchmarks/results/environment.txt
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
from mujoco.batch import Batch

from benchmarks.machine import describe
from datagen.policy import RandomExploration, create_policy
from datagen.sim.environment import SUBSTEPS, Environment
from datagen.sim.scene import SceneConfig
from datagen.variation import generator


def measure(name: str, worlds: int, steps: int, runs: int, threads: int) -> Iterator[tuple[float, float]]:
    """Of each run, steps of 80 ms per second in all worlds: the environment with policy, and the bare batch."""
    environment = Environment(SceneConfig(name), seed=0, worlds=worlds, threads=threads)
    everyone = range(worlds)
    environment.reset(everyone, everyone)
    policy = create_policy(RandomExploration.name, environment.scene, worlds)
    policy.reset(everyone, [generator(0, world, "policy") for world in everyone])
    bare = Batch(environment.scene.model, nsim=worlds, nthread=threads)
    start = environment.batch.state.copy()
    for _ in range(runs):
        environment.batch.state[:] = bare.state[:] = start
        with_environment = alone = 0.0
        for _ in range(steps):
            began = time.perf_counter()
            environment.step(policy.act(environment.observe()))
            between = time.perf_counter()
            bare.ctrl[:] = environment.batch.ctrl
            bare.step(nstep=SUBSTEPS)
            alone += time.perf_counter() - between
            with_environment += between - began
        if not np.array_equal(bare.qpos, environment.batch.qpos):
            raise RuntimeError("the bare batch did other work than the environment")
        yield worlds * steps / with_environment, worlds * steps / alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--steps", type=int, default=20, help="environment steps of each run")
    parser.add_argument("--runs", type=int, default=5, help="the median is printed; one more run warms up")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    print(describe())
    print(f"\nsteps of 80 ms ({SUBSTEPS} MuJoCo steps of 8 ms) per second, median of {arguments.runs} runs\n")
    print("| object | worlds | environment + policy | bare Batch.step | ratio |\n|---|---:|---:|---:|---:|")
    for name in ("block", "prism"):
        for worlds in arguments.worlds:
            _warm_up, *runs = measure(name, worlds, arguments.steps, arguments.runs + 1, arguments.threads)
            environment, alone = (statistics.median(column) for column in zip(*runs, strict=True))
            ratio = statistics.median(a / b for a, b in runs)
            print(f"| {name} | {worlds} | {environment:,.0f} | {alone:,.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
