"""Whether a prediction says the right interaction: the published rules, and the mended ones.

A box has interactions of which it is the subject and others of which it is the object. Where truth and prediction
disagree on whether the box is the main object, the two are taken to have changed roles: the true subject's
interaction is looked for among the predicted object's, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .st_map_data import Boxes
from .st_map_frames import Frames
from .st_map_rows import NO_RELATION, Relations

RIGHT_SHARE = 0.7  # of a track's frames in which its interaction must be right


def is_right_officially(truth: Boxes, predicted: Boxes, true_rows: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether the relations of predicted boxes count as right in the authors' ST-mAP: subject or object, anywhere
    in lists of any length.

    Args:
        truth: The true boxes, one class per relation.
        predicted: The predicted boxes.
        true_rows: int64 ``[P]``, box of each pair.
        rows: int64 ``[P]``, the same.

    Returns:
        bool ``[P]``.
    """
    subject, object_, same = _expected(truth, predicted, true_rows, rows)
    named = [
        _contain_either(predicted.subject, predicted.object, same, rows, subject),
        _contain_either(predicted.object, predicted.subject, same, rows, object_),
    ]
    return named[0] | named[1]


def is_right_strictly(
    truth: Boxes, predicted: Boxes, true_rows: np.ndarray, rows: np.ndarray, max_relations: int
) -> np.ndarray:
    """Whether the best relations of predicted boxes are right: of subject and object, each that the truth names.

    Where the truth names neither, the prediction must not either.

    Args:
        truth: The true boxes, one class per relation.
        predicted: The predicted boxes.
        true_rows: int64 ``[P]``, box of each pair.
        rows: int64 ``[P]``, the same.
        max_relations: How many entries of each predicted list are looked at.

    Returns:
        bool ``[P]``.
    """
    best, other = predicted.subject.best(max_relations), predicted.object.best(max_relations)
    subject, object_, same = _expected(truth, predicted, true_rows, rows)
    subject_right = (subject == NO_RELATION) | _contain_either(best, other, same, rows, subject)
    object_right = (object_ == NO_RELATION) | _contain_either(other, best, same, rows, object_)
    nothing = (subject == NO_RELATION) & (object_ == NO_RELATION)
    silent = ~(_names_any(best)[rows] | _names_any(other)[rows])
    return subject_right & object_right & (~nothing | silent)


def right_cells_officially(truth: Boxes, predicted: Boxes, frames: Frames, cells: np.ndarray) -> np.ndarray:
    """Whether the relations of whole cells count as right in the authors' MTI.

    Their test compares all true boxes of a class in an image with all predicted ones at once, by NumPy's ``in``
    on arrays: position by position where shapes fit, any with any where one side has length 1, and never
    otherwise. It asks the same of all matched boxes of the cell.

    Args:
        truth: The true boxes, one class per relation.
        predicted: The predicted boxes; lists within a cell have equal lengths.
        frames: The compared boxes.
        cells: int64 ``[C]``; each has true and predicted boxes.

    Returns:
        bool ``[C]``.
    """
    right = np.zeros(len(cells), dtype=bool)
    for places, true_rows, rows in _equal_shapes(predicted, frames, cells):
        main = _is_in(truth.main[true_rows], predicted.main[rows])
        subjects, objects = (_lists(side, rows) for side in (predicted.subject, predicted.object))
        subject = truth.subject.classes[true_rows]
        named = _is_in(subject, subjects) | _is_in(truth.object.classes[true_rows], objects)
        right[places] = np.where(main, named, _is_in(subject, objects))
    return right


def _expected(
    truth: Boxes, predicted: Boxes, true_rows: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true classes of subject and object of each pair, and whether the roles are the same."""
    same = truth.main[true_rows] == predicted.main[rows]
    return truth.subject.classes[true_rows], truth.object.classes[true_rows], same


def _contain_either(
    one: Relations, other: Relations, first: np.ndarray, rows: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Whether the list of each box, taken from `one` where `first` and else from `other`, holds a class."""
    return np.where(first, one.contain(rows, classes), other.contain(rows, classes))


def _names_any(relations: Relations) -> np.ndarray:
    """bool [N]: whether a list holds an interaction."""
    named = np.zeros(len(relations.starts) - 1, dtype=bool)
    named[relations.rows()[relations.classes != NO_RELATION]] = True
    return named


def _equal_shapes(
    predicted: Boxes, frames: Frames, cells: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cells with equally many boxes and list entries: their places, true boxes [C, N] and predicted ones [C, M]."""
    first = frames.predicted.row[frames.predicted.starts[cells]]
    sides = (frames.truth, frames.predicted)
    counts = [side.counts[cells] for side in sides]
    shapes = np.stack([*counts, predicted.subject.lengths[first], predicted.object.lengths[first]], axis=1)
    for shape in np.unique(shapes, axis=0):
        places = np.flatnonzero((shapes == shape).all(axis=1))
        rows = [side.row[side.starts[cells[places], None] + np.arange(n)] for side, n in zip(sides, shape)]
        yield places, *rows


def _lists(relations: Relations, rows: np.ndarray) -> np.ndarray:
    """[C, M, K]: the lists of boxes [C, M], which have equal lengths."""
    return relations.classes[relations.starts[rows][..., None] + np.arange(relations.lengths[rows.flat[0]])]


def _is_in(values: np.ndarray, arrays: np.ndarray) -> np.ndarray:
    """bool [C]: NumPy's ``values[c] in arrays[c]`` before 1.25, which took shapes that do not fit for "no".

    Args:
        values: [C, N].
        arrays: [C, M] or [C, M, K].
    """
    if values.shape[1] != arrays.shape[-1] and 1 not in (values.shape[1], arrays.shape[-1]):
        return np.zeros(len(values), dtype=bool)
    values = values.reshape(len(values), *[1] * (arrays.ndim - 2), -1)
    return (arrays == values).any(axis=tuple(range(1, arrays.ndim)))
