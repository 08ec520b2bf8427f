"""Rows from what the project speaks, results and records, and rows as the layout that ST-mAP reads.

The structure of a row is in :mod:`.rows`. Nothing of the project is imported here, so that the metric works
in a folder of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dataset_script.records import TargetRecord, VideoRecord
    from modeling_semtrack.trajectory import SemanticTrajectory

Row = Mapping[str, Any]
UNNAMED = "unknown"
"""Category of an object or track whose class nobody named."""
NO_RELATION = -1


def to_row(
    video_id: str,
    trajectories: Sequence[SemanticTrajectory | Mapping[str, Any]],
    num_frames: int | None = None,
    fps: float | None = None,
) -> dict[str, Any]:
    """The row of one video's results.

    The object of an event is located only every so many frames, while the metric compares in every frame. So its
    boxes are interpolated linearly between two that lie at most two steps apart (a step is the shortest distance
    between two of the event), and the others stand until the next step.

    Args:
        video_id: As in the references.
        trajectories: Of all targets of the video, as objects or as the dictionaries of ``to_dict``.
        num_frames: Frames of the video; None takes those up to the last one that was followed.
        fps: Frames per second; None takes it from the times of the frames.

    Returns:
        A row in which each target is a main track with the target's id, its score the mean presence over the
        frames in which it was seen.

    Raises:
        ValueError: If two targets have the same id, or there is nothing from which a missing argument follows.
    """
    results = [t if isinstance(t, Mapping) else t.to_dict() for t in trajectories]
    ids = [result["target_id"] for result in results]
    if len(set(ids)) < len(ids):
        raise ValueError(f"video '{video_id}': the targets of one video must have distinct ids, got {ids}")
    times = dict(sorted((frame[0], frame[1]) for result in results for frame in result["frames"]))
    if num_frames is None:
        num_frames = _frames_followed(times, video_id)
    return {
        "video_id": video_id,
        "num_frames": num_frames,
        "fps": _rate(times, video_id) if fps is None else fps,
        "tracks": [_track_of_result(result) for result in results],
        "events": [_event_of_result(event, result["target_id"]) for result in results for event in result["events"]],
    }


def record_to_row(record: VideoRecord) -> dict[str, Any]:
    """The row of one video's truth.

    Args:
        record: A video that annotates interactions or, for the tracking scores alone, one that does not.

    Returns:
        A row with all its objects as tracks, and the objects of events as references to them.
    """
    categories = {target.track_id: target.category for target in record.targets}
    return {
        "video_id": record.video_id,
        "num_frames": record.num_frames,
        "fps": float(record.fps),
        "tracks": [_track_of_record(target) for target in record.targets],
        "events": [
            {
                "subject": event.subject,
                "interaction": event.interaction,
                "object": "" if event.object is None else categories[event.object] or UNNAMED,
                "object_track": -1 if event.object is None else event.object,
                "start_frame": event.start_frame,
                "end_frame": event.end_frame,
                "score": 1.0,
                "object_frames": [],
                "object_boxes": [],
            }
            for event in record.interactions or ()
        ],
    }


def empty_row(reference: Row) -> dict[str, Any]:
    """The prediction that says nothing about the reference's video."""
    return {name: reference[name] for name in ("video_id", "num_frames", "fps")} | {"tracks": [], "events": []}


def _frames_followed(times: Mapping[int, float], video_id: str) -> int:
    if not times:
        raise ValueError(f"video '{video_id}': no frame was followed, so num_frames must be given")
    return max(times) + 1


def _rate(times: Mapping[int, float], video_id: str) -> float:
    if len(times) < 2:
        raise ValueError(f"video '{video_id}': fewer than 2 frames were followed, so fps must be given")
    first, last = min(times), max(times)
    return (last - first) / (times[last] - times[first])


def _track_of_result(result: Mapping[str, Any]) -> dict[str, Any]:
    seen = [(index, box, presence) for index, _, box, presence in result["frames"] if box is not None]
    presences = [presence for _, _, presence in seen]
    return {
        "track_id": result["target_id"],
        "category": result["category"] or "",
        "main": True,
        "score": sum(presences) / len(presences) if presences else 0.0,
        "frames": [index for index, _, _ in seen],
        "boxes": [list(box) for _, box, _ in seen],
        "scores": presences,
    }


def _event_of_result(event: Mapping[str, Any], target_id: int) -> dict[str, Any]:
    frames, boxes = _in_every_frame(event["object_boxes"], event["end_frame"])
    return {
        "subject": target_id,
        "interaction": event["interaction"],
        "object": event["object"] or "",
        "object_track": -1,
        "start_frame": event["start_frame"],
        "end_frame": event["end_frame"],
        "score": event["score"],
        "object_frames": frames,
        "object_boxes": boxes,
    }


def _in_every_frame(located: Sequence[Sequence[Any]], end_frame: int) -> tuple[list[int], list[list[float]]]:
    """Frames and boxes of an object that is located in some frames, with those in between; see :func:`to_row`."""
    frames = np.array([index for index, _ in located], dtype=np.int64)
    boxes = np.array([box for _, box in located], dtype=np.float64).reshape(-1, 4)
    if len(frames) < 2:
        return frames.tolist(), boxes.tolist()
    step = np.diff(frames).min()
    every = np.arange(frames[0], min(frames[-1] + step, end_frame))
    following = np.searchsorted(frames, every, side="right")
    before, after = frames[following - 1], frames[np.minimum(following, len(frames) - 1)]
    near = after - before <= 2 * step  # also at the end, where `after` is the last frame itself
    places = np.where(near, every, before)
    filled = np.stack([np.interp(places, frames, column) for column in boxes.T], axis=1)
    known = near | (every - before < step)
    return every[known].tolist(), filled[known].tolist()


def _track_of_record(target: TargetRecord) -> dict[str, Any]:
    return {
        "track_id": target.track_id,
        "category": target.category or "",
        "main": target.main,
        "score": 1.0,
        "frames": list(target.boxes),
        "boxes": [list(box) for box in target.boxes.values()],
        "scores": [1.0] * len(target.boxes),
    }
