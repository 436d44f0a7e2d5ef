"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from tests.faults.harness import memory_bounded
from vision.errors import DactylError
from vision.io import files
from vision.io.json_values import canonical_json, fingerprint


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A device would be one no longer: ``--output /dev/full``, said by root."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    for name in ("pipe", "device"):
        with pytest.raises(DactylError, match=f"{name}: cannot write: a device or pipe; name a file"):
            files.atomic_write(tmp_path / name, b"content")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "pipe"]


def test_atomic_write_of_bytes_and_of_a_function(tmp_path: Path) -> None:
    def write_two(file: IO[bytes]) -> None:
        file.write(b"two")

    files.atomic_write(tmp_path / "deep" / "a", b"one")
    files.atomic_write(tmp_path / "deep" / "a", write_two)
    assert (tmp_path / "deep" / "a").read_bytes() == b"two"
    assert names(tmp_path / "deep") == {"a"}


def test_a_failing_writer_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        files.atomic_write(path, fail)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_disk_full_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel's own file size limit stands in for a full disk: the write fails after 4 kB."""
    code = f"""
import pathlib, resource, signal
from vision.errors import DactylError
from vision.io.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    atomic_write(pathlib.Path({str(tmp_path)!r}) / "a", b"x" * 100_000)
except DactylError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'a'}: cannot write")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["file/a", "x" * 300])
def test_an_impossible_path_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DactylError, match="cannot write"):
        files.atomic_write(tmp_path / name, b"")


def test_killed_writers_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    code = f"""
import pathlib
from vision.io.files import atomic_write
path = pathlib.Path({str(tmp_path)!r}) / "a"
print("ready", flush=True)
while True:
    atomic_write(path, b"a" * 1_000_000)
    atomic_write(path, b"b" * 1_000_000)
"""
    for delay in (0.0, 0.01, 0.05, 0.1):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        if (tmp_path / "a").exists():
            assert (tmp_path / "a").read_bytes() in (b"a" * 1_000_000, b"b" * 1_000_000)
    with files.exclusive_folder(tmp_path):
        assert names(tmp_path) <= {"a", ".lock"}, "the next holder of the folder clears what was left"


def test_the_second_writer_of_a_folder_is_refused_and_told_who(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
from vision.io.files import exclusive_folder
with exclusive_folder(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(DactylError, match=f"process {process.pid} is writing"), files.exclusive_folder(tmp_path):
            pytest.fail("two writers in one folder")
        process.kill()
    with files.exclusive_folder(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid()), "a killed holder's lock is gone"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DactylError, match="choose another output folder"), files.exclusive_folder(tmp_path / "file"):
        pytest.fail("locked a file")


@pytest.mark.parametrize("what", ["absent", "pipe", "folder", "device", "large", "sparse", "link to nothing", "grows"])
def test_what_others_made_is_no_file_or_too_large(what: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    {
        "absent": lambda: None,
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "large": lambda: path.write_bytes(bytes(1001)),
        "sparse": lambda: path.touch() or os.truncate(path, 3 << 30),
        "link to nothing": lambda: path.symlink_to("nowhere"),
        "grows": lambda: path.symlink_to("/proc/self/smaps"),  # says that it has no bytes, and has some
    }[what]()
    with memory_bounded(64), pytest.raises(DactylError, match=f"{path}: (no such|not a|more than 1,000 bytes)"):
        files.read_file(path, 1000, "thing")


def test_a_file_at_its_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(bytes(range(250)) * 9000)
    (tmp_path / "link").symlink_to("whole")
    assert files.read_file(tmp_path / "link", 250 * 9000, "thing") == bytes(range(250)) * 9000


def test_temporaries_of_killed_writers_go_but_not_those_of_others(tmp_path: Path) -> None:
    """Found: what a kill left in a folder of the folder stayed for good."""
    for name in (".tmp-7-a", "inner/.tmp-7-b", "other/.tmp-8-c", "other/.lock", "inner/kept"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with files.exclusive_folder(tmp_path):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".lock", "inner/kept", "other/.tmp-8-c", "other/.lock"}


def test_hashes_and_canonical_json(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, "é"], "a": {"x": None}}
    path = tmp_path / "a.json"
    files.atomic_write(path, canonical_json(value))
    assert json.loads(path.read_bytes()) == value
    assert list(json.loads(path.read_bytes())) == ["b", "a"], "keeps the order of its keys"
    assert files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """Found by the soak: the removal of an old manifest failed, and was a traceback."""
    files.remove(tmp_path / "none.json")
    with pytest.raises(DactylError, match=f"{tmp_path}: cannot remove: .*; check that place"):
        files.remove(tmp_path)


def test_what_a_writer_cannot_read_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    def refuse(file: IO[bytes]) -> None:
        try:
            (tmp_path / "missing.png").read_bytes()
        except OSError as error:
            raise DactylError("missing.png: no such picture") from error

    with pytest.raises(DactylError, match=r"^missing\.png: no such picture$"):
        files.atomic_write(tmp_path / "a", refuse)


def test_threads_write_the_same_file_each_whole(tmp_path: Path) -> None:
    """As processes of two containers do whose process numbers are the same."""
    contents = [bytes([number]) * 300_000 for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            list(threads.map(lambda content: files.atomic_write(tmp_path / "a", content), contents))
            assert (tmp_path / "a").read_bytes() in contents
    assert names(tmp_path) == {"a"}
