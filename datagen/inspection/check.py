"""Check of a dataset: every shard and every sample, and some samples rendered again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from datagen.appearance.sample import Appearance, Sample
from datagen.generate.frames import cameras_that_see, is_blank
from datagen.pictures.numpy_effects import apply_effects
from datagen.render import RENDERERS, traits_of
from datagen.render.base import RENDERING, RenderOptions
from datagen.variation import generator
from vision.configuration.bounds import not_negative
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.io.decode import convert
from vision.io.store import Location, names
from vision.machine.progress import progress
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST
from vision.storage.integrity import RERUN
from vision.storage.layout import sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.schema import LABEL
from vision.storage.shards import encode_images, mask_box, mask_suffix

if TYPE_CHECKING:
    from datagen.generate.view_labels import ViewLabeller

_OTHER_DEVICE_TOLERANCE = 4.0  # levels, mean over an image: other drivers round and dither differently
_OUTLINE_TOLERANCE = 2  # pixels of a mask
_PIXEL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CheckConfig:
    """What to check.

    Attributes:
        dataset: folder or URL of a finished dataset.
        rerender: number of random samples to render again from their labels and compare with the stored images.
        seed: seed of the choice of those samples.
    """

    dataset: Location
    rerender: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        not_negative(self, "rerender", "seed")


def faults(config: CheckConfig) -> Iterator[str]:
    """Yield every fault as a line that names the shard or sample. Samples are only checked if all shards are sound.

    Raises:
        DactylError: the dataset does not exist or is unfinished, or samples cannot be rendered again here.
    """
    folder = DatasetFolder(config.dataset)
    bad = list(_shard_faults(folder))
    yield from bad
    if not bad:
        dataset = TripletDataset(config.dataset)
        yield from _coverage_faults(dataset)
        yield from _sample_faults(dataset)
        yield from _rerender_faults(dataset, config.rerender, config.seed)


def _shard_faults(folder: DatasetFolder) -> Iterator[str]:
    known = {shard.name for shard in folder.shards}
    for name in names(folder.folder, "*.tar"):
        if name not in known:
            yield f"{folder.folder / name}: the manifest does not know this shard; delete it"
    with progress("shards", len(folder.shards), "shards") as advance:
        for shard in folder.shards:
            try:
                folder.check_shard(shard)
            except DactylError as error:
                yield str(error)
            advance(1)


def _coverage_faults(dataset: TripletDataset) -> Iterator[str]:
    """Check that a rendered dataset has samples 0 to N - 1; recordings may leave some out."""
    missing = np.setdiff1d(np.arange(len(dataset)), dataset.indices)
    if "shard_size" in dataset.manifest.config and len(missing):
        first = sample_key(int(missing[0]))
        yield f"{dataset.folder / MANIFEST}: {len(missing)} samples are missing, the first is {first}; render again"


def _sample_faults(dataset: TripletDataset) -> Iterator[str]:
    """Check decoding, labels against their schema, blank and duplicate images, and that cameras see the object."""
    digests = np.zeros((len(dataset), len(dataset.rig)), np.uint64)  # 0: not read, or blank
    with progress("samples", len(dataset), "samples") as advance:
        for number in range(len(dataset)):
            where = dataset.where(number)
            try:
                sample = dataset[number]
                dataset.appearance(number)
                pose = Pose.from_columns(sample, "object")
                pixels = project(pose.transform(dataset.object.keypoints), Cameras.from_label(sample))
                shown = cameras_that_see(dataset.rig, pixels)
                faults = [f"label.json: {what}" for what in _label_faults(sample, pixels, bool(shown.any()))]
                faults += _mask_faults(dataset, number, sample)
            except DactylError as error:
                yield str(error)
                continue
            for camera, image in enumerate(dataset.rig.without_padding(sample["images"])):
                if not is_blank(image):
                    digests[number, camera] = int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest())
                elif shown[camera]:
                    yield f"{where}.{dataset.rig.names[camera]}.jpg: blank; delete the shard and {RERUN}"
            yield from (f"{where}.{fault}" for fault in faults)
            advance(1)
    yield from _repeated_images(dataset, digests)


def _repeated_images(dataset: TripletDataset, digests: NDArray[np.uint64]) -> Iterator[str]:
    """Compare the digests (N, C) of all images; those that are 0 do not count."""
    order = np.argsort(digests, axis=None, kind="stable")
    found = digests.ravel()[order]
    again = np.flatnonzero((found[1:] == found[:-1]) & (found[1:] != 0)) + 1

    def name(place: int) -> str:
        number, camera = divmod(place, digests.shape[1])
        return f"{dataset.where(number)}.{dataset.rig.names[camera]}.jpg"

    for place, before in sorted(zip(order[again].tolist(), order[again - 1].tolist(), strict=True)):
        yield f"{name(place)}: the same picture as {name(before)}"


def _label_faults(sample: dict[str, Any], pixels: FloatArray, shown: bool) -> Iterator[str]:
    """Yield what is wrong with a label.

    Args:
        sample: the sample.
        pixels: (C, K, 2) of the object's keypoints.
        shown: whether one of them lies in an image.
    """
    if not np.isfinite(pixels).all():
        yield "the object is behind a camera"
    elif not shown:
        yield "the object projects outside of every picture"
    stored = sample.get("keypoints_2d", pixels)
    if stored.shape != pixels.shape or not np.allclose(stored, pixels, rtol=0, atol=_PIXEL_TOLERANCE, equal_nan=True):
        yield "keypoints_2d are not where the object's keypoints project to"


def _mask_faults(dataset: TripletDataset, number: int, sample: dict[str, Any]) -> Iterator[str]:
    """Compare labels of the views with each other; each fault begins with the name of its file."""
    masks = dataset.masks(number)
    optional = {key for key, field in LABEL.items() if field.optional}
    if absent := optional - sample.keys():
        if masks is not None or absent != optional:
            yield f"label.json: '{min(absent)}' is missing beside other labels of the views; make the dataset again"
        return
    if masks is None:
        yield "label.json: labels of the views without masks; make the dataset again"
        return
    for name, mask, box, share in zip(dataset.rig.names, masks, sample["box_2d"], sample["visibility"], strict=True):
        if mask_box(mask) != tuple(box):
            yield f"{mask_suffix(name)}: its box is {mask_box(mask)}, the label says {box.tolist()}"
        elif mask.any() != (share > 0):
            yield f"{mask_suffix(name)}: shows {mask.sum()} pixels, the label says that {share:.0%} is visible"


def _rerender_faults(dataset: TripletDataset, count: int, seed: int) -> Iterator[str]:
    """Render random samples again from label and appearance, each at its position in its shard."""
    if count == 0:
        return
    # Late, because reading a dataset does not need the simulator.
    from datagen.generate.shard_task import shard_renderer
    from datagen.generate.view_labels import ViewLabeller

    config = dataset.manifest.config
    name = config.get("renderer")
    if name not in RENDERERS.names() or not traits_of(name).repeatable:
        raise DactylError(f"{dataset.folder}: rendered by {name}, which cannot be started from here")
    if config.get("rendering") != RENDERING:
        raise DactylError(
            f"{dataset.folder}: its pictures are of rendering version {config.get('rendering')}, this program draws "
            f"version {RENDERING}; check it without rerender"
        )
    options = convert(config.get("render"), RenderOptions, f"{dataset.folder / MANIFEST}: key 'config.render'")
    views = functools.cache(lambda: ViewLabeller(dataset.scene, options))  # compiles a scene
    first = np.cumsum([0] + [shard.samples for shard in dataset.shards])
    chosen = np.sort(generator(seed, 0, "rerender").permutation(len(dataset))[:count])
    with progress("rendering again", len(chosen), "samples") as advance:
        for number in chosen.tolist():
            shard = int(np.searchsorted(first, number, side="right")) - 1
            with shard_renderer(name, dataset.scene, options) as renderer:
                renderer.skip(number - int(first[shard]))
                sample = stored_sample(dataset, number)
                rendered = renderer.render([sample])[0]
                images = apply_effects(rendered, sample.appearance.camera_effects, dataset.rig)
                same_device = renderer.info.device == dataset.shards[shard].renderer.get("device")
            yield from _differences(dataset, number, images, same_device)
            yield from _view_differences(dataset, number, sample, views)
            advance(1)


def _differences(dataset: TripletDataset, number: int, images: np.ndarray, same_device: bool) -> Iterator[str]:
    """Require equal bytes on the device that made the shard, and allow a tolerance on any other."""
    for name, jpeg in encode_images(images, dataset.rig).items():
        stored = dataset.member(number, name)
        if jpeg == stored:
            continue
        off = np.abs(simplejpeg.decode_jpeg(jpeg).astype(float) - simplejpeg.decode_jpeg(stored)).mean()
        if same_device or off > _OTHER_DEVICE_TOLERANCE:
            yield f"{dataset.where(number)}.{name}: rendered again it differs by {off:.2f} levels on average"


def _view_differences(
    dataset: TripletDataset, number: int, sample: Sample, views: Callable[[], ViewLabeller]
) -> Iterator[str]:
    """Compute the masks again; other processors may round a pixel on the outline to the other side."""
    stored = dataset.masks(number)
    if stored is None:
        return
    label = dataset.label(number)
    _, masks = views()(sample, Cameras.from_label(label))
    for name, mask, there in zip(dataset.rig.names, masks, stored, strict=True):
        if (off := np.count_nonzero(mask != there)) > _OUTLINE_TOLERANCE:
            yield f"{dataset.where(number)}.{mask_suffix(name)}: computed again it differs in {off} pixels"


def stored_sample(dataset: TripletDataset, number: int) -> Sample:
    """Return the sample that a renderer needs to draw sample ``number`` again, from its shard alone."""
    label = dataset.label(number)
    look = Appearance.from_json(dataset.appearance(number), f"{dataset.where(number)}.appearance.json")
    pose = (label["joint_position"], label["object_position"], label["object_quaternion"])
    return Sample(int(label["index"]), *pose, look)
