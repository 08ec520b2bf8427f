"""Checks and repairs of a file in the SemTrack layout (:mod:`dataset_script.sources.semtrack`) as it stands there.

A record refuses what does not fit, and so one wrong row hides everything else. Here each row is looked at by
itself, and what cannot be built is said with its place.
"""

from __future__ import annotations

import copy
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dataset_script.findings import ERROR, WARNING, Finding, in_words

Layout = Mapping[str, Any]
Row = Mapping[str, Any]
# A list, its field and the list whose ids that field names.
REFERENCES = (
    ("images", "video_id", "videos"),
    ("tracks", "video_id", "videos"),
    ("tracks", "category_id", "categories"),
    ("annotations", "image_id", "images"),
    ("annotations", "track_id", "tracks"),
    ("annotations", "category_id", "categories"),
    ("events", "video_id", "videos"),
    ("events", "subject_track_id", "tracks"),
    ("events", "object_track_id", "tracks"),
)
OPTIONAL = {("annotations", "category_id"), ("events", "object_track_id")}  # may be missing or null
EVENT_FIELDS = ("video_id", "subject_track_id", "object_track_id", "interaction", "start_frame", "end_frame")
RELATIONS = ("relation_sub_category_id", "relation_obj_category_id")


class _Index:
    """Which rows belong to which."""

    def __init__(self, data: Layout) -> None:
        self.data = data
        self.videos = {video["id"]: video for video in data["videos"]}
        self.frames = {image["id"]: image["frame_index"] for image in data["images"]}
        self.categories = {category["id"]: category["name"] for category in data["categories"]}
        self.tracks = {track["id"]: track for track in data["tracks"]}
        self.by_track: dict[Any, list[Row]] = defaultdict(list)
        for annotation in data["annotations"]:
            self.by_track[annotation.get("track_id")].append(annotation)
        last: dict[Any, int] = defaultdict(lambda: -1)
        for image in data["images"]:
            last[image["video_id"]] = max(last[image["video_id"]], image["frame_index"])
        self.length = {key: video.get("num_frames") or last[key] + 1 for key, video in self.videos.items()}

    def name(self, video_id: Any) -> str:
        """What a video is called; "" for an id that points nowhere."""
        return str(self.videos[video_id]["name"]) if video_id in self.videos else ""

    def of_track(self, track: Any) -> str:
        """The video of a track, by its id."""
        return self.name(self.tracks[track]["video_id"]) if track in self.tracks else ""

    def track_in_words(self, track: Any) -> str:
        """The track as the video counts it, which is how records name it."""
        return f"track {self.tracks[track].get('track_id', track)}" if track in self.tracks else f"track id {track}"


def check_layout(data: Layout) -> Iterator[Finding]:
    """All findings about the rows of a file.

    Args:
        data: The file's content, with the lists that the reader requires.
    """
    try:
        index = _Index(data)
    except (KeyError, TypeError) as error:
        yield Finding(ERROR, "missing field", "", "rows of the file", f"one has no field {error}: nothing was checked")
        return
    for check in LAYOUT_CHECKS:
        yield from check(index)


def check_ids(index: _Index) -> Iterator[Finding]:
    """Ids are unique within their list."""
    for name in ("videos", "images", "tracks", "categories", "annotations", "interactions"):
        counts = Counter(row["id"] for row in index.data.get(name, ()) if "id" in row)
        for number, count in counts.items():
            if count > 1:
                yield Finding(ERROR, "repeated id", "", f"{name}[] id {number}", f"stands there {count} times")


def check_references(index: _Index) -> Iterator[Finding]:
    """Every id that a row names is there; one error per field, with the first such row."""
    for name, field, target in REFERENCES:
        known = {row["id"] for row in index.data[target]}
        lost = [
            (position, row.get(field))
            for position, row in enumerate(index.data.get(name, ()))
            if row.get(field) not in known and not (row.get(field) is None and (name, field) in OPTIONAL)
        ]
        if lost:
            position, number = lost[0]
            video = index.name(index.data[name][position].get("video_id"))
            why = f"{field} {number} names nothing in {target}[]; {len(lost)} such rows in {name}[]"
            yield Finding(ERROR, "dangling id", video, f"{name}[{position}]", why)


def check_box_rows(index: _Index) -> Iterator[Finding]:
    """Boxes are four finite numbers with an area, one per track and frame, in frames that the video has."""
    for track, rows in index.by_track.items():
        frames = Counter(index.frames.get(row.get("image_id"), -1) for row in rows)
        length = index.length.get(index.tracks[track]["video_id"], 0) if track in index.tracks else math.inf
        flat = sorted(index.frames.get(row.get("image_id"), -1) for row in rows if not has_area(row.get("bbox")))
        twice = sorted(frame for frame, count in frames.items() if count > 1 and frame >= 0)
        late = sorted(frame for frame in frames if frame >= length)
        for wrong, check, why in (
            (flat, "box without area", "boxes must be finite [x, y, width, height] with width, height > 0"),
            (twice, "two boxes in one frame", "a track has one box per frame; which of them is it?"),
            (late, "frame past the end", f"the video has {length} frames"),
        ):
            if wrong:
                where = f"{index.track_in_words(track)}, {in_words(wrong)}"
                yield Finding(ERROR, check, index.of_track(track), where, why)


def has_area(box: Any) -> bool:
    """Whether a box can stand in a record."""
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError):
        return False
    return all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0


def check_category_drift(index: _Index) -> Iterator[Finding]:
    """The boxes of a track all name the track's category."""
    for track, rows in index.by_track.items():
        if track not in index.tracks:
            continue
        own = index.tracks[track].get("category_id")
        drifted: dict[Any, list[int]] = defaultdict(list)
        for row in rows:
            if row.get("category_id", own) != own:
                drifted[row["category_id"]].append(index.frames.get(row.get("image_id"), -1))
        for category, frames in drifted.items():
            named = index.categories.get(category, category)
            why = f"named '{named}' there, but the track is '{index.categories.get(own, own)}'"
            where = f"{index.track_in_words(track)}, {in_words(sorted(frames))}"
            yield Finding(ERROR, "category drift", index.of_track(track), where, why)


def check_intervals(index: _Index) -> Iterator[Finding]:
    """Events start before they end, inside their video."""
    for event in index.data.get("events", ()):
        start, end = event.get("start_frame"), event.get("end_frame")
        length = index.length.get(event.get("video_id"), math.inf)
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length):
            subject = index.track_in_words(event.get("subject_track_id"))
            where = f"{subject} {event.get('interaction')} [{start}, {end})"
            why = f"an interval must have 0 <= start < end <= {length}, the video's length"
            yield Finding(ERROR, "interval outside", index.name(event.get("video_id")), where, why)


def check_relation_names(index: _Index) -> Iterator[Finding]:
    """Interaction ids at boxes have a name in interactions[], where the file has that list."""
    if "interactions" not in index.data:
        return
    known = {interaction["id"] for interaction in index.data["interactions"]}
    used = Counter(row.get(field, -1) for row in index.data["annotations"] for field in RELATIONS)
    for number, count in used.items():
        if number != -1 and number not in known:
            why = f"{count} boxes name an interaction that interactions[] does not hold"
            yield Finding(WARNING, "unnamed interaction", "", f"interaction id {number}", why)


LAYOUT_CHECKS: tuple[Callable[[_Index], Iterator[Finding]], ...] = (
    check_ids,
    check_references,
    check_box_rows,
    check_category_drift,
    check_intervals,
    check_relation_names,
)


def mended(data: Layout) -> tuple[dict[str, Any], dict[str, int]]:
    """A copy of a file's content with what can be set right without a doubt.

    Boxes are clipped to the frame, repeated events dropped, intervals cut to the video. A box that lies wholly
    outside, or an interval of which nothing is left, stays as it is: which value was meant is not known.

    Args:
        data: The file's content, with the lists that the reader requires.

    Returns:
        The content and how many rows were changed, by kind of change.
    """
    result = {key: copy.copy(rows) for key, rows in data.items()}
    index = _Index(data)
    changes = {"boxes clipped": 0, "intervals cut": 0, "repeated events dropped": 0}
    sizes = _frame_sizes(data)
    for position, row in enumerate(data["annotations"]):
        box = _clipped(row.get("bbox"), sizes.get(row.get("video_id")))
        if box is not None:
            result["annotations"][position] = {**row, "bbox": box}
            changes["boxes clipped"] += 1
    if "events" in data:
        events: dict[tuple, Row] = {}
        for event in data["events"]:
            whole = _cut(event, index.length.get(event.get("video_id")))
            changes["intervals cut"] += whole is not event
            events.setdefault(tuple(whole.get(field) for field in EVENT_FIELDS), whole)
        result["events"] = list(events.values())
        changes["repeated events dropped"] = len(data["events"]) - len(events)
    return result, changes


def _frame_sizes(data: Layout) -> dict[Any, tuple[float, float]]:
    """(width, height) by video id; of its first image where the video does not state it."""
    sizes: dict[Any, tuple[float, float]] = {}
    for rows, key in ((data["videos"], "id"), (data["images"], "video_id")):
        for row in rows:
            if "width" in row and "height" in row:
                sizes.setdefault(row[key], (row["width"], row["height"]))
    return sizes


def _clipped(box: Any, size: tuple[float, float] | None) -> list[float] | None:
    """The part of a box inside the frame; None where the box is inside, or nothing of it is."""
    if size is None or not has_area(box):
        return None
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    inside = [left, top, min(x + width, size[0]) - left, min(y + height, size[1]) - top]
    if x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]:
        return None
    return inside if has_area(inside) else None


def _cut(event: Row, length: int | None) -> Row:
    """The event with its interval inside the video; the event itself where it is, or nothing of it is."""
    start, end = event.get("start_frame"), event.get("end_frame")
    if length is None or not (isinstance(start, int) and isinstance(end, int)):
        return event
    cut = {"start_frame": max(start, 0), "end_frame": min(end, length)}
    if (start, end) == tuple(cut.values()) or cut["start_frame"] >= cut["end_frame"]:
        return event
    return {**event, **cut}
