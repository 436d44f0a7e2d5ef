"""The README.md of a dataset, and the code in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from datagen.inspection.data_card import CARD, PREVIEW, card, write_card
from tests.synthetic import make_dataset
from vision.storage.datasets import TripletDataset


def test_the_card_says_what_a_sample_holds_and_its_code_loads_it(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", 5, image_size=64, samples_per_shard=2)
    assert write_card(TripletDataset(folder))
    text = (folder / CARD).read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "unspecified"
    assert "5 in 3 shards" in text
    for key in ("object_position", "camera_extrinsics"):
        assert f"| {key} in `label.json` | float64 |" in text
    assert (folder / PREVIEW).read_bytes().startswith(b"\xff\xd8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    code += "    print(image.shape, image.dtype, len(position), len(quaternion))\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "(64, 64, 3) float32 3 4\n" * 5


def test_a_card_asks_for_no_file_of_a_shard(tmp_path: Path) -> None:
    """On a remote store each question is a request, and a million triplets have thousands of shards."""
    dataset = TripletDataset(make_dataset(tmp_path / "set", 5, image_size=64, samples_per_shard=2))
    (tmp_path / "set" / dataset.shards[1].name).unlink()
    assert "5 in 3 shards" in card(dataset)


def test_a_card_that_was_changed_stays_as_it_is(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", 3, image_size=64)
    dataset = TripletDataset(folder)
    assert write_card(dataset)
    first = (folder / CARD).read_bytes()
    assert write_card(dataset)
    assert (folder / CARD).read_bytes() == first
    changed = first.replace(b"license: unspecified", b"license: cc-by-4.0 ")
    (folder / CARD).write_bytes(changed)
    assert not write_card(dataset)
    assert (folder / CARD).read_bytes() == changed


def test_the_same_samples_have_the_same_card_in_any_folder(tmp_path: Path) -> None:
    folders = [make_dataset(tmp_path / name, 2, image_size=64) for name in ("one", "a|b<script>")]
    for folder in folders:
        write_card(TripletDataset(folder))
    for name in (CARD, PREVIEW):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_pipe_in_the_cards_place_is_not_waited_for(tmp_path: Path) -> None:
    dataset = TripletDataset(make_dataset(tmp_path / "set", 2))
    card = tmp_path / "set" / CARD
    card.unlink(missing_ok=True)
    os.mkfifo(card)
    write_card(dataset)
    assert card.is_fifo()  # not ours to replace
