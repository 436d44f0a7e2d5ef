"""The variants of ``benchmarks.compare_training``: that each is a training and each look a rendering."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare_training import main, training
from benchmarks.variants import LOOKS, VARIANTS
from datagen.generate.config import RenderConfig
from tests.datasets import write_dataset
from train.cli import parse
from vision.configuration.command_line import parse as parse_config
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json


def test_no_two_variants_are_the_same_training() -> None:
    seen: list[object] = []
    for name, variant in VARIANTS.items():
        trained = (parse([*training(name), "--data.train", "-", "--output", "-"]), variant.look)
        assert trained not in seen, name
        seen.append(trained)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_differs_from_the_training_set_s(look: str) -> None:
    where = ["--states", "-", "--output", "-"]
    usual = parse_config(RenderConfig, ["--config", "configs/render/filament.yaml", *where], "dactyl render", "")
    drawn = parse_config(RenderConfig, [*LOOKS[look], *where], "dactyl render", "")
    assert (drawn.appearance, drawn.render) != (usual.appearance, usual.render)
    assert (drawn.renderer, drawn.augmentation, drawn.scene) == (usual.renderer, usual.augmentation, usual.scene)


def test_every_look_is_tried() -> None:
    assert {variant.look for variant in VARIANTS.values()} == {"", *LOOKS}


def test_a_variant_is_trained_scored_and_then_only_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data, output = write_dataset(tmp_path / "set", (20,)), tmp_path / "compared"
    atomic_write(output / "demo" / "plan.json", canonical_json({"batches": 1, "minutes": 1.0}))
    command = ["compare_training", "--train", str(data), "--test", f"noise={data}", "--minutes", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--only", "demo", "--output", str(output)])
    main()
    rows = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    assert rows[0] == "| variant | batches | noise, nominal | noise, calibrated |"
    assert rows[2].startswith("| demo | 1 | ")
    assert rows[2].count("°") == rows[2].count("mm") == 2
    monkeypatch.setattr(subprocess, "run", None)
    main()
    assert rows[2] in capfd.readouterr().out
