"""A dataset that Unity rendered is a dataset like any other, and holds what a direct render holds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dactyl.cli import main
from datagen.states.collect import StatesConfig, collect
from tests.eval.oracle import Oracle
from tests.unity.codec import decode_pack
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=6, seed=3, worlds=4, threads=1))
    return folder


def render(states: Path, output: Path, *arguments: object) -> int:
    return main([
        "render", "--states", str(states), "--output", str(output), "--count", "6", "--shard_size", "4", "--workers",
        "1", "--render.image_size", "48", "--render.mesh_fraction", "0.1", *map(str, arguments),
    ])  # fmt: skip


PLAYER = "--render.unity.player."


@pytest.fixture(scope="module")
def run(executable: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Arguments of `dactyl render` that start the stand-in."""
    logs = tmp_path_factory.mktemp("logs")
    return ("--renderer", "unity", f"{PLAYER}executable", executable, f"{PLAYER}logs", logs)


@pytest.fixture(scope="module")
def by_unity(states: Path, run: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    output = tmp_path_factory.mktemp("data") / "unity"
    assert render(states, output, *run, f"{PLAYER}batch_size", 3) == 0
    return TripletDataset(output)


def test_it_equals_a_direct_render_sample_by_sample(states: Path, by_unity: TripletDataset, tmp_path: Path) -> None:
    assert render(states, tmp_path / "classic", "--renderer", "classic") == 0
    direct = TripletDataset(tmp_path / "classic")
    by_unity.verify()
    (info,) = by_unity.manifest.renderers
    assert info["name"] == "unity"
    assert info["version"].startswith("stand-in, mujoco")
    assert len(by_unity) == len(direct) == 6
    for ours, theirs in zip(by_unity, direct, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"images"}:
            np.testing.assert_array_equal(ours[key], theirs[key])
        difference = np.abs(ours["images"].astype(int) - theirs["images"])
        assert difference.mean() < 0.1  # levels, after JPEG
        assert (difference > 8).mean() < 0.001


def test_how_unity_was_run_is_not_part_of_a_dataset(
    states: Path, by_unity: TripletDataset, run: tuple[object, ...]
) -> None:
    """Another player and another batch size find nothing to do; another look is another dataset."""
    before = (by_unity.folder / MANIFEST).read_bytes()
    assert render(states, by_unity.folder, *run, f"{PLAYER}batch_size", 2, f"{PLAYER}executable", "/nowhere") == 0
    assert (by_unity.folder / MANIFEST).read_bytes() == before
    assert render(states, by_unity.folder, *run, "--render.unity.msaa", 4) == 1


def test_it_is_a_test_set_like_any_other(
    by_unity: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.evaluate.load_estimator", lambda *_: (Oracle([by_unity]), "0" * 64))
    checkpoint, output = tmp_path / "best.ckpt", tmp_path / "evaluation"
    checkpoint.write_bytes(b"weights")
    arguments = ["--checkpoint", checkpoint, "--test_sets.unity", by_unity.folder, "--output", output]
    assert main(["evaluate", *map(str, arguments)]) == 0
    with (output / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["test_set"] == "unity" and row["estimator"] == "ours"]
    assert {row["renderer"] for row in rows} == {"unity"}
    assert {row["samples"] for row in rows} == {"6"}


def test_a_player_that_keeps_dying_leaves_no_dataset(
    states: Path, executable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = tmp_path / "faulty"
    faulty.write_text(f'#!/bin/sh\nexec {executable} --fault die-at-start "$@"\n')
    faulty.chmod(0o755)
    run = ("--renderer", "unity", f"{PLAYER}executable", faulty, f"{PLAYER}logs", tmp_path / "logs")
    assert render(states, tmp_path / "set", *run) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dactyl")]
    assert "the Unity player does not work" in line
    assert not (tmp_path / "set" / MANIFEST).exists()
    assert not list((tmp_path / "set").glob("shard-*.tar"))


def test_export_scene_writes_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "prism.pack"
    assert main(["unity", "export-scene", "--scene", "prism", "--mesh_fraction", "0.1", "--output", str(output)]) == 0
    pack = decode_pack(output.read_bytes())
    assert pack.bodies[-1].name == "object"
    assert "face/side0" in [material.name for material in pack.materials]
    assert "44 materials" in capsys.readouterr().out


def test_check_reports_the_player(executable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--player.executable", executable, "--player.logs", tmp_path / "logs", "--player.batch_size", 1]
    assert main(["unity", "check", "--image_size", "32", "--batches", "1", *map(str, arguments)]) == 0
    said = capsys.readouterr().out
    assert "orientation, cameras, colours, textures, lights and shadows: as they should be" in said
    assert "triplets/s" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected one of export-scene, check"),
        (["exprt"], "got 'exprt'"),
        (
            ["export-scene", "--output", "x", "--scene", "sphere"],
            "no scene 'sphere': give a file (.yaml), or one of",
        ),
        (["check", "--player.players", "2"], "more than one needs an executable"),
        (["check", "--player.reply", "jpeg"], "player.reply"),
        (["check", "--image_size", "5"], "image_size: must lie between 16 and 2048"),
        (["check", "--batches", "0"], "batches: must be at least 1"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unity", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
