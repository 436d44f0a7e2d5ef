"""Milliseconds of learning for each step of all worlds, as ``configs/policy/randomized.yaml`` learns: with networks
that are compiled (``compile``), with networks that are not, and the part of it that draws samples.

The experience is random numbers, which cost as much as any. What players simulate meanwhile is not included.

    python -m benchmarks.learner > benchmarks/results/learner.txt
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch

from benchmarks.machine import describe
from datagen.policy.experience import Step, Widths
from datagen.policy.her import Learner
from datagen.policy.her_config import HerConfig
from datagen.policy.layout import layout_of
from datagen.policy.training import Training
from datagen.sim.complete import complete_scene
from vision.configuration.command_line import parse

RECIPE = Path(__file__).parents[1] / "configs" / "policy" / "randomized.yaml"


def random_step(rng: np.random.Generator, widths: Widths, worlds: int) -> Step:
    """Return a step of ``worlds`` made of random numbers, with random orientations."""

    def numbers(width: int) -> np.ndarray:
        return rng.normal(size=(worlds, width)).astype(np.float32)

    def orientations() -> np.ndarray:
        drawn = numbers(4)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    return Step(
        state=numbers(widths.state),
        hidden=numbers(widths.hidden),
        seen=numbers(widths.state),
        quaternion=orientations(),
        seen_quaternion=orientations(),
        goal=orientations(),
        action=np.tanh(numbers(widths.actions)),
        acted=np.ones(worlds, dtype=bool),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="steps of all worlds in each run")
    parser.add_argument("--runs", type=int, default=9, help="medians are printed; one more run warms up")
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        config = parse(HerConfig, ["--config", str(RECIPE), "--output", folder, "--replay_steps", "500"], "", "")
        torch.set_num_threads(config.torch_threads or torch.get_num_threads())
        scene = complete_scene(config.scene)
        training, learning = Training(config, scene), config.learning
        environment = config.environment(scene)
        widths = Widths(training.layout.state, environment.hidden().shape[1], layout_of(environment.scene).actuators)
        rng = np.random.default_rng(0)
        for _ in range(config.replay_steps):
            training.replay.add(random_step(rng, widths, config.worlds))
        learner, size = cast(Learner, training.learner), config.updates * learning.batch
        losses = {
            "plain": (learner._evaluate_critics, learner._evaluate_actor),
            "compiled": (learner._critic_loss, learner._actor_terms),
        }
        seconds = {name: list[float]() for name in (*losses, "samples")}
        for run in range(options.runs + 1):
            for name in losses:
                learner._critic_loss, learner._actor_terms = losses[name]
                spent = dict.fromkeys((name, "samples"), 0.0)
                for _ in range(options.steps):
                    times = [time.perf_counter()]
                    sample = training.replay.sample(training.rng, size, learning.hindsight, learning.memory.frames)
                    times.append(time.perf_counter())
                    learner.update(sample, training.rng, True, config.anchor)
                    times.append(time.perf_counter())
                    spent["samples"] += times[1] - times[0]
                    spent[name] += times[2] - times[0]
                if run:
                    for part, total in spent.items():
                        seconds[part].append(total / options.steps)
    print(f"\n{config.updates} updates of {learning.batch} transitions, medians of {options.runs} runs\n")
    plain = statistics.median(seconds["plain"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:<10} {1e3 * median:6.1f} ms  {median / plain:5.2f}")


if __name__ == "__main__":
    main()
