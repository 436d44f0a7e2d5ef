"""Recordings: which samples of a dataset share their cameras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vision.errors import DactylError
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
        raise no_recordings(dataset)
    if (count := len(np.unique(groups))) > 1:
        raise DactylError(
            f"{dataset.folder}: its samples are of {count} recordings, each with cameras of its own; render a set of "
            "one with --render.recording_size"
        )


def no_recordings(dataset: TripletDataset) -> DactylError:
    """Return the error of a set that was to be a recording and is none."""
    return DactylError(
        f"{dataset.folder}: each of its samples has cameras of its own, and nothing to find them from; render one "
        "with --render.displacement per-recording"
    )
