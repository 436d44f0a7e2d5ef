"""Look at a dataset: what it says of itself, and a contact sheet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vision.draw import dataset_sheet, save_png
from vision.shards import TripletDataset


@dataclass(frozen=True)
class InspectConfig:
    """What to look at.

    Attributes:
        dataset: folder of a finished dataset.
        output: PNG of the contact sheet; null for contact-sheet.png inside the dataset's folder.
        samples: triplets on the sheet, spread evenly over the dataset.
        columns: triplets beside each other.
        scale: enlargement of the pictures.
        wireframe: draw the labelled object's edges and axes over the pictures.
    """

    dataset: Path
    output: Path | None = None
    samples: int = 12
    columns: int = 2
    scale: int = 1
    wireframe: bool = False

    def __post_init__(self) -> None:
        for name in ("samples", "columns", "scale"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")


def inspect(config: InspectConfig) -> None:
    """Print a summary of the dataset and write its contact sheet.

    Raises:
        DactylError: no or unfinished dataset, or a fault in a sample that was looked at.
    """
    dataset = TripletDataset(config.dataset)
    console = Console()
    console.print(_summary(dataset))
    numbers = np.unique(np.linspace(0, len(dataset) - 1, config.samples).round().astype(int)).tolist()
    output = config.output or config.dataset / "contact-sheet.png"
    save_png(dataset_sheet(dataset, numbers, config.columns, config.scale, config.wireframe), output)
    console.print(f"contact sheet: {output}")


def _summary(dataset: TripletDataset) -> Table:
    manifest = dataset.manifest
    labels = [dataset.label(number) for number in range(0, len(dataset), max(1, len(dataset) // 1000))]
    position = np.stack([label["object_position"] for label in labels])
    kinds = Counter(label["augmentation"] for label in labels)
    bytes_total = sum(shard.bytes for shard in dataset.shards)
    table = Table(title=str(dataset.folder), show_header=False, title_justify="left")
    rows = {
        "triplets": f"{len(dataset):,} in {len(dataset.shards)} shards",
        "size": f"{bytes_total / 1e6:,.1f} MB, {bytes_total / max(1, len(dataset)) / 1e3:.1f} kB a triplet",
        "pictures": f"{dataset.image_size} x {dataset.image_size}, cameras {', '.join(dataset.rig.names)}",
        "object": dataset.object.name,
        "renderer": "; ".join(" ".join(info.values()) for info in manifest["renderers"]),
        "seed": str(manifest["seed"]),
        "schema": f"version {manifest['schema_version']}",
        "fingerprint": dataset.fingerprint,
        f"of {len(labels):,} labels": ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        "object position": " x ".join(
            f"{axis} {low:.3f}..{high:.3f}"
            for axis, low, high in zip("xyz", position.min(axis=0), position.max(axis=0), strict=True)
        )
        + " m, world",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    return table
