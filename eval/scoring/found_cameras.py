"""The self-calibrated protocol: which samples form a recording, and the cameras that an estimator finds from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eval.scoring.conditions import LARGEST_DISPLACEMENT
from eval.scoring.estimator import Estimator
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import geodesic_distance
from vision.machine.progress import progress
from vision.rigs.rig import Rig
from vision.rigs.rig_readers import read_rig
from vision.storage.datasets import TripletDataset


def recordings(dataset: TripletDataset) -> np.ndarray | None:
    """Return the recording of each sample, (N,), or None if each sample has its own cameras.

    Samples of one recording share their cameras. Rendered sets state this in their configuration
    (``render.displacement: per-recording``); an imported recording is one recording.
    """
    manifest = dataset.manifest
    return recordings_of(dataset.indices, manifest.config, manifest.recording, str(dataset.folder))


def recordings_of(indices: np.ndarray, config: Mapping[str, Any], recording: object, folder: str) -> np.ndarray | None:
    """Do the same as :func:`recordings` for a set of which only the manifest's entries are left.

    Args:
        indices: of the samples, (N,).
        config: of the command that made the set.
        recording: what an imported recording says of itself; None for other sets.
        folder: of the set, for messages.
    """
    if recording is not None:
        return np.zeros(len(indices), np.int64)
    render = config.get("render", {})
    if not isinstance(render, dict) or render.get("displacement") != "per-recording":
        return None
    size = render.get("recording_size")
    if type(size) is not int or size < 1:
        raise DactylError(f"{folder}: render.recording_size is {size!r}, no number; make the dataset again")
    return indices // size


def refuse_several_rigs(dataset: TripletDataset) -> None:
    """Raise DactylError unless all samples of a set share their cameras, so that these can be found from them."""
    if len(dataset) < 2:
        return
    if (groups := recordings(dataset)) is None:
        raise _no_recordings(dataset)
    if (count := len(np.unique(groups))) > 1:
        raise DactylError(
            f"{dataset.folder}: its samples are of {count} recordings, each with cameras of its own; render a set of "
            "one with --render.recording_size"
        )


def points_elsewhere(dataset: TripletDataset) -> str | None:
    """Return which camera of an imported recording is turned or zoomed from the nominal one by more than Table 9 allows
    for, and how far; None if none is. An import with ``warp: false`` keeps the laboratory's own directions.

    Rendered sets are displaced by their configuration. A camera's distance is part of the nominal protocol's error.
    """
    if dataset.manifest.recording is None or not len(dataset):
        return None
    label, nominal = dataset.label(0), dataset.rig.nominal
    turns = geodesic_distance(label["camera_extrinsics"][:, :3, :3], nominal.extrinsics[:, :3, :3])
    heights = np.array([camera.height for camera in dataset.rig.cameras])
    views = [2 * np.arctan(heights / (2 * K[:, 1, 1])) for K in (label["camera_intrinsics"], nominal.intrinsics)]
    for camera, turn, zoom in zip(dataset.rig.names, np.rad2deg(turns), np.rad2deg(views[0] - views[1]), strict=True):
        if turn > LARGEST_DISPLACEMENT["rotation"] or abs(zoom) > LARGEST_DISPLACEMENT["field-of-view"]:
            return (
                f"{dataset.folder}: camera '{camera}' is turned by {turn:.1f} degrees from the nominal one, and its "
                f"field of view differs by {abs(zoom):.1f}"
            )
    return None


def _no_recordings(dataset: TripletDataset) -> DactylError:
    return DactylError(
        f"{dataset.folder}: each of its samples has cameras of its own, and nothing to find them from; render one "
        "with --render.displacement per-recording"
    )


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
        raise _no_recordings(dataset)
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
