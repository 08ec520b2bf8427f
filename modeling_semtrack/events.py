"""Per-step interaction scores to timed events: hysteresis, merging, minimum length.

The semantic head scores interactions at single moments (*semantic steps*, every few frames).
:class:`EventBuilder` turns these scores into :class:`InteractionEvent` intervals while the video
runs, in constant memory apart from the results themselves.

The rules, for each interaction on its own (a *lane*, keyed by the interaction's name):

1. A *run* is an unbroken sequence of steps with a score of at least ``keep_threshold``. It counts
   if one of its steps reaches ``start_threshold``; it then starts at its *first* step, so the rise
   below the start threshold belongs to the event.
2. A run ends, exclusively, at the first step below ``keep_threshold``. A step in which the
   interaction was not detected at all is such a step.
3. Two runs that count with at most ``merge_gap`` seconds between them are one event.
4. What is then shorter than ``min_duration`` seconds is dropped.

The score of an event is the mean score of the steps of its runs; steps in a merged gap do not count.
Its object is the winner of a vote of these steps, each with the weight of its score, in which "no
object" is a candidate; the first one seen wins a tie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .trajectory import Box, InteractionEvent, ObjectBox


class DetectedInteraction(NamedTuple):
    """What the semantic head says about one interaction in one step.

    Attributes:
        interaction: Name of the interaction.
        object: Name of the object's class, or None for no object.
        score: Confidence in [0, 1].
        object_box: ``(x, y, width, height)`` in pixels of the frame, or None where not located.
    """

    interaction: str
    object: str | None
    score: float
    object_box: Box | None


@dataclass(frozen=True)
class EventSettings:
    """When an interaction starts, lasts and counts.

    Attributes:
        start_threshold: Score in [0, 1] that a run of steps must reach once to count.
        keep_threshold: Score in [0, ``start_threshold``] that keeps a run alive.
        min_duration: Events shorter than this many seconds are dropped.
        merge_gap: Events of one interaction with at most this many seconds between are one.

    Raises:
        ValueError: If a threshold or duration is outside its range.
    """

    start_threshold: float = 0.5
    keep_threshold: float = 0.35
    min_duration: float = 0.2
    merge_gap: float = 0.4

    def __post_init__(self) -> None:
        if not 0.0 <= self.keep_threshold <= self.start_threshold <= 1.0:
            raise ValueError(
                "event thresholds must satisfy 0 <= keep_threshold <= start_threshold <= 1, got "
                f"keep_threshold={self.keep_threshold}, start_threshold={self.start_threshold}"
            )
        for name in ("min_duration", "merge_gap"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds >= 0.0):
                raise ValueError(f"{name} must be a finite number of seconds >= 0, got {seconds}")


class EventBuilder:
    """Builds the events of one target from its semantic steps, as they come.

    Example:
        >>> builder = EventBuilder("dog", EventSettings())
        >>> builder.update(0, 0.0, [DetectedInteraction("chase", "ball", 0.8, (10.0, 20.0, 5.0, 5.0))])
        >>> builder.update(5, 0.5, [])
        >>> [(e.interaction, e.object, e.start_frame, e.end_frame) for e in builder.events(10, 1.0)]
        [('chase', 'ball', 0, 5)]

    Args:
        subject: Name of the target, as :attr:`SemanticTrajectory.subject` gives it.
        settings: Thresholds and durations.
        finished: Events from before the first step, which stay as they are.
    """

    def __init__(self, subject: str, settings: EventSettings, finished: Sequence[InteractionEvent] = ()) -> None:
        self.subject = subject
        self.settings = settings
        self._finished = list(finished)
        self._lanes: dict[str, _Lane] = {}
        self._last_step: tuple[int, float] | None = None

    def update(self, frame_index: int, time: float, detections: Sequence[DetectedInteraction]) -> None:
        """Takes in one semantic step.

        Args:
            frame_index: 0-based index of the step's frame, larger than the one before.
            time: Seconds of the step's frame, not smaller than the one before.
            detections: What was seen in this step, in any order; of several detections of the same
                interaction the one with the highest score counts.

        Raises:
            ValueError: If the steps do not ascend, a score is outside [0, 1] or a box is not valid;
                the state is then what it was before the call.
        """
        frame_index, time = int(frame_index), float(time)
        self._check_step(frame_index, time)
        strongest: dict[str, DetectedInteraction] = {}
        for detection in detections:
            _check_detection(detection)
            known = strongest.get(detection.interaction)
            if known is None or detection.score > known.score:
                strongest[detection.interaction] = detection
        self._last_step = (frame_index, time)
        for name in list(self._lanes.keys() | strongest.keys()):
            self._advance(name, frame_index, time, strongest.get(name))

    def events(self, end_frame: int, end_time: float) -> tuple[InteractionEvent, ...]:
        """All events so far, those still open closed at the given end.

        Changes nothing, so it may be called at any moment while the video runs. What it closes only
        for the answer stays open inside: the next call may show it longer, merged, or, if it was an
        event that has not ended before, with another object.

        Args:
            end_frame: Frame after the last one seen, larger than the index of the last step.
            end_time: Seconds at which ``end_frame`` starts, not before the last step.

        Returns:
            Events sorted by start, then by interaction; those of one interaction never overlap.

        Raises:
            ValueError: If the end lies before the last step.
        """
        if self._last_step is None:
            return ()
        frame, time = self._last_step
        end_frame, end_time = int(end_frame), float(end_time)
        if not (end_frame > frame and end_time >= time and math.isfinite(end_time)):
            raise ValueError(
                f"the end must lie after the last step (frame {frame}, {time} s), "
                f"got end_frame={end_frame}, end_time={end_time}"
            )
        found = list(self._finished)
        for name, lane in self._lanes.items():
            waiting = None if lane.waiting is None else lane.waiting.copied()
            runs = [] if waiting is None else [waiting]
            if lane.current is not None and lane.current.counts:
                runs = self._chain(waiting, lane.current.closed(end_frame, end_time))
            found.extend(self._long_enough(name, runs))
        return tuple(sorted(found, key=lambda event: (event.start_frame, event.interaction)))

    def _check_step(self, frame_index: int, time: float) -> None:
        if not math.isfinite(time):
            raise ValueError(f"time of step at frame {frame_index} must be finite seconds, got {time}")
        if self._last_step is not None:
            frame, last_time = self._last_step
            if frame_index <= frame or time < last_time:
                raise ValueError(
                    f"steps must ascend in frame and time, got frame {frame_index} at {time} s "
                    f"after frame {frame} at {last_time} s"
                )

    def _advance(self, name: str, frame: int, time: float, detection: DetectedInteraction | None) -> None:
        lane = self._lanes.setdefault(name, _Lane())
        if detection is not None and detection.score >= self.settings.keep_threshold:
            if lane.current is None:
                lane.current = _Run(frame, time)
            lane.current.add(frame, detection, self.settings.start_threshold)
            return
        if lane.current is not None:
            if lane.current.counts:
                *done, lane.waiting = self._chain(lane.waiting, lane.current.closed(frame, time))
                self._finished.extend(self._long_enough(name, done))
            lane.current = None
        if lane.waiting is not None and time - lane.waiting.end_time > self.settings.merge_gap:
            self._finished.extend(self._long_enough(name, [lane.waiting]))
            lane.waiting = None
        if lane.waiting is None:
            del self._lanes[name]

    def _chain(self, waiting: _Run | None, run: _Run) -> list[_Run]:
        """The closed run after the one that waits for it: both, or the waiting one with it absorbed."""
        if waiting is None:
            return [run]
        if run.start_time - waiting.end_time <= self.settings.merge_gap:
            waiting.absorb(run)
            return [waiting]
        return [waiting, run]

    def _long_enough(self, name: str, runs: Sequence[_Run]) -> list[InteractionEvent]:
        minimum = self.settings.min_duration
        return [run.to_event(self.subject, name) for run in runs if run.end_time - run.start_time >= minimum]


@dataclass
class _Run:
    """Steps of one interaction at or above the keep threshold; several such runs once joined.

    The end is set by :meth:`closed`. Sums instead of steps keep it small; only the object boxes,
    which are part of the result, grow with its length.
    """

    start_frame: int
    start_time: float
    end_frame: int = -1
    end_time: float = -math.inf
    counts: bool = False
    steps: int = 0
    score_sum: float = 0.0
    votes: dict[str | None, float] = field(default_factory=dict)
    boxes: dict[str | None, list[ObjectBox]] = field(default_factory=dict)

    def add(self, frame: int, detection: DetectedInteraction, start_threshold: float) -> None:
        self.counts = self.counts or detection.score >= start_threshold
        self.steps += 1
        self.score_sum += float(detection.score)
        self.votes[detection.object] = self.votes.get(detection.object, 0.0) + float(detection.score)
        if detection.object_box is not None:
            self.boxes.setdefault(detection.object, []).append(ObjectBox(frame, detection.object_box))

    def closed(self, end_frame: int, end_time: float) -> _Run:
        return replace(self, end_frame=end_frame, end_time=end_time)

    def copied(self) -> _Run:
        boxes = {name: list(known) for name, known in self.boxes.items()}
        return replace(self, votes=dict(self.votes), boxes=boxes)

    def absorb(self, later: _Run) -> None:
        """Goes on to the end of the later run; the gap between counts for nothing but length."""
        self.end_frame, self.end_time = later.end_frame, later.end_time
        self.steps += later.steps
        self.score_sum += later.score_sum
        for name, weight in later.votes.items():
            self.votes[name] = self.votes.get(name, 0.0) + weight
        for name, more in later.boxes.items():
            self.boxes.setdefault(name, []).extend(more)

    def to_event(self, subject: str, interaction: str) -> InteractionEvent:
        winner = max(self.votes, key=self.votes.__getitem__)
        return InteractionEvent(
            subject=subject,
            interaction=interaction,
            object=winner,
            start_time=self.start_time,
            end_time=self.end_time,
            start_frame=self.start_frame,
            end_frame=self.end_frame,
            score=self.score_sum / self.steps,
            object_boxes=tuple(self.boxes.get(winner, ())),
        )


@dataclass
class _Lane:
    """State of one interaction: the run in progress, and the last closed one while it may still merge."""

    current: _Run | None = None
    waiting: _Run | None = None


def _check_detection(detection: DetectedInteraction) -> None:
    if not 0.0 <= detection.score <= 1.0:
        raise ValueError(f"score of '{detection.interaction}' must lie in [0, 1], got {detection.score}")
    box = detection.object_box
    if box is not None and not (len(box) == 4 and all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0):
        raise ValueError(
            f"object box of '{detection.interaction}' must be finite (x, y, width, height) with "
            f"width, height > 0, or None where not located, got {tuple(box)}"
        )
