"""Surroundings on their way to Unity: light and colours of a map are those that its own functions say."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.pictures.surroundings import directions
from datagen.unity.environment import UNITY, EnvironmentPicture
from datagen.unity.wire import WireError
from tests.render.looks import irradiance
from tests.unity.codec import decode_picture


@pytest.fixture(scope="module")
def lamp() -> np.ndarray:
    """A map with one soft light, not along an axis, in three colours."""
    towards = np.array([0.8, 0.25, 0.55]) / np.linalg.norm([0.8, 0.25, 0.55])
    shine = np.exp(6 * (directions(64) @ towards - 1))[..., None]
    return (0.1 + shine * np.array([3.0, 2.0, 1.0])).astype(np.float32)


def test_the_light_on_a_matt_surface_is_the_irradiance(lamp: np.ndarray) -> None:
    """Nine numbers hold it but for a few hundredths; with two axes exchanged or mirrored they do not."""
    harmonics = EnvironmentPicture.of(lamp).harmonics
    normals = np.random.default_rng(0).normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    expected = np.array([irradiance(lamp, normal) for normal in normals])

    def light(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        terms = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, z * x, x * x - y * y]
        return np.stack(terms, axis=-1) @ harmonics

    world = normals.T
    apart = np.abs(light(world[0], world[2], world[1]) - expected).mean()  # Unity's y is the world's z
    assert apart < 0.04 * expected.mean()
    for wrong in (world, world[[1, 2, 0]], world[[0, 2, 1]] * [[1], [1], [-1]], world[[0, 2, 1]] * [[-1], [1], [1]]):
        assert np.abs(light(*wrong) - expected).mean() > 4 * apart


def test_an_even_map_stays_even_at_every_roughness() -> None:
    picture = EnvironmentPicture.of(np.ones((64, 128, 3), np.float32))
    assert [level.shape for level in picture.levels] == [(6, 128 >> n, 128 >> n, 4) for n in range(8)]
    for level in picture.levels:
        np.testing.assert_allclose(level, 1.0, atol=1e-3)
    np.testing.assert_allclose(picture.harmonics[0], 1.0, atol=5e-3)
    np.testing.assert_allclose(picture.harmonics[1:], 0.0, atol=5e-3)


def test_levels_are_blurred_for_unitys_roughness(lamp: np.ndarray) -> None:
    for level in range(7):
        roughness = UNITY.roughness(level)
        assert 6 * roughness * (1.7 - 0.7 * roughness) == pytest.approx(level)
    levels = EnvironmentPicture.of(lamp).levels
    contrasts = [float(level[..., :3].astype(float).std()) for level in levels]
    assert all(after < 1.01 * before for before, after in itertools.pairwise(contrasts))
    assert contrasts[6] < 0.6 * contrasts[0]
    # The roughest surface reflects what comes from the side it faces: much as a matt one.
    towards_up = levels[6][2].astype(float)[..., :3].mean(axis=(0, 1))
    np.testing.assert_allclose(towards_up, irradiance(lamp, np.array([0, 0, 1.0])), rtol=0.35)


def test_light_brighter_than_half_precision_holds_stays_finite() -> None:
    radiance = np.zeros((64, 128, 3), np.float32)
    radiance[3, 5] = 1e7
    assert all(np.isfinite(level).all() for level in EnvironmentPicture.of(radiance).levels)


def test_a_map_of_few_rows_is_taken() -> None:
    coarse = cv2.resize((1 + directions(64)[..., :1] * np.ones(3)).astype(np.float32), (32, 16))
    assert EnvironmentPicture.of(coarse).levels[0].shape == (6, 128, 128, 4)


def small_picture() -> EnvironmentPicture:
    rng = np.random.default_rng(1)
    levels = tuple(rng.uniform(0, 2, (6, side, side, 4)).astype("<f2") for side in (4, 2, 1))
    return EnvironmentPicture(rng.normal(size=(9, 3)).astype("<f4").astype(float), levels)


def test_a_picture_survives_the_wire() -> None:
    encoded = small_picture().encode()
    again = decode_picture(encoded)
    assert again.encode() == encoded
    np.testing.assert_array_equal(again.harmonics, small_picture().harmonics)


@given(st.integers(0, len(small_picture().encode()) - 1))
def test_a_cut_picture_is_refused(length: int) -> None:
    with pytest.raises(WireError):
        decode_picture(small_picture().encode()[:length])


@pytest.mark.parametrize("sizes", [(5, 3), (4, 2), (0, 0), (4, 0), (8, 4)])
def test_sizes_that_do_not_fit_are_refused(sizes: tuple[int, int]) -> None:
    content = small_picture().encode()
    header = b"".join(size.to_bytes(2, "little") for size in sizes)
    with pytest.raises(WireError):
        decode_picture(content[:4] + header + content[8:])
