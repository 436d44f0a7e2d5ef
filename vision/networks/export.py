"""The network for other programs: ``torch.export`` and ONNX.

What is exported takes images (B, C, 3, H, W) uint8, RGB, cameras in the order of the rig, any B >= 1, and holds all
preprocessing. A regression gives ``position`` (B, 3), metres, and ``rotation`` (B, 3, 3), object to world; one with
``camera_input`` gives what it answers when nobody knows the cameras' displacements. A geometric network gives
``pixels`` (B, C, K, 2) of the object's corners and ``scale`` (B, C, K), the expected error of each in pixels; with a
window also ``landmarks`` (B, C, L, 2) of the hand and ``landmark_scale`` (B, C, L). The pose follows by
:func:`vision.solvers.bundle.solve_pose` from the true cameras, by :func:`vision.solvers.bundle.solve_bundle` from
the nominal ones: float64 linear algebra that ONNX has no operators for.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vision.errors import DactylError
from vision.io.files import atomic_write
from vision.networks.geometric import GeometricModel
from vision.networks.heads import rotation_from_values
from vision.networks.pose_model import PoseModel

_OPSET = 18  # the first whose Resize smooths before it reduces, as the network does


class ExportedNetwork(nn.Module):
    """A pose network with tensors in and tensors out."""

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.model = model.cpu()
        self.outputs: tuple[str, ...] = ("position", "rotation")
        if isinstance(model, GeometricModel):
            windowed = model.config.window is not None
            self.outputs = ("pixels", "scale", "landmarks", "landmark_scale") if windowed else ("pixels", "scale")
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.model(images)
        if isinstance(self.model, GeometricModel):
            seen = [found.corners] if found.landmarks is None else [found.corners, found.landmarks]
            return tuple(tensor for points in seen for tensor in (points.pixels, points.log_scale.exp()))
        rotation, _ = rotation_from_values(found.values[:, 3:], self.model.config.rotation)
        return found.values[:, :3] * self.model.position_deviation + self.model.position_mean, rotation


def export_program(model: PoseModel, path: Path) -> None:
    """Write what ``torch.export.load`` reads."""
    network, example, dynamic = _traced(model)
    buffer = io.BytesIO()
    with torch.no_grad():
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), buffer)
    atomic_write(path, buffer.getvalue())


def export_onnx(model: PoseModel, path: Path) -> None:
    """Write an ONNX file (opset 18). Its description says what goes in; no batch is empty, ONNX Runtime fails on it.

    Raises:
        DactylError: the packages of the extra ``export`` are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  the exporter needs it
    except ImportError as error:
        raise DactylError(f"{error.name} is missing; install dactyl-vision[export]") from error
    network, example, dynamic = _traced(model)
    with torch.no_grad():
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=list(network.outputs),
            dynamic_shapes=dynamic,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    proto.doc_string = proto.graph.input[0].doc_string = _images_text(example)
    onnx.checker.check_model(proto)
    atomic_write(path, proto.SerializeToString())


def _images_text(example: Tensor) -> str:
    _, cameras, channels, height, width = example.shape
    return f"images: uint8 (B, {cameras}, {channels}, {height}, {width}), B >= 1; RGB, cameras in the order of the rig"


def _traced(model: PoseModel) -> tuple[ExportedNetwork, Tensor, tuple[dict[int, Any]]]:
    (height, width), cameras = model.image_shape, len(model.scene.rig)
    # Two samples: a batch of one would be taken for a constant.
    example = torch.randint(0, 256, (2, cameras, 3, height, width), dtype=torch.uint8, generator=torch.Generator())
    return ExportedNetwork(model), example, ({0: torch.export.Dim.DYNAMIC},)
