"""SemTrackSession: targets that do not disturb each other, loss and return, semantics, and memory that stays."""

import gc
import math
import sys

import numpy as np
import pytest
import torch
from colour_model import BLUE, GREEN, RED, SURE, ColourModel
from tiny_models import noise_frame, square_frame, tiny_model, tiny_processor

from modeling_semtrack import SemanticTrajectory, SemTrackSession, SessionSettings
from modeling_semtrack.events import EventSettings
from modeling_semtrack.processing_semtrack import PADDING_GREY
from modeling_semtrack.track_log import TrackLog

RATE = 0.04  # seconds per frame
BOX, OTHER_BOX = (20.0, 30.0, 14.0, 14.0), (70.0, 50.0, 18.0, 10.0)
NOTHING = square_frame({})


@pytest.fixture(scope="module")
def network():
    """A random network that believes its targets to be there, and in interactions; small cells, small jumps."""
    torch.manual_seed(0)
    model = tiny_model(patch_size=8)
    with torch.no_grad():
        model.box_head.presence[-1].bias.fill_(3.0)
        model.semantic_head.interaction_classifier.weight.mul_(4)
    return model


def clip(count=30):
    """A square that moves over texture."""
    frames = []
    for index in range(count):
        frame = noise_frame()
        x, y = 20 + 2 * index, 30 + int(8 * math.sin(index / 4))
        frame[y : y + 14, x : x + 14] = (250, 220, 20)
        frames.append(frame)
    return frames


def run(session, frames, start=0):
    """Steps through frames; the states by frame."""
    return [session.step(frame, (start + index) * RATE) for index, frame in enumerate(frames)]


def track_of(session, target):
    """The boxes [frames, 4], NaN where there is none, and presences [frames] of a target."""
    frames = session.trajectory(target).frames
    return np.array([frame.box or (math.nan,) * 4 for frame in frames]), np.array([f.presence for f in frames])


def assert_same_track(first, second, tolerance=1e-4):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


def colours(model=None, settings=None, **options):
    """A session that follows colours."""
    return SemTrackSession(model or ColourModel(), tiny_processor(), settings, **options)


def red_at(x, y=40, side=12):
    return square_frame({(x, y, side): RED})


# Targets


def test_two_targets_in_one_session_are_as_in_two_sessions(network):
    frames = clip()
    both = SemTrackSession(network, tiny_processor())
    targets = [both.add_target(frames[0], box=box) for box in (BOX, OTHER_BOX)]
    run(both, frames)
    for target, box in zip(targets, (BOX, OTHER_BOX)):
        alone = SemTrackSession(network, tiny_processor())
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
    both = SemTrackSession(network, tiny_processor())
    first = both.add_target(frames[0], box=BOX)
    run(both, frames[:7])
    second = both.add_target(frames[7], box=OTHER_BOX)
    run(both, frames[7:], start=7)

    alone = SemTrackSession(network, tiny_processor())
    only = alone.add_target(frames[0], box=BOX)
    run(alone, frames)
    assert_same_track(track_of(both, first), track_of(alone, only))

    late = SemTrackSession(network, tiny_processor(), first_frame=7)
    other = late.add_target(frames[7], box=OTHER_BOX)
    run(late, frames[7:], start=7)
    assert_same_track(track_of(both, second), track_of(late, other))
    found, expected = both.trajectory(second), late.trajectory(other)
    assert [frame[:2] for frame in found.frames] == [frame[:2] for frame in expected.frames]
    assert found.prompt == expected.prompt == {"frame": 7, "box": list(OTHER_BOX)}


def test_removing_a_target_leaves_the_others_as_they_were(network):
    frames = clip(20)
    both = SemTrackSession(network, tiny_processor())
    first, second = (both.add_target(frames[0], box=box) for box in (BOX, OTHER_BOX))
    run(both, frames[:10])
    both.remove_target(first)
    states = run(both, frames[10:], start=10)
    assert both.targets == (second,)
    assert {state.target_id for step in states for state in step} == {second}
    assert len(both.trajectory(first).frames) == 10  # what was seen until then stays

    alone = SemTrackSession(network, tiny_processor())
    only = alone.add_target(frames[0], box=OTHER_BOX)
    run(alone, frames)
    assert_same_track(track_of(both, second), track_of(alone, only))


def test_asking_for_the_trajectory_changes_nothing(network):
    frames = clip(20)
    asked, silent = (SemTrackSession(network, tiny_processor()) for _ in range(2))
    targets = [session.add_target(frames[0], box=BOX) for session in (asked, silent)]
    assert asked.trajectory(targets[0]).frames == []
    for index, frame in enumerate(frames):
        for session in (asked, silent):
            session.step(frame, index * RATE)
        assert len(asked.trajectory(targets[0]).frames) == index + 1
    assert asked.trajectory(targets[0]) == silent.trajectory(targets[1])


def test_the_same_video_gives_the_same_track_twice(network):
    frames = clip(10)
    first, second = (SemTrackSession(network, tiny_processor()) for _ in range(2))
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
    session = SemTrackSession(network, tiny_processor())
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


def test_the_search_window_is_never_below_its_first_size(monkeypatch):
    session = colours(settings=SessionSettings(size_rate=1.0))
    cut, sides = session.images.crop, []
    monkeypatch.setattr(session.images, "crop", lambda f, w, s: sides.append((s, w.side)) or cut(f, w, s))
    session.add_target(red_at(40, side=12), box=(40, 40, 12, 12))
    shrinking = [red_at(46 - side // 2, 46 - side // 2, side) for side in (12, 10, 8, 6, 4, 4)]
    growing = [red_at(46 - side // 2, 46 - side // 2, side) for side in (8, 12, 16, 20, 20)]
    states = run(session, shrinking + growing)
    searched = [side for size, side in sides if size == session.images.view_size and side != 120]
    assert states[5][0].box[2] < 6  # the target did get smaller
    assert min(searched) == searched[0] == 48
    assert searched[-1] > 60  # a larger target is looked at in a larger window


# Loss and return


def test_a_hidden_target_has_no_box_and_low_presence():
    session = colours()
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    states = run(session, [red_at(40), NOTHING, NOTHING, red_at(42)])
    assert [state.box is None for (state,) in states] == [False, True, True, False]
    assert [state.presence > 0.5 for (state,) in states] == [True, False, False, True]
    assert states[3][0].box == pytest.approx((42, 40, 12, 12), abs=1.0)


def test_the_threshold_of_presence_is_the_models():
    model = ColourModel(presence_threshold=0.8)
    session = colours(model)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    session.step(red_at(40), 0.0)
    model.presence = torch.tensor(0.75).logit()
    (state,) = session.step(red_at(40), RATE)
    assert state.box is None and state.presence == pytest.approx(0.75)
    model.presence = torch.tensor(0.85).logit()
    assert session.step(red_at(40), 2 * RATE)[0].box is not None


def test_a_lost_target_is_looked_for_in_the_scene_now_and_then():
    """Hidden from frame 1 on: after 4 misses the scene is searched in frame 5, and then in every third one."""
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=4, search_interval=3), semantic_stride=0)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    searched = []
    for index in range(13):
        model.tracked.clear()
        session.step(NOTHING if index else red_at(40), index * RATE)
        searched += [index] * (("scene", 1) in model.tracked)
    assert searched == [5, 8, 11]


def test_a_target_that_returns_elsewhere_is_found_and_followed_on():
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=3))
    session.add_target(red_at(10, 10), box=(10, 10, 12, 12))
    run(session, [red_at(10, 10), NOTHING, NOTHING, NOTHING])
    (found,) = session.step(red_at(95, 70), 4 * RATE)  # far outside its search region
    assert found.box == pytest.approx((95, 70, 12, 12), abs=1.0)
    assert found.presence > 0.9
    model.tracked.clear()
    (next_state,) = session.step(red_at(93, 70), 5 * RATE)
    assert next_state.box == pytest.approx((93, 70, 12, 12), abs=1.0)
    assert model.tracked == [("search", 1)]  # no longer looked for


def test_a_visible_target_is_not_looked_for():
    model = ColourModel()
    session = colours(model)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    run(session, [red_at(40)] * 12)
    assert set(model.tracked) == {("search", 1)}


def test_what_is_found_elsewhere_must_be_certain():
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=1, search_interval=1, found_presence=0.8))
    session.add_target(red_at(10, 10), box=(10, 10, 12, 12))
    run(session, [red_at(10, 10), NOTHING])
    for step, (presence, score, found) in enumerate([(0.7, 0.9, False), (0.9, 0.7, False), (0.9, 0.9, True)]):
        model.presence, model.score = torch.tensor(presence).logit(), torch.tensor(score).logit()
        (state,) = session.step(red_at(95, 70), (2 + step) * RATE)
        assert (state.box is not None) == found


def test_only_the_lost_target_is_looked_for():
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=2, search_interval=1), semantic_stride=0)
    start = square_frame({(10, 20, 12): RED, (80, 60, 12): GREEN})
    session.add_target(start, box=(10, 20, 12, 12))
    session.add_target(start, box=(80, 60, 12, 12))
    run(session, [start, *[square_frame({(10, 20, 12): RED})] * 2])
    model.tracked.clear()
    red, green = session.step(square_frame({(10, 20, 12): RED}), 3 * RATE)
    assert model.tracked == [("search", 2), ("scene", 1), ("search", 1)]
    assert red.box is not None and green.box is None


# Dynamic template


def test_the_dynamic_template_is_renewed_at_its_interval():
    """The square turns from red to orange: the user's template stays red, the dynamic one follows."""
    model = ColourModel()
    session = colours(model, SessionSettings(template_interval=4))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    orange = square_frame({(40, 40, 12): (255, 90, 0)})
    run(session, [red_at(40), *[orange] * 9])
    assert len(model.templates) == 3  # at the start and after 4 and 8 frames
    users, dynamic = zip(*model.templates)
    assert users[0] == users[1] == users[2] == dynamic[0]
    assert dynamic[1][1] == pytest.approx((90 - 127) / 128, abs=0.02) and users[1][1] == pytest.approx(-127 / 128)


@pytest.mark.parametrize("presence, score", [(0.85, 0.99), (0.99, 0.85)])
def test_the_dynamic_template_is_not_renewed_in_doubt(presence, score):
    model = ColourModel()
    model.presence, model.score = torch.tensor(presence).logit(), torch.tensor(score).logit()
    session = colours(model, SessionSettings(template_interval=2, template_presence=0.9))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    run(session, [red_at(40)] * 10)
    assert len(model.templates) == 1
    model.presence = model.score = SURE
    session.step(red_at(40), 1.0)
    assert len(model.templates) == 2


def test_the_dynamic_template_is_not_taken_from_a_frame_without_the_target():
    model = ColourModel()
    session = colours(model, SessionSettings(template_interval=2))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    run(session, [red_at(40), *[NOTHING] * 8])
    assert len(model.templates) == 1


# Semantics


def test_the_scene_is_embedded_once_per_semantic_step_for_all_targets():
    model = ColourModel()
    session = colours(model, semantic_stride=3)
    start = square_frame({(10, 20, 12): RED, (80, 60, 12): GREEN})
    for box in ((10, 20, 12, 12), (80, 60, 12, 12)):
        session.add_target(start, box=box)
    calls = []
    for index in range(7):
        model.embedded.clear()
        session.step(start, index * RATE)
        calls.append(list(model.embedded))
    assert calls == [[2, 1], [2], [2], [2, 1], [2], [2], [2, 1]]
    assert [step["times"][:, 0].tolist() for step in model.described] == [
        pytest.approx([frame * RATE] * 2) for frame in (0, 3, 6)
    ]


def test_a_lost_target_and_a_semantic_step_share_the_scene():
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=1, search_interval=1), semantic_stride=1)
    start = square_frame({(10, 20, 12): RED, (80, 60, 12): GREEN})
    for box in ((10, 20, 12, 12), (80, 60, 12, 12)):
        session.add_target(start, box=box)
    run(session, [start, red_at(10, 20)])
    model.embedded.clear()
    session.step(red_at(10, 20), 2 * RATE)
    assert model.embedded == [2, 1, 1]  # search regions, scene, and the close look


@pytest.mark.parametrize("stride", [0, None])
def test_without_semantics_there_is_only_tracking(stride):
    model = ColourModel(**({} if stride == 0 else {"id2interaction": {}}))
    session = colours(model, semantic_stride=stride)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    states = run(session, [red_at(40)] * 6)
    assert model.embedded == [1] * 6 and model.described == []
    assert all(state.interactions == () for (state,) in states)
    assert session.trajectory(1).events == []


def test_a_network_without_a_semantic_head_tracks():
    session = SemTrackSession(tiny_model(semantic_head="none"), tiny_processor())
    session.add_target(clip(1)[0], box=BOX)
    assert run(session, clip(4))[-1][0].interactions == ()


@pytest.mark.parametrize("switch", ["use_scene_context", "use_temporal_memory"])
def test_a_session_runs_with_either_source_switched_off(switch):
    session = SemTrackSession(tiny_model(**{switch: False}), tiny_processor(), semantic_stride=1)
    session.add_target(clip(1)[0], box=BOX)
    assert len(run(session, clip(4))) == 4


def test_the_stride_is_the_models_unless_given():
    model = ColourModel(semantic_stride=4)
    session = colours(model)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    run(session, [red_at(40)] * 9)
    assert len(model.described) == 3


def test_interactions_stay_until_the_next_semantic_step():
    model = ColourModel()
    session = colours(model, semantic_stride=3)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    names = []
    for index in range(6):
        model.interactions = [(index % 4, 0, SURE)]
        (state,) = session.step(red_at(40), index * RATE)
        names.append(state.interactions[0].interaction)
    assert names == ["approach"] * 3 + ["carry"] * 3


def test_an_invisible_target_does_nothing():
    model = ColourModel()
    session = colours(model, semantic_stride=1)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    states = run(session, [red_at(40), NOTHING, red_at(40)])
    assert [len(state.interactions) for (state,) in states] == [1, 0, 1]
    assert len(model.described) == 2


def test_interactions_come_by_name_each_once_the_best_first():
    model = ColourModel()
    model.interactions = [(1, 0, 1.0), (2, 3, 3.0), (1, 1, 2.0), (0, 1, -9.0)]
    session = colours(model)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    (state,) = session.step(red_at(40), 0.0)
    assert [(i.interaction, i.object) for i in state.interactions[:2]] == [("hit", None), ("chase", "dog")]
    hit, chase = state.interactions[:2]
    assert hit.object_box is None  # it is about nothing
    assert chase.object_box == pytest.approx((60 - 15, 45 - 15, 30, 30))  # a quarter of the scene, in the middle
    assert chase.score == pytest.approx(math.exp(2) / (math.exp(2) + 4))
    assert len({i.interaction for i in state.interactions}) == len(state.interactions)
    assert [i.score for i in state.interactions] == sorted((i.score for i in state.interactions), reverse=True)


def test_faint_interactions_are_not_reported():
    model = ColourModel()
    model.interactions = [(0, 0, -SURE), (1, 0, SURE)]
    model.config.none_weight = 1.0
    session = colours(model)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    (state,) = session.step(red_at(40), 0.0)
    assert state.interactions[0].interaction == "chase"
    assert all(interaction.score >= 0.05 for interaction in state.interactions)


def test_semantic_steps_know_where_the_target_and_its_window_are():
    model = ColourModel()
    session = colours(model, semantic_stride=1)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    session.step(red_at(40), 0.0)
    step = model.described[0]
    # The scene is the square from (0, -15) to (120, 105); the search region has four times the target's size.
    assert step["boxes"][0, 0].tolist() == pytest.approx([46 / 120, 61 / 120, 0.1, 0.1])
    assert step["windows"][0, 0].tolist() == pytest.approx([46 / 120, 61 / 120, 0.4, 0.4])


def test_each_target_keeps_its_own_memory():
    model = ColourModel()
    session = colours(model, semantic_stride=1)
    start = square_frame({(10, 20, 12): RED, (80, 60, 12): GREEN})
    session.add_target(start, box=(10, 20, 12, 12))
    run(session, [start] * 2)
    session.add_target(start, box=(80, 60, 12, 12))
    run(session, [start] * 2, start=2)
    assert model.described[3]["memory"].times.tolist() == [
        pytest.approx([RATE, 2 * RATE, 3 * RATE]), pytest.approx([0, 2 * RATE, 3 * RATE])
    ]  # fmt: skip
    assert model.described[2]["memory"].valid.shape == (2, 3)


def test_events_are_timed_by_frames():
    model = ColourModel()
    settings = SessionSettings(events=EventSettings(min_duration=0.0, merge_gap=0.0))
    session = colours(model, settings, semantic_stride=2)
    session.add_target(red_at(40), box=(40, 40, 12, 12), category="cube")
    for index in range(10):
        model.interactions = [(1, 0, SURE)] if 4 <= index < 8 else []
        session.step(red_at(40), index * RATE)
    (event,) = session.trajectory(1).events
    assert (event.subject, event.interaction, event.object) == ("cube", "chase", "ball")
    assert (event.start_frame, event.end_frame) == (4, 8)
    assert (event.start_time, event.end_time) == pytest.approx((4 * RATE, 8 * RATE))
    assert [box.frame_index for box in event.object_boxes] == [4, 6]


def test_the_last_frame_lasts_as_long_as_the_one_before():
    model = ColourModel()
    session = colours(model, SessionSettings(events=EventSettings(min_duration=0.0)), semantic_stride=1)
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    for time in (0.0, 0.1, 0.3):
        session.step(red_at(40), time)
    (event,) = session.trajectory(1).events
    assert (event.end_frame, event.end_time) == (3, pytest.approx(0.5))


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
    """Between frame 40 and frame 200 no tensor and no array stays behind; the log is one array per target."""

    def alive():
        gc.collect()
        return sum(issubclass(type(thing), (torch.Tensor, np.ndarray)) for thing in gc.get_objects())

    frames = clip(8)
    settings = SessionSettings(template_interval=5, template_presence=0.0)
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
    assert not target.prompt_embeds.requires_grad and not target.memory.tokens.requires_grad


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
