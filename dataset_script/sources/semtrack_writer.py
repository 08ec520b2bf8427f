"""Writer of the official SemTrack annotation layout; :mod:`.semtrack` describes and reads it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from dataset_script import media
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord

NONE = -1  # the interaction id for "no interaction"
UNNAMED = "unknown"  # the category of a track without a class name
REQUIRED_LISTS = ("videos", "images", "tracks", "categories", "annotations")


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
    with ExitStack() as cleanup:
        writer = _Writer(categories, interactions, cleanup)
        for record in records:
            writer.add(record)
        with media.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            writer.write_to(file, {"description": description, "version": "1.0"})


class _Rows:
    """A list of the file while it grows: JSON text, on disk where it becomes long."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._text = cleanup.enter_context(tempfile.SpooledTemporaryFile(1 << 20, "w+", encoding="utf-8"))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: Mapping[str, Any]) -> None:
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        self._text.write(f",{text}" if self._count else text)
        self._count += 1

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.append(row)

    def copy_to(self, file: IO[str]) -> None:
        self._text.seek(0)
        shutil.copyfileobj(self._text, file)


class _Writer:
    """Collects the lists of one annotation file and counts its ids."""

    def __init__(self, categories: Sequence[str], interactions: Sequence[str], cleanup: ExitStack) -> None:
        self.data = {name: _Rows(cleanup) for name in (*REQUIRED_LISTS, "interactions", "events")}
        self.categories: dict[str | None, int] = {}
        self.interactions: dict[str, int] = {}
        self.names: set[str] = set()
        for name in categories:
            self._category(name)
        for name in interactions:
            self._interaction(name)

    def write_to(self, file: IO[str], info: Mapping[str, str]) -> None:
        """Writes the whole file."""
        file.write(f'{{"info":{json.dumps(info, ensure_ascii=False)}')
        for name, rows in self.data.items():
            file.write(f',"{name}":[')
            rows.copy_to(file)
            file.write("]")
        file.write("}")

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
        frames = range(record.num_frames) if record.annotated_frames is None else record.annotated_frames
        image_of = {frame: first_image + number for number, frame in enumerate(frames)}
        self.data["images"].extend(
            {"id": image, "video_id": video_id, "frame_index": frame} for frame, image in image_of.items()
        )
        relations = self._relations(record.interactions or ())
        tracks = {target.track_id: self._track(target, video_id) for target in record.targets}
        for target in record.targets:
            self._annotations(target, tracks[target.track_id], video_id, image_of, relations)
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

    def _annotations(self, target: TargetRecord, track: int, video_id: int, image_of: Mapping[int, int],
                     relations: Mapping[tuple[str, int, int], int]) -> None:  # fmt: skip
        for frame, box in target.boxes.items():
            self.data["annotations"].append(
                {
                    "id": len(self.data["annotations"]) + 1,
                    "image_id": image_of[frame],
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
            row = {"id": self.categories[name], "name": UNNAMED if name is None else name}
            self.data["categories"].append({**row, "named": True} if name == UNNAMED else row)
        return self.categories[name]

    def _interaction(self, name: str) -> int:
        if name not in self.interactions:
            self.interactions[name] = len(self.interactions)
            self.data["interactions"].append({"id": self.interactions[name], "name": name})
        return self.interactions[name]
