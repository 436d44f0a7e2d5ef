"""Convex pieces are computed once: kept by what they depend on, and made again where the file is not whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from vision.io.user_cache import keep, recall
from vision.objects import convex
from vision.objects.convex import convex_pieces
from vision.objects.decomposition import decompose


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DACTYL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What CoACD was asked for, in its place one that answers at once."""
    asked: list[int] = []

    def run(vertices: np.ndarray, faces: np.ndarray, settings: dict[str, object]) -> list[np.ndarray]:
        asked.append(int(str(settings["max_convex_hull"])))
        corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
        return [corners, corners + 2]

    monkeypatch.setattr(convex, "decompose", run)
    return asked


def two_boxes(apart: float = 1.0) -> trimesh.Trimesh:
    other = trimesh.creation.box((0.1, 0.1, 0.1))
    return trimesh.util.concatenate([other.copy().apply_translation((apart, 0, 0)), other])


def test_the_second_time_they_come_from_the_cache(
    cache: Path, calls: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = convex_pieces(two_boxes(), 8), convex_pieces(two_boxes(), 8)
    assert calls == [8]
    assert capsys.readouterr().err.count("by CoACD, once on this machine") == 1
    assert len(first) == len(second) == 2
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_another_body_other_settings_and_another_coacd_are_computed(
    cache: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    convex_pieces(two_boxes(), 8)
    convex_pieces(two_boxes(), 9)
    convex_pieces(two_boxes(1.1), 8)
    monkeypatch.setattr(convex, "package_version", lambda name: "99")
    convex_pieces(two_boxes(), 8)
    assert calls == [8, 9, 8, 8]


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "folder", "foreign"])
def test_what_is_not_whole_is_made_again(damage: str, cache: Path, calls: list[int]) -> None:
    convex_pieces(two_boxes(), 8)
    (path,) = (cache / "convex-pieces").iterdir()
    content = path.read_bytes()
    if damage == "foreign":  # whole, and something else
        keep("convex-pieces", path.name, b"pieces", 1 << 20)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        made = {"flipped": content[:-9] + b"\xff" + content[-8:], "short": content[:-1], "empty": b""}
        path.write_bytes(made[damage])
    assert len(convex_pieces(two_boxes(), 8)) == 2
    assert calls == [8, 8]
    convex_pieces(two_boxes(), 8)
    assert len(calls) == (3 if damage == "folder" else 2)


def test_without_a_place_to_write_they_are_computed_each_time(
    tmp_path: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DACTYL_CACHE", str(tmp_path / "file" / "cache"))
    assert len(convex_pieces(two_boxes(), 8)) == len(convex_pieces(two_boxes(), 8)) == 2
    assert calls == [8, 8]


@pytest.mark.timeout(60)
def test_a_signal_stops_coacd() -> None:
    """In this process its native code would run on for minutes."""
    pytest.importorskip("coacd")
    body = trimesh.creation.torus(1.0, 0.3, major_sections=200, minor_sections=100)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(5, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            decompose(body.vertices, body.faces, {"threshold": 0.01, "mcts_iterations": 2000})
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    until = time.monotonic() + 5
    while any(
        b"decomposition" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children.read_text().split()
    ):
        assert time.monotonic() < until, "it was told to stop, and runs on"
        time.sleep(0.05)


def test_what_coacd_cannot_decompose_is_one_line() -> None:
    pytest.importorskip("coacd")
    with pytest.raises(ValueError, match=r"CoACD found no convex pieces .* list files of convex pieces"):
        decompose(np.zeros((3, 3)), np.array([[0, 1, 2]]), {"threshold": "much"})


def test_the_least_recently_used_go_first(cache: Path) -> None:
    for number, key in enumerate("abc"):
        keep("some", key, bytes(100), 1_000)
        os.utime(cache / "some" / key, (number, number))
    assert recall("some", "a", 100) == bytes(100)  # used just now
    keep("some", "d", bytes(100), 3 * 132)
    assert sorted(path.name for path in (cache / "some").iterdir()) == ["a", "c", "d"]
    assert recall("some", "b", 100) is None
    assert recall("some", "a", 99) is None, "larger than asked for"


def _write(key: str, fill: int) -> None:
    for _ in range(50):
        keep("race", key, bytes([fill]) * 5_000, 20_000)
        found = recall("race", key, 5_000)
        assert found is not None
        assert len(set(found)) == 1, "one writer's whole file"


def test_writers_at_once_leave_whole_files(cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=("k", number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [path.name for path in (cache / "race").iterdir()] == ["k"]
