"""A page to browse samples with: pictures, the label drawn over them, and every drawn value. One file, no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision.drawing.wireframes import LABEL_COLOR, visible_edges
from vision.geometry.cameras import project
from vision.geometry.rotations import matrix_from_quaternion
from vision.storage.datasets import TripletDataset
from vision.templating import render

TEMPLATES = Path(__file__).parent / "templates"


def page(dataset: TripletDataset, numbers: Sequence[int]) -> str:
    """HTML of samples ``numbers``; pictures are embedded as they are in the shards."""
    title = f"{dataset.folder.name}: {len(numbers)} of {len(dataset):,} triplets of the {dataset.object.name}"
    samples = [_sample(dataset, number) for number in numbers]
    return render(TEMPLATES, "gallery.html", title=title, color=LABEL_COLOR, samples=samples)


def _sample(dataset: TripletDataset, number: int) -> dict[str, Any]:
    label, look = dataset.label(number), dataset.appearance(number)
    caption = f"sample {label['index']} · {label['augmentation']}"
    if "visibility" in label:
        caption += f" · visible {', '.join(f'{share:.0%}' for share in label['visibility'])}"
    values = {"label": {key: np.asarray(value).tolist() for key, value in label.items()}, "appearance": look}
    views = [
        {
            "camera": camera,
            "picture": base64.b64encode(dataset.member(number, f"{camera.name}.jpg")).decode(),
            "edges": _edges(dataset, label, place),
        }
        for place, camera in enumerate(dataset.rig.cameras)
    ]
    return {"caption": caption, "label": _readable(values), "views": views}


def _edges(dataset: TripletDataset, label: dict[str, Any], camera: int) -> list[tuple[Any, Any, bool]]:
    """Both ends in pixels of the object's edges as the label has them, and whether each is seen."""
    K, T = label["camera_intrinsics"][camera], label["camera_extrinsics"][camera]
    position, quaternion = label["object_position"], label["object_quaternion"]
    edges = dataset.object.edges
    ends = project(edges.reshape(-1, 3) @ matrix_from_quaternion(quaternion).T + position, K, T).reshape(-1, 2, 2)
    seen = visible_edges(dataset.object, position, quaternion, T)
    return [(*pair, bool(visible)) for pair, visible in zip(ends, seen, strict=True) if np.isfinite(pair).all()]


def _readable(values: dict[str, dict[str, Any]]) -> str:
    """One line for each value, numbers to four digits."""
    rounded = json.loads(json.dumps(values), parse_float=lambda text: float(f"{float(text):.4g}"))
    return "\n".join(f"{key}: {json.dumps(value)}" for group in rounded.values() for key, value in group.items())
