"""Images of a report: test triplets with the true and the estimated object drawn over them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from eval.scoring.metrics import PoseErrors
from eval.scoring.predict import Predictions
from vision.drawing.sheets import Tile, contact_sheet
from vision.drawing.wireframes import (
    COMPARISON_LEGEND,
    comparison,
    crop,
    draw_wireframes,
)
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.scene.framing import window_sides
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset

SHOWN = 2
"""Number of samples of each kind."""

_SIDE = 260  # approximate side of a shown image, pixels


def telling_samples(errors: PoseErrors, each: int = SHOWN) -> list[tuple[str, int]]:
    """Return (kind, sample number) of up to ``each`` best, most typical and worst samples by MSSD; no sample twice."""
    order = np.argsort(errors["mssd"], kind="stable")
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


def predictions_sheet(dataset: TripletDataset, predictions: Predictions, errors: PoseErrors, title: str) -> Image.Image:
    """Draw best, typical and worst test triplets with the true and the estimated object, seen by the true cameras."""
    columns, sides = predictions.columns, crop_sides(dataset.scene)
    true, predicted, tiles = Pose.from_columns(columns, "true"), Pose.from_columns(columns, "predicted"), []
    for kind, number in telling_samples(errors, SHOWN):
        sample = dataset[number]
        pictures, cameras = dataset.rig.without_padding(sample["images"]), Cameras.from_label(sample)
        centres = project(sample["object_position"][None], cameras)[:, 0]
        cropped = [
            crop(image, cameras.at(camera), np.nan_to_num(centre), side)
            for camera, (image, centre, side) in enumerate(zip(pictures, centres, sides, strict=True))
        ]
        wireframes = comparison(dataset.object, true.at(number), predicted.at(number))
        images = [
            draw_wireframes(image, wireframes, view, max(1, round(_SIDE / len(image)))) for image, view in cropped
        ]
        rotation, position = errors.rotation_deg[number], errors.position_mm[number]
        caption = f"{kind}: {rotation:.1f}°, {position:.1f} mm · sample {sample['index']}"
        tiles.append(Tile(images, caption))
    return contact_sheet(tiles, SHOWN, title, COMPARISON_LEGEND, dataset.rig.names)


def crop_sides(scene: Scene) -> list[int]:
    """Return the side of the square around the object that is shown of each camera's image, pixels: the largest window
    of all, or its own window where images differ in size, within the image."""
    rig, sides = scene.rig, window_sides(scene)
    if not rig.mixed_sizes:
        sides = (max(sides),) * len(rig)
    return [min(round(side), camera.width, camera.height) for side, camera in zip(sides, rig.cameras, strict=True)]
