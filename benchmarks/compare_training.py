"""Choices of training compared: equal data, equal time, one table of held-out errors under both protocols.

Every variant is a configuration and what is changed in it. How many batches fit into the minutes is measured first, on
random pictures in memory, so that each schedule ends where its time does; then each variant is trained by ``dactyl
train`` and its last weights are scored on each test set. Whatever is killed goes on with the same command, and
variants that are done are not repeated: more can be added later.

The minutes are processor time of one thread, and batches are counted, so that other work on the machine lengthens a
training and does not worsen it. A busy neighbour slows even processor time a little (caches, shared cores): measure the
rates (``--rates``) while the machine is as quiet as it can be, since they decide.

Errors are means with their standard errors over the triplets of a test set. These say nothing of how far another seed
would have led: "demo, another seed" shows it, and no difference smaller than that one means anything.

    python -m benchmarks.compare_training --train runs/demo/train --test filament=runs/demo/test-filament \
        --test classic=runs/demo/test-classic --minutes 4 --output runs/compare
    python -m benchmarks.compare_training ... --only demo paper     # some of the variants
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.train import CONFIGS, Contender, made_up_batch
from eval.conditions import PROTOCOLS, Condition
from eval.predict import load_estimator, predict
from train.cli import TrainConfig, main_train, parse
from vision.datasets import TripletDataset
from vision.errors import DactylError
from vision.files import atomic_write, canonical_json
from vision.geometry import geodesic_distance, matrix_from_quaternion

PROBES, PROBE_BATCHES = 4, 4

Scores = dict[str, dict[str, dict[str, list[float]]]]
"""Test set, protocol, "degrees" or "millimetres": the error of every triplet."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "paper": ("paper", "--data.batch_size=16"),
    "paper, 6-D rotation and geodesic loss": (
        "paper", "--data.batch_size=16", "--model.rotation=six_d", "--loss.rotation=geodesic",
    ),
    "paper, AdamW and cosine": (
        "paper", "--data.batch_size=16", "--model.rotation=six_d", "--loss.rotation=geodesic", "--optimizer.name=adamw",
        "--optimizer.schedule=cosine", "--optimizer.learning_rate=2e-3", "--optimizer.warmup=50",
    ),
    "regression, pyramid": (
        "demo", "--model.head=regression", "--model.window=null", "--model.rotation=six_d", "--model.image_size=100",
        "--loss.rotation=geodesic",
    ),
    "regression, pyramid, told its cameras": (
        "demo", "--model.head=regression", "--model.window=null", "--model.rotation=six_d", "--model.image_size=100",
        "--loss.rotation=geodesic", "--model.camera_input=true",
    ),
    "demo": ("demo",),
    "demo, another seed": ("demo", "--seed=1"),
    "demo, whole image at 100 pixels": ("demo", "--model.window=null", "--model.image_size=100"),
    "demo, no surface loss": ("demo", "--loss.surface=0"),
    "demo, no surface loss, another seed": ("demo", "--loss.surface=0", "--seed=1"),
    "demo, group normalisation": ("demo", "--model.backbone.norm=group"),
    "demo, twice the width": ("demo", "--model.backbone.width=64"),
    "demo, two blocks": ("demo", "--model.backbone.blocks=2"),
    "demo, window of 112 pixels": ("demo", "--model.window.size=112"),
    "demo, windows turned all ways": ("demo", "--augment.window_roll_deg=180"),
    "demo, tinted": ("demo", "--augment.tint=0.15"),
    "demo, exposure and tone curve": ("demo", "--augment.exposure=0.5", "--augment.gamma=0.4"),
    "demo, averaged weights": ("demo", "--optimizer.ema=0.99"),
    "demo, no scene augmentation": (
        "demo", "--augment.scene_shift=0", "--augment.scene_zoom=0", "--augment.scene_roll_deg=0",
    ),
    "demo, halved rate of learning": ("demo", "--optimizer.learning_rate=1e-3"),
    "shipped": ("shipped",),
}  # fmt: skip
"""Name in the table: configuration in ``configs/train``, and what is changed in it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="dataset folder")
    parser.add_argument("--test", action="append", required=True, metavar="NAME=FOLDER", help="once for each test set")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, each variant")
    parser.add_argument("--output", type=Path, required=True, help="folder for all trainings")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument("--rates", action="store_true", help="only measure the rates")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tests = dict(text.partition("=")[::2] for text in arguments.test)
    names = arguments.only or list(VARIANTS)
    print(f"{describe()}\n{arguments.minutes:g} minutes of one core each\n", flush=True)
    rows = []
    for name in names:
        folder = arguments.output / name.replace(", ", "-").replace(" ", "-")
        batches, arguments_of_train = planned(name, folder, arguments.train, arguments.minutes)
        if not arguments.rates:
            scores = scored(folder, arguments_of_train, tests)
            rows.append((name, batches, scores))
    if rows:
        print("\n" + table(rows, list(tests)) + "\n")
    for name, batches, _ in rows:
        config, *changes = VARIANTS[name]
        command = ["dactyl", "train", "--config", f"configs/train/{config}.yaml", "--data.train", str(arguments.train)]
        print(f"- {name}: `{shlex.join([*command, *changes, '--trainer.max_steps', str(batches)])} ...`")


def planned(name: str, folder: Path, data: Path, minutes: float) -> tuple[int, list[str]]:
    """Batches that fit into the minutes, measured once for each folder, and the arguments of ``dactyl train``."""
    config, *changes = VARIANTS[name]
    argv = ["--config", str(CONFIGS / f"{config}.yaml"), "--data.train", str(data), *changes]
    argv += ["--output", str(folder / "training"), "--data.workers", "0", "--data.cache", "true"]
    plan = folder / "plan.json"
    if not plan.exists():
        rate = batches_per_second(parse(argv)[0])
        batches = max(1, round(60 * minutes * rate))
        atomic_write(plan, canonical_json({"batches": batches, "minutes": minutes}))
        print(f"{name}: {rate:.2f} batches/s", file=sys.stderr)
    known = json.loads(plan.read_text())
    if known["minutes"] != minutes:
        raise DactylError(f"{plan}: planned for {known['minutes']:g} minutes, not {minutes:g}; choose a new output")
    steps = known["batches"]
    return steps, [*argv, "--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)]


def batches_per_second(config: TrainConfig) -> float:
    """Of whole training steps in bfloat16, on random pictures: processor time, the best of several probes."""
    # "lean" is what --trainer.precision bf16-mixed does.
    contender = Contender(config, lean=True, device=torch.device("cpu"))
    batch = made_up_batch(config.data.batch_size)
    contender.rate(batch, 2)  # warms up
    took = []
    for _ in range(PROBES):
        began = time.process_time()
        contender.rate(batch, PROBE_BATCHES)
        took.append(time.process_time() - began)
    return PROBE_BATCHES / min(took)


def scored(folder: Path, argv: list[str], tests: dict[str, str]) -> Scores:
    """Errors on each test set: nominal and, where the network heeds its cameras, calibrated."""
    path = folder / "scores.json"
    scores: Scores = json.loads(path.read_text()) if path.exists() else {}
    if missing := tests.keys() - scores.keys():
        with contextlib.redirect_stdout(sys.stderr):
            main_train([*argv, "--trainer.precision", "bf16-mixed"])
        estimator = load_estimator(folder / "training" / "last.ckpt", "auto")
        for test in sorted(missing):
            dataset = TripletDataset(tests[test])
            scores[test] = {}
            for told in PROTOCOLS if estimator.uses_cameras else PROTOCOLS[:1]:
                found = predict(estimator, dataset, Condition(told), batch_size=32)
                turn = geodesic_distance(
                    *(matrix_from_quaternion(found[f"{kind}_quaternion"]) for kind in ("predicted", "true"))
                )
                shift = np.linalg.norm(found["predicted_position"] - found["true_position"], axis=-1)
                scores[test][told] = {"degrees": np.rad2deg(turn).tolist(), "millimetres": (1e3 * shift).tolist()}
        atomic_write(path, canonical_json(scores))
    return scores


def table(rows: Sequence[tuple[str, int, Scores]], tests: Sequence[str]) -> str:
    """Markdown: mean degrees and millimetres, each with its standard error."""
    columns = [(test, told) for test in tests for told in PROTOCOLS]
    lines = [
        f"| variant | batches | {' | '.join(f'{test}, {told}' for test, told in columns)} |",
        f"|---|---:|{'---:|' * len(columns)}",
    ]
    for name, batches, scores in rows:
        cells = []
        for test, told in columns:
            errors = scores[test].get(told)
            cells.append("–" if errors is None else f"{_mean(errors['degrees'])}° / {_mean(errors['millimetres'])} mm")
        lines.append(f"| {name} | {batches:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(errors: Sequence[float]) -> str:
    """With its standard error."""
    return f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1) / len(errors) ** 0.5:.2f}"


if __name__ == "__main__":
    try:
        main()
    except DactylError as error:
        sys.exit(str(error))
