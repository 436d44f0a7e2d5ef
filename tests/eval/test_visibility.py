"""Errors against visibility: on a set that was rendered with labels of its views, from its label to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eval.evaluate
from eval.evaluate import evaluate
from eval.report.write import ReportConfig, report
from eval.scoring.config import EvaluateConfig
from eval.scoring.record import load_evaluation
from eval.scoring.samples import VISIBILITY
from tests.eval.oracle import Oracle
from tests.eval.rendered import rendered_set
from vision.storage.datasets import TripletDataset

COUNT = 12


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set drawn by the classic renderer, here instead of in processes."""
    folder = tmp_path_factory.mktemp("rendered")
    return rendered_set(folder, COUNT, image_size=64).folder


def test_from_labels_to_the_report(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TripletDataset(rendered)
    monkeypatch.setattr(eval.evaluate, "load_estimator", lambda *_: (Oracle([dataset]), "0" * 64))
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    evaluate(EvaluateConfig(tmp_path / "best.ckpt", {"made": rendered}, tmp_path / "evaluation"))

    (test_set,) = load_evaluation("a", tmp_path / "evaluation").sets
    shares = test_set.columns[VISIBILITY]
    assert shares.shape == (COUNT, 3)
    for number in range(COUNT):
        np.testing.assert_array_equal(shares[number], dataset.label(number)["visibility"])
        masks = dataset.masks(number)
        assert masks is not None
        assert ((shares[number] > 0) == masks.any(axis=(1, 2))).all(), "what is seen has pixels"
    assert np.ptp(shares) > 0.1, "fingers hide different shares, or this proves nothing"

    report(ReportConfig({"a": tmp_path / "evaluation"}, tmp_path / "report"))
    section = (tmp_path / "report" / "report.md").read_text().partition("## Visibility")[2].partition("\n## ")[0]
    assert "Errors by the share of the object that nothing hides, mean of the cameras" in section
    lines = [line for line in section.splitlines() if line.startswith("| a |")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    for protocol in ("nominal", "calibrated"):
        found = [row for row in rows if row[2] == protocol]
        assert sum(int(row[4]) for row in found) == COUNT, "every sample is in one group"
        ends = [float(end) for row in found for end in row[3].removesuffix(" %").split(" to ")]
        assert ends == sorted(ends)
        np.testing.assert_allclose(ends[0], 100 * shares.mean(axis=1).min(), rtol=0.01)
        np.testing.assert_allclose(ends[-1], 100 * shares.mean(axis=1).max(), rtol=0.01)
