"""Pictures of a report: cumulative error curves, and test triplets with the true and the estimated object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from eval.metrics import PoseErrors
from eval.predict import Predictions
from eval.table import PAPER_ROWS
from vision.cameras import project
from vision.draw import PREDICTED_COLOR, TRUE_COLOR, Tile, Wireframe, contact_sheet, crop, draw_triplet
from vision.files import atomic_write
from vision.shards import TripletDataset

_COLORS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c77d0a", "#3a3a3a")
_CROP = 0.55  # share of the picture's side that is shown around the object
_SIDE = 260  # pixels of a shown picture, about


@dataclass(frozen=True)
class Curve:
    """Errors of one test set under one protocol, or of the constant pose on it (protocol None)."""

    test_set: str
    protocol: str | None
    errors: PoseErrors


def save_error_curves(curves: Sequence[Curve], path: Path) -> None:
    """Share of the test samples with an error below each value, rotation and position, with the paper's means.

    One colour for each test set; full lines for the nominal protocol, dashed for the calibrated one, dotted for the
    best constant pose.
    """
    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    names = list(dict.fromkeys(curve.test_set for curve in curves))
    styles = {"nominal": "-", "calibrated": (0, (5, 1.5)), None: (0, (1, 2))}
    panels = (
        ("rotation_deg", "rotation", "rotation error (degrees)", (0.3, 180.0)),
        ("position_mm", "position", "position error (mm)", (0.3, 200.0)),
    )
    for axes, (field, part, label, limits) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        for curve in curves:
            values = np.sort(getattr(curve.errors, field))
            share = np.arange(1, len(values) + 1) / len(values)
            axes.step(
                np.concatenate([[limits[0]], values, [limits[1]]]),
                np.concatenate([[0.0], share, [1.0]]),
                where="post",
                color=_COLORS[names.index(curve.test_set) % len(_COLORS)],
                linestyle=styles[curve.protocol],
                linewidth=1.3 if curve.protocol is None else 1.8,
                label=f"{curve.test_set}, {f'{curve.protocol} cameras' if curve.protocol else 'best constant pose'}",
            )
        for row in PAPER_ROWS:
            mean = getattr(row, part).mean
            axes.axvline(mean, color="0.6", linewidth=0.8, zorder=0)
            axes.text(
                mean,
                1.01,
                row.test_set,
                rotation=70,
                fontsize=7,
                color="0.35",
                transform=axes.get_xaxis_transform(),
            )
        axes.set_xscale("log")
        axes.set_xlim(limits)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
        axes.grid(which="both", color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of samples below")
    figure.axes[0].yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    figure.suptitle("Share of test samples below an error; grey: the paper's mean errors", fontsize=10)
    atomic_write(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def telling_samples(errors: PoseErrors, each: int) -> list[tuple[str, int]]:
    """(kind, sample number) of up to ``each`` best, most typical and worst samples by ADD; no sample twice."""
    order = np.argsort(errors.add_mm, kind="stable")
    each = min(each, max(1, len(order) // 3))
    middle = (len(order) - each) // 2
    chosen: dict[int, str] = {}
    for kind, numbers in (
        ("best", order[:each]),
        ("typical", order[middle : middle + each]),
        ("worst", order[-each:]),
    ):
        for number in numbers:
            chosen.setdefault(int(number), kind)
    return [(kind, number) for number, kind in chosen.items()]


def predictions_sheet(
    dataset: TripletDataset, predictions: Predictions, errors: PoseErrors, title: str, each: int = 2
) -> Image.Image:
    """Best, typical and worst test triplets, true and estimated object drawn over, seen by the true cameras."""
    columns = predictions.columns
    side = round(_CROP * dataset.image_size)
    scale = max(1, round(_SIDE / side))
    tiles = []
    for kind, number in telling_samples(errors, each):
        sample = dataset[number]
        transforms = sample["camera_extrinsics"]
        centres = project(sample["object_position"][None], sample["camera_intrinsics"], transforms)[:, 0]
        cropped = [
            crop(image, matrix, np.nan_to_num(centre), side)
            for image, matrix, centre in zip(sample["images"], sample["camera_intrinsics"], centres, strict=True)
        ]
        wireframes = [
            Wireframe(
                dataset.object, columns[f"{whose}_position"][number], columns[f"{whose}_quaternion"][number], color
            )
            for whose, color in (("true", TRUE_COLOR), ("predicted", PREDICTED_COLOR))
        ]
        images, matrices = (np.stack(parts) for parts in zip(*cropped, strict=True))
        rotation, position = errors.rotation_deg[number], errors.position_mm[number]
        caption = f"{kind}: {rotation:.1f}°, {position:.1f} mm · sample {sample['index']}"
        tiles.append(Tile(draw_triplet(images, wireframes, matrices, transforms, scale), caption))
    legend = [("true", TRUE_COLOR), ("estimated", PREDICTED_COLOR)]
    return contact_sheet(tiles, each, title, legend, dataset.rig.names)
