"""HTML page to browse samples: images, the label drawn over them, and every drawn value. One file, no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datagen.inspection.filters import SampleErrors, filter_table
from vision.drawing.wireframes import LABEL_COLOR, projected_edges, visible_edges
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.templating import inline_script, render

TEMPLATES = Path(__file__).parent / "templates"


def page(dataset: TripletDataset, numbers: Sequence[int], errors: SampleErrors | None = None) -> str:
    """Return an HTML page of samples ``numbers``; images are embedded as stored in the shards."""
    title = f"{dataset.folder.name}: {len(numbers)} of {len(dataset):,} triplets of the {dataset.object.name}"
    values = [_values(dataset, number, errors) for number in numbers]
    shown = errors.shown if errors else ()
    samples = [_sample(dataset, number, groups, shown) for number, groups in zip(numbers, values, strict=True)]
    filters, script = filter_table(values), inline_script(TEMPLATES, "gallery.js")
    return render(
        TEMPLATES, "gallery.html", title=title, color=LABEL_COLOR, samples=samples, filters=filters, script=script
    )


def page_numbers(dataset: TripletDataset, count: int, errors: SampleErrors | None) -> list[int]:
    """Return up to ``count`` sample numbers, spread evenly; if errors are known, half of them are the worst."""
    worst = [] if errors is None else np.argsort(-errors.severity, kind="stable")[: -(-count // 2)].tolist()
    others = sorted({*range(len(dataset))} - {*worst})
    return sorted([*worst, *(others[place] for place in evenly_spaced(len(others), count - len(worst)))])


def _values(dataset: TripletDataset, number: int, errors: SampleErrors | None) -> dict[str, dict[str, Any]]:
    """Return all values of a sample, in groups."""
    drawn = dataset.appearance(number)
    label = {key: np.asarray(value).tolist() for key, value in dataset.label(number).items() if key not in drawn}
    groups = {}
    if errors is not None:
        groups["errors"] = {title: float(values[number]) for title, values in errors.values.items()}
    if "visibility" in label:
        shares = label.pop("visibility")
        seen = {f"visible, {camera}": share for camera, share in zip(dataset.rig.names, shares, strict=True)}
        groups["visible share"] = seen | {"visible, mean of the cameras": float(np.mean(shares))}
    return {**groups, "label": label, "drawn": drawn}


def _sample(
    dataset: TripletDataset, number: int, groups: dict[str, dict[str, Any]], shown: Sequence[str]
) -> dict[str, Any]:
    label = dataset.label(number)
    caption = f"sample {label['index']} · {label['augmentation']}"
    if "visibility" in label:
        caption += f" · visible {', '.join(f'{share:.0%}' for share in label['visibility'])}"
    caption += "".join(f" · {title} {groups['errors'][title]:.2f}" for title in shown)
    views = [
        {
            "camera": camera,
            "picture": base64.b64encode(dataset.member(number, f"{camera.name}.jpg")).decode(),
            "edges": _edges(dataset, label, place),
        }
        for place, camera in enumerate(dataset.rig.cameras)
    ]
    return {"index": label["index"], "caption": caption, "label": _readable(groups), "views": views}


def _edges(dataset: TripletDataset, label: dict[str, Any], camera: int) -> list[tuple[Any, Any, bool]]:
    """Return both ends, in pixels, of the object's edges at the labelled pose, and whether each is visible."""
    seen_by, pose = Cameras.from_label(label).at(camera), Pose.from_columns(label, "object")
    ends, seen = (edges(dataset.object, pose, seen_by) for edges in (projected_edges, visible_edges))
    return [(*pair, bool(visible)) for pair, visible in zip(ends, seen, strict=True) if np.isfinite(pair).all()]


def _readable(values: dict[str, dict[str, Any]]) -> str:
    """Format values, one line each, numbers to four digits."""
    rounded = json.loads(json.dumps(values), parse_float=lambda text: float(f"{float(text):.4g}"))
    lines = [(group, key, value) for group, found in rounded.items() for key, value in found.items()]
    return "\n".join(f"{group}: {key}: {json.dumps(value, ensure_ascii=False)}" for group, key, value in lines)
