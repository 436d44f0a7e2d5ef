"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from vision.errors import DactylError
from vision.storage import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


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
from vision.storage.files import atomic_write
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
from vision.storage.files import atomic_write
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
from vision.storage.files import exclusive_folder
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


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"{", "not a readable thing"), (b"\xff\xfe\x00", "not a readable"), (b"[" * 100_000, "not a readable")],
)
def test_unreadable_json_is_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DactylError, match="no such thing"):
        files.read_json(path, "thing")
    path.write_bytes(content)
    with pytest.raises(DactylError, match=complaint):
        files.read_json(path, "thing")
    with pytest.raises(DactylError, match="not a readable"):
        files.read_json(tmp_path, "thing")


def test_hashes_and_canonical_json(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, "é"], "a": {"x": None}}
    path = tmp_path / "a.json"
    files.atomic_write(path, files.canonical_json(value))
    assert files.read_json(path, "thing") == value
    assert list(files.read_json(path, "thing")) == ["b", "a"], "keeps the order of its keys"
    assert files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files.fingerprint({"a": 1, "b": 2}) == files.fingerprint({"b": 2, "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.canonical_json({"a": float("nan")})


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """Found by the soak: the removal of an old manifest failed, and was a traceback."""
    files.remove(tmp_path / "none.json")
    with pytest.raises(DactylError, match=f"{tmp_path}: cannot remove: .*; check that place"):
        files.remove(tmp_path)
