"""A bowl's floor shows its texture as a map, its wall unrolled: to the right as seen from inside, and up along it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.appearance.sample import Sample
from datagen.pictures.texture_pool import TEXTURES, TextureUse
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from tests.render.looks import plain_look
from tests.scenes import scene as scene_of
from vision.geometry.rotations import FloatArray
from vision.scene.scene import Scene
from vision.scene.surroundings import Background

OPTIONS = RenderOptions(image_size=200, shadows=False, textures=True)
REPEAT = 0.4  # m


def rays(scene: Scene) -> tuple[FloatArray, FloatArray]:
    """Of each pixel: where it begins, from the bowl's centre, and its direction, (C, H, W, 3) each."""
    rig = scene.rig
    pixels = np.stack([*np.meshgrid(*[np.arange(rig.width) + 0.5] * 2), np.ones((rig.width,) * 2)], axis=-1)
    K, T = rig.nominal.intrinsics, rig.nominal.extrinsics
    directions = np.stack([pixels @ np.linalg.inv(k).T @ t[:3, :3] for k, t in zip(K, T, strict=True)])
    origins = np.stack([-t[:3, :3].T @ t[:3, 3] for t in T]) - np.array(scene.background.centre)
    return np.broadcast_to(origins[:, None, None], directions.shape), directions


def on_the_wall(scene: Scene) -> tuple[FloatArray, np.ndarray]:
    """Where each pixel's ray meets the inner side of the cone, from the bowl's centre, and whether it does.

    By the quadratic equation of a cone, which knows nothing of meshes.
    """
    bowl, (origin, ray) = scene.background, rays(scene)
    slope = (bowl.rim_radius - bowl.floor_radius) / bowl.rim_height
    radius, growth = bowl.floor_radius + slope * origin[..., 2], slope * ray[..., 2]
    a = (ray[..., :2] ** 2).sum(-1) - growth**2
    b = (ray[..., :2] * origin[..., :2]).sum(-1) - growth * radius
    root = np.sqrt(np.maximum(b**2 - a * ((origin[..., :2] ** 2).sum(-1) - radius**2), 0))
    place = origin + ray * ((-b + root) / a)[..., None]  # the far side, which shows its inside
    return place, (place[..., 2] > 0.02) & (place[..., 2] < bowl.rim_height - 0.02)


def on_the_floor(scene: Scene) -> tuple[FloatArray, np.ndarray]:
    origin, ray = rays(scene)
    place = origin - ray * (origin[..., 2] / ray[..., 2])[..., None]
    return place, np.hypot(place[..., 0], place[..., 1]) < scene.background.floor_radius - 0.01


def unrolled(bowl: Background, place: FloatArray) -> FloatArray:
    """Coordinates (..., 2) in repeats: to the right as seen from the middle, and up along the wall."""
    times = round(np.pi * (bowl.floor_radius + bowl.rim_radius) / REPEAT)
    right = -times * np.arctan2(place[..., 1], place[..., 0]) / (2 * np.pi)
    steepness = np.hypot(bowl.rim_radius - bowl.floor_radius, bowl.rim_height) / bowl.rim_height
    return np.stack([right, steepness * place[..., 2] / REPEAT], axis=-1)


@pytest.mark.parametrize("name", ["filament", "classic"])
def test_a_print_can_be_read(name: str, tmp_path: Path) -> None:
    colors = np.random.default_rng(3).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(colors.repeat(32, axis=0).repeat(32, axis=1)).save(tmp_path / "cells.png")
    source = f"picture:{tmp_path / 'cells.png'}"
    texels = TEXTURES.image(source).pixels
    scene = rendered_scene(scene_of("trifinger-cube"), OPTIONS)
    with create_renderer(name, scene, OPTIONS) as made:
        where = [made.materials.index(material) for material in ("background", "background/wall")]
        uses = tuple(TextureUse(number, source, TEXTURES.image(source).name) for number in where)
        look = dataclasses.replace(plain_look(scene, made.materials, 12.0), textures=uses)
        away = np.array([0.0, 0.0, -1.0])
        image = made.render([Sample(0, np.zeros(0), away, np.array([1.0, 0, 0, 0]), look)])[0].astype(int)
    wall, on_wall = on_the_wall(scene)
    floor, on_floor = on_the_floor(scene)
    for along, meets in ((unrolled(scene.background, wall), on_wall), (floor[..., :2] / REPEAT, on_floor)):
        assert meets.mean(axis=(1, 2)).min() > 0.1

        def match(right: FloatArray, up: FloatArray, meets: np.ndarray = meets) -> float:
            rows, columns = (np.floor(one * len(texels)).astype(int) % len(texels) for one in (-up, right))
            return float(np.corrcoef(texels[rows, columns][meets].ravel(), image[meets].ravel())[0, 1])

        assert match(along[..., 0], along[..., 1]) > 0.8
        assert match(-along[..., 0], along[..., 1]) < 0.3, "as in a mirror"
        assert match(along[..., 0], -along[..., 1]) < 0.3, "upside down"
