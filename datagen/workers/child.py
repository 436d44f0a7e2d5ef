"""How a worker process begins. Nothing is imported here that takes time: first it makes sure that its parent lives."""

from __future__ import annotations

import traceback
from multiprocessing.connection import Connection

from vision.processes import die_with


def begin(connection: Connection, parent: int) -> None:
    """Die with ``parent``; then receive a function and its arguments, which imports what they are made of and takes
    seconds, and call it with the connection before them. What importing raises is sent as ``("error", ...)``."""
    die_with(parent)
    try:
        function, arguments = connection.recv()
    except Exception as error:
        error.add_note(traceback.format_exc())  # it stays behind with this process, so its text goes along
        connection.send(("error", error))
        return
    function(connection, *arguments)
