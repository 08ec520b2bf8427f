"""CLEAR MOT scores (Bernardin and Stiefelhagen, 2008) with the mostly tracked and interacting targets of SemTrack.

The fields and values are those of TrackEval and of the authors' MTI and MTIR; see :mod:`hota` for why TrackEval's
release is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .st_map_frames import EPS, Frames, assign
from .st_map_relations import RIGHT_SHARE

SAME_OBJECT = 0.5  # IoU
MOSTLY, PARTLY = 0.8, 0.2  # shares of its frames in which a target is tracked
CONTINUITY = 1000.0  # worth of keeping a target's predicted track, against at most 1 for overlap
COUNTS = (
    *("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "MTI", "INT_True", "INT_False"),
    "CLR_Frames",
)
SUMS = (*COUNTS, "MOTP_sum")
Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of boxes that CLEAR matches, image by image.

    Attributes:
        pair: int64 ``[M]``, index of the pair in :class:`Frames`, ascending.
        cell: int64 ``[M]``.
        target: int64 ``[M]``, the true track.
        track: int64 ``[M]``, the predicted track.
        place: int64 ``[M]``, number of the cell among those that have true and predicted boxes.
    """

    pair: np.ndarray
    cell: np.ndarray
    target: np.ndarray
    track: np.ndarray
    place: np.ndarray


def match_frames(frames: Frames) -> Matches:
    """Matches boxes with IoU >= 0.5, those first whose tracks were matched in the image before."""
    near = np.flatnonzero(frames.iou >= SAME_OBJECT - EPS)
    pair_truth, pair_predicted, cell = frames.pair_truth[near], frames.pair_predicted[near], frames.pair_cell[near]
    target, track = frames.truth.object[pair_truth], frames.predicted.object[pair_predicted]
    busy = (frames.truth.counts > 0) & (frames.predicted.counts > 0)
    place = np.cumsum(busy) - 1
    cell_of_place = np.flatnonzero(busy)
    begin = np.searchsorted(cell, cell_of_place)
    end = np.searchsorted(cell, cell_of_place, side="right")

    def prefer_same(pairs: slice, chosen: np.ndarray) -> np.ndarray:
        """Scores of a cell's pairs, given the choice in the one before it."""
        overlap = frames.iou[near[pairs]]
        here = place[cell[pairs.start]]
        if here == 0 or frames.cell_group[cell_of_place[here - 1]] != frames.cell_group[cell[pairs.start]]:
            return overlap
        before = np.arange(begin[here - 1], end[here - 1])
        before = before[chosen[before]]
        last = dict(zip(target[before].tolist(), track[before].tolist()))
        kept = [last.get(one) == other for one, other in zip(target[pairs].tolist(), track[pairs].tolist())]
        return CONTINUITY * np.array(kept) + overlap

    chosen = assign(
        cell, pair_truth, pair_predicted, frames.iou[near], frames.truth.starts, frames.predicted.starts, prefer_same
    )
    return Matches(near[chosen], cell[chosen], target[chosen], track[chosen], place[cell[chosen]])


def clear(
    frames: Frames, matches: Matches, right: np.ndarray, image_count: np.ndarray, classes: int, count_relations: bool
) -> list[Scores]:
    """Scores of each class over all videos.

    Args:
        frames: The compared boxes.
        matches: Which are matched.
        right: bool ``[M]``, whether the relations of a matched box are right.
        image_count: int64 ``[V]``, images of each video.
        classes: Number of classes.
        count_relations: Fill INT_True and INT_False, which the authors' code leaves at 0.
    """
    truth, predicted = frames.truth, frames.predicted
    group = frames.cell_group[matches.cell]
    switches, fragments = _interruptions(frames, matches)
    length = truth.lengths
    tracked = np.bincount(matches.target, minlength=len(length)) / length
    said = np.bincount(matches.target, right, minlength=len(length))
    share = said / np.maximum(1, np.bincount(matches.target, minlength=len(length)))
    mostly, partly = tracked > MOSTLY, tracked >= PARTLY
    both = np.intersect1d(truth.object_group, predicted.object_group)

    def per_class(groups: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return frames.per_class(groups, classes, weights)

    tp = per_class(group)
    targets = truth.object_group
    sums = {
        "CLR_TP": tp,
        "CLR_FN": per_class(targets[truth.object]) - tp,
        "CLR_FP": per_class(predicted.object_group[predicted.object]) - tp,
        "IDSW": per_class(group[switches]),
        "MT": per_class(targets[mostly]),
        "PT": per_class(targets[partly]) - per_class(targets[mostly]),
        "ML": per_class(targets) - per_class(targets[partly]),
        "Frag": per_class(targets, np.maximum(0, np.bincount(matches.target[fragments], minlength=len(length)) - 1)),
        "MTI": per_class(targets[mostly & (share > RIGHT_SHARE)]),
        "INT_True": per_class(group[right]) * count_relations,
        "INT_False": per_class(group[~right]) * count_relations,
        "CLR_Frames": per_class(both, image_count[frames.group_video[both]]),
        "MOTP_sum": per_class(group, frames.iou[matches.pair]),
    }
    return [_with_rates({name: sums[name][number].item() for name in SUMS}) for number in range(classes)]


def clear_class_average(results: Sequence[Scores]) -> Scores:
    """The mean over the classes; counts are summed."""
    return {
        name: float((np.sum if name in COUNTS else np.mean)([result[name] for result in results]))
        for name in results[0]
    }


def clear_box_average(results: Sequence[Scores]) -> Scores:
    """All classes as one."""
    return _with_rates({name: sum(result[name] for result in results) for name in SUMS})


def _interruptions(frames: Frames, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """bool [M]: where a target's predicted track is another one than before, and where a target is found again."""
    order = np.lexsort((matches.place, matches.target))
    target, track, place = matches.target[order], matches.track[order], matches.place[order]
    again = np.concatenate(([False], target[1:] == target[:-1])) if len(order) else np.zeros(0, dtype=bool)
    switches, fragments = np.zeros_like(again), np.ones_like(again)
    switches[order] = again & (track != np.roll(track, 1))
    fragments[order] = ~(again & (place == np.roll(place, 1) + 1))
    return switches, fragments


def _with_rates(result: Mapping[str, float]) -> Scores:
    """Adds what follows from the counts."""
    tp, fn, fp, switches = (result[name] for name in ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW"))
    targets, boxes = max(1.0, result["MT"] + result["PT"] + result["ML"]), max(1.0, tp + fn)
    return dict(result) | {
        "MTR": result["MT"] / targets,
        "MLR": result["ML"] / targets,
        "PTR": result["PT"] / targets,
        "MTIR": result["MTI"] / targets,
        "CLR_Re": tp / boxes,
        "CLR_Pr": tp / max(1.0, tp + fp),
        "CLR_F1": tp / max(1.0, tp + 0.5 * fn + 0.5 * fp),
        "MODA": (tp - fp) / boxes,
        "MOTA": (tp - fp - switches) / boxes,
        "MOTAL": (tp - fp - (np.log10(switches).item() if switches else 0)) / boxes,
        "MOTP": result["MOTP_sum"] / max(1.0, tp),
        "sMOTA": (result["MOTP_sum"] - fp - switches) / boxes,
        "FP_per_frame": fp / max(1.0, result["CLR_Frames"]),
    }
