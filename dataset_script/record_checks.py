"""Checks of one video's record, each a function ``record -> findings``.

What a record cannot hold at all (an interval past the last frame, a box without area) is refused when it is
built; for files in the SemTrack layout :mod:`dataset_script.layout_checks` tells where such things stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from dataset_script.contradictions import exclude_each_other, excludes_its_reverse
from dataset_script.findings import ERROR, WARNING, Finding, in_words, runs
from dataset_script.records import Box, InteractionRecord, TargetRecord, VideoRecord

EDGE = 1.0  # pixels; a box may stick out of the frame by this much, which rounding does
LEAST_REGULAR_GAPS = 3  # equal gaps in a row from which boxes look like keyframes of a track
BRIEF_OVERLAP = 0.2  # of the shorter event; contradicting events that overlap by less look like one after the other


def check_boxes(record: VideoRecord) -> Iterator[Finding]:
    """Boxes lie inside the frame: an error for each track with boxes that stick out."""
    for target in record.targets:
        outside = {f: o for f, b in target.boxes.items() if (o := stick_out(b, record.width, record.height)) > EDGE}
        if outside:
            worst = max(outside, key=outside.__getitem__)
            box = ", ".join(f"{value:g}" for value in target.boxes[worst])
            yield Finding(
                ERROR,
                "box outside",
                record.video_id,
                f"track {target.track_id}, {in_words(outside)}",
                f"boxes must lie inside the {record.width}x{record.height} frame; in frame {worst} [{box}] sticks "
                f"out by {outside[worst]:g} pixels",
            )


def stick_out(box: Box, width: int, height: int) -> float:
    """Pixels by which a box (x, y, width, height) reaches over the border of a frame; 0 or less is inside."""
    x, y, w, h = box
    return max(-x, -y, x + w - width, y + h - height)


def check_holes(record: VideoRecord) -> Iterator[Finding]:
    """Frames without a box between the first and last box of a track, where the frames count as annotated.

    Boxes at equal distances are keyframes: that the frames in between are unknown must be said in
    ``annotated_frames`` (error). Other holes mean that the target is out of view, which may be so (warning).
    """
    for target in record.targets:
        frames = _annotated(record, range(*_span(target)))
        holes = [frame for frame in frames if frame not in target.boxes]
        if not holes:
            continue
        step = _keyframe_step(list(target.boxes), frames)
        where = f"track {target.track_id}, {in_words(holes)}"
        if step:
            why = f"only one frame in {step} has a box; list the annotated frames in annotated_frames"
            yield Finding(ERROR, "track with holes", record.video_id, where, why)
        else:
            count = len(list(runs(holes)))
            why = f"no box in {len(holes)} frames ({count} holes): out of view there, or forgotten?"
            yield Finding(WARNING, "track with holes", record.video_id, where, why)


def _span(target: TargetRecord) -> tuple[int, int]:
    return (next(iter(target.boxes)), next(reversed(target.boxes)) + 1) if target.boxes else (0, 0)


def _annotated(record: VideoRecord, frames: range) -> list[int]:
    """Those of the frames in which the source annotates boxes."""
    if record.annotated_frames is None:
        return list(frames)
    return [frame for frame in record.annotated_frames if frame in frames]


def _keyframe_step(boxes: list[int], frames: list[int]) -> int:
    """The distance between boxes, counted in annotated frames, if it is always the same and above 1; else 0."""
    place = {frame: number for number, frame in enumerate(frames)}
    gaps = {place[b] - place[a] for a, b in zip(boxes, boxes[1:])}
    step = min(gaps)
    regular = len(boxes) > LEAST_REGULAR_GAPS and step > 1 and all(gap % step == 0 for gap in gaps)
    return step if regular else 0


def check_presence(record: VideoRecord) -> Iterator[Finding]:
    """Subject and object are seen during their interaction.

    Never there is an error, missing for a part of the interval a warning. Sources of which no target has a
    box (labels of whole clips) say nothing about places and are left alone.
    """
    if not any(target.boxes for target in record.targets):
        return
    for event in record.interactions or ():
        frames = _annotated(record, range(event.start_frame, event.end_frame))
        for role, track in (("subject", event.subject), ("object", event.object)):
            if track is None or not frames:
                continue
            missing = [frame for frame in frames if frame not in record.target(track).boxes]
            where = f"{event_in_words(event)}, {in_words(missing)}"
            if len(missing) == len(frames):
                why = f"its {role}, track {track}, has no box in any annotated frame of the interval"
                yield Finding(ERROR, "absent during interaction", record.video_id, where, why)
            elif missing:
                why = f"its {role}, track {track}, has no box in {len(missing)} of {len(frames)} frames"
                yield Finding(WARNING, "absent during interaction", record.video_id, where, why)


def check_duplicate_events(record: VideoRecord) -> Iterator[Finding]:
    """The same event twice (error), and two events of the same kind that overlap (warning)."""
    for event, count in Counter(record.interactions or ()).items():
        if count > 1:
            why = f"stands there {count} times"
            yield Finding(ERROR, "duplicate event", record.video_id, event_in_words(event), why)
    for one, other in _overlapping(list(dict.fromkeys(record.interactions or ()))):
        if (one.subject, one.object, one.interaction) == (other.subject, other.object, other.interaction):
            why = f"overlaps with frames {other.start_frame}-{other.end_frame - 1} of the same: one event or two?"
            yield Finding(WARNING, "overlapping event", record.video_id, event_in_words(one), why)


def check_contradictions(record: VideoRecord) -> Iterator[Finding]:
    """Events that exclude each other at the same time, by the tables of :mod:`dataset_script.contradictions`.

    An overlap of less than :data:`BRIEF_OVERLAP` of the shorter event is a warning: one follows the other, and
    the borders are loose.
    """
    for one, other in _overlapping(list(dict.fromkeys(record.interactions or ()))):
        same = (one.subject, one.object) == (other.subject, other.object) and one.object is not None
        reverse = (one.subject, one.object) == (other.object, other.subject)
        if same and exclude_each_other(one.interaction, other.interaction):
            why = "to the same object at the same time as"
        elif reverse and one.interaction == other.interaction and excludes_its_reverse(one.interaction):
            why = "while its object does the same to it, in"
        else:
            continue
        shared = _overlap(one, other)
        shorter = min(e.end_frame - e.start_frame for e in (one, other))
        severity = WARNING if shared < BRIEF_OVERLAP * shorter else ERROR
        frames = in_words(range(max(one.start_frame, other.start_frame), min(one.end_frame, other.end_frame)))
        yield Finding(
            severity,
            "contradicting events",
            record.video_id,
            f"{event_in_words(one)}, {frames}",
            f"{why} {event_in_words(other)}",
        )


def _overlapping(events: list[InteractionRecord]) -> Iterator[tuple[InteractionRecord, InteractionRecord]]:
    ordered = sorted(events, key=lambda e: (e.start_frame, e.end_frame))
    yield from ((one, other) for one, other in combinations(ordered, 2) if _overlap(one, other) > 0)


def _overlap(one: InteractionRecord, other: InteractionRecord) -> int:
    """Frames that both intervals hold; 0 or less where they do not meet."""
    return min(one.end_frame, other.end_frame) - max(one.start_frame, other.start_frame)


def event_in_words(event: InteractionRecord) -> str:
    """``"3 push 5 [10, 40)"``: tracks, interaction and interval."""
    acted_on = "" if event.object is None else f" {event.object}"
    return f"{event.subject} {event.interaction}{acted_on} [{event.start_frame}, {event.end_frame})"


RECORD_CHECKS: Mapping[str, Callable[[VideoRecord], Iterator[Finding]]] = {
    "boxes inside the frame": check_boxes,
    "holes in tracks": check_holes,
    "subject and object present": check_presence,
    "duplicate events": check_duplicate_events,
    "contradicting events": check_contradictions,
}


def check_record(record: VideoRecord) -> Iterator[Finding]:
    """All findings about one video, in the order of :data:`RECORD_CHECKS`."""
    for check in RECORD_CHECKS.values():
        yield from check(record)
