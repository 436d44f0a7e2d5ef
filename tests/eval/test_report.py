"""From evaluations to pages: self-contained, complete, honest about what is missing."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import html.parser
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from PIL import Image

import eval.evaluate
from dactyl.cli import main
from eval.cli import main_report
from eval.evaluate import evaluate
from eval.report.charts import Curve, Mark, error_curves, mean_marks
from eval.report.hover import panels
from eval.report.page import Drawing, Section, Table, to_html, to_markdown
from eval.report.plots import svg
from eval.report.sections.evidence import origin_section
from eval.report.sections.results import matrix_section
from eval.report.sections.studies import _scored, confidence_quarters, rank_correlation
from eval.report.study_charts import Scatter, confidence, trends
from eval.report.trial_table import trial_table
from eval.report.write import ReportConfig, report
from eval.scoring.conditions import Condition
from eval.scoring.config import EvaluateConfig
from eval.scoring.metrics import PoseErrors, error_interval
from eval.scoring.record import RECORD, Scored, load_evaluation
from eval.scoring.record_types import MadeOn
from eval.scoring.samples import TRAINING_DISTANCE
from eval.scoring.trial_results import ClosedLoopRecord, load_closed_loop
from tests.datasets import reseal
from tests.eval.oracle import Oracle
from tests.scenes import scene
from tests.synthetic import make_dataset
from vision.errors import DactylError
from vision.io.decode import convert
from vision.io.files import sha256
from vision.storage.datasets import TripletDataset
from vision.storage.records import write_record
from vision.storage.schema import CONFIDENT_DEG, PREDICTIONS
from vision.storage.tables import read_table, write_table


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two evaluations of the same test set, by oracles that err by 3 and by 60 degrees."""
    base = tmp_path_factory.mktemp("evaluations")
    test_set, training = (
        make_dataset(base / name, 12, seed=seed, image_size=48) for name, seed in (("t", 1), ("s", 2))
    )
    (base / "best.ckpt").write_bytes(b"weights")
    made = {}
    for name, angle in (("good", 3.0), ("coarse", 60.0)):
        oracle = Oracle([TripletDataset(test_set)], angle_deg=angle)
        config = EvaluateConfig(
            *(base / "best.ckpt", {"made": test_set, "real": None}, base / name, training),
            camera_subsets=True,
            miscalibration_samples=4,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(eval.evaluate, "load_estimator", lambda path, *_, oracle=oracle: (oracle, sha256(path)))
            evaluate(config)
        made[name] = base / name
    return made


class Reader(html.parser.HTMLParser):
    """Collects what a page would load, its texts and its open elements."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("link", "iframe", "object", "embed")
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href", "xlink:href", "srcset", "data"):
                self.loads.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_pages(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part for name, folder in folders.items() for part in (f"--evaluations.{name}", str(folder))]
    main_report([*arguments, "--output", str(tmp_path), "--title", "A <title>"])
    said = capsys.readouterr().out
    assert "report.html" in said
    assert (tmp_path / "summary.md").read_text() in said, "the README's table"
    figures = "12 | 3.00 ± 0.00 (median 3.00) | 2.00 ± 0.00 (median 2.00)"
    assert f"| **good** | made | geometric | calibrated | {figures} |" in said
    assert "| paper | real images | regression | nominal | 992 | 5.01 ± 2.47 | 9.27 ± 4.02 |" in said

    page = (tmp_path / "report.html").read_text()
    reader = Reader(page)
    assert not reader.open, "every element is closed"
    assert reader.loads
    assert all(load.startswith(("#", "data:image/jpeg;base64,")) for load in reader.loads), "nothing from elsewhere"
    assert "url(http" not in page
    assert "A &lt;title&gt;" in page
    text = " ".join(reader.texts)
    for expected in ("2.71 ± 1.62", "7.85", "3.00 ± 0.00", "60.00 ± 0.00", "without top"):
        assert expected in text
    assert text.count("missing") >= 4, "four kinds of test set"
    assert text.count("Missing: ") == 3, "visibility, the closed loop, and what the word means"
    assert page.count("<svg") == 5, "means, one pair of curves, sensitivity, distance, confidence"
    links = [load[1:] for load in reader.loads if load.startswith("#pictures-")]
    assert len(links) == 4 * 6, "the pictures of two estimators under two protocols, six samples each"
    assert all(page.count(f' id="{link}"') == 1 for link in links)

    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    ours = [row for row in rows if row["estimator"] in folders]
    assert [(row["estimator"], row["protocol"]) for row in ours] == [
        (name, protocol) for name in folders for protocol in ("nominal", "calibrated")
    ]
    assert sum(row["estimator"] == "constant" for row in rows) == 1, "the baseline stands once for each test set"

    numbers = json.loads((tmp_path / "report.json").read_text())
    conditions = numbers["evaluations"]["good"]["conditions"]["made"]
    assert len(conditions) == 2 + 3 + 12
    assert conditions["without-top"]["position_mean_mm"] == pytest.approx(2.0, abs=1e-3), "true cameras, one less"
    assert conditions["rotation-1deg"]["position_mean_mm"] == pytest.approx(22.0, abs=1e-3), "told wrongly"
    assert conditions["rotation-1deg"]["samples"] == 4
    assert len(numbers["rows"]) == len(rows)

    for line in (tmp_path / "report.md").read_text().splitlines():
        assert "<svg" not in line
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    report(ReportConfig(folders, tmp_path, title="A <title>"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, "equal input, equal bytes"


def test_the_report_says_where_reused_predictions_were_made(folders: dict[str, Path]) -> None:
    evaluation = load_evaluation("good", folders["good"])
    record = evaluation.record
    elsewhere = structs.replace(
        record.test_sets["made"],
        predictions=tuple(
            structs.replace(entry, made_on=MadeOn("cuda", "a large machine") if number else entry.made_on)
            for number, entry in enumerate(record.test_sets["made"].predictions)
        ),
    )
    older = structs.replace(elsewhere, predictions=(structs.replace(elsewhere.predictions[0], made_on=None),))
    for about, computed in (
        (record.test_sets["made"], "network on cpu in float32"),
        (elsewhere, "network on cpu and cuda of a large machine in float32"),
        (older, "network on cpu in float32"),
    ):
        changed = replace(evaluation, record=structs.replace(record, test_sets={"made": about}))
        assert f"; {computed}, " in to_markdown("", "", [origin_section([changed])])


def test_an_easy_and_a_hard_set_of_one_renderer_stand_apart() -> None:
    """Found: the errors of all sets of a renderer were averaged, and compared with those of another's."""

    def tested(name: str, **turns: float) -> Any:
        sets = []
        for test_set, turn in turns.items():
            errors = PoseErrors({"rotation": np.full(4, turn), "position": np.full(4, 2 * turn)})
            sets.append(
                SimpleNamespace(name=test_set, renderer="filament", scored={"nominal": SimpleNamespace(errors=errors)})
            )
        return SimpleNamespace(name=name, training_renderer="classic", sets=sets)

    (table,) = matrix_section([tested("a", easy=1.0, far=8.0), tested("b", easy=10.0), tested("c", far=8.0)]).parts
    assert isinstance(table, Table)
    tests = ["easy (filament)", "far (filament)", "classic", "unity", "real"]
    assert table.titles == ["estimator", "trained on", *(f"tested on {one}" for one in tests)]
    assert table.rows == [
        ["a", "classic", "1.00° · 2.00 mm", "8.00° · 16.00 mm", "–", "–", "–"],
        ["b", "classic", "10.00° · 20.00 mm", "–", "–", "–", "–"],
        ["c", "classic", "–", "8.00° · 16.00 mm", "–", "–", "–"],
    ]
    blue, red = 205, 20
    assert [[table.shade(row, column) for column in (2, 3, 4)] for row in range(3)] == [
        [blue, blue, None],
        [red, None, None],
        [None, blue, None],
    ]
    (alone,) = matrix_section([tested("a", easy=1.0, far=8.0)]).parts
    assert isinstance(alone, Table)
    assert alone.shade(0, 2) is alone.shade(0, 3) is None, "nothing to compare with"


def test_no_band_of_errors_reaches_below_zero() -> None:
    far = np.array([0.0, 0.0, 0.0, 0.0, 100.0])
    interval, below = error_interval(far, np.arange(5)), error_interval(-far, np.arange(5))
    assert interval is not None
    assert interval.low == 0
    assert below is not None
    assert below.low < -20
    errors = PoseErrors({"rotation": np.tile(far, 8), "position": np.tile(far, 8)})
    figure = trends([Scatter("far", np.repeat(np.arange(8.0), 5), errors, np.arange(40))], "x")
    for axes in figure.axes:
        (band,) = axes.collections
        assert band.get_paths()[0].vertices[:, 1].min() == 0


def test_of_different_training_sets_each_has_its_constant(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["coarse"], tmp_path / "far")
    reseal(tmp_path / "far" / RECORD, lambda record: record["constant"].update(position=[1.5, 0.87, 0.15]))
    rows = report(ReportConfig({**folders, "far": tmp_path / "far"}, tmp_path / "out"))
    means = {row.estimator: row.position.mean for row in rows if row.constant and row.position}
    assert [*means] == ["constant (good)", "constant (far)"]
    assert means["constant (far)"] > 400 > means["constant (good)"]
    assert not any(row.measured for row in rows if row.constant)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "good, best constant pose" in page
    assert "far, best constant pose" in page
    assert "coarse, best constant pose" not in page


@pytest.mark.parametrize("column", ["predicted_position", "predicted_quaternion"])
def test_a_figure_that_is_not_finite(column: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """An estimate behind a camera is infinitely many pixels off; where nothing is off, nothing is ranked."""
    folder = tmp_path / "copy"
    shutil.copytree(folders["good"], folder)
    path = folder / "predictions" / "made-nominal.parquet"
    columns, origin = read_table(path, PREDICTIONS)
    if column == "predicted_position":
        columns[column] = np.concatenate([[[50.0, 50.0, 50.0]], columns[column][1:]])
    else:
        columns[column] = columns["true_quaternion"]
    write_table(path, columns, PREDICTIONS, origin)
    reseal(folder / RECORD, lambda record: _predictions(record).update(sha256=sha256(path)))
    report(ReportConfig({"a": folder}, tmp_path / "out"))
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    nominal = numbers["evaluations"]["a"]["conditions"]["made"]["nominal"]
    assert (nominal["mspd_mean_px"] is None) == (nominal["mspd_std_px"] is None) == (column == "predicted_position")
    assert (nominal["confidence_rank_correlation"] is None) == (column == "predicted_quaternion")
    for name in ("report.csv", "report.md"):
        assert not re.search(r"\bnan\b", (tmp_path / "out" / name).read_text())


def test_damaged_unfinished_and_mixed_evaluations(folders: dict[str, Path], tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        folder = tmp_path / name
        for path in sorted(folders["good"].rglob("*")):
            if path.is_file() and path.name != ".lock":
                (folder / path.relative_to(folders["good"])).parent.mkdir(parents=True, exist_ok=True)
                (folder / path.relative_to(folders["good"])).write_bytes(path.read_bytes())
        return folder

    def complaint(**evaluations: Path) -> str:
        with pytest.raises(DactylError) as caught:
            report(ReportConfig(evaluations, tmp_path / "out"))
        assert not (tmp_path / "out").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such evaluation" in complaint(a=tmp_path / "nowhere")
    unfinished = copy("unfinished")
    (unfinished / RECORD).unlink()
    assert "no finished evaluation" in complaint(a=unfinished)
    exchanged = copy("exchanged")
    files = [exchanged / "predictions" / f"made-{protocol}.parquet" for protocol in ("nominal", "calibrated")]
    files[0].write_bytes(files[1].read_bytes())
    assert "made-nominal.parquet: content differs" in complaint(a=exchanged)
    lost = copy("lost")
    (lost / "samples" / "made.parquet").unlink()
    assert "made.parquet: is missing" in complaint(a=lost)
    for rows, text in (
        (slice(0, 11), r"11 predictions for the test set's 12 samples"),
        ([0, 0, *range(2, 12)], "12 predictions that are not those of the test set's 12 samples"),
    ):
        other = copy("other")
        path = other / "predictions" / "made-nominal.parquet"
        columns, origin = read_table(path, PREDICTIONS)
        write_table(path, {key: values[rows] for key, values in columns.items()}, PREDICTIONS, origin)
        digest = sha256(path)
        reseal(other / RECORD, lambda record, digest=digest: _predictions(record).update(sha256=digest))
        assert text in complaint(a=other)
    changes: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        (lambda record: record.update(test_sets=3), "key 'test_sets': expected 'object', got 'int'"),
        (lambda record: record.update(checkpoint={}), "key 'checkpoint': missing key 'path'"),
        (lambda record: record["checkpoint"].update(head="../third"), "key 'checkpoint.head'"),
        (lambda record: _predictions(record)["condition"].update(camera_knowledge=0), "expected 'str', got 'int'"),
        (lambda record: _predictions(record).update(file="../../etc/passwd"), "predictions[0].file"),
        (lambda record: record["constant"].update(position=[1, 2]), "key 'constant.position'"),
        (lambda record: record["test_sets"].update({"\x1b[2J": {}}), "a key that is no name"),
        (lambda record: record.update(schema_version=0), "schema version 0"),
    ]
    for change, text in changes:
        other = copy("other")
        reseal(other / RECORD, change)
        assert text in complaint(a=other), text
    other = copy("other")
    path = other / RECORD
    path.write_text(path.read_text().replace('"uses_cameras": true', '"uses_cameras": false'))
    assert "was changed after it was written" in complaint(a=other)
    other = copy("other")
    reseal(other / RECORD, lambda record: record["test_sets"]["made"].update(fingerprint="0" * 64))
    assert "its test set 'made' is another" in complaint(good=folders["good"], b=other)


def _predictions(record: dict[str, Any]) -> dict[str, Any]:
    return record["test_sets"]["made"]["predictions"][0]


def test_bad_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--output", "x", "--evaluations", "{}"]) == 2
    assert main(["report", "--output", "x", "--evaluations", "{paper: a}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "name at least one" in lines[0]
    assert "'paper' is the name of rows that every table has" in lines[1]


def test_documents_escape_and_keep_their_shape() -> None:
    table = Table(["a|b", "<c>"], [["x|y", "1 < 2"]], "a & b", shades=[[None, 0.5]])
    section = Section("One & two", [table, Drawing("<svg></svg>", "curve")])
    page = to_html("t", "s", [section])
    assert '<td class="figure" style="background:hsl(112 70% 88%)">1 &lt; 2</td>' in page
    assert 'href="#one---two"' in page
    assert "| x\\|y | 1 < 2 |" in to_markdown("t", "s", [section])
    with pytest.raises(ValueError, match="another number of cells"):
        Table(["a"], [["b", "c"]])


def test_confidence_that_means_something_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    error = rng.gamma(2.0, 3.0, 400)
    errors = PoseErrors({"rotation": error, "position": error})

    def scored(confidence: np.ndarray) -> Scored:
        return Scored(Condition("nominal"), errors, confidence, np.arange(400), np.arange(400))

    honest, idle = scored(np.exp(-error / 5) * rng.uniform(0.8, 1.2, 400)), scored(rng.uniform(size=400))
    assert rank_correlation(honest) < -0.9
    assert abs(rank_correlation(idle)) < 0.15
    means = [error[group.samples].mean() for group in confidence_quarters(honest)]
    assert means == sorted(means, reverse=True), "error grows as confidence falls"
    np.testing.assert_array_equal(sum(group.samples.astype(int) for group in confidence_quarters(idle)), 1)


def test_metrics_are_chosen_by_name(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "--evaluations.a", str(folders["good"]), "--output", str(tmp_path)]
    assert main([*arguments, "--metrics", "[mspd, face_confusion]"]) == 0
    section = (tmp_path / "report.md").read_text().partition("## Other errors")[2].partition("##")[0]
    assert "| estimator | test set | protocol | MSPD px | another face |" in section
    capsys.readouterr()
    assert main([*arguments, "--metrics", "[add, iou]"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("metrics", "iou", "add_s", "mspd"):
        assert part in said


def test_trials_in_a_report(folders: dict[str, Path], tmp_path: Path) -> None:
    """What dactyl closed-loop leaves, next to the paper's trials, with errors over time and the film."""
    keys = [f"{part}_{name}" for part in ("rotation_deg", "position_mm") for name in ("p10", "p50", "p90")]
    course = {"seconds": [0.5, 1.5], "trials": [3.0, 2.0], **{key: [1.0, 2.0] for key in keys}}
    errors: dict[str, Any] = {"estimates": 3, "rotation_deg_mean": 1.25, "position_mm_mean": 2.5}
    errors |= {f"{part}_{name}": 1.0 for part in ("rotation_deg", "position_mm") for name in ("std", "median", "p90")}
    plays = [
        {
            "simulation": "randomized",
            "observation_source": told,
            "policy": "her-1",
            "goals": 2 * [4, 0, 50 - 3 * (told == "vision")],
            "endings": 2 * ["late", "dropped", "complete"],
        }
        | {"errors": None if told == "state" else errors, "told": None, "filmed": None}
        | {"over_time": None if told == "state" else course}
        for told in ("state", "vision")
    ]
    rules = {"goals": 50, "seconds": 80.0}
    about = {
        "config": {"rules": rules, "protocol": "nominal", "latency_steps": 1, "hold_out": []},
        "checkpoint": {"path": "a.ckpt", "sha256": "c0ffee" * 10 + "c0ff", "training": None},
        "software": {"versions": {}, "python": "3", "commit": None, "machine": "none"},
    }
    record: dict[str, Any] = {"scene": scene().to_json(), **about, "plays": plays}
    (tmp_path / "loop").mkdir()
    write_record(tmp_path / "loop" / "results.json", convert(record, ClosedLoopRecord, "made"))
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "loop" / "film-randomized.gif", save_all=True, append_images=frames[1:])
    report(ReportConfig({"a": folders["good"]}, tmp_path / "out", {"her": tmp_path / "loop"}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/gif;base64,") == 1
    section = (tmp_path / "out" / "report.md").read_text().partition("## Closed loop")[2]
    for row in (
        "| paper, block (vision) | randomized | 100 | 30.0 ± 10.3 | – | 33 | – | – | – | – | – |",
        "| block (state) | randomized | 6 | 18.0 ± 22.7 | 0.0–41.9 | 4 | 2 | 2 | 2 | – | – |",
        "| block (vision) | randomized | 6 | 17.0 ± 21.3 | 0.0–39.5 | 4 | 2 | 2 | 2 | 1.25 | 2.50 |",
    ):
        assert row in section
    assert "her, randomized: -1.0 goals a trial by vision, paired (95 % -2.4 to +0.4)." in section
    for part in (
        "her: policy her-1, checkpoint c0ffeec0ffee; ",
        "80 s at one goal",
        "0.08 s late",
    ):
        assert part in section
    assert json.loads((tmp_path / "out" / "report.json").read_text())["closed_loops"]["her"] == json.loads(
        json.dumps(record)
    )

    for changed, said in (
        ({"rules": rules | {"seconds": 10.0}}, "10 s at"),
        ({"hold_out": ["physics"]}, "not randomized: phys"),
    ):
        other = record | {"config": record["config"] | changed}
        write_record(tmp_path / "loop" / "results.json", convert(other, ClosedLoopRecord, "made"))
        table = trial_table({"her": load_closed_loop(tmp_path / "loop")})
        assert said in table
        assert "paper, block" not in table, "the paper's trials were others"


def test_charts_of_confidence_and_of_trends_show_the_errors() -> None:
    rng = np.random.default_rng(0)
    error = rng.gamma(2.0, 3.0, 400)
    errors = PoseErrors({"rotation": error, "position": 2 * error})
    honest = Scatter("honest", 1 / (1 + error), errors, np.arange(400) // 4)
    risk, tenths, calibration = confidence([honest], CONFIDENT_DEG).axes
    share, mean = risk.lines[0].get_data()
    assert (share[-1], mean[-1]) == (1.0, pytest.approx(error.mean()))
    assert mean[200] == pytest.approx(np.sort(error)[: round(share[200] * 400)].mean())
    assert np.all(np.diff(tenths.lines[0].get_ydata()) < 0), "the most confident tenth comes last"
    assert calibration.lines[0].get_ydata()[0] == (np.sort(error)[-40:] <= CONFIDENT_DEG).mean()
    for axes, values in zip(trends([honest], "x").axes, (error, 2 * error), strict=True):
        x, means = axes.lines[1].get_data()
        np.testing.assert_allclose(means, [part.mean() for part in np.split(np.sort(values)[::-1], 8)])
        assert np.all(np.diff(x) > 0)


def test_facts_of_samples_stand_with_their_errors(folders: dict[str, Path], tmp_path: Path) -> None:
    """Whatever their order in the file of predictions."""
    shutil.copytree(folders["good"], tmp_path / "a")
    path = tmp_path / "a" / "predictions" / "made-nominal.parquet"
    columns, origin = read_table(path, PREDICTIONS)
    order = np.random.default_rng(0).permutation(12)
    write_table(path, {key: values[order] for key, values in columns.items()}, PREDICTIONS, origin)
    reseal(tmp_path / "a" / RECORD, lambda record: _predictions(record).update(sha256=sha256(path)))
    evaluation = load_evaluation("a", tmp_path / "a")
    facts = evaluation.sets[0].columns[TRAINING_DISTANCE]
    mixed, straight = (values for _, _, values, _ in _scored([evaluation], TRAINING_DISTANCE))
    np.testing.assert_array_equal(mixed, facts[order])
    np.testing.assert_array_equal(straight, facts)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("distance", "error"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_charts_of_zeros_warn_of_nothing(distance: float, error: float) -> None:
    """A test set may be the training set, and an estimate the truth."""
    errors = PoseErrors({"rotation": np.full(8, error), "position": np.full(8, error)})
    zeros = Scatter("zeros", np.full(8, distance), errors, np.arange(8))
    figures = [
        trends([zeros], "x", log=True),
        confidence([zeros], CONFIDENT_DEG),
        mean_marks([Mark("zeros", (error, error), (None, None), False)]),
    ]
    assert all(svg(figure) for figure in figures)
    assert figures[0].axes[0].get_xscale() == ("log" if distance else "linear")


def test_what_a_pointer_reads_off_a_figure_is_what_is_drawn() -> None:
    rng = np.random.default_rng(0)
    errors = PoseErrors({"rotation": rng.gamma(2.0, 3.0, 1000), "position": rng.gamma(2.0, 1.0, 1000)})
    figure = error_curves([Curve("a </script>", "nominal", errors)], {"published": (1.0, 2.0)})
    text = svg(figure)
    rotation, position = panels(figure)
    assert rotation["x"] == {"limits": [0.3, 180.0], "log": True, "percent": False, "label": "rotation error (degrees)"}
    assert rotation["y"] == {"limits": [0.0, 1.0], "log": False, "percent": True}
    (line,) = position["lines"]
    assert line["steps"]
    assert len(line["points"]) == 200, "of a thousand"
    for at, share in line["points"]:
        assert share == pytest.approx((errors.position_mm <= at).mean(), abs=0.0035), "to four digits"
    size, frame = (
        np.array(re.findall(r"[\d.]+", re.findall(pattern, text)[0]), float)
        for pattern in (r'viewBox="0 0 ([^"]*)"', r'id="patch_2">\s*<path d="([^"]*)"')
    )
    corners = frame.reshape(-1, 2) / size
    drawn = [*corners.min(axis=0), *np.ptp(corners, axis=0)]
    np.testing.assert_allclose(rotation["box"], drawn, atol=0.001, err_msg="the first panel's frame")
    page = to_html("t", "s", [Section("One", [Drawing(text, "curve", [rotation])])])
    assert page.count("</script>") == 2, "a label ends no script"


def test_the_page_lets_its_own_script_run_and_no_other() -> None:
    page = to_html("<script>alert(1)</script>", "s", [])
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert html.unescape(re.findall(r"script-src ([^\"]*)\"", page)[0]) == f"'sha256-{digest}'"
