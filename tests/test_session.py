"""SemTrackSession: targets that do not disturb each other, results, memory that does not grow, and errors."""

import gc
import math
import sys

import numpy as np
import pytest
import torch
from colour_model import BLUE, GREEN, RED
from session_clips import BOX, NOTHING, RATE, clip, colours, red_at, run
from tiny_models import square_frame, tiny_model, tiny_processor

from modeling_semtrack import SemanticTrajectory, SemTrackSession, SessionSettings
from modeling_semtrack.events import EventSettings
from modeling_semtrack.processing_semtrack import PADDING_GREY
from modeling_semtrack.track_log import TrackLog

OTHER_BOX = (70.0, 50.0, 18.0, 10.0)


@pytest.fixture(scope="module")
def network():
    """A random network that believes its targets to be there, and in interactions; small cells, small jumps."""
    torch.manual_seed(0)
    model = tiny_model(patch_size=8)
    with torch.no_grad():
        model.box_head.presence[-1].bias.fill_(3.0)
        model.semantic_head.readout.activity_classifier.weight.mul_(4)
    return model


def track_of(session, target):
    """The boxes [frames, 4], NaN where there is none, and presences [frames] of a target."""
    frames = session.trajectory(target).frames
    return np.array([frame.box or (math.nan,) * 4 for frame in frames]), np.array([f.presence for f in frames])


def assert_same_track(first, second, tolerance=1e-4):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


def steady(network, **options):
    """A session that trusts places near the last one most; a random network would soon walk out of the frame."""
    return SemTrackSession(network, tiny_processor(), SessionSettings(window_influence=1.0), **options)


# Targets


def test_two_targets_in_one_session_are_as_in_two_sessions(network):
    frames = clip()
    both = steady(network)
    targets = [both.add_target(frames[0], box=box) for box in (BOX, OTHER_BOX)]
    run(both, frames)
    for target, box in zip(targets, (BOX, OTHER_BOX)):
        alone = steady(network)
        only = alone.add_target(frames[0], box=box)
        run(alone, frames)
        assert_same_track(track_of(both, target), track_of(alone, only))
        boxes = track_of(alone, only)[0]
        assert np.isfinite(boxes).all() and np.ptp(boxes[:, 0]) > 5  # it is seen, and moves
        events = [session.trajectory(t).events for session, t in ((both, target), (alone, only))]
        assert [(e.interaction, e.object, e.start_frame, e.end_frame) for e in events[0]] == [
            (e.interaction, e.object, e.start_frame, e.end_frame) for e in events[1]
        ]
        assert len(events[0]) > 0


def test_a_target_that_comes_later_is_as_in_a_session_of_its_own(network):
    frames = clip(20)
    both = steady(network)
    first = both.add_target(frames[0], box=BOX)
    run(both, frames[:7])
    second = both.add_target(frames[7], box=OTHER_BOX)
    run(both, frames[7:], start=7)

    alone = steady(network)
    only = alone.add_target(frames[0], box=BOX)
    run(alone, frames)
    assert_same_track(track_of(both, first), track_of(alone, only))

    late = steady(network, first_frame=7)
    other = late.add_target(frames[7], box=OTHER_BOX)
    run(late, frames[7:], start=7)
    assert_same_track(track_of(both, second), track_of(late, other))
    found, expected = both.trajectory(second), late.trajectory(other)
    assert [frame[:2] for frame in found.frames] == [frame[:2] for frame in expected.frames]
    assert found.prompt == expected.prompt == {"frame": 7, "box": list(OTHER_BOX)}


def test_removing_a_target_leaves_the_others_as_they_were(network):
    frames = clip(20)
    both = steady(network)
    first, second = (both.add_target(frames[0], box=box) for box in (BOX, OTHER_BOX))
    run(both, frames[:10])
    both.remove_target(first)
    states = run(both, frames[10:], start=10)
    assert both.targets == (second,)
    assert {state.target_id for step in states for state in step} == {second}
    assert len(both.trajectory(first).frames) == 10  # what was seen until then stays

    alone = steady(network)
    only = alone.add_target(frames[0], box=OTHER_BOX)
    run(alone, frames)
    assert_same_track(track_of(both, second), track_of(alone, only))


def test_asking_for_the_trajectory_changes_nothing(network):
    frames = clip(20)
    asked, silent = (steady(network) for _ in range(2))
    targets = [session.add_target(frames[0], box=BOX) for session in (asked, silent)]
    assert asked.trajectory(targets[0]).frames == []
    for index, frame in enumerate(frames):
        for session in (asked, silent):
            session.step(frame, index * RATE)
        assert len(asked.trajectory(targets[0]).frames) == index + 1
    assert asked.trajectory(targets[0]) == silent.trajectory(targets[1])


def test_the_same_video_gives_the_same_track_twice(network):
    frames = clip(10)
    first, second = (steady(network) for _ in range(2))
    for session in (first, second):
        session.add_target(frames[0], box=BOX)
        run(session, frames)
    assert first.trajectory(1) == second.trajectory(1)


def test_ids_count_on_after_a_removal():
    session = colours()
    session.remove_target(session.add_target(red_at(40), box=(40, 40, 12, 12)))
    assert session.add_target(red_at(40), box=(40, 40, 12, 12)) == 2


# Following


def test_the_first_frame_has_the_box_of_the_user(network):
    session = steady(network)
    target = session.add_target(clip(1)[0], box=BOX)
    (state,) = session.step(clip(1)[0], time=0.0)
    assert (state.target_id, state.frame_index, state.box, state.presence) == (target, 0, BOX, 1.0)


def test_a_moving_square_is_followed():
    session = colours()
    session.add_target(red_at(10), box=(10, 40, 12, 12))
    for index in range(30):
        x, y = 10 + 3 * index, 40 - index
        (state,) = session.step(red_at(x, y), index * RATE)
        assert state.box == pytest.approx((x, y, 12, 12), abs=1.0)
        assert state.presence > 0.9


def test_two_squares_are_followed_each_by_its_colour():
    session = colours()
    frames = [square_frame({(10 + 2 * i, 20, 12): RED, (90 - 2 * i, 60, 16): GREEN}) for i in range(20)]
    session.add_target(frames[0], box=(90, 60, 16, 16), category="leaf")
    session.add_target(frames[0], box=(10, 20, 12, 12))
    green, red = run(session, frames)[-1]
    assert green.box == pytest.approx((52, 60, 16, 16), abs=1.0)
    assert red.box == pytest.approx((48, 20, 12, 12), abs=1.0)
    assert (session.trajectory(1).subject, session.trajectory(2).subject) == ("leaf", "target 2")


def test_the_size_follows_slowly():
    session = colours(settings=SessionSettings(size_rate=0.5))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    states = run(session, [red_at(40), *[red_at(36, 36, side=20)] * 8])
    widths = [state.box[2] for (state,) in states]
    assert widths[0] == 12
    assert widths[1:4] == [pytest.approx(width, abs=0.4) for width in (16, 18, 19)]
    assert widths[-1] == pytest.approx(20, abs=0.4)


def test_boxes_stay_inside_the_frame():
    session = colours()
    session.add_target(red_at(90), box=(90, 40, 12, 12))
    for (state,) in run(session, [red_at(x) for x in range(90, 118, 2)]):
        x, y, w, h = state.box
        assert x >= 0 and y >= 0 and x + w <= 120 and y + h <= 90


def test_a_click_starts_a_target():
    session = colours()
    session.add_target(red_at(40), point=(45, 46))
    (state,) = session.step(red_at(40), 0.0)
    assert state.box == pytest.approx((40, 40, 12, 12), abs=0.6)
    assert session.trajectory(1).prompt == {"frame": 0, "point": [45.0, 46.0]}


# Results


def test_a_trajectory_survives_json():
    session = colours(settings=SessionSettings(events=EventSettings(min_duration=0.0)))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    run(session, [red_at(40), NOTHING, red_at(42), red_at(44)])
    trajectory = session.trajectory(1, complete=False)
    assert SemanticTrajectory.from_dict(trajectory.to_dict()) == trajectory
    assert (trajectory.width, trajectory.height, trajectory.complete) == (120, 90, False)
    assert len(trajectory.events) > 0
    assert [frame.time for frame in trajectory.frames] == pytest.approx([0, RATE, 2 * RATE, 3 * RATE])


def test_frames_without_targets_are_counted():
    session = colours()
    assert run(session, [NOTHING] * 3) == [[], [], []]
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    (state,) = session.step(red_at(40), 1.0)
    assert state.frame_index == 3


def test_a_track_log_takes_56_bytes_per_frame_and_gives_them_back():
    log = TrackLog()
    empty = sys.getsizeof(log._values)
    for index in range(1000):
        log.append(index, index / 30, None if index % 3 else (1.5, 2.5, 3.5, 4.5 + index), index / 1000)
    assert len(log) == 1000
    assert log._values.itemsize * len(log._values) == 56 * 1000
    assert sys.getsizeof(log._values) - empty < 56 * 1000 * 1.2  # with what the array holds in reserve
    assert log.frames()[3] == (3, 0.1, (1.5, 2.5, 3.5, 7.5), 0.003)
    assert log.frames()[4] == (4, 4 / 30, None, 0.004)


def test_memory_does_not_grow_with_the_video(network):
    """Once all remembered steps are filled no tensor and no array stays behind; the log is one array per target."""

    def alive():
        gc.collect()
        return sum(issubclass(type(thing), (torch.Tensor, np.ndarray)) for thing in gc.get_objects())

    frames = clip(8)
    settings = SessionSettings(template_interval=5, template_presence=0.0, remembered_steps=4)
    session = SemTrackSession(network, tiny_processor(), settings)
    for box in (BOX, OTHER_BOX):
        session.add_target(frames[0], box=box)
    for index in range(200):
        session.step(frames[index % len(frames)], index * RATE)
        if index == 39:
            early = alive()
    assert alive() <= early


def test_frames_are_not_kept():
    session = colours()
    frame = red_at(40)
    session.add_target(frame, box=(40, 40, 12, 12))
    session.step(frame, 0.0)
    before = sys.getrefcount(frame)
    session.step(frame, RATE)
    assert sys.getrefcount(frame) == before == 2


def test_frames_are_not_changed():
    session, frame = colours(), red_at(40)
    before = frame.copy()
    session.add_target(frame, box=(40, 40, 12, 12))
    session.step(frame, 0.0)
    assert np.array_equal(frame, before)


def test_a_session_needs_no_gradients():
    model = tiny_model().train()
    session = SemTrackSession(model, tiny_processor(), semantic_stride=1)
    session.add_target(clip(1)[0], box=BOX)
    session.step(clip(1)[0], 0.0)
    assert not model.training
    target = session._get(1)
    assert not target.prompt_states.requires_grad and not target.memory.tokens.requires_grad


def test_a_session_runs_in_half_precision():
    model = tiny_model("conv").to(torch.bfloat16)
    session = SemTrackSession(model, tiny_processor(), semantic_stride=1)
    session.add_target(clip(1)[0], box=BOX)
    session.add_target(clip(1)[0], point=(30, 40))
    states = run(session, clip(3))
    assert all(math.isfinite(state.presence) for step in states for state in step)


# Errors


def test_frames_of_another_size_are_refused():
    session = colours()
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    with pytest.raises(ValueError, match="must have one size, got 64x48 after 120x90; start a new session"):
        session.step(np.full((48, 64, 3), PADDING_GREY, np.uint8), 0.0)
    assert session.step(red_at(40), 0.0)[0].frame_index == 0  # the refused frame was not counted


@pytest.mark.parametrize("time", [0.5, 0.4, math.nan, math.inf])
def test_time_must_rise(time):
    session = colours()
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    session.step(red_at(40), 0.5)
    with pytest.raises(ValueError, match=f"time must rise from step to step, got {time} after 0.5"):
        session.step(red_at(40), time)
    assert session.step(red_at(40), 0.6)[0].frame_index == 1


@pytest.mark.parametrize("prompt", [{}, {"box": (40, 40, 12, 12), "point": (45, 45)}])
def test_a_target_needs_exactly_one_prompt(prompt):
    with pytest.raises(ValueError, match="pass exactly one of box and point"):
        colours().add_target(red_at(40), **prompt)


@pytest.mark.parametrize("prompt", [{"box": (115, 40, 12, 12)}, {"box": (40, 40, 0, 12)}, {"point": (120, 4)}])
def test_a_prompt_outside_the_frame_starts_nothing(prompt):
    session = colours()
    with pytest.raises(ValueError, match="inside a 120x90 frame"):
        session.add_target(red_at(40), **prompt)
    assert session.targets == ()


def test_unknown_and_removed_targets_are_named():
    session = colours()
    with pytest.raises(ValueError, match="there is no target 3; known targets: none yet"):
        session.trajectory(3)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    with pytest.raises(ValueError, match="there is no target 2; known targets: 1"):
        session.remove_target(2)
    session.remove_target(1)
    with pytest.raises(ValueError, match="target 1 has already been removed"):
        session.remove_target(1)


@pytest.mark.parametrize(
    "setting, value, message",
    [
        ("window_influence", 1.5, r"window_influence must lie in \[0, 1\], got 1.5"),
        ("size_rate", -0.1, r"size_rate must lie in \[0, 1\], got -0.1"),
        ("template_presence", math.nan, r"template_presence must lie in \[0, 1\], got nan"),
        ("found_presence", 2, r"found_presence must lie in \[0, 1\], got 2"),
        ("template_interval", 0, "template_interval must be at least 1 frame, got 0"),
        ("lost_after", 0, "lost_after must be at least 1 frame, got 0"),
        ("search_interval", -3, "search_interval must be at least 1 frame, got -3"),
    ],
)
def test_settings_out_of_range_are_named(setting, value, message):
    with pytest.raises(ValueError, match=message):
        SessionSettings(**{setting: value})


@pytest.mark.parametrize(
    "option, message",
    [
        ({"semantic_stride": -1}, r"semantic_stride must be 0 \(no semantics\) or more frames, got -1"),
        ({"first_frame": -2}, "the first frame's index must be 0 or more, got -2"),
    ],
)
def test_options_out_of_range_are_named(option, message):
    with pytest.raises(ValueError, match=message):
        colours(**option)


def test_blue_is_neither_red_nor_green():
    """What the stand-in takes for presence is its own colour alone."""
    session = colours()
    session.add_target(square_frame({(40, 40, 12): BLUE}), box=(40, 40, 12, 12))
    states = run(session, [square_frame({(40, 40, 12): BLUE}), red_at(40), square_frame({(40, 40, 12): GREEN})])
    assert [state.box is None for (state,) in states] == [False, True, True]
