"""Selection of the requested protocols and studies that apply to a network and a test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.scoring.conditions import (
    LARGEST_DISPLACEMENT,
    PROTOCOLS,
    Condition,
    ProtocolName,
    camera_subsets,
    miscalibrations,
)
from eval.scoring.config import EvaluateConfig
from eval.scoring.estimator import Estimator
from vision.errors import DactylError
from vision.geometry.rotations import geodesic_distance
from vision.machine.console import Console
from vision.storage.datasets import TripletDataset
from vision.storage.recordings import recordings


def usable_protocols(estimator: Estimator, wanted: Sequence[ProtocolName], given: bool = False) -> list[ProtocolName]:
    """Return the wanted protocols that apply to the estimator.

    An estimator that uses no cameras has only the nominal protocol; one that uses cameras but cannot find them does not
    have it. ``given`` states whether there are calibration files.
    """
    lost = estimator.nominal_fault
    means = {"nominal": lost is None, "calibrated": estimator.uses_cameras}
    means["self-calibrated"] = estimator.finds_cameras or (given and estimator.uses_cameras)
    usable = [protocol for protocol in wanted if means[protocol]]
    if lost and not usable:
        raise DactylError(f"protocols: {lost}")
    if lost and "nominal" in wanted:
        Console(stderr=True).print(f"protocols: without nominal: {lost}", highlight=False)
    if not usable:
        missing = (
            "finds no cameras; add nominal or calibrated, or name a calibration with --calibrations.<test set>"
            if estimator.uses_cameras
            else "uses no cameras, so calibrated ones mean nothing; add nominal"
        )
        raise DactylError(f"protocols: this {estimator.head} network {missing}")
    return usable


def wanted_conditions(estimator: Estimator, config: EvaluateConfig) -> list[Condition]:
    """Return the requested protocols and studies that apply to the estimator.

    No camera is taken away from a rig whose images differ in size, since the estimator needs all of those; this is
    reported on standard error.
    """
    rig = estimator.scene.rig
    conditions = [
        Condition(protocol) for protocol in usable_protocols(estimator, config.protocols, bool(config.calibrations))
    ]
    if estimator.any_number_of_cameras and config.camera_subsets:
        subsets = camera_subsets(rig)
        if subsets and rig.mixed_sizes:
            said = "camera_subsets: left out: the cameras have images of different sizes, and the network needs all"
            Console(stderr=True).print(said, highlight=False)
        else:
            conditions += subsets
    if estimator.uses_cameras and config.miscalibration_samples:
        conditions += miscalibrations()
    return conditions


def usable_conditions(
    estimator: Estimator, name: str, dataset: TripletDataset, wanted: Sequence[Condition], config: EvaluateConfig
) -> list[Condition]:
    """Return the wanted conditions under which a test set can be evaluated.

    Nominal is left out of a recording whose cameras point elsewhere than the nominal ones, and this is reported on
    standard error. Self-calibrated is left out if there is nothing to find cameras from; if the protocols are not the
    default ones, this is reported, too.

    Raises:
        DactylError: no condition is left.
    """
    if elsewhere := points_elsewhere(dataset):
        wanted = [condition for condition in wanted if condition.camera_knowledge != "nominal"]
        said = f"test_sets.{name}: without nominal: {elsewhere}; import the recording with warp true"
        if not wanted:
            raise DactylError(f"{said}, or add the protocol calibrated")
        Console(stderr=True).print(said, highlight=False)
    findable = estimator.finds_cameras and recordings(dataset) is not None
    if findable or name in config.calibrations:
        return list(wanted)
    usable = [condition for condition in wanted if condition.camera_knowledge != "self-calibrated"]
    if not usable:
        raise DactylError(
            f"test_sets.{name}: {dataset.folder}: nothing to find its cameras from; add the protocol nominal or "
            f"calibrated, or name a calibration with --calibrations.{name}"
        )
    if len(usable) < len(wanted) and config.protocols != PROTOCOLS:
        said = f"test_sets.{name}: without self-calibrated: there is nothing to find its cameras from"
        Console(stderr=True).print(said, highlight=False)
    return usable


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
