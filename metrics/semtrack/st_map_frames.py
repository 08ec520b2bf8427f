"""Boxes compared image by image and class by class: what HOTA, CLEAR and Identity are made of.

A *cell* is one class in one image, a *group* one class in one video. All cells lie in flat arrays, ordered by
group and then by time, so that a score needs no loop over images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .st_map_data import Boxes, Scenes

EPS = float(np.finfo(float).eps)
SAME_OBJECT = 0.5  # IoU from which an unmatched box is not one too many, where not all objects are annotated


@dataclass(frozen=True, eq=False)
class Side:
    """The true or the predicted boxes that are compared, ordered by cell.

    Attributes:
        row: int64 ``[N]``, index of the box in :class:`Boxes`.
        cell: int64 ``[N]``, ascending.
        starts: int64 ``[K + 1]``, first box of each cell.
        object: int64 ``[N]``, index of the track in its group.
        object_group: int64 ``[O]``, group of each such track.
    """

    row: np.ndarray
    cell: np.ndarray
    starts: np.ndarray
    object: np.ndarray
    object_group: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """int64 ``[K]``, boxes in each cell."""
        return np.diff(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """int64 ``[O]``, boxes of each track."""
        return np.bincount(self.object, minlength=len(self.object_group))


@dataclass(frozen=True, eq=False)
class Frames:
    """All cells, and the pairs of boxes that overlap in them.

    Attributes:
        truth: The true boxes.
        predicted: The predicted boxes that are judged.
        cell_group: int64 ``[K]``, ascending.
        group_class: int64 ``[G]``, index of :attr:`Scenes.categories`.
        group_video: int64 ``[G]``.
        pair_truth: int64 ``[P]``, position in `truth`.
        pair_predicted: int64 ``[P]``, position in `predicted`.
        pair_cell: int64 ``[P]``, ascending.
        iou: float64 ``[P]``, above 0.
    """

    truth: Side
    predicted: Side
    cell_group: np.ndarray
    group_class: np.ndarray
    group_video: np.ndarray
    pair_truth: np.ndarray
    pair_predicted: np.ndarray
    pair_cell: np.ndarray
    iou: np.ndarray

    def per_class(self, groups: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
        """``[classes]``: how many entries belong to each class, or the sum of their weights."""
        return np.bincount(self.group_class[groups], weights, minlength=classes)


def compare_frames(scenes: Scenes, predicted: Boxes) -> Frames:
    """Finds the boxes that are judged, and their overlaps, as TAO prescribes (Dave et al., ECCV 2020).

    Images without a true box are not looked at. A predicted box of a class that its image does not show is left
    out unless the class is known to be absent from the video; so is one without a true box, IoU >= 0.5, of a
    class whose objects are not all annotated.

    Args:
        scenes: The truth.
        predicted: The predictions.
    """
    truth = scenes.truth
    annotated = np.zeros(len(scenes.image_video), dtype=bool)
    annotated[truth.image] = True
    rows = np.flatnonzero(annotated[predicted.image] & np.isin(predicted.category, scenes.evaluated))
    true_keys, keys = _cell_keys(scenes, truth), _cell_keys(scenes, predicted)[rows]
    video, category = scenes.image_video[predicted.image[rows]], predicted.category[rows]
    kept = np.isin(keys, true_keys) | scenes.negative[video, category]
    doubtful = kept & scenes.not_exhaustive[video, category]
    if doubtful.any():
        kept[doubtful] = _is_matched(truth, true_keys, predicted, rows[doubtful], keys[doubtful])
    return _frames(scenes, truth, true_keys, predicted, rows[kept], keys[kept])


def _cell_keys(scenes: Scenes, boxes: Boxes) -> np.ndarray:
    """Numbers of the boxes' cells, ascending by video, class and time."""
    group = scenes.image_video[boxes.image] * len(scenes.categories) + boxes.category
    return group * len(scenes.image_time) + scenes.image_time[boxes.image]


def _is_matched(
    truth: Boxes, true_keys: np.ndarray, predicted: Boxes, rows: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Which of some predicted boxes have a true box of their own."""
    cells, all_cells = np.unique(np.concatenate([true_keys, keys]), return_inverse=True)
    true, ours = _side_order(all_cells[: len(true_keys)]), _side_order(all_cells[len(true_keys) :])
    true_cell, cell = all_cells[: len(true_keys)][true], all_cells[len(true_keys) :][ours]
    pair_truth, pair = join(true_cell, cell)
    overlap = box_iou(truth.boxes[true[pair_truth]], predicted.boxes[rows[ours[pair]]])
    near = overlap >= SAME_OBJECT - EPS
    pair_truth, pair, overlap = pair_truth[near], pair[near], overlap[near]
    starts, our_starts = (np.searchsorted(side, np.arange(len(cells) + 1)) for side in (true_cell, cell))
    chosen = assign(true_cell[pair_truth], pair_truth, pair, overlap, starts, our_starts)
    matched = np.zeros(len(rows), dtype=bool)
    matched[ours[pair[chosen]]] = True
    return matched


def _frames(
    scenes: Scenes, truth: Boxes, true_keys: np.ndarray, predicted: Boxes, rows: np.ndarray, keys: np.ndarray
) -> Frames:
    cells, all_cells = np.unique(np.concatenate([true_keys, keys]), return_inverse=True)
    groups, cell_group = np.unique(cells // len(scenes.image_time), return_inverse=True)
    sides = []
    for boxes, own_rows, own_cells in (
        (truth, np.arange(len(true_keys)), all_cells[: len(true_keys)]),
        (predicted, rows, all_cells[len(true_keys) :]),
    ):
        order = _side_order(own_cells)
        row, cell = own_rows[order], own_cells[order]
        objects, own = np.unique(cell_group[cell] * len(boxes.track_id) + boxes.track[row], return_inverse=True)
        starts = np.searchsorted(cell, np.arange(len(cells) + 1))
        sides.append(Side(row, cell, starts, own, objects // max(1, len(boxes.track_id))))
    pair_truth, pair_predicted = join(sides[0].cell, sides[1].cell)
    overlap = box_iou(truth.boxes[sides[0].row[pair_truth]], predicted.boxes[sides[1].row[pair_predicted]])
    hit = overlap > 0
    return Frames(
        *sides,
        cell_group=cell_group,
        group_class=groups % len(scenes.categories),
        group_video=groups // len(scenes.categories),
        pair_truth=pair_truth[hit],
        pair_predicted=pair_predicted[hit],
        pair_cell=sides[0].cell[pair_truth[hit]],
        iou=overlap[hit],
    )


def _side_order(cells: np.ndarray) -> np.ndarray:
    return np.argsort(cells, kind="stable")


def join(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of positions with equal keys, ordered by the first.

    Args:
        one: int64 ``[N]``, keys in any order.
        other: int64 ``[M]``, keys in ascending order.
    """
    first, last = np.searchsorted(other, one, side="left"), np.searchsorted(other, one, side="right")
    counts = last - first
    left = np.repeat(np.arange(len(one)), counts)
    return left, np.arange(len(left)) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def box_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU row by row of boxes ``[N, 4]`` in xywh, from their corners, as TrackEval computes it."""
    corner, other_corner = one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:]
    sides = np.maximum(np.minimum(corner, other_corner) - np.maximum(one[:, :2], other[:, :2]), 0)
    overlap = sides[:, 0] * sides[:, 1]
    areas = [np.prod(far - box[:, :2], axis=1) for far, box in ((corner, one), (other_corner, other))]
    union = areas[0] + areas[1] - overlap
    valid = (areas[0] > EPS) & (areas[1] > EPS) & (union > EPS)
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=valid)


def assign(
    cell: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    score: np.ndarray,
    row_starts: np.ndarray,
    column_starts: np.ndarray,
    rescore: Callable[[slice, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Chooses pairs one to one with the greatest sum of scores in each cell.

    Where no row and no column has two pairs, which is nearly everywhere, all pairs are chosen at once; the
    Hungarian algorithm runs on the other cells only.

    Args:
        cell: int64 ``[P]``, cell of each pair, ascending.
        row: int64 ``[P]``, position over all cells.
        column: int64 ``[P]``, the same.
        score: float64 ``[P]``, above 0.
        row_starts: int64 ``[K + 1]``, first position of each cell.
        column_starts: int64 ``[K + 1]``, the same.
        rescore: Called with a cell's pairs and the choice so far before the Hungarian algorithm runs on that
            cell, in ascending order; gives the scores to use.

    Returns:
        bool ``[P]``.
    """
    rivals = np.bincount(row)[row] + np.bincount(column)[column] > 2 if len(cell) else np.zeros(0, dtype=bool)
    contested = np.unique(cell[rivals])
    chosen = ~np.isin(cell, contested)
    first, last = np.searchsorted(cell, contested), np.searchsorted(cell, contested, side="right")
    for number, *bounds in zip(contested.tolist(), first.tolist(), last.tolist()):
        pairs = slice(*bounds)
        shape = [int(starts[number + 1] - starts[number]) for starts in (row_starts, column_starts)]
        own_row, own_column = row[pairs] - row_starts[number], column[pairs] - column_starts[number]
        matrix = np.zeros(shape)
        matrix[own_row, own_column] = score[pairs] if rescore is None else rescore(pairs, chosen)
        partner = np.full(shape[0], -1)
        rows, columns = linear_sum_assignment(matrix, maximize=True)
        partner[rows] = columns
        chosen[pairs] = partner[own_row] == own_column
    return chosen
