"""Other hands, objects and rigs than the reference's through the real command line, tiny: states to error table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import succeed


@pytest.mark.parametrize(
    ("scene", "cameras", "protocols"),
    [("adroit-box", 5, {"nominal", "calibrated"}), ("trifinger-cube", 3, {"calibrated"})],
)
def test_from_states_to_errors(tmp_path: Path, scene: str, cameras: int, protocols: set[str]) -> None:
    """Without landmarks the nominal protocol is left out, with a line that says so."""
    states, triplets, run = tmp_path / "states", tmp_path / "triplets", tmp_path / "run"
    succeed(
        *("states", "--scene", scene, "--count", "12", "--worlds", "4", "--episode_steps", "3", "--threads", "1"),
        *("--output", states),
    )
    succeed(
        *("render", "--renderer", "classic", "--scene", scene, "--states", states, "--count", "8", "--workers", "1"),
        *("--render.image_size", "64", "--render.shadows", "false", "--render.mesh_fraction", "0.05"),
        *("--view_labels", "true", "--output", triplets),
    )
    config = "configs/train/demo.yaml"
    small = ("--model.backbone.width", "8", "--model.window.size", "32", "--model.window.locator_size", "32")
    succeed(
        *("train", "--config", config, "--data.train", triplets, "--data.val_fraction", "0.3", *small),
        *("--data.batch_size", "2", "--trainer.max_steps", "2", "--trainer.val_check_interval", "2"),
        *("--trainer.accelerator", "cpu", "--threads", "1", "--output", run),
    )
    said = succeed(
        *("evaluate", "--checkpoint", run / "last.ckpt", "--test_sets.same", triplets, "--device", "cpu"),
        *("--protocols", "[nominal, calibrated]", "--output", run / "evaluation"),
    )
    record = json.loads((run / "evaluation" / "evaluation.json").read_text())
    made = {path.stem.removeprefix("same-") for path in (run / "evaluation" / "predictions").glob("*.parquet")}
    assert made & {"nominal", "calibrated"} == protocols
    assert ("without nominal" in said) == ("nominal" not in protocols)
    assert len(record["checkpoint"]["scene"]["rig"]["cameras"]) == cameras
