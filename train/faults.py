"""Losses that are not finite: a file with the samples they came from, to find the cause."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from vision.errors import DactylError
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json

BAD_BATCH = "bad-batch.json"


class LossNotFiniteError(DactylError):
    """A batch whose loss is NaN or infinite. It did not change the weights: the last checkpoint is from before.

    Args:
        number: number of the batch.
        batch: the batch, with ``index`` (B,), and ``online`` (B,) if some samples may not be stored ones.
        losses: losses of its samples, (B,).
    """

    def __init__(self, number: int, batch: dict[str, Tensor], losses: Tensor) -> None:
        online = batch["online"].tolist() if "online" in batch else [False] * len(losses)
        values = [float(loss) for loss in losses.detach()]
        self.number = number
        self.samples = [
            {"index": index, "online": fresh, "loss": value if math.isfinite(value) else str(value)}
            for index, fresh, value in zip(batch["index"].tolist(), online, values, strict=True)
        ]
        bad = [sample for sample, value in zip(self.samples, values, strict=True) if not math.isfinite(value)]
        named = ", ".join(f"{'online ' * sample['online']}{sample['index']}" for sample in (bad or self.samples)[:8])
        super().__init__(
            f"loss is {sum(values) / len(values)} at batch {number}, samples {named}: "
            "lower optimizer.learning_rate and choose a new output"
        )

    def write(self, folder: Path) -> Path:
        """Write all samples of the batch with their losses to a file in ``folder`` and return its path."""
        path = folder / BAD_BATCH
        atomic_write(path, canonical_json({"batch": self.number, "samples": self.samples}))
        return path
