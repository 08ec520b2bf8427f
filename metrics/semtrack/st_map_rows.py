"""Boxes in the SemTrack layout as columns: one array per field instead of one dict per box.

Rows are taken in blocks. A block is turned into arrays at once, which is fast; only when that fails or a
value does not fit is the first bad row looked for and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

BLOCK = 1 << 15  # rows
NO_RELATION = -1
NO_VIDEO = -1
MOST = 2**53  # of ids
SUBJECT, OBJECT = "relation_sub_category_id", "relation_obj_category_id"
SCORED = {SUBJECT: "relation_sub_scores", OBJECT: "relation_obj_scores"}
SCORE_FIELDS = set(SCORED.values())
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Relations:
    """A list of interaction classes for each box.

    Attributes:
        starts: int64 ``[N + 1]``; the list of box i is ``classes[starts[i]:starts[i + 1]]``.
        classes: int64 ``[M]``; -1 says "no interaction".
        scores: float64 ``[M]``, or None where the rows give none: then lists are best first.
    """

    starts: np.ndarray
    classes: np.ndarray
    scores: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """int64 ``[N]``."""
        return np.diff(self.starts)

    def rows(self) -> np.ndarray:
        """int64 ``[M]``: the box of each entry."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def take(self, boxes: np.ndarray) -> Relations:
        """The lists of some boxes, in their order."""
        lengths = self.lengths[boxes]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        entries = np.repeat(self.starts[boxes] - starts[:-1], lengths) + np.arange(starts[-1])
        return Relations(starts, self.classes[entries], None if self.scores is None else self.scores[entries])

    def best(self, count: int) -> Relations:
        """Each list cut to its best entries."""
        rows, classes = self.rows(), self.classes
        if self.scores is not None:
            classes = classes[np.lexsort((-self.scores, rows))]
        kept = np.arange(len(classes)) - self.starts[rows] < count
        return Relations(np.concatenate(([0], np.cumsum(np.minimum(self.lengths, count)))), classes[kept])

    def contain(self, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """bool ``[K]``: whether the list of ``boxes[k]`` holds ``classes[k]``."""
        span = max((array.max() for array in (self.classes, classes) if array.size), default=0) + 2
        return np.isin(boxes * span + classes + 1, self.rows() * span + self.classes + 1)


@dataclass(frozen=True, eq=False)
class BoxTable:
    """Boxes of a truth or a prediction as they stand in the file, in its order.

    Attributes:
        name: ``"truth"`` or ``"predictions"``, for error messages.
        image: int64 ``[N]``, ids.
        video: int64 ``[N]``, ids; -1 where the row does not say.
        track: int64 ``[N]``, ids.
        category: int64 ``[N]``, ids.
        boxes: float64 ``[N, 4]``, xywh in pixels.
        scores: float64 ``[N]``; 1 for the truth.
        main: int64 ``[N]``, 1 for main objects, else 0.
        subject: Interactions of which the box is the subject.
        object: Interactions of which the box is the object.
    """

    name: str
    image: np.ndarray
    video: np.ndarray
    track: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    main: np.ndarray
    subject: Relations
    object: Relations

    def __len__(self) -> int:
        return len(self.image)

    def where(self, row: int) -> str:
        """Names a row: ``"predictions row 7 (video 2)"``."""
        place = f"video {self.video[row]}" if self.video[row] >= 0 else f"image {self.image[row]}"
        return f"{self.name} row {row} ({place})"


class BoxTableBuilder:
    """Takes in the annotations of a truth, or predicted boxes, row by row.

    Args:
        predicted: Whether the rows are predictions.
    """

    def __init__(self, predicted: bool) -> None:
        self._name = "predictions" if predicted else "truth annotations"
        self._fields = PREDICTED if predicted else TRUE
        self._pending: list[Row] = []
        self._blocks: list[dict[str, np.ndarray]] = []
        self._taken = 0

    def add(self, row: Row) -> None:
        """Takes in a row.

        Raises:
            ValueError: If a row of the block that this one completes is bad.
        """
        if self._taken == 0 and not self._pending and isinstance(row, Mapping) and SCORE_FIELDS <= row.keys():
            self._fields = self._fields | dict.fromkeys(SCORE_FIELDS, SCORES)
        self._pending.append(row)
        if len(self._pending) == BLOCK:
            self._flush()

    def finish(self) -> BoxTable:
        """The table of all rows.

        Raises:
            ValueError: If a row is bad; names the row, the video and the value.
        """
        if self._pending or not self._blocks:
            self._flush()
        columns = {key: np.concatenate([block.pop(key) for block in self._blocks]) for key in list(self._blocks[0])}
        relations = {}
        for side in ("subject", "object"):
            starts = np.concatenate(([0], np.cumsum(columns.pop(f"{side}_lengths"))))
            relations[side] = Relations(starts, columns.pop(side), columns.pop(f"{side}_scores", None))
        return BoxTable(name=self._name, **columns, **relations)

    def _flush(self) -> None:
        try:
            block = _as_columns(self._pending, self._fields)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            self._explain()
            raise
        self._blocks.append(block)
        self._taken += len(self._pending)
        self._pending = []

    def _explain(self) -> None:
        """Raises the error of the first bad row."""
        for number, row in enumerate(self._pending, start=self._taken):
            complaint = _complaint(row, self._fields)
            if complaint:
                raise ValueError(f"{self._name} row {number}{_place(row)}: {complaint}") from None


def table_of(rows: Iterable[Row] | BoxTable, predicted: bool) -> BoxTable:
    """The columns of some rows.

    Args:
        rows: Dicts; those of a truth have ``image_id, track_id, category_id, bbox, main_object`` and the classes
            ``relation_sub_category_id, relation_obj_category_id`` (-1: none). Predicted ones have ``is_main``
            instead of ``main_object``, ``score``, and the two relations as lists, best first or with
            ``relation_sub_scores`` and ``relation_obj_scores`` beside them in all rows. ``video_id`` is
            optional. A table is returned as it is.
        predicted: Whether the rows are predictions.

    Raises:
        ValueError: If a field is missing or its value does not fit; names the row, the video and the value.
    """
    if isinstance(rows, BoxTable):
        return rows
    builder = BoxTableBuilder(predicted)
    for row in rows:
        builder.add(row)
    return builder.finish()


class Field(NamedTuple):
    """What a field of a row must hold.

    Attributes:
        expected: In words, for error messages.
        fits: Whether a value is that.
    """

    expected: str
    fits: Callable[[Any], bool]


def _is_integer(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Real) and value == value // 1 and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_list(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (Sequence, np.ndarray)) and all(fits(entry) for entry in value)


def _is_box(value: Any) -> bool:
    return _is_list(_is_number)(value) and len(value) == 4 and value[2] >= 0 and value[3] >= 0


ID = Field("a whole number of 0 or more", _is_integer(0, MOST))
FLAG = Field("0 or 1", _is_integer(0, 1))
SCORES = Field("a list of finite numbers, one for each relation", _is_list(_is_number))
COMMON = {
    "image_id": ID,
    "track_id": ID,
    "category_id": ID,
    "bbox": Field("finite numbers [x, y, w, h] with w, h >= 0", _is_box),
}
RELATION = Field("an interaction's id, or -1 for none", _is_integer(NO_RELATION, MOST))
RELATION_LIST = Field("a list of interactions' ids, -1 for none", _is_list(RELATION.fits))
TRUE = COMMON | {"main_object": FLAG, SUBJECT: RELATION, OBJECT: RELATION}
PREDICTED = COMMON | {
    "score": Field("a finite number", _is_number),
    "is_main": FLAG,
    SUBJECT: RELATION_LIST,
    OBJECT: RELATION_LIST,
}


def _complaint(row: Any, fields: Mapping[str, Field]) -> str:
    """What is wrong with a row, in words; empty if nothing is."""
    if not isinstance(row, Mapping):
        return f"expected an object with the fields of a box, got {row!r}"
    for name, field in fields.items():
        if name not in row:
            return f"{name} is missing; it must be {field.expected}"
        if not field.fits(row[name]):
            return f"{name} must be {field.expected}, got {row[name]!r}"
    if "video_id" in row and not ID.fits(row["video_id"]):
        return f"video_id must be {ID.expected}, got {row['video_id']!r}"
    for relations, scores in SCORED.items():
        if scores in fields and len(row[relations]) != len(row[scores]):
            return f"{scores} must have as many entries as {relations}, got {row[scores]!r} for {row[relations]!r}"
    return ""


def _place(row: Any) -> str:
    if not isinstance(row, Mapping):
        return ""
    return f" (video {row['video_id']})" if "video_id" in row else f" (image {row.get('image_id')})"


def _as_columns(rows: list[Row], fields: Mapping[str, Field]) -> dict[str, np.ndarray]:
    """Arrays of the fields; an error that tells nothing if a row is bad."""
    predicted = "score" in fields
    columns = {
        "image": _integers([row["image_id"] for row in rows], 0),
        "video": _integers([row.get("video_id", NO_VIDEO) for row in rows], NO_VIDEO),
        "track": _integers([row["track_id"] for row in rows], 0),
        "category": _integers([row["category_id"] for row in rows], 0),
        "boxes": _numbers([row["bbox"] for row in rows]).reshape(len(rows), 4),
        "main": _integers([row["is_main" if predicted else "main_object"] for row in rows], 0, 1),
        "scores": _numbers([row["score"] for row in rows]) if predicted else np.ones(len(rows)),
    }
    if (columns["boxes"][:, 2:] < 0).any():
        raise ValueError
    for side, field in (("subject", SUBJECT), ("object", OBJECT)):
        lists = [row[field] for row in rows] if predicted else [[row[field]] for row in rows]
        columns[f"{side}_lengths"] = np.array([len(entries) for entries in lists], dtype=np.int64)
        columns[side] = _integers(list(chain.from_iterable(lists)), NO_RELATION)
        if SCORED[field] in fields:
            scores = [row[SCORED[field]] for row in rows]
            if [len(entries) for entries in scores] != columns[f"{side}_lengths"].tolist():
                raise ValueError
            columns[f"{side}_scores"] = _numbers(list(chain.from_iterable(scores)))
    return columns


def _integers(values: list[Any], low: int, high: float = MOST) -> np.ndarray:
    array = np.array(values if values else [low])
    whole = array.astype(np.int64)
    if array.dtype.kind not in "iubf" or array.ndim != 1 or (whole != array).any():
        raise ValueError
    if (whole < low).any() or (whole > high).any():
        raise ValueError
    return whole[: len(values)]


def _numbers(values: list[Any]) -> np.ndarray:
    array = np.array(values if values else [0.0])
    if array.dtype.kind not in "iubf" or not np.isfinite(array).all():
        raise ValueError
    return array[: len(values)].astype(np.float64)
