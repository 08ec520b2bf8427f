"""ST-mAP and MTI, the scores of semantic tracking (SemTrack, Wang et al., ECCV 2024), with TrackMAP, HOTA, CLEAR and
Identity, as the authors compute them and as they should be.

``mode="official"`` gives the numbers of the authors' code (github.com/sutdcv/SemTrack, branch ``eval``, a fork of
TrackEval), including what its defects do to them:

1. Only the last predicted track of each video and class has its relations checked, and it fails if those of the last
   match are wrong; a threshold without a match goes by the one before it.
2. Tracks are sorted by score but their relations are not, so that a track is judged by another one's.
3. A right interaction as subject or as object is enough, anywhere in a list of any length. For MTI all boxes of a
   class in an image are compared at once, which asks who is who only where shapes happen to fit.
4. It needs a NumPy older than 1.24; this module does not.
5. True tracks are sorted anew for each range of sizes and lengths without going back. This moves only the ids that
   are noted for the matches, and so no score.

Two more of its habits are kept in this mode, since they change scores: of videos with the same last part of the name
and the same text only the last is scored, and a predicted track with the id 0 leaves its true track to others too.

``mode="strict"`` mends all that. A track is matched if its own relations are right in 70% of the frames in which it
or the true track is seen; if not, it is a false positive and the true track stays free for another. A frame is right
if the interaction that the truth names is among the predicted list's best `max_relations`, of the subject and of the
object if it names both; where it names none, the prediction must not name one either. MTI asks the same of each box
and the true box that it is matched to. INT_True and INT_False, which the authors declare but leave at 0, count
matched boxes with right and wrong relations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from .clear import clear, clear_box_average, clear_class_average, match_frames
from .hota import hota, hota_box_average, hota_class_average
from .identity import identity, identity_box_average, identity_class_average
from .st_map_data import Boxes, Scenes, read_scenes
from .st_map_frames import Frames, compare_frames
from .st_map_relations import is_right_strictly, right_cells_officially
from .st_map_rows import BoxTable, Row
from .st_map_tracks import RELATION_IOU, TRACK_IOU, average_precision, read_tracks, track_class_average

MODES = ("official", "strict")
PARTS = ("boxes", "frames", "STMAP", "TrackMAP", "HOTA", "Count", "CLEARTR", "Identity")  # of the work, in its order
COUNT_FIELDS = ("Dets", "GT_Dets", "IDs", "GT_IDs")
Scores = dict[str, Any]


def st_map(
    truth: Mapping[str, Any],
    predictions: Iterable[Row] | BoxTable,
    mode: Literal["official", "strict"] = "strict",
    max_relations: int = 1,
    progress: Callable[[str], object] | None = None,
) -> dict[str, dict[str, Scores]]:
    """Scores predicted tracks and relations against the truth.

    Args:
        truth: A file in the SemTrack layout: the lists ``videos`` (``id``, ``name``, ``lang``,
            ``neg_category_ids``, ``not_exhaustive_category_ids``), ``images`` (``id``, ``video_id``,
            ``frame_index``), ``categories`` (``id``, ``name``) and ``annotations`` (``image_id``, ``track_id``,
            ``category_id``, ``bbox`` xywh in pixels, ``main_object``, ``relation_sub_category_id``,
            ``relation_obj_category_id``; -1 is no interaction). With a list ``interactions``, other classes are
            refused.
        predictions: Boxes with ``image_id``, ``track_id``, ``category_id``, ``bbox``, ``score``, ``is_main`` and
            the two relations as lists, best first or with ``relation_sub_scores`` and ``relation_obj_scores``.
            Of each image the 300 boxes with the highest scores count. May be empty.
        mode: ``"official"`` or ``"strict"``, see the module's text.
        max_relations: How many entries of each predicted list count, in strict mode; official mode looks at all.
        progress: Called with the name of each of `PARTS` when it is done.

    Returns:
        For each class that the truth shows, for ``cls_comb_cls_av`` (mean over classes) and ``cls_comb_det_av``
        (all classes as one, except for the two average precisions), the fields of ``STMAP`` (IoU thresholds
        0.1 to 0.6), ``TrackMAP`` and ``HOTA`` (0.05 to 0.95), ``Count``, ``CLEARTR`` and ``Identity``. Average
        precisions and recalls are -1 where there is no true track; nothing is NaN.

    Raises:
        ValueError: If the mode or a row is bad; names the row, the video and the value.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if isinstance(max_relations, bool) or not isinstance(max_relations, int) or max_relations < 1:
        raise ValueError(f"max_relations must be a whole number of 1 or more, got {max_relations!r}")
    scenes, predicted = read_scenes(truth, predictions, keep_last_of_a_name=mode == "official")
    return score_scenes(scenes, predicted, mode, max_relations, progress)


def score_scenes(
    scenes: Scenes,
    predicted: Boxes,
    mode: Literal["official", "strict"] = "strict",
    max_relations: int = 1,
    progress: Callable[[str], object] | None = None,
) -> dict[str, dict[str, Scores]]:
    """The second half of :func:`st_map`, for who lets go of what was read before (an eighth of the memory).

    Args:
        scenes: The truth, from :func:`read_scenes`.
        predicted: The predicted boxes, likewise.
        mode: As in :func:`st_map`, and so are the others.
        max_relations: The same.
        progress: The same.

    Raises:
        ValueError: If official mode cannot score these videos.
    """
    done = progress or (lambda part: None)
    official = mode == "official"
    if not len(scenes.evaluated):
        raise ValueError(
            "official mode scores the last of the videos with one name and text, and none of those has an annotation; "
            "give each video a name of its own, or use strict mode"
        )
    if official:
        _check_list_lengths(scenes, predicted)
    done("boxes")
    frames, classes = compare_frames(scenes, predicted), len(scenes.categories)
    done("frames")
    tracks = read_tracks(scenes, predicted, official, max_relations)
    parts = {
        "STMAP": lambda: average_precision(tracks, RELATION_IOU, mode, prefix="TI_"),
        "TrackMAP": lambda: average_precision(tracks, TRACK_IOU, "none"),
        "HOTA": lambda: hota(frames, classes),
        "Count": lambda: _count(frames, classes),
        "CLEARTR": lambda: _clear(scenes, predicted, frames, official, max_relations),
        "Identity": lambda: identity(frames, classes),
    }
    results: dict[str, dict[str, Scores]] = {scenes.categories[number]: {} for number in scenes.evaluated}
    averages: dict[str, dict[str, Scores]] = {name: {} for name in AVERAGES}
    for part, compute in parts.items():
        by_class = compute()
        by_class = [by_class[number] for number in scenes.evaluated]
        for result, scores in zip(results.values(), by_class):
            result[part] = _plain(scores)
        for name, average in AVERAGES.items():
            averages[name][part] = _plain(average[part](by_class))
        done(part)
    return results | averages


def _count(frames: Frames, classes: int) -> list[Scores]:
    """Boxes and tracks of each class."""
    columns = [
        frames.per_class(groups, classes).tolist()
        for side in (frames.predicted, frames.truth)
        for groups in (side.object_group[side.object], side.object_group)
    ]
    boxes, tracks, true_boxes, true_tracks = columns
    return [dict(zip(COUNT_FIELDS, values)) for values in zip(boxes, true_boxes, tracks, true_tracks)]


def _count_sum(results: Sequence[Scores]) -> Scores:
    return {name: sum(result[name] for result in results) for name in COUNT_FIELDS}


def _clear(scenes: Scenes, predicted: Boxes, frames: Frames, official: bool, max_relations: int) -> list[Scores]:
    matches = match_frames(frames)
    if official:
        cells, cell = np.unique(matches.cell, return_inverse=True)
        right = right_cells_officially(scenes.truth, predicted, frames, cells)[cell]
    else:
        rows = frames.predicted.row[frames.pair_predicted[matches.pair]]
        true_rows = frames.truth.row[frames.pair_truth[matches.pair]]
        right = is_right_strictly(scenes.truth, predicted, true_rows, rows, max_relations)
    return clear(frames, matches, right, scenes.image_count, len(scenes.categories), count_relations=not official)


def _check_list_lengths(scenes: Scenes, predicted: Boxes) -> None:
    """Official mode compares the lists of an annotated image as one array."""
    rows = np.flatnonzero(np.isin(predicted.image, scenes.truth.image))
    images, image = np.unique(predicted.image[rows], return_inverse=True)
    for field, relations in (("sub", predicted.subject.take(rows)), ("obj", predicted.object.take(rows))):
        longest, shortest = np.zeros(len(images), dtype=np.int64), np.full(len(images), np.iinfo(np.int64).max)
        np.maximum.at(longest, image, relations.lengths)
        np.minimum.at(shortest, image, relations.lengths)
        uneven = np.flatnonzero(longest != shortest)
        if uneven.size:
            raise ValueError(
                f"official mode needs relation_{field}_category_id lists of equal length within an image, got "
                f"{shortest[uneven[0]]} and {longest[uneven[0]]} entries in one; pad with -1 or use strict mode"
            )


def _plain(scores: Mapping[str, Any]) -> Scores:
    """Arrays as lists and NumPy's numbers as Python's, as JSON wants them."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in scores.items()
    }


AVERAGES: dict[str, dict[str, Callable[[Sequence[Scores]], Scores]]] = {
    "cls_comb_cls_av": {
        "STMAP": track_class_average,
        "TrackMAP": track_class_average,
        "HOTA": hota_class_average,
        "Count": _count_sum,
        "CLEARTR": clear_class_average,
        "Identity": identity_class_average,
    },
    "cls_comb_det_av": {
        "STMAP": track_class_average,
        "TrackMAP": track_class_average,
        "HOTA": hota_box_average,
        "Count": _count_sum,
        "CLEARTR": clear_box_average,
        "Identity": identity_box_average,
    },
}
