"""Export to the format of the BOP benchmark (scene by scene), so that other tools can read a dataset.

The format (bop_toolkit, ``docs/bop_datasets_format.md``) has lengths in millimetres, row-wise rotation matrices and
OpenCV's camera. Our own choices are:

- A triplet is a scene, and its cameras are that scene's images, in rig order. In a BOP scene only the camera moves, and
  multi-view estimators rely on that; every triplet shows another moment.
- BOP's principal points are OpenCV's, whose first pixel has its centre in (0, 0); ours is in (0.5, 0.5).
- Images are PNG, which the toolkit expects everywhere but in ``train_pbr``, for which the JPEG files are copied. There
  is no depth, so ``px_count_valid`` is 0 and ``depth_scale`` unused.
- Occlusion is only known if the dataset has masks; without them the visible fraction and its masks are left out, and
  every image is a target.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from datagen.export.bop_masks import Silhouette
from datagen.export.bop_models import MM, OBJECT_ID, write_models
from vision.configuration.bounds import at_least_one
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project, to_opencv
from vision.geometry.poses import Pose
from vision.geometry.rotations import rigid_transform
from vision.io.files import exclusive_folder
from vision.io.store import Location
from vision.machine.progress import progress
from vision.storage.datasets import TripletDataset

LEAST_VISIBLE = 0.1  # visible fraction of the object below which BOP sets no target
_JPEG_SPLIT = "train_pbr"

_ABOUT = """# {name}

{samples} triplets of the {object}, exported from the dataset {fingerprint}.

- A scene is one triplet; its images 0 to {last} are the cameras {cameras}.
- cam_K has the centre of the first pixel in (0, 0). There is no depth.
- {masks}
- The object's look differs from image to image (appearance is randomized); the models have the colours of its parts,
  without letters and textures.
- {symmetries}
- camera.json is the nominal camera {first}; each image's own is in scene_camera.json.
"""


@dataclass(frozen=True)
class BopConfig:
    """What to export.

    Attributes:
        dataset: folder or URL of a finished dataset.
        output: folder to create; it must not exist yet.
        split: train, train_pbr, val or test; train_pbr holds the images as JPEG, the others as PNG.
        count: number of triplets to export, from the first on; null for all.
    """

    dataset: Location
    output: Path
    split: Literal["train", "train_pbr", "val", "test"] = "test"
    count: int | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "count")


def export_bop(config: BopConfig) -> int:
    """Write the folder, completely or not at all, and return the number of triplets.

    Raises:
        DactylError: the dataset does not exist or is unfinished, a sample is damaged, or the output already exists.
    """
    if config.output.exists():
        raise DactylError(f"{config.output}: is there already; choose another output, or delete it")
    dataset = TripletDataset(config.dataset)
    count = min(config.count or len(dataset), len(dataset))
    unfinished = config.output.with_name(f".tmp-{config.output.name}")
    try:
        with exclusive_folder(unfinished):
            for left_over in [path for path in unfinished.iterdir() if path.name != ".lock"]:
                shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
            targets: list[dict[str, int]] = []
            with progress(f"exporting {config.output.name}", count, "triplets") as advance:
                for number in range(count):
                    targets += _write_scene(dataset, number, unfinished / config.split)
                    advance(1)
            write_models(dataset.object, unfinished)
            _write_head(dataset, count, unfinished, config.output.name)
            _write_json(unfinished / "test_targets_bop19.json", targets)
            (unfinished / ".lock").unlink()
            os.sync()  # flush everything to disk before the final name marks the folder complete
            unfinished.rename(config.output)
    except OSError as error:
        raise DactylError(f"{config.output}: cannot write: {error}; free space or choose another folder") from error
    return count


def _write_scene(dataset: TripletDataset, number: int, split: Path) -> list[dict[str, int]]:
    """Write one triplet, and return the targets among its images."""
    label, masks = dataset.label(number), dataset.masks(number)
    mesh, scene_id = dataset.object.mesh, int(label["index"])
    folder = split / f"{scene_id:06d}"
    for name in ("rgb", "mask", *(["mask_visib"] if masks is not None else [])):
        (folder / name).mkdir(parents=True)
    object_to_world, true = rigid_transform(*Pose.from_columns(label, "object")), Cameras.from_label(label)
    cameras, truths, infos, targets = {}, {}, {}, []
    for image, name in enumerate(dataset.rig.names):
        K, world_to_camera = true.intrinsics[image], true.extrinsics[image]
        object_to_camera = world_to_camera @ object_to_world
        cameras[str(image)] = {
            "cam_K": to_opencv(K).ravel().tolist(),
            "depth_scale": 1.0,
            "cam_R_w2c": world_to_camera[:3, :3].ravel().tolist(),
            "cam_t_w2c": (world_to_camera[:3, 3] * MM).tolist(),
        }
        truths[str(image)] = [
            {
                "cam_R_m2c": object_to_camera[:3, :3].ravel().tolist(),
                "cam_t_m2c": (object_to_camera[:3, 3] * MM).tolist(),
                "obj_id": OBJECT_ID,
            }
        ]
        camera = dataset.rig.cameras[image]
        outline = project(mesh.vertices, Cameras(K, object_to_camera))
        silhouette = Silhouette.of(outline, mesh.faces, camera, dataset.where(number))
        visible = None if masks is None else masks[image, : camera.height, : camera.width]
        info = silhouette.info(visible)
        infos[str(image)] = [info]
        if info.get("visib_fract", 1.0) >= LEAST_VISIBLE:
            targets.append({"im_id": image, "inst_count": 1, "obj_id": OBJECT_ID, "scene_id": scene_id})
        jpeg, path = dataset.member(number, f"{name}.jpg"), folder / "rgb" / f"{image:06d}.jpg"
        if split.name == _JPEG_SPLIT:
            path.write_bytes(jpeg)
        else:
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise DactylError(f"{dataset.where(number)}: {name}.jpg is no readable picture; run dactyl check")
            _write_png(path.with_suffix(".png"), picture)
        _write_mask(folder / "mask" / f"{image:06d}_000000.png", silhouette.inside(camera))
        if visible is not None:
            _write_mask(folder / "mask_visib" / f"{image:06d}_000000.png", visible)
    _write_json(folder / "scene_camera.json", cameras)
    _write_json(folder / "scene_gt.json", truths)
    _write_json(folder / "scene_gt_info.json", infos)
    return targets


def _write_head(dataset: TripletDataset, count: int, folder: Path, name: str) -> None:
    first = dataset.rig.cameras[0]
    K = to_opencv(first.intrinsics)
    camera = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    _write_json(folder / "camera.json", {**camera, "depth_scale": 1.0, "height": first.height, "width": first.width})
    has_masks = dataset.masks(0) is not None
    about = _ABOUT.format(
        name=name,
        samples=f"{count:,}",
        object=dataset.object.name,
        fingerprint=dataset.fingerprint,
        last=len(dataset.rig) - 1,
        cameras=", ".join(dataset.rig.names),
        first=dataset.rig.names[0],
        symmetries="Every orientation looks different: models_info.json has no symmetry."
        if dataset.object.symmetries.trivial
        else "models_info.json has the symmetries of the object's look, which its scene declares.",
        masks="mask is the silhouette, mask_visib the part of it that nothing hides."
        if has_masks
        else "mask is the silhouette. What hides it was not recorded: no mask_visib, visib_fract or bbox_visib.",
    )
    (folder / "dataset_info.md").write_text(about, encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as a PNG file, white for True."""
    _write_png(path, mask.astype(np.uint8) * 255)


def _write_png(path: Path, picture: NDArray[Any]) -> None:
    """Write an image in OpenCV's channel order as a PNG file."""
    _, data = cv2.imencode(".png", picture)
    path.write_bytes(data.tobytes())
