"""Comparison of two evaluations: the differences of their means, with confidence intervals.

If both runs have the same samples, each sample's difference is taken and whole episodes of them are resampled, so that
what makes a sample hard for both cancels. Otherwise each run's episodes are resampled separately. Of a set of several
recordings, these are resampled and not episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eval.scoring.metric_rows import Metric
from eval.scoring.metrics import metrics
from eval.scoring.record import EvaluatedSet, Evaluation, Scored
from vision.errors import DactylError, printable
from vision.statistics.bootstrap import Interval, difference_interval, mean_interval


@dataclass(frozen=True)
class Difference:
    """A metric of both runs on one test set under one protocol, in the metric's unit, or as a fraction.

    Attributes:
        test_set: its name in both evaluations.
        protocol: nominal, self-calibrated or calibrated.
        metric: the metric that is compared.
        samples: number of samples of the baseline and of the candidate.
        clusters: number of episodes or recordings, of the run that has fewer.
        resampled: which of them are resampled, episodes or recordings.
        paired: whether both have the same samples.
        baseline: the baseline's mean.
        candidate: the candidate's mean.
        interval: 95 % interval of the difference; None for too few of these, for infinite errors, and for
            differences that are all equal.
    """

    test_set: str
    protocol: str
    metric: Metric
    samples: tuple[int, int]
    clusters: int
    resampled: str
    paired: bool
    baseline: float
    candidate: float
    interval: Interval | None

    @property
    def difference(self) -> float | None:
        """Candidate minus baseline; None if either is infinite."""
        both = np.isfinite([self.baseline, self.candidate]).all()
        return self.candidate - self.baseline if both else None

    @property
    def significant(self) -> bool | None:
        """Whether zero lies outside the interval."""
        return None if self.interval is None else not self.interval.low <= 0 <= self.interval.high


def compare(baseline: Evaluation, candidate: Evaluation) -> list[Difference]:
    """Compare every metric on every test set and protocol that both evaluations have.

    Raises:
        DactylError: the evaluations are not comparable: they are of different objects, have no test set or protocol in
            common, or have test sets of one name that differ in scene, object, renderer or image size.
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
                found += _differences(ours, scored, other, paired)
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


def _differences(test_set: EvaluatedSet, ours: Scored, theirs: Scored, paired: bool) -> Iterator[Difference]:
    orders = [np.argsort(scored.places) for scored in (ours, theirs)]
    clusters = [scored.clusters[order] for scored, order in zip((ours, theirs), orders, strict=True)]
    for key, metric in metrics().items():
        if key not in ours.errors.values or key not in theirs.errors.values:
            continue  # an error in pixels, on a test set without cameras
        less, values = (
            np.asarray(scored.errors[key], np.float64)[order]
            for scored, order in zip((ours, theirs), orders, strict=True)
        )
        generator, interval = np.random.default_rng(0), None
        if np.isfinite(less).all() and np.isfinite(values).all():
            interval = (
                mean_interval(values - less, clusters[0], generator)
                if paired
                else difference_interval((less, clusters[0]), (values, clusters[1]), generator)
            )
        yield Difference(
            test_set=test_set.name,
            protocol=ours.condition.name,
            metric=metric,
            samples=(len(less), len(values)),
            clusters=min(len(np.unique(one)) for one in clusters),
            resampled=test_set.resampled,
            paired=paired,
            baseline=float(less.mean()),
            candidate=float(values.mean()),
            interval=interval,
        )
