"""The demo's endpoints for programs: uploaded videos in, plain JSON out; paths and URLs are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .app_actions import Demo
from .app_clicks import box_of_clicks
from .app_run import Run
from .app_state import Click, Prompt
from .app_video import Clip, open_clip, read_forwards
from .app_views import event_rows
from .app_work import compute
from .export import dumps
from .processing_semtrack import check_box
from .trajectory import Box, SemanticTrajectory
from .video import VideoError


def uploaded_path(video: Any, uploads: Path) -> tuple[Path, str]:
    """The file of an uploaded video, and its name.

    Args:
        video: What the client sent: a mapping as `gradio_client.handle_file` makes it.
        uploads: The folder into which uploads go; files elsewhere are refused.

    Raises:
        ValueError: If it is anything else.
    """
    path = video.get("path") if isinstance(video, Mapping) else None
    if not isinstance(path, str) or not path:
        raise ValueError("video must be an uploaded file (gradio_client.handle_file), not a path or URL")
    resolved = Path(path).resolve()
    if not resolved.is_relative_to(uploads.resolve()) or not resolved.is_file():
        raise ValueError("video must be an uploaded file (gradio_client.handle_file): it is not among the uploads")
    return resolved, Path(str(video.get("orig_name") or resolved.name)).name


@contextmanager
def discarded_if_refused(path: Path) -> Iterator[None]:
    """Deletes an upload that turns out to be no video that the demo takes."""
    try:
        yield
    except VideoError:
        path.unlink(missing_ok=True)
        raise


def track_point(
    demo: Demo, path: Path, name: str, x: float, y: float, frame: int, caller: str | None = None
) -> list[SemanticTrajectory]:
    """Follows what lies at a point of a frame.

    Args:
        demo: With the model.
        path: The video.
        name: What to call it in messages.
        x: Pixels from the left.
        y: Pixels from the top.
        frame: 0-based index of the frame.
        caller: Session of the program that waits for the answer; the work ends when it hangs up.

    Raises:
        ValueError: If the video, the frame or the point is not fit.
    """
    clip, image = _clip(demo, path, name, frame)
    box = compute(box_of_clicks, demo.model, demo.processor.image_processor, image, [Click(_number(x), _number(y))])
    return _track(demo, clip, box, int(frame), caller)


def track_box(
    demo: Demo, path: Path, name: str, box: Box, frame: int, caller: str | None = None
) -> list[SemanticTrajectory]:
    """Follows what lies in a box (xywh pixels) of a frame; otherwise as [`track_point`]."""
    clip, image = _clip(demo, path, name, frame)
    return _track(demo, clip, check_box([_number(value) for value in box], image), int(frame), caller)


def as_json(trajectories: list[SemanticTrajectory]) -> dict:
    """What `semtrack track --format json` writes."""
    return json.loads(dumps(trajectories, "json"))


def as_events(trajectories: list[SemanticTrajectory]) -> list[dict]:
    """The events alone."""
    names = ("target", "subject", "interaction", "object", "start_time", "end_time", "score")
    return [dict(zip(names, row)) for row in event_rows(trajectories)]


def _number(value: Any) -> float:
    """Programs may send anything.

    Raises:
        ValueError: If it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"coordinates must be numbers (pixels), got {str(value)[:40]!r}")
    return float(value)


def _clip(demo: Demo, path: Path, name: str, frame: int) -> tuple[Clip, np.ndarray]:
    """The video, and the frame in which the target is picked."""
    with discarded_if_refused(path):
        clip = open_clip(path, name, demo.limits)
    if not 0 <= _number(frame) <= clip.last:
        raise ValueError(f"frame must be between 0 and {clip.last}, got {frame}")
    return clip, next(read_forwards(clip, int(frame))).image


def _track(demo: Demo, clip: Clip, box: Box, frame: int, caller: str | None) -> list[SemanticTrajectory]:
    run = Run(demo.model, demo.processor, clip)
    with demo.visitors.calling(caller or "") as gone:
        for _ in run.follow([Prompt(1, frame, box)], gone):
            pass
    return run.trajectories()
