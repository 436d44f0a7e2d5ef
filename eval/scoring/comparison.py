"""Two evaluations side by side: the differences of their means, and how sure these are.

Where both runs met the same samples, each sample's difference is taken and whole episodes of them are resampled: what
makes a sample hard for both then cancels. Otherwise each run's episodes are resampled on their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eval.scoring.bootstrap import Interval, difference_interval, mean_interval
from eval.scoring.metric_rows import Metric
from eval.scoring.metrics import metrics
from eval.scoring.record import Evaluation, Scored
from vision.errors import DactylError, printable


@dataclass(frozen=True)
class Difference:
    """A metric of both runs on a test set under a protocol, in the metric's unit; of a share, the share.

    Attributes:
        test_set: its name in both.
        protocol: nominal, self-calibrated or calibrated.
        metric: what is compared.
        samples: numbers of the baseline's and of the candidate's.
        episodes: of the baseline's samples.
        paired: whether the candidate's samples are the same.
        baseline: mean.
        candidate: mean.
        interval: of the difference, 95 %; None for a single episode and for infinite errors.
    """

    test_set: str
    protocol: str
    metric: Metric
    samples: tuple[int, int]
    episodes: int
    paired: bool
    baseline: float
    candidate: float
    interval: Interval | None

    @property
    def difference(self) -> float | None:
        """Candidate less baseline; None where one of them is infinite."""
        both = np.isfinite([self.baseline, self.candidate]).all()
        return self.candidate - self.baseline if both else None

    @property
    def significant(self) -> bool | None:
        """Whether zero lies outside the interval."""
        return None if self.interval is None else not self.interval.low <= 0 <= self.interval.high


def compare(baseline: Evaluation, candidate: Evaluation) -> list[Difference]:
    """Every metric on every test set and protocol that both have.

    Raises:
        DactylError: they do not compare: of different objects, without a test set or protocol in common, or with test
            sets of another scene, renderer or image size under one name.
    """
    theirs = {one.name: one for one in candidate.sets}
    shared = [name for name in baseline.record.test_sets if name in theirs]
    _refuse_unlike(baseline, candidate, shared)
    found: list[Difference] = []
    for ours in baseline.sets:
        if ours.name not in theirs:
            continue
        prints = {run.record.test_sets[ours.name].fingerprint for run in (baseline, candidate)}
        paired = len(prints) == 1 and np.array_equal(ours.columns["index"], theirs[ours.name].columns["index"])
        for scored in ours.study("protocol"):
            if (other := theirs[ours.name].scored.get(scored.condition.name)) is not None:
                found += _differences(ours.name, scored, other, paired)
    if not found:
        raise DactylError(
            f"{baseline.folder} and {candidate.folder}: no protocol in common on {', '.join(shared)}; evaluate both by "
            "the same protocols"
        )
    return found


def _refuse_unlike(baseline: Evaluation, candidate: Evaluation, shared: Sequence[str]) -> None:
    both = f"{baseline.folder} and {candidate.folder}"
    if baseline.object.name != candidate.object.name:
        raise DactylError(f"{both}: of the {baseline.object.name} and the {candidate.object.name} do not compare")
    if not shared:
        names = (", ".join(run.record.test_sets) or "none" for run in (baseline, candidate))
        raise DactylError(f"{both}: no test set in common ({'; '.join(names)}); evaluate both on the same")
    for name in shared:
        ours, theirs = (run.record.test_sets[name] for run in (baseline, candidate))
        for key in ("scene", "object", "renderer", "images"):
            if (one := getattr(ours, key)) != (other := getattr(theirs, key)):
                raise DactylError(
                    f"{both}: test set '{name}' has another {key} ({printable(one)}, {printable(other)}); "
                    "evaluate both on the same"
                )


def _differences(test_set: str, ours: Scored, theirs: Scored, paired: bool) -> Iterator[Difference]:
    orders = [np.argsort(scored.places) for scored in (ours, theirs)]
    episodes = [scored.episodes[order] for scored, order in zip((ours, theirs), orders, strict=True)]
    for key, metric in metrics().items():
        if key not in ours.errors.values or key not in theirs.errors.values:
            continue  # pixels of a test set without cameras
        less, values = (
            np.asarray(scored.errors[key], np.float64)[order]
            for scored, order in zip((ours, theirs), orders, strict=True)
        )
        generator, interval = np.random.default_rng(0), None
        if np.isfinite(less).all() and np.isfinite(values).all():
            interval = (
                mean_interval(values - less, episodes[0], generator)
                if paired
                else difference_interval((less, episodes[0]), (values, episodes[1]), generator)
            )
        samples, count = (len(less), len(values)), len(np.unique(episodes[0]))
        means = float(less.mean()), float(values.mean())
        yield Difference(test_set, ours.condition.name, metric, samples, count, paired, *means, interval)
