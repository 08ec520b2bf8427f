"""The JSON layout that VidVRD, VidOR and VidSTG's videos share: one file of tracks and relations per video.

Fields: ``video_id, frame_count, fps, width, height``; ``subject/objects`` (``tid, category``);
``trajectories``, one list per frame of ``tid, bbox {xmin, ymin, xmax, ymax}, generated`` (0 drawn by hand, 1
by a tracker or interpolation); ``relation_instances`` (``subject_tid, object_tid, predicate, begin_fid``
inclusive, ``end_fid`` exclusive). VidOR adds ``version``, ``video_path`` and, per box, ``tracker``.
``xmax`` and ``ymax`` name the last pixel inside the box, as the authors' evaluation has it
(https://github.com/xdshang/VidVRD-helper, ``evaluation/common.py``): a box is ``xmax - xmin + 1`` wide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataset_script import media
from dataset_script.records import Box, InteractionRecord, TargetRecord, VideoRecord

from .reading import Broken, SourceError, listed, read_each, read_json, value

MANUAL = "manual_frames"  # in a record's metadata: by track id, the frames whose boxes people have drawn


def read_relation_files(paths: Iterable[Path], source: str, split: str,
                        broken: list[Broken] | None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the record of each file, one file in memory at a time.

    Args:
        paths: The files.
        source: Name of the data set.
        split: Name of the split, goes into the records' metadata.
        broken: None to raise on the first broken file or relation, or the list that collects them.
    """
    read = partial(read_relation_file, source=source, split=split, broken=broken)
    return read_each(paths, read, broken, where=lambda path: path)


def read_relation_file(path: Path, source: str, split: str, broken: list[Broken] | None = None) -> VideoRecord:
    """The record of one file.

    Args:
        path: The file.
        source: Name of the data set.
        split: Name of the split.
        broken: None to raise on a broken relation, or the list that notes it; everything else raises.

    Raises:
        SourceError: If the file is not in the layout, or names a track that it does not declare.
    """
    data = read_json(path)
    video_id, frames = value(data, "video_id", str, path), value(data, "frame_count", int, path)
    categories = {
        value(row, "tid", int, path): value(row, "category", str, path)
        for row in value(data, "subject/objects", list, path)
    }
    boxes, manual = _boxes(data, path, frames, categories)
    return VideoRecord(
        video_id=video_id,
        file_name=value({"video_path": f"{video_id}.mp4", **data}, "video_path", str, path),
        width=value(data, "width", int, path),
        height=value(data, "height", int, path),
        fps=float(value(data, "fps", float, path)),
        num_frames=frames,
        targets=[TargetRecord(tid, name, boxes[tid], main=False) for tid, name in sorted(categories.items())],
        interactions=_relations(data, path, frames, categories, broken),
        prompt=None,
        source=source,
        metadata={"split": split, MANUAL: manual},
    )


def _boxes(data: Mapping[str, Any], path: Path, frames: int,
           categories: Mapping[int, str]) -> tuple[dict[int, dict[int, Box]], dict[str, list[int]]]:  # fmt: skip
    """Boxes by track and frame; by track, as text, the frames whose boxes are drawn by hand."""
    boxes: dict[int, dict[int, Box]] = {tid: {} for tid in categories}
    manual: dict[str, list[int]] = {str(tid): [] for tid in sorted(categories)}
    trajectories = value(data, "trajectories", list, path)
    if len(trajectories) != frames:
        raise SourceError(path, f"expected trajectories for {frames} frames, got {len(trajectories)}")
    for frame, rows in enumerate(trajectories):
        where = f"'{path}', trajectories[{frame}]"
        if not isinstance(rows, list):
            raise SourceError(where, f"expected a list of boxes, got {rows!r:.80}")
        for row in rows:
            tid = _known(value(row, "tid", int, where), categories, where)
            if frame in boxes[tid]:
                raise SourceError(where, f"expected one box per track, got two of tid {tid}")
            boxes[tid][frame] = _box(value(row, "bbox", dict, where), where)
            if not row.get("generated", 0):
                manual[str(tid)].append(frame)
    return boxes, manual


def _box(corners: Mapping[str, Any], where: str) -> Box:
    left, top, right, bottom = (value(corners, side, float, where) for side in ("xmin", "ymin", "xmax", "ymax"))
    return left, top, right - left + 1, bottom - top + 1


def _relations(data: Mapping[str, Any], path: Path, frames: int, categories: Mapping[int, str],
               broken: list[Broken] | None) -> list[InteractionRecord]:  # fmt: skip
    def place(entry: tuple[int, Any]) -> str:
        return f"'{path}', relation_instances[{entry[0]}]"

    def read(entry: tuple[int, Any]) -> InteractionRecord:
        where, row = place(entry), entry[1]
        begin, end = value(row, "begin_fid", int, where), value(row, "end_fid", int, where)
        if end > frames:
            raise SourceError(where, f"expected end_fid up to frame_count {frames}, got {end}")
        return InteractionRecord(
            subject=_known(value(row, "subject_tid", int, where), categories, where),
            interaction=value(row, "predicate", str, where),
            object=_known(value(row, "object_tid", int, where), categories, where),
            start_frame=begin,
            end_frame=end,
        )

    rows = value(data, "relation_instances", list, path)
    return list(read_each(enumerate(rows), read, broken, place))


def _known(tid: int, categories: Mapping[int, str], where: str) -> int:
    if tid not in categories:
        raise SourceError(where, f"tid {tid} points nowhere; subject/objects declares {listed(sorted(categories))}")
    return tid


def write_relation_file(record: VideoRecord, path: str | Path) -> None:
    """Writes a record in the layout; :func:`read_relation_file` gives its tracks and relations back.

    Args:
        record: The video; boxes are written as they are, whole numbers as integers. A box counts as drawn
            by hand where the record's metadata says so (``"manual_frames"``).
        path: The JSON file, overwritten if it exists.

    Raises:
        ValueError: If the interactions are not annotated or one has no object: the layout cannot say that.
        OutputError: If the file cannot be written.
    """
    if record.interactions is None:
        raise ValueError(f"video '{record.video_id}': the VidOR layout needs annotated interactions, got None")
    manual = {int(tid): set(frames) for tid, frames in record.metadata.get(MANUAL, {}).items()}
    data = {
        "version": "VERSION 1.0",
        "video_id": record.video_id,
        "video_path": record.file_name,
        "frame_count": record.num_frames,
        "fps": _whole(record.fps),
        "width": record.width,
        "height": record.height,
        "subject/objects": [{"tid": target.track_id, "category": target.category} for target in record.targets],
        "trajectories": [
            [_row(t, frame, manual) for t in record.targets if frame in t.boxes] for frame in range(record.num_frames)
        ],
        "relation_instances": [_relation(event, record.video_id) for event in record.interactions],
    }
    with media.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, separators=(",", ":"))


def _row(target: TargetRecord, frame: int, manual: Mapping[int, set[int]]) -> dict[str, Any]:
    x, y, width, height = target.boxes[frame]
    corners = {"xmin": x, "ymin": y, "xmax": x + width - 1, "ymax": y + height - 1}
    generated = int(frame not in manual.get(target.track_id, ()))
    return {
        "tid": target.track_id,
        "bbox": {side: _whole(number) for side, number in corners.items()},
        "generated": generated,
        "tracker": "none",
    }


def _relation(event: InteractionRecord, video_id: str) -> dict[str, Any]:
    if event.object is None:
        why = f"'{event.interaction}' of track {event.subject} has no object, which the VidOR layout cannot say"
        raise ValueError(f"video '{video_id}': {why}")
    return {
        "subject_tid": event.subject,
        "object_tid": event.object,
        "predicate": event.interaction,
        "begin_fid": event.start_frame,
        "end_fid": event.end_frame,
    }


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number
