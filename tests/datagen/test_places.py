"""Generation into an object store: the bytes of a folder, the same resume, and one configuration to a place."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from torch.utils.data import DataLoader
from upath import UPath

from datagen.generate import dataset as generation
from datagen.generate import shard_task
from datagen.generate.dataset import generate, render_one
from datagen.generate.shard_task import ShardTask
from datagen.inspection.check import CheckConfig, faults
from datagen.inspection.info import dataset_table
from datagen.states.collect import StatesConfig, collect
from tests.datagen.test_generate import Painter, config_of
from vision.configuration.command_line import parse
from vision.errors import DactylError
from vision.io.json_values import to_jsonable
from vision.io.store import Location


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=7, seed=3, worlds=4, threads=1))
    return folder


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Shards made in this process, with pictures by :class:`Painter`; gives the numbers of those that were made."""
    made: list[int] = []

    def run(task: ShardTask, numbers: list[int], *_: object, **__: object) -> Iterator[tuple[int, object]]:
        for number in reversed(numbers):
            made.append(number)
            yield number, task(number, lambda count: None)

    monkeypatch.setattr(generation, "run", run)
    monkeypatch.setattr(shard_task, "create_renderer", lambda *arguments: Painter())
    monkeypatch.setenv("DACTYL_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """An S3 server on the loopback interface. One for all tests: fsspec keeps connections."""
    if not all(importlib.util.find_spec(package) for package in ("s3fs", "moto", "flask")):
        pytest.skip("needs the extra s3 and moto: make test-extras")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> Iterator[UPath]:
    if request.param == "s3":
        request.getfixturevalue("s3")
    bucket = UPath(f"{request.param}://bucket-{uuid.uuid4().hex[:8]}")
    bucket.mkdir()
    yield bucket / "set"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def files(folder: Location) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".tar", ".json")}


def test_the_same_bytes_as_in_a_folder(states: Path, place: UPath, tmp_path: Path) -> None:
    local = generate(config_of(states, tmp_path / "set"))
    remote = generate(config_of(states, place))
    assert files(place) == files(local.folder)
    assert remote.fingerprint == local.fingerprint
    assert not list(faults(CheckConfig(place)))
    assert dataset_table(remote).row_count == dataset_table(local).row_count
    shutil.rmtree(tmp_path / "cache")  # the forked workers fetch
    loader = DataLoader(remote, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert [int(sample["index"]) for sample in loader] == list(range(10))
    alone = render_one(config_of(states, place), 6)
    assert alone == place / "only"
    assert (alone / "000000006.top.jpg").read_bytes() == local.member(6, "top.jpg")


def test_resume_makes_what_is_missing_and_no_more(states: Path, place: UPath, painted: list[int]) -> None:
    config = config_of(states, place)
    generate(config)
    whole = files(place)
    painted.clear()
    generate(config)
    assert not painted
    (place / "shard-000001.json").unlink()  # killed between the shard and its record
    (place / "manifest.json").unlink()
    generate(config)
    assert painted == [1]
    (place / "shard-000002.tar").write_bytes(b"half")
    generate(config)
    assert painted == [1, 2]
    assert files(place) == whole
    generate(dataclasses.replace(config, count=12))
    assert painted == [1, 2, 2], "a larger count makes the short last shard again"


def test_another_configuration_is_refused(states: Path, place: UPath) -> None:
    generate(config_of(states, place))
    before = files(place)
    with pytest.raises(DactylError, match=f"^{place}: was begun with another configuration .seed: 5 there, 6 here"):
        generate(config_of(states, place, seed=6))
    assert files(place) == before


def test_where_and_by_whom_is_not_part_of_the_result(states: Path, place: UPath, tmp_path: Path) -> None:
    here = config_of(states, tmp_path / "set")
    there = config_of(states, place, executor="ray", ray_address="auto", workers=7)
    assert here.identity() == there.identity()


def test_urls_on_the_command_line(states: Path) -> None:
    arguments = ["--states", str(states), "--output", "memory://bucket/a/b"]
    config = parse(generation.RenderConfig, arguments, "dactyl render", "")
    assert (str(config.output), to_jsonable(config)["output"]) == ("memory://bucket/a/b", "memory://bucket/a/b")
    local = parse(generation.RenderConfig, ["--states", str(states), "--output", "data/set"], "dactyl render", "")
    assert local.output == Path("data/set")
