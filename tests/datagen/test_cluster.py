"""Shards on a Ray cluster: the bytes of a local run, whatever dies; no process is left behind.

Ray is an extra, so without it all but one of these tests are skipped; ``make test-extras`` runs them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datagen.generate import dataset as generation
from datagen.generate import shard_task
from datagen.generate.config import RenderConfig
from datagen.generate.dataset import generate
from datagen.generate.shard_task import ShardTask
from datagen.states.collect import StatesConfig, collect
from datagen.workers.pool import TransientError
from datagen.workers.ray_cluster import LOOPBACK_ONLY, RAY_ENVIRONMENT
from tests.datagen.test_generate import Painter, config_of
from vision.configuration.command_line import UsageError, parse
from vision.errors import DactylError
from vision.machine.progress import Advance
from vision.storage.shards import ShardRecord

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray: make test-extras")
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class PaintedTask(ShardTask):
    """A shard of :class:`Painter`'s pictures, slowly, so that it can be met half-way."""

    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        def slowly(count: int) -> None:
            time.sleep(0.2)
            advance(count)

        shard_task.create_renderer = lambda *arguments: Painter()  # type: ignore[assignment]
        return super().__call__(number, slowly)


@dataclass(frozen=True)
class FaultyTask(PaintedTask):
    """Its shards 1 to 3 each fail once, in the ways that a worker can; shard 0 is slow but alive."""

    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        assert isinstance(self.config.output, Path)
        tried = self.config.output / f"tried-{number}"
        if number and not tried.exists():
            tried.touch()
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            elif number == 2:
                time.sleep(120)
            raise TransientError("the driver has hiccups")
        return super().__call__(number, advance)


@dataclass(frozen=True)
class HopelessTask(PaintedTask):
    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        if number == 1:
            raise TransientError("the driver is broken")
        return super().__call__(number, advance)


@dataclass(frozen=True)
class RefusingTask(PaintedTask):
    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        raise DactylError("sample 0 is broken")


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=7, seed=3, worlds=4, threads=1))
    return folder


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """As the command has it; the cluster of these tests is started without it."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**RAY_ENVIRONMENT, LOOPBACK_ONLY: "0"}.items():
            environment.setenv(name, value)
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # the workers find the tasks above
        yield


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in (".tar", ".json")}


def local_run(config: RenderConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The same set made in this process."""
    with monkeypatch.context() as patch:
        patch.setattr(shard_task, "create_renderer", lambda *arguments: Painter())
        patch.setattr(
            generation, "run", lambda task, numbers, *_, **__: ((n, task(n, lambda count: None)) for n in numbers)
        )
        generate(config)
    assert isinstance(config.output, Path)
    return files(config.output)


def ray_processes() -> set[int]:
    """Living processes of the Ray sessions that this process began: their command or an open log says so."""
    session = re.compile(rf"/ray/session_[0-9_-]+_{os.getpid()}/")
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            traces = [(process / "cmdline").read_text(errors="replace"), *map(_target, (process / "fd").glob("*"))]
            if int(process.name) != os.getpid() and any(map(session.search, traces)):
                found.add(int(process.name))
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed in the meantime
        return ""


def node() -> dict[str, Any]:
    """One core, on the loopback interface, with nothing that tasks do not need."""
    quiet = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    return {"num_cpus": 1, "node_ip_address": "127.0.0.1", **quiet}


@pytest.fixture(scope="module")
def cluster(patience: None) -> Iterator[Any]:
    """Of one node at first; no process of it is left at the end."""
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Some 10 s of a core: the server behind the dashboard that nobody looks at.
        patch.setattr(Node, "start_api_server", lambda *_, **__: None)
        cluster = Cluster(initialize_head=True, head_node_args=node())
    yield cluster
    processes = ray_processes()
    assert processes
    cluster.shutdown()
    assert gone(processes)


def listening_addresses(processes: set[int]) -> set[str]:
    """Local addresses of the TCP sockets on which ``processes`` listen."""
    listen, addresses = "0A", {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == listen:
                packed = bytes.fromhex(fields[1].partition(":")[0])
                words = [packed[i : i + 4][::-1] for i in range(0, len(packed), 4)]
                address = ipaddress.ip_address(b"".join(words))
                addresses[fields[9]] = str(getattr(address, "ipv4_mapped", None) or address)
    found = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            inode = _target(descriptor).removeprefix("socket:[").removesuffix("]")
            found |= {addresses[inode]} if inode in addresses else set()
    return found


def gone(processes: set[int]) -> bool:
    deadline = time.monotonic() + 30
    while ray_processes() & processes:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@needs_ray
def test_a_node_that_is_killed_costs_nothing(
    cluster: Any, states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = local_run(config_of(states, tmp_path / "local", count=40), monkeypatch)
    handler = signal.getsignal(signal.SIGTERM)
    second = cluster.add_node(**node())
    signal.signal(signal.SIGTERM, handler)  # Ray leaves one of each node's
    done_when_killed: list[int] = []

    def kill() -> None:
        while len(list(tmp_path.glob("ray/shard-*.json"))) < 2:
            time.sleep(0.05)
        done_when_killed.append(len(list(tmp_path.glob("ray/shard-*.json"))))
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    monkeypatch.setattr(generation, "ShardTask", PaintedTask)
    generate(config_of(states, tmp_path / "ray", count=40, executor="ray", ray_address=cluster.address))
    killer.join()
    assert 2 <= done_when_killed[0] < 10, "killed in mid-job"
    assert files(tmp_path / "ray") == whole


@needs_ray
def test_workers_that_die_hang_or_raise_are_replaced(
    cluster: Any, states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = local_run(config_of(states, tmp_path / "local", count=16), monkeypatch)
    monkeypatch.setattr(generation, "ShardTask", FaultyTask)
    handler = signal.getsignal(signal.SIGTERM)
    output = tmp_path / "ray"
    generate(config_of(states, output, count=16, executor="ray", ray_address=cluster.address, timeout_s=15.0))
    assert sorted(path.name for path in output.glob("tried-*")) == ["tried-1", "tried-2", "tried-3"]
    assert files(output) == whole
    assert signal.getsignal(signal.SIGTERM) is handler, "ours says how to resume"


@needs_ray
@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (HopelessTask, r"shard-000001\.tar: gave up at sample 4: the driver is broken; rerun to resume"),
        (RefusingTask, r"^sample 0 is broken$"),
    ],
)
def test_what_keeps_failing_is_named(
    task: type[ShardTask],
    complaint: str,
    cluster: Any,
    states: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generation, "ShardTask", task)
    config = config_of(states, tmp_path / "ray", executor="ray", ray_address=cluster.address)
    with pytest.raises(DactylError, match=complaint) as caught:
        generate(config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ray" / "manifest.json").exists()


@needs_ray
def test_ray_started_here_listens_to_nobody_else_and_ends_with_the_command(
    states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ray_processes()
    started, listening = set[int](), set[str]()
    monkeypatch.setattr(generation, "ShardTask", PaintedTask)

    def watch() -> None:
        while not list(tmp_path.glob("ray/shard-*.json")):
            time.sleep(0.1)
        started.update(ray_processes() - before)
        listening.update(listening_addresses(started))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    generate(config_of(states, tmp_path / "ray", executor="ray", workers=1))
    watcher.join()
    assert started
    assert listening == {"127.0.0.1"}
    assert gone(started)


@needs_ray
def test_no_cluster_is_one_line(states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(
        DactylError, match=r"^no Ray cluster at head:6379 .Could not find any running Ray instance.; .*$"
    ):
        generate(config_of(states, tmp_path / "set", executor="ray", ray_address="head:6379"))


def test_without_ray_one_line_names_the_extra(states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DactylError, match=r"pip install 'dactyl-vision\[ray\]'"):
        generate(config_of(states, tmp_path / "set", executor="ray"))


def test_an_address_is_rays(states: Path) -> None:
    arguments = ["--states", str(states), "--output", "set", "--ray_address", "auto"]
    with pytest.raises(UsageError, match="ray_address: is of use only with executor ray"):
        parse(RenderConfig, arguments, "dactyl render", "")
