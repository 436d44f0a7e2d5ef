"""BOP's figures of an object's pixels in an image: silhouette, counts and boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.geometry.triangles import fill_triangles
from vision.rigs.rig import Camera
from vision.storage.shards import mask_box


class Silhouette(NamedTuple):
    """Pixels whose centre a mesh covers, including those outside the image: (h, w) bool, and the image's (x, y) of the
    array's first pixel."""

    covered: NDArray[np.bool_]
    origin: tuple[int, int]

    @classmethod
    def of(cls, outline: FloatArray, faces: np.ndarray, camera: Camera, where: str) -> Silhouette:
        """Compute the silhouette of a mesh.

        Args:
            outline: projected vertices, pixels, (V, 2).
            faces: vertex indices of the triangles, (F, 3).
            camera: camera that sees it.
            where: name of the sample, for messages.

        Raises:
            DactylError: the mesh is not in front of the camera.
        """
        if not np.isfinite(outline).all() or np.abs(outline).max() > 100 * max(camera.width, camera.height):
            raise DactylError(f"{where}: the object is behind a camera or in it; this sample cannot be exported")
        low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
        covered = fill_triangles(outline[faces] - low, int(high[1] - low[1]), int(high[0] - low[0]))
        return cls(covered, (int(low[0]), int(low[1])))

    def inside(self, camera: Camera) -> NDArray[np.bool_]:
        """Return the part inside the image, (H, W)."""
        image = np.zeros((camera.height, camera.width), bool)
        rows, columns = np.nonzero(self.covered)
        rows, columns = rows + self.origin[1], columns + self.origin[0]
        within = (rows >= 0) & (rows < camera.height) & (columns >= 0) & (columns < camera.width)
        image[rows[within], columns[within]] = True
        return image

    def info(self, visible: NDArray[np.bool_] | None) -> dict[str, Any]:
        """Return counts and boxes, also of the ``visible`` pixels, (H, W), unless None."""
        total = int(self.covered.sum())
        info: dict[str, Any] = {
            "bbox_obj": _box(self.covered, self.origin),
            "px_count_all": total,
            "px_count_valid": 0,
        }
        if visible is not None:
            seen = int(visible.sum())
            info |= {
                "bbox_visib": _box(visible, (0, 0)),
                "px_count_visib": seen,
                "visib_fract": min(1.0, seen / total) if total else 0.0,
            }
        return info


def _box(mask: NDArray[np.bool_], origin: tuple[int, int]) -> list[int]:
    """Return x, y, width and height of a mask; all -1 if it is empty, as in BOP."""
    left, top, right, bottom = mask_box(mask)
    return [left + origin[0], top + origin[1], right - left, bottom - top] if right else [-1, -1, -1, -1]
