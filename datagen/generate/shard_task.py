"""Making of one shard: sample numbers to samples, samples to images, images to a tar file."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing.util
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from datagen.appearance.clutter import draw_clutter
from datagen.appearance.draw import draw_appearance
from datagen.appearance.pose_augmentation import augment_pose
from datagen.appearance.room import Surfaces
from datagen.appearance.sample import Sample
from datagen.generate.config import RenderConfig
from datagen.generate.frames import FrameGuard
from datagen.generate.view_labels import ViewLabeller
from datagen.pictures.numpy_effects import apply_effects
from datagen.render import create_renderer, traits_of
from datagen.render.base import Renderer, RenderOptions
from datagen.sim.materials import Material
from datagen.states.drawn import DrawnStates, load_drawn_states
from datagen.variation import generator
from datagen.workers.pool import TASKS_PER_PROCESS
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.io.files import require_unchanged
from vision.machine.progress import Advance
from vision.scene.scene import Scene
from vision.storage.shards import ShardRecord, encode_sample, write_shard

_REUSED_TASKS = 1_000  # shards or chunks that a process with a reusable renderer makes


@functools.lru_cache(maxsize=2)
def _state_order(seed: int, round_number: int, states: int) -> np.ndarray:
    """Return the order of all states in one round, each once."""
    return generator(seed, round_number, "state order").permutation(states)


def make_samples(
    config: RenderConfig, scene: Scene, states: DrawnStates, materials: tuple[Material, ...], indices: Iterable[int]
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Yield samples to render and their labels, except labels of views; each depends only on (config, index)."""
    for index in indices:
        round_number, place = divmod(index, len(states))
        row = int(_state_order(config.seed, round_number, len(states))[place])
        position, quaternion, kind = augment_pose(
            config.augmentation,
            scene.object,
            states.object_position[row],
            states.object_quaternion[row],
            config.seed,
            index,
        )
        pose, options = Pose.from_quaternion(position, quaternion), config.render
        recording = index // options.recording_size if options.displacement == "per-recording" else None
        appearance = draw_appearance(config.appearance, scene, materials, config.seed, index, recording)
        clutter = config.appearance.clutter
        if clutter.any:
            room = _cached_surfaces(scene, clutter.clearance).room(states.joint_position[row], pose, appearance.cameras)
            appearance = replace(appearance, clutter=draw_clutter(clutter, room, config.seed, index))
        _refuse_behind(scene, index, row, pose, appearance.cameras)
        label = {
            "index": index,
            "state_index": row,
            "episode": int(states.episode[row]),
            "augmentation": kind,
            "object_position": position,
            "object_quaternion": quaternion,
            "joint_position": states.joint_position[row],
            "camera_intrinsics": appearance.camera_intrinsics,
            "camera_extrinsics": appearance.camera_extrinsics,
        }
        yield Sample(index, states.joint_position[row], position, quaternion, appearance), label


def _refuse_behind(scene: Scene, index: int, row: int, pose: Pose, cameras: Cameras) -> None:
    """Raise DactylError if the object reaches behind a camera, where nothing of it has a place in the image."""
    surface, T = pose.transform(scene.object.mesh.vertices), cameras.extrinsics
    depth = (T[:, 2, :3] @ surface.T).min(axis=1) + T[:, 2, 3]
    if (depth <= 0).any():
        raise DactylError(
            f"sample {index}: in state {row} the object reaches behind camera {scene.rig.names[int(depth.argmin())]}; "
            "move the camera out of the object's way (dactyl scene check), or collect states in front of it"
        )


@dataclass(frozen=True)
class SamplesTask:
    """Base of tasks that draw samples in processes of their own, maybe on other machines, even twice.

    Attributes:
        config: configuration of the samples.
        scene: scene to draw, :meth:`RenderConfig.drawn_scene`.
        states: states to draw. Both are here because their files may be on another machine, or be replaced meanwhile.
        pictures: hashes of the folders of pictures where the task was made: each process looks into them by itself.
    """

    config: RenderConfig
    scene: Scene
    states: DrawnStates
    pictures: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", self.config.appearance.folder_hashes())

    def refuse_other_pictures(self) -> None:
        """Raise DactylError if a folder of pictures holds others than where the task was made."""
        for folder, found in self.config.appearance.folder_hashes().items():
            require_unchanged(folder, self.pictures[folder], found)


@dataclass(frozen=True)
class ShardTask(SamplesTask):
    """Task that makes one shard.

    Attributes:
        identity_fingerprint: fingerprint of the configuration.
    """

    identity_fingerprint: str

    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        config = self.config
        self.refuse_other_pictures()
        with shard_renderer(config.renderer, self.scene, config.render_here) as renderer:

            def encoded() -> Iterator[dict[str, Any]]:
                for members in encoded_samples(config, self.scene, self.states, renderer, config.indices(number)):
                    yield members
                    advance(1)

            return write_shard(config.output, number, encoded(), self.identity_fingerprint, asdict(renderer.info))


def encode_one(config: RenderConfig, index: int) -> dict[str, bytes]:
    """Render sample ``index`` by itself, and return its files by their names in the tar, with its shard's bytes."""
    scene, states = config.drawn_scene(), load_drawn_states(config.states)
    with shard_renderer(config.renderer, scene, config.render_here) as renderer:
        renderer.skip(index - config.indices(index // config.shard_size).start)
        (members,) = encoded_samples(config, scene, states, renderer, [index])
    key = members.pop("__key__")
    return {f"{key}.{suffix}": content for suffix, content in members.items()}


def encoded_samples(
    config: RenderConfig, scene: Scene, states: DrawnStates, renderer: Renderer, indices: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Yield the tar members of the samples, drawn by a renderer that is positioned at the first of ``indices``."""
    guard = FrameGuard(renderer.info.device, scene)
    views = _cached_views(scene, config.render) if config.view_labels else None
    samples = make_samples(config, scene, states, renderer.materials, indices)
    while batch := list(itertools.islice(samples, renderer.batch_size)):
        pictures = renderer.render([sample for sample, _ in batch])
        for (sample, label), images in zip(batch, pictures, strict=True):
            guard.check(sample, images)
            taken = apply_effects(images, sample.appearance.camera_effects, scene.rig)
            masks = None
            if views is not None:
                seen, masks = views(sample, Cameras.from_label(label))
                label |= seen
            yield encode_sample(label, taken, scene.rig, sample.appearance.to_json(), masks)


def tasks_per_process(renderer: str) -> int:
    """Return the number of shards or chunks after which a process that draws them is replaced, since drivers leak.

    Reusable renderers do not leak, and are slow to start.
    """
    return _REUSED_TASKS if traits_of(renderer).reusable else TASKS_PER_PROCESS


_cached_views = functools.lru_cache(maxsize=1)(ViewLabeller)
_cached_surfaces = functools.lru_cache(maxsize=1)(Surfaces)
_kept: dict[tuple[str, Scene, RenderOptions], Renderer] = {}


@contextlib.contextmanager
def shard_renderer(name: str, scene: Scene, options: RenderOptions) -> Iterator[Renderer]:
    """Provide a renderer at the beginning of its shard: a new one, or a reusable one kept until the process ends."""
    key = (name, scene, options)
    renderer = _kept.get(key) or create_renderer(*key)
    if traits_of(name).reusable and key not in _kept:
        _kept[key] = renderer
        # Worker processes run finalizers while threads are alive; atexit would be too late to end players properly.
        multiprocessing.util.Finalize(None, renderer.close, exitpriority=0)
    try:
        yield renderer
    finally:
        if key not in _kept:
            renderer.close()
