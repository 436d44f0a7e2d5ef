"""Comparison of training choices on equal data and in equal time: one table of held-out errors under both protocols.

Each variant is a configuration with some changes (``benchmarks.variants``). For variants whose training set looks
different, the set is rendered again with the same states, number of triplets and seed. The number of batches that fit
into the minutes is measured first, on random images in memory, so that each schedule ends when its time does; then
each variant is trained by ``dactyl train`` and its last weights are scored on each test set. A killed run resumes with
the same command, and finished variants are not repeated, so that more can be added later.

The minutes are processor time of one thread, and the batches are counted, so that other work on the machine makes a
training longer but not worse. Other work slows even processor time a little (caches, shared cores): measure the rates
(``--rates``), which determine the batches, while the machine is as quiet as possible.

Errors are means with their standard errors over the triplets of a test set. These do not cover the effect of the seed:
"demo, another seed" shows it, and smaller differences mean nothing. A set that is used to choose no longer tests the
choice, so give sets on which no published figure is measured.

    python -m benchmarks.compare_training --train runs/demo/train --states runs/demo/states-train --minutes 3 \
        --test filament=runs/choice/filament --test classic=runs/choice/classic --output runs/compare
    python -m benchmarks.compare_training ... --only demo paper     # some of the variants
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.train import Contender, made_up_batch
from benchmarks.variants import LOOKS, VARIANTS
from datagen.cli import main_render
from eval.scoring.conditions import Condition, ProtocolName
from eval.scoring.estimator import load_estimator
from eval.scoring.predict import predict
from train.cli import parse
from train.config import TrainConfig
from vision.errors import DactylError
from vision.geometry.rotations import geodesic_distance, matrix_from_quaternion
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json
from vision.machine.hardware import fast_bfloat16
from vision.storage.datasets import TripletDataset

PROBES, PROBE_BATCHES = 4, 4
_PROTOCOLS: tuple[ProtocolName, ...] = ("nominal", "calibrated")  # whose cameras each sample has of its own

Scores = dict[str, dict[str, dict[str, list[float]]]]
"""Test set, protocol, "degrees" or "millimetres": the error of every triplet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="dataset folder")
    parser.add_argument("--states", type=Path, help="of which it was rendered, for variants that look otherwise")
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
    rows, commands = [], []
    for name in names:
        batches = planned(name, arguments.output, arguments.minutes)
        if arguments.rates:
            continue
        data, look = arguments.train, VARIANTS[name].look
        if look:
            data = arguments.output / "looks" / look.replace(" ", "-")
            draw(look, data, arguments.train, arguments.states)
        command = [*training(name), "--data.train", str(data), "--trainer.max_steps", str(batches)]
        rows.append((name, batches, scored(_folder(name, arguments.output), command, batches, tests)))
        commands.append(f"- {name}: `dactyl train {shlex.join(command)} ...`")
        if look:
            commands.append(f"  with `dactyl render {shlex.join(LOOKS[look])} ...`")
    if rows:
        print("\n" + table(rows, list(tests)) + "\n")
    print("\n".join(commands))


def training(name: str) -> list[str]:
    """Return the arguments of ``dactyl train`` for a variant."""
    return ["--config", f"configs/train/{VARIANTS[name].config}.yaml", *VARIANTS[name].changes]


def draw(look: str, data: Path, train: Path, states: Path | None) -> None:
    """Render the training set again with another appearance."""
    if states is None:
        raise DactylError(f"--states: of which {train} was rendered; the look {look!r} is drawn of them again")
    manifest = TripletDataset(train).manifest
    argv = [*LOOKS[look], "--states", str(states), "--output", str(data), "--workers", "1"]
    argv += ["--count", str(manifest.samples), "--seed", str(manifest.seed)]
    with contextlib.redirect_stdout(sys.stderr):
        main_render(argv)
    if TripletDataset(data).manifest.config["states"] != manifest.config["states"]:
        raise DactylError(f"{states}: {train} was rendered of other states")


def planned(name: str, output: Path, minutes: float) -> int:
    """Return the number of batches that fit into the minutes, measured once for each folder.

    Another appearance of the training set costs no training time, so such a variant has the same number.
    """
    variant = VARIANTS[name]
    same = [other for other, known in VARIANTS.items() if known == replace(variant, look="")]
    plan = _folder((same or [name])[0], output) / "plan.json"
    if not plan.exists():
        rate = batches_per_second(parse([*training(name), "--data.train", "-", "--output", "-"])[0])
        atomic_write(plan, canonical_json({"batches": max(1, round(60 * minutes * rate)), "minutes": minutes}))
        print(f"{name}: {rate:.2f} batches/s", file=sys.stderr)
    known = json.loads(plan.read_text())
    if known["minutes"] != minutes:
        raise DactylError(f"{plan}: planned for {known['minutes']:g} minutes, not {minutes:g}; choose a new output")
    return int(known["batches"])


def _folder(name: str, output: Path) -> Path:
    return output / name.replace(", ", "-").replace(" ", "-")


def batches_per_second(config: TrainConfig) -> float:
    """Measure whole training steps, as ``dactyl train`` does them here: processor time, the best of several probes."""
    contender = Contender(config, channels_last=True, bfloat16=fast_bfloat16(), device=torch.device("cpu"))
    batch = made_up_batch(config.data.batch_size)
    contender.rate(batch, 2)  # warms up
    took = []
    for _ in range(PROBES):
        began = time.process_time()
        contender.rate(batch, PROBE_BATCHES)
        took.append(time.process_time() - began)
    return PROBE_BATCHES / min(took)


def scored(folder: Path, argv: list[str], batches: int, tests: dict[str, str]) -> Scores:
    """Train, and return the errors on each test set: nominal and, if the network uses cameras, calibrated."""
    path = folder / "scores.json"
    scores: Scores = json.loads(path.read_text()) if path.exists() else {}
    if missing := tests.keys() - scores.keys():
        command = [sys.executable, "-m", "dactyl", "train", *argv, "--output", str(folder / "training")]
        command += ["--data.workers", "0", "--data.cache", "true", "--trainer.val_check_interval", str(batches)]
        # In its own process, which frees the memory of its images when it ends.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if status := subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode:
            raise DactylError(f"{folder}: dactyl train ended with status {status}; the same command goes on")
        estimator, _ = load_estimator(folder / "training" / "last.ckpt", "auto")
        for test in sorted(missing):
            dataset = TripletDataset(tests[test])
            scores[test] = {}
            for told in _PROTOCOLS if estimator.uses_cameras else _PROTOCOLS[:1]:
                found = predict(estimator, dataset, Condition(told), batch_size=32)
                turn = geodesic_distance(
                    *(matrix_from_quaternion(found[f"{kind}_quaternion"]) for kind in ("predicted", "true"))
                )
                shift = np.linalg.norm(found["predicted_position"] - found["true_position"], axis=-1)
                scores[test][told] = {"degrees": np.rad2deg(turn).tolist(), "millimetres": (1e3 * shift).tolist()}
        atomic_write(path, canonical_json(scores))
    return scores


def table(rows: Sequence[tuple[str, int, Scores]], tests: Sequence[str]) -> str:
    """Format mean degrees and millimetres in Markdown, each with its standard error."""
    columns = [(test, told) for test in tests for told in _PROTOCOLS]
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
    """Format a mean with its standard error."""
    return f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1) / len(errors) ** 0.5:.2f}"


if __name__ == "__main__":
    try:
        main()
    except DactylError as error:
        sys.exit(str(error))
