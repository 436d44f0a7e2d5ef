"""Comparison of critics trained on the same experience for equal processor time: how well does each distinguish goals
that will be reached from goals that will not?

Uses the experience of a training that has just begun (``dactyl policy train --config configs/policy/randomized.yaml``,
stopped while only critics are trained, so that one fixed actor made all of it). Worlds that explored are the training
data; those that acted without exploration are held out, and show which goals were reached. This measures how well
values are learnt, not how an actor would improve with them.

    python -m benchmarks.critics --run runs/randomized > benchmarks/results/critics.txt
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.machine import describe
from datagen.policy.critics import CriticConfig
from datagen.policy.experience import Widths
from datagen.policy.features import goal_vector
from datagen.policy.her import Learner, Learning, known
from datagen.policy.network import load_file, load_policy
from datagen.policy.replay import REPLAY_DTYPES, Replay
from datagen.variation import generator
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.objects.symmetries import Symmetries, least_turn
from vision.scene.load import load_scene

VARIANTS = {
    "plain layers, classifier": CriticConfig(),
    "plain layers, 51 atoms": CriticConfig(atoms=51),
    "residual blocks, classifier": CriticConfig(hidden=(192, 192), blocks="residual"),
    "residual blocks, 51 atoms": CriticConfig(hidden=(192, 192), blocks="residual", atoms=51),
}


def experience(folder: Path, steps: int, worlds: int, time: int) -> dict[str, np.ndarray]:
    """Read the first ``time`` steps of a training's replay, (time, worlds, ...)."""
    return {
        name: np.memmap(folder / f"{name}.bin", dtype, "r").reshape(steps, worlds, -1)[:time]
        for name, dtype in REPLAY_DTYPES.items()
    }


def part(data: dict[str, np.ndarray], worlds: slice, folder: Path, symmetries: Symmetries) -> Replay:
    """Write the experience of some worlds as a separate replay in ``folder``."""
    folder.mkdir(parents=True)
    for name, column in data.items():
        np.ascontiguousarray(column[:, worlds]).tofile(folder / f"{name}.bin")
    time, count = data["acted"][:, worlds].shape[:2]
    widths = Widths(*(data[key].shape[-1] for key in ("state", "hidden", "action")))
    return Replay(folder, time, count, widths, symmetries, time)


def steps_to_goals(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return the number of steps until the current goal is reached, (T, W); infinity if the episode ends before."""
    left = np.full(data["acted"].shape[:2], np.inf)
    goal, begin, acted = data["goal"], data["begin"][..., 0], data["acted"][..., 0]
    for step in reversed(range(len(left) - 1)):
        same = (begin[step + 1] == begin[step]) & acted[step]
        replaced = (goal[step + 1] != goal[step]).any(axis=-1)
        left[step] = np.where(same, np.where(replaced, 1.0, left[step + 1] + 1), np.inf)
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0, help="of processor time, for each variant")
    parser.add_argument("--most_steps", type=int, default=1250, help="of each world that are used, from the first on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_file(options.run / "checkpoint.pt", "checkpoint")
    config, recorded = checkpoint["config"], int(checkpoint["replay_time"])
    worlds, clean, count = config["worlds"], config["clean_worlds"], min(recorded, options.most_steps)
    data = experience(options.run / "replay", config["replay_steps"], worlds, count)
    actor, normaliser, _ = load_policy(options.run / "policy.pt")
    symmetries = load_scene(config["scene"]).object.symmetries
    shown = held_out(data, slice(0, clean), symmetries, generator(options.seed, 0, "held out"))
    print(describe())
    print(f"\n{count * (worlds - clean):,} steps teach, {len(shown.steps):,} moments of other worlds are held out\n")
    print("| critics | updates of 512 | goals told apart (AUC) | rank correlation with the time to a reached goal |")
    print("|---|---:|---:|---:|")
    for name, critic in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            replay = part(data, slice(clean, worlds), Path(folder) / "replay", symmetries)
            learning = Learning(hidden=actor.hidden, memory=actor.memory, critic=critic, batch=512, averaging=0.01)
            learning = replace(learning, actor_inputs=actor.inputs, learning_rate=3e-4)
            learner = Learner(learning, actor.layout, data["hidden"].shape[-1], options.seed)
            rng = generator(options.seed, 0, "samples")
            learner.take_on(actor, normaliser)
            began = time.process_time()
            updates = 0
            while time.process_time() - began < options.seconds:
                sample = replay.sample(rng, 4 * learning.batch, learning.hindsight, actor.memory.frames)
                learner.update(sample, rng, actor=False)
                updates += 4
        values = shown.judged(learner)
        reached = np.isfinite(shown.steps)
        apart = stats.mannwhitneyu(values[reached], values[~reached]).statistic / reached.sum() / (~reached).sum()
        order = stats.spearmanr(values[reached], -shown.steps[reached]).statistic
        print(f"| {name} | {updates:,} | {apart:.3f} | {order:.3f} |", flush=True)


@dataclass(frozen=True)
class HeldOut:
    """Moments with their states, goals and actions, and the steps until the goal was reached, or infinity."""

    state: np.ndarray
    hidden: np.ndarray
    goal: np.ndarray
    action: np.ndarray
    steps: np.ndarray

    def judged(self, learner: Learner) -> np.ndarray:
        """Return the least value that a learner's critics give each moment."""
        columns = (torch.from_numpy(column) for column in (self.state, self.hidden, self.goal, self.action))
        state, hidden, goal, action = columns
        with torch.no_grad():
            view = {"state": learner.normaliser(state), "hidden": hidden, "goal": goal}
            return learner.critics.value(learner.critics(known(view, action))).min(dim=0).values.numpy()


def held_out(
    data: dict[str, np.ndarray], worlds: slice, symmetries: Symmetries, rng: np.random.Generator, count: int = 5000
) -> HeldOut:
    """Draw moments of ``worlds`` from episodes whose end was recorded."""
    data = {name: np.array(column[:, worlds]) for name, column in data.items()}
    steps, begin = steps_to_goals(data), data["begin"][..., 0]
    open_ended = np.isinf(steps) & (begin == begin[-1])
    chosen = np.flatnonzero(data["acted"][..., 0] & ~open_ended)
    at = np.unravel_index(rng.choice(chosen, min(count, len(chosen)), replace=False), steps.shape)
    present, goal = (rotation_from_quaternion(data[name][at]) for name in ("quaternion", "goal"))
    to_goal = goal_vector(quaternion_from_rotation(least_turn(symmetries, present, goal)))
    return HeldOut(data["state"][at], data["hidden"][at], to_goal, data["action"][at], steps[at])


if __name__ == "__main__":
    main()
