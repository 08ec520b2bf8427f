"""What a trajectory says about one frame, found in logarithmic time; and how long its frames last."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .trajectory import Box, InteractionEvent, SemanticTrajectory, TrackedFrame


class TrajectoryLookup:
    """Finds the frame, the running events and the object boxes of one target by bisection.

    The trajectory is indexed once; later changes to it are not seen.

    Args:
        trajectory: The target.
    """

    def __init__(self, trajectory: SemanticTrajectory) -> None:
        self._frames = trajectory.frames
        self._indices = np.array([f.frame_index for f in trajectory.frames], dtype=np.int64)
        self._times = np.array([f.time for f in trajectory.frames], dtype=np.float64)
        # For each stretch between two moments at which any event starts or ends: the events that go on.
        self._cuts = sorted({f for e in trajectory.events for f in (e.start_frame, e.end_frame)})
        self._running: list[list[InteractionEvent]] = [[] for _ in self._cuts]
        for event in sorted(trajectory.events, key=lambda e: (e.start_frame, e.interaction, e.object or "")):
            first, last = (bisect_left(self._cuts, f) for f in (event.start_frame, event.end_frame))
            for stretch in range(first, last):
                self._running[stretch].append(event)

    def frame(self, frame_index: int) -> TrackedFrame | None:
        """The target's entry for this frame, or None where it was not followed."""
        position = int(np.searchsorted(self._indices, frame_index))
        if position < len(self._frames) and self._frames[position].frame_index == frame_index:
            return self._frames[position]
        return None

    def events(self, frame_index: int) -> tuple[InteractionEvent, ...]:
        """The events whose interval contains this frame, by start."""
        stretch = bisect_right(self._cuts, frame_index) - 1
        return tuple(self._running[stretch]) if stretch >= 0 else ()

    def object_box(self, event: InteractionEvent, frame_index: int, reach: float) -> Box | None:
        """The box of the event's object that is nearest in time, if at most ``reach`` seconds away."""
        after = bisect_left(event.object_boxes, frame_index, key=lambda located: located.frame_index)
        near = event.object_boxes[max(after - 1, 0) : after + 1]
        if not near or not self._frames:
            return None
        now, *times = np.interp([frame_index, *(b.frame_index for b in near)], self._indices, self._times)
        distances = [abs(time - now) for time in times]
        nearest = int(np.argmin(distances))
        return near[nearest].box if distances[nearest] <= reach else None


def frame_duration(frames: Sequence[TrackedFrame]) -> float:
    """Seconds that one frame lasts: the median step between frames, 0.04 where there is none."""
    steps = [after.time - before.time for before, after in pairwise(frames) if after.time > before.time]
    return statistics.median(steps) if steps else 0.04
