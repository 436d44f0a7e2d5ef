"""The table says what was measured, what was published, and what is missing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from eval.report.table_text import comma_separated, markdown, print_table
from eval.scoring.conditions import Condition, ProtocolName
from eval.scoring.metrics import ErrorSummary, PoseErrors
from eval.scoring.published import PAPER_ROWS, SUCCESSOR_ROWS, published_means, published_rows
from eval.scoring.record import EvaluatedSet, Scored
from eval.scoring.table import Row, baseline_row, measured, missing_rows, our_row, table_notes
from tests.scenes import scene


def make_errors(scale: float = 1.0) -> PoseErrors:
    """Mean 2, standard deviation 1, median 2, p90 3 (times the scale)."""
    values = scale * np.array([1.0, 3.0] * 10)
    factors = {"rotation": 1, "position": 10, "add": 100, "add_s": 50, "mssd": 200, "mspd": 7}
    factors |= {f"absolute_{axis}": number for number, axis in enumerate("xyz", 1)}
    shares = {"within_5deg_5mm": values < 0, "face_confusion": values > 2.5}
    return PoseErrors({key: factor * values for key, factor in factors.items()} | shares)


EPISODES = np.arange(20) // 2
SET = EvaluatedSet("my set", "filament", {}, "episodes", EPISODES, {}, None, {})
GEOMETRIC: Any = SimpleNamespace(name="ours", how="geometric", uses_cameras=True)


def scored(protocol: ProtocolName, errors: PoseErrors) -> Scored:
    return Scored(Condition(protocol), errors, np.zeros(len(EPISODES)), EPISODES, np.arange(len(EPISODES)))


@pytest.fixture
def rows() -> list[Row]:
    rows = [
        *PAPER_ROWS,
        our_row(GEOMETRIC, SET, scored("nominal", make_errors())),
        our_row(GEOMETRIC, SET, scored("calibrated", make_errors(0.5))),
        baseline_row(SET, make_errors(30)),
    ]
    return rows + missing_rows(rows)


def parse_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_markdown_holds_every_row(rows: list[Row]) -> None:
    header, rule, *body = parse_markdown(markdown(rows))
    assert {len(line) for line in (header, rule, *body)} == {17}
    assert header[6:] == [
        *("n", "rotation (°)", "95 % CI", "median", "p90", "position (mm)", "95 % CI", "median", "p90"),
        *("≤ 5° & 5 mm", "another face"),
    ]
    assert body[0][:7] == ["paper", "Unity renders", "unity", "regression", "nominal", "none", "–"]
    assert body[0][7:] == ["2.71 ± 1.62", "–", "–", "–", "3.12 ± 1.52", "–", "–", "–", "–", "–"]
    assert body[2][6:8] == ["992", "5.01 ± 2.47"]
    assert body[3][:7] == ["ours", "my set", "filament", "geometric", "nominal", "nominal", "20"]
    assert body[3][7:] == [
        *("2.00 ± 1.00", "2.00–2.00", "2.00", "3.00", "20.00 ± 10.00", "20.00–20.00", "20.00", "30.00"),
        *("0.0 %", "50.0 %"),
    ]
    assert body[4][4:8] == ["calibrated", "true", "20", "1.00 ± 0.50"]
    assert body[5][0] == "constant"
    assert [line[:3] for line in body[6:]] == [["missing", kind, kind] for kind in ("classic", "unity", "real")]
    assert all(cell == "–" for line in body[6:] for cell in line[3:]), "nothing is filled in"


def test_published_figures() -> None:
    """Table 6 of arXiv 1808.00177."""
    figures = [
        (row.rotation.mean, row.rotation.std, row.position.mean, row.position.std)
        for row in PAPER_ROWS
        if row.rotation and row.position
    ]
    successor = [(row.rotation.mean, row.position.mean) for row in SUCCESSOR_ROWS if row.rotation and row.position]
    assert successor == [(1.99, 4.03), (1.85, 5.18), (5.19, 8.53), (5.09, 7.85)], "arXiv 1910.07113"
    assert figures == [(2.71, 1.62, 3.12, 1.52), (3.23, 2.91, 3.71, 4.07), (5.01, 2.47, 9.27, 4.02)]


def test_published_figures_stand_beside_the_hand_and_object_that_they_are_of(rows: list[Row]) -> None:
    assert published_rows(scene("block")) == (*PAPER_ROWS, *SUCCESSOR_ROWS)
    assert published_means(scene("block"))["real images"] == (5.01, 9.27)
    for other in ("prism", "adroit-box", "trifinger-cube"):
        assert not published_rows(scene(other))
        assert not published_means(scene(other))
    assert any("1808.00177" in note for note in table_notes(rows))
    assert not any("published" in note or "1808.00177" in note for note in table_notes(rows[3:]))


def test_csv_has_one_figure_a_column(rows: list[Row]) -> None:
    lines = list(csv.DictReader(io.StringIO(comma_separated(rows))))
    assert len(lines) == len(rows)
    ours = lines[3]
    assert (ours["test_set"], ours["protocol"], ours["samples"]) == ("my set", "nominal", "20")
    units = (("rotation", "deg", 1), ("position", "mm", 10), ("add", "mm", 100), ("add_s", "mm", 50), ("mspd", "px", 7))
    for part, unit, factor in units:
        for name, value in (("mean", 2.0), ("std", 1.0), ("median", 2.0), ("p90", 3.0)):
            assert float(ours[f"{part}_{name}_{unit}"]) == pytest.approx(factor * value)
    assert float(ours["rotation_mean_ci95_low_deg"]) == 2.0, "each episode has one sample of each kind"
    assert [float(ours[f"mean_absolute_{axis}_mm"]) for axis in "xyz"] == [2.0, 4.0, 6.0]
    assert (float(ours["share_within_5deg_5mm"]), float(ours["share_face_confusion"])) == (0.0, 0.5)
    assert lines[0]["rotation_median_deg"] == ""
    assert all(value == "" for key, value in lines[-1].items() if key not in ("estimator", "test_set", "renderer"))


def test_a_network_that_uses_no_cameras_is_said_to_know_none() -> None:
    blind: Any = SimpleNamespace(name="ours", how="regression", uses_cameras=False)
    assert our_row(blind, SET, scored("nominal", make_errors())).cameras == "none"


def test_a_kind_is_missing_until_it_was_measured(rows: list[Row]) -> None:
    """The paper's rows and the constant's do not count, and a set's own name does not either."""
    named = [Row("ours", "unity", "filament", samples=1, figures={"rotation": ErrorSummary(1, 1)})]
    assert [row.renderer for row in missing_rows([*PAPER_ROWS, *named])] == ["classic", "unity", "real"]
    assert len(missing_rows([baseline_row(replace(SET, renderer="real"), make_errors())])) == 4


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_terminal_table_is_never_wider_than_the_terminal(rows: list[Row], width: int) -> None:
    file = io.StringIO()
    print_table(rows, Console(file=file, width=width, force_terminal=True, color_system=None))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in file.getvalue(), "no cell is cut"
    for text in ("2.71 ± 1.62", "20.00 ± 10.00", "calibrated", "geometric", "constant", "missing"):
        assert text in file.getvalue()
    left_out = "Left out" in file.getvalue()
    assert left_out == (width < 160)


def test_a_file_gets_the_whole_table(rows: list[Row]) -> None:
    file = io.StringIO()
    print_table(rows, Console(file=file, width=80))
    assert "cameras known" in file.getvalue()
    assert "…" not in file.getvalue()


def test_of_too_few_episodes_their_number_stands_in_the_place_of_an_interval() -> None:
    errors = make_errors()
    for count, said in ((2, True), (4, True), (5, False)):
        row = Row("ours", "real", "real", **measured(errors, np.arange(len(errors)) % count))
        assert (f"of {count}: too few" in markdown([row], ())) == said
        assert (row.intervals["position"] is None) == said
        (line,) = csv.DictReader(io.StringIO(comma_separated([row])))
        assert (line["clusters"], line["position_mean_ci95_low_mm"] == "") == (str(count), said)
