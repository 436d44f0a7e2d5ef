"""The live page's image: the cameras' images side by side, with the tracked object and its status, as JPEG.

OpenCV draws it in a few milliseconds; ``vision.drawing.wireframes``, which draws the saved overlays, takes a hundred.
"""

from __future__ import annotations

import numpy as np

from eval.estimation.estimates import Estimate
from eval.laboratory.opencv import opencv
from vision.drawing.wireframes import projected_edges, visible_edges
from vision.geometry.cameras import OPENCV_OFFSET, Cameras
from vision.objects.pose_object import PoseObject
from vision.tracking import TrackedPose

_SIDE = 400  # longer side of an image on the page, pixels
_BITS = 4  # fractional bits of OpenCV's pixel coordinates
_COLORS = {"tracked": (87, 231, 57), "found": (87, 231, 57), "predicted": (61, 154, 255), "lost": (64, 64, 255)}
"""In OpenCV's order: blue, green, red."""
_QUALITY = 80


def draw_live(estimate: Estimate, pose: TrackedPose | None, target: PoseObject, rate: float) -> bytes:
    """Return a JPEG of the triplet; ``rate`` is in triplets per second."""
    cv2 = opencv()
    status = "lost" if pose is None else pose.status
    color, tiles = _COLORS[status], []
    for number, image in enumerate(estimate.images):
        scale = _SIDE / max(image.shape[:2])
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)[..., ::-1].copy()
        if pose is not None:
            camera = estimate.cameras.at(number)
            enlarged = camera._replace(intrinsics=np.diag([scale, scale, 1.0]) @ camera.intrinsics)
            _draw(large, target, pose, enlarged, color)
        tiles.append(large)
    sheet = np.concatenate(tiles, axis=1)
    text = f"{status}  {rate:.1f} Hz  confidence {estimate.confidence:.2f}"
    for number, line in enumerate([text, *estimate.unusual]):
        for shade, thickness in (((0, 0, 0), 4), (color, 1)):
            cv2.putText(
                sheet, line, (8, 24 + 22 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.6, shade, thickness, cv2.LINE_AA
            )
    return bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def _draw(
    picture: np.ndarray, target: PoseObject, pose: TrackedPose, camera: Cameras, color: tuple[int, int, int]
) -> None:
    cv2 = opencv()
    lines, seen = (edges(target, pose.pose, camera) for edges in (projected_edges, visible_edges))
    whole = np.isfinite(lines).all(axis=(1, 2)) & (np.abs(lines) < 1e4).all(axis=(1, 2))
    for line, before in sorted(zip(lines[whole], seen[whole], strict=True), key=lambda each: each[1]):
        ends = np.rint((line - OPENCV_OFFSET) * (1 << _BITS)).astype(int).tolist()
        cv2.line(picture, *ends, color if before else (128, 128, 128), 2 if before else 1, cv2.LINE_AA, _BITS)
