"""Surroundings: where a pixel lies, how bright a map is, files that come back as they were, what lights stand for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import integrate
from scipy.spatial.transform import Rotation

from datagen.pictures.dominant_lights import dominant_lights
from datagen.pictures.surroundings import (
    KINDS,
    LUMINANCE,
    directions,
    draw_surroundings,
    normalised,
    radiance_towards,
    solid_angles,
    turned,
)
from datagen.pictures.surroundings_files import SUFFIXES, read_surroundings
from datagen.pictures.texture_files import picture_files
from tests.render.looks import irradiance
from vision.color import srgb_from_linear
from vision.errors import DactylError

UP = np.array([0.0, 0.0, 1.0])


class TestGeometry:
    def test_pixels_lie_where_the_text_says(self) -> None:
        towards = directions(64)
        assert towards.shape == (64, 128, 3)
        np.testing.assert_allclose(np.linalg.norm(towards, axis=-1), 1)
        np.testing.assert_allclose(towards[0].mean(axis=0), (0, 0, 1), atol=0.01)
        np.testing.assert_allclose(towards[31:33, 63:65].mean(axis=(0, 1)), (1, 0, 0), atol=0.01)
        np.testing.assert_allclose(towards[31:33, 95:97].mean(axis=(0, 1)), (0, -1, 0), atol=0.01)  # right of +x

    def test_solid_angles_make_the_sphere(self) -> None:
        assert solid_angles(32).sum() * 64 == pytest.approx(4 * np.pi)
        exact, _ = integrate.quad(np.sin, np.pi * 3 / 32, np.pi * 4 / 32)
        assert solid_angles(32)[3, 0] == pytest.approx(exact * 2 * np.pi / 64)

    def test_what_is_seen_along_a_pixels_direction_is_that_pixel(self) -> None:
        radiance = np.random.default_rng(0).uniform(size=(16, 32, 3)).astype(np.float32)
        np.testing.assert_allclose(radiance_towards(radiance, 3 * directions(16)), radiance, atol=1e-5)

    def test_it_is_seamless_and_smooth_between_pixels(self) -> None:
        radiance = (1.5 + directions(64)).astype(np.float32)  # a colour for each direction, smooth everywhere
        towards = Rotation.random(500, random_state=np.random.default_rng(1)).apply(UP)
        assert np.abs(radiance_towards(radiance, towards) - (1.5 + towards)).max() < 0.06  # by the poles; else less
        level = towards[np.abs(towards[:, 2]) < 0.8]
        assert np.abs(radiance_towards(radiance, level) - (1.5 + level)).max() < 0.002

    def test_turning_is_counter_clockwise(self) -> None:
        radiance = np.zeros((32, 64, 3), np.float32)
        radiance[15:17, 31:33] = 1  # along +x
        quarter = turned(radiance, 0.25)
        assert radiance_towards(quarter, np.array([0.0, 1.0, 0.0])).min() > 0.9
        np.testing.assert_array_equal(turned(turned(radiance, 0.3), -0.3), radiance)


class TestLight:
    def test_an_even_map_lights_every_side_alike(self) -> None:
        even = normalised(np.full((32, 64, 3), 7.0))
        np.testing.assert_allclose(even, 1, rtol=1e-6)
        for normal in (UP, -UP, np.array([0.6, 0.0, 0.8])):
            np.testing.assert_allclose(irradiance(even, normal), 1, rtol=0.01)

    def test_a_lamp_lights_by_its_cosine(self) -> None:
        radiance = np.zeros((256, 512, 3))
        lamp = np.array([0.5, 0.3, 0.8]) / np.linalg.norm([0.5, 0.3, 0.8])
        cap = directions(256) @ lamp > np.cos(0.05)
        radiance[cap] = (1.0, 2.0, 3.0)
        solid = 2 * np.pi * (1 - np.cos(0.05))
        for normal in (UP, lamp):
            expected = np.array([1, 2, 3]) * solid * (normal @ lamp) / np.pi
            np.testing.assert_allclose(irradiance(radiance.astype(np.float32), normal), expected, rtol=0.03)
        assert not irradiance(radiance.astype(np.float32), -lamp).any()


@pytest.mark.parametrize("kind", KINDS)
class TestKind:
    def test_a_generator_decides_the_map_and_its_name(self, kind: str) -> None:
        first, again, other = (draw_surroundings(np.random.default_rng(seed), 32, kind) for seed in (1, 1, 2))
        assert first.radiance.shape == (32, 64, 3)
        assert first.radiance.dtype == np.float32
        np.testing.assert_array_equal(first.radiance, again.radiance)
        assert first.name == again.name != other.name

    def test_it_is_light_of_mean_one(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        peaks, tops = [], []
        for _ in range(30):
            radiance = draw_surroundings(rng, 64, kind).radiance
            assert np.isfinite(radiance).all()
            assert (radiance >= 0).all()
            mean = (radiance @ LUMINANCE * solid_angles(64)).sum() / (4 * np.pi)
            assert mean == pytest.approx(1, rel=1e-4)
            peaks.append((radiance @ LUMINANCE).max())
            tops.append(irradiance(radiance, UP) @ LUMINANCE)
        assert np.median(peaks) > 5  # more than a screen can show
        assert 1 < np.median(tops) < 4  # most light comes from above
        assert np.std(tops) > 0.2


class TestFiles:
    @pytest.fixture
    def light(self) -> np.ndarray:
        """(16, 32, 3) up to 40, red and blue apart."""
        rng = np.random.default_rng(0)
        radiance = rng.uniform(0.1, 1.0, (16, 32, 3)) * (1.0, 0.7, 0.3)
        radiance[3, 5] = (40.0, 30.0, 20.0)
        return radiance

    def test_radiance_files(self, light: np.ndarray, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.hdr"), light[..., ::-1].astype(np.float32))
        found = read_surroundings(tmp_path / "a.hdr", 16)
        np.testing.assert_allclose(found.radiance, normalised(light), rtol=0.03, atol=0.02)
        assert found.name.startswith("a-")

    @pytest.mark.parametrize("half", [False, True])
    @pytest.mark.parametrize("name", ["RGB", "RGBA", "Y"])
    def test_openexr_files(self, light: np.ndarray, tmp_path: Path, name: str, half: bool) -> None:
        exr = pytest.importorskip("OpenEXR")
        alpha = np.concatenate([light, np.ones((16, 32, 1))], axis=2)
        pixels = {"RGB": light, "RGBA": alpha, "Y": light[..., 1]}[name].astype(np.float16 if half else np.float32)
        header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
        with exr.File(header, {name: np.ascontiguousarray(pixels)}) as file:
            file.write(str(tmp_path / "a.exr"))
        expected = light[..., [1, 1, 1]] if name == "Y" else light
        found = read_surroundings(tmp_path / "a.exr", 16).radiance
        np.testing.assert_allclose(found, normalised(expected), rtol=2e-3)

    def test_ordinary_pictures_are_decoded_to_light(self, light: np.ndarray, tmp_path: Path) -> None:
        levels = np.rint(255 * srgb_from_linear(np.minimum(light, 1))).astype(np.uint8)
        Image.fromarray(levels).save(tmp_path / "a.png")
        found = read_surroundings(tmp_path / "a.png", 16).radiance
        np.testing.assert_allclose(found, normalised(np.minimum(light, 1)), rtol=0.03, atol=0.01)

    def test_they_are_averaged_down(self, tmp_path: Path) -> None:
        light = np.zeros((32, 64, 3), np.float32)
        light[:, ::2] = 2.0
        cv2.imwrite(str(tmp_path / "a.hdr"), light)
        np.testing.assert_allclose(read_surroundings(tmp_path / "a.hdr", 8).radiance, 1, rtol=0.02)

    def test_a_folder_lists_them(self, light: np.ndarray, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "b.hdr"), light.astype(np.float32))
        Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg")
        assert [path.name for path in picture_files(tmp_path, SUFFIXES)] == ["a.jpg", "b.hdr"]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_damage_is_one_line(self, tmp_path: Path, suffix: str) -> None:
        if suffix == ".exr":
            pytest.importorskip("OpenEXR")
        path = tmp_path / f"a{suffix}"
        for data in (b"", b"nonsense", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 18\n\x02\x02"):
            path.write_bytes(data)
            with pytest.raises(DactylError, match=rf"a\{suffix}: is no picture that can be read"):
                read_surroundings(path, 8)

    def test_other_pictures_are_refused(self, tmp_path: Path) -> None:
        Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "square.png")
        with pytest.raises(DactylError, match=r"square\.png: 20 x 20 pixels; an equirectangular picture is twice"):
            read_surroundings(tmp_path / "square.png", 8)
        Image.new("RGB", (20, 10)).save(tmp_path / "black.png")
        with pytest.raises(DactylError, match=r"black\.png: is black all over"):
            read_surroundings(tmp_path / "black.png", 8)
        Image.fromarray(np.full((10, 20), 40_000, np.uint16)).save(tmp_path / "deep.png")
        with pytest.raises(DactylError, match=r"deep\.png: more than 8 bits a channel"):
            read_surroundings(tmp_path / "deep.png", 8)
        (tmp_path / "huge.hdr").write_bytes(b"#?RADIANCE\n\n-Y 100000 +X 200000\n")
        with pytest.raises(DactylError, match=r"huge\.hdr: 200000 x 100000 pixels; 1 to"):
            read_surroundings(tmp_path / "huge.hdr", 8)


class TestDominantLights:
    def test_lamps_are_found_where_they_are(self) -> None:
        radiance = np.full((128, 256, 3), 0.5)
        lamps = np.array([[0.6, 0.0, 0.8], [0.0, -0.8, 0.6], [-0.5, 0.5, np.sqrt(0.5)]])
        strengths = np.array([[60.0, 50.0, 40.0], [30.0, 30.0, 30.0], [10.0, 10.0, 20.0]])
        for lamp, strength in zip(lamps, strengths, strict=True):
            radiance[directions(128) @ lamp > np.cos(0.1)] = strength
        found, illuminance, rest = dominant_lights(radiance.astype(np.float32), 6)
        np.testing.assert_allclose(found, lamps, atol=0.01)
        level = 4 * (radiance @ LUMINANCE * solid_angles(128)).sum() / (4 * np.pi)
        solid = 2 * np.pi * (1 - np.cos(0.1))
        expected = strengths * (1 - level / (strengths @ LUMINANCE))[:, None] * solid
        np.testing.assert_allclose(illuminance, expected, rtol=0.03)
        assert (rest @ LUMINANCE).max() <= level * 1.001
        assert len(dominant_lights(radiance.astype(np.float32), 2)[0]) == 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_lights_and_rest_light_as_the_map_does(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        normals = Rotation.random(20, random_state=rng).apply(UP)
        for _ in range(5):
            radiance = draw_surroundings(rng, 64, kind).radiance
            lights, illuminance, rest = dominant_lights(radiance, 6)
            whole = (radiance * solid_angles(64)[..., None]).sum(axis=(0, 1))
            kept = (rest * solid_angles(64)[..., None]).sum(axis=(0, 1)) + illuminance.sum(axis=0)
            np.testing.assert_allclose(kept, whole, rtol=1e-4)
            assert (rest >= -1e-4).all()
            expected = np.array([irradiance(radiance, normal) for normal in normals])
            found = np.array([irradiance(rest, normal) for normal in normals])
            found += np.maximum(normals @ lights.T, 0.0) @ illuminance / np.pi
            # A lamp's extent softens where its cosine is cut off; its middle does not.
            assert np.abs(found - expected).max() < 0.06 * expected.max()

    def test_an_even_map_has_none(self) -> None:
        lights, illuminance, rest = dominant_lights(np.ones((16, 32, 3), np.float32), 6)
        assert lights.shape == illuminance.shape == (0, 3)
        np.testing.assert_allclose(rest, 1)
