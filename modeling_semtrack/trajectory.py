"""The one currency of results: a target's box track and its semantic trajectory.

Every producer (session, pipeline, data set) and every consumer (exporter, renderer, metric)
speaks in terms of :class:`SemanticTrajectory`. Nothing of this project is imported here.

Conventions: boxes are ``(x, y, width, height)`` in absolute pixels of the original frame; frame
indices are 0-based; times are seconds from the container's timestamps; intervals are half-open
``[start, end)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]


class TrackedFrame(NamedTuple):
    """Where the target is in one frame.

    Attributes:
        frame_index: 0-based index of the frame in the video.
        time: Seconds, from the container's timestamp.
        box: ``(x, y, width, height)`` in pixels, or None where the target is not visible.
        presence: Probability in [0, 1] that the target is visible.
    """

    frame_index: int
    time: float
    box: Box | None
    presence: float


class ObjectBox(NamedTuple):
    """Box ``(x, y, width, height)`` in pixels of an interaction's object in one frame."""

    frame_index: int
    box: Box


@dataclass(frozen=True)
class InteractionEvent:
    """Something the target does, with whom or what, and when.

    Attributes:
        subject: Name of the target that acts.
        interaction: Name of the interaction, for example ``"push"``.
        object: Name of the object's class, or None for an interaction without an object.
        start_time: Seconds, inclusive.
        end_time: Seconds, exclusive.
        start_frame: First frame of the interval.
        end_frame: Frame after the last one of the interval.
        score: Confidence in [0, 1].
        object_boxes: Where the object was located, in frames of the interval, in order.

    Raises:
        ValueError: If the interval is empty or reversed, a number is not finite, or the score is
            outside [0, 1].
    """

    subject: str
    interaction: str
    object: str | None
    start_time: float
    end_time: float
    start_frame: int
    end_frame: int
    score: float
    object_boxes: tuple[ObjectBox, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_time) and math.isfinite(self.end_time)):
            raise ValueError(f"event times must be finite, got [{self.start_time}, {self.end_time})")
        if self.end_frame <= self.start_frame or self.end_time < self.start_time:
            raise ValueError(
                f"event '{self.interaction}' must end after it starts, got frames "
                f"[{self.start_frame}, {self.end_frame}) and seconds [{self.start_time}, {self.end_time})"
            )
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"event score must lie in [0, 1], got {self.score}")
        boxes = tuple(ObjectBox(int(index), _as_box(box)) for index, box in self.object_boxes)
        object.__setattr__(self, "object_boxes", boxes)

    def to_dict(self) -> dict[str, Any]:
        """The event as plain JSON types."""
        return {
            "subject": self.subject,
            "interaction": self.interaction,
            "object": self.object,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "start_frame": self.start_frame,
            "end_frame": self.end_frame,
            "score": self.score,
            "object_boxes": [[index, list(box)] for index, box in self.object_boxes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InteractionEvent:
        """Inverse of :meth:`to_dict`."""
        fields = dict(data)
        fields["object_boxes"] = tuple(ObjectBox(index, box) for index, box in data["object_boxes"])
        return cls(**fields)


@dataclass
class SemanticTrajectory:
    """Track and events of one target in one video.

    Attributes:
        target_id: Identifier of the target within its session, counted from 1.
        category: Class name of the target, or None where nobody named it.
        prompt: How the target was picked, for example ``{"frame": 0, "point": [310, 220]}``.
        width: Width of the video's frames in pixels, after rotation.
        height: Height of the video's frames in pixels, after rotation.
        frames: One entry for each frame in which the target was followed, in order of time.
        events: Timed interactions, in order of their start.
        complete: False where the video broke off before its end.

    Raises:
        ValueError: If the frames are not in ascending order or a box has no area.
    """

    target_id: int
    category: str | None
    prompt: dict[str, Any]
    width: int
    height: int
    frames: list[TrackedFrame] = field(default_factory=list)
    events: list[InteractionEvent] = field(default_factory=list)
    complete: bool = True

    def __post_init__(self) -> None:
        self.frames = [
            TrackedFrame(int(f[0]), float(f[1]), None if f[2] is None else _as_box(f[2]), float(f[3]))
            for f in self.frames
        ]
        for previous, current in zip(self.frames, self.frames[1:]):
            if current.frame_index <= previous.frame_index:
                raise ValueError(
                    f"frames must ascend by frame_index, got {current.frame_index} after {previous.frame_index}"
                )

    @property
    def subject(self) -> str:
        """The name of the target in its events and labels."""
        return self.category or f"target {self.target_id}"

    def to_dict(self) -> dict[str, Any]:
        """The trajectory as plain JSON types; :meth:`from_dict` gives it back exactly."""
        return {
            "target_id": self.target_id,
            "category": self.category,
            "prompt": self.prompt,
            "width": self.width,
            "height": self.height,
            "complete": self.complete,
            "frames": [
                [f.frame_index, f.time, None if f.box is None else list(f.box), f.presence] for f in self.frames
            ],
            "events": [event.to_dict() for event in self.events],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SemanticTrajectory:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        names = {"target_id", "category", "prompt", "width", "height", "complete", "frames", "events"}
        if set(data) != names:
            missing, unknown = sorted(names - set(data)), sorted(set(data) - names)
            raise ValueError(f"not a semantic trajectory: missing fields {missing}, unknown fields {unknown}")
        fields = dict(data)
        fields["events"] = [InteractionEvent.from_dict(event) for event in data["events"]]
        return cls(**fields)


def _as_box(box: Any) -> Box:
    values = tuple(float(v) for v in box)
    if len(values) != 4 or not all(map(math.isfinite, values)) or values[2] <= 0 or values[3] <= 0:
        raise ValueError(f"box must be finite (x, y, width, height) with width, height > 0, got {tuple(box)}")
    return values  # type: ignore[return-value]
