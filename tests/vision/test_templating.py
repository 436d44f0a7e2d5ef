"""Documents: HTML is escaped by itself, Markdown's tables by their macro, and nothing is left out in silence."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from vision.templating import render


def test_html_is_escaped_and_markdown_is_not(tmp_path: Path) -> None:
    for name in ("a.html", "a.md"):
        (tmp_path / name).write_text("<p>{{ text }}</p>\n")
    assert render(tmp_path, "a.html", text="<script>'\"&") == "<p>&lt;script&gt;&#39;&#34;&amp;</p>\n"
    assert render(tmp_path, "a.md", text="a < b") == "<p>a < b</p>\n"


def test_tables_keep_their_columns(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text('{% from "tables.md" import table %}\n{{ table(titles, rows, 1) -}}\n')
    text = render(tmp_path, "a.md", titles=["a", "|b|"], rows=[["x", "1|2"]])
    assert text == "| a | \\|b\\| |\n| --- | ---: |\n| x | 1\\|2 |\n"


def test_words_of_others_make_no_markup(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("{{ text | words }}")
    assert render(tmp_path, "a.md", text="<b>[x](y)|`z`") == "\\<b\\>\\[x\\](y)\\|\\`z\\`"


def test_a_missing_value_is_no_empty_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("{{ absent }}")
    with pytest.raises(jinja2.UndefinedError):
        render(tmp_path, "a.html")
