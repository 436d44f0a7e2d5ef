"""Lights as a picture of the surroundings: against sums over its pixels, and against Filament's own lights."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest

from datagen.render import create_renderer
from datagen.render import environment_map as environment
from datagen.render.base import RenderOptions, rendered_scene
from tests.render.looks import at, plain_look, random_sample
from tests.scenes import scene
from vision.geometry.rotations import FloatArray

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
NORMALS = np.random.default_rng(0).normal(size=(2000, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)


def shaded(coefficients: FloatArray, normals: FloatArray) -> FloatArray:
    """As Filament's documentation puts the nine together."""
    x, y, z = normals.T
    return np.array([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, z * x, x * x - y * y]).T @ coefficients


def test_harmonics_are_the_clamped_cosine() -> None:
    """Second order misses it by a tenth at most, and by nothing on average over the sphere."""
    towards = np.array([[0.48, 0.6, 0.64]])
    found = shaded(environment.harmonics(towards, np.array([[np.pi]]))[:, 0], NORMALS)
    cosine = np.maximum(NORMALS @ towards[0], 0.0)
    assert np.abs(found - cosine).max() < 0.1
    assert abs((found - cosine).mean()) < 0.01


def test_an_even_sky_is_one_for_all() -> None:
    none = np.zeros((0, 3))
    assert not environment.harmonics(none, np.zeros((0, 3))).any()
    assert shaded(environment.EVEN_SKY.harmonics[:, 0], NORMALS) == pytest.approx(1.0)
    assert set(read_levels(environment.environment_map(none, np.zeros(0)))[0].ravel()) == {1.0}


def read_levels(ktx: bytes) -> list[FloatArray]:
    """The pictures of a KTX file, (6, n, n) each, by the format's description."""
    assert ktx[:12] == b"\xabKTX 11\xbb\r\n\x1a\n"
    size, *_, faces, levels, pairs = struct.unpack("<7I", ktx[36:64])
    assert faces == 6
    place, found = 64 + pairs, []
    for level in range(levels):
        width = size >> level
        (length,) = struct.unpack("<I", ktx[place : place + 4])
        assert length == width * width * 4 * 2
        pixels = np.frombuffer(ktx, np.float16, 6 * width * width * 4, place + 4)
        found.append(pixels.reshape(6, width, width, 4)[..., 0].astype(float))
        place += 4 + 6 * length
    assert place == len(ktx)
    return found


def test_every_level_holds_all_of_a_lights_energy() -> None:
    """Radiance over all directions is the light's illuminance, whatever the roughness; and brightest towards it."""
    towards = np.array([[0.0, 0.6, 0.8]])
    for number, level in enumerate(read_levels(environment.environment_map(towards, np.array([2.0])))):
        directions = environment._pixel_directions(level.shape[1])
        width = 2 / level.shape[1]
        solid_angle = width**2 * np.abs(directions).max(axis=-1) ** 3
        assert ((level - 1.0) * solid_angle).sum() == pytest.approx(2.0, rel=0.12), number
        brightest = directions.reshape(-1, 3)[level.argmax()]
        assert brightest @ environment._FROM_WORLD @ towards[0] > np.cos(1.5 * width), number


def test_far_lights_light_as_lights_do() -> None:
    """One light, held by the sky, against the same as a light of its own: nearly the same hand and block."""
    options = RenderOptions(image_size=64, shadows=False, shadow_lights=1)
    far = dataclasses.replace(options, environment_lights=True)
    with (
        create_renderer("filament", rendered_scene(scene(), options), options) as drawn,
        create_renderer("filament", rendered_scene(scene(), far), far) as held,
    ):
        look = plain_look(rendered_scene(scene(), options), drawn.materials, 8.0)
        # A background far from the hand gets less of a near light, and so would differ.
        rgb = np.where(np.array(drawn.materials)[:, None] == "background", 0.0, look.material_rgb)
        pictures = []
        for number in range(6):
            # The first light is drawn by both, and is out.
            place = look.light_position[[(number + 3) % 6, number]]
            light = {"light_position": place, "light_intensity": np.array([0.0, 8.0])}
            pictures.append(at(number, UPRIGHT, dataclasses.replace(look, material_rgb=rgb, **light)))
        one, other = (renderer.render(pictures).astype(float) for renderer in (drawn, held))
    shown = (one.max(axis=-1) > 40) | (other.max(axis=-1) > 40)
    apart = np.abs(one - other).mean(axis=-1)[shown].mean()
    turned = np.abs(one - np.roll(other, 1, axis=0)).mean(axis=-1)[shown].mean()
    assert apart < 6.0
    assert turned > 2 * apart, "a light from another side would be as good"
    assert one[shown].mean() == pytest.approx(other[shown].mean(), rel=0.05)


def test_a_later_sample_does_not_see_the_lights_of_the_one_before() -> None:
    options = RenderOptions(image_size=48, shadow_lights=1, shadow_map_size=128, environment_lights=True)
    with create_renderer("filament", rendered_scene(scene(), options), options) as renderer:
        samples = [random_sample(rendered_scene(scene(), options), renderer.materials, index) for index in range(3)]
        images = renderer.render(samples)
    with create_renderer("filament", rendered_scene(scene(), options), options) as renderer:
        renderer.skip(2)
        assert np.array_equal(renderer.render(samples[2:])[0], images[2])
