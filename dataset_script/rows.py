"""Records as rows of a `datasets` table, and back: the one schema that every source shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Features, Sequence, Value, Video

from dataset_script import media
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord

try:
    from datasets import List
except ImportError:  # datasets 3: a plain list keeps a list of structs as it is

    def List(feature: Any, length: int = -1) -> Any:  # noqa: N802
        """A list of any length, or of a fixed one."""
        return [feature] if length == -1 else Sequence(feature, length=length)


FEATURES = Features(
    {
        "video_id": Value("string"),
        "video": Video(decode=False),
        "video_file": Value("string"),
        "width": Value("int32"),
        "height": Value("int32"),
        "fps": Value("float64"),
        "num_frames": Value("int32"),
        "prompt": Value("string"),
        "source": Value("string"),
        "targets": List(
            {
                "track_id": Value("int64"),
                "category": Value("string"),
                "main": Value("bool"),
                "frames": List(Value("int32")),
                "boxes": List(List(Value("float64"), length=4)),
            }
        ),
        "interactions": List(
            {
                "subject": Value("int64"),
                "interaction": Value("string"),
                "object": Value("int64"),
                "start_frame": Value("int32"),
                "end_frame": Value("int32"),
            }
        ),
        "annotated_frames": List(Value("int32")),
        "metadata": Value("string"),
    }
)


def record_to_row(record: VideoRecord, video: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A record as a row of :data:`FEATURES`; :func:`row_to_record` gives it back exactly.

    Args:
        record: The record.
        video: ``{"path": ..., "bytes": ...}`` of the video (a folder of frames has a path alone), or None
            for annotations without video.

    Returns:
        The row. ``boxes`` are xywh pixels, one per entry of ``frames``. ``interactions`` is None where the
        source does not annotate them, ``annotated_frames`` where all frames are; ``metadata`` is JSON.
    """
    return {
        "video_id": record.video_id,
        "video": None if video is None else dict(video),
        "video_file": record.file_name,
        "width": record.width,
        "height": record.height,
        "fps": record.fps,
        "num_frames": record.num_frames,
        "prompt": record.prompt,
        "source": record.source,
        "targets": [_target_to_row(target) for target in record.targets],
        "interactions": None if record.interactions is None else [{**vars(event)} for event in record.interactions],
        "annotated_frames": None if record.annotated_frames is None else list(record.annotated_frames),
        "metadata": json.dumps(record.metadata, ensure_ascii=False),
    }


def row_to_record(row: Mapping[str, Any]) -> VideoRecord:
    """The record of a row of :data:`FEATURES` (a dictionary of plain Python values)."""
    events, frames = row["interactions"], row["annotated_frames"]
    return VideoRecord(
        video_id=row["video_id"],
        file_name=row["video_file"],
        width=row["width"],
        height=row["height"],
        fps=row["fps"],
        num_frames=row["num_frames"],
        targets=[_row_to_target(target) for target in row["targets"]],
        interactions=None if events is None else [InteractionRecord(**event) for event in events],
        prompt=row["prompt"],
        source=row["source"],
        metadata=json.loads(row["metadata"]),
        annotated_frames=None if frames is None else tuple(frames),
    )


def open_video(row: Mapping[str, Any]) -> media.VideoReader:
    """The frames of a row's video: from the bytes in the row, or else from its file or folder of frames.

    Raises:
        ValueError: If the row holds no video.
        VideoError: If the video cannot be read.
    """
    video = row["video"]
    if video is None:
        raise ValueError(f"row '{row['video_id']}' holds no video; load it with videos=True")
    if video["bytes"] is not None:
        return media.VideoReader(video["bytes"])
    return media.VideoReader(video["path"], fps=row["fps"] if is_frame_folder(video) else None)


def is_frame_folder(video: Mapping[str, Any]) -> bool:
    """Whether a row's video is a folder of images."""
    return video["bytes"] is None and Path(video["path"]).is_dir()


def _target_to_row(target: TargetRecord) -> dict[str, Any]:
    return {
        "track_id": target.track_id,
        "category": target.category,
        "main": target.main,
        "frames": list(target.boxes),
        "boxes": [list(box) for box in target.boxes.values()],
    }


def _row_to_target(row: Mapping[str, Any]) -> TargetRecord:
    boxes = dict(zip(row["frames"], row["boxes"], strict=True))
    return TargetRecord(row["track_id"], row["category"], boxes, row["main"])
