"""Check whether this machine can render: every renderer draws a scene in which each pixel's content is known.

Each is tried in a separate process, because native code may end the process or hang if a driver is missing or broken.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from datagen.appearance.sample import Appearance, Sample
from datagen.render import create_renderer
from datagen.render.base import Renderer, RendererInfo, RenderOptions, rendered_scene
from datagen.sim.complete import complete_scene
from datagen.sim.materials import Material
from vision.configuration.bounds import positive
from vision.errors import DactylError
from vision.geometry.cameras import project
from vision.scene.scene import Scene

_SIZE = 100
_ABOVE_HAND = np.array([1.01, 0.88, 0.25])  # m; nothing hides an object here from any camera
_SOFTWARE = ("llvmpipe", "lavapipe", "softpipe", "swrast", "swiftshader", "cpu (")


@dataclass(frozen=True)
class DoctorConfig:
    """What to try.

    Attributes:
        renderers: filament, classic, and warp if its package is installed.
        timeout_s: seconds that each may take; warp compiles its kernels on first use.
    """

    renderers: tuple[Literal["filament", "classic", "warp"], ...] = field(default_factory=lambda: tuple(_installed()))
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        positive(self, "timeout_s")


def _installed() -> Iterator[Literal["filament", "classic", "warp"]]:
    yield from ("filament", "classic")
    if importlib.util.find_spec("mujoco_warp"):
        yield "warp"


@dataclass(frozen=True)
class Finding:
    """Result for one renderer; ``complaint`` is empty if its images are right."""

    name: str
    complaint: str
    seconds: float
    info: RendererInfo | None = None

    @property
    def device(self) -> str:
        if self.info is None:
            return ""
        kind = "software" if any(name in self.info.device.lower() for name in _SOFTWARE) else "hardware"
        return f"{self.info.device} ({kind})"


def examine(name: str, timeout_s: float = 120.0) -> Finding:
    """Try one renderer in a separate process."""
    start = time.monotonic()
    command = [sys.executable, "-m", "datagen.inspection.doctor", name]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Finding(name, f"does not answer within {timeout_s:g} s; check the graphics driver", timeout_s)
    seconds = time.monotonic() - start
    lines = process.stdout.splitlines()
    if process.returncode != 0 or not lines:
        said = (process.stderr.strip().splitlines() or ["no word"])[-1]
        return Finding(name, f"its process ended with status {process.returncode}: {said}", seconds)
    said = json.loads(lines[-1])
    return Finding(name, said["complaint"], seconds, RendererInfo(**said["info"]) if said["info"] else None)


def complaint(renderer: Renderer, scene: Scene) -> str:
    """Return what is wrong with a renderer's images; empty if nothing is.

    The block hangs above the hand under the even sky, once white and once black: the images must differ exactly inside
    its projected outline. That detects blank, mirrored, shifted and swapped images.
    """
    white, black = renderer.render(
        [_sample(scene, renderer.materials, number, grey) for number, grey in enumerate((1.0, 0.0))]
    )
    difference = (white.astype(float) - black).mean(axis=-1)
    for camera, name in enumerate(scene.rig.names):
        inside, outside = _certain_pixels(scene, camera)
        if difference[camera][inside].min() < 40:
            return f"camera {name} does not show the block where it is"
        if np.abs(difference[camera][outside]).max() > 40:
            return f"camera {name} shows the block where it is not"
    return ""


def _certain_pixels(scene: Scene, camera: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the pixels at least two pixels inside the block's outline, and as far outside, (H, W) each."""
    nominal = scene.rig.nominal
    corners = scene.object.keypoints + _ABOVE_HAND
    pixels = project(corners, nominal.at(camera))
    outline = Outline(pixels[ConvexHull(pixels).vertices])
    centres = np.stack(np.meshgrid(np.arange(_SIZE), np.arange(_SIZE)), axis=-1).reshape(-1, 2) + 0.5
    # Matplotlib grows or shrinks a path by the radius, depending on the orientation of its corners.
    grown, shrunk = sorted((outline.contains_points(centres, radius=r) for r in (2.0, -2.0)), key=np.sum, reverse=True)
    return shrunk.reshape(_SIZE, _SIZE), ~grown.reshape(_SIZE, _SIZE)


def _sample(scene: Scene, materials: Sequence[Material], index: int, grey: float) -> Sample:
    """Build a sample lit by the sky alone, with everything matt and grey, and the block in its own grey."""
    block = [material.part is not None for material in materials]
    matt = np.full(len(materials), 0.1)
    look = Appearance(
        material_rgb=np.where(block, grey, 0.5)[:, None].repeat(3, axis=1),
        material_metallic=matt,
        material_glossiness=matt,
        light_position=np.array([[1.0, 0.87, 1.4]]),
        light_intensity=np.zeros(1),
        camera_intrinsics=scene.rig.nominal.intrinsics,
        camera_extrinsics=scene.rig.nominal.extrinsics,
    )
    joints = np.zeros(scene.joints)
    return Sample(index, joints, _ABOVE_HAND, np.array([1.0, 0.0, 0.0, 0.0]), look)


def main(name: str) -> None:
    """Try a renderer in the separate process, and print one line of JSON."""
    options = RenderOptions(image_size=_SIZE, mesh_fraction=0.05)
    scene = rendered_scene(complete_scene("block"), options)
    finding: dict[str, object] = {"info": None}
    try:
        with create_renderer(name, scene, options) as renderer:
            finding = {"info": asdict(renderer.info), "complaint": complaint(renderer, scene)}
    except DactylError as error:
        finding["complaint"] = str(error)
    sys.stdout.write(json.dumps(finding) + "\n")
    sys.stdout.flush()
    os._exit(0)  # skips unloading: a driver that crashes there has rendered nonetheless


if __name__ == "__main__":
    main(sys.argv[1])
