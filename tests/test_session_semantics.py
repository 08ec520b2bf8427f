"""SemTrackSession: when the semantic head runs, what it is told, and what becomes of its answers."""

import math

import pytest
import torch
from colour_model import GREEN, RED, SURE, ColourModel
from session_clips import BOX, NOTHING, RATE, clip, colours, red_at, run
from tiny_models import square_frame, tiny_model, tiny_processor

from modeling_semtrack import SemTrackSession, SessionSettings
from modeling_semtrack.events import EventSettings
from modeling_semtrack.motion_semtrack import KINDS, motion_around
from modeling_semtrack.processing_semtrack import Window, box_to_view, window_to_view


def test_the_scene_is_embedded_with_the_targets_views_once_per_semantic_step():
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
    assert calls == [[3], [2], [2], [3], [2], [2], [3]]
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
    assert model.embedded == [3, 1]  # search regions and scene, and the close look


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
    # The object is that of the query which is surest of the chase, the third
    assert chase.object_box == pytest.approx((60 - 15, 45 - 15, 30, 30))  # a quarter of the scene, in the middle
    # "approach" has -9; "carry" and "none", of which nothing is said, 0
    assert chase.score == pytest.approx(math.exp(2) / sum(map(math.exp, (-9, 2, 3, 0, 0))))
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


# Motion


def motions(session, model, frames, rate=RATE):
    """What each semantic step was told of motion, [kinds] summed over the cells."""
    session.add_target(frames[0], box=(40, 40, 12, 12))
    run(session, frames, rate=rate)
    return [step["motion"][0, 0].unflatten(0, (-1, KINDS)).sum(0) for step in model.described]


def test_motion_is_seen_between_the_present_view_and_the_one_a_moment_before():
    """A green square comes down beside the target; at 30 frames a second it is compared with two frames before."""
    model = ColourModel()
    frames = [square_frame({(40, 40, 12): RED, (54, 38 + index, 8): GREEN}) for index in range(4)]
    first, second = motions(colours(model, semantic_stride=3), model, frames, rate=1 / 30)
    right, down, left, up, *_ = second.tolist()
    assert not first.any()  # nothing came before
    assert down > 2 * max(right, left, up)
    images, scene = tiny_processor().image_processor, Window(60.0, 45.0, 120.0)
    window = images.search_window((40, 40, 12, 12))
    views = images.normalize([images.crop(frame, window, images.view_size) for frame in (frames[3], frames[1])])
    places = torch.tensor([[window_to_view(window, scene)]])
    box = torch.tensor([[box_to_view((40, 40, 12, 12), scene)]])
    expected = motion_around(*views[:, None, None], places, torch.tensor([[2 / 30]]), box)
    torch.testing.assert_close(model.described[-1]["motion"], expected, atol=0.05, rtol=0)  # its box is a little off


def test_nothing_is_seen_to_move_where_the_last_view_is_too_old():
    model = ColourModel()
    frames = [square_frame({(40, 40, 12): RED, (54, 38 + index, 8): GREEN}) for index in range(3)]
    assert not any(map(torch.any, motions(colours(model, semantic_stride=1), model, frames, rate=0.5)))


def test_views_of_another_place_are_no_motion():
    """Taken up again far away, the target is not compared with where it was lost."""
    model = ColourModel()
    session = colours(model, SessionSettings(lost_after=1, search_interval=1), semantic_stride=1)
    frames = [red_at(40)] * 3 + [NOTHING] * 2 + [red_at(90, 60)] * 2
    seen = motions(session, model, frames, rate=1 / 30)
    assert session.trajectory(1).frames[5].box is not None
    assert not seen[3].any()  # the first step after the three before it was lost
