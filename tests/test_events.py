"""Scores to events: hand-computed cases, and properties over random score sequences."""

import math
import random

import pytest

from modeling_semtrack.events import DetectedInteraction, EventBuilder, EventSettings

PLAIN = EventSettings(start_threshold=0.5, keep_threshold=0.25, min_duration=0.0, merge_gap=0.0)
STRIDE, STEP = 5, 0.125  # frames and seconds (exact in binary) between semantic steps


def build(scores, settings, start_time=0.0, peek=False, objects=(None,)):
    """Events of a sequence of {name: score} steps; peek asks for events after each step as well.

    The steps take turns with the given objects, which have a box where they are not None.
    """
    builder = EventBuilder("dog", settings)
    for number, step in enumerate(scores):
        thing = objects[number % len(objects)]
        box = None if thing is None else (float(number), 0.0, 5.0, 5.0)
        detections = [DetectedInteraction(name, thing, score, box) for name, score in step.items()]
        builder.update(number * STRIDE, start_time + number * STEP, detections)
        if peek:
            builder.events(number * STRIDE + 1, start_time + (number + 0.5) * STEP)
    return builder.events(len(scores) * STRIDE, start_time + len(scores) * STEP)


def lane(*scores):
    return [{} if score is None else {"push": score} for score in scores]


def spans(events):
    return [(event.start_frame // STRIDE, event.end_frame // STRIDE) for event in events]


def random_steps(rng, count):
    """Steps of three lanes that drift, flicker and vanish."""
    level = {"push": 0.3, "follow": 0.5, "hit": 0.2}
    steps = []
    for _ in range(count):
        for name in level:
            level[name] = min(1.0, max(0.0, level[name] + rng.uniform(-0.25, 0.25)))
        steps.append({name: score for name, score in level.items() if rng.random() < 0.9})
    return steps


def random_settings(rng):
    keep = rng.uniform(0.05, 0.6)
    return EventSettings(
        start_threshold=rng.uniform(keep, 1.0),
        keep_threshold=keep,
        min_duration=rng.choice([0.0, 0.2, 0.25, 0.6]),
        merge_gap=rng.choice([0.0, 0.125, 0.3, 0.5]),
    )


def random_cases(count=60):
    rng = random.Random(7)
    return [(random_steps(rng, rng.randrange(1, 80)), random_settings(rng)) for _ in range(count)]


def offline(steps, settings):
    """The rules of the module applied to whole lists at once: (start, end, name, mean score) per event."""
    found = []
    for name in {name for step in steps for name in step}:
        scores = [step.get(name, -1.0) for step in steps]
        kept = [score >= settings.keep_threshold for score in scores]
        starts = [i for i, here in enumerate(kept) if here and (i == 0 or not kept[i - 1])]
        runs = [(i, next((j for j in range(i, len(kept)) if not kept[j]), len(kept))) for i in starts]
        runs = [(i, j) for i, j in runs if max(scores[i:j]) >= settings.start_threshold]
        groups: list[list[tuple[int, int]]] = []
        for run in runs:
            if groups and (run[0] - groups[-1][-1][1]) * STEP <= settings.merge_gap:
                groups[-1].append(run)
            else:
                groups.append([run])
        for group in groups:
            start, end = group[0][0], group[-1][1]
            members = [score for i, j in group for score in scores[i:j]]
            if (end - start) * STEP >= settings.min_duration:
                found.append((start, end, name, sum(members) / len(members)))
    return sorted(found, key=lambda entry: (entry[0], entry[2]))


def test_hysteresis_by_hand():
    """Opens at 0.5, backdated to the first 0.25 of the run; survives 0.3; ends at the first 0.2."""
    events = build(lane(0.2, 0.25, 0.4, 0.5, 0.75, 0.3, 0.2, 0.4, 0.2), PLAIN)
    (event,) = events
    assert (event.subject, event.interaction, event.object) == ("dog", "push", None)
    assert (event.start_frame, event.end_frame) == (5, 30)
    assert (event.start_time, event.end_time) == (0.125, 0.75)
    assert event.score == pytest.approx((0.25 + 0.4 + 0.5 + 0.75 + 0.3) / 5, abs=1e-15)
    assert event.object_boxes == ()


def test_a_step_without_the_interaction_ends_it():
    assert spans(build(lane(0.9, 0.9, None, None, 0.9), PLAIN)) == [(0, 2), (4, 5)]


def test_an_event_still_open_is_closed_at_the_end():
    builder = EventBuilder("dog", PLAIN)
    builder.update(3, 0.5, [DetectedInteraction("push", None, 1.0, None)])
    (event,) = builder.events(4, 0.75)
    assert (event.start_frame, event.end_frame, event.start_time, event.end_time) == (3, 4, 0.5, 0.75)


def test_a_gap_of_exactly_merge_gap_is_bridged_and_a_longer_one_is_not():
    settings = EventSettings(0.5, 0.25, min_duration=0.0, merge_gap=2 * STEP)
    (event,) = build(lane(0.8, 0.1, 0.2, 0.6), settings)
    assert spans([event]) == [(0, 4)]
    assert event.score == pytest.approx(0.7)  # the steps of the gap do not count
    assert spans(build(lane(0.8, 0.1, 0.2, 0.2, 0.6), settings)) == [(0, 1), (4, 5)]


def test_merging_uses_the_backdated_start_and_ignores_runs_that_never_open():
    settings = EventSettings(0.5, 0.25, min_duration=0.0, merge_gap=STEP)
    assert spans(build(lane(0.8, 0.1, 0.3, 0.3, 0.3, 0.6), settings)) == [(0, 6)]
    assert spans(build(lane(0.8, 0.1, 0.3, 0.1, 0.6), settings)) == [(0, 1), (4, 5)]


def test_length_is_judged_after_merging():
    settings = EventSettings(0.5, 0.25, min_duration=3 * STEP, merge_gap=STEP)
    assert spans(build(lane(0.8, 0.1, 0.8, 0.1, 0.1, 0.8, 0.8, 0.1), settings)) == [(0, 3)]


def test_of_several_detections_of_one_interaction_the_strongest_counts():
    builder = EventBuilder("dog", PLAIN)
    boxes = [(float(i), 0.0, 5.0, 5.0) for i in range(3)]
    builder.update(
        0,
        0.0,
        [
            DetectedInteraction("push", "cup", 0.3, boxes[0]),
            DetectedInteraction("push", "box", 0.75, boxes[1]),
            DetectedInteraction("push", "cup", 0.6, boxes[2]),
        ],
    )
    (event,) = builder.events(1, 1.0)
    assert (event.object, event.score, event.object_boxes) == ("box", 0.75, ((0, boxes[1]),))


def test_the_object_is_voted_by_score_and_only_its_boxes_are_kept():
    """0.9 for the cup against 0.5 + 0.5 for the box; no object gets 0.6."""
    steps = [("cup", 0.9), ("box", 0.5), (None, 0.6), ("box", 0.5)]
    builder = EventBuilder("dog", PLAIN)
    for number, (name, score) in enumerate(steps):
        box = (10.0 * number, 0.0, 5.0, 5.0)
        builder.update(number, number * STEP, [DetectedInteraction("push", name, score, box)])
    (event,) = builder.events(4, 1.0)
    assert event.object == "box"
    assert event.object_boxes == ((1, (10.0, 0.0, 5.0, 5.0)), (3, (30.0, 0.0, 5.0, 5.0)))


def test_no_object_can_win_the_vote_also_across_merged_runs():
    settings = EventSettings(0.5, 0.25, min_duration=0.0, merge_gap=STEP)
    builder = EventBuilder("dog", settings)
    box = (0.0, 0.0, 5.0, 5.0)
    for number, (name, score) in enumerate([("box", 0.8), (None, 0.6), ("box", 0.1), (None, 0.6)]):
        where = None if name is None else box
        builder.update(number, number * STEP, [DetectedInteraction("push", name, score, where)])
        builder.events(number + 1, (number + 1) * STEP)
    (event,) = builder.events(4, 0.5)
    assert (event.object, event.object_boxes, event.end_frame) == (None, (), 4)


def test_events_are_sorted_by_start_then_name():
    steps = [{"push": 0.9, "hit": 0.9}, {"push": 0.9}, {"follow": 0.9}, {}]
    names = [event.interaction for event in build(steps, PLAIN)]
    assert names == ["hit", "push", "follow"]


def test_streaming_equals_the_rules_applied_to_all_steps_at_once():
    compared = 0
    for steps, settings in random_cases():
        expected = offline(steps, settings)
        events = build(steps, settings)
        where = [(e.start_frame // STRIDE, e.end_frame // STRIDE, e.interaction) for e in events]
        assert where == [entry[:3] for entry in expected]
        assert [e.score for e in events] == pytest.approx([entry[3] for entry in expected], abs=1e-12)
        assert all(e.start_time == e.start_frame // STRIDE * STEP for e in events)
        compared += len(events)
    assert compared > 200


def test_asking_for_events_in_between_changes_nothing():
    for steps, settings in random_cases():
        once = build(steps, settings, objects=("cup", "box", None))
        assert build(steps, settings, peek=True, objects=("cup", "box", None)) == once


def test_events_of_a_lane_never_overlap_and_are_long_enough():
    for steps, settings in random_cases():
        events = build(steps, settings)
        assert all(event.end_time - event.start_time >= settings.min_duration for event in events)
        for name in {event.interaction for event in events}:
            own = [event for event in events if event.interaction == name]
            for before, after in zip(own, own[1:], strict=False):
                assert after.start_frame > before.end_frame
                assert after.start_time - before.end_time > settings.merge_gap


def test_shifting_all_times_shifts_the_events_exactly():
    for steps, settings in random_cases(20):
        events, shifted = build(steps, settings), build(steps, settings, start_time=1024.0)
        assert [(e.start_time + 1024.0, e.end_time + 1024.0) for e in events] == [
            (e.start_time, e.end_time) for e in shifted
        ]
        assert [(e.start_frame, e.score) for e in events] == [(e.start_frame, e.score) for e in shifted]


def test_scores_below_the_keep_threshold_give_no_event():
    rng = random.Random(3)
    settings = EventSettings(0.5, 0.35, min_duration=0.0)
    assert build([{"push": rng.uniform(0.0, 0.3499)} for _ in range(200)], settings) == ()


def test_scores_that_never_reach_the_start_threshold_give_no_event():
    assert build(lane(*[0.49] * 20), PLAIN) == ()


def test_state_stays_small_however_many_interactions_came_and_went():
    builder = EventBuilder("dog", EventSettings(min_duration=10.0))
    for number in range(300):
        builder.update(number, float(number), [DetectedInteraction(f"act {number}", None, 0.9, None)])
    assert len(builder._lanes) <= 2
    assert builder._finished == []


def test_no_step_gives_no_event():
    assert EventBuilder("dog", PLAIN).events(0, 0.0) == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"keep_threshold": 0.6},
        {"start_threshold": 1.2},
        {"keep_threshold": -0.1},
        {"keep_threshold": math.nan},
    ],
)
def test_thresholds_out_of_order_are_refused_with_their_values(settings):
    (value,) = settings.values()
    with pytest.raises(ValueError, match=rf"0 <= keep_threshold .*{value}"):
        EventSettings(**settings)


@pytest.mark.parametrize("name", ["min_duration", "merge_gap"])
@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf])
def test_durations_out_of_range_are_refused_with_their_values(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        EventSettings(**{name: value})


@pytest.mark.parametrize(
    ("frame", "time", "detection", "message"),
    [
        (5, 2.0, ("push", None, 0.9, None), "got frame 5 at 2.0 s after frame 5 at 1.0 s"),
        (6, 0.5, ("push", None, 0.9, None), "got frame 6 at 0.5 s"),
        (6, math.nan, ("push", None, 0.9, None), "must be finite seconds, got nan"),
        (6, 2.0, ("push", None, 1.5, None), r"'push' must lie in \[0, 1\], got 1.5"),
        (6, 2.0, ("push", None, math.nan, None), "got nan"),
        (6, 2.0, ("push", "box", 0.9, (1.0, 2.0, 0.0, 4.0)), r"'push' .* got \(1.0, 2.0, 0.0, 4.0\)"),
    ],
)
def test_a_bad_step_is_refused_and_leaves_the_state_as_it_was(frame, time, detection, message):
    builder = EventBuilder("dog", PLAIN)
    builder.update(5, 1.0, [DetectedInteraction("push", None, 0.9, None)])
    before = builder.events(7, 3.0)
    with pytest.raises(ValueError, match=message):
        builder.update(frame, time, [DetectedInteraction(*detection)])
    assert builder.events(7, 3.0) == before


@pytest.mark.parametrize("end", [(5, 2.0), (6, 0.5), (6, math.inf)])
def test_an_end_before_the_last_step_is_refused(end):
    builder = EventBuilder("dog", PLAIN)
    builder.update(5, 1.0, [])
    with pytest.raises(ValueError, match=f"last step .frame 5, 1.0 s.*end_frame={end[0]}, end_time={end[1]}"):
        builder.events(*end)
