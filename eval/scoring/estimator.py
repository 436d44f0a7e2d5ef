"""The interface of what is evaluated, and the estimator of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vision.geometry.cameras import Cameras
from vision.io.files import require_unchanged, sha256
from vision.machine.hardware import NumberFormat, Precision, torch_device
from vision.scene.scene import Scene

if TYPE_CHECKING:  # slow: mistakes in the command line are reported before torch is imported
    import torch

    from vision.estimator import Observations, PoseEstimates
    from vision.solvers.self_calibration import RigSolution


class Estimator(Protocol):
    """What an evaluation and the closed loop ask of an estimator; :class:`vision.estimator.PoseEstimator` is one, and
    defines each attribute and method."""

    @property
    def scene(self) -> Scene: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def head(self) -> str: ...
    @property
    def uses_cameras(self) -> bool: ...
    @property
    def finds_cameras(self) -> bool: ...
    @property
    def any_number_of_cameras(self) -> bool: ...
    @property
    def nominal_fault(self) -> str | None: ...
    @property
    def usual_spread(self) -> float | None: ...
    @property
    def windows(self) -> int: ...
    @property
    def precision(self) -> NumberFormat: ...

    def predict(
        self,
        images: NDArray[np.uint8],
        cameras: Cameras,
        *,
        batch_size: int = 64,
        nominal: bool = False,
    ) -> PoseEstimates:
        """Estimate the pose in each triplet of images, with its cameras or, if ``nominal``, with the rig's."""

    def observe(self, triplets: Iterable[NDArray[np.uint8]], batch_size: int) -> Observations:
        """Find the object's corners and the hand's landmarks; called only if ``finds_cameras``."""

    def self_calibrate(self, seen: Observations, nominal: Cameras) -> RigSolution:
        """Find the cameras of a recording from what was observed in it; called only if ``finds_cameras``."""


def load_estimator(
    checkpoint: Path, device: str, windows: int | None = None, precision: Precision = "float32"
) -> tuple[Estimator, str]:
    """Load the checkpoint's network onto a device, auto for a GPU if there is one; the other arguments as in
    :meth:`vision.estimator.PoseEstimator.from_checkpoint`.

    Returns:
        The network, and the SHA-256 of the file that it was read from.

    Raises:
        DactylError: the file is missing, damaged, of another version, or was replaced while it was read.
    """
    from vision.estimator import PoseEstimator  # imports torch

    digest = sha256(checkpoint) if checkpoint.is_file() else ""
    estimator = PoseEstimator.from_checkpoint(checkpoint, torch_device(device), windows, precision)
    require_unchanged(checkpoint, digest, sha256(checkpoint))
    return estimator, digest
