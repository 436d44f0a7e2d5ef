"""Pictures for estimates that two files claim to be, and pictures that an estimate would be written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.estimation.config import EstimateConfig
from eval.estimation.run import refuse_lost_pictures
from eval.laboratory.shots import Source
from eval.laboratory.triplets import named_triplets, pictures_beside_each_other
from tests.scenes import rig
from vision.errors import DactylError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize("name", ["sheet.jpg", "drawn.PDF", "lines.txt"])
def test_a_sheet_in_another_format_is_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"overlays: expected a folder, or a sheet that ends in .png"):
        EstimateConfig(pictures=tmp_path, overlays=tmp_path / name)


def test_of_two_pictures_of_one_name_none_is_chosen(tmp_path: Path) -> None:
    names = rig().names
    touch(*(tmp_path / name / "1.png" for name in names), tmp_path / names[1] / "1.jpg")
    with pytest.raises(DactylError, match=f"camera '{names[1]}' has 1.jpg of the same moment"):
        named_triplets({name: tmp_path / name for name in names}, rig())
    touch(*(tmp_path / f"{name}-1.png" for name in names), tmp_path / f"1_{names[0]}.png")
    with pytest.raises(DactylError, match=f"camera '{names[0]}' has 1_{names[0]}.png"):
        pictures_beside_each_other(tmp_path, rig())


def test_no_picture_that_is_read_is_written_over(tmp_path: Path) -> None:
    path, loop = tmp_path / "left" / "1.png", tmp_path / "left" / "2.png"
    touch(path)
    loop.symlink_to(loop)  # is refused when it is read, and by no traceback before
    source = Source("it", 1, lambda number: pytest.fail("read"), files=(path, loop))
    for key, output in (("output", path), ("overlays", path), ("overlays", path.parent)):
        with pytest.raises(DactylError, match=f"{key}: .* read; choose another"):
            refuse_lost_pictures(EstimateConfig(pictures=tmp_path, **{key: output}), source)  # type: ignore[arg-type]
    refuse_lost_pictures(EstimateConfig(pictures=tmp_path, overlays=tmp_path / "overlays"), source)
