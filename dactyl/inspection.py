"""``dactyl inspect``: joins a dataset with an evaluation on it, which do not import each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.configuration.command_line import parse
from vision.errors import DactylError

if TYPE_CHECKING:
    from datagen.inspection.filters import SampleErrors
    from vision.storage.datasets import TripletDataset


def main_inspect(argv: Sequence[str]) -> None:
    """Show what a dataset holds, and write a contact sheet and an HTML page to browse samples with all drawn values.

    The page opens from disk without a network. It filters samples by drawn values, by visible share and, given an
    evaluation, by error.

    examples:
      dactyl inspect --dataset data/train
      dactyl inspect --dataset data/test-classic --evaluation runs/best/evaluation       errors, the worst samples
      dactyl inspect --dataset data/train --samples 24 --wireframe true --output sheet.png --page_samples 0
      dactyl inspect --dataset data/train --viewer rerun                       in 3-D (the extra viewer)
      dactyl inspect --dataset data/train --viewer rerun --save train.rrd      for a machine with a screen
    """
    from datagen.inspection.overview import InspectConfig, inspect

    inspect(parse(InspectConfig, argv, "dactyl inspect", main_inspect.__doc__ or ""), sample_errors)


def sample_errors(folder: Path, dataset: TripletDataset) -> SampleErrors:
    """Return an evaluation's errors on a dataset under each protocol; severity is the largest MSSD of all protocols.

    Raises:
        DactylError: the evaluation is missing or damaged, or was made on other datasets.
    """
    from datagen.inspection.filters import SampleErrors
    from eval.scoring.metrics import MAIN, metrics
    from eval.scoring.record import RECORD, load_evaluation

    evaluation = load_evaluation(folder.name, folder)
    names = [name for name, about in evaluation.record.test_sets.items() if about.fingerprint == dataset.fingerprint]
    if not names:
        raise DactylError(f"{folder / RECORD}: evaluated other datasets than {dataset.folder}; evaluate on this one")
    (test_set,) = (one for one in evaluation.sets if one.name == names[0])
    values: dict[str, np.ndarray] = {}
    shown, severity = [], np.zeros(len(dataset))
    for scored in test_set.study("protocol"):
        order, protocol = np.argsort(scored.places), scored.condition.name
        known = {metric.heading: scored.errors[key] for key, metric in metrics().items() if key in scored.errors.values}
        values |= {f"{protocol} {title}": found[order] for title, found in known.items()}
        values[f"{protocol} confidence"] = scored.confidence[order]
        shown += [f"{protocol} {metrics()[key].heading}" for key in MAIN]
        severity = np.maximum(severity, scored.errors["mssd"][order])
    return SampleErrors(values, shown, severity)
