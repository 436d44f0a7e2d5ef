"""Training that is killed, stopped, or runs out of disk, and is run again: the weights of an uninterrupted one."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train.cli  # noqa: F401 (children are forks of this process)
from dactyl.cli import main
from tests.faults.children import disturb, finish, last_line, mounted, start, wait_until_alone
from tests.faults.conftest import Trials
from tests.faults.test_checkpoints import same
from tests.synthetic import make_dataset
from tests.train.test_interruptions import MORE, at
from tests.train.test_training import arguments
from vision.network_files import read_checkpoint

TINY = """
model: {head: geometric, backbone: {name: pyramid, width: 8, blocks: 1}, window: {size: 32, locator_width: 8}}
optimizer: {name: adamw, learning_rate: 1.0e-3}
data: {batch_size: 2, val_fraction: 0.4}
save_every: 3
threads: 1
trainer: {max_steps: 24, val_check_interval: 8, accelerator: cpu, enable_progress_bar: false}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    make_dataset(folder / "data", 10, image_size=64, samples_per_shard=4, samples_per_episode=2)
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def command(inputs: Path, output: Path) -> list[str]:
    arguments = ["--config", str(inputs / "tiny.yaml"), "--data.train", str(inputs / "data")]
    return ["train", *arguments, "--output", str(output)]


def trained(folder: Path) -> dict[str, object]:
    """What two trainings must have in common: weights and optimiser to the last bit, and what was the best."""
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
    files = {name: read_checkpoint(folder / f"{name}.ckpt") for name in ("last", "best")}
    found = {f"{name}: {key}": content[key] for name, content in files.items() for key in keys}
    return found | {"last: loops": files["last"]["loops"]}  # nothing goes on from the best


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return [key for key in one if not same(one[key], other[key])]


def test_kills_and_signals_change_no_weight(inputs: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(94)
    torch.set_num_threads(1)
    whole, broken, log = tmp_path / "whole", tmp_path / "broken", tmp_path / "log"
    at = time.monotonic()
    assert finish(command(inputs, whole), log) == 0, log.read_text()
    lasts, expected = time.monotonic() - at, trained(whole)
    for trial in trials(2, 200):
        if disturb(command(inputs, broken), log, rng.uniform(0.1, 0.9) * lasts, trial) == 0:
            assert not differing(expected, trained(broken)), trial
            shutil.rmtree(broken)
    assert finish(command(inputs, broken), log) == 0, log.read_text()
    assert not differing(expected, trained(broken))


def test_a_signal_to_every_process_of_a_training_saves_it(inputs: Path, tmp_path: Path) -> None:
    """As Slurm and systemd send it. Found in a long run: a loading process that ended took the training with it."""
    output, log = tmp_path / "run", tmp_path / "log"
    process = start([*command(inputs, output), "--data.workers", "1", "--trainer.max_steps", "100000"], log)
    deadline = time.monotonic() + 200
    while not (output / "last.ckpt").exists():
        assert process.is_alive(), log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = read_checkpoint(output / "last.ckpt")["global_step"]
    os.killpg(process.pid or 0, signal.SIGTERM)
    process.join(100)
    assert process.exitcode == 143, log.read_text()
    assert last_line(log) == "dactyl train: terminated; the same command resumes"
    assert read_checkpoint(output / "last.ckpt")["global_step"] >= before
    wait_until_alone(process.pid or 0)


def test_a_second_validation_that_was_interrupted_is_whole(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by kills: it was left out in part, and another checkpoint became the best."""
    expected, broken = tmp_path / "whole", tmp_path / "broken"
    more = [*MORE, "--data.batch_size", "2"]
    assert main(["train", *arguments(inputs / "data", expected, *more)]) == 0
    at("validation_step", 5, lambda: signal.raise_signal(signal.SIGTERM), monkeypatch)
    assert main(["train", *arguments(inputs / "data", broken, *more)]) == 143
    assert main(["train", *arguments(inputs / "data", broken, *more)]) == 0
    assert errors(broken) == errors(expected)
    assert not differing(trained(expected), trained(broken))


def change(*keys: Any, to: Any = None) -> Callable[[dict[str, Any]], object]:
    """Put something else in a place of nested values, or take it out."""

    def act(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        if to is None:
            del content[keys[-1]]
        else:
            content[keys[-1]] = to

    return act


READY = ("loops", "fit_loop", "epoch_loop.batch_progress", "total", "ready")
CHANGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no optimiser": (change("optimizer_states"), "the optimiser's state is missing"),
    "an empty optimiser": (change("optimizer_states", 0, "state", to={}), "is of 0 parameters"),
    "half an optimiser": (change("optimizer_states", 0, "state", 1, "exp_avg"), "of parameter 1 is none of Adam's"),
    "another's": (change("optimizer_states", 0, "state", 0, "exp_avg", to=torch.zeros(1)), "another shape"),
    "its NaN": (change("optimizer_states", 0, "state", 0, "step", to=torch.tensor(torch.nan)), "not finite"),
    "a rate of text": (change("optimizer_states", 0, "param_groups", 0, "lr", to="x"), "param_groups.lr"),
    "no counters": (change("loops"), "loops.fit_loop"),
    "odd counters": (change("loops", to=[1]), "loops.fit_loop"),
    "a negative counter": (change(*READY, to=-1), "batch_progress.total.ready"),
    "another counter": (change(*READY, to=2), "its counters say"),
    "no callbacks": (change("callbacks"), "whether a validation is due"),
    "an odd callback": (change("callbacks", "SaveLast", to=3), "whether a validation is due"),
    "no best": (lambda content: content.update(callbacks={"SaveLast": {"validation_due": True}}), "is the best"),
    "no schedule": (change("lr_schedulers", to=[]), "schedule is missing"),
    "an odd schedule": (change("lr_schedulers", 0, "base_lrs", to="x"), "schedule is missing"),
    "no step": (change("global_step"), "missing key 'global_step'"),
    "a step of text": (change("global_step", to="3"), "key 'global_step': expected 'int', got 'str'"),
    "another step": (change("global_step", to=1), "its counters say"),
    "a version that is none": (change("pytorch-lightning_version", to="x"), "InvalidVersion"),
    "no version": (change("pytorch-lightning_version"), "KeyError"),
    "shipped weights": (
        lambda content: [content.pop(key) for key in list(content) if key not in WEIGHTS],
        "missing key",
    ),
}
WEIGHTS = ("schema_version", "hyper_parameters", "state_dict")


@pytest.fixture(scope="module")
def begun(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped after its third batch."""
    run = tmp_path_factory.mktemp("begun") / "run"
    with pytest.MonkeyPatch.context() as patch:
        at("training_step", 2, lambda: signal.raise_signal(signal.SIGTERM), patch)
        assert main(["train", *arguments(inputs / "data", run, *MORE, "--data.batch_size", "2")]) == 143
    return run


@pytest.mark.parametrize("name", CHANGED)
def test_a_state_that_is_none_is_not_gone_on_from(
    name: str, begun: Path, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found: without its optimiser's state a training went on as if nothing were missing."""
    act, complaint = CHANGED[name]
    run = Path(shutil.copytree(begun, tmp_path / "run"))
    content = torch.load(run / "last.ckpt", weights_only=True)
    act(content)
    torch.save(content, run / "last.ckpt")
    assert main(["train", *arguments(inputs / "data", run, *MORE, "--data.batch_size", "2")]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"dactyl train: {run / 'last.ckpt'}: ")
    assert complaint in said


def errors(run: Path) -> dict[str, str]:
    """The held-out error after each validated batch, over all of a run's starts."""
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    return {row["step"]: row["val/rotation_mean_deg"] for row in rows if row.get("val/rotation_mean_deg")}


def test_a_disk_that_fills_in_training_is_one_line(inputs: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(95)
    whole, log = tmp_path / "whole", tmp_path / "log"
    assert finish(command(inputs, whole), log) == 0, log.read_text()
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()) // 1024
    for trial in trials(1, 20):
        with mounted(tmp_path / f"disk-{trial}", int(rng.integers(16, needed))) as resize:
            output = tmp_path / f"disk-{trial}" / "run"
            assert finish(command(inputs, output), log) == 1, log.read_text()
            assert "No space left on device" in last_line(log)
            assert str(output) in last_line(log)
            resize(8 * needed)
            assert finish(command(inputs, output), log) == 0, log.read_text()
            assert not differing(trained(whole), trained(output))
