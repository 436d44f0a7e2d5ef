"""Pictures of others: as 8-bit RGB, or one line that names the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from eval.laboratory.network_views import _middle
from eval.laboratory.pictures import list_pictures, read_picture
from tests.scenes import rig
from vision.errors import DactylError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def write(path: Path, values: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled(channels: int, tmp_path: Path) -> None:
    colors = np.stack([RAMP, RAMP[::-1], RAMP.T, np.ones_like(RAMP)][:channels], axis=-1)
    path = write(tmp_path / "deep.png", np.round(colors * 65535).astype(np.uint16).squeeze())
    found = read_picture(path)
    expected = np.round(colors * 255)[..., [0, 0, 0] if channels == 1 else [2, 1, 0]]  # OpenCV writes blue first
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_are_refused_unless_told(bits: int, tmp_path: Path) -> None:
    path = write(tmp_path / "deep.png", np.round(RAMP * ((1 << bits) - 1)).astype(np.uint16))
    with pytest.raises(
        DactylError, match=rf"deep\.png: 16-bit picture whose largest value is {(1 << bits) - 1}: fewer"
    ):
        read_picture(path)
    assert np.abs(read_picture(path, bits)[..., 0] - RAMP * 255).max() <= 1
    write(path, np.round(RAMP * 65535).astype(np.uint16))
    with pytest.raises(DactylError, match=rf"with the value 65535, picture_bits {bits} ends at"):
        read_picture(path, bits)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_eight_bits_of_every_kind_are_rgb(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(np.round(RAMP * 255).astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert found.shape == (8, 8, 3)
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGB")))
    assert found.max() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_is_read_as_viewers_and_opencv_show_it(orientation: int, suffix: str, tmp_path: Path) -> None:
    """A camera that was held upright writes its sensor's rows, and in EXIF how to turn them: poses were wrong."""
    picture = Image.fromarray(np.repeat(np.round(RAMP * 255).astype(np.uint8).repeat(8, 0), 16, 1)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"a{suffix}", exif=exif)
    read = cv2.imread(str(tmp_path / f"a{suffix}"))
    assert read is not None
    found = read_picture(tmp_path / f"a{suffix}").astype(int)
    assert found.shape == ((64, 128, 3) if orientation < 5 else (128, 64, 3))
    if suffix == ".jpg":  # OpenCV turns these
        assert np.abs(found - read[..., ::-1]).max() <= 8
        return
    deep = with_exif(write(tmp_path / "deep.png", 257 * np.asarray(picture)[..., 0].astype(np.uint16)), exif)
    np.testing.assert_array_equal(read_picture(deep), found, "a 16-bit picture is turned like an 8-bit one")


def with_exif(path: Path, exif: Image.Exif) -> Path:
    """Put EXIF into a PNG of 16 bits, which Pillow cannot write with it: a chunk after the header."""
    content, body = path.read_bytes(), b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(content[:33] + chunk + content[33:])
    return path


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_other_formats_are_named(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", np.round(RAMP * 255).astype(np.uint8))
    with pytest.raises(DactylError, match=r"not a readable picture: neither PNG nor JPEG; convert it"):
        read_picture(path)


def test_a_truncated_deep_picture_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.random.default_rng(0).integers(0, 65535, (64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DactylError, match=r"a\.png: not a readable picture"):
        read_picture(path)


def test_folders_say_what_is_no_picture(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.jpeg", "d.bmp", "e.tif", "._b.png", ".DS_Store", "notes.txt"):
        (tmp_path / name).touch()
    pictures, others = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ["a.jpg", "b.PNG", "c.jpeg"]
    assert others == ["d.bmp", "e.tif", "notes.txt"]
    for folder in (tmp_path / "nowhere", tmp_path / "a.jpg"):
        with pytest.raises(DactylError, match="expected a folder of pictures"):
            list_pictures(folder)


def test_small_pictures_are_enlarged_smoothly() -> None:
    """The mean over an area, which reduces them well, only repeats their pixels where they are smaller."""
    camera = rig(200).cameras[0]
    ramp = np.tile(4 * np.arange(50, dtype=np.uint8)[None, :, None], (50, 1, 3))
    row = _middle(camera, ramp)[100, :, 0].astype(int)
    assert row.shape == (200,)
    assert np.diff(row).max() <= 2  # 4 where each pixel is repeated four times
