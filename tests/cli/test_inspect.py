"""``dactyl inspect`` with an evaluation: the page's errors are the evaluation's, sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eval.evaluate
from dactyl.cli import main
from dactyl.inspection import sample_errors
from eval.evaluate import evaluate
from eval.scoring.config import EvaluateConfig
from eval.scoring.record import load_evaluation
from tests.eval.oracle import Oracle
from tests.synthetic import make_dataset
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset


def test_errors_of_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = TripletDataset(make_dataset(tmp_path / "set", 6, image_size=32))
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    monkeypatch.setattr(eval.evaluate, "load_estimator", lambda *_: (Oracle([dataset], angle_deg=3.0), "0" * 64))
    evaluate(EvaluateConfig(tmp_path / "best.ckpt", {"made": tmp_path / "set"}, tmp_path / "run"))
    errors = sample_errors(tmp_path / "run", dataset)
    np.testing.assert_allclose(errors.values["nominal rotation (°)"], 3.0, atol=1e-3)
    np.testing.assert_allclose(errors.values["calibrated position (mm)"], 2.0, atol=1e-3)
    (found,) = load_evaluation("run", tmp_path / "run").sets
    distances = [scored.errors["mssd"] for scored in found.scored.values()]
    np.testing.assert_array_equal(errors.severity, np.maximum(*distances))

    arguments = ["inspect", "--dataset", str(tmp_path / "set"), "--evaluation", str(tmp_path / "run"), "--samples", "1"]
    assert main([*arguments, "--page_samples", "4"]) == 0
    assert (tmp_path / "set" / "browse.html").read_text().count("nominal rotation (°) 3.00") == 4
    capsys.readouterr()
    other = make_dataset(tmp_path / "other", 2, seed=1, image_size=32)
    with pytest.raises(DactylError, match="evaluated other datasets than"):
        sample_errors(tmp_path / "run", TripletDataset(other))
    assert main([*arguments, "--page_samples", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
