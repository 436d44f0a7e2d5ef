"""``dactyl closed-loop``: all trials, their results and figures."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from datagen.policy import create_policy
from datagen.policy.layout import layout_of
from datagen.sim.complete import as_installed
from datagen.sim.scene import compile_scene
from datagen.workers.pool import TaskFailedError, run
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.figures import picture_play
from eval.closed_loop.trial_block import BlockRecord, BlockTask, cached_estimator
from eval.report.trial_table import trial_table
from eval.scoring.provenance import checkpoint_origin, software
from eval.scoring.trial_results import RESULTS, ClosedLoop, ClosedLoopRecord, PlayRecord, load_closed_loop
from vision.errors import DactylError
from vision.io.files import atomic_write, exclusive_folder, remove
from vision.io.json_values import fingerprint, to_jsonable
from vision.machine.hardware import count_or_cores
from vision.machine.progress import progress
from vision.network_files import weights_file
from vision.storage.folders import reserve_output
from vision.storage.records import write_record
from vision.tracking import NO_COVARIANCE

_TIMEOUT_S = 600.0  # time without a step, after which a worker counts as hung


def closed_loop(config: ClosedLoopConfig) -> ClosedLoop:
    """Play the requested trials that are missing, and write the folder that ``eval.scoring.trial_results`` describes.

    Raises:
        DactylError: the policy or checkpoint is missing, damaged or of another object, or the folder was begun with
            another configuration.
    """
    config = replace(config, checkpoint=weights_file(str(config.checkpoint)))
    estimator, digest = cached_estimator(config.checkpoint, config.device, config.windows)
    config = replace(config, windows=estimator.windows)
    scene = compile_scene(as_installed(estimator.scene))
    layout_of(scene)  # refuse a wrong scene or policy before anything is written
    if config.protocol == "nominal" and (fault := estimator.nominal_fault) is not None:
        raise DactylError(f"{config.checkpoint}: {fault}")
    if config.track and estimator.usual_spread is None:
        raise DactylError(NO_COVARIANCE)
    if config.protocol == "self-calibrated" and not estimator.finds_cameras:
        raise DactylError(f"{config.checkpoint}: a network that finds no cameras; play with --protocol calibrated")
    identity = config.identity(estimator.scene, digest)
    create_policy(config.policy, scene, 1, identity["policy"])
    task = BlockTask(config, digest, identity["policy"], fingerprint(identity))
    with exclusive_folder(config.output):
        reserve_output(config.output, identity, "blocks/*.json")
        remove(config.output / RESULTS)
        records = _play_missing(task)
        plays = []
        for place, (simulation, source) in enumerate(config.plays()):
            blocks = range(place * task.blocks, (place + 1) * task.blocks)
            play = PlayRecord(
                simulation=simulation,
                observation_source=source,
                policy=records[blocks[0]].policy,
                goals=tuple(goals for number in blocks for goals in records[number].goals),
                endings=tuple(ending for number in blocks for ending in records[number].endings),
            )
            if source == "vision":
                paths = [task.path(number) for number in blocks]
                play = structs.replace(play, **picture_play(config, simulation, estimator, play.goals, paths))
            plays.append(play)
        record = ClosedLoopRecord(
            scene=estimator.scene.to_json(),
            config=to_jsonable(config),
            checkpoint=checkpoint_origin(config.checkpoint, digest),
            software=software(),
            plays=tuple(plays),
        )
        write_record(config.output / RESULTS, record)
        loop = load_closed_loop(config.output)
        atomic_write(config.output / "table.md", trial_table({"": loop}).encode())
    return loop


def _play_missing(task: BlockTask) -> dict[int, BlockRecord]:
    """Return the records of all blocks by number, after playing the missing ones."""
    config = task.config
    numbers = range(len(list(config.plays())) * task.blocks)
    records = {number: record for number in numbers if (record := task.done(number)) is not None}
    missing = [number for number in numbers if number not in records]
    if missing:
        total, done = (sum(len(task.trials(number)) for number in some) for some in (numbers, records))
        workers = min(count_or_cores(config.workers), len(missing))
        with progress(f"playing {config.output.name}", total, "trials", done) as advance:
            try:
                for number, record in run(task, missing, workers, advance, timeout_s=_TIMEOUT_S):
                    records[number] = record
            except TaskFailedError as error:
                raise DactylError(f"{task.path(error.number)}: gave up: {error}; rerun to resume") from None
    return records
