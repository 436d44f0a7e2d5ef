"""A mug with a texture and a can that looks the same however it turns, through the real command line, tiny."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trimesh
import yaml

from tests.commands import succeed
from vision.scene.load import SCENES

ROOT = Path(__file__).parents[2]
CAMERAS = [
    {"name": "side", "fovy_deg": 16.0, "position": [1.754, 1.287, 0.901]},
    {"name": "top", "fovy_deg": 24.0, "position": [1.017, 0.892, 0.880]},
]
CAN_SYMMETRIES = {"continuous": [[0, 0, 1]], "discrete": [{"axis": [1, 0, 0], "degrees": 180}]}


@pytest.mark.parametrize(("name", "cameras"), [("mug", 2), ("can", 1)])
def test_from_a_mesh_file_to_errors(tmp_path: Path, name: str, cameras: int) -> None:
    target = {"kind": "mesh", "name": name, "file": f"{name}.obj", "scale": 0.001, "mass": 0.08, "origin": "middle"}
    if name == "mug":
        script = ROOT / "examples" / "scenes" / "make_mug.py"
        subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env={"PYTHONPATH": str(ROOT)})
        target["pieces"] = sorted(path.name for path in tmp_path.glob("mug-piece-*.stl"))
    else:
        trimesh.creation.cylinder(25, 60, sections=48).export(tmp_path / "can.obj")
        target["symmetries"] = CAN_SYMMETRIES
    views = [{**camera, "width": 320, "height": 240, "look_at": [1.0, 0.87, 0.17]} for camera in CAMERAS[:cameras]]
    content = yaml.safe_load((SCENES / "block.yaml").read_text())
    scene = tmp_path / f"{name}.yaml"
    scene.write_text(yaml.safe_dump({**content, "object": target, "rig": {"cameras": views}}))

    states, triplets, run = tmp_path / "states", tmp_path / "triplets", tmp_path / "run"
    sizes = ("--count", "20", "--worlds", "4", "--episode_steps", "5", "--threads", "1")
    succeed("states", "--scene", scene, *sizes, "--output", states)
    small = ("--render.mesh_fraction", "0.05", "--render.shadows", "false", "--workers", "1", "--count", "4")
    succeed("render", "--renderer", "classic", "--states", states, *small, "--output", triplets)
    network = ("--model.backbone.width", "8", "--model.window.size", "32", "--model.window.locator_size", "32")
    succeed(
        *("train", "--config", "configs/train/demo.yaml", "--data.train", triplets, "--data.val", triplets, *network),
        *("--data.batch_size", "2", "--trainer.max_steps", "2", "--trainer.val_check_interval", "2"),
        *("--trainer.accelerator", "cpu", "--threads", "1", "--output", run),
    )
    evaluation = ("--test_sets.same", triplets, "--device", "cpu", "--output", run / "evaluation")
    succeed("evaluate", "--checkpoint", run / "last.ckpt", *evaluation)
    assert "ours" in (run / "evaluation" / "table.csv").read_text()
