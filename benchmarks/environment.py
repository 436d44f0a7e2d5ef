"""Environment steps per second, including the policy and all randomizations, against the bare ``Batch.step`` of the
same number of worlds in the same run, and how the rest of the time is spent.

After each step of the environment the batch of a twin, in the same episodes, replays the controls, forces and step
lengths that the environment applied. Both solve the same contacts under the same load of the machine, so the difference
is the cost of policy, sensors, actions, goals and checks. Starts of episodes are left out, because they are simulation,
too.

    python -m benchmarks.environment > benchmarks/results/environment.txt
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.machine import describe
from datagen.policy import TRAINED, create_policy, policy_label
from datagen.sim.complete import complete_scene
from datagen.sim.environment import SUBSTEPS, Environment
from datagen.sim.randomization import EVERYTHING, NOTHING
from datagen.variation import generator

PARTS = ("sensing", "policy", "step", "bare")


def measure(
    name: str, policy_name: str, randomized: bool, worlds: int, steps: int, runs: int, threads: int | None
) -> Iterator[dict[str, float]]:
    """Yield seconds of each part of each run: observations, policy actions, the environment's step, the bare step."""
    randomization = EVERYTHING if randomized else NOTHING
    scene = complete_scene(name)
    environment, twin = (Environment(scene, 0, worlds, threads, randomization) for _ in ("measured", "bare"))
    everyone = np.arange(worlds)
    start = Environment(scene, 0, worlds, threads)
    start.reset(everyone, everyone)
    states = start.batch.state.copy()
    policy = create_policy(policy_name, environment.scene, worlds)
    copied = ["opt.timestep"] if randomized else []
    for run in range(runs):
        for one in (environment, twin):
            one.restore(everyone, states, everyone + run * worlds)
        policy.reset(everyone, [generator(0, world, "policy") for world in range(worlds)])
        seconds = dict.fromkeys(PARTS, 0.0)
        for _ in range(steps):
            times = [time.perf_counter()]
            observation = environment.sense()
            times.append(time.perf_counter())
            action = policy.act(observation)
            times.append(time.perf_counter())
            environment.step(action)
            times.append(time.perf_counter())
            twin.batch.ctrl[:] = environment.batch.ctrl
            twin.batch.xfrc_applied[:] = environment.batch.xfrc_applied
            for field in copied:
                twin.batch.expand(field)[:] = environment.batch.expand(field)
            began = time.perf_counter()
            twin.batch.step(nstep=SUBSTEPS)
            for part, spent in zip(PARTS, [*np.diff(times), time.perf_counter() - began], strict=True):
                seconds[part] += spent
        if not np.array_equal(twin.batch.qpos, environment.batch.qpos):
            raise RuntimeError("the bare batch did other work than the environment")
        yield seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default=TRAINED, help="as for dactyl states")
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--scenes", nargs="+", default=["block", "prism"])
    parser.add_argument("--steps", type=int, default=20, help="environment steps of each run")
    parser.add_argument("--runs", type=int, default=5, help="medians are printed; one more run warms up")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print(describe())
    print(
        f"\nsteps of 80 ms ({SUBSTEPS} MuJoCo steps) per second, medians of {options.runs} runs, shares of the time\n"
    )
    columns = "| scene, policy | randomizations | worlds | environment + policy | bare Batch.step | ratio "
    print(columns + "| policy | sensing | rest of step |\n|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.scenes:
        for randomized in (True, False):
            for worlds in options.worlds:
                shape = worlds, options.steps, options.runs + 1, options.threads
                _warm_up, *runs = measure(name, options.policy, randomized, *shape)
                sensing, policy, step, bare = (np.array([run[part] for run in runs]) for part in PARTS)
                whole, count = sensing + policy + step, worlds * options.steps
                rates = (
                    f"{count / np.median(whole):,.0f} | {count / np.median(bare):,.0f} | {np.median(bare / whole):.2f}"
                )
                shares = (f"{np.median(part / whole):.1%}" for part in (policy, sensing, step - bare))
                label = f"{name}, {policy_label(options.policy, complete_scene(name))}"
                print(
                    f"| {label} | {'all' if randomized else 'none'} | {worlds} | {rates} | {' | '.join(shares)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
