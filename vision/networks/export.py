"""Export of networks for other programs: ``torch.export`` and ONNX.

An exported network takes images (B, C, 3, H, W) uint8, RGB, cameras in the order of the rig, any B >= 1, and includes
all preprocessing and the number of windows that the model has then. The model determines its outputs
(:meth:`vision.networks.pose_model.PoseModel.exported`). A regression returns ``position`` (B, 3), metres, and
``rotation`` (B, 3, 3), object to world; with ``camera_input``, it does so as for unknown camera displacements. A
geometric network returns ``pixels`` (B, C, K, 2) of the object's corners and ``scale`` (B, C, K), the expected error of
each in pixels; with a window also ``landmarks`` (B, C, L, 2) of the hand and ``landmark_scale`` (B, C, L), all as the
solvers take them. The pose follows by :func:`vision.solvers.bundle.solve_pose` from the true cameras, by
:func:`vision.solvers.bundle.solve_bundle` from the nominal ones: float64 linear algebra that ONNX has no operators for.
A file also holds :func:`metadata`, with every other input of these two (docs/evaluation.md has a program that needs the
file alone).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from vision.io.files import atomic_write
from vision.machine.extras import optional
from vision.networks.pose_model import PoseModel

METADATA = "dactyl.json"
"""Name under which a file holds :func:`metadata`: of ``metadata_props`` (ONNX), of ``extra_files`` (torch.export)."""
_OPSET = 18  # the first whose Resize smooths before it downsamples, as the network does


class ExportedNetwork(nn.Module):
    """A pose network with tensors in and tensors out.

    Attributes:
        outputs: names of the outputs.
    """

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.model = model.cpu()
        self.eval()
        with torch.no_grad():
            self.outputs = tuple(model.exported(model(example_images(model))))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.exported(self.model(images)).values())


def metadata(model: PoseModel) -> dict[str, Any]:
    """Return what a program needs to know that uses an exported network.

    It holds its cameras, in order, with the size, K and extrinsics of their images (smaller ones are padded with black
    on the right and below), the keypoints whose pixels it returns, metres in the object's frame, the object's
    symmetries (:class:`vision.objects.symmetries.Symmetries`), and what finds poses from its outputs
    (:meth:`vision.networks.pose_model.PoseModel.solver_inputs`).
    """
    cameras = [
        {
            "name": camera.name,
            "width": camera.width,
            "height": camera.height,
            "intrinsics": camera.intrinsics.tolist(),
            "extrinsics": camera.extrinsics.tolist(),
        }
        for camera in model.scene.rig.cameras
    ]
    height, width = model.image_shape
    return {
        "images": {"width": width, "height": height, "padding": "black, on the right and below"},
        "cameras": cameras,
        "object": model.object.name,
        "keypoints": model.object.keypoints.tolist(),
        "symmetries": msgspec.to_builtins(model.object.symmetries, enc_hook=np.ndarray.tolist),
        "solver": model.solver_inputs(),
    }


def example_images(model: PoseModel) -> Tensor:
    """Return two samples of noise: a batch of one would be traced as a constant."""
    (height, width), cameras = model.image_shape, len(model.scene.rig)
    return torch.randint(0, 256, (2, cameras, 3, height, width), dtype=torch.uint8, generator=torch.Generator())


def export_program(model: PoseModel, path: Path) -> None:
    """Write a file that ``torch.export.load`` reads."""
    network, example, dynamic = _traced(model)
    buffer = io.BytesIO()
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=dynamic)
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(metadata(model))})
    atomic_write(path, buffer.getvalue())


def export_onnx(model: PoseModel, path: Path) -> None:
    """Write an ONNX file (opset 18), which describes its input. Batches must not be empty: ONNX Runtime fails on them.

    Raises:
        DactylError: the packages of the extra ``export`` are missing.
    """
    with optional("onnx", "an ONNX file"):
        import onnx
        import onnxscript  # noqa: F401  the exporter needs it
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
    onnx.helper.set_model_props(proto, {METADATA: json.dumps(metadata(model))})
    onnx.checker.check_model(proto)
    atomic_write(path, proto.SerializeToString())


def _images_text(example: Tensor) -> str:
    _, cameras, channels, height, width = example.shape
    return f"images: uint8 (B, {cameras}, {channels}, {height}, {width}), B >= 1; RGB, cameras in the order of the rig"


def _traced(model: PoseModel) -> tuple[ExportedNetwork, Tensor, tuple[dict[int, Any]]]:
    return ExportedNetwork(model), example_images(model), ({0: torch.export.Dim.DYNAMIC},)
