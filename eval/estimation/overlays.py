"""Overlays: estimates drawn over the network's images, one file for each triplet or one sheet of several."""

from __future__ import annotations

import numpy as np

from eval.estimation.estimates import Estimate
from vision.drawing.sheets import Tile, contact_sheet, save_png
from vision.drawing.wireframes import PREDICTED_COLOR, Wireframe, draw_triplet
from vision.io.store import Location
from vision.scene.scene import Scene

UNUSUAL_COLOR = "#ff9a3d"
_SIDE = 400  # longer side of an enlarged image, pixels


def draw(estimate: Estimate, scene: Scene, axes: bool = True) -> list[np.ndarray]:
    """Draw the object's wireframe over the enlarged images, (h, w, 3) uint8 each; orange if they are unusual."""
    color = UNUSUAL_COLOR if estimate.unusual else PREDICTED_COLOR
    wireframe = Wireframe(scene.object, estimate.pose, color, axes)
    scale = max(1, round(_SIDE / max(scene.rig.width, scene.rig.height)))
    images = scene.rig.without_padding(estimate.images)
    return draw_triplet(images, [wireframe], estimate.cameras, scale)


def caption(estimate: Estimate) -> str:
    """Return a line that describes the estimate, and a second one if its images are unusual."""
    position = ", ".join(f"{1000 * value:.1f}" for value in estimate.pose.position)
    text = f"{estimate.key} · {position} mm · confidence {estimate.confidence:.2f}"
    return f"{text}\nunusual: {', '.join(estimate.unusual)}" if estimate.unusual else text


def save_overlay(estimate: Estimate, scene: Scene, path: Location) -> None:
    """Write the triplet's overlay as PNG."""
    tile = Tile(draw(estimate, scene), caption(estimate))
    save_png(contact_sheet([tile], 1, headings=scene.rig.names), path)


def save_sheet(estimates: list[Estimate], scene: Scene, title: str, path: Location) -> None:
    """Write one sheet of several triplets as PNG."""
    tiles = [Tile(draw(estimate, scene), caption(estimate)) for estimate in estimates]
    columns = min(2, len(tiles))
    legend = [("estimate", PREDICTED_COLOR), ("unlike the training's pictures", UNUSUAL_COLOR)]
    save_png(contact_sheet(tiles, columns, title, legend, scene.rig.names), path)
