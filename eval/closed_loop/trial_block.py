"""One block of trials: a unit of work that any process can do, and repeat."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.policy import create_policy
from datagen.policy.evaluate import play_trials
from datagen.render import create_renderer
from datagen.render.base import Renderer, RenderOptions
from datagen.sim.complete import as_installed
from datagen.sim.environment import Environment
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.recording import with_found_cameras
from eval.closed_loop.trial_appearance import draw_look
from eval.closed_loop.vision_observer import VisionObserver
from eval.scoring.estimator import Estimator, load_estimator
from eval.scoring.trial_results import TRACE
from vision.io.decode import Count, Record, Sha256, Text
from vision.io.files import require_unchanged, sha256
from vision.machine.hardware import one_thread
from vision.machine.progress import Advance
from vision.statistics.trials import Ending
from vision.storage.records import read_record, write_record
from vision.storage.tables import write_table

BLOCK = 10  # trials in one task, stepped and estimated together


class BlockRecord(Record, frozen=True, omit_defaults=False):
    """A block that was played.

    Attributes:
        config_fingerprint: fingerprint of the configuration that was played.
        trials: numbers of its trials.
        goals: number of consecutive goals of each.
        endings: ending of each: dropped, late or complete.
        policy: name of the policy.
        trace_sha256: hash of the file of its estimates; None without estimates.
    """

    config_fingerprint: Text
    trials: tuple[Count, ...]
    goals: tuple[Count, ...]
    endings: tuple[Ending, ...]
    policy: Text
    trace_sha256: Sha256 | None

    def __post_init__(self) -> None:
        if not len(self.trials) == len(self.goals) == len(self.endings):
            raise ValueError("trials, goals and endings of different length")


@dataclass(frozen=True)
class BlockTask:
    """Plays one block of trials of one play and writes it.

    Block n of play p has the number ``p * blocks + n``.

    Attributes:
        config: configuration of the trials.
        checkpoint_sha256: hash of the estimator's file; another one in its place is refused.
        policy: label of the policy (:func:`datagen.policy.policy_label`), likewise.
        config_fingerprint: fingerprint of the configuration, which contains both.
    """

    config: ClosedLoopConfig
    checkpoint_sha256: str
    policy: str
    config_fingerprint: str

    @property
    def blocks(self) -> int:
        return -(-self.config.trials // BLOCK)

    def path(self, number: int) -> Path:
        """Return the path of a block's record; its estimates have the same name and end in .parquet."""
        play, block = divmod(number, self.blocks)
        simulation, source = list(self.config.plays())[play]
        return self.config.output / "blocks" / f"{simulation}-{source}-{block:04d}.json"

    def trials(self, number: int) -> range:
        """Return the numbers of a block's trials."""
        first = number % self.blocks * BLOCK
        return range(first, min(first + BLOCK, self.config.trials))

    def done(self, number: int) -> BlockRecord | None:
        """Return the record of a block that was already played as configured; None if it has to be played."""
        path = self.path(number)
        if not path.exists():
            return None
        record = read_record(path, BlockRecord, "block of trials", "delete it, and rerun to resume")
        trace = path.with_suffix(".parquet")
        if record.config_fingerprint != self.config_fingerprint or record.trials != tuple(self.trials(number)):
            return None
        if record.trace_sha256 and not (trace.is_file() and sha256(trace) == record.trace_sha256):
            return None
        return record

    def __call__(self, number: int, advance: Advance) -> BlockRecord:
        with one_thread():  # there is a process for each core
            return self._play(number, advance)

    def _play(self, number: int, advance: Advance) -> BlockRecord:
        config, trials = self.config, self.trials(number)
        simulation, source = list(config.plays())[number // self.blocks]
        estimator, digest = cached_estimator(config.checkpoint, config.device, config.windows)
        require_unchanged(config.checkpoint, self.checkpoint_sha256, digest)
        environment = Environment(
            as_installed(estimator.scene), config.seed, len(trials), 1, config.effects(simulation), config.locked_wrist
        )
        policy = create_policy(config.policy, environment.scene, len(trials), self.policy)
        path = self.path(number)
        trace_sha256 = None
        if source == "state":
            goals, endings = play_trials(environment, policy, config.rules, np.asarray(trials), advance)
        else:
            with plain_renderer(estimator) as renderer:
                look = draw_look(config, simulation, estimator, renderer, trials)
                if config.protocol == "self-calibrated":
                    look = with_found_cameras(config, simulation, self.policy, estimator, renderer, look)
                sight = VisionObserver(config, environment, estimator, renderer, look)
                goals, endings = play_trials(environment, policy, config.rules, np.asarray(trials), advance, sight)
            trace = path.with_suffix(".parquet")
            columns = {key: np.concatenate([row[key] for row in sight.rows]) for key in TRACE}
            write_table(trace, columns, TRACE, {"config_fingerprint": self.config_fingerprint})
            trace_sha256 = sha256(trace)
        record = BlockRecord(
            self.config_fingerprint, tuple(trials), tuple(goals), tuple(endings), policy.name, trace_sha256
        )
        write_record(path, record)
        return record


def plain_renderer(estimator: Estimator) -> Renderer:
    """Create a classic renderer without shadows, which in software cost far more than everything else."""
    return create_renderer("classic", as_installed(estimator.scene), RenderOptions(shadows=False))


def cached_estimator(checkpoint: Path, device: str, windows: int | None) -> tuple[Estimator, str]:
    """Load as :func:`load_estimator`, or return what the last call loaded if that had the file's present content."""
    return _loaded(checkpoint, sha256(checkpoint) if checkpoint.is_file() else "", device, windows)


@functools.lru_cache(maxsize=1)
def _loaded(checkpoint: Path, digest: str, device: str, windows: int | None) -> tuple[Estimator, str]:
    del digest  # the cache's
    return load_estimator(checkpoint, device, windows)
