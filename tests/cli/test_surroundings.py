"""The command in odd surroundings: closed streams, pipes, full disks, names that are no UTF-8."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dactyl import cli
from dactyl.cli import main
from vision.errors import DactylError

ROOT = Path(__file__).parents[2]
DACTYL = f"{sys.executable} -m dactyl"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("dactyl", DACTYL, 1)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=240,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [("dactyl >&-", 2), ("dactyl --help >&-", 0), ("dactyl info --help <&- >&-", 0), ("dactyl --help >&- 2>&-", 0)],
)
def test_closed_streams_are_no_fault(command: str, status: int) -> None:
    done = shell(command)
    assert (done.returncode, done.stderr) == (status, "")


def test_an_error_is_said_or_at_least_counted_where_streams_are_closed() -> None:
    assert "no such command" in one_line(shell("dactyl nonsense >&-"), 2).replace("unknown command", "no such command")
    assert shell("dactyl info --dataset nowhere 2>&-").returncode == 1


def test_a_closed_stream_is_not_taken_by_the_next_file(tmp_path: Path) -> None:
    """What is printed would go into it."""
    output = tmp_path / "sheet.yaml"
    code = (
        "import sys; from dactyl.standard_streams import open_standard_streams; open_standard_streams();"
        f"file = open({str(output)!r}, 'w'); file.write('a: 1'); file.flush(); print('hello'); sys.stdout.flush();"
        "assert file.fileno() > 2"
    )
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "$0" >&- <&-', code], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert output.read_text() == "a: 1"


def test_a_full_disk_under_the_output_is_one_line() -> None:
    assert "No space left on device" in one_line(shell("dactyl --help > /dev/full"), 1)


def test_a_reader_that_goes_away_is_no_fault() -> None:
    done = shell("(dactyl --help; echo $? >&2) | true")
    assert done.stderr.strip() in ("0", "141")


def raising(error: BaseException) -> Callable[[Sequence[str]], None]:
    def run(arguments: Sequence[str]) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b.txt"), 1, "a/b.txt: No such file"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "dactyl info: No space left on device; make room"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "dactyl info: Broken pipe"),
        (SystemExit("no driver"), 1, "dactyl info: no driver"),
        (SystemExit(3), 3, None),
        (SystemExit(), 0, None),
    ],
)
def test_faults_of_a_stage_are_not_taken_for_those_of_standard_output(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str | None,
) -> None:
    monkeypatch.setattr(cli, "run", raising(error))
    assert main(["info"]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (said is not None)
    assert "the output goes to" not in "".join(lines)
    assert (said or "") in "".join(lines)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RuntimeError("native code's"), 143, "dactyl policy train: terminated; the same command resumes"),
        (
            DactylError("runs/checkpoint.pt: cannot write: No space left on device; free space"),
            1,
            "dactyl policy train: terminated, and not saved: runs/checkpoint.pt: cannot write: No space left on "
            "device; free space; the same command then resumes from what was saved before",
        ),
    ],
)
def test_what_a_terminated_command_could_not_save_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, status: int, said: str
) -> None:
    def run(arguments: Sequence[str]) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:  # as a training saves
            raise error from (OSError(errno.ENOSPC, "No space left on device") if status == 1 else None)

    monkeypatch.setattr(cli, "run", run)
    assert main(["policy", "train"]) == status
    assert capsys.readouterr().err == f"{said}\n"


def test_an_odd_fault_of_a_stage_is_not_explained_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "run", raising(OSError("odd")))
    with pytest.raises(OSError, match="odd"):
        main(["info"])


def test_an_unknown_graphics_platform_is_one_line() -> None:
    line = one_line(shell("dactyl states --help", MUJOCO_GL="nonsense"), 2)
    assert line == (
        "dactyl states: MUJOCO_GL=nonsense: MuJoCo knows no such platform; unset it, or choose egl or osmesa\n"
    )
    assert shell("dactyl --help", MUJOCO_GL="nonsense").returncode == 0


@pytest.mark.parametrize("platform", ["EGL", "disable", " osmesa"])
def test_graphics_platforms_that_mujoco_takes_are_taken(platform: str) -> None:
    assert shell("dactyl states --print_config --output x", MUJOCO_GL=platform).returncode == 0


def test_a_path_that_is_no_utf_8_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dactyl", "info", "--dataset", b"/tmp/caf\xe9"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert one_line(done, 2) == "dactyl info: '/tmp/caf\\udce9' is not UTF-8; rename the file or folder\n"


@pytest.mark.parametrize(
    "source", ["--config <(cat {})", "--config /dev/stdin < {}", "--config /dev/stdin < <(cat {})"]
)
def test_a_configuration_may_come_from_a_pipe(source: str, tmp_path: Path) -> None:
    file = tmp_path / "info.yaml"
    file.write_text("dataset: some/folder\n", "utf-8-sig")
    done = shell(f"dactyl info {source.format(file)} --print_config")
    assert done.returncode == 0, done.stderr
    assert "dataset: some/folder" in done.stdout


def test_a_configuration_from_a_pipe_is_as_strict_as_from_a_file() -> None:
    assert "unknown key 'datset'; did you mean 'dataset'?" in one_line(
        shell("dactyl info --config <(echo datset: x)"), 2
    )
    assert "expected at most 65,536 bytes" in one_line(shell("dactyl info --config /dev/stdin < /dev/zero"), 2)
    assert "expected keys and values, got nothing" in one_line(shell("dactyl info --config /dev/stdin < /dev/null"), 2)
    assert one_line(shell("dactyl info --config /dev/stdin <&-"), 2).startswith("dactyl info: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_native_code_makes_an_error_of(
    number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by kills of evaluations: in the middle of a plot it was a traceback, "Invalid bounding box"."""

    def native(arguments: list[str]) -> None:
        try:
            signal.raise_signal(number)
        except BaseException:
            raise ValueError("Invalid bounding box") from None

    monkeypatch.setattr("datagen.cli.main_info", native)
    monkeypatch.setattr("datagen.policy.cli.main_train", native)
    for command, again in ((["info"], "begins again"), (["policy", "train"], "resumes")):
        assert main(command) == status
        assert capsys.readouterr().err.endswith(f"; the same command {again}\n")
    monkeypatch.setattr("datagen.cli.main_info", lambda arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # of the program's own, and no signal arrived
        main(["info"])


def test_a_caller_has_its_own_handlers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left in place, ours was inherited by the forks of a pool; one swallowed it, and the pool waited without end."""
    numbers, seen = (signal.SIGTERM, signal.SIGINT), []
    monkeypatch.setattr("datagen.cli.main_info", lambda arguments: seen.extend(map(signal.getsignal, numbers)))
    before = [signal.getsignal(number) for number in numbers]
    assert main(["info"]) == 0
    assert all(ours is not theirs for ours, theirs in zip(seen, before, strict=True))
    assert [signal.getsignal(number) for number in numbers] == before
    monkeypatch.setattr("datagen.cli.main_info", lambda arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["info"])
    assert [signal.getsignal(number) for number in numbers] == before


def test_where_memory_ran_out_no_file_is_blamed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found under limits of 0.6 and 1.5 GB: "MuJoCo cannot compile it", "not a readable table; delete it"."""

    def read(arguments: list[str]) -> None:
        try:
            raise OSError("Failed to launch worker thread: Resource temporarily unavailable")
        except OSError as error:
            raise DactylError(f"part.parquet: not a readable table ({error}); delete it") from error

    monkeypatch.setattr("datagen.cli.main_info", read)
    assert main(["info"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dactyl info: out of memory (Failed to launch worker thread")
    assert "delete" not in said
