"""Semantic trajectories as annotation layouts with ids: COCO video and SemTrack (TAO-like).

:mod:`.annotation_reader` is the way back. Both layouts describe one video by lists of ``videos``,
``images``, ``tracks``, ``categories`` and ``annotations``; boxes are ``(x, y, width, height)`` in
absolute pixels. What the published layouts lack and a reader of this project needs stands in extra
fields, which other readers pass over: ``time`` of an image and ``end_time`` of a video (seconds);
``start_frame``, ``end_frame``, ``prompt`` and ``complete`` of a track; ``score`` of an annotation (the
presence of a target, the score of an object's event) and, where there is a relation,
``relation_score`` and ``relation_track_id`` (the object's track, or null). ``file_name`` of an image is
the name under which a decoder would store the frame; no image is written here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from .trajectory import Box, InteractionEvent, SemanticTrajectory

UNNAMED = "unknown"
"""Category name that stands for a target or object without a class name, and is read as None."""


def to_coco(trajectories: Sequence[SemanticTrajectory], video: str = "video") -> dict[str, Any]:
    """The boxes of the targets in CocoVID style.

    An annotation has ``track_id`` and, with the same value, ``instance_id``: the target's id. Events
    have no place in this layout.

    Args:
        trajectories: Results of one video with distinct target ids.
        video: File name of the video, relative.

    Raises:
        ValueError: If the trajectories do not belong to one video.
    """
    layout = _Layout(trajectories, video, "frame_id", (t.category for t in trajectories))
    for trajectory in trajectories:
        for frame in trajectory.frames:
            if frame.box is not None:
                annotation = layout.annotate(
                    trajectory.target_id, frame.frame_index, frame.box, trajectory.category, frame.presence
                )
                annotation["instance_id"] = trajectory.target_id
                annotation["area"] = frame.box[2] * frame.box[3]
                annotation["iscrowd"] = 0
    return layout.to_dict()


def to_semtrack(trajectories: Sequence[SemanticTrajectory], video: str = "video") -> dict[str, Any]:
    """The trajectories in the TAO-like layout of the SemTrack data set.

    Each target is a track with ``main_object`` 1 and the target's id; the object of each event is a
    further track, with the boxes of ``object_boxes``. During an event the subject's annotations carry
    the interaction's id in ``relation_sub_category_id``, the object's in ``relation_obj_category_id``;
    everywhere else both are -1. ``categories`` (ids from 1) and ``interactions`` (ids from 0) are
    collected from the trajectories, in alphabetical order.

    The layout holds one relation per annotation: **where events of a target overlap, in each frame the
    one with the highest score is written** (of equal ones the one that started first) and the others
    have no relation there. It holds relations on boxes: an event is cut to the frames from the first to
    the last one in which the target is visible.

    Args:
        trajectories: Results of one video with distinct target ids.
        video: File name of the video, relative; without its suffix it is the video's ``name``.

    Raises:
        ValueError: If the trajectories do not belong to one video, or an object's box lies in a frame
            that was not tracked.
    """
    events = [event for trajectory in trajectories for event in trajectory.events]
    categories = [t.category for t in trajectories] + [e.object for e in events if _has_object(e)]
    layout = _Layout(trajectories, video, "frame_index", categories)
    interactions = _ids((event.interaction for event in events), first=0)
    for trajectory in trajectories:
        strongest = _strongest_event(trajectory.events)
        object_tracks = [layout.add_track(event.object) if _has_object(event) else None for event in trajectory.events]
        _annotate_subject(layout, trajectory, strongest, object_tracks, interactions)
        for index, (event, track_id) in enumerate(zip(trajectory.events, object_tracks, strict=True)):
            relation = interactions[event.interaction]
            for frame, box in event.object_boxes:
                wins = strongest.get(frame) == index
                _annotate_object(layout, event, track_id, frame, box, relation if wins else -1)
    return layout.to_dict() | {"interactions": [{"id": index, "name": name} for name, index in interactions.items()]}


def check_finite(trajectories: Sequence[SemanticTrajectory]) -> None:
    """Raises ValueError where a time or presence is not finite, or a single trajectory is given."""
    if isinstance(trajectories, SemanticTrajectory):
        raise ValueError("trajectories must be a list, got a single SemanticTrajectory; pass [trajectory]")
    for trajectory in trajectories:
        for frame in trajectory.frames:
            if not (math.isfinite(frame.time) and math.isfinite(frame.presence)):
                raise ValueError(
                    f"time and presence must be finite, got {frame.time} and {frame.presence} "
                    f"in frame {frame.frame_index} of target {trajectory.target_id}"
                )


def check_one_video(trajectories: Sequence[SemanticTrajectory]) -> dict[int, float]:
    """Seconds of every frame of the one video that all trajectories are of, in order.

    Raises:
        ValueError: If they are of several videos, two targets share an id, or a number is not finite.
    """
    check_finite(trajectories)
    ids = [trajectory.target_id for trajectory in trajectories]
    sizes = sorted({(trajectory.width, trajectory.height) for trajectory in trajectories})
    if len(set(ids)) < len(ids) or len(sizes) > 1:
        raise ValueError(
            "this format holds one video with distinct target ids and one frame size, "
            f"got target ids {ids} and sizes {sizes}; write one file per video, or json"
        )
    times: dict[int, float] = {}
    for trajectory in trajectories:
        for frame in trajectory.frames:
            if times.setdefault(frame.frame_index, frame.time) != frame.time:
                raise ValueError(
                    f"this format holds one video, but frame {frame.frame_index} is at {frame.time} s for "
                    f"target {trajectory.target_id} and at {times[frame.frame_index]} s for one before it"
                )
    return dict(sorted(times.items()))


class _Layout:
    """An annotation layout in the making.

    Args:
        trajectories: The targets, which become tracks.
        video: File name of the video.
        frame_key: What the layout calls the frame index of an image.
        categories: Names of all classes that will occur; None is :data:`UNNAMED`.
    """

    def __init__(
        self,
        trajectories: Sequence[SemanticTrajectory],
        video: str,
        frame_key: str,
        categories: Iterable[str | None],
    ) -> None:
        if PurePosixPath(video).is_absolute() or PureWindowsPath(video).is_absolute():
            raise ValueError(f"video must be a relative file name (it is saved in the file), got '{video}'")
        times = check_one_video(trajectories)
        name = os.path.splitext(video)[0]
        self.categories = _ids((category or UNNAMED for category in categories), first=1)
        self.image_ids = {frame_index: image_id for image_id, frame_index in enumerate(times, 1)}
        size = {"width": trajectories[0].width, "height": trajectories[0].height} if trajectories else {}
        self.videos = [
            {"id": 1, "name": name, "file_name": video, "lang": _sentence(trajectories)}
            | {"neg_category_ids": [], "not_exhaustive_category_ids": []}
            | size
            | _end_and_rate(trajectories, times)
        ]
        self.images = [
            {"id": self.image_ids[index], "video_id": 1, frame_key: index, "time": time}
            | {"file_name": f"{name}/{index:06d}.jpg"}
            | size
            for index, time in times.items()
        ]
        self.tracks: list[dict[str, Any]] = []
        for trajectory in trajectories:
            self._add_target(trajectory)
        self.annotations: list[dict[str, Any]] = []
        self._free_track_ids = count(max((t.target_id for t in trajectories), default=0) + 1)

    def _add_target(self, trajectory: SemanticTrajectory) -> None:
        frames = trajectory.frames
        self.tracks.append(
            {
                "id": trajectory.target_id,
                "video_id": 1,
                "category_id": self.categories[trajectory.category or UNNAMED],
                "start_frame": frames[0].frame_index if frames else 0,
                "end_frame": frames[-1].frame_index + 1 if frames else 0,
                "prompt": trajectory.prompt,
                "complete": trajectory.complete,
            }
        )

    def add_track(self, category: str | None) -> int:
        """Adds a track that is no target; returns its id."""
        track_id = next(self._free_track_ids)
        self.tracks.append({"id": track_id, "video_id": 1, "category_id": self.categories[category or UNNAMED]})
        return track_id

    def annotate(self, track_id: int, frame_index: int, box: Box, category: str | None, score: float) -> dict[str, Any]:
        """Adds a box; returns its annotation, to which the caller may add fields."""
        annotation = {
            "image_id": self.image_ids[frame_index],
            "video_id": 1,
            "track_id": track_id,
            "category_id": self.categories[category or UNNAMED],
            "bbox": list(box),
            "score": score,
        }
        self.annotations.append(annotation)
        return annotation

    def to_dict(self) -> dict[str, Any]:
        """The lists, with annotations in the order of images and tracks and numbered from 1."""
        ordered = sorted(self.annotations, key=lambda entry: (entry["image_id"], entry["track_id"]))
        return {
            "videos": self.videos if self.tracks else [],
            "images": self.images,
            "tracks": self.tracks,
            "categories": [{"id": index, "name": name} for name, index in self.categories.items()],
            "annotations": [{"id": number} | entry for number, entry in enumerate(ordered, 1)],
        }


def _sentence(trajectories: Sequence[SemanticTrajectory]) -> str:
    """The text prompt of the first target that was picked by one."""
    return next((str(t.prompt["text"]) for t in trajectories if t.prompt.get("text")), "")


def _end_and_rate(trajectories: Sequence[SemanticTrajectory], times: Mapping[int, float]) -> dict[str, float]:
    fields: dict[str, float] = {}
    if len(times) > 1:
        (first, start), *_, (last, end) = times.items()
        if end > start:
            fields["fps"] = (last - first) / (end - start)
    late = [e.end_time for t in trajectories for e in t.events if times and e.end_frame > max(times)]
    return fields | ({"end_time": max(late)} if late else {})


def _ids(names: Iterable[str], first: int) -> dict[str, int]:
    return {name: index for index, name in enumerate(sorted(set(names)), first)}


def _has_object(event: InteractionEvent) -> bool:
    return event.object is not None or bool(event.object_boxes)


def _strongest_event(events: Sequence[InteractionEvent]) -> dict[int, int]:
    """For each frame with an event, the position of its event with the highest score."""
    order = sorted(range(len(events)), key=lambda i: (events[i].score, -events[i].start_frame))
    return {frame: i for i in order for frame in range(events[i].start_frame, events[i].end_frame)}


def _annotate_subject(
    layout: _Layout,
    trajectory: SemanticTrajectory,
    strongest: Mapping[int, int],
    object_tracks: Sequence[int | None],
    interactions: Mapping[str, int],
) -> None:
    for index, _, box, presence in trajectory.frames:
        if box is None:
            continue
        annotation = layout.annotate(trajectory.target_id, index, box, trajectory.category, presence)
        annotation |= {"main_object": 1, "relation_sub_category_id": -1, "relation_obj_category_id": -1}
        if index in strongest:
            event = trajectory.events[strongest[index]]
            annotation["relation_sub_category_id"] = interactions[event.interaction]
            annotation["relation_score"] = event.score
            annotation["relation_track_id"] = object_tracks[strongest[index]]


def _annotate_object(
    layout: _Layout, event: InteractionEvent, track_id: int, frame: int, box: Box, relation: int
) -> None:
    if frame not in layout.image_ids:
        raise ValueError(
            f"object box of '{event.interaction}' must lie in a tracked frame, got frame {frame}; "
            "remove the box or track the frame"
        )
    annotation = layout.annotate(track_id, frame, box, event.object, event.score)
    annotation |= {"main_object": 0, "relation_sub_category_id": -1, "relation_obj_category_id": relation}
