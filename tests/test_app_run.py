"""A run follows its plan, stops, and goes back no further than it must."""

import threading

import pytest
from app_clips import BOX, FRAMES, colour_clip, overlap
from colour_model import ColourModel
from tiny_models import tiny_model, tiny_processor

from modeling_semtrack import LabelledMoment, SemTrackSession
from modeling_semtrack.app_run import SNAPSHOT_INTERVAL, Run
from modeling_semtrack.app_state import Prompt
from modeling_semtrack.app_video import open_clip, read_forwards

GREEN_BOX = (60.0, 70.0, 12.0, 12.0)
LARGE_BOX = (30.0, 20.0, 60.0, 50.0)  # a random network does not lose it


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return open_clip(colour_clip(tmp_path_factory.mktemp("clip")), "clip.mp4")


@pytest.fixture
def run(clip):
    return Run(ColourModel(), tiny_processor(), clip)


def indices(steps):
    return [step.frame_index for step in steps]


def true_box(index):
    return (10.0 + index // 2, 40.0, 12.0, 12.0)


def test_a_run_equals_a_session_frame_by_frame(clip):
    """The demo adds nothing to the results and takes nothing away, whatever the network."""
    model = tiny_model(presence_threshold=0.3)
    run, session = Run(model, tiny_processor(), clip), SemTrackSession(model, tiny_processor(), first_frame=100)
    assert indices(run.follow([Prompt(1, 100, BOX, "dog")])) == list(range(100, FRAMES))
    for frame in read_forwards(clip, 100):
        if frame.index == 100:
            session.add_target(frame.image, box=BOX, category="dog")
        session.step(frame.image, frame.time)
    (found,), expected = run.trajectories(), session.trajectory(1)
    assert (found.frames, found.events, found.subject) == (expected.frames, expected.events, expected.subject)
    assert found.complete and found.prompt == {"frame": 100, "box": list(BOX)}


def test_a_stopped_run_goes_on_where_it_was(run):
    """And gives what an unbroken one gives."""
    stop = threading.Event()
    for step in run.follow([Prompt(1, 0, BOX)], stop):
        if step.frame_index == 20:
            stop.set()
    assert not run.trajectories()[0].complete and len(run.trajectories()[0].frames) == 21
    stop.clear()
    assert indices(run.follow([Prompt(1, 0, BOX)], stop))[0] == 21
    (trajectory,) = run.trajectories()
    assert trajectory.complete and [f.frame_index for f in trajectory.frames] == list(range(FRAMES))
    assert list(run.follow([Prompt(1, 0, BOX)], stop)) == []


def test_a_correction_keeps_what_lies_before_it(run):
    """Only the frames from the last snapshot on are repeated, and the corrected target goes on from its new box."""
    list(run.follow([Prompt(1, 0, BOX)]))
    before = run.trajectories()[0].frames
    repeated = indices(run.follow([Prompt(1, 0, BOX), Prompt(1, 110, GREEN_BOX)]))
    assert repeated[0] == 110 - 110 % SNAPSHOT_INTERVAL and repeated[-1] == FRAMES - 1
    (trajectory,) = run.trajectories()
    assert trajectory.frames[:110] == before[:110] and len(trajectory.frames) == FRAMES
    assert overlap(before[-1].box, true_box(FRAMES - 1)) > 0.5
    assert overlap(trajectory.frames[-1].box, GREEN_BOX) > 0.5
    assert trajectory.prompt["corrections"] == [{"frame": 110, "box": list(GREEN_BOX)}]


def test_a_corrected_run_equals_one_that_was_corrected_from_the_start(run, clip):
    """Snapshots hold everything: going back to one leaves no trace."""
    plan = [Prompt(1, 0, BOX), Prompt(1, 110, GREEN_BOX)]
    list(run.follow(plan[:1]))
    list(run.follow(plan))
    other = Run(ColourModel(), tiny_processor(), clip)
    list(other.follow(plan))
    assert [t.to_dict() for t in run.trajectories()] == [t.to_dict() for t in other.trajectories()]


def test_a_target_added_late_leaves_the_others_alone(run):
    """It is followed from its own frame on, under its own number."""
    list(run.follow([Prompt(2, 0, BOX)]))
    assert indices(run.follow([Prompt(2, 0, BOX), Prompt(1, 110, GREEN_BOX, "box")]))[0] == 100
    first, second = run.trajectories()
    assert (first.target_id, first.subject, first.frames[0].frame_index) == (1, "box", 110)
    assert (second.target_id, second.subject, len(second.frames)) == (2, "target 2", FRAMES)
    assert {event.subject for event in first.events} == {"box"}


def test_removing_a_target_repeats_nothing(run):
    both = [Prompt(1, 0, BOX), Prompt(2, 0, GREEN_BOX)]
    list(run.follow(both))
    assert list(run.follow(both[1:])) == []
    assert [t.target_id for t in run.trajectories()] == [2]


def test_another_name_repeats_nothing_and_reaches_the_events(run):
    list(run.follow([Prompt(1, 0, BOX)]))
    assert list(run.follow([Prompt(1, 0, BOX, "cat")])) == []
    (trajectory,) = run.trajectories()
    assert trajectory.events and {event.subject for event in trajectory.events} == {"cat"}


def test_steps_tell_what_is_seen_in_one_frame(run):
    steps = list(run.follow([Prompt(1, 100, true_box(100))]))
    assert [(s.done, s.total) for s in steps] == [(count, 30) for count in range(1, 31)]
    assert all(len(s.seen) == 1 and len(s.seen[0].frames) == 1 for s in steps)
    assert steps[-1].seen[0].events[0].interaction == "chase"


def test_backwards_finds_what_lies_before_the_first_prompt(run):
    """The frames come in order and join those found forwards."""
    prompt = Prompt(1, 60, true_box(60))
    list(run.follow([prompt]))
    assert indices(run.follow_backwards(prompt)) == list(range(60, -1, -1))
    (trajectory,) = run.trajectories()
    assert [f.frame_index for f in trajectory.frames] == list(range(FRAMES))
    assert all(overlap(f.box, true_box(f.frame_index)) > 0.5 for f in trajectory.frames)
    with pytest.raises(ValueError, match="nothing before"):
        next(run.follow_backwards(Prompt(1, 0, BOX)))


def test_another_first_prompt_makes_the_frames_before_it_void(run):
    list(run.follow([Prompt(1, 60, true_box(60))]))
    list(run.follow_backwards(Prompt(1, 60, true_box(60))))
    list(run.follow([Prompt(1, 60, GREEN_BOX)]))
    assert run.trajectories()[0].frames[0].frame_index == 60


def test_teaching_and_forgetting(clip):
    """A new name is told apart once it was shown, survives a correction, and is forgotten on demand."""
    run = Run(tiny_model(presence_threshold=0.01), tiny_processor(), clip)
    plan = [Prompt(3, 0, LARGE_BOX)]
    list(run.follow(plan))
    told = run.trajectories()[0].events
    run.adapt([LabelledMoment(3, time, "water plants") for time in (0.2, 0.4, 0.6)])
    assert "water plants" in run.interactions
    assert "water plants" in {event.interaction for event in run.trajectories()[0].events}
    list(run.follow([*plan, Prompt(3, 110, GREEN_BOX)]))
    assert "water plants" in {event.interaction for event in run.trajectories()[0].events}
    run.forget()
    assert "water plants" not in run.interactions
    list(run.follow(plan))
    assert run.trajectories()[0].events == told


def test_what_cannot_be_done_is_said(run):
    with pytest.raises(ValueError, match="pick a target first"):
        next(run.follow([]))
    with pytest.raises(ValueError, match="track the targets first"):
        run.adapt([LabelledMoment(1, 0.0, "hit")])
    list(run.follow([Prompt(1, 100, BOX)]))
    with pytest.raises(ValueError, match="not followed at 0.00 s"):
        run.adapt([LabelledMoment(1, 0.0, "hit")])
