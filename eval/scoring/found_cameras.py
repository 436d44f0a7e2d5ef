"""The self-calibrated protocol: cameras that an estimator finds from a recording, or that a file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eval.scoring.estimator import Estimator
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.machine.progress import progress
from vision.rigs.rig import Rig
from vision.rigs.rig_readers import read_rig
from vision.storage.datasets import TripletDataset
from vision.storage.recordings import no_recordings, recordings


def calibrated_cameras(calibration: Path, dataset: TripletDataset) -> Cameras:
    """Read K (N, C, 3, 3) and T (N, C, 4, 4) from a calibration file, the same for each sample.

    Raises:
        DactylError: the file lacks a camera of the set, or has one of another image size or with distortion.
    """
    rig = read_rig(calibration)
    names = dataset.rig.names
    if rig is None or (absent := [name for name in names if name not in rig.names]):
        missing = "it holds no cameras with places" if rig is None else f"camera '{absent[0]}' is missing"
        raise DactylError(f"{calibration}: {missing}; expected a file of dactyl calibrate --from {dataset.folder}")
    cameras = [rig.cameras[rig.names.index(name)] for name in names]
    for camera, image in zip(cameras, dataset.rig.cameras, strict=True):
        if (camera.width, camera.height) != (image.width, image.height) or camera.distortion is not None:
            lens = ", distorted" if camera.distortion is not None else ""
            there, here = f"{camera.width}x{camera.height}{lens}", f"{image.width}x{image.height}"
            raise DactylError(
                f"{calibration}: camera '{camera.name}' is of {there}, images of {dataset.folder} of {here}; "
                "import the recording again with this file, or calibrate from the set"
            )
    return Rig(cameras=tuple(cameras)).nominal.repeated(len(dataset))


class CamerasNotFoundError(DactylError):
    """A recording does not determine its cameras."""


def found_cameras(estimator: Estimator, dataset: TripletDataset, batch_size: int) -> Cameras:
    """Find K (N, C, 3, 3) and T (N, C, 4, 4) of each sample with the estimator, from all of the sample's recording.

    Raises:
        DactylError: the set has no recordings.
        CamerasNotFoundError: one leaves a camera undetermined, or the search for its cameras did not converge.
    """
    groups = recordings(dataset)
    if groups is None:
        raise no_recordings(dataset)
    nominal = dataset.rig.nominal
    found = Cameras(*(array.copy() for array in nominal.repeated(len(dataset))[:2]))
    with progress(f"{dataset.folder.name}, finding its cameras", len(dataset), "triplets") as advance:
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            images = (dataset[int(number)]["images"] for number in rows)
            try:
                solution = estimator.self_calibrate(estimator.observe(images, batch_size), nominal)
            except DactylError as error:
                raise CamerasNotFoundError(f"{dataset.folder}: {error}") from error
            found.intrinsics[rows], found.extrinsics[rows] = solution.cameras.numpy()[:2]
            advance(len(rows))
    return found
