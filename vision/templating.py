"""Documents from Jinja2 templates: the files in a package's folder ``templates``, and those that all packages share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from vision.errors import printable

_SHARED = Path(__file__).parent / "templates"


def render(folder: Path, template: str, /, **values: Any) -> str:
    """Render a template of a folder.

    In ``.html`` every value is escaped. In Markdown values are escaped only by the filters ``cell`` (our own text in a
    table) and ``words`` (text from outside), and by the macro ``table`` of ``tables.md``.

    Raises:
        jinja2.TemplateError: a value is missing, or the template is wrong.
    """
    return _environment(folder).get_template(template).render(values)


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int, notes: Sequence[str] = ()) -> str:
    """Format a table in GitHub's Markdown, with its first ``texts`` columns aligned left and notes below."""
    return render(_SHARED, "table.md", titles=titles, rows=rows, texts=texts, notes=notes)


def inline_script(folder: Path, name: str) -> dict[str, str]:
    """Return a script of a template folder to embed in a page, and the page's content security ``policy``, under which
    nothing is fetched and only this script runs, whatever text the page contains."""
    script = (folder / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return {"text": script, "policy": policy}


@lru_cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "words": _words}
    return environment


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _words(text: str) -> str:
    return re.sub(r"([|<>`\[\]])", r"\\\1", printable(text))
