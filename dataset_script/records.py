"""The one record type that every data source yields.

Conventions: boxes are ``(x, y, width, height)`` in absolute pixels of the video's frames; frame
indices are 0-based; intervals are half-open ``[start, end)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

Box = tuple[float, float, float, float]  # (x, y, width, height) in pixels


@dataclass
class TargetRecord:
    """One object of a video and where it is.

    Attributes:
        track_id: Identifier, unique within the video.
        category: Class name, or None where the source does not name it.
        boxes: ``(x, y, width, height)`` in pixels by frame index; a missing frame means "not visible"
            (or "unknown", where :attr:`VideoRecord.annotated_frames` leaves the frame out).
        main: Whether the source marks this object as (one of) the video's main targets.

    Raises:
        ValueError: If a frame index is negative, or a box is not finite or has no area.
    """

    track_id: int
    category: str | None
    boxes: dict[int, Box]
    main: bool

    def __post_init__(self) -> None:
        self.boxes = {int(f): _checked_box(b, self.track_id, f) for f, b in sorted(self.boxes.items())}


@dataclass(frozen=True)
class InteractionRecord:
    """Something one object of a video does during ``[start_frame, end_frame)``.

    Attributes:
        subject: ``track_id`` of the object that acts.
        interaction: Name of the interaction, for example ``"push"``.
        object: ``track_id`` of the object that is acted upon, or None where there is none.
        start_frame: First frame of the interval.
        end_frame: Frame after the last one of the interval.

    Raises:
        ValueError: If the interval is empty, reversed or starts before frame 0, the interaction has
            no name, or the subject acts upon itself.
    """

    subject: int
    interaction: str
    object: int | None
    start_frame: int
    end_frame: int

    def __post_init__(self) -> None:
        if not self.interaction:
            raise ValueError(f"interaction of track {self.subject} needs a name, got {self.interaction!r}")
        if not 0 <= self.start_frame < self.end_frame:
            raise ValueError(
                f"interaction '{self.interaction}' must have 0 <= start < end, got frames "
                f"[{self.start_frame}, {self.end_frame})"
            )
        if self.subject == self.object:
            raise ValueError(f"interaction '{self.interaction}': track {self.subject} is its own object")


@dataclass
class VideoRecord:
    """One video with its targets and interactions.

    Attributes:
        video_id: Identifier, unique within its source.
        file_name: Path of the video file (or frame folder), relative to the folder of videos.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        fps: Frames per second.
        num_frames: Number of frames.
        targets: The annotated objects.
        interactions: What they do; an empty list means "annotated, nothing happens" and None means
            "this source does not annotate interactions".
        prompt: A sentence that names the main target, or None.
        source: Name of the data set, for example ``"synthetic"``.
        metadata: Whatever else the source says about this video (where it comes from, its split, how its
            interactions are annotated), as plain JSON types. Licence, home page and citation of a source
            stand in its adapter's docstring.
        annotated_frames: Frames in which the source annotates boxes, ascending; in every other frame it is
            unknown where the targets are and whether they are there. None means "every frame"; a list
            of all frames becomes None.

    Raises:
        ValueError: If sizes are not positive, the file name is absolute, track ids repeat, a box lies
            past the last frame or in a frame that is not annotated, an interaction names an unknown track
            or ends past the last frame, or annotated frames do not ascend inside the video.
    """

    video_id: str
    file_name: str
    width: int
    height: int
    fps: float
    num_frames: int
    targets: list[TargetRecord]
    interactions: list[InteractionRecord] | None
    prompt: str | None
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    annotated_frames: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        where = f"video '{self.video_id}'"
        if not self.video_id or not self.file_name:
            raise ValueError(f"a video needs an id and a file name, got {self.video_id!r}, {self.file_name!r}")
        if PurePosixPath(self.file_name).is_absolute() or PureWindowsPath(self.file_name).is_absolute():
            raise ValueError(f"{where}: file_name must be relative to the videos, got {self.file_name!r}")
        if self.width <= 0 or self.height <= 0 or self.num_frames <= 0 or not self.fps > 0:
            raise ValueError(
                f"{where}: width, height, num_frames and fps must be positive, got "
                f"{self.width}x{self.height}, {self.num_frames} frames, {self.fps} fps"
            )
        if self.prompt == "":
            raise ValueError(f"{where}: prompt must be None or a sentence, got an empty string")
        ids = [target.track_id for target in self.targets]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{where}: track ids must be unique, got {ids}")
        for target in self.targets:
            last = next(reversed(target.boxes), -1)
            if last >= self.num_frames:
                raise ValueError(
                    f"{where}: track {target.track_id} has a box in frame {last} of {self.num_frames} frames"
                )
        if self.annotated_frames is not None:
            self._check_annotated_frames()
        for event in self.interactions or ():
            self._check_event(event, set(ids))

    def _check_annotated_frames(self) -> None:
        frames = self.annotated_frames = tuple(map(int, self.annotated_frames or ()))
        ascending = all(a < b for a, b in pairwise(frames))
        if not ascending or (frames and not 0 <= frames[0] <= frames[-1] < self.num_frames):
            raise ValueError(
                f"video '{self.video_id}': annotated_frames must ascend inside the {self.num_frames} frames, "
                f"got {_shortened(frames)}"
            )
        if len(frames) == self.num_frames:
            self.annotated_frames = None
            return
        known = frozenset(frames)
        for target in self.targets:
            unknown = [frame for frame in target.boxes if frame not in known]
            if unknown:
                raise ValueError(
                    f"video '{self.video_id}': track {target.track_id} has boxes in frames that annotated_frames "
                    f"leaves out: {_shortened(unknown)}"
                )

    def _check_event(self, event: InteractionRecord, ids: set[int]) -> None:
        for track in (event.subject, event.object):
            if track is not None and track not in ids:
                raise ValueError(
                    f"video '{self.video_id}': interaction '{event.interaction}' names track {track}, "
                    f"but the tracks are {sorted(ids)}"
                )
        if event.end_frame > self.num_frames:
            raise ValueError(
                f"video '{self.video_id}': interaction '{event.interaction}' ends at frame {event.end_frame} "
                f"of {self.num_frames} frames"
            )

    def target(self, track_id: int) -> TargetRecord:
        """The target with this ``track_id``.

        Raises:
            KeyError: If the video has no such track.
        """
        for target in self.targets:
            if target.track_id == track_id:
                return target
        raise KeyError(f"video '{self.video_id}' has no track {track_id}")


def _shortened(frames: Sequence[int]) -> str:
    return ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")


def _checked_box(box: Any, track_id: int, frame: int) -> Box:
    try:
        values = tuple(float(v) for v in box)
    except (TypeError, ValueError, OverflowError):
        values = ()
    if frame < 0:
        raise ValueError(f"track {track_id}: frame index must be at least 0, got {frame}")
    if len(values) != 4 or not all(map(math.isfinite, values)) or values[2] <= 0 or values[3] <= 0:
        raise ValueError(
            f"track {track_id}, frame {frame}: box must be finite (x, y, width, height) with "
            f"width, height > 0, got {box!r}"
        )
    return values  # type: ignore[return-value]
