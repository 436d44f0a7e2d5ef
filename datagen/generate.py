"""States in, shards of randomised image triplets out.

A shard is a pure function of (configuration, shard number): it may be made by any worker, twice, or after a kill, and
has the same bytes. So resuming is only a matter of asking which shards are already committed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import itertools
import multiprocessing.util
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datagen.appearance import AppearanceConfig, draw_appearance
from datagen.augment import AugmentConfig, augment_pose
from datagen.pool import default_workers, run
from datagen.render import create_renderer
from datagen.render.base import Renderer, RenderOptions, Sample
from datagen.states import States, load_states, states_fingerprint
from datagen.variation import generator
from vision.cameras import DACTYL_RIG, extrinsics, intrinsics
from vision.config import plain
from vision.errors import DactylError
from vision.files import atomic_write, canonical_json, exclusive_folder, fingerprint
from vision.folders import MANIFEST, claim
from vision.objects import OBJECTS
from vision.progress import Advance, progress
from vision.schema import SCHEMA_VERSION
from vision.shards import ShardRecord, TripletDataset, committed_shard, encode_sample, write_shard

# A frame whose grey levels vary less than this is blank: real ones vary by 20 and more.
_MIN_FRAME_STD = 1.0


@dataclass(frozen=True)
class RenderConfig:
    """What a dataset is made of.

    Attributes:
        states: folder of states (dactyl states).
        output: folder for the dataset; an unfinished one is resumed, a larger count extends it.
        count: number of triplets.
        seed: of every drawn value; test sets need one of their own.
        shard_size: triplets in one tar.
        object: block or prism.
        renderer: filament (physically based, Vulkan), classic (MuJoCo's OpenGL) or unity (a Unity player).
        workers: render processes; null for one per core.
        appearance: ranges of the visual randomizations (Table 9).
        augmentation: of the object's pose before rendering (appendix D.2).
        render: options of the renderer.
    """

    states: Path
    output: Path
    count: int = 1_000_000
    seed: int = 0
    shard_size: int = 128
    object: str = "block"
    renderer: Literal["filament", "classic", "unity"] = "filament"
    workers: int | None = None
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        for name in ("count", "shard_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: must be at least 1, got {self.workers}")
        if self.seed < 0:
            raise ValueError(f"seed: must not be negative, got {self.seed}")
        if self.object not in OBJECTS:
            raise ValueError(f"object: expected one of {', '.join(OBJECTS)}, got {self.object}")

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_size)

    def indices(self, shard: int) -> range:
        """The samples of a shard; only the last may have fewer than shard_size."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.count))

    @property
    def batch(self) -> int:
        """Samples to hand to the renderer at once: Unity's players want to be fed, the others draw one by one."""
        player = self.render.unity.player
        return player.players * player.batch_size if self.renderer == "unity" else 1

    def identity(self) -> dict[str, Any]:
        """The keys that decide the bytes of a shard; not where it goes, who makes it or how many there are."""
        identity = plain(self)
        for key in ("output", "workers", "count"):
            del identity[key]
        del identity["render"]["unity"]["player"]
        identity["states"] = states_fingerprint(self.states)
        return identity


def generate(config: RenderConfig) -> TripletDataset:
    """Make, resume, extend or reuse the dataset that ``config`` describes.

    Raises:
        DactylError: the output holds a dataset of another configuration (the differing keys are named), another
            process writes to it, the states or a system library are missing, or a frame came out blank.
    """
    states = load_states(config.states)
    if states.object != config.object:
        raise DactylError(f"{config.states}: states of the {states.object}, not of the {config.object}; set object")
    identity = config.identity()
    with exclusive_folder(config.output):
        claim(config.output, identity, "shard-*")
        records = _make_missing(config, fingerprint(identity))
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "object": config.object,
            "image_size": config.render.image_size,
            "rig": DACTYL_RIG.to_json(),
            "samples": sum(record.samples for record in records),
            "seed": config.seed,
            "renderers": _distinct([record.renderer for record in records]),
            "versions": {name: importlib.metadata.version(name) for name in ("dactyl-vision", "mujoco", "numpy")},
            "config": identity,
            "shards": [asdict(record) for record in records],
        }
        atomic_write(config.output / MANIFEST, canonical_json(manifest))
    return TripletDataset(config.output)


@functools.lru_cache(maxsize=2)
def _state_order(seed: int, round_number: int, states: int) -> np.ndarray:
    """Every state once per round, in an order of its own."""
    return generator(seed, round_number, "state order").permutation(states)


def make_samples(
    config: RenderConfig, states: States, materials: tuple[str, ...], indices: range
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Samples to render and their labels without cameras' pictures: a function of (config, index) each."""
    for index in indices:
        round_number, place = divmod(index, len(states))
        row = int(_state_order(config.seed, round_number, len(states))[place])
        position, quaternion, kind = augment_pose(
            config.augmentation, states.object_position[row], states.object_quaternion[row], config.seed, index
        )
        appearance = draw_appearance(config.appearance, DACTYL_RIG, config.object, materials, config.seed, index)
        size = config.render.image_size
        label = {
            "index": index,
            "state_index": row,
            "episode": int(states.episode[row]),
            "augmentation": kind,
            "object_position": position,
            "object_quaternion": quaternion,
            "joint_position": states.joint_position[row],
            "camera_intrinsics": intrinsics(appearance.camera_fovy_deg, size, size),
            "camera_extrinsics": extrinsics(appearance.camera_position, appearance.camera_quaternion),
        }
        yield Sample(index, states.joint_position[row], position, quaternion, appearance), label


@dataclass(frozen=True)
class ShardTask:
    """Makes one shard: the unit of work that any process on any machine can run, twice if need be."""

    config: RenderConfig
    identity_fingerprint: str

    def __call__(self, number: int, advance: Advance) -> ShardRecord:
        config = self.config
        states = _cached_states(config.states)
        indices = config.indices(number)
        with _renderer(config) as renderer:

            def encoded() -> Iterator[dict[str, Any]]:
                samples = make_samples(config, states, renderer.materials, indices)
                while batch := list(itertools.islice(samples, config.batch)):
                    pictures = renderer.render([sample for sample, _ in batch])
                    for (sample, label), images in zip(batch, pictures, strict=True):
                        _refuse_blank(images, sample.index, renderer)
                        yield encode_sample(label, images, DACTYL_RIG.names, sample.appearance.to_json())
                        advance(1)

            return write_shard(config.output, number, encoded(), self.identity_fingerprint, asdict(renderer.info))


_cached_states = functools.lru_cache(maxsize=1)(load_states)


def _renderer(config: RenderConfig) -> contextlib.AbstractContextManager[Renderer]:
    """For one shard. Filament's dithering sequence starts anew with its context, so each shard has its own renderer.

    A Unity player takes seconds to start, and draws a sample the same at any time: it stays until its process ends.
    """
    if config.renderer == "unity":
        return contextlib.nullcontext(_kept_renderer(config.renderer, config.object, config.render))
    return create_renderer(config.renderer, config.object, config.render)


@functools.lru_cache(maxsize=1)
def _kept_renderer(name: str, object_name: str, options: RenderOptions) -> Renderer:
    renderer = create_renderer(name, object_name, options)
    # A worker process runs these at its end, while threads still live; atexit would be too late to end players well.
    multiprocessing.util.Finalize(None, renderer.close, exitpriority=0)
    return renderer


def _refuse_blank(images: np.ndarray, index: int, renderer: Renderer) -> None:
    spread = images.reshape(len(images), -1).std(axis=1)
    if (spread < _MIN_FRAME_STD).any():
        camera = DACTYL_RIG.names[int(spread.argmin())]
        raise DactylError(
            f"sample {index}: camera {camera} came out blank on {renderer.info.device}; "
            "check the graphics driver, then rerun"
        )


def _make_missing(config: RenderConfig, identity_fingerprint: str) -> list[ShardRecord]:
    """Records of all shards, after making those that are not committed."""
    records: dict[int, ShardRecord] = {}
    for number in range(config.shards):
        record = committed_shard(config.output, number, identity_fingerprint)
        if record is not None and record.samples == len(config.indices(number)):
            records[number] = record
    missing = [number for number in range(config.shards) if number not in records]
    if missing:
        # The old manifest no longer describes the folder once its last, shorter shard is replaced.
        (config.output / MANIFEST).unlink(missing_ok=True)
        done = sum(record.samples for record in records.values())
        with progress(f"rendering {config.output.name}", config.count, "triplets", done) as advance:
            task = ShardTask(config, identity_fingerprint)
            for number, record in run(task, missing, config.workers or default_workers(), advance):
                records[number] = record
    return [records[number] for number in range(config.shards)]


def _distinct(values: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({tuple(value.items()): value for value in values}.values())
