"""The currency of results: exact round trip through JSON, and errors that name the value."""

import json
import math

import pytest

from modeling_semtrack.trajectory import InteractionEvent, ObjectBox, SemanticTrajectory, TrackedFrame


def an_event(**changes) -> InteractionEvent:
    fields = {
        "subject": "dog",
        "interaction": "chase",
        "object": "ball",
        "start_time": 0.1 + 0.2,
        "end_time": 1 / 3 + 1,
        "start_frame": 1,
        "end_frame": 3,
        "score": 0.7000000000000001,
        "object_boxes": ((1, (0.1 + 0.2, 1e-17, 2 / 3, 5e300)),),
    }
    return InteractionEvent(**(fields | changes))


def a_trajectory(**changes) -> SemanticTrajectory:
    fields = {
        "target_id": 1,
        "category": "dog",
        "prompt": {"frame": 0, "point": [310, 220], "text": "der Hund ß"},
        "width": 640,
        "height": 360,
        "frames": [
            TrackedFrame(0, 0.0, (0.1 + 0.2, 2.0, 1 / 3, 4.0), 0.1 + 0.7),
            TrackedFrame(2, 0.1 + 0.2, None, 5e-324),
        ],
        "events": [an_event()],
        "complete": False,
    }
    return SemanticTrajectory(**(fields | changes))


def test_round_trip_through_json_is_exact_to_the_last_bit():
    trajectory = a_trajectory()
    back = SemanticTrajectory.from_dict(json.loads(json.dumps(trajectory.to_dict(), allow_nan=False)))
    assert back == trajectory
    assert back.frames[1].time == 0.1 + 0.2 != 0.3
    assert isinstance(back.frames[0], TrackedFrame) and isinstance(back.frames[0].box, tuple)
    assert isinstance(back.events[0].object_boxes[0], ObjectBox)
    assert back.to_dict() == trajectory.to_dict()


def test_round_trip_of_an_event_without_object_and_of_an_empty_trajectory():
    event = an_event(object=None, object_boxes=())
    assert InteractionEvent.from_dict(event.to_dict()) == event
    empty = SemanticTrajectory(target_id=2, category=None, prompt={}, width=1, height=1)
    assert SemanticTrajectory.from_dict(empty.to_dict()) == empty


def test_to_dict_holds_plain_json_types_only():
    def plain(value) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str and plain(item) for key, item in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return value is None or type(value) in (str, int, float, bool)

    assert plain(a_trajectory().to_dict())


def test_subject_is_the_category_or_else_the_numbered_target():
    assert a_trajectory().subject == "dog"
    assert a_trajectory(category=None, target_id=7).subject == "target 7"


def test_frames_given_as_plain_sequences_become_tracked_frames():
    trajectory = a_trajectory(frames=[[3, 1, [1, 2, 3, 4], 1]])
    assert trajectory.frames == [TrackedFrame(3, 1.0, (1.0, 2.0, 3.0, 4.0), 1.0)]
    assert trajectory.frames[0].frame_index == 3


@pytest.mark.parametrize("field", ["frames", "complete"])
def test_a_missing_field_is_named(field):
    data = a_trajectory().to_dict()
    del data[field]
    with pytest.raises(ValueError, match=rf"missing fields \['{field}'\]"):
        SemanticTrajectory.from_dict(data)


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match=r"unknown fields \['colour'\]"):
        SemanticTrajectory.from_dict(a_trajectory().to_dict() | {"colour": "red"})


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        ((1, 2, 0, 4), r"\(1, 2, 0, 4\)"),
        ((1, 2, 3, -4), "-4"),
        ((1, 2, 3), r"\(1, 2, 3\)"),
        ((math.nan, 2, 3, 4), "nan"),
        ((1, 2, math.inf, 4), "inf"),
    ],
)
def test_a_box_that_is_none_is_refused_and_shown(box, shown):
    with pytest.raises(ValueError, match=f"width, height > 0, got .*{shown}"):
        a_trajectory(frames=[TrackedFrame(0, 0.0, box, 1.0)])
    with pytest.raises(ValueError, match=f"width, height > 0, got .*{shown}"):
        an_event(object_boxes=((1, box),))


@pytest.mark.parametrize("indices", [(1, 1), (4, 2)])
def test_frames_must_ascend(indices):
    frames = [TrackedFrame(index, 0.0, None, 0.0) for index in indices]
    with pytest.raises(ValueError, match=f"got {indices[1]} after {indices[0]}"):
        a_trajectory(frames=frames)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end_frame": 1}, r"'chase' must end after it starts, got frames \[1, 1\)"),
        ({"end_time": 0.25}, r"seconds \[0.30000000000000004, 0.25\)"),
        ({"start_time": math.nan}, "must be finite, got .nan"),
        ({"end_time": math.inf}, "must be finite, got .*inf"),
        ({"score": 1.5}, r"score must lie in \[0, 1\], got 1.5"),
        ({"score": math.nan}, r"score must lie in \[0, 1\], got nan"),
    ],
)
def test_an_impossible_event_is_refused_with_its_values(changes, message):
    with pytest.raises(ValueError, match=message):
        an_event(**changes)


def test_events_cannot_be_changed():
    with pytest.raises(AttributeError):
        an_event().score = 0.1
