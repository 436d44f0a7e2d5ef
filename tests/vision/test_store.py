"""Datasets under URLs: whole or absent, claimed by one configuration, fetched once, and never believed unread."""

from __future__ import annotations

import functools
import multiprocessing
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

from dactyl.cli import main
from tests.datasets import make_sample, write_dataset
from vision.errors import DactylError
from vision.io import store
from vision.io.files import atomic_write, exclusive_folder, read_start, sha256
from vision.io.store import locate
from vision.io.user_cache import cache_folder
from vision.storage.datasets import TripletDataset
from vision.storage.folders import CONFIG, MANIFEST, reserve_output
from vision.storage.manifest import DatasetFolder
from vision.storage.shards import committed_shard, shard_name, write_shard


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DACTYL_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    return tmp_path / "cache"


@pytest.fixture
def place() -> Iterator[UPath]:
    """An empty place in memory: like an object store it has no folders, no rename and no lock."""
    yield UPath("memory://bucket/set")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("local"), (3, 2))


@pytest.fixture
def served(local: Path) -> Iterator[str]:
    """The set behind a web server on the loopback interface."""
    handler = functools.partial(_Quiet, directory=str(local))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None: ...


def same(one: TripletDataset, other: TripletDataset) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(one[number][key], other[number][key]) for number in range(len(one)) for key in one[number]
    )


def test_locations() -> None:
    assert locate("data/set") == Path("data/set")
    assert locate("~/set") == Path.home() / "set"  # YAML files are read by no shell: it made a folder called ~
    assert locate("file:///data/set") == Path("/data/set")
    assert isinstance(locate("file:///data/set"), Path)
    assert str(locate("memory://bucket/set") / "a.tar") == "memory://bucket/set/a.tar"


def test_a_url_that_cannot_be_opened_is_no_folder_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--dataset", "nowhere://bucket/set"]) == 2
    assert "Unsupported filesystem: 'nowhere'" in capsys.readouterr().err
    assert main(["coverage", "--states", "memory://states"]) == 2
    assert "expected a folder or file of this machine, got memory://states" in capsys.readouterr().err


def test_a_set_under_a_url_is_the_set_in_a_folder(place: UPath, local: Path, cache: Path) -> None:
    write_dataset(place, (3, 2))
    for path in local.iterdir():
        assert (place / path.name).read_bytes() == path.read_bytes(), path.name
    remote = TripletDataset("memory://bucket/set")
    assert not list(cache.rglob("*.tar")), "opening fetches no shard"
    assert remote[4]["index"] == 4
    assert len(list(cache.rglob("*.tar"))) == 1, "only the shard of the sample is fetched"
    assert same(remote, TripletDataset(local))
    assert remote.fingerprint == TripletDataset(local).fingerprint
    assert remote.where(0) == "memory://bucket/set/shard-000000.tar: 000000000"
    remote.verify()
    for shard in remote.shards:
        DatasetFolder(place).check_shard(shard)


def test_shards_are_fetched_once(place: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(place, (3, 2))
    TripletDataset(place)[0]
    (place / shard_name(0)).unlink()
    assert TripletDataset(place)[1]["index"] == 1
    (place / shard_name(1)).unlink()
    dataset = TripletDataset(place)
    with pytest.raises(DactylError, match=r"memory://bucket/set/shard-000001\.tar: cannot be read"):
        dataset[3]


def test_what_was_damaged_on_the_way_is_named_and_not_kept(place: UPath, cache: Path) -> None:
    write_dataset(place, (3, 2))
    path = place / shard_name(0)
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DactylError, match=r"memory://bucket/set/shard-000000\.tar: content differs"):
        TripletDataset(place)[0]
    assert not list(cache.rglob("*"))


def test_of_a_longer_file_in_a_shards_place_no_more_is_fetched(place: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(place, (1,))
    dataset, path = TripletDataset(place), place / shard_name(0)
    path.write_bytes(path.read_bytes() + bytes(1 << 20))
    fetched: list[int] = []
    fetch = MemoryFileSystem.cat_file

    def counted(self: MemoryFileSystem, where: str, **options: int) -> bytes:
        content: bytes = fetch(self, where, **options)
        fetched.append(len(content))
        return content

    monkeypatch.setattr(MemoryFileSystem, "cat_file", counted)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: content differs"):
        dataset[0]
    assert fetched == [dataset.shards[0].bytes + 1]


def test_a_damaged_cache_is_seen_by_verify(place: UPath, cache: Path) -> None:
    write_dataset(place, (1,))
    dataset = TripletDataset(place)
    dataset[0]
    (kept,) = cache.rglob("*.tar")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(DactylError, match=rf"{dataset.shards[0].sha256}\.tar: content differs"):
        dataset.verify()


def test_a_set_behind_a_web_server(served: str, local: Path) -> None:
    assert same(TripletDataset(served), TripletDataset(local))


def test_worker_processes_fetch_for_themselves(served: str) -> None:
    """DataLoader's workers are forked, and no connection survives that."""
    dataset = TripletDataset(served)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(functools.partial(_index, dataset), range(5)) == list(range(5))


def _index(dataset: TripletDataset, number: int) -> int:
    return int(dataset[number]["index"])


def test_an_unfinished_or_absent_set_is_named(place: UPath) -> None:
    with pytest.raises(DactylError, match=r"memory://bucket/set/manifest\.json: no such dataset manifest"):
        TripletDataset(place)
    write_dataset(place, (1,))
    (place / CONFIG).write_bytes(b"{}")
    (place / MANIFEST).unlink()
    with pytest.raises(DactylError, match="memory://bucket/set: unfinished dataset"):
        TripletDataset(place)


def test_a_shard_is_done_when_its_record_is_there_and_its_size_right(place: UPath) -> None:
    write_shard(place, 0, [make_sample(0)], "ours", {})
    assert committed_shard(place, 0, "ours") is not None
    assert committed_shard(place, 0, "another") is None
    assert committed_shard(place, 1, "ours") is None
    path = place / shard_name(0)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert committed_shard(place, 0, "ours") is None
    path.write_bytes(content)
    path.with_suffix(".json").unlink()
    assert committed_shard(place, 0, "ours") is None, "the shard was put, its record was not"


def test_only_one_configuration_gets_in(place: UPath) -> None:
    reserve_output(place, {"seed": 1}, "shard-*")
    reserve_output(place, {"seed": 1}, "shard-*")
    with pytest.raises(DactylError, match=r"memory://bucket/set: was begun with another .*seed: 1 there, 2 here"):
        reserve_output(place, {"seed": 2}, "shard-*")
    with exclusive_folder(place):
        pass


def test_of_many_claims_at_once_one_wins(place: UPath) -> None:
    """Even where the others have seen an empty place before."""
    assert [store.create(place / CONFIG, str(n).encode()) for n in range(3)] == [True, False, False]
    assert read_start(place / CONFIG, 9) == b"0"


def test_shards_without_a_configuration_are_refused(place: UPath) -> None:
    write_dataset(place, (1,))
    store.remove(place / CONFIG)
    with pytest.raises(DactylError, match=r"holds shard-\* but no config\.json"):
        reserve_output(place, {"seed": 1}, "shard-*")


@pytest.mark.parametrize(
    "piece", ["part-000000.parquet", "shard-000000.tar", "last.ckpt", "blocks/0.json", "starts.npy"]
)
def test_what_another_command_made_is_not_claimed(piece: str, tmp_path: Path) -> None:
    """States rendered into their own folder lost their note and manifest, and could not be collected on."""
    reserve_output(tmp_path, {"seed": 1}, "nothing-*")
    (tmp_path / piece).parent.mkdir(exist_ok=True)
    (tmp_path / piece).touch()
    before = (tmp_path / CONFIG).read_bytes()
    with pytest.raises(DactylError, match="which another command made; choose another output"):
        reserve_output(tmp_path, {"seed": 2}, "nothing-*")
    assert (tmp_path / CONFIG).read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_files_of_others_are_not_written_over(name: str, tmp_path: Path) -> None:
    """``--output .`` in a folder with a file of so common a name."""
    (tmp_path / name).write_text('{"theirs": 1}')
    with pytest.raises(DactylError, match="choose another output"):
        reserve_output(tmp_path, {"seed": 2}, "shard-*")
    assert (tmp_path / name).read_text() == '{"theirs": 1}'


def test_files_are_written_and_read_like_local_ones(place: UPath, tmp_path: Path) -> None:
    for folder in (place, tmp_path):
        atomic_write(folder / "a.txt", b"one")
        atomic_write(folder / "b.txt", lambda file: file.write(b"two") and None)
        assert (read_start(folder / "a.txt", 9), read_start(folder / "b.txt", 9)) == (b"one", b"two")
        assert (store.size(folder / "a.txt"), store.size(folder / "c.txt")) == (3, None)
        assert store.names(folder, "*.txt") == ["a.txt", "b.txt"]
        assert store.names(folder / "nowhere", "*") == []
        assert sha256(folder / "a.txt") == sha256(tmp_path / "a.txt" if folder == tmp_path else folder / "a.txt")
        store.remove(folder / "a.txt")
        store.remove(folder / "a.txt")
        assert store.names(folder, "*.txt") == ["b.txt"]


class _Strange(Exception):
    """What a store's client may raise: no OSError."""


def test_whatever_a_store_raises_is_one_line(place: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(place, (1,))
    dataset = TripletDataset(place)

    def refuse(*_: object, **__: object) -> None:
        raise _Strange("no\ncredentials")

    for method in ("pipe_file", "cat_file", "_open", "info", "glob"):
        monkeypatch.setattr(MemoryFileSystem, method, refuse)
    format_error = r"^memory://bucket/set.*_Strange: no credentials.*$"
    for action in (
        lambda: TripletDataset(place),
        lambda: dataset[0],
        lambda: atomic_write(place / "a", b""),
        lambda: reserve_output(place, {}, "shard-*"),
        lambda: committed_shard(place, 0, "ours"),
    ):
        with pytest.raises(DactylError) as caught:
            action()
        assert re.fullmatch(format_error, str(caught.value)), str(caught.value)


def test_nobody_answers() -> None:
    with pytest.raises(DactylError, match=r"^http://127\.0\.0\.1:9/set/manifest\.json: not a readable .*network$"):
        TripletDataset("http://127.0.0.1:9/set")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("gs://bucket/set", "gcsfs"),
        ("teapot://box/set", "Unsupported filesystem: 'teapot'; give a folder"),
        ("adl://account/set", "bucket/container missing|adlfs"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_is_missing(url: str, complaint: str) -> None:
    with pytest.raises(DactylError, match=f"^{url}: .*({complaint}).*$"):
        TripletDataset(url)
