"""Samples made by hand for the tests of renderers: known colours, even light, nominal cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Appearance, Sample
from datagen.pictures.surroundings import Map, directions, solid_angles
from datagen.sim.materials import Material
from tests.scenes import scene
from vision.geometry.cameras import look_at
from vision.geometry.rotations import FloatArray, rigid_transform
from vision.rigs.rig import Camera, Rig
from vision.scene.scene import Scene

HAND = scene().hand
assert HAND is not None
JOINTS = HAND.start
ABOVE_HAND = np.array([1.01, 0.88, 0.25])
"""m; nothing hides an object here from any camera."""


def plain_look(drawn: Scene, materials: Sequence[str], total: float, object_grey: float | None = None) -> Appearance:
    """Six equal lights all around, 45 degrees up; matt surfaces; a grey hand and background.

    Args:
        drawn: whose cameras and colours.
        total: of the lights, in Unity's units; 0 leaves the sky alone.
        object_grey: sRGB value of the whole object; None for faces, and letters with them, in their calibrated colours.
    """
    colors = {face.name: face.color for face in drawn.object.faces}
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
        light_position=drawn.workspace.light_centre + 1.25 * direction,
        light_intensity=np.full(6, total / 6),
        camera_intrinsics=drawn.rig.nominal.intrinsics,
        camera_extrinsics=drawn.rig.nominal.extrinsics,
    )


def uneven_rig(seen: FloatArray) -> Rig:
    """Three cameras whose images differ in size and are no squares, with focal lengths of their own in x and in y and
    principal points far off the middle, on different sides; the last one's lies outside of its image.

    Args:
        seen: a point, metres, world frame, that each image shows near its middle.
    """
    lenses = (
        ("wide", 240, 150, 700.0, 560.0, 75.0, 101.0, (1.75, 1.30, 0.90)),
        ("small", 96, 72, 175.0, 225.0, 66.5, 20.25, (1.00, 0.80, 1.00)),
        ("high", 110, 210, 480.0, 620.0, 131.0, 60.0, (0.28, 1.30, 0.83)),
    )
    cameras = []
    for name, width, height, fx, fy, cx, cy, position in lenses:
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        ray = np.linalg.inv(K) @ (width / 2, height / 2, 1)
        turn = Rotation.align_vectors(ray / np.linalg.norm(ray), [0, 0, 1])[0].as_matrix()
        extrinsics = rigid_transform(turn, np.zeros(3)) @ look_at(position, seen)
        cameras.append(Camera(name=name, width=width, height=height, intrinsics=K, extrinsics=extrinsics))
    return Rig(cameras=tuple(cameras))


def random_sample(drawn: Scene, materials: Sequence[Material], index: int) -> Sample:
    """Everything random, as in a dataset."""
    rng = np.random.default_rng(index)
    quaternion = rng.normal(size=4)
    look = draw_appearance(AppearanceConfig(), drawn, materials, 0, index)
    return Sample(index, JOINTS, ABOVE_HAND, quaternion / np.linalg.norm(quaternion), look)


def at(index: int, quaternion: FloatArray, look: Appearance) -> Sample:
    """The object above the hand, turned."""
    return Sample(index, JOINTS, ABOVE_HAND, quaternion, look)


def irradiance(radiance: FloatArray | Map, normal: FloatArray) -> FloatArray:
    """Light of surroundings that falls on a surface of this normal, (3,), over pi: the colour of a white matt one."""
    height = len(radiance)
    cosine = np.maximum(directions(height) @ normal, 0.0) * solid_angles(height)
    found: FloatArray = np.einsum("hw,hwc->c", cosine, radiance) / np.pi
    return found
