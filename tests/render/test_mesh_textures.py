"""A texture on an object from a mesh file: each texel where its coordinates put it, in both renderers."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from datagen.appearance.sample import Sample
from datagen.render import create_renderer
from datagen.render.base import RenderOptions
from tests.render.looks import plain_look
from tests.scenes import scene
from vision.geometry.cameras import project
from vision.objects.meshes import MeshFile
from vision.scene.scene import Scene

SIZE = 200
QUARTERS = {(-1, 1): (220, 40, 40), (1, 1): (40, 200, 40), (-1, -1): (50, 50, 220), (1, -1): (220, 210, 40)}
"""Colour by the signs of x and y, as seen from above with y up: the picture's upper row first."""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A plate without a hand, 60 x 60 x 10 mm, on whose upper side a picture of four colours lies upright."""
    folder = tmp_path_factory.mktemp("plate")
    picture = np.array([[QUARTERS[-1, 1], QUARTERS[1, 1]], [QUARTERS[-1, -1], QUARTERS[1, -1]]], np.uint8)
    Image.fromarray(picture.repeat(32, axis=0).repeat(32, axis=1)).save(folder / "print.png")
    (folder / "plate.mtl").write_text("newmtl print\nKd 1 1 1\nmap_Kd print.png\n")
    corners = [(x, y, z) for z in (-5, 5) for y in (-30, 30) for x in (-30, 30)]
    faces = [
        "1/1 3/3 4/4 2/2",
        "5/1 6/2 8/4 7/3",
        "1/1 2/2 6/2 5/1",
        "3/3 7/3 8/4 4/4",
        "1/1 5/1 7/3 3/3",
        "2/2 4/4 8/4 6/2",
    ]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + ["vt 0 0", "vt 1 0", "vt 0 1", "vt 1 1"]
    lines = ["mtllib plate.mtl", *lines, "usemtl print", *(f"f {face}" for face in faces)]
    (folder / "plate.obj").write_text("\n".join(lines) + "\n")
    target = MeshFile(name="plate", file="plate.obj", mass=0.05, scale=0.001, keypoints="corners", smooth=False).build(
        folder
    )
    return replace(scene("block", SIZE), object=target, hand=None)


@pytest.mark.parametrize("name", ["filament", "classic"])
def test_every_quarter_of_a_picture_is_where_its_coordinates_put_it(plate: Scene, name: str) -> None:
    options = RenderOptions(image_size=SIZE)
    with create_renderer(name, plate, options) as renderer:
        look = plain_look(plate, renderer.materials, 0.5)
        position, upright = np.array(plate.workspace.start), np.array([1.0, 0.0, 0.0, 0.0])
        images = renderer.render([Sample(0, np.zeros(0), position, upright, look)])[0]
    top = plate.rig.cameras[1]
    for (right, up), color in QUARTERS.items():
        point = position + np.array([0.015 * right, 0.015 * up, 0.005])
        column, row = project(point[None], top)[0].astype(int)
        seen = images[1][row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).mean(axis=0)
        hue = seen / seen.max()
        np.testing.assert_allclose(
            hue, np.array(color) / max(color), atol=0.2, err_msg=f"quarter {right}, {up}: {seen}"
        )
