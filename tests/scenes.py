"""Scenes for tests, completed and with images of a given size."""

from __future__ import annotations

import functools

from datagen.sim.complete import complete_scene
from datagen.sim.materials import Material
from datagen.sim.scene import SimScene, compile_scene
from vision.rigs.rig import Rig
from vision.scene.scene import Scene


@functools.cache
def scene(name: str = "block", image_size: int = 200) -> Scene:
    """One of ours by name."""
    whole = complete_scene(name)
    return whole.with_rig(whole.rig.resized(image_size))


def rig(image_size: int = 200) -> Rig:
    """The three cameras of the reference."""
    return scene("block", image_size).rig


@functools.cache
def compiled(name: str = "block", mesh_fraction: float = 0.05) -> SimScene:
    """A scene compiled to be drawn; tests must not change its model."""
    return compile_scene(scene(name), "render", mesh_fraction=mesh_fraction)


BACKGROUND = Material("background", "background")

JOINTS = 24
"""Of the Shadow hand."""
