"""Two evaluations side by side: the differences are right, their intervals are scipy's, and what does not compare is
refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import eval.evaluate
from dactyl.cli import main
from eval.evaluate import evaluate
from eval.scoring.comparison import Difference, compare
from eval.scoring.config import EvaluateConfig
from eval.scoring.record import RECORD, Evaluation, load_evaluation
from tests.datasets import reseal
from tests.eval.oracle import Oracle
from tests.synthetic import make_dataset
from vision.errors import DactylError
from vision.io.files import sha256
from vision.storage.datasets import TripletDataset
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table, write_table

SAMPLES = 24


class Uneven(Oracle):
    """Errs by another angle at each sample, the hard ones by more whoever looks at them."""

    def _one(self, images: np.ndarray, *cameras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = int(self.answers[images[0].tobytes()]["index"])
        kept = self.angle_deg
        hard, luck = np.random.default_rng(index).gamma(2.0, 4.0), np.random.default_rng((index, int(kept))).uniform()
        self.angle_deg += hard + luck
        answer = super()._one(images, *cameras)
        self.angle_deg = kept
        return answer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two evaluations of a test set, and one of another set under its name."""
    base = tmp_path_factory.mktemp("runs")
    sets = {
        seed: make_dataset(base / f"set{seed}", SAMPLES, seed=seed, image_size=32, samples_per_episode=1)
        for seed in (1, 2)
    }
    (base / "best.ckpt").write_bytes(b"weights")
    for name, seed, angle in (("a", 1, 3.0), ("b", 1, 4.0), ("other", 2, 4.0)):
        oracle = Uneven([TripletDataset(sets[seed])], angle_deg=angle)
        config = EvaluateConfig(base / "best.ckpt", {"made": sets[seed]}, base / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(eval.evaluate, "load_estimator", lambda path, *_, oracle=oracle: (oracle, sha256(path)))
            evaluate(config)
    return {path.name: path for path in base.iterdir() if (path / RECORD).exists()}


def rotation(evaluation: Evaluation) -> np.ndarray:
    return evaluation.sets[0].scored["nominal"].errors["rotation"]


def found(folders: dict[str, Path], baseline: str, candidate: str) -> tuple[Difference, np.ndarray, np.ndarray]:
    """The rotation's difference under the nominal protocol, and both runs' errors."""
    runs = load_evaluation("baseline", folders[baseline]), load_evaluation("candidate", folders[candidate])
    (one,) = (one for one in compare(*runs) if (one.metric.key, one.protocol) == ("rotation", "nominal"))
    return one, rotation(runs[0]), rotation(runs[1])


def test_on_the_same_samples_the_interval_is_scipys_of_paired_differences(folders: dict[str, Path]) -> None:
    one, less, values = found(folders, "a", "b")
    assert one.paired
    assert one.samples == (SAMPLES, SAMPLES)
    assert one.difference == pytest.approx((values - less).mean())
    theirs = stats.bootstrap(
        (less, values),
        lambda less, values, axis: (values - less).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=9_999,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert one.interval is not None
    np.testing.assert_allclose(one.interval, theirs, atol=0.02)
    assert one.significant, "a degree more, whatever the sample"
    assert not found(folders, "a", "a")[0].significant


def test_on_other_samples_it_is_that_of_a_difference_of_means(folders: dict[str, Path]) -> None:
    one, less, values = found(folders, "a", "other")
    assert not one.paired
    theirs = stats.bootstrap(
        (values, less),
        lambda values, less, axis: values.mean(axis=axis) - less.mean(axis=axis),
        method="percentile",
        n_resamples=9_999,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert one.interval is not None
    np.testing.assert_allclose(one.interval, theirs, atol=0.35)
    paired = found(folders, "a", "b")[0].interval
    assert paired is not None
    assert one.interval.high - one.interval.low > 5 * (paired.high - paired.low), "hard samples no longer cancel"


def test_samples_are_paired_whatever_their_order_in_the_files(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["b"], tmp_path / "b")
    path = tmp_path / "b" / "predictions" / "made-nominal.parquet"
    columns, origin = read_table(path, PREDICTIONS)
    order = np.random.default_rng(0).permutation(SAMPLES)
    write_table(path, {key: values[order] for key, values in columns.items()}, PREDICTIONS, origin)
    reseal(tmp_path / "b" / RECORD, lambda record: made(record)["predictions"][0].update(sha256=sha256(path)))
    assert found({**folders, "b": tmp_path / "b"}, "a", "b")[0] == found(folders, "a", "b")[0]


def test_the_command_prints_and_writes(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "--baseline", str(folders["a"]), "--candidate", str(folders["b"])]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "made, nominal cameras" in said
    assert "paired, both met the same 24 samples of 24 episodes" in said
    rows = list(csv.DictReader((tmp_path / "compare.csv").read_text().splitlines()))
    record = json.loads((tmp_path / "compare.json").read_text())
    assert [row["error"] for row in rows] == [row["error"] for row in record["rows"]]
    (row,) = (row for row in record["rows"] if (row["error"], row["protocol"]) == ("rotation", "nominal"))
    one, _, _ = found(folders, "a", "b")
    assert (row["difference"], row["significant"], row["paired"]) == (one.difference, True, True)
    for name in ("compare.html", "compare.md"):
        assert f"{one.difference:+.3f}" in (tmp_path / name).read_text()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, "equal input, equal bytes"

    capsys.readouterr()
    assert main([*arguments[:3], "--candidate", str(folders["other"])]) == 0
    assert "made: not paired, the runs met different samples" in " ".join(capsys.readouterr().out.split())
    alone = changed(folders["b"], tmp_path / "alone", lambda record: made(record)["predictions"].pop())
    assert main([*arguments[:3], "--candidate", str(alone)]) == 0
    assert "Left out, only in the baseline: made calibrated." in " ".join(capsys.readouterr().out.split())


def changed(run: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a run whose record is another."""
    shutil.copytree(run, folder, dirs_exist_ok=True)
    reseal(folder / RECORD, change)
    return folder


def made(record: dict[str, Any]) -> dict[str, Any]:
    return record["test_sets"]["made"]


def test_what_does_not_compare_is_refused_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    def complaint(change: Callable[[dict[str, Any]], object]) -> str:
        folder = changed(folders["b"], tmp_path / "changed", change)
        with pytest.raises(DactylError) as caught:
            compare(load_evaluation("baseline", folders["a"]), load_evaluation("candidate", folder))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "of the block and the cube" in complaint(
        lambda record: record["checkpoint"]["scene"]["object"].update(name="cube")
    )
    assert "no test set in common (made; none)" in complaint(lambda record: record["test_sets"].clear())
    assert "another renderer (synthetic, classic)" in complaint(lambda record: made(record).update(renderer="classic"))
    assert "another scene (block, lab)" in complaint(lambda record: made(record).update(scene="lab"))
    assert "no protocol in common on made" in complaint(lambda record: made(record).update(predictions=[]))
