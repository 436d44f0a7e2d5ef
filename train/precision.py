"""Number format of a training, chosen once for the machine and kept for the whole training."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from vision.machine.hardware import fast_bfloat16
from vision.storage.folders import CONFIG, read_reservation

AUTO = "auto"


def resolve_precision(options: dict[str, Any], begun: Path | None) -> tuple[Any, str]:
    """Resolve the Trainer's precision ``auto``, and give the reason in a few words.

    Args:
        options: the Trainer's.
        begun: folder of the training that is resumed; None for a new one.

    Returns:
        ``bf16-mixed`` if that is faster, else ``32-true``; for a resumed training the precision on file, on any
            machine; a precision other than ``auto`` unchanged.
    """
    precision = options["precision"]
    if precision != AUTO:
        return precision, "as asked for"
    if begun is not None and (begun / CONFIG).exists():  # a folder without one is refused later, by name
        identity = read_reservation(begun)
        with contextlib.suppress(KeyError, TypeError):
            return identity["trainer"]["precision"], "as the training was begun"
    device = device_type(options["accelerator"])
    if fast_bfloat16(device):
        return "bf16-mixed", f"this {device} computes fast in bfloat16"
    return "32-true", f"this {device} does not compute fast in bfloat16"


def device_type(accelerator: Any) -> str:
    """Return torch's name of the device type that Lightning selects for its option ``accelerator``."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return "mps"
    return accelerator if isinstance(accelerator, str) and accelerator not in ("auto", "gpu") else "cpu"
