"""How a worker process begins and ends. Nothing is imported here that takes time: first it makes sure that its parent
lives."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from vision.errors import DactylError
from vision.processes import collection_paused, die_with, signals_masked


def spawn(function: Callable[..., None], *arguments: Any) -> tuple[SpawnProcess, Connection]:
    """Start a process that calls ``function`` with a connection to this one and ``arguments``; both are pickled.

    Spawned, not forked: neither torch's threads nor a graphics context survives a fork. A process that dies at once is
    noticed when its connection is read.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=begin, args=(theirs, os.getpid()))
    with signals_masked():  # the child keeps SIGINT out for good: what Ctrl-C means is for its parent to decide
        process.start()
    theirs.close()
    with contextlib.suppress(OSError):
        ours.send((function, arguments))
    return process, ours


def begin(connection: Connection, parent: int) -> None:
    """Die with ``parent``; then receive a function and its arguments, which imports what they are made of and takes
    seconds, and call it with the connection before them. What importing raises is sent by :func:`send_error`."""
    die_with(parent)
    try:
        with collection_paused():
            function, arguments = connection.recv()
    except Exception as error:
        send_error(connection, error)
        return
    function(connection, *arguments)


def send_error(connection: Connection, error: Exception) -> None:
    """Send ``("error", error)``, with the traceback's text where the program is at fault: it would stay behind here."""
    if not isinstance(error, DactylError):
        error.add_note(traceback.format_exc())
    connection.send(("error", error))


def end(process: SpawnProcess, connection: Connection) -> None:
    """Kill a spawned process and give back what it holds here."""
    process.kill()
    process.join()
    process.close()
    connection.close()
