"""Confidence intervals of scores by drawing videos anew.

Frames of one video are alike, videos are not: what varies from one test set to the next is which videos are
in it. So the bootstrap draws whole videos (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993,
section 8.5: resample the independent units), with replacement, as many as there are, and scores each draw;
the interval runs between percentiles of these scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Scores = Mapping[str, float | None]


def bootstrap_intervals(
    score: Callable[[Sequence[int]], Scores],
    num_videos: int,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Percentile bootstrap intervals of several scores at once.

    A score can be undefined in a draw, for example the F1 of an interaction that occurs in none of the drawn
    videos. Such draws are left out of its interval; a score that is undefined in more than half of the draws,
    or for all videos together, has no interval.

    Args:
        score: From the indices of the drawn videos (each in ``[0, num_videos)``, repeats included) to scores
            by name; None, NaN or absent where undefined.
        num_videos: How many videos there are to draw from, at least 2.
        level: Share of the draws inside the interval, between 0 and 1.
        n_resamples: Number of draws.
        seed: The same seed gives the same intervals.

    Returns:
        ``(low, high)`` by name, None where there is no interval.

    Raises:
        ValueError: If there are fewer than 2 videos, or `level` or `n_resamples` is out of range.
    """
    if num_videos < 2:
        raise ValueError(f"a confidence interval by video needs at least 2 videos, got {num_videos}")
    if not 0 < level < 1 or n_resamples < 1:
        raise ValueError(f"level must lie in (0, 1) and n_resamples be at least 1, got {level} and {n_resamples}")
    whole = score(range(num_videos))
    draws = np.random.default_rng(seed).integers(num_videos, size=(n_resamples, num_videos))
    scores = [score(drawn) for drawn in draws.tolist()]
    by_name = {name: np.array([draw.get(name) for draw in scores], dtype=np.float64) for name in whole}  # None: NaN
    return {
        name: None if whole[name] is None or np.isnan(whole[name]) else _interval(values, level)
        for name, values in by_name.items()
    }


def _interval(values: np.ndarray, level: float) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fractions(scores: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """The scores among nested results, by their path; counts (whole numbers), lists and texts are passed over.

    Args:
        scores: Dictionaries of dictionaries.
        prefix: Path of `scores` itself.

    Returns:
        For example ``{"tracking/ao": 0.61}`` of ``{"tracking": {"ao": 0.61, "num_frames": 500}}``.
    """
    flat: dict[str, float | None] = {}
    for name, value in scores.items():
        path = f"{prefix}/{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            flat |= fractions(value, path)
        elif value is None or isinstance(value, float):
            flat[path] = value
    return flat
