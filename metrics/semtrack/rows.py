"""The rows that the SemTrack metrics read: one row is one video.

Predictions and references have the same structure, so that both fit one schema of nested lists::

    {"video_id": str, "num_frames": int, "fps": float,
     "tracks": [{"track_id": int, "category": str, "main": bool, "score": float,
                 "frames": [int], "boxes": [[x, y, w, h]], "scores": [float]}],
     "events": [{"subject": int, "interaction": str, "object": str, "object_track": int,
                 "start_frame": int, "end_frame": int, "score": float,
                 "object_frames": [int], "object_boxes": [[x, y, w, h]]}]}

* Time is counted in frames, 0-based, because all scores compare frames; ``fps`` only lets a reader
  turn them into seconds. An event lasts from ``start_frame`` to before ``end_frame`` (half-open).
* Boxes are ``x, y, width, height`` in pixels. A frame that a track does not list is a frame in which
  the object is not visible.
* ``main`` marks the targets, the tracks whose semantic trajectory is asked for. Where a row marks
  none, all its tracks are targets.
* ``subject`` is a ``track_id`` of the same row. ``object`` is the name of the object's class, ``""``
  for an interaction without an object. The object is located by ``object_frames`` and
  ``object_boxes``, or, where these are empty, by the track ``object_track``; -1 and empty lists mean
  that it is not located.
* References carry scores too (1.0 by custom); they are not used.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

NO_TRACK = -1
LARGEST = 2**53  # of frame numbers


class Tube(NamedTuple):
    """Boxes of one object: ``frames`` int64 ``[N]`` ascending, ``boxes`` float64 ``[N, 4]`` xywh in pixels."""

    frames: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Track:
    """Where one object of a video is.

    Attributes:
        track_id: Identifier, unique within its row.
        category: Class name, ``""`` where unknown.
        main: Whether the track is a target.
        score: Confidence in the whole track.
        frames: int64 ``[N]``, ascending.
        boxes: float64 ``[N, 4]``, xywh in pixels.
        scores: float64 ``[N]``, confidence in each box.
    """

    track_id: int
    category: str
    main: bool
    score: float
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def dense_boxes(self, num_frames: int) -> np.ndarray:
        """float64 ``[num_frames, 4]``, the box of every frame; NaN where the object is not visible."""
        dense = np.full((num_frames, 4), np.nan)
        dense[self.frames] = self.boxes
        return dense

    def during(self, start_frame: int, end_frame: int) -> Tube:
        """The boxes in ``[start_frame, end_frame)``."""
        first, last = np.searchsorted(self.frames, (start_frame, end_frame))
        return Tube(self.frames[first:last], self.boxes[first:last])


@dataclass(frozen=True, eq=False)
class Event:
    """Something a track does, in ``[start_frame, end_frame)``; fields as in the module's text."""

    subject: int
    interaction: str
    object: str
    object_track: int
    start_frame: int
    end_frame: int
    score: float
    object_frames: np.ndarray
    object_boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class VideoRow:
    """One checked row."""

    video_id: str
    num_frames: int
    fps: float
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]

    @cached_property
    def track_by_id(self) -> dict[int, Track]:
        """The tracks by their ``track_id``."""
        return {track.track_id: track for track in self.tracks}

    @cached_property
    def targets(self) -> tuple[Track, ...]:
        """The tracks marked main; all of them where none is marked."""
        return tuple(track for track in self.tracks if track.main) or self.tracks

    def subject_boxes(self, event: Event) -> Tube:
        """Where the subject of `event` is during the event."""
        return self.track_by_id[event.subject].during(event.start_frame, event.end_frame)

    def object_boxes(self, event: Event) -> Tube:
        """Where the object of `event` is during the event; empty where it is not located."""
        if len(event.object_frames) or event.object_track == NO_TRACK:
            return Tube(event.object_frames, event.object_boxes)
        return self.track_by_id[event.object_track].during(event.start_frame, event.end_frame)


class RowPair(NamedTuple):
    """What was predicted for a video, and its truth."""

    prediction: VideoRow
    reference: VideoRow


def read_row(row: Mapping[str, Any], name: str = "row", interactions: Collection[str] | None = None) -> VideoRow:
    """Checks one row and turns its lists into arrays.

    Args:
        row: As in the module's text.
        name: How errors call the row, for example ``"predictions[3]"``.
        interactions: The known interaction names; None accepts any.

    Raises:
        ValueError: If a field is missing or has the wrong form or value, named with the video's id,
            the row, the track or event, and the value.
    """
    video_id = _field(row, "video_id", name)
    if not isinstance(video_id, str) or not video_id:
        raise ValueError(f"{name}: video_id must be a string that is not empty, got {video_id!r}")
    where = f"video '{video_id}', {name}"
    num_frames = _integer(row, "num_frames", where)
    fps = _number(row, "fps", where)
    if num_frames < 1 or fps <= 0:
        raise ValueError(f"{where}: num_frames and fps must be positive, got {num_frames} and {fps}")
    tracks = [_read_track(t, num_frames, f"{where}.tracks[{i}]") for i, t in enumerate(_list(row, "tracks", where))]
    ids = [track.track_id for track in tracks]
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise ValueError(f"{where}.tracks: track_id must be unique, got {twice} more than once")
    events = [_read_event(e, num_frames, f"{where}.events[{i}]") for i, e in enumerate(_list(row, "events", where))]
    for index, event in enumerate(events):
        _check_names(event, set(ids), interactions, f"{where}.events[{index}]")
    return VideoRow(video_id, num_frames, fps, tuple(tracks), tuple(events))


def pair_rows(
    predictions: Iterable[Mapping[str, Any]],
    references: Iterable[Mapping[str, Any]],
    interactions: Collection[str] | None = None,
) -> list[RowPair]:
    """Checks all rows and sets predictions and references of the same video side by side.

    Args:
        predictions: Rows in any order; a reference without one gets an empty prediction.
        references: Rows; their order is kept.
        interactions: The known interaction names; None accepts any.

    Raises:
        ValueError: As :func:`read_row`; or if a video id comes twice, a prediction is for a video that
            has no reference, or it reaches past the last frame of its reference.
    """
    truth = _read_rows(references, "references", interactions)
    predicted = _read_rows(predictions, "predictions", interactions)
    unknown = [video_id for video_id in predicted if video_id not in truth]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        listed = ", ".join(f"'{video_id}'" for video_id in unknown[:3])
        raise ValueError(f"predictions for videos that have no reference: {listed}{more}")
    pairs = []
    for video_id, reference in truth.items():
        prediction = predicted.get(video_id)
        if prediction is None:
            prediction = VideoRow(video_id, reference.num_frames, reference.fps, (), ())
        _check_fits(prediction, reference)
        pairs.append(RowPair(prediction, reference))
    return pairs


def filled_tube(frames: Sequence[int], boxes: Sequence[Sequence[float]], start_frame: int, end_frame: int) -> Tube:
    """A box for every frame of ``[start_frame, end_frame)`` from boxes in some of them.

    Between two known boxes the box moves linearly; before the first and after the last it stays.

    Args:
        frames: ``[N]`` ascending, where the object is known.
        boxes: ``[N, 4]`` xywh in pixels.
        start_frame: First frame to fill.
        end_frame: Frame after the last one to fill.

    Returns:
        ``end_frame - start_frame`` boxes; none where none is known.
    """
    if not len(frames):
        return Tube(np.zeros(0, np.int64), np.zeros((0, 4)))
    every = np.arange(start_frame, end_frame)
    known = _as_boxes(boxes, "boxes")
    return Tube(every, np.stack([np.interp(every, frames, known[:, side]) for side in range(4)], axis=1))


def _read_rows(rows: Iterable[Mapping], kind: str, interactions: Collection[str] | None) -> dict[str, VideoRow]:
    by_id: dict[str, VideoRow] = {}
    for index, row in enumerate(rows):
        video = read_row(row, f"{kind}[{index}]", interactions)
        if video.video_id in by_id:
            raise ValueError(f"video '{video.video_id}', {kind}[{index}]: this video_id has come before")
        by_id[video.video_id] = video
    return by_id


def _check_fits(prediction: VideoRow, reference: VideoRow) -> None:
    last_box = max((int(track.frames[-1]) for track in prediction.tracks if len(track.frames)), default=-1)
    last = max([last_box] + [event.end_frame - 1 for event in prediction.events])
    if last >= reference.num_frames:
        raise ValueError(
            f"video '{reference.video_id}': the prediction reaches frame {last}, but the reference has "
            f"{reference.num_frames} frames"
        )


def _read_track(track: Mapping[str, Any], num_frames: int, where: str) -> Track:
    frames, boxes = _frames_and_boxes(track, "frames", "boxes", (0, num_frames), where)
    scores = _list(track, "scores", where)
    try:
        scores = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where}.scores must be numbers, got {list(scores)[:3]}") from None
    if scores.shape != frames.shape:
        raise ValueError(f"{where}: one score per frame is needed, got {len(scores)} scores for {len(frames)} frames")
    _check_rows(np.isfinite(scores), scores, f"{where}.scores", "must be finite")
    main = _field(track, "main", where)
    if not isinstance(main, (bool, np.bool_)):
        raise ValueError(f"{where}.main must be true or false, got {main!r}")
    return Track(
        track_id=_integer(track, "track_id", where),
        category=_text(track, "category", where),
        main=bool(main),
        score=_number(track, "score", where),
        frames=frames,
        boxes=boxes,
        scores=scores,
    )


def _read_event(event: Mapping[str, Any], num_frames: int, where: str) -> Event:
    start, end = _integer(event, "start_frame", where), _integer(event, "end_frame", where)
    if not 0 <= start < end <= num_frames:
        raise ValueError(
            f"{where}: the interval must start before it ends, within {num_frames} frames, got [{start}, {end})"
        )
    frames, boxes = _frames_and_boxes(event, "object_frames", "object_boxes", (start, end), where)
    return Event(
        subject=_integer(event, "subject", where),
        interaction=_text(event, "interaction", where),
        object=_text(event, "object", where),
        object_track=_integer(event, "object_track", where),
        start_frame=start,
        end_frame=end,
        score=_number(event, "score", where),
        object_frames=frames,
        object_boxes=boxes,
    )


def _check_names(event: Event, tracks: set[int], interactions: Collection[str] | None, where: str) -> None:
    if not event.interaction:
        raise ValueError(f"{where}: interaction must be a name, got ''")
    if interactions is not None and event.interaction not in interactions:
        raise ValueError(
            f"{where}: interaction must be one of the {len(interactions)} known names, got '{event.interaction}'"
        )
    if event.subject not in tracks:
        raise ValueError(
            f"{where}: subject must be a track_id of its row, got {event.subject}, not in {sorted(tracks)}"
        )
    if event.object_track != NO_TRACK and event.object_track not in tracks - {event.subject}:
        raise ValueError(
            f"{where}: object_track must be {NO_TRACK} or another track_id of its row, got {event.object_track}"
        )


def _frames_and_boxes(
    owner: Mapping[str, Any], frames_name: str, boxes_name: str, limits: tuple[int, int], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """int64 ``[N]`` ascending inside the half-open `limits`, and float64 ``[N, 4]`` finite, sizes >= 0."""
    frames, boxes = _list(owner, frames_name, where), _list(owner, boxes_name, where)
    if len(frames) != len(boxes):
        raise ValueError(f"{where}: one box per frame is needed, got {len(boxes)} boxes for {len(frames)} frames")
    if not len(frames):
        return np.zeros(0, np.int64), np.zeros((0, 4))
    whole = all(isinstance(frame, (int, np.integer)) and not isinstance(frame, bool) for frame in frames)
    if not whole or max(map(abs, frames)) > LARGEST:
        raise ValueError(f"{where}.{frames_name} must be whole numbers, got {list(frames)[:3]}")
    frames = np.asarray(frames, dtype=np.int64)
    in_order = np.concatenate([[True], np.diff(frames) > 0])
    _check_rows(in_order, frames, f"{where}.{frames_name}", "must ascend, each frame once")
    inside = (frames >= limits[0]) & (frames < limits[1])
    _check_rows(inside, frames, f"{where}.{frames_name}", f"must lie in [{limits[0]}, {limits[1]})")
    boxes = _as_boxes(boxes, f"{where}.{boxes_name}")
    _check_rows(np.isfinite(boxes).all(axis=1), boxes, f"{where}.{boxes_name}", "must be finite")
    _check_rows((boxes[:, 2:] >= 0).all(axis=1), boxes, f"{where}.{boxes_name}", "must have width, height >= 0")
    return frames, boxes


def _as_boxes(boxes: Sequence, where: str) -> np.ndarray:
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 4:
        number, wrong = next((n, box) for n, box in enumerate(boxes) if not _is_four_numbers(box))
        raise ValueError(f"{where}[{number}] must be numbers [x, y, w, h], got {wrong!r}")
    return array


def _is_four_numbers(box: Any) -> bool:
    try:
        return np.asarray(box, dtype=np.float64).shape == (4,)
    except (TypeError, ValueError):
        return False


def _check_rows(valid: np.ndarray, values: np.ndarray, where: str, expected: str) -> None:
    wrong = np.flatnonzero(~valid)
    if wrong.size:
        raise ValueError(f"{where}[{wrong[0]}] {expected}, got {values[wrong[0]].tolist()}")


def _field(owner: Mapping[str, Any], name: str, where: str) -> Any:
    if not isinstance(owner, Mapping):
        raise ValueError(f"{where} must be an object with named fields, got {type(owner).__name__}")
    if name not in owner or owner[name] is None:
        raise ValueError(f"{where}: the field '{name}' is missing")
    return owner[name]


def _list(owner: Mapping[str, Any], name: str, where: str) -> Sequence[Any] | np.ndarray:
    value = _field(owner, name, where)
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise ValueError(f"{where}.{name} must be a list, got {value!r}")
    return value


def _integer(owner: Mapping[str, Any], name: str, where: str) -> int:
    value = _field(owner, name, where)
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{where}.{name} must be a whole number, got {value!r}") from None


def _number(owner: Mapping[str, Any], name: str, where: str) -> float:
    value = _field(owner, name, where)
    if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise ValueError(f"{where}.{name} must be a finite number, got {value!r}")
    return float(value)


def _text(owner: Mapping[str, Any], name: str, where: str) -> str:
    value = _field(owner, name, where)
    if not isinstance(value, str):
        raise ValueError(f"{where}.{name} must be a string, got {value!r}")
    return value
