"""What is read is not written over, nothing is written to nowhere, and texts of others are shown letter by letter."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
from rich.table import Table

from dactyl.cli import main
from dactyl.standard_streams import OutputError
from tests.datasets import write_dataset
from vision.machine.console import Console


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


def test_a_scene_is_not_replaced_by_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scene.yaml"
    path.write_text("hand: null\n")
    (tmp_path / "link.png").symlink_to(path)
    for output, reason in ((path, "ends in .png"), (tmp_path / "link.png", "would be written over scene")):
        assert reason in refused(["scene", "check", str(path), "--output", str(output)], capsys)
    assert path.read_text() == "hand: null\n"


@pytest.mark.parametrize("key", ["output", "page"])
@pytest.mark.parametrize("name", ["manifest.json", "shard-000000.tar", "shard-000001.json"])
def test_a_dataset_keeps_its_pieces(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, name: str) -> None:
    folder = write_dataset(tmp_path / "data")
    before = (folder / name).read_bytes()
    assert f"{key}: " in refused(["inspect", "--dataset", str(folder), f"--{key}", str(folder / name)], capsys)
    assert (folder / name).read_bytes() == before


def test_a_reader_that_has_seen_enough_takes_no_file_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``| head -1`` does."""
    folder = write_dataset(tmp_path / "data")

    def closed(*_: object, **__: object) -> None:
        raise OutputError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Console, "print", closed)
    monkeypatch.setattr("dactyl.cli.print_no_more", lambda: None)
    assert main(["inspect", "--dataset", str(folder)]) == 141
    assert {"contact-sheet.png", "browse.html"} <= {path.name for path in folder.iterdir()}


def test_two_outputs_are_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "it.png"
    path.write_text("")
    said = refused(["estimate", "--pictures", str(tmp_path), "--output", str(path), "--overlays", str(path)], capsys)
    assert "overlays: " in said


@pytest.mark.parametrize("arguments", [["inspect", "--dataset", "x", "--output", ""], ["coverage", "--states", ""]])
def test_an_empty_path_is_not_the_current_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected a folder or file, got ''" in refused(arguments, capsys)


def test_texts_do_not_act_on_the_terminal() -> None:
    odd = "[red]x[/blue] :smile: \x1b[2J\u202e"
    shown = io.StringIO()
    console = Console(file=shown, width=100)
    table = Table("what")
    table.add_row(odd)
    console.print(odd)
    console.print(table)
    assert shown.getvalue().count("[red]x[/blue] :smile: \\x1b[2J\\u202e") == 2


@pytest.mark.parametrize("columns", ["0", "1", "19"])
def test_a_terminal_without_width_shows_tables_all_the_same(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = io.StringIO()
    table = Table("what")
    table.add_row("12,800 triplets")
    Console(file=shown).print(table)
    assert "12,800 triplets" in shown.getvalue()
