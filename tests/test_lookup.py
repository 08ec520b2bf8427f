"""Looking up frames, events and object boxes by bisection."""

import random

from modeling_semtrack.lookup import TrajectoryLookup, frame_duration
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

BOX = (1.0, 2.0, 3.0, 4.0)


def event(start: int, end: int, boxes=(), name: str = "push") -> InteractionEvent:
    return InteractionEvent("dog", name, "box", start / 10, end / 10, start, end, 0.5, tuple(boxes))


def lookup(frames, events=()) -> TrajectoryLookup:
    return TrajectoryLookup(SemanticTrajectory(1, "dog", {}, 64, 48, list(frames), list(events)))


def test_bisection_agrees_with_a_scan_over_everything():
    chooser = random.Random(0)
    indices = sorted(chooser.sample(range(100), 60))
    frames = [TrackedFrame(i, i / 10, BOX, 0.9) for i in indices]
    starts = [chooser.randrange(100) for _ in range(40)]
    events = [event(s, s + chooser.randint(1, 30), name=f"event {n}") for n, s in enumerate(starts)]
    found = lookup(frames, events)
    for index in range(-2, 140):
        assert found.frame(index) == next((f for f in frames if f.frame_index == index), None)
        assert set(found.events(index)) == {e for e in events if e.start_frame <= index < e.end_frame}


def test_object_box_is_the_nearest_in_time_and_not_in_frames():
    """The frame rate drops after frame 10, so that frame 12 is nearer to 10 in frames, but not in time."""
    times = [0.1 * i for i in range(11)] + [1.1, 1.9, 2.0, 2.1, 2.2]
    frames = [TrackedFrame(i, t, BOX, 0.9) for i, t in enumerate(times)]
    early, late = (10, (0.0, 0.0, 5.0, 5.0)), (15, (9.0, 9.0, 5.0, 5.0))
    pushed = event(5, 16, [early, late])
    found = lookup(frames, [pushed])
    assert found.object_box(pushed, 12, reach=0.5) == late[1]
    assert found.object_box(pushed, 11, reach=0.5) == early[1]


def test_object_box_expires_beyond_its_reach():
    frames = [TrackedFrame(i, i / 10, BOX, 0.9) for i in range(30)]
    pushed = event(0, 30, [(10, BOX)])
    found = lookup(frames, [pushed])
    assert found.object_box(pushed, 15, reach=0.5) == BOX
    assert found.object_box(pushed, 5, reach=0.5) == BOX
    assert found.object_box(pushed, 16, reach=0.5) is None
    assert found.object_box(event(0, 30), 15, reach=0.5) is None


def test_trajectory_without_frames_or_events_has_nothing_to_find():
    found = lookup([])
    assert found.frame(0) is None and found.events(0) == ()
    assert found.object_box(event(0, 5, [(0, BOX)]), 0, reach=1.0) is None


def test_frame_duration_is_the_usual_step_whatever_the_gaps():
    frames = [TrackedFrame(i, t, BOX, 0.9) for i, t in enumerate([0.0, 0.04, 0.08, 5.0, 5.04])]
    assert abs(frame_duration(frames) - 0.04) < 1e-9
    assert frame_duration(frames[:1]) == 0.04
