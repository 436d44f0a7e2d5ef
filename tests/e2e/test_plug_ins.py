"""What another package brings by entry point, through the real command line: an object, a hand, a renderer, a model, a
metric and a policy."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.states.files import load_states
from tests.commands import dactyl
from tests.synthetic import make_dataset
from vision.storage.datasets import TripletDataset

_PACKAGE = '''
import numpy as np
import torch
from msgspec.structs import replace
from datagen.render.base import RendererInfo
from datagen.sim.scene import compile_scene
from eval.scoring.metric_rows import Metric
from vision.geometry.rotations import six_d_to_matrix
from vision.networks.pose_model import PoseModel
from vision.geometry.poses import Pose
from vision.networks.prediction import PosePrediction
from vision.scene.load import load_scene

def wedge():
    return replace(load_scene("prism").object, name="wedge")

def claw():
    return replace(load_scene("prism").hand, name="claw")

class Flat:
    """Paints each camera's image in the colour of the first of the object's parts."""
    batch_size, reusable = 4, True

    def __init__(self, scene, options):
        self.info = RendererInfo("flat", "1", "none", "none")
        self.materials = compile_scene(scene, "render", mesh_fraction=0.05).materials
        self._shape = (len(scene.rig), scene.rig.height, scene.rig.width, 3)
        self._part = self.materials.index(scene.object.parts[0].name)

    def skip(self, count): pass

    def render(self, samples):
        colors = np.stack([sample.appearance.material_rgb[self._part] for sample in samples])
        noise = np.stack([np.random.default_rng(s.index).integers(0, 8, self._shape) for s in samples])
        return (240 * colors[:, None, None, None] + noise).astype(np.uint8)

    def close(self): pass
    def __enter__(self): return self
    def __exit__(self, *exception): pass

class Colors(PoseModel):
    """Answers by the mean colours of the images."""
    description, uses_cameras = "looks at mean colours", False

    def __init__(self, config, scene):
        super().__init__(config, scene)
        self.layer = torch.nn.Linear(3 * len(scene.rig), 9)
        self.weight = config.options["weight"]

    @classmethod
    def check_config(cls, config):
        if config.options.keys() != {"weight"}:
            raise ValueError("options: head colors takes a weight")

    def forward(self, images, augment=None):
        self._check(images)
        return self.layer(images.float().mean(dim=(3, 4)).flatten(1) / 255)

    def pose(self, output, cameras, nominal=False):
        position = output[:, :3].double() * self.position_deviation + self.position_mean
        return PosePrediction(Pose(six_d_to_matrix(output[:, 3:].double()), position), torch.ones(len(output)))

    def losses(self, batch, augment, config):
        goal = (batch["object_position"] - self.position_mean) / self.position_deviation
        return self.weight * (self(batch["images"])[:, :3] - goal).square().mean(dim=1)

    def validation_metrics(self, columns):
        return super().validation_metrics(columns) | {"weight": torch.tensor(self.weight)}

    def exported(self, output):
        return {"raw": output}

def nothing(scene, worlds):
    return worlds

def height(pairs):
    return 1000 * (pairs.predicted.position[:, 2] - pairs.true.position[:, 2])

HEIGHT = Metric("height", "mm", "height", "how far too high the object is seen", height)

class Still:
    """Holds the joints where they are."""
    name = "still-1"

    def __init__(self, scene, worlds):
        self.shape = (worlds, scene.actions)

    def reset(self, worlds, generators): pass

    def act(self, observation):
        return np.zeros(self.shape)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder like site-packages with a package in it that nobody here knows."""
    folder = tmp_path / "site"
    about = folder / "their_lab-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "their_lab.py").write_text(_PACKAGE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-lab\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[dactyl.objects]\nwedge = their_lab:wedge\n[dactyl.hands]\nclaw = their_lab:claw\n"
        "[dactyl.renderers]\nflat = their_lab:Flat\nfilament = their_lab:Flat\nbroken = their_lab:Missing\n"
        "[dactyl.models]\ncolors = their_lab:Colors\n"
        "[dactyl.metrics]\nheight = their_lab:HEIGHT\n"
        "[dactyl.policies]\nstill = their_lab:Still\nnothing = their_lab:nothing\n"
    )
    prism = Path("configs/scenes/prism.yaml").read_text()
    (tmp_path / "lab.yaml").write_text(
        prism.replace("object: prism", "object: wedge").replace("hand: shadow", "hand: claw")
    )
    return folder


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""), str(Path.cwd())))
    return dactyl(*arguments, cwd=site.parent, PYTHONPATH=path)


def test_an_object_a_hand_and_a_renderer_of_another_package(site: Path) -> None:
    states = run(site, "states", "--scene", "lab.yaml", "--count", "6", "--worlds", "2", "--output", "states")
    assert states.returncode == 0, states.stderr
    command = ("--states", "states", "--count", "6", "--render.image_size", "32", "--workers", "1")
    rendered = run(site, "render", "--renderer", "flat", "--output", "set", *command)
    assert rendered.returncode == 0, rendered.stderr
    dataset = TripletDataset(site.parent / "set")
    assert (dataset.object.name, dataset.manifest.renderers[0]["name"]) == ("wedge", "flat")
    assert dataset.scene.hand is not None
    assert dataset.scene.hand.name == "claw"
    sample = dataset[3]
    first = np.unique(sample["images"].reshape(-1, 3), axis=0)
    assert np.ptp(first, axis=0).max() < 16, "one colour and a little noise, through JPEG"

    known = "expected one of filament, classic, warp, unity, broken, flat"
    for name, said in (("broken", "cannot be loaded"), ("absent", known)):
        wrong = run(site, "render", "--renderer", name, "--output", name, *command)
        assert wrong.returncode in (1, 2)
        assert said in wrong.stderr
        assert "Traceback" not in wrong.stderr


def test_a_model_and_a_metric_of_another_package(site: Path) -> None:
    folder = site.parent
    make_dataset(folder / "set", 8, image_size=32)
    train = ("train", "--data.train", "set", "--data.val", "set", "--output", "run", "--model.head", "colors")
    small = ("--data.batch_size", "4", "--data.workers", "0", "--trainer.max_steps", "2", "--threads", "1")
    for command in (
        (*train, *small, "--model.options", '{"weight": 2.0}'),
        ("evaluate", "--checkpoint", "run/last.ckpt", "--test_sets.made", "set", "--output", "evaluation"),
        ("report", "--evaluations.theirs", "evaluation", "--output", "report", "--metrics", "[height, add]"),
        ("export-model", "--checkpoint", "run/last.ckpt", "--output", "network.pt2"),
    ):
        done = run(site, *command)
        assert done.returncode == 0, done.stderr
    (logged,) = (folder / "run" / "csv").glob("*/metrics.csv")
    assert "val/weight" in logged.read_text()

    ours = [line for line in csv.DictReader((folder / "evaluation" / "table.csv").open()) if line["head"] == "colors"]
    assert [line["protocol"] for line in ours] == ["nominal"]
    signed, absolute = float(ours[0]["height_mean_mm"]), float(ours[0]["mean_absolute_z_mm"])
    assert 0 < abs(signed) <= absolute
    page = (folder / "report" / "report.md").read_text()
    assert "| estimator | test set | protocol | height mm | ADD mm |" in page
    assert "Height: how far too high the object is seen." in page

    gone = dactyl("export-model", "--checkpoint", "run/last.ckpt", "--output", "again.pt2", cwd=folder)
    assert gone.returncode == 1
    assert "run/last.ckpt: model 'colors' came from the package their-lab 1.0; install it" in gone.stderr

    program = torch.export.load(folder / "network.pt2").module()
    assert program(torch.zeros(2, 3, 3, 32, 32, dtype=torch.uint8))[0].shape == (2, 9)


def test_a_policy_of_another_package(site: Path) -> None:
    states = ("states", "--count", "4", "--worlds", "2")
    done = run(site, *states, "--output", "states", "--policy", "still")
    assert done.returncode == 0, done.stderr
    assert load_states(site.parent / "states").policy == "still"
    wrong = run(site, *states, "--output", "others", "--policy", "nothing")
    assert wrong.returncode == 1
    assert "policy nothing: returned int without name, reset, act" in wrong.stderr
    assert "Traceback" not in wrong.stderr
