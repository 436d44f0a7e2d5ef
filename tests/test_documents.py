"""Links between documents lead somewhere, and the site holds every page."""

from __future__ import annotations

import itertools
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


def cited_tables(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each table whose paragraph just before it names results of a benchmark, and the names of those."""
    parts = path.read_text().split("\n\n")
    for before, table in itertools.pairwise(parts):
        if table.startswith("|") and (named := re.findall(r"`(benchmarks/results/[\w.-]+)`", before)):
            yield table, named


CITED = [
    pytest.param(table, named, id=f"{path.name}: {', '.join(named)}")
    for path in DOCUMENTS
    for table, named in cited_tables(path)
]


def test_there_are_cited_tables() -> None:
    assert len(CITED) >= 4


@pytest.mark.parametrize(("table", "named"), CITED)
def test_a_table_has_the_figures_of_the_results_it_cites(table: str, named: list[str]) -> None:
    """Rounded to what the table shows. A measurement that was made again is easily left uncopied."""
    measured = [float(number) for name in named for number in re.findall(r"\d+\.\d+", (ROOT / name).read_text())]
    missing = []
    for shown in re.findall(r"\d+\.\d+", table):
        half = 0.5 * 10.0 ** -len(shown.split(".")[1]) + 1e-9
        if not any(abs(float(shown) - number) <= half for number in measured):
            missing.append(shown)
    assert not missing, f"not in {', '.join(named)}: {', '.join(missing)}"
