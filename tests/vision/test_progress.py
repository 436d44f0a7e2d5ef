"""Progress of long work in a log file."""

import itertools
import time

import pytest

from vision.machine.progress import progress


def test_a_log_file_shows_what_is_done_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(0, 10)  # each item takes ten seconds
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    with progress("rendering [red]", 1040, "triplets", done=40) as advance:
        for _ in range(1000):
            advance(1)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rendering [red]: 43 of 1,040 triplets, 0.1 triplets/s, 2:46:10 left"
    assert lines[1].startswith("rendering [red]: 46 of")
    assert 20 < len(lines) < 60  # of 1000
    numbers = [int(line.split()[2].replace(",", "")) for line in lines[:-1]]
    assert max(after - before for before, after in itertools.pairwise(numbers)) == 60  # ten minutes
    assert "1040/1040" in lines[-1]


def test_a_log_file_says_that_nothing_is_done_yet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trials that are played side by side all end late."""
    clock = itertools.count(0, 10)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with progress("playing", 8, "trials") as advance:
        for _ in range(4):
            advance(0)
    assert capsys.readouterr().err.splitlines()[0] == "playing: 0 of 8 trials, none more in 0:00:30"
