"""The demo's endpoints for programs: uploaded videos in, plain JSON out; paths and URLs are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .app_actions import Demo
from .app_clicks import box_of_clicks
from .app_run import Run
from .app_state import Click, Prompt
from .app_video import Clip, frame_at, open_clip
from .app_views import event_rows
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


def track_point(demo: Demo, path: Path, name: str, x: float, y: float, frame: int) -> list[SemanticTrajectory]:
    """Follows what lies at a point of a frame.

    Args:
        demo: With the model.
        path: The video.
        name: What to call it in messages.
        x: Pixels from the left.
        y: Pixels from the top.
        frame: 0-based index of the frame.

    Raises:
        ValueError: If the video, the frame or the point is not fit.
    """
    clip = _clip(demo, path, name, frame)
    images = demo.processor.image_processor
    box = box_of_clicks(demo.model, images, frame_at(clip, int(frame)), [Click(float(x), float(y))])
    return _track(demo, clip, box, int(frame))


def track_box(demo: Demo, path: Path, name: str, box: Box, frame: int) -> list[SemanticTrajectory]:
    """Follows what lies in a box (xywh pixels) of a frame; otherwise as [`track_point`]."""
    clip = _clip(demo, path, name, frame)
    return _track(demo, clip, check_box(box, frame_at(clip, int(frame))), int(frame))


def as_json(trajectories: list[SemanticTrajectory]) -> dict:
    """What `semtrack track --format json` writes."""
    return json.loads(dumps(trajectories, "json"))


def as_events(trajectories: list[SemanticTrajectory]) -> list[dict]:
    """The events alone."""
    names = ("target", "subject", "interaction", "object", "start_time", "end_time", "score")
    return [dict(zip(names, row)) for row in event_rows(trajectories)]


def _clip(demo: Demo, path: Path, name: str, frame: int) -> Clip:
    with discarded_if_refused(path):
        clip = open_clip(path, name, demo.limits)
    if not 0 <= int(frame) <= clip.last:
        raise ValueError(f"frame must be between 0 and {clip.last}, got {frame}")
    return clip


def _track(demo: Demo, clip: Clip, box: Box, frame: int) -> list[SemanticTrajectory]:
    run = Run(demo.model, demo.processor, clip)
    for _ in run.follow([Prompt(1, frame, box)]):
        pass
    return run.trajectories()
