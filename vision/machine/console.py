"""A console that shows names of scenes, files and objects literally, so that their text cannot control the terminal."""

from __future__ import annotations

import os
from typing import Any

from rich import console
from rich.text import Text

from vision.errors import printable

_LEAST_COLUMNS = 20


class Console(console.Console):
    """Rich's console, but it prints ``[red]`` and ``:smile:`` literally, escapes control sequences, and breaks no line:
    what reads a pipe finds each path whole, and terminals break lines themselves."""

    def __init__(self, **options: Any) -> None:
        environment = dict(os.environ)
        if (columns := environment.get("COLUMNS", "")).isdecimal() and int(columns) < _LEAST_COLUMNS:
            del environment["COLUMNS"]  # Rich would print nothing
        super().__init__(**{"markup": False, "emoji": False, "soft_wrap": True, "_environ": environment, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Render as Rich does; called for every text that is printed, in tables, too."""
        return super().render_str("\n".join(map(_shown, text.split("\n"))), **options)


def _shown(line: str) -> str:
    """Return a line with its blanks kept; :func:`printable` joins them, for messages."""
    return line if line.isprintable() else "".join(each if each == " " else printable(each) or " " for each in line)
