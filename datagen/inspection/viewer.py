"""Samples of a dataset in the Rerun viewer: hand, object and cameras in the world, each image in its camera.

The viewer's time is the sample's number. Positions are in metres, in the world frame of the MJCF.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datagen.inspection.check import stored_sample
from datagen.render.base import RenderOptions
from datagen.render.stage import Stage
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.machine.extras import optional
from vision.machine.progress import progress
from vision.objects.pose_object import PoseObject
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset

_FRUSTUM_M = 0.25  # distance at which a camera's image is shown
_BONE_RADIUS_M = 0.002
_EDGE_RADIUS_M = 0.0005
_BONE_COLOR = (200, 200, 200)
_EDGE_COLOR = (0, 200, 80)


def view_in_rerun(dataset: TripletDataset, numbers: Sequence[int], save: Path | None) -> None:
    """Show samples ``numbers`` in a viewer that is started here, or write them into a recording.

    Args:
        dataset: dataset of the samples.
        numbers: numbers of the samples.
        save: ``.rrd`` file to write instead of starting a viewer, for machines without a screen.

    Raises:
        DactylError: Rerun is not installed or its viewer does not start, the file cannot be written, or a sample has a
            fault.
    """
    with optional("rerun", "viewer rerun"):
        import rerun as rr
    stream = rr.RecordingStream("dactyl", recording_id=dataset.fingerprint)
    try:
        if save is None:
            stream.spawn()
        else:
            save.parent.mkdir(parents=True, exist_ok=True)
            stream.save(save)
    except (OSError, RuntimeError) as error:
        what = f"{save}: cannot write" if save else "the viewer does not start"
        raise DactylError(f"{what}: {error}; --save FILE.rrd writes a file to be opened elsewhere") from error
    skeleton = _Skeleton(dataset.scene)
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    stream.log("world/object", *_shape(rr, dataset.object), static=True)
    with progress("logging", len(numbers), "samples") as advance:
        for number in numbers:
            stream.set_time("sample", sequence=int(dataset.indices[number]))
            _log_sample(rr, stream, dataset, number, skeleton)
            advance(1)
    stream.flush()


def _shape(rr: Any, target: PoseObject) -> list[Any]:
    """Return the object's parts in their colours, and its edges, in the object's frame."""
    surface, colors = target.mesh, target.mesh_colors
    mesh = rr.Mesh3D(vertex_positions=surface.vertices, triangle_indices=surface.faces, vertex_colors=colors)
    return [mesh, rr.LineStrips3D(list(target.edges), radii=_EDGE_RADIUS_M, colors=_EDGE_COLOR)]


def _log_sample(rr: Any, stream: Any, dataset: TripletDataset, number: int, skeleton: _Skeleton) -> None:
    label, masks = dataset.label(number), dataset.masks(number)
    x_y_z_w = np.roll(label["object_quaternion"], -1)
    stream.log("world/object", rr.Transform3D(translation=label["object_position"], quaternion=x_y_z_w))
    bones = skeleton(dataset, number)
    stream.log("world/hand", rr.LineStrips3D(bones, radii=_BONE_RADIUS_M, colors=_BONE_COLOR))
    for camera, name in enumerate(dataset.rig.names):
        place, view = f"world/cameras/{name}", dataset.rig.cameras[camera]
        world_to_camera = label["camera_extrinsics"][camera]
        rotation = world_to_camera[:3, :3].T
        stream.log(place, rr.Transform3D(translation=-rotation @ world_to_camera[:3, 3], mat3x3=rotation))
        pinhole = rr.Pinhole(
            image_from_camera=label["camera_intrinsics"][camera],
            resolution=(view.width, view.height),
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=_FRUSTUM_M,
        )
        picture = dataset.member(number, f"{name}.jpg")
        stream.log(f"{place}/image", pinhole, rr.EncodedImage(contents=picture, media_type="image/jpeg"))
        if masks is not None:
            stream.log(
                f"{place}/image/mask",
                rr.SegmentationImage(masks[camera, : view.height, : view.width].astype(np.uint8), opacity=0.3),
            )
    values = "\n".join(f"- {key}: {np.asarray(value).tolist()}" for key, value in label.items())
    stream.log("label", rr.TextDocument(f"# sample {label['index']}\n\n{values}", media_type="text/markdown"))


class _Skeleton:
    """Lines (N, 2, 3) from each part of the hand to its parent, metres, world frame."""

    def __init__(self, scene: Scene) -> None:
        self._stage = Stage(scene, RenderOptions(mesh_fraction=0.05))
        model, compiled = self._stage.model, self._stage.scene
        bodies = np.unique(model.jnt_bodyid[np.isin(model.jnt_qposadr, compiled.hand_qpos)])
        self._bodies = bodies[model.body_parentid[bodies] > 0]
        self._parents = model.body_parentid[self._bodies]

    def __call__(self, dataset: TripletDataset, number: int) -> FloatArray:
        self._stage.set(stored_sample(dataset, number))
        positions = self._stage.data.xpos
        return np.stack([positions[self._parents], positions[self._bodies]], axis=1)
