"""Provenance of an evaluation: versions, commit, machine, and the origin of datasets and checkpoints."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from eval.scoring.record_types import CheckpointFile, DatasetRecord, SoftwareRecord
from vision.errors import DactylError
from vision.machine.hardware import processor_name
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
        machine=f"{platform.system()} {platform.machine()}, {processor_name()}, {os.cpu_count()} cores",
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


def learnt_from(checkpoint: CheckpointFile, dataset: TripletDataset) -> bool:
    """Return whether a dataset was the training or validation set of a checkpoint, according to its folder."""
    data = (checkpoint.training or {}).get("data")
    return isinstance(data, dict) and dataset.fingerprint in (data.get("train"), data.get("val"))


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
