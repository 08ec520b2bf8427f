"""A model over annotated videos: every main object tracked from its first box on, as rows for the metric."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from pathlib import Path
from typing import Any

from dataset_script.records import TargetRecord, VideoRecord
from metrics.semtrack.conversion import record_to_row, to_row
from metrics.semtrack.rows import read_row

from .files import atomic_path
from .processing_semtrack import clip_box
from .session_semtrack import SemTrackSession
from .video import VideoError, VideoReader

Row = dict[str, Any]
NewSession = Callable[[int], SemTrackSession]
Progress = Callable[[int], None]

INTERRUPTED = "interrupted before it was tracked to its end"
NAMES_SHOWN = 3  # in error messages


@dataclass
class Evaluation:
    """What a model said about some videos, and what is true.

    Attributes:
        predictions: One row per video; their structure is in `metrics/semtrack/rows.py`.
        references: The truth of the same videos, in the same order.
        left_out: Why a video could not be used, by its id.
    """

    predictions: list[Row] = field(default_factory=list)
    references: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate_videos(
    records: Sequence[VideoRecord],
    folder: Path,
    new_session: NewSession,
    progress: Progress | None = None,
    done: Mapping[str, Row] | None = None,
) -> Evaluation:
    """Tracks the main objects of some videos.

    A video that is missing, damaged, of another size than its annotations say or shorter than they reach is left
    out as a whole: its frames would not be those that were annotated. Ctrl-C leaves out the video that is being
    tracked and those that would follow, with the reason `INTERRUPTED`.

    Args:
        records: The videos with their truth.
        folder: Where the videos lie.
        new_session: Makes a session for a video that is read from the given frame on.
        progress: Called with the index of every finished frame.
        done: Predictions of an earlier run by the video's id: these videos are not tracked again.

    Raises:
        KeyboardInterrupt: On Ctrl-C, if no video is done.
    """
    evaluation, done, interrupted = Evaluation(), done or {}, False
    for record in records:
        row = done.get(record.video_id)
        if row is None and interrupted:
            evaluation.left_out[record.video_id] = INTERRUPTED
            continue
        try:
            row = row or track_record(record, find_video(folder, record.file_name), new_session, progress)
        except VideoError as error:
            evaluation.left_out[record.video_id] = " ".join(str(error).split())
            continue
        except KeyboardInterrupt:
            interrupted = True
            evaluation.left_out[record.video_id] = INTERRUPTED
            continue
        evaluation.predictions.append(row)
        evaluation.references.append(record_to_row(record))
    if interrupted and not evaluation.predictions:
        raise KeyboardInterrupt
    return evaluation


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Writes rows as one JSON object a line.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def read_rows(path: Path, records: Iterable[VideoRecord]) -> dict[str, Row]:
    """Inverse of :func:`write_rows`: rows by the id of their video.

    Args:
        path: The file.
        records: The videos that may have rows.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is no row, or rows are of other videos or of one video twice.
    """
    rows: dict[str, Row] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                read_row(row, f"line {number}")
            except json.JSONDecodeError as error:
                raise ValueError(f"'{path}', line {number}: not JSON ({error}); the file is damaged") from error
            except ValueError as error:
                raise ValueError(f"'{path}', {error}") from error
            if row["video_id"] in rows:
                raise ValueError(f"'{path}', line {number}: video '{row['video_id']}' has two rows; remove one")
            rows[row["video_id"]] = row
    unknown = sorted(rows.keys() - {record.video_id for record in records})
    if unknown:
        shown = ", ".join(unknown[:NAMES_SHOWN]) + (", ..." if len(unknown) > NAMES_SHOWN else "")
        raise ValueError(f"'{path}' holds {len(unknown)} videos that the annotations do not: {shown}; is it theirs?")
    return rows


def check_videos(records: Sequence[VideoRecord], folder: Path) -> None:
    """Refuses a folder in which no video can be found, which is easily the wrong one.

    Raises:
        ValueError: If there are no records, or none of their videos is there.
    """
    if not records:
        raise ValueError("there is no video to evaluate")
    for record in records:
        with suppress(VideoError):
            find_video(folder, record.file_name)
            return
    raise ValueError(
        f"none of the {len(records)} videos is in '{folder}', for example not '{records[0].file_name}'; "
        "--videos is the folder that file names in the annotations are relative to"
    )


def find_video(folder: Path, file_name: str) -> Path:
    """The file or folder of frames that an annotation file calls `file_name`, with any suffix where it names none.

    Raises:
        VideoError: If there is none, or more than one.
    """
    path = folder / file_name
    if path.exists():
        return path
    found = sorted(other for other in path.parent.glob("*") if other.stem == path.name)
    if len(found) != 1:
        several = f": {', '.join(other.name for other in found)}" if found else ""
        raise VideoError(f"'{path}' must name one video or folder of frames, found {len(found)}{several}")
    return found[0]


def track_record(record: VideoRecord, video: Path, new_session: NewSession, progress: Progress | None = None) -> Row:
    """The row of what a session says about the main objects of one video; each starts with its first true box.

    Where a record marks no main object, all its objects are tracked. The category of a target is given with its
    box; objects of events are the model's own.

    Args:
        record: The video's truth.
        video: Its file, or its folder of frames.
        new_session: Makes a session for a video that is read from the given frame on.
        progress: Called with the index of every finished frame.

    Raises:
        VideoError: If the video cannot be read, is damaged or does not fit its annotations.
    """
    waiting = [target for target in main_targets(record) if target.boxes]
    if not waiting:
        raise VideoError("no main object has a box to start from")
    first = min(min(target.boxes) for target in waiting)
    session, tracks, frames = new_session(first), {}, 0
    with VideoReader(video, fps=record.fps if video.is_dir() else None) as reader:
        _check_size(reader, record)
        for frame in islice(reader, record.num_frames):
            frames += 1
            if frame.index < first:
                continue
            for target in [target for target in waiting if frame.index in target.boxes]:
                box = clip_box(target.boxes[frame.index], frame.image.shape[:2])
                if box is not None:
                    tracks[session.add_target(frame.image, box=box, category=target.category)] = target.track_id
                    waiting.remove(target)
            session.step(frame.image, time=frame.time)
            if progress is not None:
                progress(frame.index)
        _check_frames(reader, frames, record)
    trajectories = [replace(session.trajectory(target), target_id=track) for target, track in tracks.items()]
    return to_row(record.video_id, trajectories, record.num_frames, float(record.fps))


def main_targets(record: VideoRecord) -> list[TargetRecord]:
    """The objects that are to be tracked: those marked main, or all where none is."""
    return [target for target in record.targets if target.main] or record.targets


def annotated_interactions(records: Iterable[VideoRecord]) -> list[str]:
    """The interactions that occur in the truth of some videos, by name; empty where none is annotated.

    Raises:
        ValueError: If some videos are annotated with interactions and others are not.
    """
    records = list(records)
    without = [record.video_id for record in records if record.interactions is None]
    if 0 < len(without) < len(records):
        raise ValueError(
            f"video '{without[0]}' annotates no interactions while others do ({len(without)} of {len(records)}); "
            "evaluate the two kinds apart"
        )
    return sorted({event.interaction for record in records for event in record.interactions or ()})


def comparable(
    rows: Iterable[Row], records: Iterable[VideoRecord], interactions: Collection[str]
) -> tuple[list[Row], Counter[str]]:
    """Predictions without what the truth says nothing about, which can be neither right nor wrong.

    These are events whose interaction the data set does not annotate, and boxes in frames that it leaves out.

    Args:
        rows: The predictions.
        records: The truth of the same videos, and perhaps of others.
        interactions: Those that the data set annotates.

    Returns:
        The rows, and how many events were left out by interaction.
    """
    known = {record.video_id: record.annotated_frames for record in records}
    kept, ignored = [], Counter()
    for row in rows:
        ignored.update(event["interaction"] for event in row["events"] if event["interaction"] not in interactions)
        events = [event for event in row["events"] if event["interaction"] in interactions]
        frames = known[row["video_id"]]
        if frames is None:
            kept.append(row | {"events": events})
            continue
        tracks = [_only_frames(track, set(frames), ("frames", "boxes", "scores")) for track in row["tracks"]]
        events = [_only_frames(event, set(frames), ("object_frames", "object_boxes")) for event in events]
        kept.append(row | {"tracks": tracks, "events": events})
    return kept, ignored


def _only_frames(entry: Row, frames: set[int], columns: tuple[str, ...]) -> Row:
    """The entry with the rows of its columns that are in these frames; the first column has the frame."""
    inside = [frame in frames for frame in entry[columns[0]]]
    return entry | {name: list(compress(entry[name], inside)) for name in columns}


def _check_size(reader: VideoReader, record: VideoRecord) -> None:
    if (reader.width, reader.height) != (record.width, record.height):
        raise VideoError(
            f"{reader.name} has frames of {reader.width}x{reader.height} pixels, its annotations are for "
            f"{record.width}x{record.height}"
        )


def _check_frames(reader: VideoReader, frames: int, record: VideoRecord) -> None:
    last = max((max(target.boxes) for target in record.targets if target.boxes), default=-1)
    if frames <= last or reader.damaged_packets:
        damaged = f" and {reader.damaged_packets} damaged packets" if reader.damaged_packets else ""
        raise VideoError(f"{reader.name} has {frames} frames{damaged}, its annotations reach frame {last}")
