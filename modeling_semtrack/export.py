"""Semantic trajectories to files of five formats, and back where the format allows.

================  =============================================================  =======================
format            what it holds                                                  reader
================  =============================================================  =======================
``json``          everything, exactly                                            :func:`load_trajectories`
``csv``           two tables: events, and in ``<stem>_track.csv`` one row        none
                  per target and frame
``srt``           subtitles: who does what, when                                 none
``coco``          boxes of the targets, CocoVID style, without events            :func:`from_coco`
``semtrack``      boxes of targets and objects with one relation per box: the    :func:`from_semtrack`
                  TAO-like layout of the SemTrack data set
================  =============================================================  =======================

Boxes are ``(x, y, width, height)`` in absolute pixels everywhere, frames are 0-based, times are
seconds, intervals are half-open. A number that is not finite is never written. All formats but
``json`` describe one video: the trajectories must have distinct target ids, one frame size and the
same times. The last two are in :mod:`.annotation_layouts` and :mod:`.annotation_reader`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from .annotation_layouts import check_finite, check_one_video, to_coco, to_semtrack
from .annotation_reader import from_coco, from_semtrack
from .files import atomic_path
from .trajectory import SemanticTrajectory

__all__ = [
    "FORMATS",
    "dumps",
    "export_trajectories",
    "format_of",
    "from_coco",
    "from_semtrack",
    "load_trajectories",
    "to_coco",
    "to_semtrack",
]

FORMATS: tuple[str, ...] = ("json", "csv", "srt", "coco", "semtrack")

_JSON_HEADER = {"format": "semtrack-trajectories", "version": 1}


def export_trajectories(
    trajectories: Sequence[SemanticTrajectory],
    path: str | os.PathLike[str],
    format: str | None = None,
    video: str = "video",
) -> Path:
    """Writes trajectories to a file, which appears complete or not at all.

    Args:
        trajectories: Results, one per target; of one video unless the format is ``json``.
        path: File to write. ``csv`` writes a second one beside it, ``<stem>_track.csv``.
        format: One of :data:`FORMATS`; None takes it from the suffix ``.json``, ``.csv`` or ``.srt``.
        video: File name of the video, relative; ``coco`` and ``semtrack`` record it.

    Returns:
        The path written (of ``csv``, the table of events).

    Raises:
        ValueError: If the format is not known or cannot hold the trajectories.
        OutputError: If the file cannot be created.
        OSError: If writing fails on the way, for example because the disk is full.
    """
    path = Path(path)
    format = format_of(path) if format is None else format
    texts = {path: dumps(trajectories, format, video)}
    if format == "csv":
        texts[path.with_name(f"{path.stem}_track.csv")] = _track_table(trajectories)
    with ExitStack() as stack:
        for target, text in texts.items():
            temporary = Path(stack.enter_context(atomic_path(target)))
            temporary.write_text(text, encoding="utf-8", newline="")
    return path


def dumps(trajectories: Sequence[SemanticTrajectory], format: str, video: str = "video") -> str:
    """The text that :func:`export_trajectories` writes (of ``csv``, the table of events).

    ``csv`` has the columns ``target, subject, interaction, object, start_time, end_time, start_frame,
    end_frame, score``; its companion ``target, frame, time, x, y, w, h, presence``, with empty box cells
    where the target is not visible. ``target`` joins the two.

    ``srt`` has one cue for each interval in which the set of events does not change and is not empty,
    with a line per target (``target 1: push box, follow person``; a class name takes the place of the
    word target). Times before 0, which no player shows, are cut off.

    Args:
        trajectories: Results, one per target; of one video unless the format is ``json``.
        format: One of :data:`FORMATS`.
        video: File name of the video, relative; ``coco`` and ``semtrack`` record it.

    Raises:
        ValueError: If the format is not known, a number is not finite, or the format cannot hold the
            trajectories.
    """
    check_finite(trajectories)
    if format == "json":
        return _to_json({**_JSON_HEADER, "trajectories": [t.to_dict() for t in trajectories]})
    if format == "csv":
        return _event_table(trajectories)
    if format == "srt":
        return _subtitles(trajectories)
    if format == "coco":
        return _to_json(to_coco(trajectories, video))
    if format == "semtrack":
        return _to_json(to_semtrack(trajectories, video))
    raise ValueError(f"format must be one of {', '.join(FORMATS)}, got '{format}'")


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that belongs to the suffix of a file: ``json``, ``csv`` or ``srt``.

    Raises:
        ValueError: If no format belongs to it.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in ("json", "csv", "srt"):
        raise ValueError(
            f"no format belongs to the suffix of '{path.name}'; use .json, .csv or .srt, "
            f"or name the format (one of {', '.join(FORMATS)})"
        )
    return suffix


def load_trajectories(path: str | os.PathLike[str]) -> list[SemanticTrajectory]:
    """Reads what ``export_trajectories(..., format="json")`` wrote; the round trip is exact.

    Raises:
        ValueError: If the file is not JSON, of another format or version, or damaged.
        OSError: If the file cannot be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON file of trajectories: {error}") from error
    header = {key: data.get(key) for key in _JSON_HEADER} if isinstance(data, dict) else None
    if header != _JSON_HEADER or not isinstance(data.get("trajectories"), list):
        raise ValueError(
            f"{path} must hold {_JSON_HEADER} and a list 'trajectories', got {header}; read annotation "
            "layouts with from_coco or from_semtrack"
        )
    trajectories = []
    for index, fields in enumerate(data["trajectories"]):
        try:
            trajectories.append(SemanticTrajectory.from_dict(fields))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: trajectory {index} is damaged: {error!r}") from error
    return trajectories


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _to_json(data: Mapping[str, Any]) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"a trajectory holds a value that JSON does not have: {error}") from error


def _table(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _event_table(trajectories: Sequence[SemanticTrajectory]) -> str:
    check_one_video(trajectories)
    columns = ("subject", "interaction", "object", "start_time", "end_time")
    columns += ("start_frame", "end_frame", "score")
    rows = [
        (trajectory.target_id, *(getattr(event, name) for name in columns))
        for trajectory in trajectories
        for event in trajectory.events
    ]
    return _table([("target", *columns), *rows])


def _track_table(trajectories: Sequence[SemanticTrajectory]) -> str:
    rows = [
        (t.target_id, frame.frame_index, frame.time, *(frame.box or ("", "", "", "")), frame.presence)
        for t in trajectories
        for frame in t.frames
    ]
    return _table([("target", "frame", "time", "x", "y", "w", "h", "presence"), *rows])


def _subtitles(trajectories: Sequence[SemanticTrajectory]) -> str:
    check_one_video(trajectories)
    starts: dict[int, set[tuple[int, int]]] = defaultdict(set)
    ends: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for row, trajectory in enumerate(trajectories):
        for column, event in enumerate(trajectory.events):
            start, end = (max(0, round(time * 1000)) for time in (event.start_time, event.end_time))
            if start < end:
                starts[start].add((row, column))
                ends[end].add((row, column))
    cues: list[tuple[int, int, str]] = []
    active: set[tuple[int, int]] = set()
    for start, end in pairwise(sorted(starts.keys() | ends.keys())):
        active = (active - ends[start]) | starts[start]
        text = _cue_text(trajectories, active)
        if cues and cues[-1][1:] == (start, text):
            cues[-1] = (cues[-1][0], end, text)
        elif text:
            cues.append((start, end, text))
    return "".join(
        f"{number}\n{_timestamp(start)} --> {_timestamp(end)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(cues, 1)
    )


def _cue_text(trajectories: Sequence[SemanticTrajectory], active: set[tuple[int, int]]) -> str:
    lines = []
    for row, places in groupby(sorted(active), key=lambda place: place[0]):
        trajectory = trajectories[row]
        events = (trajectory.events[column] for _, column in places)
        phrases = (f"{event.interaction} {event.object or ''}".strip() for event in events)
        line = f"{trajectory.category or 'target'} {trajectory.target_id}: {', '.join(phrases)}"
        lines.append(" ".join(line.split()))  # a line break inside a name would end the cue
    return "\n".join(lines)


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d},{milliseconds:03d}"
