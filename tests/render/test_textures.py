"""Textures: one seed one picture, no seams, colours of all kinds, and files of others read with care."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.pictures.texture_files import picture_files, read_texture
from datagen.pictures.textures import KINDS, draw_texture, spectral_noise
from vision.errors import DactylError


@pytest.mark.parametrize("kind", KINDS)
class TestKind:
    def test_a_generator_decides_the_picture_and_its_name(self, kind: str) -> None:
        first, again, other = (draw_texture(np.random.default_rng(seed), 64, kind) for seed in (1, 1, 2))
        assert first.pixels.shape == (64, 64, 3)
        assert first.pixels.dtype == np.uint8
        np.testing.assert_array_equal(first.pixels, again.pixels)
        assert first.name == again.name != other.name
        assert first.name.startswith(f"{kind}-")

    def test_it_has_no_seam(self, kind: str) -> None:
        """Across the border neighbours differ as much as anywhere else: over many textures, and in both directions."""
        rng = np.random.default_rng(0)
        for axis in (0, 1):
            steps = np.mean([_steps(draw_texture(rng, 96, kind).pixels, axis) for _ in range(12)], axis=0)
            assert steps[-1] < 1.6 * steps[:-1].mean() + 6  # a seam between unlike colours would be tens of levels

    def test_its_colours_differ_from_draw_to_draw(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        means = np.array([draw_texture(rng, 32, kind).pixels.mean(axis=(0, 1)) for _ in range(30)])
        assert (means.std(axis=0) > 15).all()

    def test_it_is_not_flat(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        assert np.median([draw_texture(rng, 64, kind).pixels.std(axis=(0, 1)).max() for _ in range(20)]) > 4


def _steps(pixels: np.ndarray, axis: int) -> np.ndarray:
    """Mean difference between a row (0) or column (1) and the next, the last of them across the border, (S,)."""
    lines = np.moveaxis(pixels.astype(int), axis, 0)
    return np.abs(np.roll(lines, -1, axis=0) - lines).mean(axis=(1, 2))


def test_a_seam_would_be_seen() -> None:
    """What the test of seams sees where there is one: a part of a larger gradient."""
    steps = _steps(draw_texture(np.random.default_rng(0), 192, "gradient").pixels[:96, :96], 0)
    assert steps[-1] > 1.6 * steps[:-1].mean() + 6


def test_noise_has_the_slope_that_was_asked_for() -> None:
    rng, size = np.random.default_rng(0), 256
    for slope in (0.5, 1.5):
        power = np.mean([np.abs(np.fft.fft2(spectral_noise(rng, size, slope))) ** 2 for _ in range(8)], axis=0)
        frequency = size * np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
        chosen = (frequency > 4) & (frequency < 60)
        measured = np.polyfit(np.log(frequency[chosen]), np.log(power[chosen]), 1)[0]
        assert measured == pytest.approx(-2 * slope, abs=0.15)
    noise = spectral_noise(rng, size, 1.0)
    assert (noise.min(), noise.max()) == (0.0, 1.0)
    long = spectral_noise(rng, size, 1.5, 16.0)
    assert np.abs(np.diff(long, axis=1)).mean() < 0.3 * np.abs(np.diff(long, axis=0)).mean()


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        (tmp_path / "inner").mkdir()
        for number, name in enumerate(("b.png", "inner/a.PNG", "c.jpg")):
            Image.fromarray(rng.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)).save(tmp_path / name)
        (tmp_path / "notes.txt").write_text("no picture")
        return tmp_path

    def test_it_gives_each_picture_once(self, folder: Path) -> None:
        paths = picture_files(folder)
        assert [path.name for path in paths] == ["b.png", "c.jpg", "a.PNG"]
        read = [read_texture(path, 32) for path in paths]
        assert [texture.name.rpartition("-")[0] for texture in read] == ["b", "c", "a"]
        assert all(texture.pixels.shape == (32, 32, 3) for texture in read)

    def test_the_name_follows_the_bytes(self, folder: Path) -> None:
        before = read_texture(folder / "b.png", 16).name
        assert read_texture(folder / "b.png", 32).name == before
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "b.png")
        assert read_texture(folder / "b.png", 16).name != before

    def test_it_takes_the_middle_square_the_right_way_up(self, tmp_path: Path) -> None:
        pixels = np.zeros((20, 60, 3), np.uint8)
        pixels[:10, 20:40] = (255, 0, 0)  # upper half of the middle
        turned = Image.fromarray(np.rot90(pixels, -1).copy())
        exif = turned.getexif()
        exif[0x0112] = 8  # shown turned a quarter to the left
        turned.save(tmp_path / "turned.png", exif=exif)
        found = read_texture(tmp_path / "turned.png", 20).pixels
        assert (found[:10] == (255, 0, 0)).all()
        assert not found[10:].any()

    def test_what_cannot_be_read_is_one_line(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(DactylError, match="nowhere: no such folder of pictures"):
            picture_files(folder / "nowhere")
        (folder / "empty").mkdir()
        with pytest.raises(DactylError, match=r"empty: no pictures in it; expected files that end in \.jpg"):
            picture_files(folder / "empty")
        (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:300])
        (folder / "b.png").write_text("nonsense")
        for name in ("c.jpg", "b.png"):
            with pytest.raises(DactylError, match=f"{name}: is no picture that can be read"):
                read_texture(folder / name, 16)

    @pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
    def test_values_that_would_be_clipped_are_refused(self, tmp_path: Path, name: str) -> None:
        """Grey of 16 bits would be white but for its darkest spots."""
        levels = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
        Image.fromarray(levels).save(tmp_path / name)
        with pytest.raises(DactylError, match=rf"{name}: more than 8 bits a channel; convert it to 8 bits"):
            read_texture(tmp_path / name, 16)
