"""The notebook of examples runs from its first cell to its last, and its poses are right. No Jupyter is needed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first-pose.ipynb"


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return notebook["cells"]


def test_it_is_stored_without_what_it_printed() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells()}) == len(cells())


def test_its_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(cells()):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), names)
    errors = names["errors"]
    assert len(errors["nominal"]) == names["TRIPLETS"]
    assert errors["calibrated"].rotation_deg.mean() < 2
    assert errors["calibrated"].position_mm.mean() < 2
    assert errors["nominal"].position_mm.mean() < 5
    assert len(names["tiles"]) == names["TRIPLETS"]
    matplotlib.pyplot.close("all")
