"""Summary of a dataset as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.pose_augmentation import PoseAugmentConfig
from datagen.render.base import RenderOptions
from vision.errors import printable
from vision.geometry.rotations import count_by_cube_rotation
from vision.io.json_values import to_jsonable
from vision.io.store import Location
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.schema import SCHEMA_VERSION

_MOST_LABELS = 1000


@dataclass(frozen=True)
class InfoConfig:
    """What to describe.

    Attributes:
        dataset: folder or URL of a finished dataset.
    """

    dataset: Location


def dataset_table(dataset: TripletDataset) -> Table:
    """Return counts, sizes, renderer, and the distribution of a thousand labels spread evenly."""
    labels = [dataset.label(number) for number in evenly_spaced(len(dataset), _MOST_LABELS)]
    table = Table(title=Text(printable(dataset.folder)), show_header=False, title_justify="left")
    rows = facts(dataset) | {"shards written": _written(dataset)} | _distributions(labels)
    for key, value in rows.items():
        table.add_row(Text(printable(key)), Text(printable(value)))  # others' text must not act as codes or markup
    return table


def facts(dataset: TripletDataset) -> dict[str, str]:
    """Return what the dataset is and how it was made; ranges that differ from the defaults have those in brackets."""
    manifest = dataset.manifest
    size = sum(shard.bytes for shard in dataset.shards)
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    hand = dataset.scene.hand.name if dataset.scene.hand else "no hand"
    return {
        "triplets": f"{len(dataset):,} in {len(dataset.shards)} shards",
        "size": f"{size / 1e6:,.1f} MB, {size / max(1, len(dataset)) / 1e3:.1f} kB a triplet",
        "pictures": "; ".join(f"{camera.name} {camera.width} x {camera.height}" for camera in dataset.rig.cameras),
        "scene": f"{dataset.scene.name}: {hand}, {dataset.object.name}",
        "renderer": "; ".join(" ".join(info.values()) for info in manifest.renderers) or "recorded",
        "made with": versions or "not told",
        **({} if manifest.seed is None else {"seed": str(manifest.seed)}),
        **_configuration(manifest.config),
        "schema": f"version {SCHEMA_VERSION}",
        "fingerprint": dataset.fingerprint,
    }


def _written(dataset: TripletDataset) -> str:
    """Return when the first and the last shard were written. On a remote store this is a request for each shard."""
    written = sorted((dataset.folder / shard.name).stat().st_mtime for shard in dataset.shards)
    first, last = (datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M:%S") for time in (written[0], written[-1]))
    return f"{first} to {last}" if written[0] else "not told by this store"


def _configuration(config: dict[str, Any]) -> dict[str, str]:
    """Return the parts of the configuration that differ from the program's defaults."""
    defaults = {"appearance": AppearanceConfig(), "augmentation": PoseAugmentConfig(), "render": RenderOptions()}
    rows = {}
    for part, default in defaults.items():
        if isinstance(config.get(part), dict):
            usual = _flat(to_jsonable(default))
            changed = {key: value for key, value in _flat(config[part]).items() if usual.get(key) != value}
            rows[part] = ", ".join(f"{key} {value} ({usual.get(key)})" for key, value in changed.items()) or "as usual"
    return rows


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested values to dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _distributions(labels: Sequence[dict[str, Any]]) -> dict[str, str]:
    if not labels:
        return {}
    position = np.stack([label["object_position"] for label in labels])
    kinds = Counter(label["augmentation"] for label in labels)
    cells = count_by_cube_rotation(np.stack([label["object_quaternion"] for label in labels]))
    return {
        f"of {len(labels):,} labels": ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        "states": f"{len({int(label['state_index']) for label in labels}):,} different, "
        f"of {len({int(label['episode']) for label in labels}):,} episodes",
        "object position": " x ".join(
            f"{axis} {low:.3f}..{high:.3f}"
            for axis, low, high in zip("xyz", position.min(axis=0), position.max(axis=0), strict=True)
        )
        + " m, world",
        "orientations": f"nearest of 24, a quarter turn apart: {cells.min() / len(labels):.1%} to "
        f"{cells.max() / len(labels):.1%} each, {np.count_nonzero(cells)} of 24 occur (even: 4.2%)",
        **_visibility([label["visibility"] for label in labels if "visibility" in label]),
    }


def _visibility(shares: Sequence[np.ndarray]) -> dict[str, str]:
    """Return percentiles of the object's visible fraction over all cameras; empty for a dataset without it."""
    if not shares:
        return {}
    low, middle, high = np.percentile(shares, [5, 50, 95])
    return {"visible": f"{middle:.0%} of the object at the median, {low:.0%} to {high:.0%} in nine of ten pictures"}
