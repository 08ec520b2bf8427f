"""Rows as the TAO-like layout of the SemTrack data set, which ST-mAP, MTI and HOTA are defined on.

The layout holds one true relation per box and role; a row may hold several at once. **Of true events of one
track that overlap in time, the one that began last has the frame**, as this project's writer of the layout
does. Predicted relations are lists, best first; a predicted box without any has the list ``[-1]``, which
says "nothing happens".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from .conversion import NO_RELATION, UNNAMED
from .rows import NO_TRACK, Event, RowPair, Track, VideoRow


def to_layout(pairs: Sequence[RowPair]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The truth and the predictions of some videos in the SemTrack layout.

    An object that is predicted by boxes instead of a track becomes a track of its own that is no main object;
    events of one target that overlap in time and have objects of one class are taken to share the object.

    Args:
        pairs: The videos; one may occur several times and counts as another video each time.

    Returns:
        The truth with its lists ``videos``, ``images``, ``tracks``, ``categories``, ``interactions`` and
        ``annotations``, and the flat list of predicted boxes. ``bbox`` is xywh in pixels.
    """
    layout = _Layout(pairs)
    for pair in pairs:
        layout.add(pair)
    return layout.truth, layout.predictions


class _Layout:
    """Both files in the making."""

    def __init__(self, pairs: Sequence[RowPair]) -> None:
        rows = [row for pair in pairs for row in pair]
        self.categories = _ids(_category_names(rows), first=1)
        self.interactions = _ids((event.interaction for row in rows for event in row.events), first=0)
        self.truth: dict[str, Any] = {name: [] for name in ("videos", "images", "tracks", "annotations")}
        self.truth["categories"] = [{"id": number, "name": name} for name, number in self.categories.items()]
        self.truth["interactions"] = [{"id": number, "name": name} for name, number in self.interactions.items()]
        self.predictions: list[dict[str, Any]] = []
        self._predicted_tracks = count(1)

    def add(self, pair: RowPair) -> None:
        """Adds one video."""
        video, first_image = len(self.truth["videos"]) + 1, len(self.truth["images"]) + 1
        name = pair.reference.video_id
        described = {"id": video, "name": name, "lang": f"video {video}"}  # official mode drops videos that look alike
        self.truth["videos"].append(described | {"neg_category_ids": [], "not_exhaustive_category_ids": []})
        self.truth["images"].extend(
            {"id": first_image + frame, "video_id": video, "frame_index": frame}
            for frame in range(pair.reference.num_frames)
        )
        self._add_truth(pair.reference, video, first_image)
        self._add_prediction(pair.prediction, video, first_image)

    def _add_truth(self, row: VideoRow, video: int, first_image: int) -> None:
        latest_first = reversed(sorted(row.events, key=lambda event: event.start_frame))
        as_subject, as_object = self._relations(latest_first)
        for track in row.tracks:
            number, category = len(self.truth["tracks"]) + 1, self.categories[track.category or UNNAMED]
            self.truth["tracks"].append({"id": number, "video_id": video, "category_id": category})
            for frame, box, _ in _boxes(track):
                self.truth["annotations"].append(
                    {
                        "id": len(self.truth["annotations"]) + 1,
                        "image_id": first_image + frame,
                        "video_id": video,
                        "track_id": number,
                        "category_id": category,
                        "bbox": box,
                        "main_object": int(track.main),
                        "relation_sub_category_id": as_subject[track.track_id, frame][0],
                        "relation_obj_category_id": as_object[track.track_id, frame][0],
                    }
                )

    def _add_prediction(self, row: VideoRow, video: int, first_image: int) -> None:
        objects = _located_objects(row)
        tracks = [*row.tracks, *(track for track, _ in objects)]
        shares = {id(event): track.track_id for track, events in objects for event in events}
        best_first = sorted(row.events, key=lambda event: -event.score)
        as_subject, as_object = self._relations(best_first, shares)
        for track in tracks:
            number = next(self._predicted_tracks)
            for frame, box, score in _boxes(track):
                self.predictions.append(
                    {
                        "image_id": first_image + frame,
                        "video_id": video,
                        "track_id": number,
                        "category_id": self.categories[track.category or UNNAMED],
                        "bbox": box,
                        "score": score,
                        "is_main": int(track.main),
                        "relation_sub_category_id": list(as_subject[track.track_id, frame]),
                        "relation_obj_category_id": list(as_object[track.track_id, frame]),
                    }
                )

    def _relations(
        self, events: Iterable[Event], shares: Mapping[int, int] | None = None
    ) -> tuple[_Relations, _Relations]:
        """Relations of tracks as subject and as object; `shares` are the object tracks that events do not name."""
        as_subject, as_object = _Relations(), _Relations()
        for event in events:
            number = self.interactions[event.interaction]
            other = (shares or {}).get(id(event), event.object_track)
            for frame in range(event.start_frame, event.end_frame):
                as_subject.put(event.subject, frame, number)
                if other != NO_TRACK:
                    as_object.put(other, frame, number)
        return as_subject, as_object


class _Relations(dict[tuple[int, int], list[int]]):
    """Interaction ids by track id and frame, in order of arrival; ``[NO_RELATION]`` where there is none."""

    def put(self, track_id: int, frame: int, interaction: int) -> None:
        """Adds an interaction, once."""
        known = self.setdefault((track_id, frame), [])
        if interaction not in known:
            known.append(interaction)

    def __missing__(self, key: tuple[int, int]) -> list[int]:
        return [NO_RELATION]


def _boxes(track: Track) -> Iterator[tuple[int, list[float], float]]:
    yield from zip(track.frames.tolist(), track.boxes.tolist(), track.scores.tolist())


def _located_objects(row: VideoRow) -> list[tuple[Track, list[Event]]]:
    """Tracks, with ids that are free in the row, of objects that the events themselves locate."""
    groups: dict[tuple[int, str], list[Event]] = defaultdict(list)
    for event in row.events:
        if len(event.object_frames):
            groups[event.subject, event.object].append(event)
    free = count(max((track.track_id for track in row.tracks), default=0) + 1)
    return [(_object_track(next(free), events), events) for group in groups.values() for events in _overlapping(group)]


def _overlapping(events: Iterable[Event]) -> list[list[Event]]:
    """The events in groups that are connected in time."""
    groups: list[list[Event]] = []
    end = 0
    for event in sorted(events, key=lambda event: event.start_frame):
        if groups and event.start_frame < end:
            groups[-1].append(event)
        else:
            groups.append([event])
        end = max(end, event.end_frame)
    return groups


def _object_track(track_id: int, events: Sequence[Event]) -> Track:
    """In each frame the box of the event with the highest score."""
    best: dict[int, tuple[np.ndarray, float]] = {}
    for event in sorted(events, key=lambda event: event.score):
        best |= {frame: (box, event.score) for frame, box in zip(event.object_frames.tolist(), event.object_boxes)}
    frames = sorted(best)
    return Track(
        track_id=track_id,
        category=events[0].object,
        main=False,
        score=max(event.score for event in events),
        frames=np.array(frames, dtype=np.int64),
        boxes=np.array([best[frame][0] for frame in frames]),
        scores=np.array([best[frame][1] for frame in frames]),
    )


def _category_names(rows: Iterable[VideoRow]) -> Iterator[str]:
    for row in rows:
        yield from (track.category or UNNAMED for track in row.tracks)
        yield from (event.object or UNNAMED for event in row.events if len(event.object_frames))


def _ids(names: Iterable[str], first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)), first)}
