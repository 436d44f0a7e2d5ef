"""Links between documents lead somewhere, and the site holds every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GENERATED = {"reference/commands.md", "reference/configurations.md", "reference/python.md"}
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "unity_project/README.md", ROOT / "benchmarks/README.md"]
)


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchor(heading: str) -> str:
    """As Markdown renderers make it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        target, _, part = link.partition("#")
        if link.startswith(("http://", "https://")) or target in GENERATED:
            continue
        there = (path.parent / target) if target else path
        assert there.exists(), f"{path.name}: {link}"
        if part:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), flags=re.MULTILINE)
            assert part in {anchor(heading) for heading in headings}, f"{path.name}: {link}"


def pages(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for value in entry.values():
            yield from pages(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from pages(value)


def test_the_site_holds_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert set(pages(site["nav"])) == {path.name for path in ROOT.glob("docs/*.md")} | GENERATED


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path: Path) -> None:
    """Of the changelog too, which names what came and nothing that went."""
    named = re.findall(
        r"`((?:tests|vision|datagen|train|eval|dactyl|benchmarks|configs|docs|examples|scripts)/[\w./-]+)`",
        path.read_text(),
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{path.name}: {', '.join(missing)}"
