"""What another package brings: an object and a renderer of its own, by entry point, through the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vision.storage.datasets import TripletDataset

_PACKAGE = '''
import numpy as np
from msgspec.structs import replace
from datagen.render.base import RendererInfo
from datagen.sim.scene import compile_scene
from vision.scene.load import load_scene

def wedge():
    return replace(load_scene("prism").object, name="wedge")

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
        "[dactyl.objects]\nwedge = their_lab:wedge\n"
        "[dactyl.renderers]\nflat = their_lab:Flat\nfilament = their_lab:Flat\nbroken = their_lab:Missing\n"
    )
    prism = Path("configs/scenes/prism.yaml").read_text()
    (tmp_path / "lab.yaml").write_text(prism.replace("object: prism", "object: wedge"))
    return folder


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""), str(Path.cwd())))
    return subprocess.run(
        [sys.executable, "-m", "dactyl", *arguments],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_object_and_a_renderer_of_another_package(site: Path) -> None:
    states = run(site, "states", "--scene", "lab.yaml", "--count", "6", "--worlds", "2", "--output", "states")
    assert states.returncode == 0, states.stderr
    command = ("--states", "states", "--count", "6", "--render.image_size", "32", "--workers", "1")
    rendered = run(site, "render", "--renderer", "flat", "--output", "set", *command)
    assert rendered.returncode == 0, rendered.stderr
    dataset = TripletDataset(site.parent / "set")
    assert (dataset.object.name, dataset.manifest.renderers[0]["name"]) == ("wedge", "flat")
    sample = dataset[3]
    first = np.unique(sample["images"].reshape(-1, 3), axis=0)
    assert np.ptp(first, axis=0).max() < 16, "one colour and a little noise, through JPEG"

    known = "expected one of filament, classic, warp, unity, broken, flat"
    for name, said in (("broken", "cannot be loaded"), ("absent", known)):
        wrong = run(site, "render", "--renderer", name, "--output", name, *command)
        assert wrong.returncode in (1, 2)
        assert said in wrong.stderr
        assert "Traceback" not in wrong.stderr
