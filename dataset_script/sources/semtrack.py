"""The official SemTrack annotation layout (TAO-like JSON), read and written.

Lists of the file: ``videos``, ``images`` (one per frame), ``tracks``, ``categories``, ``annotations`` (one
per visible box, ``bbox`` xywh pixels) and ``interactions``. An annotation holds one relation per frame:
``relation_sub_category_id`` where the track is the subject, ``relation_obj_category_id`` where it is the
object, -1 for none. What that cannot say (several interactions at once, intervals in which nobody is
visible, which subject belongs to which object) stands in an additional list ``events``; the reader takes
it where it is and derives events from runs of equal relation ids where it is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from modeling_semtrack.files import atomic_path

SOURCE = "semtrack"
NONE = -1
UNNAMED = "unknown"  # the category of a track without a class name
REQUIRED_LISTS = ("videos", "images", "tracks", "categories", "annotations")


def read_semtrack(annotation_path: str | Path, fps: float | None = None) -> list[VideoRecord]:
    """Reads an annotation file in the SemTrack layout.

    Args:
        annotation_path: The JSON file.
        fps: Frame rate of the videos that do not name their own.

    Returns:
        One record per video, in the file's order. Without an ``events`` list, a run of frames in which a
        track is the subject of one interaction is an event (frames without the track do not end it);
        its object is the one that ``relation_track_id`` names (this project's export writes it), or else
        all tracks that are the object of that interaction meanwhile, one event each.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not JSON, misses a list, refers to something it does not hold, or holds a
            video without a frame rate and ``fps`` is None.
    """
    path = Path(annotation_path)
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at '{path}'")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is not a JSON file: {error}") from error
    missing = [name for name in REQUIRED_LISTS if not isinstance(data, dict) or name not in data]
    if missing:
        raise ValueError(f"'{path}' is not in the SemTrack layout: it has no list {missing}")
    try:
        return _Reader(data, fps).records()
    except KeyError as error:
        raise ValueError(f"'{path}' refers to an id or field that it does not hold: {error}") from error


class _Reader:
    """Indexes of one annotation file."""

    def __init__(self, data: Mapping[str, Any], fps: float | None) -> None:
        self.data, self.fps = data, fps
        self.categories = {c["id"]: None if c["name"] == UNNAMED else c["name"] for c in data["categories"]}
        self.interactions = {i["id"]: i["name"] for i in data.get("interactions", ())}
        self.frame_of = {image["id"]: image["frame_index"] for image in data["images"]}
        self.images = _grouped(data["images"], "video_id")
        self.annotations = _grouped(data["annotations"], "track_id")
        self.tracks = _grouped(data["tracks"], "video_id")
        self.local = {track["id"]: track.get("track_id", track["id"]) for track in data["tracks"]}
        self.events = _grouped(data["events"], "video_id") if "events" in data else None

    def records(self) -> list[VideoRecord]:
        return [self._record(video) for video in self.data["videos"]]

    def _record(self, video: Mapping[str, Any]) -> VideoRecord:
        tracks, images = self.tracks.get(video["id"], []), self.images.get(video["id"], [])
        size = video if "width" in video or not images else images[0]
        fps = video.get("fps", self.fps)
        if fps is None:
            raise ValueError(f"video '{video['name']}' names no frame rate; say which it has (fps=...)")
        return VideoRecord(
            video_id=str(video["name"]),
            file_name=video.get("file_name", str(video["name"])),
            width=size["width"],
            height=size["height"],
            fps=fps,
            num_frames=video.get("num_frames") or max((i["frame_index"] for i in images), default=-1) + 1,
            targets=[self._target(track) for track in tracks],
            interactions=self._interactions(video, tracks),
            prompt=video.get("lang") or None,
            source=video.get("source", SOURCE),
            metadata=video.get("metadata", {}),
        )

    def _target(self, track: Mapping[str, Any]) -> TargetRecord:
        annotations = self.annotations.get(track["id"], [])
        main = track.get("main_object", any(a.get("main_object", 0) for a in annotations))
        boxes = {self.frame_of[a["image_id"]]: a["bbox"] for a in annotations}
        return TargetRecord(self.local[track["id"]], self.categories[track["category_id"]], boxes, bool(main))

    def _interactions(self, video: Mapping[str, Any], tracks: Sequence[Mapping[str, Any]]) -> list | None:
        if not video.get("interactions_annotated", True):
            return None
        if self.events is not None:
            return [
                InteractionRecord(self.local[e["subject_track_id"]], e["interaction"],
                                  None if e["object_track_id"] is None else self.local[e["object_track_id"]],
                                  e["start_frame"], e["end_frame"])
                for e in self.events.get(video["id"], [])
            ]  # fmt: skip
        annotations = {t["id"]: self.annotations.get(t["id"], []) for t in tracks}
        if not any("relation_sub_category_id" in a for rows in annotations.values() for a in rows):
            return None
        return self._derived(annotations)

    def _derived(self, annotations: Mapping[Any, Sequence[Mapping[str, Any]]]) -> list[InteractionRecord]:
        """Events from runs of equal relation ids."""
        acted_on: dict[Any, dict[int, int]] = {
            track: {self.frame_of[a["image_id"]]: a.get("relation_obj_category_id", NONE) for a in rows}
            for track, rows in annotations.items()
        }
        events = []
        for subject, rows in annotations.items():
            for (interaction, named), start, end in _runs(self._relations(rows)):
                objects = named or tuple(
                    other for other, relations in acted_on.items()
                    if other != subject and any(relations.get(f) == interaction for f in range(start, end))
                )  # fmt: skip
                name = self.interactions.get(interaction, str(interaction))
                for other in objects or (None,):
                    local = None if other is None else self.local[other]
                    events.append(InteractionRecord(self.local[subject], name, local, start, end))
        return sorted(events, key=lambda e: (e.start_frame, e.end_frame, e.subject))

    def _relations(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, tuple[int, tuple]]]:
        """(frame, (interaction id, objects named by the subject itself)) in order of the frames."""
        relations = []
        for row in sorted(rows, key=lambda row: self.frame_of[row["image_id"]]):
            named = (row["relation_track_id"],) if "relation_track_id" in row else ()
            relations.append((self.frame_of[row["image_id"]], (row.get("relation_sub_category_id", NONE), named)))
        return relations


def _runs(frames: Sequence[tuple[int, tuple[int, tuple]]]) -> list[tuple[tuple[int, tuple], int, int]]:
    """Runs (value, start, end) of equal relations other than "none" in ascending (frame, value) pairs."""
    runs = []
    for value, group in groupby(frames, key=lambda pair: pair[1]):
        first, *rest = (frame for frame, _ in group)
        if value[0] != NONE:
            runs.append((value, first, (rest or [first])[-1] + 1))
    return runs


def write_semtrack(records: Iterable[VideoRecord], path: str | Path, *, categories: Sequence[str] = (),
                   interactions: Sequence[str] = (), description: str = "") -> None:  # fmt: skip
    """Writes records as one annotation file in the SemTrack layout; :func:`read_semtrack` gives them back.

    The file appears complete or not at all: it is written under a temporary name and renamed.

    Args:
        records: The videos; their ids must be unique.
        path: The JSON file, overwritten if it exists.
        categories: Names that get the first category ids (from 1), also if no record uses them.
        interactions: Names that get the first interaction ids (from 0), also if no record uses them.
        description: Goes into the file's ``info``.

    Raises:
        ValueError: If two records have the same ``video_id``.
        OutputError: If the file cannot be written.
    """
    writer = _Writer(categories, interactions, description)
    for record in records:
        writer.add(record)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(writer.data, file, ensure_ascii=False, separators=(",", ":"))


class _Writer:
    """Collects the lists of one annotation file and counts its ids."""

    def __init__(self, categories: Sequence[str], interactions: Sequence[str], description: str) -> None:
        names = (*REQUIRED_LISTS, "interactions", "events")
        self.data: dict[str, Any] = {"info": {"description": description, "version": "1.0"}}
        self.data.update({name: [] for name in names})
        self.categories: dict[str | None, int] = {}
        self.interactions: dict[str, int] = {}
        self.names: set[str] = set()
        for name in categories:
            self._category(name)
        for name in interactions:
            self._interaction(name)

    def add(self, record: VideoRecord) -> None:
        """Adds one video with all its rows."""
        if record.video_id in self.names:
            raise ValueError(f"video ids must be unique within a file, got '{record.video_id}' twice")
        self.names.add(record.video_id)
        video_id, first_image = len(self.names), len(self.data["images"]) + 1
        self.data["videos"].append(
            {
                "id": video_id,
                "name": record.video_id,
                "file_name": record.file_name,
                "width": record.width,
                "height": record.height,
                "fps": record.fps,
                "num_frames": record.num_frames,
                "lang": record.prompt or "",
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
                "interactions_annotated": record.interactions is not None,
                "source": record.source,
                "metadata": record.metadata,
            }
        )
        self.data["images"].extend(
            {"id": first_image + frame, "video_id": video_id, "frame_index": frame}
            for frame in range(record.num_frames)
        )
        relations = self._relations(record.interactions or ())
        tracks = {target.track_id: self._track(target, video_id) for target in record.targets}
        for target in record.targets:
            self._annotations(target, tracks[target.track_id], video_id, first_image, relations)
        for event in record.interactions or ():
            self.data["events"].append(
                {
                    "video_id": video_id,
                    "subject_track_id": tracks[event.subject],
                    "object_track_id": None if event.object is None else tracks[event.object],
                    "interaction": event.interaction,
                    "start_frame": event.start_frame,
                    "end_frame": event.end_frame,
                }
            )

    def _track(self, target: TargetRecord, video_id: int) -> int:
        number = len(self.data["tracks"]) + 1
        self.data["tracks"].append(
            {
                "id": number,
                "video_id": video_id,
                "category_id": self._category(target.category),
                "track_id": target.track_id,
                "main_object": int(target.main),
            }
        )
        return number

    def _annotations(self, target: TargetRecord, track: int, video_id: int, first_image: int,
                     relations: Mapping[tuple[str, int, int], int]) -> None:  # fmt: skip
        for frame, box in target.boxes.items():
            self.data["annotations"].append(
                {
                    "id": len(self.data["annotations"]) + 1,
                    "image_id": first_image + frame,
                    "video_id": video_id,
                    "track_id": track,
                    "category_id": self._category(target.category),
                    "bbox": list(box),
                    "main_object": int(target.main),
                    "relation_sub_category_id": relations.get(("subject", target.track_id, frame), NONE),
                    "relation_obj_category_id": relations.get(("object", target.track_id, frame), NONE),
                }
            )

    def _relations(self, events: Iterable[InteractionRecord]) -> dict[tuple[str, int, int], int]:
        """One interaction id per role, track and frame: of several at once the one that began last."""
        relations = {}
        for event in sorted(events, key=lambda e: e.start_frame):
            number = self._interaction(event.interaction)
            for frame in range(event.start_frame, event.end_frame):
                relations["subject", event.subject, frame] = number
                if event.object is not None:
                    relations["object", event.object, frame] = number
        return relations

    def _category(self, name: str | None) -> int:
        if name not in self.categories:
            self.categories[name] = len(self.categories) + 1
            self.data["categories"].append({"id": self.categories[name], "name": name or UNNAMED})
        return self.categories[name]

    def _interaction(self, name: str) -> int:
        if name not in self.interactions:
            self.interactions[name] = len(self.interactions)
            self.data["interactions"].append({"id": self.interactions[name], "name": name})
        return self.interactions[name]


def _grouped(rows: Iterable[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    groups: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
