"""Handling of standard streams that are closed, full or not read, none of which is a bug of the program."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class OutputError(OSError):
    """Standard output cannot be written."""


class Output:
    """Standard output whose errors can be distinguished from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _output_faults():
            return self._stream.write(text)

    def flush(self) -> None:
        with _output_faults():
            self._stream.flush()


@contextlib.contextmanager
def _output_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(*error.args) from error


def open_standard_streams() -> None:
    """Open closed standard streams on the null device; otherwise the next opened file would take their place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123  until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold characters outside of the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")


def print_no_more() -> None:
    """Redirect standard output to the null device, because Python would retry and complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
