"""Frame-level interaction recognition: which interactions does the target have in each frame?

A target may have several interactions at once, so each interaction is a yes-or-no question in every
frame of the video. An event says yes from its start to before its end; overlapping events of the same
interaction say it once. Objects and object classes are not looked at.

The predicted track that stands for a target is found by :func:`.tracking.associate_tracks`. What the
other targets of the prediction do are false positives: nobody asked for them.

Where nothing is predicted, precision is 0; where the reference has nothing, recall is undefined and
None, and so is everything where neither has anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .rows import Event, RowPair
from .tracking import associate_tracks


class FrameCounts(NamedTuple):
    """Frames of one interaction: found, said but not so, and missed."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def plus(self, other: FrameCounts) -> FrameCounts:
        """The counts of both together."""
        return FrameCounts(*(a + b for a, b in zip(self, other)))

    @property
    def support(self) -> int:
        """Frames that have the interaction."""
        return self.true_positives + self.false_negatives


class VideoRecognition(NamedTuple):
    """Counts of one video, by interaction; those that occur neither in prediction nor reference are left out."""

    video_id: str
    counts: dict[str, FrameCounts]


def interaction_scores(
    pairs: Iterable[RowPair],
    training_counts: Mapping[str, int] | None = None,
    association: str = "viou",
    many_shot: int = 100,
    few_shot: int = 20,
) -> dict[str, Any]:
    """:func:`summarise_recognition` of :func:`video_recognition` of every pair."""
    videos = [video_recognition(pair, association) for pair in pairs]
    return summarise_recognition(videos, training_counts, many_shot, few_shot)


def video_recognition(pair: RowPair, association: str = "viou") -> VideoRecognition:
    """Counts the frames of one video.

    Args:
        pair: Prediction and reference.
        association: Which predicted track stands for a target, see :func:`.tracking.associate_tracks`.
    """
    num_frames = pair.reference.num_frames
    tracks = associate_tracks(pair, association)
    asked = [(target_id, None if track is None else track.track_id) for target_id, track in tracks.items()]
    found = {track_id for _, track_id in asked}
    unasked = [(None, track.track_id) for track in pair.prediction.targets if track.track_id not in found]
    counts: dict[str, FrameCounts] = {}
    for target_id, track_id in asked + unasked:
        truth = interaction_frames(pair.reference.events, target_id, num_frames)
        predicted = interaction_frames(pair.prediction.events, track_id, num_frames)
        nowhere = np.zeros(num_frames, dtype=bool)
        for name in truth.keys() | predicted.keys():
            yes, said = truth.get(name, nowhere), predicted.get(name, nowhere)
            more = FrameCounts(*(int(np.count_nonzero(m)) for m in (yes & said, said & ~yes, yes & ~said)))
            counts[name] = counts.get(name, FrameCounts()).plus(more)
    return VideoRecognition(pair.reference.video_id, dict(sorted(counts.items())))


def interaction_frames(events: Iterable[Event], track_id: int | None, num_frames: int) -> dict[str, np.ndarray]:
    """By interaction, bool ``[num_frames]``: where the track is the subject of such an event."""
    frames: dict[str, np.ndarray] = {}
    for event in events:
        if event.subject == track_id:
            mask = frames.setdefault(event.interaction, np.zeros(num_frames, dtype=bool))
            mask[event.start_frame : event.end_frame] = True
    return frames


def summarise_recognition(
    videos: Sequence[VideoRecognition],
    training_counts: Mapping[str, int] | None = None,
    many_shot: int = 100,
    few_shot: int = 20,
) -> dict[str, Any]:
    """Precision, recall and F1 over videos.

    Groups follow Liu et al., *Large-Scale Long-Tailed Recognition in an Open World* (CVPR 2019): many-shot
    classes have more than 100 training examples, few-shot classes fewer than 20, the rest is medium.

    Args:
        videos: Any videos, repeats included.
        training_counts: Number of training examples (events) by interaction; an interaction that is not
            named has none. None leaves the groups out.
        many_shot: Classes with more training examples than this are many-shot.
        few_shot: Classes with fewer training examples than this are few-shot.

    Returns:
        * ``micro_precision``, ``micro_recall``, ``micro_f1``: of the frames of all interactions together.
        * ``macro_precision``, ``macro_recall``, ``macro_f1``: mean over the interactions that occur in the
          reference.
        * ``per_class``: by interaction ``precision``, ``recall``, ``f1`` and ``support`` (frames that have it).
        * ``groups`` (with `training_counts`): for ``many``, ``medium`` and ``few`` the ``precision``,
          ``recall`` and ``f1`` as means over the group's interactions that occur in the reference, and
          ``num_classes``, how many these are.

    Raises:
        ValueError: If the thresholds of the groups cross or a training count is negative.
    """
    totals: dict[str, FrameCounts] = {}
    for video in videos:
        for name, counts in video.counts.items():
            totals[name] = totals.get(name, FrameCounts()).plus(counts)
    per_class = {name: _precision_recall_f1(counts) for name, counts in sorted(totals.items())}
    occurring = [name for name, scores in per_class.items() if scores["support"]]
    everything = FrameCounts(*np.sum(list(totals.values()), axis=0).tolist()) if totals else FrameCounts()
    micro = _precision_recall_f1(everything)
    macro = _macro(per_class, occurring)
    summary: dict[str, Any] = {f"micro_{name}": micro[name] for name in ("precision", "recall", "f1")}
    summary |= {f"macro_{name}": macro[name] for name in ("precision", "recall", "f1")}
    summary["per_class"] = per_class
    if training_counts is not None:
        groups = shot_groups(occurring, training_counts, many_shot, few_shot)
        summary["groups"] = {
            group: {**_macro(per_class, names), "num_classes": len(names)} for group, names in groups.items()
        }
    return summary


def shot_groups(
    names: Iterable[str], training_counts: Mapping[str, int], many_shot: int = 100, few_shot: int = 20
) -> dict[str, list[str]]:
    """Splits interactions into ``many``, ``medium`` and ``few`` as in :func:`summarise_recognition`."""
    if not 0 <= few_shot <= many_shot + 1:
        raise ValueError(f"few_shot must lie in [0, many_shot + 1], got few_shot {few_shot} and many_shot {many_shot}")
    negative = [name for name, count in training_counts.items() if count < 0]
    if negative:
        raise ValueError(f"training counts must be at least 0, got {training_counts[negative[0]]} for '{negative[0]}'")
    groups: dict[str, list[str]] = {"many": [], "medium": [], "few": []}
    for name in names:
        count = training_counts.get(name, 0)
        groups["many" if count > many_shot else "few" if count < few_shot else "medium"].append(name)
    return groups


def _precision_recall_f1(counts: FrameCounts) -> dict[str, float | int | None]:
    hits, wrong, missed = counts
    if not hits + wrong + missed:
        return {"precision": None, "recall": None, "f1": None, "support": 0}
    return {
        "precision": hits / (hits + wrong) if hits + wrong else 0.0,
        "recall": hits / counts.support if counts.support else None,
        "f1": 2 * hits / (2 * hits + wrong + missed),
        "support": counts.support,
    }


def _macro(per_class: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, float | None]:
    return {
        score: float(np.mean([per_class[name][score] for name in names])) if names else None
        for score in ("precision", "recall", "f1")
    }
