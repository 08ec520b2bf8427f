"""Annotation layouts with ids, COCO video and SemTrack (TAO-like), as semantic trajectories.

Reads what :mod:`.annotation_layouts` writes and published files of the same layouts; boxes are
``(x, y, width, height)`` in absolute pixels.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .annotation_layouts import UNNAMED
from .trajectory import InteractionEvent, ObjectBox, SemanticTrajectory, TrackedFrame

_NOT_SAID = -1  # relation_track_id of files that do not have this field

Entry = Mapping[str, Any]


def from_coco(data: Entry, video_id: int | None = None, fps: float | None = None) -> list[SemanticTrajectory]:
    """Trajectories without events from a CocoVID-style dictionary, one per ``track_id`` or ``instance_id``.

    Exact for what :func:`.to_coco` wrote, but for the events, for the presence in frames without a box,
    which comes back as 0, and for targets that were never visible, which leave no trace.

    Args:
        data: The parsed file.
        video_id: Take this video only; None takes all, in the file's order.
        fps: Frames per second for files that give neither times nor a frame rate.

    Raises:
        ValueError: If the layout lacks something, or ``video_id`` is not in it.
    """
    with _complete_fields():
        return [_trajectory(video, track_id) for video in _videos(data, video_id, fps) for track_id in video.boxes]


def from_semtrack(data: Entry, video_id: int | None = None, fps: float | None = None) -> list[SemanticTrajectory]:
    """The main objects of a SemTrack-layout dictionary with their events.

    An event is a run of equal ``relation_sub_category_id`` over the annotations of a main object; frames
    in which it has no annotation do not interrupt a run. It ends where the next image starts. Its
    object is the track that is named in ``relation_track_id`` or, in files that do not have this field,
    the one with the same ``relation_obj_category_id`` in most frames of the run; None where there is no
    such track. Scores are 1.0 where the file has none. Interactions are called ``"interaction <id>"``
    in files without the optional list of names.

    Exact for what :func:`.to_semtrack` wrote as long as no two events of a target overlap, but for what
    its docstring says is cut, for the presence in frames without a box, which comes back as 0, and for
    targets that were never visible.

    Args:
        data: The parsed file.
        video_id: Take this video only; None takes all, in the file's order.
        fps: Frames per second for files that give neither times nor a frame rate.

    Raises:
        ValueError: If the layout lacks something, or ``video_id`` is not in it.
    """
    trajectories = []
    with _complete_fields():
        names = None if "interactions" not in data else {e["id"]: e["name"] for e in data["interactions"]}
        for video in _videos(data, video_id, fps):
            for track_id, boxes in video.boxes.items():
                if any(box.get("main_object") == 1 for box in boxes.values()):
                    trajectory = _trajectory(video, track_id)
                    trajectory.events = _events(video, track_id, trajectory.subject, names)
                    trajectories.append(trajectory)
    return trajectories


@contextmanager
def _complete_fields() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise ValueError(f"an entry of the annotation layout lacks the field {error}") from error


@dataclass
class _Video:
    """One video of an annotation layout, put in order.

    Attributes:
        times: Seconds of each frame index, ascending.
        end_time: Seconds at which the last frame ends.
        categories: Name of each category id.
        tracks: The entry of each track that has one.
        boxes: Annotations of each track by frame index, ascending.
    """

    width: int
    height: int
    times: dict[int, float]
    end_time: float
    categories: dict[int, str]
    tracks: dict[int, Entry]
    boxes: dict[int, dict[int, Entry]]

    def category(self, category_id: int) -> str | None:
        if category_id not in self.categories:
            raise ValueError(f"category_id must be one of {sorted(self.categories)}, got {category_id}")
        name = self.categories[category_id]
        return None if name == UNNAMED else name


def _videos(data: Entry, video_id: int | None, fps: float | None) -> Iterator[_Video]:
    needed = ("videos", "images", "annotations", "categories")
    if not all(key in data for key in needed):
        raise ValueError(f"the annotation layout must have {', '.join(needed)}, got {', '.join(data)}")
    videos = {video["id"]: video for video in data["videos"]}
    if video_id is not None and video_id not in videos:
        raise ValueError(f"video_id must be one of {sorted(videos)}, got {video_id}")
    parts: dict[str, dict[int, list[Entry]]] = {}
    for key in ("images", "annotations", "tracks"):
        parts[key] = defaultdict(list)
        for entry in data.get(key, ()):
            parts[key][entry["video_id"]].append(entry)
    categories = {category["id"]: category["name"] for category in data["categories"]}
    for key in videos if video_id is None else [video_id]:
        images = sorted(parts["images"][key], key=_frame_index)
        sized = videos[key] if "width" in videos[key] or not images else images[0]
        times, end_time = _times(videos[key], images, fps)
        yield _Video(
            width=sized["width"],
            height=sized["height"],
            times=times,
            end_time=end_time,
            categories=categories,
            tracks={track["id"]: track for track in parts["tracks"][key]},
            boxes=_boxes_by_track(images, parts["annotations"][key]),
        )


def _times(video: Entry, images: Sequence[Entry], fps: float | None) -> tuple[dict[int, float], float]:
    """Seconds of each frame index, and of the end of the last one."""
    rate = video.get("fps", fps)
    if not rate and not all("time" in image for image in images):
        raise ValueError(f"video '{video['name']}' has neither times of images nor fps; pass fps=")
    times = {_frame_index(image): image["time"] if "time" in image else _frame_index(image) / rate for image in images}
    last = max(times.values(), default=0.0)
    return times, video.get("end_time", last + 1 / rate if rate else last)


def _boxes_by_track(images: Sequence[Entry], annotations: Sequence[Entry]) -> dict[int, dict[int, Entry]]:
    frame_of = {image["id"]: _frame_index(image) for image in images}
    tracks: dict[int, dict[int, Entry]] = defaultdict(dict)
    for annotation in annotations:
        if annotation["image_id"] not in frame_of:
            raise ValueError(f"image_id of an annotation must name an image of its video, got {annotation['image_id']}")
        track_id = annotation["track_id"] if "track_id" in annotation else annotation["instance_id"]
        tracks[track_id][frame_of[annotation["image_id"]]] = annotation
    return {track_id: dict(sorted(boxes.items())) for track_id, boxes in sorted(tracks.items())}


def _frame_index(image: Entry) -> int:
    return image["frame_index"] if "frame_index" in image else image["frame_id"]


def _trajectory(video: _Video, track_id: int) -> SemanticTrajectory:
    """The track without its events."""
    boxes, track = video.boxes[track_id], video.tracks.get(track_id, {})
    first, shown = next(iter(boxes.items()))
    start, end = track.get("start_frame", first), track.get("end_frame", math.inf)
    frames = []
    for index, time in video.times.items():
        if start <= index < end:
            found = boxes.get(index)
            box, presence = (None, 0.0) if found is None else (found["bbox"], found.get("score", 1.0))
            frames.append(TrackedFrame(index, time, box, presence))
    return SemanticTrajectory(
        target_id=track_id,
        category=video.category(shown["category_id"]),
        prompt=track.get("prompt", {"frame": first, "box": list(shown["bbox"])}),
        width=video.width,
        height=video.height,
        frames=frames,
        complete=track.get("complete", True),
    )


def _events(
    video: _Video, track_id: int, subject: str, interactions: Mapping[int, str] | None
) -> list[InteractionEvent]:
    indices = list(video.times)
    events = []
    for (relation, object_track, score), run in groupby(video.boxes[track_id].items(), key=_relation_of):
        if relation == -1:
            continue
        if interactions is not None and relation not in interactions:
            known = sorted(interactions)
            raise ValueError(f"relation_sub_category_id must be -1 or one of {known}, got {relation}")
        seen = [index for index, _ in run]
        after = bisect_right(indices, seen[-1])
        last = after == len(indices)
        if object_track == _NOT_SAID:
            object_track = _likely_object(video, track_id, relation, seen)
        name, boxes = _object(video, object_track, relation, seen)
        events.append(
            InteractionEvent(
                subject=subject,
                interaction=f"interaction {relation}" if interactions is None else interactions[relation],
                object=name,
                start_time=video.times[seen[0]],
                end_time=video.end_time if last else video.times[indices[after]],
                start_frame=seen[0],
                end_frame=seen[-1] + 1 if last else indices[after],
                score=score,
                object_boxes=boxes,
            )
        )
    return events


def _relation_of(box: tuple[int, Entry]) -> tuple[int, int | None, float]:
    """What stays the same during one event: relation, object's track (None: no object), score."""
    _, fields = box
    object_track = fields.get("relation_track_id", _NOT_SAID)
    return fields.get("relation_sub_category_id", -1), object_track, fields.get("relation_score", 1.0)


def _likely_object(video: _Video, subject: int, relation: int, seen: Sequence[int]) -> int | None:
    votes = Counter(
        track_id
        for track_id, boxes in video.boxes.items()
        for index in seen
        if track_id != subject and boxes.get(index, {}).get("relation_obj_category_id") == relation
    )
    return votes.most_common(1)[0][0] if votes else None


def _object(
    video: _Video, track_id: int | None, relation: int, seen: Sequence[int]
) -> tuple[str | None, tuple[ObjectBox, ...]]:
    """Class name and boxes of an event's object from the first to the last frame of the event."""
    if track_id is None:
        return None, ()
    boxes = video.boxes.get(track_id, {})
    track = video.tracks.get(track_id) or next(iter(boxes.values()), None)
    if track is None:
        raise ValueError(f"relation_track_id must be null or one of {sorted(video.tracks)}, got {track_id}")
    return video.category(track["category_id"]), tuple(
        ObjectBox(index, box["bbox"])
        for index, box in boxes.items()
        if seen[0] <= index <= seen[-1] and box["relation_obj_category_id"] == relation
    )
