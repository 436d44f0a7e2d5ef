"""Files of trained networks: training checkpoints, and the smaller files that :func:`export_weights` writes.

Both are read by the same code, refused whole when any bit is wrong (``vision.storage.tensors``), and no file makes a
network larger than its content. ``train.checkpoints`` decides when a training writes which checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vision.errors import DactylError
from vision.io.decode import Record, convert
from vision.io.files import atomic_write
from vision.io.json_values import to_jsonable
from vision.networks.model import build_model
from vision.networks.model_config import MODELS, ModelConfig, used_keys
from vision.networks.pose_model import PoseModel
from vision.scene.scene import Scene
from vision.storage.schema import check_version
from vision.storage.tensors import checked_tensors, fitted, load_tensors

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the shipped networks, ``<object>.pt``, each with its model card ``<object>.md``."""

CHECKPOINT_VERSION = 2
"""Version of the checkpoint format, raised whenever an old reader would misread a new file."""

_PREFIX = "model."  # prefix of the network's tensors in a training checkpoint


def shipped_weights(name: str) -> Path:
    """Return the file of the weights that are shipped by that name.

    Raises:
        DactylError: none are.
    """
    shipped = sorted(path.stem for path in WEIGHTS.glob("*.pt"))
    if name not in shipped:
        raise DactylError(
            f"no weights are shipped as '{name}' (there are: {', '.join(shipped) or 'none'}); "
            "train a network with dactyl train and load it with PoseEstimator.from_checkpoint"
        )
    return WEIGHTS / f"{name}.pt"


def weights_file(name: str) -> Path:
    """Return the file of the weights that are shipped by that name, else the name as a path."""
    shipped = WEIGHTS / f"{name}.pt"
    return shipped if "/" not in name and shipped.is_file() else Path(name)


def checkpoint_record(model: PoseModel) -> dict[str, Any]:
    """Return the plain values that make a checkpoint readable without any other file."""
    described = {"model": to_jsonable(model.config), "scene": model.scene.to_json()}
    if package := MODELS.package_of(model.config.head):
        described["package"] = package
    return {"schema_version": CHECKPOINT_VERSION, "hyper_parameters": described}


def export_weights(checkpoint: Path, path: Path) -> None:
    """Write the network of a training checkpoint, without optimiser and progress, to its own file."""
    model = read_model(checkpoint)
    weights = {_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    atomic_write(path, lambda file: torch.save({**checkpoint_record(model), "state_dict": weights}, file))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values only, and only if every checksum matches.

    Raises:
        DactylError: the file is missing, damaged, of another schema version, or no checkpoint.
    """
    if path.is_dir():
        inside = " or ".join(str(found) for found in sorted(path.glob("*.ckpt"))[:2]) or "a file"
        raise DactylError(f"{path}: a folder, not a checkpoint; give {inside}")
    if not path.suffix and not path.exists():  # meant as a name
        shipped_weights(str(path))
    again = "copy it again, or go back to an earlier checkpoint"
    checkpoint = load_tensors(path, "checkpoint", again)
    if not isinstance(checkpoint, dict):
        raise DactylError(f"{path}: not a checkpoint of dactyl train")
    check_version(checkpoint.get("schema_version"), str(path), CHECKPOINT_VERSION)
    for key in ("hyper_parameters", "state_dict"):
        if not isinstance(checkpoint.get(key), Mapping):
            raise DactylError(f"{path}: key '{key}' is missing; not a checkpoint of dactyl train")
    checkpoint["state_dict"] = checked_tensors(checkpoint["state_dict"], str(path))
    return checkpoint


class HyperParameters(Record, frozen=True):
    """Description of a checkpoint's network, beside the tensors.

    Attributes:
        model: configuration of the network, as :class:`vision.networks.model_config.ModelConfig`.
        scene: the whole scene that it was trained on.
        package: name and version of the package that the model came from; None for ours.
    """

    model: dict[str, Any]
    scene: dict[str, Any]
    package: str | None = None


def read_model(path: Path) -> PoseModel:
    """Read the network of a checkpoint or of exported weights, as it was trained.

    Raises:
        DactylError: as in :func:`read_checkpoint`, or the architecture differs.
    """
    checkpoint = read_checkpoint(path)
    record = convert(dict(checkpoint["hyper_parameters"]), HyperParameters, f"{path}: hyper_parameters")
    if record.package and (head := record.model.get("head")) not in MODELS.names():
        raise DactylError(f"{path}: model '{head}' came from the package {record.package}; install it")
    config = convert(used_keys(record.model), ModelConfig, f"{path}: hyper_parameters.model")
    weights = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        scene = Scene.from_json(record.scene, f"{path}: hyper_parameters.scene")
        MODELS.load(config.head).complete_weights(weights, scene)
        return fitted(lambda: build_model(config, scene), weights, str(path))
    except ValueError as error:
        raise DactylError(f"{path}: made for another version of the network ({error}); train again") from error
