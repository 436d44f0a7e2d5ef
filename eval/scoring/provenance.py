"""Provenance of an evaluation: versions, commit, machine, and the origin of datasets and checkpoints."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from eval.scoring.record_types import CheckpointFile, DatasetRecord, SoftwareRecord
from vision.errors import DactylError
from vision.machine.hardware import machine_name
from vision.machine.versions import package_version
from vision.storage.datasets import TripletDataset
from vision.storage.folders import CONFIG, read_reservation
from vision.storage.shards import distinct_renderers

PACKAGES = ("dactyl-vision", "torch", "torchvision", "numpy", "scipy", "mujoco", "lightning")

_SOURCE = Path(__file__).resolve()


def software() -> SoftwareRecord:
    """Return versions, machine, and this checkout's commit (with ``+`` if files differ from it; None outside one)."""
    return SoftwareRecord(
        versions={name: package_version(name) for name in PACKAGES},
        python=platform.python_version(),
        commit=_commit(),
        machine=machine_name(),
    )


def dataset_origin(dataset: TripletDataset) -> DatasetRecord:
    """Return what a report states about a dataset."""
    manifest = dataset.manifest
    return DatasetRecord(
        folder=str(dataset.folder),
        fingerprint=dataset.fingerprint,
        samples=len(dataset),
        scene=dataset.scene.name,
        object=dataset.object.name,
        images=tuple(f"{camera.width} x {camera.height}" for camera in dataset.rig.cameras),
        renderers=distinct_renderers(dataset.shards),
        seed=manifest.seed,
        versions=manifest.versions,
        config=manifest.config,
        recording=manifest.recording,
    )


def checkpoint_origin(path: Path, digest: str) -> CheckpointFile:
    """Return what a report states about a checkpoint: ``digest``, the SHA-256 of the file that was loaded, and the
    configuration of the training that wrote it if its folder has one."""
    try:
        training = read_reservation(path.parent) if (path.parent / CONFIG).exists() else None
    except DactylError:
        training = None
    return CheckpointFile(str(path), digest, training)


def warn_of_known_samples(
    checkpoint: CheckpointFile, dataset: TripletDataset, training_set: TripletDataset | None
) -> str | None:
    """Return a warning if a test set, or what it shows, was learnt from; None otherwise.

    Args:
        checkpoint: with the record of its training, which knows its datasets, and of states only those that were
            rendered online.
        dataset: the test set.
        training_set: the stored training set, if it was named.
    """
    data = (checkpoint.training or {}).get("data")
    data = data if isinstance(data, dict) else {}
    if dataset.fingerprint in (data.get("train"), data.get("val")):
        return "the network was trained or validated on it, so its errors are of pictures it knows"
    online = data.get("online")
    learnt = [None if training_set is None else training_set.manifest.config.get("states")]
    learnt += [online.get("states")] if isinstance(online, dict) else []
    states = dataset.manifest.config.get("states")  # none of a recording
    if states is not None and states in learnt:
        return "it shows the states of the training, so its errors are of poses the network knows; render other states"
    return None


def warn_of_rolls(checkpoint: CheckpointFile) -> str | None:
    """Return a warning if a network's training, according to its folder, rolled images by less than several windows
    are; None otherwise."""
    from vision.networks.several_windows import unlearnt_roll  # imports torch

    augment = (checkpoint.training or {}).get("augment")
    if not isinstance(augment, dict) or (roll := unlearnt_roll(augment)) is None:
        return None
    key, value, least = roll
    return (
        f"windows: the network was trained with augment.{key} {value:g}, but several windows are rolled by up to "
        f"{least:g} degrees: expect larger errors"
    )


def _commit() -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(_SOURCE.parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(_SOURCE))  # fails in a repository that only has this package installed
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
