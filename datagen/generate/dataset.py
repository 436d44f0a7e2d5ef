"""Generation of shards of randomised image triplets from states.

A shard is a pure function of (configuration, shard number): its bytes are the same whichever worker makes it, even
twice or after a kill. Resuming therefore only means making the shards that are not committed yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import ShardTask, encode_one, tasks_per_process
from datagen.states.drawn import load_drawn_states
from datagen.workers.pool import TaskFailedError, run
from vision.errors import DactylError
from vision.io import store
from vision.io.files import atomic_write, exclusive_folder, remove, require_unchanged
from vision.io.json_values import fingerprint
from vision.io.store import Location
from vision.machine.progress import Advance, progress
from vision.machine.versions import package_versions
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset
from vision.storage.folders import CONFIG, MANIFEST, refuse_other_configuration, reserve_output
from vision.storage.manifest import DatasetManifest
from vision.storage.records import write_record
from vision.storage.shards import ShardRecord, committed_shard, distinct_renderers, recorded_shards, shard_name

_LOOKS_AT_ONCE = 16


def generate(config: RenderConfig) -> TripletDataset:
    """Make, resume, extend or reuse the dataset that ``config`` describes.

    Raises:
        DactylError: the output holds a dataset of another configuration (the differing keys are named), or a finished
            one with more triplets than configured, another process writes to it, the states or a system library are
            missing, or rendering a sample kept failing.
    """
    scene, identity = config.drawn_scene(), config.identity()
    require_unchanged(config.scene or config.states, identity["scene"]["sha256"], scene.fingerprint)
    with exclusive_folder(config.output):
        reserve_output(config.output, identity, "shard-*")
        records = _make_missing(config, scene, identity)
        manifest = DatasetManifest(
            scene=scene.to_json(),
            samples=sum(record.samples for record in records),
            seed=config.seed,
            renderers=distinct_renderers(records),
            versions=package_versions(("dactyl-vision", "mujoco", "numpy")),
            config=identity,
            shards=tuple(records),
        )
        write_record(config.output / MANIFEST, manifest)
    return TripletDataset(config.output)


def render_one(config: RenderConfig, index: int) -> Location:
    """Render sample ``index`` of the dataset by itself, with the bytes that its shard has or would have.

    Returns:
        ``<output>/only``, with the sample's files named as in the tar: images, label and appearance.

    Raises:
        DactylError: as :func:`generate`.
    """
    if store.size(config.output / CONFIG) is not None:
        refuse_other_configuration(config.output, config.identity())
    folder = config.output / "only"
    for name, content in encode_one(config, index).items():
        atomic_write(folder / name, content)
    return folder


def _make_missing(config: RenderConfig, scene: Scene, identity: dict[str, Any]) -> list[ShardRecord]:
    """Make the shards that are not committed, and return the records of all."""
    records: dict[int, ShardRecord] = {}
    identity_fingerprint = fingerprint(identity)
    finished = store.size(config.output / MANIFEST) is not None  # an unfinished dataset may take a smaller count
    # Only recorded shards are looked up: asking for half a million that do not exist takes a minute.
    looked_at = [number for number in recorded_shards(config.output) if number <= config.shards]
    # Read records concurrently: on a remote store each read is a network round trip.
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as threads:
        committed = threads.map(lambda n: committed_shard(config.output, n, identity_fingerprint), looked_at)
        for number, record in zip(looked_at, committed, strict=True):
            asked = len(config.indices(number))
            if record is not None and record.samples > asked and finished:
                raise DactylError(
                    f"{config.output}: holds more triplets than count {config.count:,}, which would leave out or cut "
                    f"{shard_name(number)}; choose another output, or the count that it was made with"
                )
            if record is not None and record.samples == asked:
                records[number] = record
    missing = [number for number in range(config.shards) if number not in records]
    if missing:
        states = load_drawn_states(config.states)
        require_unchanged(config.states, identity["states"], states.fingerprint)
        # The old manifest no longer describes the folder once its last, shorter shard is replaced.
        remove(config.output / MANIFEST)
        done = sum(record.samples for record in records.values())
        with progress(f"rendering {config.output.name}", config.count, "triplets", done) as advance:
            if config.executor == "local":
                states = states.shared()  # Ray shares them by itself
            task = ShardTask(config, scene, states, identity_fingerprint)
            try:
                for number, record in _execute(config, task, missing, advance):
                    records[number] = record
            except TaskFailedError as error:
                indices = config.indices(error.number)
                at = indices[min(error.done, len(indices) - 1)]
                raise DactylError(
                    f"{config.output / shard_name(error.number)}: gave up at sample {at}: {error}; rerun to resume"
                ) from None
    return [records[number] for number in range(config.shards)]


def _execute(
    config: RenderConfig, task: ShardTask, numbers: list[int], advance: Advance
) -> Iterator[tuple[int, ShardRecord]]:
    """Make the shards with the configured executor."""
    workers = config.processes(config.workers)
    if config.executor == "local":
        lives = tasks_per_process(config.renderer)
        return run(task, numbers, workers, advance, timeout_s=config.timeout_s, tasks_per_process=lives)
    from datagen.generate.cluster import run_on_ray

    return run_on_ray(task, numbers, advance, address=config.ray_address, workers=workers, timeout_s=config.timeout_s)
