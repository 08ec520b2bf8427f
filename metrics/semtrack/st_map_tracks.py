"""Average precision of whole tracks: TrackMAP (TAO, Dave et al., ECCV 2020), and ST-mAP, which also asks whether the
relations are right (SemTrack, Wang et al., ECCV 2024).

Tracks of one class in one video are matched greedily, the best score first, by their spatio-temporal IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .st_map_data import Boxes, Scenes
from .st_map_frames import EPS, join
from .st_map_relations import RIGHT_SHARE, is_right_officially, is_right_strictly

TRACK_IOU = np.arange(0.05, 0.99, 0.05)  # thresholds of TrackMAP
RELATION_IOU = np.arange(0.1, 0.7, 0.1)  # thresholds of ST-mAP
HIGHEST_IOU = 1 - 1e-10
RECALLS = np.linspace(0.0, 1.0, 101)
RANGES = {  # of a track's mean box area in pixels, and of its number of boxes
    "area_s": (0**2, 32**2),
    "area_m": (32**2, 96**2),
    "area_l": (96**2, 1e5**2),
    "time_s": (0, 3),
    "time_m": (3, 10),
    "time_l": (10, 1e5),
}
LABELS = ("all", *RANGES)
UNDEFINED = -1.0
Rule = Literal["none", "official", "strict"]
Scores = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Group:
    """The tracks of one class in one video, where some true and predicted ones share a frame.

    Attributes:
        first: Place of the first predicted track in :class:`Tracks`.
        iou: float64 ``[D, G]`` of predicted and true tracks.
        right: float64 ``[D, G]``, share of the frames of either in which the relation is right.
        truth_left_out: bool ``[M, G]``, true tracks outside the range of a label.
        frees_truth: bool ``[D]``, predicted tracks after which a true track can be matched again.
    """

    first: int
    iou: np.ndarray
    right: np.ndarray
    truth_left_out: np.ndarray
    frees_truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Tracks:
    """All predicted tracks that are judged, by class, then by video, then by descending score.

    Attributes:
        category: int64 ``[D]``, ascending.
        scores: float64 ``[D]``, means over the boxes.
        left_out: bool ``[M, D]``, tracks that do not count when unmatched.
        truth_count: int64 ``[M, C]``, true tracks in the range of each label.
        groups: Where true and predicted tracks meet.
    """

    category: np.ndarray
    scores: np.ndarray
    left_out: np.ndarray
    truth_count: np.ndarray
    groups: list[Group]


def read_tracks(scenes: Scenes, predicted: Boxes, official: bool, max_relations: int) -> Tracks:
    """Brings the tracks of both sides together.

    Args:
        scenes: The truth.
        predicted: The predicted boxes.
        official: Judge relations by the authors' rule, and confuse tracks as they do: the relation of a
            track is taken from the one that stands in the file where this one stands in the order of scores,
            and a predicted track with id 0 leaves its true track to others as well.
        max_relations: How many entries of each predicted list are looked at, unless `official`.
    """
    truth = scenes.truth
    true, ours = _TrackTable(truth, scenes), _TrackTable(predicted, scenes)
    true_order = np.lexsort((truth.track_first, true.group))
    in_file = np.lexsort((predicted.track_first, ours.group))
    by_score = np.lexsort((predicted.track_first, -ours.scores, ours.group))
    known = scenes.positive | scenes.negative
    judged = known[predicted.track_video[by_score], predicted.track_category[by_score]]
    frees_truth = official & (predicted.track_id == 0) & (np.bincount(predicted.track_id == 0, minlength=2)[1] == 1)
    relation_order = in_file if official else by_score
    links = _links(truth, predicted, len(scenes.categories), official, max_relations)
    groups = []
    position = np.cumsum(judged) - 1  # in by_score, among those judged
    for key, mine in links.by_group(true.group):
        rows = slice(*np.searchsorted(ours.group[by_score], (key, key + 1)))
        columns = slice(*np.searchsorted(true.group[true_order], (key, key + 1)))
        tracks, true_tracks = by_score[rows], true_order[columns]
        groups.append(
            Group(
                first=int(position[rows.start]),
                iou=links.matrix(links.iou, mine, tracks, true_tracks),
                right=links.matrix(links.right, mine, relation_order[rows], true_tracks),
                truth_left_out=true.left_out[:, true_tracks],
                frees_truth=frees_truth[tracks],
            )
        )
    chosen = by_score[judged]
    blurred = scenes.not_exhaustive[predicted.track_video[chosen], predicted.track_category[chosen]]
    count = [np.bincount(truth.track_category[~left], minlength=len(scenes.categories)) for left in true.left_out]
    return Tracks(
        predicted.track_category[chosen],
        ours.scores[chosen],
        ours.left_out[:, chosen] | blurred,
        np.array(count),
        groups,
    )


def average_precision(tracks: Tracks, thresholds: np.ndarray, rule: Rule, prefix: str = "") -> list[Scores]:
    """Precision and recall of each class over all videos.

    Args:
        tracks: What is matched.
        thresholds: float64 ``[T]`` of the IoU.
        rule: How relations are judged.
        prefix: Of the fields' names.

    Returns:
        For each class ``AP_<label>`` and ``AR_<label>``, float64 ``[T]``; -1 where there is no true track.
    """
    matched = np.zeros((len(LABELS), len(thresholds), len(tracks.scores)), dtype=bool)
    ignored = np.zeros_like(matched)
    for group in tracks.groups:
        columns = slice(group.first, group.first + len(group.iou))
        matched[..., columns], ignored[..., columns] = _match_labels(group, thresholds, rule)
    ignored |= ~matched & tracks.left_out[:, None]
    true_positive, false_positive = matched & ~ignored, ~matched & ~ignored
    results = []
    for category in range(tracks.truth_count.shape[1]):
        own = np.arange(*np.searchsorted(tracks.category, (category, category + 1)))
        own = own[np.argsort(-tracks.scores[own], kind="stable")]
        result = {}
        for number, label in enumerate(LABELS):
            count = tracks.truth_count[number, category]
            precision, recall = _precision_recall(true_positive[number][:, own], false_positive[number][:, own], count)
            result |= {f"{prefix}AP_{label}": precision, f"{prefix}AR_{label}": recall}
        results.append(result)
    return results


def track_class_average(results: Sequence[Scores]) -> Scores:
    """The mean over the classes for which a value is defined."""
    averages = {}
    for name in results[0]:
        values = np.array([result[name] for result in results])
        defined = values > UNDEFINED
        total, count = np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0)
        averages[name] = np.where(count, total / np.maximum(1, count), UNDEFINED)
    return averages


class _TrackTable:
    """Group, mean score, and the ranges that each track is outside of."""

    def __init__(self, boxes: Boxes, scenes: Scenes) -> None:
        self.group = boxes.track_category * len(scenes.image_count) + boxes.track_video
        order = np.lexsort((scenes.image_time[boxes.image], boxes.track))
        ends = np.searchsorted(boxes.track[order], np.arange(len(boxes.track_id) + 1)).tolist()
        scores = boxes.scores[order]
        # Each mean by itself: sums in another order differ in the last digit, which breaks ties of equal scores.
        self.scores = np.array([scores[begin:end].mean() for begin, end in zip(ends, ends[1:])])
        lengths = np.diff(ends)
        areas = np.bincount(boxes.track, boxes.boxes[:, 2] * boxes.boxes[:, 3]) / lengths if len(lengths) else lengths
        self.left_out = np.zeros((len(LABELS), len(lengths)), dtype=bool)
        for number, (label, (low, high)) in enumerate(RANGES.items(), start=1):
            values = areas if label.startswith("area") else lengths
            self.left_out[number] = (values < low - EPS) | (values > high + EPS)


@dataclass(frozen=True, eq=False)
class _Links:
    """Pairs of tracks of one class that share a frame.

    Attributes:
        track: int64 ``[L]``, the predicted one.
        true_track: int64 ``[L]``.
        iou: float64 ``[L]``.
        right: float64 ``[L]``, share of the frames of either in which the relation is right.
    """

    track: np.ndarray
    true_track: np.ndarray
    iou: np.ndarray
    right: np.ndarray

    def by_group(self, true_group: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Each group that has links, with these."""
        group = true_group[self.true_track]
        order = np.argsort(group, kind="stable")
        keys, starts = np.unique(group[order], return_index=True)
        return list(zip(keys.tolist(), np.split(order, starts[1:])))

    def matrix(self, values: np.ndarray, own: np.ndarray, tracks: np.ndarray, true_tracks: np.ndarray) -> np.ndarray:
        """[tracks, true tracks]: the values of some links; 0 where there is no link."""
        rows, columns = ({track: place for place, track in enumerate(side.tolist())} for side in (tracks, true_tracks))
        table = np.zeros((len(tracks), len(true_tracks)))
        for link in own.tolist():
            table[rows[self.track[link]], columns[self.true_track[link]]] = values[link]
        return table


def _links(truth: Boxes, predicted: Boxes, classes: int, official: bool, max_relations: int) -> _Links:
    true_keys, keys = (boxes.image * classes + boxes.track_category[boxes.track] for boxes in (truth, predicted))
    order = np.argsort(keys, kind="stable")
    true_rows, rows = join(true_keys, keys[order])
    rows = order[rows]
    pairs = predicted.track[rows] * len(truth.track_id) + truth.track[true_rows]
    links, link = np.unique(pairs, return_inverse=True)
    track, true_track = np.divmod(links, len(truth.track_id))

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(link, values, minlength=len(links)).astype(float)  # integers without any links

    overlap, areas = _overlap(truth.boxes[true_rows], predicted.boxes[rows])
    union = total(areas.sum(axis=0) - overlap)  # of the frames that both have
    for boxes, tracks, area in ((truth, true_track, areas[0]), (predicted, track, areas[1])):
        union += np.bincount(boxes.track, boxes.boxes[:, 2] * boxes.boxes[:, 3])[tracks] - total(area)
    frames = np.bincount(predicted.track)[track] + np.bincount(truth.track)[true_track] - np.bincount(link)
    if official:
        right = is_right_officially(truth, predicted, true_rows, rows)
    else:
        right = is_right_strictly(truth, predicted, true_rows, rows, max_relations)
    iou = np.divide(total(overlap), union, out=np.zeros(len(links)), where=union > 0)
    return _Links(track, true_track, iou, total(right) / frames)


def _overlap(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overlap [N] of boxes [N, 4] in xywh, row by row, and their areas [2, N]."""
    far = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    sides = np.maximum(far - np.maximum(one[:, :2], other[:, :2]), 0)
    return sides[:, 0] * sides[:, 1], np.stack([one[:, 2] * one[:, 3], other[:, 2] * other[:, 3]])


def _match_labels(group: Group, thresholds: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """bool [M, T, D]: which predicted tracks are matched, and which are matched to a track outside the range."""
    cache: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    results = []
    for left_out in group.truth_left_out:
        key = left_out.tobytes()
        if key not in cache:
            cache[key] = _match(group, left_out, thresholds, rule)
        results.append(cache[key])
    return np.array([matched for matched, _ in results]), np.array([outside for _, outside in results])


def _match(group: Group, left_out: np.ndarray, thresholds: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """bool [T, D]: which predicted tracks are matched, and which are matched to a true track that is left out.

    A track takes the true one with the greatest IoU that is still free, the last one of equals, and one that is
    left out only if there is no other. In strict mode a track whose relation is wrong is not matched, and its true
    track stays free.
    """
    places = np.arange(len(thresholds))
    free = np.ones((len(thresholds), len(left_out)), dtype=bool)
    choice = np.full((len(thresholds), len(group.iou)), -1)
    order = np.argsort(left_out, kind="stable")
    for number, ious in enumerate(group.iou):
        best, chosen = np.minimum(thresholds, HIGHEST_IOU), choice[:, number]
        for true in order[ious[order] >= thresholds[0] - EPS].tolist():
            better = free[:, true] & (ious[true] >= best - EPS)
            if left_out[true]:
                better &= (chosen == -1) | left_out[chosen]
            best[better], chosen[better] = ious[true], true
        if rule == "strict":
            chosen[(chosen != -1) & ~left_out[chosen] & (group.right[number, chosen] < RIGHT_SHARE)] = -1
        taken = chosen != -1
        free[places[taken], chosen[taken]] = group.frees_truth[number]
    outside = (choice != -1) & left_out[choice]
    if rule == "official":
        _judge_last(group, choice)
    return choice != -1, outside


def _judge_last(group: Group, choice: np.ndarray) -> None:
    """Takes the match of the last predicted track away wherever the relation of the last match is wrong, as the
    authors do; a threshold without a match goes by the one before it."""
    share = 1.0
    for chosen in choice:
        hits = np.flatnonzero(chosen != -1)
        if hits.size:
            share = group.right[hits[-1], chosen[hits[-1]]]
        if share < RIGHT_SHARE:
            chosen[-1] = -1


def _precision_recall(
    true_positive: np.ndarray, false_positive: np.ndarray, truth_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """[T]: mean precision at 101 recalls, and recall, of tracks [T, D] by descending score."""
    if truth_count == 0:
        return np.full(len(true_positive), UNDEFINED), np.full(len(true_positive), UNDEFINED)
    tp, fp = true_positive.cumsum(axis=1, dtype=float), false_positive.cumsum(axis=1, dtype=float)
    recall = tp / truth_count
    precision = tp / (fp + tp + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    means = []
    for row, recalls in zip(precision, recall):
        reached = np.searchsorted(recalls, RECALLS)
        means.append(np.append(row, 0.0)[reached].mean())
    return np.array(means), recall[:, -1] if recall.shape[1] else np.zeros(len(recall))
