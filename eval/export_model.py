"""``dactyl export-model``: the network alone, for programs without this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.configuration.bounds import at_least_one
from vision.configuration.command_line import parse
from vision.machine.console import Console


@dataclass(frozen=True)
class ExportModelConfig:
    """What to export.

    Attributes:
        checkpoint: checkpoint file that dactyl train wrote, or the name of shipped weights.
        output: file to write, either .onnx (needs the extra export) or .pt2 (torch.export).
        windows: number of windows around the object, rolled against each other, in which the exported network sees each
            image, and averages what it finds; null takes the network's own number, model.window.count.
    """

    checkpoint: Path
    output: Path
    windows: int | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "windows")
        if self.output.suffix not in (".onnx", ".pt2"):
            raise ValueError(f"output: expected a file that ends in .onnx or .pt2, got {self.output}")


def main_export_model(argv: Sequence[str]) -> None:
    """Export a checkpoint's network to ONNX or torch.export, preprocessing included.

    A regression outputs poses. A geometric network outputs the object's corners in pixels with their expected errors,
    from which vision.solvers.bundle.solve_pose computes poses. The outputs of another package's model are up to that
    package. All accept any number of triplets from one on, with images of the size that the command prints; those of
    smaller cameras are padded with black on the right and below. The file holds its cameras, keypoints and all other
    inputs of the solver (dactyl.json in its metadata); docs/evaluation.md has a program that needs nothing else.

    examples:
      dactyl export-model --checkpoint runs/best/best.ckpt --output network.onnx
      dactyl export-model --checkpoint block --output network.pt2
    """
    config = parse(ExportModelConfig, argv, "dactyl export-model", main_export_model.__doc__ or "")
    from vision.estimator import PoseEstimator  # imports torch: mistakes in the command line are reported first
    from vision.networks.export import export_onnx, export_program

    model = PoseEstimator.load(str(config.checkpoint), windows=config.windows).model
    (export_onnx if config.output.suffix == ".onnx" else export_program)(model, config.output)
    height, width = model.image_shape
    Console().print(
        f"{config.output}: {config.output.stat().st_size:,} bytes; images {width} x {height} of cameras "
        f"{', '.join(model.scene.rig.names)}",
        highlight=False,
    )
