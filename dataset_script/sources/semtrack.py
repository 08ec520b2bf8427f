"""The official SemTrack annotation layout (TAO-like JSON), read and written.

Home page: https://github.com/sutdcv/SemTrack (annotations and videos are handed out on request, for
non-commercial research; the videos keep the licences of the eight data sets that they come from).
Citation: Wang et al., "SemTrack: A Large-scale Dataset for Semantic Tracking in the Wild", ECCV 2024.

Expected on disk: one annotation file, or a folder with one per split, beside the videos or in
``annotations/``: ``train.json``, ``validation.json`` (or ``val.json``), ``test.json``; a name may have
more before the split's (``semtrack_train.json``). ``file_name`` of a video is relative to the videos.

Lists of the file: ``videos``, ``images`` (one per annotated frame), ``tracks``, ``categories``,
``annotations`` (one per visible box, ``bbox`` xywh pixels) and ``interactions``. An annotation holds one
relation per frame: ``relation_sub_category_id`` where the track is the subject, ``relation_obj_category_id``
where it is the object, -1 for none. What that cannot say (several interactions at once, intervals in which
nobody is visible, which subject belongs to which object) stands in an additional list ``events``; the reader
takes it where it is and derives events from runs of equal relation ids where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.splits import PUBLISHED_NAMES, SPLITS

from .json_lists import ByVideo, scan_lists
from .reading import Broken, SourceError, contents, expect_folder, pick_splits, read_each, tolerating
from .semtrack_writer import NONE, REQUIRED_LISTS, UNNAMED, write_semtrack

__all__ = ["read_semtrack", "read_semtrack_folder", "write_semtrack"]

SOURCE = "semtrack"
SHARED_LISTS = ("videos", "categories", "interactions")
VIDEO_LISTS = ("images", "tracks", "annotations", "events")


def read_semtrack_folder(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
                         fps: float | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the videos of annotation files in the SemTrack layout.

    No more than the annotations of one video (and where those of the others lie) are in memory.

    Args:
        data_dir: The annotation file, or the folder with one per split (see above).
        split: ``"train"``, ``"validation"`` or ``"test"``, or None for all. A video belongs to the one that its
            file's name tells, which it notes as ``metadata["split"]``, or else to the one it notes itself.
        broken: None to raise at the first broken file or video, or the list that collects them.
        fps: Frame rate of the videos that do not name their own.

    Yields:
        One record per video, in the files' order.

    Raises:
        SourceError: If there is no annotation file, or (with ``broken`` None) one is broken.
        ValueError: If ``split`` is none of the names.
    """
    pick_splits(split, dict.fromkeys(SPLITS))
    for path in annotation_files(Path(data_dir)):
        named = _split_of(path)
        if split is not None and named not in (None, split):
            continue
        for record in _stream(path, fps, broken):
            if named is not None:
                record.metadata = record.metadata | {"split": named}
            if split in (None, record.metadata.get("split")):
                yield record


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
        SourceError: If the file is not JSON, misses a list, refers to something it does not hold, or holds a
            video without a frame rate and ``fps`` is None.
    """
    path = Path(annotation_path)
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at '{path}'")
    return list(_stream(path, fps, None))


def annotation_files(data: Path) -> list[Path]:
    """The annotation file itself, or those of a folder, sorted.

    Raises:
        SourceError: If there is none.
    """
    if data.is_file():
        return [data]
    what = "SemTrack annotations (train.json, validation.json, test.json)"
    folder = expect_folder(data, what)
    annotations = folder / "annotations"
    files = sorted((annotations if annotations.is_dir() else folder).glob("*.json"))
    if not files:
        raise SourceError(folder, f"expected {what}, found {contents(folder)}; give the folder that holds them")
    return files


def _split_of(path: Path) -> str | None:
    """The split that a file's name tells."""
    return PUBLISHED_NAMES.get(re.split(r"[^a-z]+", path.stem.lower())[-1])


def _stream(path: Path, fps: float | None, broken: list[Broken] | None) -> Iterator[VideoRecord]:
    with tolerating(broken, path):
        reader = _Reader(path, fps)
        yield from read_each(reader.videos, reader.record, broken, lambda video: f"'{path}', video {_name(video)}")


def _name(video: Mapping[str, Any]) -> str:
    return repr(video.get("name", video.get("id")))


class _Reader:
    """Indexes of one annotation file: small lists whole, long ones by where each video's rows lie."""

    def __init__(self, path: Path, fps: float | None) -> None:
        self.path, self.fps = path, fps
        self.lists = {name: ByVideo(path) for name in (*SHARED_LISTS, *VIDEO_LISTS)}
        found = self._index()
        missing = [name for name in REQUIRED_LISTS if name not in found]
        if missing:
            raise SourceError(path, f"not in the SemTrack layout: it has no list {missing}")
        self.has_events = "events" in found
        try:
            self.videos = self.lists["videos"].rows(None)
            self.categories = {c["id"]: _category(c) for c in self.lists["categories"].rows(None)}
            self.interactions = {i["id"]: i["name"] for i in self.lists["interactions"].rows(None)}
            self._check_videos({video["id"] for video in self.videos})
        except KeyError as error:
            raise SourceError(path, f"a video, category or interaction misses the field {error}") from error
        except TypeError as error:
            raise SourceError(path, f"a video, category or interaction has an id that is none ({error})") from error

    def _index(self) -> set[str]:
        """Notes where everything lies; gives the names of the lists."""
        found: set[str] = set()
        for name, value, begin, end in scan_lists(self.path, found):
            if name not in self.lists:
                continue
            owner = value.get("video_id") if isinstance(value, dict) and name in VIDEO_LISTS else None
            if not isinstance(value, dict) or (name in VIDEO_LISTS and not isinstance(owner, int | str)):
                kind = "an object" if name in SHARED_LISTS else "an object with 'video_id', a number or a name,"
                raise SourceError(f"'{self.path}', byte {begin}", f"expected {kind} in '{name}', got {value!r:.80}")
            self.lists[name].add(owner, begin, end)
        return found

    def _check_videos(self, known: set[Any]) -> None:
        for name in VIDEO_LISTS:
            unknown = [video for video in self.lists[name] if video not in known]
            if unknown:
                raise SourceError(self.path, f"'{name}' refers to a video that 'videos' does not hold: {unknown[0]}")

    def record(self, video: Mapping[str, Any]) -> VideoRecord:
        """Reads one video."""
        try:
            rows = {name: self.lists[name].rows(video["id"]) for name in VIDEO_LISTS}
            return _VideoReader(self, video, rows).record()
        except KeyError as error:
            place = f"'{self.path}', video {_name(video)}"
            raise SourceError(place, f"refers to an id or field that it does not hold: {error}") from error
        except (TypeError, AttributeError) as error:  # of JSON values that are no numbers, names or lists
            place = f"'{self.path}', video {_name(video)}"
            raise SourceError(place, f"holds a value of another kind than the layout has: {error}") from error


class _VideoReader:
    """The rows of one video."""

    def __init__(self, file: _Reader, video: Mapping[str, Any], rows: Mapping[str, list[dict[str, Any]]]) -> None:
        self.file, self.video, self.rows = file, video, rows
        self.frame_of = {image["id"]: image["frame_index"] for image in rows["images"]}
        self.local = {track["id"]: track.get("track_id", track["id"]) for track in rows["tracks"]}
        self.annotations: dict[Any, list[Mapping[str, Any]]] = {track: [] for track in self.local}
        for row in rows["annotations"]:
            self.annotations[row["track_id"]].append(row)

    def record(self) -> VideoRecord:
        """The video as a record."""
        video, images = self.video, self.rows["images"]
        size = video if "width" in video or not images else images[0]
        fps = video.get("fps", self.file.fps)
        if fps is None:
            raise ValueError(f"video '{video['name']}' names no frame rate; say which it has (fps=...)")
        frames = sorted(self.frame_of.values())
        return VideoRecord(
            video_id=str(video["name"]),
            file_name=video.get("file_name", str(video["name"])),
            width=size["width"],
            height=size["height"],
            fps=fps,
            num_frames=video.get("num_frames") or (frames[-1] + 1 if frames else 0),
            targets=[self._target(track) for track in self.rows["tracks"]],
            interactions=self._interactions(),
            prompt=video.get("lang") or None,
            source=video.get("source", SOURCE),
            metadata=video.get("metadata", {}),
            annotated_frames=tuple(frames),
        )

    def _target(self, track: Mapping[str, Any]) -> TargetRecord:
        annotations = self.annotations[track["id"]]
        main = track.get("main_object", any(a.get("main_object", 0) for a in annotations))
        boxes = {self.frame_of[a["image_id"]]: a["bbox"] for a in annotations}
        category = self.file.categories[track["category_id"]]
        return TargetRecord(self.local[track["id"]], category, boxes, bool(main))

    def _interactions(self) -> list[InteractionRecord] | None:
        if not self.video.get("interactions_annotated", True):
            return None
        if self.file.has_events:
            return [
                InteractionRecord(self.local[e["subject_track_id"]], e["interaction"],
                                  None if e["object_track_id"] is None else self.local[e["object_track_id"]],
                                  e["start_frame"], e["end_frame"])
                for e in self.rows["events"]
            ]  # fmt: skip
        if not any("relation_sub_category_id" in a for a in self.rows["annotations"]):
            return None
        return self._derived()

    def _derived(self) -> list[InteractionRecord]:
        """Events from runs of equal relation ids."""
        acted_on: dict[Any, dict[int, int]] = {
            track: {self.frame_of[a["image_id"]]: a.get("relation_obj_category_id", NONE) for a in rows}
            for track, rows in self.annotations.items()
        }
        events = []
        for subject, rows in self.annotations.items():
            for (interaction, named), start, end in _runs(self._relations(rows)):
                objects = named or tuple(
                    other for other, relations in acted_on.items()
                    if other != subject and any(relations.get(f) == interaction for f in range(start, end))
                )  # fmt: skip
                name = self.file.interactions.get(interaction, str(interaction))
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


def _category(row: Mapping[str, Any]) -> str | None:
    """A category's name; ``named`` tells a class called like :data:`UNNAMED` from a missing name."""
    return row["name"] if row["name"] != UNNAMED or row.get("named") else None
