"""Intervals against scipy's, against a loop, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vision.statistics.bootstrap import FEWEST_CLUSTERS, difference_interval, mean_interval


def test_one_sample_an_episode_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, 80)
    ours = mean_interval(values, np.arange(80), np.random.default_rng(1))
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9_999, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours is not None
    np.testing.assert_allclose(ours, theirs, atol=0.08)


def test_episodes_are_drawn_whole() -> None:
    """Against a loop that concatenates the drawn episodes; they differ in length."""
    rng = np.random.default_rng(0)
    episodes = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    values = rng.normal(size=12)[episodes] + 0.1 * rng.normal(size=len(episodes))
    means = []
    for _ in range(4_000):
        drawn = rng.integers(0, 12, 12)
        means.append(np.concatenate([values[episodes == episode] for episode in drawn]).mean())
    shuffled = rng.permutation(len(values))
    ours = mean_interval(values[shuffled], 100 - episodes[shuffled], np.random.default_rng(1))
    wider = stats.t.ppf(0.975, 11) / stats.norm.ppf(0.975) * np.sqrt(12 / 11)
    there = values.mean() + wider * (np.percentile(means, [2.5, 97.5]) - values.mean())
    np.testing.assert_allclose(ours, there, atol=0.06)
    alone = mean_interval(values, np.arange(len(values)), np.random.default_rng(1))
    assert ours is not None
    assert alone is not None
    assert ours.high - ours.low > 1.3 * (alone.high - alone.low), "alike samples promise less"


def test_a_difference_of_two_means_is_scipys() -> None:
    rng = np.random.default_rng(0)
    less, values = rng.gamma(2.0, 3.0, 80), rng.gamma(2.0, 4.0, 60)
    ours = difference_interval((less, np.arange(80)), (values, np.arange(60)), np.random.default_rng(1))
    theirs = stats.bootstrap(
        (values, less), _difference, method="percentile", n_resamples=9_999, rng=np.random.default_rng(2)
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, atol=0.12)
    assert difference_interval((less, np.zeros(80)), (values, np.arange(60)), rng) is None, "a single episode"


def _difference(values: np.ndarray, less: np.ndarray, axis: int) -> np.ndarray:
    return values.mean(axis=axis) - less.mean(axis=axis)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    episodes = np.repeat(np.arange(40), 5)
    hits = 0
    for _ in range(200):
        values = 7.0 + rng.normal(size=40)[episodes] + 0.3 * rng.normal(size=200)
        interval = mean_interval(values, episodes, rng)
        assert interval is not None
        hits += interval.low <= 7.0 <= interval.high
    assert 0.88 < hits / 200 < 0.99


@pytest.mark.parametrize("count", [5, 8, 20])
def test_few_episodes_promise_no_more_than_they_hold(count: int) -> None:
    """Plain percentiles hold the truth in 85 % of five normal means, 88 % of eight and 93 % of twenty."""
    rng = np.random.default_rng(4)
    hits = differs = 0
    for _ in range(1_000):
        values, others = rng.normal(size=count), rng.normal(size=2 * count)
        interval = mean_interval(values, np.arange(count), rng)
        between = difference_interval((values, np.arange(count)), (others, np.arange(2 * count)), rng)
        assert interval is not None
        assert between is not None
        hits += interval.low <= 0 <= interval.high
        differs += not between.low <= 0 <= between.high
    assert hits / 1_000 == pytest.approx(0.95, abs=0.02)
    assert differs / 1_000 == pytest.approx(0.05, abs=0.02)


def test_too_few_episodes_promise_nothing_and_lengths_must_agree() -> None:
    few = np.arange(FEWEST_CLUSTERS - 1)
    rng = np.random.default_rng(0)
    assert mean_interval(few, few, rng) is None
    enough = np.arange(FEWEST_CLUSTERS)
    assert mean_interval(enough, enough, rng) is not None
    assert difference_interval((few, few), (enough, enough), rng) is None
    for same in (np.zeros(9), np.ones(9), 0.1 + np.arange(9) * 1e-16):
        assert mean_interval(same, np.arange(9), rng) is None, "others may differ"
        assert difference_interval((same, np.arange(9)), (2 * same, np.arange(9)), rng) is None
    assert difference_interval((np.ones(9), np.arange(9)), (np.arange(9), np.arange(9)), rng) is not None
    with pytest.raises(ValueError, match="clusters"):
        mean_interval([1.0, 2.0], [4], np.random.default_rng(0))


def test_no_interval_of_errors_begins_below_none() -> None:
    far = [1.0, 1.2, 0.9, 1.1, 40.0]
    assert mean_interval(far, range(5), np.random.default_rng(0)).low < 0
    assert mean_interval(far, range(5), np.random.default_rng(0), least=0.0).low == 0
