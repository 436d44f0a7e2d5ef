"""A document of tables and figures, as one HTML file that opens from disk, and as Markdown.

The HTML loads nothing: style, script, figures (inline SVG) and images (data URLs) are in the file, and its content
security policy forbids everything else. Its script sorts tables and reads values off figures; without it, everything
can still be read and printed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from vision.templating import inline_script, render

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        titles: titles of the columns.
        rows: texts, as many as titles each.
        caption: what the table shows.
        texts: number of leading columns that hold texts, aligned left; the others hold figures.
        styles: for each row "", "ours", "published" or "missing"; empty for none.
        shades: for each row and column a number from 0 (good) to 1 (bad) that colours the cell, or None; may be empty.
        links: for each row the anchor of the photo that its first cell links to; empty for none.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    texts: int = 1
    styles: Sequence[str] = ()
    shades: Sequence[Sequence[float | None]] = ()
    links: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        if any(len(row) != len(self.titles) for row in self.rows):
            raise ValueError(f"{self.caption}: a row has another number of cells than {len(self.titles)} titles")

    def column_kind(self, column: int) -> str:
        """Return the CSS class of a column's cells, which aligns them: text or figure."""
        return "text" if column < self.texts else "figure"

    def shade(self, row: int, column: int) -> int | None:
        """Return the hue of a cell in degrees, from blue through green and yellow to red; None for no colour."""
        value = self.shades[row][column] if self.shades else None
        return None if value is None else round(205 - 185 * min(max(value, 0.0), 1.0))


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG text, with a caption; ``panels`` are the values that a pointer reads off it
    (``eval.report.hover``)."""

    svg: str
    caption: str
    panels: Sequence[dict[str, Any]] = ()
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Photo:
    """An image as JPEG, PNG or GIF bytes, with a caption; tables link to ``anchor``."""

    data: bytes
    caption: str
    anchor: str = ""
    kind: ClassVar[str] = "photo"

    @property
    def source(self) -> str:
        """The image as a data URL."""
        kind = {b"\x89": "png", b"G": "gif"}.get(self.data[:1], "jpeg")
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Listing:
    """A JSON value that can be unfolded."""

    title: str
    value: Any
    kind: ClassVar[str] = "listing"

    @property
    def text(self) -> str:
        return json.dumps(self.value, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Section:
    """A chapter with a heading."""

    title: str
    parts: Sequence[Table | Drawing | Photo | Listing | Paragraph] = field(default_factory=tuple)

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the document as one HTML file."""
    script = inline_script(TEMPLATES, "report.js")
    return render(TEMPLATES, "report.html", title=title, subtitle=subtitle, sections=sections, script=script)


def to_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the document's texts and tables as Markdown; of figures only the captions appear."""
    return render(TEMPLATES, "report.md", title=title, subtitle=subtitle, sections=sections).rstrip("\n") + "\n"
