"""The paragraph that tells what happened."""

from modeling_semtrack.summary import MOST_EVENTS, summary
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

BOX = (1.0, 2.0, 3.0, 4.0)


def event(start, end, name="push", thing="box", score=0.82) -> InteractionEvent:
    return InteractionEvent("dog", name, thing, start, end, int(start * 25), int(end * 25) + 1, score)


def track(count=120, hidden=2, start=0.0, events=(), category=None, complete=True) -> SemanticTrajectory:
    frames = [TrackedFrame(i, start + i / 25, BOX if i >= hidden else None, 0.9) for i in range(count)]
    return SemanticTrajectory(1, category, {}, 64, 48, frames, list(events), complete)


def test_paragraph_states_visibility_and_events_in_order_of_time():
    events = [event(2.0, 3.5, "walk", None, 0.7), event(0.4, 1.6)]
    assert summary([track(events=events)]) == (
        "Target 1 was visible in 118 of 120 frames (4.8 s). From 0.4 s to 1.6 s: push (box, 82%). "
        "From 2.0 s to 3.5 s: walk (70%)."
    )


def test_category_late_start_and_missing_events_are_told():
    text = summary([track(start=65.0, category="dog")])
    assert text == "Target 1 (dog) was visible in 118 of 120 frames (4.8 s from 65.0 s). No interactions were found."


def test_broken_off_video_is_told():
    assert summary([track(complete=False)]).endswith("The video broke off after 4.8 s.")


def test_of_many_events_the_surest_are_told_and_the_rest_counted():
    events = [event(k, k + 1, f"deed{k}", score=k / 100) for k in range(50)]
    text = summary([track(events=events)])
    assert text.count("From ") == MOST_EVENTS and "deed49" in text and "deed41:" not in text
    assert text.index("deed42") < text.index("deed49")
    assert text.endswith("Less sure interactions not listed here: 42.")


def test_long_times_are_told_as_clock_times():
    text = summary([track(events=[event(125.2, 7265.0)])])
    assert "From 2:05 min to 2:01:05 h: push" in text


def test_every_target_is_told_in_one_line_whatever_the_names():
    text = summary([track(count=1, hidden=0, category="a\nb"), SemanticTrajectory(7, None, {}, 64, 48)])
    assert "\n" not in text
    assert text.startswith("Target 1 (a b) was visible in 1 of 1 frame (0.0 s).")
    assert text.endswith("Target 7 was not followed in any frame.")


def test_no_target_is_told_too():
    assert summary([]) == "No target was followed."
