"""A terminal that texts of others cannot act on: names of scenes, files and objects are shown, letter by letter."""

from __future__ import annotations

from typing import Any

from rich import console
from rich.text import Text

from vision.errors import printable


class Console(console.Console):
    """Rich's, which takes ``[red]`` and ``:smile:`` in a text for what they are, and writes out escape sequences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """As Rich's; it is called for every text that is printed, those in tables, too."""
        return super().render_str("\n".join(map(_shown, text.split("\n"))), **options)


def _shown(line: str) -> str:
    """A line with its blanks as they are; :func:`printable` joins them, for messages."""
    return line if line.isprintable() else "".join(each if each == " " else printable(each) or " " for each in line)
