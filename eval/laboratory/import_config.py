"""Configuration of ``dactyl import-recording``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eval.laboratory.pictures import check_bits
from eval.laboratory.poses import check_pose
from vision.configuration.bounds import at_least_one, at_most_seconds, drawable_size, positive
from vision.scene.load import check_scene

_IDENTITY = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
_LONGEST_GAP_S = 1.0  # across a longer gap a moving object's pose is unknown
_MARKER_OFFSET_M = 1.0  # largest distance of the object's frame from that of its markers


@dataclass(frozen=True)
class ImportConfig:
    """A recording and how to import it. Poses are 7 numbers: x y z in metres, then a quaternion w x y z.

    Attributes:
        recording: folder of the recording.
        output: folder of the dataset.
        scene: name or file of the scene the network was trained on.
        capture_in_world: pose of the capture frame in the simulation's world; if a base is recorded, pose of the base's
            markers instead.
        object_in_markers: pose of the object's frame in that of its markers.
        tolerance_s: largest time between the images of a triplet.
        max_gap_s: largest time between two interpolated readings of the motion capture.
        warp: rotate every image to the direction and field of view of the trained camera (the camera's true position is
            kept); false only crops and reduces it.
        check_colors: compare the object's colours with what the poses imply; false for an object painted differently.
        picture_bits: number of significant bits in 16-bit PNG images; null to tell them from the values.
        image_size: longest side of the images, pixels; null for the size that the scene's cameras have.
        shard_size: number of samples in a shard.
    """

    recording: Path
    output: Path
    scene: str = "block"
    capture_in_world: list[float] = field(default_factory=lambda: list(_IDENTITY))
    object_in_markers: list[float] = field(default_factory=lambda: list(_IDENTITY))
    tolerance_s: float = 0.01
    max_gap_s: float = 0.05
    warp: bool = True
    check_colors: bool = True
    picture_bits: int | None = None
    image_size: int | None = None
    shard_size: int = 128

    def __post_init__(self) -> None:
        check_pose("capture_in_world", self.capture_in_world)
        check_pose("object_in_markers", self.object_in_markers, _MARKER_OFFSET_M)
        check_bits("picture_bits", self.picture_bits)
        check_scene(self.scene)
        positive(self, "tolerance_s", "max_gap_s")
        at_least_one(self, "shard_size")
        at_most_seconds(self, _LONGEST_GAP_S, "tolerance_s", "max_gap_s")
        drawable_size(self, "image_size")
