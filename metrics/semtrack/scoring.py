"""All scores of a test set from its rows: what the `evaluate` module and `semtrack evaluate` both compute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from .confidence import bootstrap_intervals, fractions
from .layout import to_layout
from .recognition import summarise_recognition, video_recognition
from .relation_detection import summarise_relations, video_relations
from .rows import RowPair, pair_rows
from .semantic_trajectory import TIOUS, summarise_trajectories, video_trajectories
from .st_map import st_map
from .tracking import ASSOCIATIONS, summarise_tracking, video_tracking

METRICS = ("tracking", "recognition", "trajectory", "relations", "st_map")
MODES = ("strict", "official")
LEVEL = 0.95
CLASS_AVERAGE, UNDEFINED = "cls_comb_cls_av", -1  # of st_map


@dataclass(frozen=True)
class Settings:
    """What may be chosen about the scores.

    Attributes:
        metrics: Some of :data:`METRICS`.
        mode: ``"strict"`` or ``"official"``, of ``st_map`` alone.
        max_relations: Of ``st_map`` in strict mode: how many relations of a predicted box count.
        association: Which predicted track stands for a target, see :func:`.tracking.associate_tracks`.
        training_counts: Training events by interaction, for the groups of the recognition.
        tious: Thresholds of the semantic trajectory.
        object_viou: Volume IoU that a located object must reach there.

    Raises:
        ValueError: If a metric, the mode or the association is unknown.
    """

    metrics: Sequence[str] = METRICS
    mode: str = "strict"
    max_relations: int = 1
    association: str = "viou"
    training_counts: Mapping[str, int] | None = field(default=None)
    tious: Sequence[float] = TIOUS
    object_viou: float = 0.5

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics or isinstance(self.metrics, str):
            raise ValueError(f"metrics must be some of {', '.join(METRICS)}, as a list, got {self.metrics!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got '{self.mode}'")
        if self.association not in ASSOCIATIONS:
            raise ValueError(f"association must be one of {', '.join(ASSOCIATIONS)}, got '{self.association}'")


def score_rows(
    predictions: Iterable[Mapping[str, Any]],
    references: Iterable[Mapping[str, Any]],
    *,
    interactions: Collection[str] | None = None,
    confidence: bool | Collection[str] = False,
    n_resamples: int = 1000,
    confidence_seed: int = 0,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Scores of rows, whose structure is in :mod:`.rows`.

    Args:
        predictions: In any order; a video without one counts as a video in which nothing was found.
        references: One row per video.
        interactions: The known interactions; None accepts any.
        confidence: Also give 95 % intervals by video, of all metrics (True) or of those named. ``st_map`` is
            computed anew for each draw, which takes minutes; the others are quick.
        n_resamples: Number of bootstrap draws.
        confidence_seed: Of the bootstrap.
        progress: Called with the name of each metric that is done, and with ``"draw"`` after each draw.
        settings: The fields of :class:`Settings`.

    Returns:
        ``mode``, ``num_videos`` and one entry per metric, all of plain JSON types; None where a score is undefined
        (in ``st_map`` -1, as published). With `confidence` also ``confidence``: ``level``, ``n_resamples`` and
        ``intervals``, ``[low, high]`` or None by the path of the score, as in ``"tracking/ao"``; those of
        ``st_map`` are of its means over classes and thresholds.

    Raises:
        ValueError: If a row or setting is bad, a prediction has no reference, or there is no video.
    """
    chosen = Settings(**settings)
    with_interval = _check_confidence(confidence, chosen.metrics) if confidence else ()
    pairs = pair_rows(predictions, references, interactions)
    if not pairs:
        raise ValueError("there is no video to score: references are empty")
    parts = _parts(pairs, chosen)
    scores: dict[str, Any] = {"mode": chosen.mode, "num_videos": len(pairs)}
    for name in chosen.metrics:
        scores[name] = _summary(name, parts[name], chosen)
        if progress is not None:
            progress(name)
    if with_interval:
        drawn_from = {name: parts[name] for name in with_interval}
        scores["confidence"] = _confidence(drawn_from, chosen, n_resamples, confidence_seed, progress)
    return scores


def _check_confidence(confidence: bool | Collection[str], metrics: Sequence[str]) -> Collection[str]:
    """The metrics that get intervals."""
    if confidence is True:
        return metrics
    if isinstance(confidence, str) or not set(confidence) <= set(metrics):
        raise ValueError(f"confidence must be true, false or a list of some of {list(metrics)}, got {confidence!r}")
    return confidence


def _parts(pairs: Sequence[RowPair], chosen: Settings) -> dict[str, list]:
    """What each video adds to each metric; summaries of any selection of videos are quick from there."""
    of_video: dict[str, Callable[[RowPair], Any]] = {
        "tracking": lambda pair: video_tracking(pair, chosen.association),
        "recognition": lambda pair: video_recognition(pair, chosen.association),
        "trajectory": lambda pair: video_trajectories(
            pair, chosen.tious, chosen.object_viou, association=chosen.association
        ),
        "relations": video_relations,
        "st_map": lambda pair: pair,
    }
    return {name: [of_video[name](pair) for pair in pairs] for name in chosen.metrics}


def _summary(name: str, parts: Sequence, chosen: Settings) -> dict[str, Any]:
    if name == "tracking":
        return summarise_tracking(list(chain.from_iterable(parts)))
    if name == "recognition":
        return summarise_recognition(parts, chosen.training_counts)
    if name == "trajectory":
        return summarise_trajectories(parts, chosen.tious)
    if name == "relations":
        return summarise_relations(parts)
    return st_map(*to_layout(parts), chosen.mode, chosen.max_relations)


def _confidence(
    parts: Mapping[str, list], chosen: Settings, n_resamples: int, seed: int, progress: Callable[[str], None] | None
) -> dict[str, Any]:
    def score(drawn: Sequence[int]) -> dict[str, float | None]:
        if progress is not None:
            progress("draw")
        drawn_parts = {name: [part[i] for i in drawn] for name, part in parts.items()}
        scores = {name: _summary(name, part, chosen) for name, part in drawn_parts.items()}
        if "st_map" in scores:
            scores["st_map"] = _class_averages(scores["st_map"])
        return fractions(scores)

    num_videos = len(next(iter(parts.values())))
    intervals = bootstrap_intervals(score, num_videos, LEVEL, n_resamples, seed)
    return {
        "level": LEVEL,
        "n_resamples": n_resamples,
        "intervals": {path: None if interval is None else list(interval) for path, interval in intervals.items()},
    }


def _class_averages(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float | None]]:
    """Of ST-mAP and its kin the means over classes and thresholds; None where undefined (-1)."""
    averages = {}
    for part, fields in scores[CLASS_AVERAGE].items():
        means = {name: float(np.mean(values)) for name, values in fields.items()} if part != "Count" else {}
        averages[part] = {name: None if mean == UNDEFINED else mean for name, mean in means.items()}
    return averages
