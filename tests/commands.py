"""``dactyl`` for tests that run it many times: forks of a process that has imported everything.

A start then costs no imports, of which torch's and Lightning's take seconds; all else is what the shell would run. The
imports themselves are what tests/cli/test_startup.py is for.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.painted", "datagen.cli", "eval.laboratory.recordings", "tests.preload"])


def dactyl(
    *arguments: str | Path, cwd: Path | None = None, timeout_s: float = 600, **environment: str
) -> CompletedProcess[str]:
    """Run ``dactyl`` to its end, in ``cwd`` and with more variables in its environment."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        argv = [str(argument) for argument in arguments]
        process: Any = FORKS.Process(target=_dactyl, args=(argv, outputs, cwd or Path.cwd(), environment))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"dactyl {argv[0]} hangs; it said {outputs[1].read_text()}")
        return CompletedProcess(argv, process.exitcode, *(path.read_text() for path in outputs))


def succeed(*arguments: str | Path, **environment: str) -> str:
    """Run it, and fail unless it succeeds; what it printed to standard error."""
    result = dactyl(*arguments, **environment)
    assert result.returncode == 0, f"{arguments[0]}: {result.stderr[-2000:]}"
    return result.stderr


def _dactyl(argv: list[str], outputs: list[Path], cwd: Path, environment: dict[str, str]) -> None:
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]

    from dactyl.cli import main

    sys.exit(main(argv))
