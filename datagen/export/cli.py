"""``dactyl export bop``: datasets in other formats."""

from __future__ import annotations

from collections.abc import Sequence

from vision.configuration.command_line import parse
from vision.machine.console import Console


def main_bop(argv: Sequence[str]) -> None:
    """Write a dataset in the format of the BOP benchmark, scene by scene: a triplet is a scene of three images.

    With masks (dactyl render --view_labels true) it also has the object's visible fraction. The folder appears when it
    is complete.

    examples:
      dactyl export bop --dataset data/test-filament --output bop/dactyl
      dactyl export bop --dataset data/train --output bop/dactyl-train --split train_pbr --count 10000
    """
    from datagen.export.bop import BopConfig, export_bop

    config = parse(BopConfig, argv, "dactyl export bop", main_bop.__doc__ or "")
    count = export_bop(config)
    Console().print(f"{config.output}: {count:,} triplets in the BOP format", highlight=False)
