"""A document of tables and figures, as one HTML file that opens from disk and as Markdown.

The HTML loads nothing: style, figures (inline SVG) and pictures (data URLs) are in the file, and its content security
policy forbids browsers everything else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

_LONG = 34  # letters; longer texts are broken into lines


@dataclass(frozen=True)
class Table:
    """Texts in columns.

    Attributes:
        titles: of the columns.
        rows: texts, as many as titles each.
        caption: what the table shows.
        texts: the number of leading columns that hold texts, aligned left; the others hold figures.
        styles: for each row "", "ours", "published" or "missing"; empty for none.
        shades: for each row and column a number from 0 (good) to 1 (bad) that colours the cell, or None; may be empty.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    texts: int = 1
    styles: Sequence[str] = ()
    shades: Sequence[Sequence[float | None]] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.titles) for row in self.rows):
            raise ValueError(f"{self.caption}: a row has another number of cells than {len(self.titles)} titles")


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG text; ``caption`` says what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Photo:
    """A picture, JPEG, PNG or GIF bytes; ``caption`` says what it shows."""

    data: bytes
    caption: str


@dataclass(frozen=True)
class Listing:
    """A JSON value to unfold."""

    title: str
    value: Any


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Section:
    """A chapter with a heading."""

    title: str
    parts: Sequence[Table | Drawing | Photo | Listing | Paragraph] = field(default_factory=tuple)

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "".join(
        f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{"".join(map(_html, section.parts))}</section>'
        for section in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><header><h1>{escape(title)}</h1>"
        f"<p>{escape(subtitle)}</p><nav>{links}</nav></header><main>{body}</main></body></html>\n"
    )


def to_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The document's texts and tables; figures are left to the HTML, and named."""
    lines = [f"# {title}", "", subtitle, ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for part in section.parts:
            lines += [*_markdown(part), ""]
    return "\n".join(lines)


def _html(part: Table | Drawing | Photo | Listing | Paragraph) -> str:
    if isinstance(part, Paragraph):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Listing):
        shown = escape(json.dumps(part.value, indent=2, ensure_ascii=False))
        return f"<details><summary>{escape(part.title)}</summary><pre>{shown}</pre></details>"
    caption = f"<figcaption>{escape(part.caption)}</figcaption>"
    if isinstance(part, Drawing):
        return f'<figure><div class="wide">{part.svg}</div>{caption}</figure>'
    if isinstance(part, Photo):
        kind = {b"\x89": "png", b"G": "gif"}.get(part.data[:1], "jpeg")
        source = f"data:image/{kind};base64,{base64.b64encode(part.data).decode()}"
        return f'<figure><img alt="{escape(part.caption)}" src="{source}">{caption}</figure>'
    return f'<figure>{caption}<div class="wide">{_html_table(part)}</div></figure>'


def _html_table(table: Table) -> str:
    kinds = ["text" if place < table.texts else "figure" for place in range(len(table.titles))]
    cells = zip(table.titles, kinds, strict=True)
    head = "".join(f'<th class="{kind}">{escape(title)}</th>' for title, kind in cells)
    lines = []
    for number, row in enumerate(table.rows):
        style = table.styles[number] if table.styles else ""
        shades = table.shades[number] if table.shades else [None] * len(row)
        body = "".join(
            f'<td class="{kind}{" long" if len(cell) > _LONG else ""}"{_shade(shade)}>{escape(cell)}</td>'
            for cell, kind, shade in zip(row, kinds, shades, strict=True)
        )
        lines.append(f'<tr class="{style}">{body}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _shade(value: float | None) -> str:
    if value is None:
        return ""
    hue = 205 - 185 * min(max(value, 0.0), 1.0)  # blue to red by way of green and yellow, light enough for black text
    return f' style="background:hsl({hue:.0f} 70% 88%)"'


def _markdown(part: Table | Drawing | Photo | Listing | Paragraph) -> list[str]:
    if isinstance(part, Paragraph):
        return [part.text]
    if isinstance(part, Listing):
        return [f"{part.title}:", "", "```json", json.dumps(part.value, indent=2, ensure_ascii=False), "```"]
    if not isinstance(part, Table):
        return [f"*Figure (in the HTML report): {part.caption}*"]
    rules = ["---" if place < part.texts else "---:" for place in range(len(part.titles))]
    body = [part.titles, rules, *part.rows]
    caption = [f"*{part.caption}*", ""] if part.caption else []
    return caption + ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in body]


_STYLE = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--ours:#eef4fb;--accent:#1b6ca8}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:#fff;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",
sans-serif}
header{background:#14202e;color:#fff;padding:2.2rem max(1.5rem,calc((100% - 1240px)/2)) 1rem}
header p{margin:.2rem 0 1.2rem;color:#b8c4d2}
h1{font-size:1.7rem;margin:0;font-weight:650;letter-spacing:-.01em}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem}
nav a{color:#9cc9ee;text-decoration:none;font-size:.88rem}
nav a:hover{text-decoration:underline}
main{padding:.5rem max(1.5rem,calc((100% - 1240px)/2)) 4rem}
section{padding-top:1.2rem}
h2{font-size:1.2rem;margin:1rem 0 .6rem;padding-bottom:.3rem;border-bottom:2px solid var(--ink)}
p{max-width:78ch;margin:.5rem 0}
figure{margin:1rem 0 1.8rem}
figcaption{color:var(--soft);font-size:.88rem;max-width:105ch;margin:.35rem 0}
.wide{overflow-x:auto}
svg{width:100%;max-width:1180px;height:auto}
img{max-width:100%;border-radius:4px}
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums;border-top:2px solid var(--ink);
border-bottom:2px solid var(--ink)}
th{font-weight:600;border-bottom:1px solid var(--ink);vertical-align:bottom}
th,td{padding:.32rem .5rem;text-align:left}
th.figure,td.figure{text-align:right}
td{white-space:nowrap}
td.long{white-space:normal;overflow-wrap:anywhere;min-width:14rem}
tbody tr+tr td{border-top:1px solid var(--line)}
tr.ours td{background:var(--ours);font-weight:550}
tr.published td{color:#3b4654}
tr.missing td{color:#9aa3af;font-style:italic}
details{margin:.4rem 0;font-size:.88rem}
summary{cursor:pointer;color:var(--accent)}
pre{font-size:.78rem;line-height:1.4;background:#f5f7f9;padding:.8rem 1rem;overflow-x:auto;border-radius:4px}
@media print{header{background:none;color:#000;padding:0}header p{color:#333}nav{display:none}main{padding:0}
figure{break-inside:avoid}}
""".replace("\n", "")
