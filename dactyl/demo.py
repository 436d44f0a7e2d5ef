"""The whole pipeline at a small size: from nothing to the error table.

The demo only runs the other commands and prints each of them, so that every step can be repeated and changed by hand.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.configuration.bounds import at_least_one
from vision.configuration.command_line import parse
from vision.configuration.config_files import CONFIGS, PREFIX
from vision.machine.console import Console
from vision.machine.hardware import fast_bfloat16

RESULTS = {
    "train, test-filament, test-classic": "datasets of image triplets, WebDataset shards",
    "contact-sheet.png": "what the training triplets look like",
    "training/best.ckpt": "the trained network; training/tensorboard and training/csv hold its curves",
    "evaluation/table.md, table.csv": "the error table",
    "evaluation/predictions-*.png": "test triplets with the true and the predicted object drawn over",
    "evaluation/predictions": "every estimate next to its truth, Parquet",
}
"""Files that the demo writes into its folder."""


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the demo, for two cores without a GPU.

    Attributes:
        output: folder for everything; a rerun resumes or reuses what is there.
        train_triplets: training set size, Filament; null for 3,072 where the processor computes fast in bfloat16, 2,560
            elsewhere.
        test_triplets: size of each test set, Filament and MuJoCo classic; held-out states and seeds.
        steps: optimiser steps of the training; null for 8,000 where the processor computes fast in bfloat16, 3,600
            elsewhere, where each takes several times as long.
    """

    output: Path = Path("runs/demo")
    train_triplets: int | None = None
    test_triplets: int = 256
    steps: int | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "train_triplets", "test_triplets", "steps")


def commands(config: DemoConfig) -> list[list[str]]:
    """Return the demo's steps, each as the arguments of ``dactyl``."""
    out = config.output
    fast = fast_bfloat16()
    train_triplets, steps = config.train_triplets or (3072 if fast else 2560), config.steps or (8000 if fast else 3600)

    def states(name: str, count: int, seed: int) -> list[str]:
        sizes = ["--count", str(count), "--seed", str(seed)]
        return ["states", "--config", _config("states/sparse"), "--output", str(out / name), *sizes]

    def render(name: str, states_name: str, renderer: str, count: int, seed: int) -> list[str]:
        paths = ["--states", str(out / states_name), "--output", str(out / name)]
        # Small shards let the two processes finish together.
        sizes = ["--count", str(count), "--seed", str(seed), "--shard_size", "64"]
        return ["render", "--config", _config(f"render/{renderer}"), *paths, *sizes]

    # Test sets differ from the training set in states and in every drawn value.
    return [
        states("states-train", train_triplets, 0),
        states("states-test", config.test_triplets, 1),
        render("train", "states-train", "filament-fast", train_triplets, 0),
        render("test-filament", "states-test", "filament-test", config.test_triplets, 1),
        render("test-classic", "states-test", "classic", config.test_triplets, 1),
        ["inspect", "--dataset", str(out / "train"), "--output", str(out / "contact-sheet.png")],
        [
            *["train", "--config", _config("train/demo"), "--data.train", str(out / "train")],
            *["--output", str(out / "training"), "--trainer.max_steps", str(steps)],
        ],
        [
            *["evaluate", "--config", _config("evaluate/demo"), "--output", str(out / "evaluation")],
            *["--checkpoint", str(out / "training" / "best.ckpt"), "--training_set", str(out / "train")],
            *["--test_sets.filament", str(out / "test-filament"), "--test_sets.classic", str(out / "test-classic")],
        ],
    ]


def main_demo(argv: Sequence[str]) -> None:
    """Run every stage at a small size: states, training and test sets, training, the error table; on two cores without
    a GPU.

    Each step is a command that the demo prints before it runs it. A rerun resumes or reuses what is done.

    examples:
      dactyl demo
      dactyl demo --output runs/longer --train_triplets 20000 --steps 10000
    """
    config = parse(DemoConfig, argv, "dactyl demo", main_demo.__doc__ or "")
    from dactyl.cli import run

    console = Console()
    begun = time.monotonic()
    for command in commands(config):
        console.rule(style="dim")
        console.print(f"$ dactyl {shlex.join(command)}", style="bold", highlight=False)
        run(command)
    minutes = (time.monotonic() - begun) / 60
    console.rule(style="dim")
    console.print(f"done in {minutes:.1f} minutes; everything is in {config.output}:")
    for name, what in RESULTS.items():
        console.print(f"  {name:36}{what}", highlight=False)


def _config(name: str) -> str:
    """Return a configuration's name as a user would type it: a path within a checkout, else the installed name."""
    path = CONFIGS / f"{name}.yaml"
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else f"{PREFIX}{name}"
