"""Bootstrap intervals by video: they cover, repeat, and are honest about what is undefined."""

import numpy as np
import pytest
from scipy import stats

from metrics.semtrack.confidence import bootstrap_intervals, fractions


def mean_of(values):
    return lambda drawn: {"mean": float(np.mean([values[i] for i in drawn]))}


def test_equal_videos_leave_no_doubt():
    assert bootstrap_intervals(mean_of([0.5] * 4), 4, n_resamples=50)["mean"] == (0.5, 0.5)


def test_the_interval_of_a_mean_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(0.6, 0.1, 200)
    low, high = bootstrap_intervals(mean_of(values), 200)["mean"]
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_the_interval_is_the_percentile_bootstrap_of_scipy():
    values = np.random.default_rng(2).gamma(2.0, size=30)
    ours = bootstrap_intervals(mean_of(values), 30, level=0.9, n_resamples=4000)["mean"]
    theirs = stats.bootstrap((values,), np.mean, confidence_level=0.9, n_resamples=4000, method="percentile", rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=0.03)


def test_a_lower_level_gives_a_narrower_interval():
    values = np.arange(10.0)
    wide = bootstrap_intervals(mean_of(values), 10, level=0.95)["mean"]
    narrow = bootstrap_intervals(mean_of(values), 10, level=0.5)["mean"]
    assert wide[0] < narrow[0] < np.mean(values) < narrow[1] < wide[1]


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(1).random(12)
    first, again = (bootstrap_intervals(mean_of(values), 12, n_resamples=40, seed=3) for _ in range(2))
    assert first == again
    assert first != bootstrap_intervals(mean_of(values), 12, n_resamples=40, seed=4)


def test_every_draw_has_as_many_videos_as_there_are_and_repeats_some():
    draws = []

    def score(drawn):
        draws.append(list(drawn))
        return {"size": len(drawn)}

    bootstrap_intervals(score, 7, n_resamples=20)
    assert all(len(drawn) == 7 and set(drawn) <= set(range(7)) for drawn in draws)
    assert any(len(set(drawn)) < 7 for drawn in draws)


def test_draws_that_leave_a_score_undefined_do_not_count():
    def score(drawn):
        with_event = [i for i in drawn if i < 5]  # 5 of 10 videos have an event
        return {"defined": 1.0 if with_event else None, "always": 0.0, "never": None}

    assert bootstrap_intervals(score, 10) == {"defined": (1.0, 1.0), "always": (0.0, 0.0), "never": None}


def test_a_score_that_most_draws_leave_undefined_has_no_interval():
    def score(drawn):
        return {"rare": 1.0 if set(range(4)) <= set(drawn) else float("nan")}  # all of 4 videos: 9% of draws

    assert bootstrap_intervals(score, 4) == {"rare": None}


def test_one_video_is_refused():
    with pytest.raises(ValueError, match="at least 2 videos, got 1"):
        bootstrap_intervals(mean_of([1.0]), 1)


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"level": 0.0}, {"n_resamples": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="level must lie in"):
        bootstrap_intervals(mean_of([0.0, 1.0]), 2, **wrong)


def test_a_score_that_is_absent_from_a_draw_is_undefined_there():
    def score(drawn):
        return {"f1": 0.25} if 0 in drawn else {}  # 0 is the only video of its class: in 67% of the draws

    assert bootstrap_intervals(score, 5) == {"f1": (0.25, 0.25)}


def test_fractions_are_the_scores_by_their_path():
    nested = {"a": {"x": 1.0, "y": {"z": None}, "list": [1, 2], "flag": True}, "name": "b", "n": 3}
    assert fractions(nested) == {"a/x": 1.0, "a/y/z": None}
