"""The page to browse samples: what its filters are set on, which samples it shows, and that texts stay texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from datagen.inspection.filters import SampleErrors, filter_table
from datagen.inspection.gallery import page, page_numbers
from tests.datasets import RENDERER, make_images, make_label, write_dataset, write_manifest
from tests.scenes import rig
from vision.storage.datasets import TripletDataset
from vision.storage.shards import encode_sample, write_shard


def test_filters_know_every_number_and_nothing_else() -> None:
    first = {
        "label": {"index": 3, "augmentation": "none"},
        "drawn": {"exposure": 0.123456, "lights": [[1, 2, 3], [4, 5, 9]]},
    }
    second = {
        "label": {"index": 4, "box": [0.5, np.nan]},
        "drawn": {"exposure": 1, "clutter": [{"a": 1}, {"b": 2}], "many": 10**400},
    }
    table = filter_table([first, second])
    assert list(table["groups"]) == ["label", "drawn"]
    columns = {name: column for names in table["groups"].values() for name, column in names.items()}
    assert list(columns.values()) == list(range(len(columns)))
    named = [{name: row[column] for name, column in columns.items()} for row in table["rows"]]
    each = {f"lights {place}": float(value) for place, value in enumerate([1, 2, 3, 4, 5, 9])}
    assert named[0] == {"index": 3.0, "exposure": 0.1235, **each, "clutter, how many": None}
    assert named[1] == {"index": 4.0, "exposure": 1.0, **dict.fromkeys(each), "clutter, how many": 2.0}
    many = filter_table([{"drawn": {"shine": np.arange(9.0)}}])
    assert many == {
        "groups": {"drawn": {"shine, min": 0, "shine, mean": 1, "shine, max": 2}},
        "rows": [[0.0, 4.0, 8.0]],
    }


def test_half_of_the_samples_are_the_worst_where_errors_are_known(tmp_path: Path) -> None:
    dataset = TripletDataset(write_dataset(tmp_path / "set", (6, 6)))
    severity = np.array([0, 9, 1, 0, 0, 0, 8, 0, 0, 7, 0, 2.0])
    errors = SampleErrors({"nominal rotation (°)": severity}, ["nominal rotation (°)"], severity)
    numbers = page_numbers(dataset, 6, errors)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6
    assert {1, 6, 9} < set(numbers)
    assert page_numbers(dataset, 100, errors) == list(range(12))
    assert page_numbers(dataset, 3, None) == [0, 5, 11]
    text = page(dataset, numbers, errors)
    assert "nominal rotation (°) 9.00" in text
    rows = json.loads(re.findall(r'id="values">(.*?)</script>', text)[0])
    assert [row[0] for row in rows] == severity[numbers].tolist()


def test_texts_of_a_dataset_stay_texts(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    sample = encode_sample(make_label(0), make_images(0), rig(32), {hostile: 1.5, "name": hostile})
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [sample], "test", RENDERER)])
    text = page(TripletDataset(tmp_path), [0])
    assert hostile not in text
    assert text.count("</script>") == 2
    assert text.count("<img") == 3, "the cameras' pictures"
