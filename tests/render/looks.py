"""Samples made by hand for the tests of renderers: known colours, even light, nominal cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.render.base import Appearance, Sample
from datagen.sim.hand import CUPPED_POSE
from datagen.sim.scene import SceneConfig, build_scene
from vision.geometry.cameras import DACTYL_RIG
from vision.geometry.rotations import FloatArray
from vision.scene.objects import get_object
from vision.scene.workspace import LIGHT_CENTRE

JOINTS = np.array([CUPPED_POSE.get(name, 0.0) for name in build_scene(SceneConfig(purpose="physics")).joint_names])
ABOVE_HAND = np.array([1.01, 0.88, 0.25])
"""m; nothing hides an object here from any camera."""


def plain_look(
    object_name: str, materials: Sequence[str], total: float, object_grey: float | None = None
) -> Appearance:
    """Six equal lights all around, 45 degrees up; matt surfaces; a grey hand and background.

    Args:
        total: of the lights, in Unity's units; 0 leaves the sky alone.
        object_grey: sRGB value of the whole object; None for faces, and letters with them, in their calibrated colours.
    """
    colors = {face.name: face.color for face in get_object(object_name).faces}
    rgb = np.full((len(materials), 3), 0.5)
    for number, material in enumerate(materials):
        kind, _, name = material.partition("/")
        if kind in ("face", "letter"):
            rgb[number] = colors[name] if object_grey is None else object_grey
    azimuth = 2 * np.pi * np.arange(6) / 6
    direction = np.stack([np.cos(azimuth), np.sin(azimuth), np.ones(6)], axis=1) / np.sqrt(2)
    share = np.full(len(materials), 0.1)
    return Appearance(
        material_rgb=rgb,
        material_metallic=share,
        material_glossiness=share,
        light_position=LIGHT_CENTRE + 1.25 * direction,
        light_intensity=np.full(6, total / 6),
        camera_position=np.array([camera.position for camera in DACTYL_RIG]),
        camera_quaternion=np.array([camera.quaternion for camera in DACTYL_RIG]),
        camera_fovy_deg=np.array([camera.fovy_deg for camera in DACTYL_RIG]),
    )


def random_sample(object_name: str, materials: Sequence[str], index: int) -> Sample:
    """Everything random, as in a dataset."""
    rng = np.random.default_rng(index)
    quaternion = rng.normal(size=4)
    look = draw_appearance(AppearanceConfig(), DACTYL_RIG, object_name, materials, 0, index)
    return Sample(index, JOINTS, ABOVE_HAND, quaternion / np.linalg.norm(quaternion), look)


def at(index: int, quaternion: FloatArray, look: Appearance) -> Sample:
    """The object above the hand, turned."""
    return Sample(index, JOINTS, ABOVE_HAND, quaternion, look)
