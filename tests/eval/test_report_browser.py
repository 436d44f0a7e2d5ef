"""Pages in a real browser, from disk: nothing is loaded, nothing complains, tables sort, figures say their values,
filters filter, and neither a phone nor a printer loses a column.

Needs Chromium or Chrome of the system, and Playwright, which only drives it: ``make test-extras``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eval.evaluate
from dactyl.cli import main
from eval.evaluate import evaluate
from eval.scoring.config import EvaluateConfig
from eval.scoring.record import load_evaluation
from tests.eval.oracle import Oracle
from tests.synthetic import make_dataset
from vision.geometry.cameras import Cameras
from vision.io.files import sha256
from vision.storage.datasets import TripletDataset

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
SAMPLES = 12
PAGES = ("report.html", "compare.html", "browse.html")
PHONE, DESK, SHEET = ({"width": width, "height": 800} for width in (360, 1280, 1032))  # A4 across, less its margins


class Uneven(Oracle):
    """Errs by another angle at each sample."""

    def predict(self, images: np.ndarray, cameras: Cameras, **options: bool) -> dict[str, np.ndarray]:
        kept, parts = self.angle_deg, []
        for number in range(len(images)):
            self.angle_deg = kept * (1 + number)
            row = slice(number, number + 1)
            parts.append(super().predict(images[row], cameras.at(row), **options))
        self.angle_deg = kept
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations, a and b, and the three pages of them."""
    base = tmp_path_factory.mktemp("pages")
    dataset = TripletDataset(make_dataset(base / "set", SAMPLES, image_size=48))
    (base / "best.ckpt").write_bytes(b"weights")
    for name, angle in (("a", 1.0), ("b", 2.0)):
        with pytest.MonkeyPatch.context() as patch:
            made = Uneven([dataset], angle_deg=angle), sha256(base / "best.ckpt")
            patch.setattr(eval.evaluate, "load_estimator", lambda *_, made=made: made)
            evaluate(EvaluateConfig(base / "best.ckpt", {"made": base / "set"}, base / name))
    runs = [str(base / name) for name in "ab"]
    for command in (
        ["report", "--evaluations.a", runs[0], "--evaluations.b", runs[1], "--output", str(base)],
        ["compare", "--baseline", runs[0], "--candidate", runs[1], "--output", str(base)],
        ["inspect", "--dataset", str(base / "set"), "--evaluation", runs[0], "--page", str(base / "browse.html")],
    ):
        assert main(command) == 0
    return base


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make test-extras")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[Any]:
    """Opens a page by name; at the end nothing was said on its console and nothing loaded but the page."""
    said: list[str] = []
    pages = []

    def opened(name: str, size: dict[str, int] = DESK) -> Any:
        page = browser.new_page(viewport=size)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url != address else None)
        address = (folder / name).as_uri()
        page.goto(address)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert said == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_no_page_sideways(open_page: Any, name: str) -> None:
    page = open_page(name, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    boxes = page.evaluate("[...document.querySelectorAll('.wide')].map(box => [box.clientWidth, box.scrollWidth])")
    assert all(width <= PHONE["width"] for width, _ in boxes)
    assert name == "browse.html" or any(width < content for width, content in boxes), "tables scroll in their boxes"


@pytest.mark.parametrize("name", PAGES[:2])
def test_a_sheet_of_paper_holds_every_column(open_page: Any, name: str) -> None:
    page = open_page(name, SHEET)
    page.emulate_media(media="print")
    edges = page.evaluate("[...document.querySelectorAll('td, svg')].map(one => one.getBoundingClientRect().right)")
    assert max(edges) <= SHEET["width"]
    assert not page.locator(".reader").first.is_visible()


def test_a_table_is_sorted_by_mouse_and_by_keyboard(open_page: Any) -> None:
    page = open_page("report.html")
    table = page.locator("#results table")
    titles = table.locator("th").all_inner_texts()
    head = table.locator("th").nth(titles.index("rotation (°)"))

    def column() -> list[str]:
        return table.locator(f"td:nth-child({titles.index('rotation (°)') + 1})").all_inner_texts()

    before = column()
    empty = sum(text == "–" for text in before)
    assert empty, "of the kinds that are missing"
    numbers = sorted(float(text.split()[0]) for text in before if text != "–")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in column()[:-empty]] == numbers
    assert column()[-empty:] == ["–"] * empty
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text.split()[0]) for text in column()[:-empty]] == numbers[::-1]
    assert column()[-empty:] == ["–"] * empty
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert column() == before
    table.locator("th button").first.click()
    names = table.locator("td:first-child").all_inner_texts()
    assert names == sorted(names)


def test_figures_say_their_values(open_page: Any, folder: Path) -> None:
    page = open_page("report.html")
    reader = page.locator("#cumulative-errors .reader").first
    reader.scroll_into_view_if_needed()
    assert not page.locator(".readout.on").count()
    box = reader.bounding_box()
    share = 0.4
    page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
    title, *values = page.locator(".readout.on").inner_text().splitlines()
    at = 0.3 * (180 / 0.3) ** share  # the axis is logarithmic
    name, shown = title.split(": ")
    assert name == "rotation error (degrees)"
    assert float(shown) == pytest.approx(at, rel=0.02)
    for run in "ab":
        errors = load_evaluation(run, folder / run).sets[0].scored["nominal"].errors["rotation"]
        below = 100 * (errors <= at).mean()
        (text,) = (value for value in values if value.startswith(f"{run}, nominal cameras: "))
        assert float(text.split(": ")[1].removesuffix(" %")) == pytest.approx(below, abs=0.1)
    page.mouse.move(1, 1)
    assert not page.locator(".readout.on").count()

    reader.focus()
    first = reader.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    second = reader.get_attribute("aria-valuetext")
    assert first != second
    assert page.locator(".readout.on").inner_text().splitlines() == second.split("; ")
    page.keyboard.press("Escape")
    assert not page.locator(".readout.on").count()


def test_a_sample_leads_to_its_pictures(open_page: Any) -> None:
    page = open_page("report.html")
    rows = page.locator("#best--typical-and-worst-samples tbody tr")
    worst = rows.filter(has_text="worst").filter(has_text="calibrated").last
    worst.locator("a").click()
    shown = page.locator("figure:target")
    assert "b on made, calibrated cameras" in shown.inner_text()
    top = shown.bounding_box()["y"]
    assert 0 <= top < DESK["height"]


def test_filters_take_the_samples_they_say(open_page: Any, folder: Path) -> None:
    page = open_page("browse.html")
    errors = load_evaluation("a", folder / "a").sets[0].scored["nominal"].errors["rotation"]
    shown = page.locator("article:visible")
    count = page.locator("output")
    assert count.inner_text() == f"{SAMPLES} of {SAMPLES} samples match"
    first = page.locator(".filter").first
    first.locator("select").select_option(label="nominal rotation (°)")
    assert float(first.locator(".to").get_attribute("placeholder")) == pytest.approx(errors.max(), rel=1e-3)
    first.locator(".from").fill("6.5")
    kept = [number for number, error in enumerate(errors) if error >= 6.5]
    assert 0 < len(kept) < SAMPLES
    assert count.inner_text() == f"{len(kept)} of {SAMPLES} samples match"
    assert shown.evaluate_all("all => all.map(one => one.id)") == [f"sample-{number}" for number in kept]
    page.get_by_role("button", name="add filter").click()
    second = page.locator(".filter").nth(1)
    second.locator("select").select_option(label="episode")
    second.locator(".to").fill("-1")
    assert count.inner_text() == f"0 of {SAMPLES} samples match"
    second.get_by_role("button").click()
    assert count.inner_text() == f"{len(kept)} of {SAMPLES} samples match"
    page.locator("#text").fill(f"sample {kept[-1]} ")
    assert count.inner_text() == f"1 of {SAMPLES} samples match"
    assert page.locator("svg").first.evaluate("svg => svg.children.length") == 12, "all of a block's edges"


def test_no_other_script_runs(browser: Any, folder: Path) -> None:
    for name in PAGES:
        page = browser.new_page()
        page.goto((folder / name).as_uri())
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.other = 1'}))"
        )
        assert page.evaluate("window.other") is None
        page.close()
