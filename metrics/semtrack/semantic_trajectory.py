"""Semantic trajectories: who does what, with whom or what, from when to when.

An event is a quadruplet (subject, object, interaction, interval). A predicted event and a true one agree
at a threshold of temporal IoU (tIoU) if

* the subject is the same target: its predicted track stands for the true one, see
  :func:`.tracking.associate_tracks`, with a volume IoU of at least ``subject_viou``;
* the interaction is the same and the object's class is the same (none equals none);
* the tIoU of the intervals reaches the threshold;
* the object is in the same place: in the frames that both intervals share, the tubes of the predicted
  and the true object have a volume IoU of at least ``object_viou``. Time is judged by the tIoU alone, so
  frames outside do not count; where the true object is not located in the shared frames, its place is
  not judged.

Events that agree are matched one to one (Hungarian algorithm): as many as possible, and the more confident
predictions first where there is a choice. So a second prediction of a found event, the further pieces of an
event in pieces, and all but one of the events that one prediction covers are errors. Of identical
predictions only the most confident one can match, and identical events of a reference are one event.

* ``recall@t``, ``precision@t``: matched events, by all true and by all predicted ones.
* ``mAP@t``: for each interaction that occurs in the reference, average precision over all videos (area under
  all points as PASCAL VOC since 2010; predictions of equal score enter together, so that their order does not
  matter); the mean over interactions.
* ``mAP``, ``recall``, ``precision``: the means over the thresholds.
* ``accuracy``, the semantic trajectory accuracy: the share of the frames that show a target, over all targets,
  in which its predicted box has an IoU of at least 0.5 and its set of predicted interactions is exactly the
  true one. Here a predicted track need only overlap the target at all to stand for it.

Without predictions precision is 0; without events in the reference recall and mAP are undefined and None, as
is the accuracy without frames that show a target. Only targets are judged, see :mod:`.rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .recognition import interaction_frames
from .relation_detection import average_precision
from .rows import Event, RowPair, Track, Tube, VideoRow
from .tracking import associate_tracks, iou, viou

TIOUS = (0.3, 0.5, 0.7)
ACCURACY_IOU = 0.5


class Quadruplet(NamedTuple):
    """An event with the place of its object; the subject is a target of the reference, or None for no target."""

    key: tuple[int | None, str, str]
    interval: tuple[int, int]
    score: float
    object_tube: Tube


class VideoTrajectories(NamedTuple):
    """What one video adds to the scores.

    Attributes:
        video_id: The video.
        num_events: Number of true events by interaction.
        interactions: str ``[predictions]``.
        scores: float64 ``[predictions]``.
        hits: bool ``[thresholds, predictions]``, whether each prediction is matched.
        right_frames: Frames whose box and interactions are right.
        num_frames: Frames that show a target, summed over targets.
    """

    video_id: str
    num_events: Mapping[str, int]
    interactions: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    right_frames: int
    num_frames: int


def trajectory_scores(
    pairs: Iterable[RowPair],
    tious: Sequence[float] = TIOUS,
    object_viou: float = 0.5,
    subject_viou: float = 0.5,
    association: str = "viou",
) -> dict[str, Any]:
    """:func:`summarise_trajectories` of :func:`video_trajectories` of every pair."""
    videos = [video_trajectories(pair, tious, object_viou, subject_viou, association) for pair in pairs]
    return summarise_trajectories(videos, tious)


def video_trajectories(
    pair: RowPair,
    tious: Sequence[float] = TIOUS,
    object_viou: float = 0.5,
    subject_viou: float = 0.5,
    association: str = "viou",
) -> VideoTrajectories:
    """Matches the events of one video; see the module's text.

    Args:
        pair: Prediction and reference.
        tious: Thresholds, each in (0, 1].
        object_viou: Volume IoU that a located object must reach.
        subject_viou: Volume IoU that a subject's track must reach, for the association ``"viou"``.
        association: How a predicted track comes to stand for a target.

    Raises:
        ValueError: If a threshold lies outside (0, 1] or the association is unknown.
    """
    if not len(tious) or not all(0 < t <= 1 for t in tious):
        raise ValueError(f"tious must be thresholds in (0, 1], got {list(tious)}")
    truths = _without_repeats(_true_quadruplets(pair.reference))
    predictions = _predicted_quadruplets(pair, associate_tracks(pair, association, subject_viou))
    right, shown = _right_frames(pair, association)
    return VideoTrajectories(
        video_id=pair.reference.video_id,
        num_events=Counter(truth.key[1] for truth in truths),
        interactions=np.array([prediction.key[1] for prediction in predictions], dtype=object),
        scores=np.array([prediction.score for prediction in predictions], dtype=np.float64),
        hits=_match(predictions, truths, tious, object_viou),
        right_frames=right,
        num_frames=shown,
    )


def summarise_trajectories(videos: Sequence[VideoTrajectories], tious: Sequence[float] = TIOUS) -> dict[str, Any]:
    """Scores over videos.

    Args:
        videos: Any videos, repeats included.
        tious: The thresholds with which they were matched.

    Returns:
        ``mAP``, ``recall``, ``precision``, ``accuracy``; the first three also at each threshold, as
        ``"mAP@0.5"``; ``num_events``; and ``per_interaction``: by interaction that occurs in the reference
        ``AP``, ``recall``, both also at each threshold, and ``num_events``.
    """
    num_events = Counter()
    for video in videos:
        num_events.update(video.num_events)
    scores = np.concatenate([video.scores for video in videos] + [np.zeros(0)])
    interactions = np.concatenate([video.interactions for video in videos] + [np.zeros(0, dtype=object)])
    hits = np.concatenate([video.hits for video in videos] + [np.zeros((len(tious), 0), dtype=bool)], axis=1)
    per_interaction = {}
    for name, count in sorted(num_events.items()):
        mine = interactions == name
        aps = [_average_precision(scores[mine], found, count) for found in hits[:, mine]]
        recalls = (hits[:, mine].sum(axis=1) / count).tolist()
        per_interaction[name] = {**_by_threshold("AP", aps, tious), **_by_threshold("recall", recalls, tious)}
        per_interaction[name]["num_events"] = count
    total, matched = sum(num_events.values()), hits.sum(axis=1)
    mean_aps = [float(np.mean([s[f"AP@{t:g}"] for s in per_interaction.values()])) if total else None for t in tious]
    recalls = [m / total if total else None for m in matched.tolist()]
    undefined = None if not total else 0.0
    precisions = [m / len(scores) if len(scores) else undefined for m in matched.tolist()]
    shown = sum(video.num_frames for video in videos)
    return {
        **_by_threshold("mAP", mean_aps, tious),
        **_by_threshold("recall", recalls, tious),
        **_by_threshold("precision", precisions, tious),
        "accuracy": sum(video.right_frames for video in videos) / shown if shown else None,
        "num_events": total,
        "per_interaction": per_interaction,
    }


def temporal_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 ``[A, B]``: IoU of half-open intervals ``a`` ``[A, 2]`` and ``b`` ``[B, 2]``, none empty."""
    overlap = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    overlap = np.maximum(overlap, 0)
    return overlap / ((a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None] - overlap)


def _by_threshold(name: str, values: Sequence[float | None], tious: Sequence[float]) -> dict[str, float | None]:
    mean = None if None in values else float(np.mean(values))
    return {name: mean, **{f"{name}@{tiou:g}": value for tiou, value in zip(tious, values)}}


def _average_precision(scores: np.ndarray, hits: np.ndarray, num_events: int) -> float:
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    true_positives = np.cumsum(hits[order])[last_of_score]
    return average_precision(true_positives / (last_of_score + 1), true_positives / num_events)


def _true_quadruplets(row: VideoRow) -> list[Quadruplet]:
    targets = {target.track_id for target in row.targets}
    return [_quadruplet(row, event, event.subject) for event in row.events if event.subject in targets]


def _predicted_quadruplets(pair: RowPair, tracks: Mapping[int, Track | None]) -> list[Quadruplet]:
    """Of the tracks that stand for a target, and of the prediction's other targets."""
    target_of = {track.track_id: target for target, track in tracks.items() if track is not None}
    judged = target_of.keys() | {track.track_id for track in pair.prediction.targets}
    return [
        _quadruplet(pair.prediction, event, target_of.get(event.subject))
        for event in pair.prediction.events
        if event.subject in judged
    ]


def _quadruplet(row: VideoRow, event: Event, target: int | None) -> Quadruplet:
    key = (target, event.interaction, event.object)
    return Quadruplet(key, (event.start_frame, event.end_frame), event.score, row.object_boxes(event))


def _identity(quadruplet: Quadruplet) -> tuple:
    tube = quadruplet.object_tube
    return quadruplet.key, quadruplet.interval, tube.frames.tobytes(), tube.boxes.tobytes()


def _without_repeats(quadruplets: Sequence[Quadruplet]) -> list[Quadruplet]:
    """Without those identical to a more confident one, or to an earlier one of the same score."""
    best: dict[tuple, Quadruplet] = {}
    for quadruplet in quadruplets:
        identity = _identity(quadruplet)
        if identity not in best or quadruplet.score > best[identity].score:
            best[identity] = quadruplet
    return list(best.values())


def _match(
    predictions: Sequence[Quadruplet], truths: Sequence[Quadruplet], tious: Sequence[float], object_viou: float
) -> np.ndarray:
    """bool ``[thresholds, predictions]``; events can only agree with those of the same key."""
    hits = np.zeros((len(tious), len(predictions)), dtype=bool)
    distinct = {id(prediction) for prediction in _without_repeats(predictions)}
    rows_of: dict[tuple, list[int]] = {}
    for row, prediction in enumerate(predictions):
        if id(prediction) in distinct:
            rows_of.setdefault(prediction.key, []).append(row)
    truths_of: dict[tuple, list[Quadruplet]] = {}
    for truth in truths:
        truths_of.setdefault(truth.key, []).append(truth)
    for key in rows_of.keys() & truths_of.keys():
        rows, same = np.array(rows_of[key]), truths_of[key]
        candidates = [predictions[row] for row in rows]
        overlaps = temporal_iou(np.array([c.interval for c in candidates]), np.array([t.interval for t in same]))
        for i, j in np.argwhere(overlaps >= min(tious)):
            if not _same_place(candidates[i], same[j], object_viou):
                overlaps[i, j] = 0.0
        scores = np.array([candidate.score for candidate in candidates])
        for level, tiou in enumerate(tious):
            hits[level, rows[_assigned(overlaps >= tiou, scores)]] = True
    return hits


def _same_place(prediction: Quadruplet, truth: Quadruplet, object_viou: float) -> bool:
    start = max(prediction.interval[0], truth.interval[0])
    end = min(prediction.interval[1], truth.interval[1])
    true_tube = _cut(truth.object_tube, start, end)
    return not len(true_tube.frames) or viou(_cut(prediction.object_tube, start, end), true_tube) >= object_viou


def _cut(tube: Tube, start: int, end: int) -> Tube:
    first, last = np.searchsorted(tube.frames, (start, end))
    return Tube(tube.frames[first:last], tube.boxes[first:last])


def _assigned(agree: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Rows of ``agree`` ``[A, B]`` matched one to one: as many as possible, among these the highest scores."""
    ranks = np.unique(scores, return_inverse=True)[1]  # 0 for the lowest score
    most = min(agree.shape) + 1
    bonus = ranks / (len(scores) * most)  # all bonuses of a matching together stay below one further match
    rows, columns = linear_sum_assignment(agree * (1.0 + bonus)[:, None], maximize=True)
    return rows[agree[rows, columns]]


def _right_frames(pair: RowPair, association: str) -> tuple[int, int]:
    """Frames with the right box and the right interactions, and all frames that show a target."""
    num_frames = pair.reference.num_frames
    right = shown = 0
    for target_id, track in associate_tracks(pair, association).items():
        target = pair.reference.track_by_id[target_id]
        shown += len(target.frames)
        if track is None:
            continue
        ious = iou(track.dense_boxes(num_frames)[target.frames], target.boxes)
        good = np.nan_to_num(ious) >= ACCURACY_IOU
        truth = interaction_frames(pair.reference.events, target_id, num_frames)
        predicted = interaction_frames(pair.prediction.events, track.track_id, num_frames)
        nowhere = np.zeros(num_frames, dtype=bool)
        for name in truth.keys() | predicted.keys():
            good &= (truth.get(name, nowhere) == predicted.get(name, nowhere))[target.frames]
        right += int(good.sum())
    return right, shown
