"""A page to browse samples with: pictures, the label drawn over them, and every drawn value. One file, no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from vision.drawing.wireframes import LABEL_COLOR, visible_edges
from vision.geometry.cameras import project
from vision.geometry.rotations import matrix_from_quaternion
from vision.storage.datasets import TripletDataset

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ background: #16181c; color: #e8eaed; font: 14px system-ui, sans-serif; margin: 2em; }}
header {{ position: sticky; top: 0; background: #16181c; padding: .6em 0; z-index: 1; }}
main {{ display: flex; flex-wrap: wrap; gap: 1.5em; }}
figure {{ margin: 0; position: relative; display: inline-block; }}
figure img, figure svg {{ display: block; width: 200px; height: 200px; }}
figure svg {{ position: absolute; top: 0; left: 0; }}
body.plain svg {{ display: none; }}
line {{ stroke: {color}; stroke-width: .8%; }} line.hidden {{ stroke-dasharray: 2 3; opacity: .6; }}
pre {{ max-height: 20em; max-width: 600px; overflow: auto; color: #9aa0a6; }}
</style>
<header><b>{title}</b> <label><input type="checkbox" checked
onchange="document.body.classList.toggle('plain', !this.checked)"> labelled pose</label>
<label>show samples whose number or augmentation contains <input oninput="
for (const a of document.querySelectorAll('article')) a.hidden = !a.dataset.text.includes(this.value)"></label></header>
<main>
{articles}
</main></html>
"""


def page(dataset: TripletDataset, numbers: Sequence[int]) -> str:
    """HTML of samples ``numbers``; pictures are embedded as they are in the shards."""
    articles = "\n".join(_article(dataset, number) for number in numbers)
    title = f"{dataset.folder.name}: {len(numbers)} of {len(dataset):,} triplets of the {dataset.object.name}"
    return _PAGE.format(title=html.escape(title), color=LABEL_COLOR, articles=articles)


def _article(dataset: TripletDataset, number: int) -> str:
    label, look = dataset.label(number), dataset.appearance(number)
    figures = "".join(
        f'<figure><img alt="{html.escape(name)}" src="data:image/jpeg;base64,{_picture(dataset, number, name)}">'
        f"{_overlay(dataset, label, camera)}</figure>"
        for camera, name in enumerate(dataset.rig.names)
    )
    caption = f"sample {label['index']} · {label['augmentation']}"
    if "visibility" in label:
        caption += f" · visible {', '.join(f'{share:.0%}' for share in label['visibility'])}"
    values = {"label": {key: np.asarray(value).tolist() for key, value in label.items()}, "appearance": look}
    return (
        f'<article data-text="{html.escape(caption)}">{figures}<details><summary>{html.escape(caption)}</summary>'
        f"<pre>{html.escape(_readable(values))}</pre></details></article>"
    )


def _picture(dataset: TripletDataset, number: int, camera: str) -> str:
    return base64.b64encode(dataset.member(number, f"{camera}.jpg")).decode()


def _overlay(dataset: TripletDataset, label: dict[str, Any], camera: int) -> str:
    """The object's edges as the label has them; hidden ones dashed."""
    K, T = label["camera_intrinsics"][camera], label["camera_extrinsics"][camera]
    position, quaternion = label["object_position"], label["object_quaternion"]
    edges = dataset.object.edges
    ends = project(edges.reshape(-1, 3) @ matrix_from_quaternion(quaternion).T + position, K, T).reshape(-1, 2, 2)
    seen = visible_edges(dataset.object, position, quaternion, T)
    view = dataset.rig.cameras[camera]
    lines = "".join(
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{"" if visible else " class=hidden"}/>'
        for ((x1, y1), (x2, y2)), visible in zip(ends, seen, strict=True)
        if np.isfinite([x1, y1, x2, y2]).all()
    )
    return f'<svg viewBox="0 0 {view.width} {view.height}">{lines}</svg>'


def _readable(values: dict[str, dict[str, Any]]) -> str:
    """One line for each value, numbers to four digits."""
    rounded = json.loads(json.dumps(values), parse_float=lambda text: float(f"{float(text):.4g}"))
    return "\n".join(f"{key}: {json.dumps(value)}" for group in rounded.values() for key, value in group.items())
