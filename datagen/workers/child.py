"""Start and end of worker processes. No slow imports here: a child must first arrange to die with its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from vision.errors import DactylError
from vision.machine.processes import collection_paused, die_with, signals_masked

UNGUARDED = 87
"""Exit status of a process that starts processes while it runs its parent's script again."""


def spawn(function: Callable[..., None], *arguments: Any) -> tuple[SpawnProcess, Connection]:
    """Start a process that calls ``function`` with a connection to this one and ``arguments``; both are pickled.

    It is spawned, not forked, because neither torch's threads nor a graphics context survives a fork. A process that
    dies at once is noticed when its connection is read.

    A spawned process first runs its parent's script again. Without ``if __name__ == "__main__":`` there, the script
    gets here in the new process, too, which then ends with the exit status :data:`UNGUARDED`.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(UNGUARDED)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=begin, args=(theirs, os.getpid()))
    with signals_masked():  # the child keeps SIGINT masked: its parent handles Ctrl-C
        process.start()
    theirs.close()
    with contextlib.suppress(OSError):
        ours.send((function, arguments))
    return process, ours


def begin(connection: Connection, parent: int) -> None:
    """Arrange to die with ``parent``, then receive a function and its arguments, and call it with the connection first.

    Receiving imports their modules, which takes seconds; exceptions from it are sent by :func:`send_error`.
    """
    die_with(parent)
    try:
        with collection_paused():
            function, arguments = connection.recv()
    except Exception as error:
        send_error(connection, error)
        return
    function(connection, *arguments)


def send_error(connection: Connection, error: Exception) -> None:
    """Send ``("error", error)``, with the traceback as text if the program is at fault, since pickling drops it.

    An error that pickling does not bring back, such as one that is made from more than its text, is replaced by one
    that names it.
    """
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # pickling calls code of the error's class
        kind = DactylError if isinstance(error, DactylError) else RuntimeError
        error = kind(f"{type(error).__name__}: {error}")
    if not isinstance(error, DactylError):
        error.add_note(traceback.format_exc())
    connection.send(("error", error))


def end(process: SpawnProcess, connection: Connection) -> None:
    """Kill a spawned process and release its resources in this one."""
    process.kill()
    process.join()
    process.close()
    connection.close()
