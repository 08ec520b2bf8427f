"""What happened, in words."""

from __future__ import annotations

from collections.abc import Sequence

from .lookup import frame_duration
from .trajectory import InteractionEvent, SemanticTrajectory

MOST_EVENTS = 8  # interactions told per target; of more, the surest ones


def summary(trajectories: Sequence[SemanticTrajectory]) -> str:
    """Tell in one paragraph who was visible and did what, when.

    Names of interactions are quoted as they are, since nothing is known of their grammar. Of a target with
    many interactions only the surest ones are told, in order of time, and the others are counted.

    Args:
        trajectories: The targets, told in this order.

    Returns:
        One line of text, for example ``"Target 1 (person) was visible in 118 of 120 frames (4.8 s). From
        0.4 s to 1.6 s: push (box, 82%)."``
    """
    if not trajectories:
        return "No target was followed."
    return " ".join(sentence for trajectory in trajectories for sentence in _sentences(trajectory))


def _sentences(trajectory: SemanticTrajectory) -> list[str]:
    name = f"Target {trajectory.target_id}"
    if trajectory.category:
        name += f" ({_one_line(trajectory.category)})"
    if not trajectory.frames:
        return [f"{name} was not followed in any frame."]

    first, last = trajectory.frames[0], trajectory.frames[-1]
    duration = last.time + frame_duration(trajectory.frames) - first.time
    seen, total = sum(f.box is not None for f in trajectory.frames), len(trajectory.frames)
    since = f" from {_clock(first.time)}" if first.time >= 0.05 else ""
    noun = "frame" if total == 1 else "frames"
    sentences = [f"{name} was visible in {seen} of {total} {noun} ({_clock(duration)}{since})."]

    told = sorted(trajectory.events, key=lambda e: -e.score)[:MOST_EVENTS]
    sentences += [_event_sentence(event) for event in sorted(told, key=lambda e: (e.start_time, e.end_time))]
    if not told:
        sentences.append("No interactions were found.")
    if untold := len(trajectory.events) - len(told):
        sentences.append(f"Less sure interactions not listed here: {untold}.")
    if not trajectory.complete:
        sentences.append(f"The video broke off after {_clock(last.time)}.")
    return sentences


def _event_sentence(event: InteractionEvent) -> str:
    details = [_one_line(event.object)] if event.object else []
    details.append(f"{event.score:.0%}")
    what = f"{_one_line(event.interaction)} ({', '.join(details)})"
    return f"From {_clock(event.start_time)} to {_clock(event.end_time)}: {what}."


def _clock(seconds: float) -> str:
    """``4.8 s`` below a minute and a half, ``2:05 min`` or ``1:02:05 h`` from there on."""
    if abs(seconds) < 90:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{second:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d} h"


def _one_line(text: str) -> str:
    return " ".join(text.split())
