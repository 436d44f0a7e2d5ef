"""One block of trials: the unit of work that any process can do, twice if need be."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datagen.policy import create_policy
from datagen.policy.evaluate import play_trials
from datagen.render import create_renderer
from datagen.render.base import Renderer, RenderOptions
from datagen.sim.environment import Environment
from datagen.sim.scene import SceneConfig
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.sight import TrialAppearance, VisionObserver, draw_look
from eval.scoring.predict import Estimator, load_estimator
from eval.scoring.trial_results import TRACE, Simulation
from vision.progress import Advance
from vision.storage.files import atomic_write, canonical_json, read_json, sha256
from vision.storage.tables import write_table

BLOCK = 10  # trials in one task, stepped and estimated together


@dataclass(frozen=True)
class BlockTask:
    """Plays one block of trials of one play and writes it.

    Block n of play p has the number ``p * blocks + n``.
    """

    config: ClosedLoopConfig
    mark: str

    @property
    def blocks(self) -> int:
        return -(-self.config.trials // BLOCK)

    def path(self, number: int) -> Path:
        """Of a block's record; its estimates lie beside it."""
        play, block = divmod(number, self.blocks)
        simulation, told = list(self.config.plays())[play]
        return self.config.output / "blocks" / f"{simulation}-{told}-{block:04d}.json"

    def trials(self, number: int) -> range:
        """Numbers of its trials."""
        first = number % self.blocks * BLOCK
        return range(first, min(first + BLOCK, self.config.trials))

    def done(self, number: int) -> dict[str, Any] | None:
        """The record of a block that was played as configured; None where it has to be played."""
        path = self.path(number)
        if not path.exists():
            return None
        record = read_json(path, "block of trials")
        same = isinstance(record, dict) and record.get("mark") == self.mark
        trace = path.with_suffix(".parquet")
        if not same or record["trials"] != list(self.trials(number)):
            return None
        if record["trace_sha256"] and not (trace.exists() and sha256(trace) == record["trace_sha256"]):
            return None
        return record

    def __call__(self, number: int, advance: Advance) -> dict[str, Any]:
        config, trials = self.config, self.trials(number)
        simulation, told = list(config.plays())[number // self.blocks]
        estimator = cached_estimator(config.checkpoint, config.device)
        scene = SceneConfig(estimator.object.name, locked_wrist=config.locked_wrist)
        environment = Environment(scene, config.seed, len(trials), 1, config.effects(simulation))
        policy = create_policy(config.policy, environment.scene, len(trials))
        path = self.path(number)
        trace_sha256 = None
        if told == "state":
            goals, endings = play_trials(environment, policy, config.rules, np.asarray(trials), advance)
        else:
            with plain_renderer(estimator) as renderer:
                look = look_of(config, simulation, estimator, renderer, trials)
                sight = VisionObserver(environment, estimator, renderer, look, trials, config.latency_steps)
                goals, endings = play_trials(environment, policy, config.rules, np.asarray(trials), advance, sight)
            trace = path.with_suffix(".parquet")
            columns = {key: np.concatenate([row[key] for row in sight.rows]) for key in TRACE}
            write_table(trace, columns, TRACE, {"mark": self.mark})
            trace_sha256 = sha256(trace)
        record = {
            "mark": self.mark,
            "trials": list(trials),
            "goals": goals,
            "endings": endings,
            "policy": policy.name,
            "trace_sha256": trace_sha256,
        }
        atomic_write(path, canonical_json(record))
        return record


def look_of(
    config: ClosedLoopConfig, simulation: Simulation, estimator: Estimator, renderer: Renderer, trials: Sequence[int]
) -> TrialAppearance:
    return draw_look(simulation, config.appearance, config.protocol, estimator, renderer.materials, config.seed, trials)


def plain_renderer(estimator: Estimator) -> Renderer:
    """Without shadows, which in software cost far more than all else."""
    return create_renderer("classic", estimator.object.name, RenderOptions(estimator.image_size, shadows=False))


@functools.lru_cache(maxsize=1)
def cached_estimator(checkpoint: Path, device: str) -> Estimator:
    return load_estimator(checkpoint, device)
