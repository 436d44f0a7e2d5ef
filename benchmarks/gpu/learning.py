"""The whole pipeline by the real commands: a dataset, two minutes of training on it, evaluation, online training."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.gpu.rows import Plan, emit, emit_error, run_part
from benchmarks.gpu.training import TINY
from benchmarks.train import CONFIGS, Contender, load_config, made_up_batch
from eval.scoring.conditions import Condition
from eval.scoring.estimator import load_estimator
from eval.scoring.predict import predict
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset

RENDER = CONFIGS.parent / "render" / "wide.yaml"
SPARSE = CONFIGS.parent / "states" / "sparse.yaml"
_TRAINING_S, _RENDERING_S, _ONLINE_S = 120.0, 40.0, 15.0
_START_TRIPLETS = 256


def main(plan: Plan) -> None:
    make_data(plan)
    rate = training_rate(plan)
    steps = 2 if plan.tiny else max(50, round(0.9 * _TRAINING_S * rate))
    try:
        learn(plan, "stored", ["--data.train", str(plan.folder / "train")], steps)
        evaluate(plan)
    except DactylError as error:
        emit_error("best.yaml on stored triplets", "deg", error)
    online = ["--config", str(CONFIGS / "online.yaml"), "--data.online.states", str(plan.folder / "states")]
    for key, value in image_options(plan).items():
        online += [f"--data.online.render.{key}", value]
    try:
        learn(plan, "online", [*online, *(["--data.online.chunk", "2"] if plan.tiny else [])], steps, _ONLINE_S)
    except DactylError as error:
        emit_error("best.yaml online", "triplets/s", error)


def make_data(plan: Plan) -> None:
    """Make states and a training set, with as many triplets as the time allows, and the same for validation."""
    sizes = ["--worlds", "2", "--count", "4"] if plan.tiny else ["--count", "3000"]
    dactyl("states", "--config", SPARSE, "--output", plan.folder / "states", *sizes)
    dactyl("states", "--config", SPARSE, "--output", plan.folder / "states-val", "--seed", "1", *sizes)
    count, options = (4 if plan.tiny else _START_TRIPLETS), ["--config", str(RENDER)]
    for key, value in image_options(plan).items():
        options += [f"--render.{key}", value]
    cores = len(os.sched_getaffinity(0))
    options += ["--shard_size", str(count if plan.tiny else 64), "--workers", str(cores)]
    val, train = (("render", *options, "--states", plan.folder / name) for name in ("states-val", "states"))
    spent = dactyl(*val, "--output", plan.folder / "val", "--count", str(count), "--seed", "1")
    emit(f"dactyl render, {count} triplets, start included", count / spent, "triplets/s")
    spent = dactyl(*train, "--output", plan.folder / "train", "--count", str(count))
    if not plan.tiny:  # add as many as fit into the time at the rate so far, including the start
        more = max(1, round(_RENDERING_S * count / spent / 64)) * 64
        spent = dactyl(*train, "--output", plan.folder / "train", "--count", str(count + more))
        emit(f"dactyl render, {more:,} triplets, start included", more / spent, "triplets/s")


def training_rate(plan: Plan) -> float:
    """Measure batches per second of the network alone."""
    if plan.tiny:
        return 1.0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = load_config("best")
    batch = {key: value.to(device) for key, value in made_up_batch(config.data.batch_size).items()}
    on_gpu = device.type == "cuda"
    contender = Contender(config, on_gpu, on_gpu, device)
    contender.rate(batch, 2)
    return contender.rate(batch, 20 if device.type == "cuda" else 1) / config.data.batch_size


def learn(plan: Plan, name: str, source: list[str], steps: int, seconds: float | None = None) -> None:
    """Train ``best.yaml`` for some batches or seconds, and emit rates, waiting times and errors from its log."""
    output = plan.folder / f"training-{name}"
    workers = 0 if plan.tiny else max(0, len(os.sched_getaffinity(0)) - 2)
    command = ["train", "--config", CONFIGS / "best.yaml", *source, "--data.val", plan.folder / "val"]
    command += ["--output", output, "--data.workers", str(workers), "--log.pictures", "0"]
    command += ["--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)]
    if plan.tiny:
        command += [*TINY["best"], "--data.batch_size", "2", "--threads", "1"]
        command += ["--trainer.precision", "32-true", "--trainer.log_every_n_steps", "1"]
    elif not torch.cuda.is_available():
        command += ["--trainer.precision", "32-true"]
    else:
        command += ["--trainer.log_every_n_steps", "20"]
    if seconds is not None and not plan.tiny:
        command += ["--trainer.max_time", f"00:00:00:{seconds:02.0f}"]
    spent = dactyl(*command)
    logs = [row for log in output.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    rates, waits = (column(logs, f"rate/{key}") for key in ("triplets_per_second", "waiting_share"))
    if rates:  # the first interval includes the start of the processes that load or render
        emit(f"best.yaml, {name}: rate", statistics.median(rates[len(rates) > 1 :]), "triplets/s", seconds=spent)
        emit(f"best.yaml, {name}: waiting share", statistics.mean(waits[len(waits) > 1 :]), "")
    for protocol, key in (("calibrated", "val/"), ("nominal", "val/nominal_")):
        for what, unit in (("rotation_mean_deg", "deg"), ("position_mean_mm", "mm")):
            values = column(logs, key + what)
            if values and seconds is None:
                label = f"best.yaml, {steps:,} batches in {spent:.0f} s, held out, {protocol}: {what.split('_')[0]}"
                emit(label, values[-1], unit)


def evaluate(plan: Plan) -> None:
    """Measure triplets per second of evaluation, including decoding."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset = TripletDataset(plan.folder / "val")
    estimator, _ = load_estimator(plan.folder / "training-stored" / "best.ckpt", device)
    for protocol in ("nominal", "calibrated"):
        condition = Condition(protocol)
        predict(estimator, dataset, condition, 32)
        began = time.perf_counter()
        predict(estimator, dataset, condition, 32)
        emit(f"dactyl evaluate, {protocol}", len(dataset) / (time.perf_counter() - began), "triplets/s")


def image_options(plan: Plan) -> dict[str, str]:
    return {"image_size": "32", "shadow_map_size": "64"} if plan.tiny else {}


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name)]


def dactyl(*arguments: object) -> float:
    """Run a command from the source tree, and return the seconds that it took.

    Raises:
        DactylError: it failed; the message has the last line of its standard error.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "dactyl", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = (result.stderr.strip().splitlines() or ["no word"])[-1]
        raise DactylError(f"dactyl {arguments[0]} ended with status {result.returncode}: {said}")
    return time.perf_counter() - began


if __name__ == "__main__":
    run_part(main)
