"""Trajectories that several tests write and read back."""

from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

TIMES = [0.04 * index + (0.013 if index % 3 else 0.0) for index in range(21)]  # variable frame rate


def an_event(interaction, start, end, object=None, score=0.75, subject="dog", boxes=()):
    return InteractionEvent(
        subject, interaction, object, TIMES[start], TIMES[end], start, end, score, object_boxes=boxes
    )


def a_target(target_id=1, category="dog", events=(), hidden=(), first=0, end=20, **changes):
    frames = [
        TrackedFrame(
            index,
            TIMES[index],
            None if index in hidden else (10.1 + index, 20.2, 30.3, 40.4),
            0.0 if index in hidden else 0.9 + index / 1000,
        )
        for index in range(first, end)
    ]
    fields = {"prompt": {"frame": first, "point": [25, 40]}, "width": 640, "height": 360}
    return SemanticTrajectory(target_id, category, frames=frames, events=list(events), **(fields | changes))


def two_targets():
    """A dog with three events in turn, out of sight for a while, and an unnamed target that came later."""
    ball = [(index, (300.5, 100.25 + index, 20.0, 21.0)) for index in range(2, 7, 2)]
    dog = a_target(
        events=[
            an_event("chase", 2, 7, "ball", 0.8125, boxes=ball),
            an_event("bark at", 9, 14, "person"),
            an_event("chase", 15, 20, "ball", 0.5, boxes=[(15, (1.0, 2.0, 3.0, 4.0))]),
        ],
        hidden=(4, 5, 11, 18),
        prompt={"frame": 0, "text": "the dog"},
    )
    sit = an_event("sit", 6, 12, subject="target 2")
    return [dog, a_target(2, None, [sit], first=3, end=16, complete=False)]
