"""SemTrackSession: where it looks, what it does when the target is gone, and which memory of it to trust."""

import pytest
import torch
from colour_model import GREEN, RED, SURE, ColourModel
from session_clips import NOTHING, RATE, colours, red_at, run
from tiny_models import square_frame

from modeling_semtrack import SessionSettings
from modeling_semtrack.session_semtrack import STEADY


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


def test_after_a_miss_more_presence_is_needed_than_before():
    """With thresholds of 0.5 and, once it was missed, 0.7."""
    model = ColourModel()
    session = colours(model, SessionSettings(found_presence=0.7))
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    seen = []
    for index, presence in enumerate((0.9, 0.6, 0.4, 0.6, 0.75, 0.6)):
        model.presence = torch.tensor(presence).logit()
        seen.append(session.step(red_at(40), index * RATE)[0].box is not None)
    assert seen == [True, True, False, False, True, True]


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
    users = model.templates[0][0]
    assert all(colour == users for pair in model.templates for colour in pair)


def renewals(model, session, frames):
    """Frames after which new templates were embedded, and the templates' colours."""
    session.add_target(red_at(40), box=(40, 40, 12, 12))
    model.templates.clear()
    found = {}
    for index, frame in enumerate(frames):
        session.step(frame, index * RATE)
        if model.templates:
            found[index] = model.templates[-1]
            model.templates.clear()
    return found


def test_after_a_miss_the_target_must_be_seen_for_a_while_before_its_template_is_renewed():
    model = ColourModel()
    session = colours(model, SessionSettings(template_interval=5), semantic_stride=0)
    frames = [red_at(40)] * 4 + [NOTHING] + [red_at(40)] * 40
    assert min(renewals(model, session, frames)) == 4 + STEADY + 5


def test_a_lost_target_is_looked_for_by_the_users_template_alone():
    model = ColourModel()
    session = colours(model, SessionSettings(template_interval=5, lost_after=3), semantic_stride=0)
    dim = (180, 0, 0)
    frames = [square_frame({(40, 40, 12): dim})] * 7 + [NOTHING] * 5
    found = renewals(model, session, frames)
    assert list(found) == [5, 9], "renewed once, and reset at the third miss"
    first, second = found[5]
    assert first != second, "the dynamic template shows the target as it is now"
    assert found[9] == [first, first]
