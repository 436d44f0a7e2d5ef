"""Cost of training beside the network: Lightning's loop, and reading triplets.

Loop: Lightning's step, with all our callbacks and loggers, against a bare PyTorch loop that does the same arithmetic on
the same batches, in turns within one run. Reading: triplets per second decoded in this process and through worker
processes, against what the network consumes. Latency: one triplet, from arrays to a pose, by networks with random
weights. Each rate is given by wall clock and by processor time of this process and its children; on a busy machine only
the latter is comparable.

    python -m benchmarks.train_loop --data runs/demo/train > benchmarks/results/train_loop.txt
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.machine import describe
from benchmarks.train import made_up_batch, sized_scene
from train.batches import Batch, MixedBatches, StepSampler, Waiting, collate
from train.cli import parse
from train.config import TrainConfig
from train.data import Triplets
from train.image_augmentation import ImageAugment
from train.module import PoseTask
from train.precision import resolve_precision
from train.trainer import make_trainer
from vision.storage.datasets import TripletDataset

CONFIGS = Path(__file__).parents[1] / "configs" / "train"
WARM_UP = 2  # first steps of each run, which are not counted


class Clock:
    """Wall and processor time of this process and its finished children since the clock was created, seconds."""

    def __init__(self) -> None:
        self._began = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used)

    def read(self) -> tuple[float, float]:
        wall, processor = self._now()
        return wall - self._began[0], processor - self._began[1]


class FakeData(lightning.LightningDataModule):
    """The same batch repeated, with the attributes that the callbacks need."""

    waited_s = 0.0

    def __init__(self, batch: Batch, steps: int) -> None:
        super().__init__()
        self._batch, self._steps = batch, steps
        self.waiting = Waiting()

    def train_dataloader(self) -> MixedBatches:
        return MixedBatches(self._steps, [self._batch] * self._steps, None)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader([self._batch], batch_size=None)  # type: ignore[arg-type]


class Timer(lightning.Callback):
    """Times the steps after the warm-up."""

    seconds: tuple[float, float]

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == WARM_UP:
            self._clock = Clock()
        if trainer.global_step == self._steps:
            self.seconds = self._clock.read()


def with_lightning(config: TrainConfig, options: dict[str, Any], batch: Batch, steps: int) -> tuple[float, float]:
    timer = Timer(steps)
    options = {**options, "max_steps": steps, "callbacks": [timer], "val_check_interval": steps}
    data, config = FakeData(batch, steps), replace(config, log=replace(config.log, pictures=0))
    trainer = make_trainer(config, {**options, "enable_progress_bar": False}, data)  # type: ignore[arg-type]
    trainer.fit(_task(config), datamodule=data)
    return timer.seconds


def bare(config: TrainConfig, options: dict[str, Any], batch: Batch, steps: int) -> tuple[float, float]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = _task(config).to(device).train()
    batch = {key: value.to(device) for key, value in batch.items()}
    optimizer = torch.optim.AdamW(task.parameters(), config.optimizer.learning_rate)
    augment = ImageAugment(config.augment, torch.Generator(device).manual_seed(0))
    for step in range(steps):
        if step == WARM_UP:
            clock = Clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=options["precision"] == "bf16-mixed"):
            loss = task.losses(batch, augment).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), options["gradient_clip_val"])
        optimizer.step()
    return clock.read()


def by_number(folder: Path, batch_size: int, batches: int, workers: int) -> Iterator[Batch]:
    """Return the batches that training on a map-style dataset gets."""
    source = TripletDataset(folder, verify=False)  # as a training, which compares hashes once, before
    triplets = Triplets(source, np.arange(len(source)), cache=False)
    sampler = StepSampler(len(triplets), batch_size, batches, seed=0)
    return iter(DataLoader(triplets, batch_sampler=sampler, collate_fn=collate, num_workers=workers))


def reading(folder: Path, batch_size: int, batches: int, workers: int) -> tuple[float, float]:
    """Measure seconds for ``batches`` batches of the training's own loader, after its first one."""
    ahead = 2 * workers  # batches that workers have ready before the clock starts
    loader = by_number(folder, batch_size, batches + ahead + 1, workers)
    next(loader)
    clock = Clock()
    for _ in itertools.islice(loader, batches):
        pass
    wall, _ = clock.read()
    del loader  # ends the workers, whose time is counted only then
    return wall, clock.read()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="demo", help="of configs/train")
    parser.add_argument("--data", type=Path, help="dataset to read; no rates of reading without one")
    parser.add_argument("--batch", type=int, default=16, help="triplets")
    parser.add_argument("--steps", type=int, default=8, help="of each run, two more to warm up")
    parser.add_argument("--runs", type=int, default=3, help="of each contender, in turns; the median is printed")
    parser.add_argument("--workers", type=int, default=2, help="that read")
    arguments = parser.parse_args()
    print(describe())
    print(f"on {_device()}, configs/train/{arguments.config}.yaml, batches of {arguments.batch} triplets\n")
    with tempfile.TemporaryDirectory() as folder:
        config, options = parse(
            ["--config", str(CONFIGS / f"{arguments.config}.yaml"), "--data.train", "-", "--output", folder]
        )
        options["precision"], _ = resolve_precision(options, None)
        consumed = _loops(config, options, arguments)
    if arguments.data is not None:
        _reading(arguments, consumed)


def _loops(config: TrainConfig, options: dict[str, Any], arguments: argparse.Namespace) -> float:
    """Print both loops' rates, and return the bare loop's triplets per second of processor time."""
    batch = {**made_up_batch(arguments.batch), "index": torch.arange(arguments.batch)}
    steps = arguments.steps + WARM_UP
    contenders: dict[str, Callable[..., tuple[float, float]]] = {"bare PyTorch": bare, "Lightning": with_lightning}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(arguments.runs):
        for name, contender in contenders.items():
            seconds[name].append(contender(config, options, batch, steps))
    triplets = arguments.steps * arguments.batch
    _print_rates({name: [(triplets / wall, triplets / cpu) for wall, cpu in each] for name, each in seconds.items()})
    ratios = [
        [one[part] / other[part] for one, other in zip(seconds["bare PyTorch"], seconds["Lightning"], strict=True)]
        for part in (0, 1)
    ]
    print(
        f"Lightning's rate over the bare loop's, median of {arguments.runs} pairs: "
        f"{statistics.median(ratios[0]):.2f} by wall clock, {statistics.median(ratios[1]):.2f} by processor time "
        "(goal 0.95)"
    )
    if torch.cuda.is_available():
        print(f"GPU memory at most: {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
    rate: float = statistics.median(triplets / cpu for _, cpu in seconds["bare PyTorch"])
    return rate


def _reading(arguments: argparse.Namespace, consumed: float) -> None:
    contenders = {"read in process": 0, f"read by {arguments.workers} workers": arguments.workers}
    batches = 16
    triplets = batches * arguments.batch
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(arguments.runs):
        for name, workers in contenders.items():
            wall, processor = reading(arguments.data, arguments.batch, batches, workers)
            rates[name].append((triplets / wall, triplets / processor))
    print()
    _print_rates(rates)
    read = statistics.median(cpu for _, cpu in rates["read in process"])
    print(f"a core reads {read / consumed:.1f} times what the network consumes per second of processor time")


def _print_rates(rates: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{'':20}{'triplets/s, wall':>20}{'per processor second':>24}")
    for name, pairs in rates.items():
        wall, processor = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:20}{wall:20.1f}{processor:24.1f}", flush=True)


def _task(config: TrainConfig) -> PoseTask:
    return PoseTask(config.model, sized_scene(), config.loss, config.augment, config.optimizer, config.seed)


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
