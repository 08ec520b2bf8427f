"""Geometry of the timeline figure."""

import itertools
import random

import numpy as np
import pytest

from modeling_semtrack.rendering import _TEXT_FONT, _font, timeline_layout
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

BOX = (1.0, 2.0, 3.0, 4.0)


def event(start, end, name="push", thing="box", score=0.5) -> InteractionEvent:
    first = round(start * 10)
    return InteractionEvent("dog", name, thing, start, end, first, max(first + 1, round(end * 10)), score)


def track(seconds=10.0, events=(), absent=(), start=0.0, fps=10, category="dog", target=1) -> SemanticTrajectory:
    frames = []
    for i in range(max(1, round(seconds * fps))):
        time = start + i / fps
        hidden = any(a <= time < b for a, b in absent)
        frames.append(TrackedFrame(i, time, None if hidden else BOX, 0.1 if hidden else 0.8))
    return SemanticTrajectory(target, category, {}, 64, 48, frames, list(events))


def many_events(count, length, seed=0):
    chooser = random.Random(seed)
    names, things = ["walk", "push", "look at", "n" * 80], ["box", None, "a thing of a very long name"]
    starts = [chooser.uniform(0, length) for _ in range(count)]
    return [event(s, s + chooser.uniform(0, length / 9), chooser.choice(names), chooser.choice(things)) for s in starts]


def test_each_interaction_has_one_lane_in_order_of_its_first_event():
    events = [event(5, 6, "walk"), event(1, 2, "push"), event(7, 8, "push"), event(3, 4, "pull")]
    layout = timeline_layout([track(events=events), track(events=events[:1], target=2)])
    assert [[lane.interaction for lane in g.lanes] for g in layout.groups] == [
        ["push", "pull", "walk"],
        ["walk"],
    ]
    assert [len(lane.bars) for lane in layout.groups[0].lanes] == [2, 1, 1]
    assert [g.note for g in layout.groups] == [None, None]


def test_bars_span_the_times_of_their_events():
    events = [event(0.0, 2.5), event(2.5, 10.0), event(4.0, 4.7, "walk")]
    layout = timeline_layout([track(10.0, events)], width=900)
    scale = layout.plot.width / 10.0
    for lane in layout.groups[0].lanes:
        for bar in lane.bars:
            assert bar.rect.left == pytest.approx(layout.plot.left + bar.event.start_time * scale, abs=0.01)
            assert bar.rect.right == pytest.approx(layout.plot.left + bar.event.end_time * scale, abs=0.01)
            assert lane.rect.top <= bar.rect.top < bar.rect.bottom <= lane.rect.bottom


def test_target_without_events_gets_a_note_in_place_of_lanes():
    group = timeline_layout([track()]).groups[0]
    assert group.lanes == () and group.presence.bottom <= group.note.top < group.note.bottom <= group.card.bottom


@pytest.mark.parametrize("length", [1.0, 60.0, 7200.0])
@pytest.mark.parametrize("count, targets", [(0, 1), (1, 1), (200, 2), (20, 8)])
@pytest.mark.parametrize("width", [480, 1200])
def test_nothing_overlaps_and_nothing_leaves_the_figure(length, count, targets, width):
    fps = 10 if length < 100 else 0.5
    tracks = [track(length, many_events(count, length, k), fps=fps, target=k) for k in range(1, targets + 1)]
    layout = timeline_layout(tracks, width=width)
    strips = [s for g in layout.groups for s in (g.header, g.presence, *(lane.rect for lane in g.lanes))]
    assert all(above.bottom <= below.top for above, below in itertools.pairwise(strips))
    assert all(a.card.bottom <= b.card.top for a, b in itertools.pairwise(layout.groups))
    for group in layout.groups:
        assert 0 <= group.card.left and group.card.right <= width and group.card.bottom <= layout.height
        for lane in group.lanes:
            assert_bars_clear(lane)


def assert_bars_clear(lane) -> None:
    rows = itertools.groupby(sorted(lane.bars, key=lambda b: b.rect.top), key=lambda b: b.rect.top)
    for _, bars in rows:
        bars = sorted(bars, key=lambda b: b.rect.left)
        for bar, following in itertools.zip_longest(bars, bars[1:]):
            limit = following.rect.left if following else lane.rect.right
            end = bar.label_left + _font(_TEXT_FONT).getlength(bar.label) if bar.label else 0
            assert lane.rect.left <= bar.rect.left and bar.rect.right <= lane.rect.right + 0.01
            assert lane.rect.top <= bar.rect.top and bar.rect.bottom <= lane.rect.bottom + 0.01
            assert end <= (bar.rect.right if bar.inside else limit), "a label is never cut or covered"
            if following and following.rect.width > 2:
                assert bar.event.end_time <= following.event.start_time + 1e-3, "one row, one event at a time"


def test_events_at_the_same_time_are_stacked_and_touching_ones_share_a_row():
    touching = [event(0, 2), event(2, 4)]
    layout = timeline_layout([track(events=[*touching, event(1, 3, thing="chair")])])
    (lane,) = layout.groups[0].lanes
    tops = {(bar.event.object, bar.event.start_time): bar.rect.top for bar in lane.bars}
    assert tops["box", 0] == tops["box", 2] != tops["chair", 1]


def test_object_is_named_on_a_wide_bar_beside_a_narrow_one_and_shortened_where_room_lacks():
    events = [event(0, 5), event(6, 6.1, thing="umbrella"), event(9.3, 10, thing="refrigerator", name="open")]
    lanes = timeline_layout([track(10.0, events)], width=900).groups[0].lanes
    wide, narrow = lanes[0].bars
    assert wide.inside and wide.label == "box 50%"
    assert not narrow.inside and narrow.label == "umbrella" and narrow.label_left > narrow.rect.right
    (short,) = lanes[1].bars
    assert short.label.startswith("ref") and short.label.endswith("…")


def test_presence_curve_has_gaps_where_the_target_is_absent():
    layout = timeline_layout([track(10.0, absent=[(2.0, 4.0), (9.0, 11.0)])])
    spans = [(curve[0, 0], curve[-1, 0]) for curve in layout.groups[0].curves]
    expected = [(0.0, 2.0), (4.0, 9.0)]
    assert np.allclose(spans, [[layout.x(a), layout.x(b)] for a, b in expected], atol=0.5)
    lane = layout.groups[0].presence
    assert np.allclose(layout.groups[0].curves[0][:, 1], lane.bottom - 0.8 * lane.height)


def test_frames_that_were_not_followed_leave_a_gap_but_a_slow_stretch_does_not():
    followed = track(10.0)
    frames = [f for f in followed.frames if not 30 <= f.frame_index < 50]
    broken = timeline_layout([SemanticTrajectory(1, None, {}, 64, 48, frames)])
    assert len(broken.groups[0].curves) == 2
    slow = [f._replace(time=f.time + (3.0 if f.frame_index >= 30 else 0.0)) for f in followed.frames]
    assert len(timeline_layout([SemanticTrajectory(1, None, {}, 64, 48, slow)]).groups[0].curves) == 1


def test_long_video_is_reduced_to_its_pixels_and_keeps_its_gaps():
    layout = timeline_layout([track(7200.0, absent=[(3600.0, 3700.0)], fps=4)])
    first, second = layout.groups[0].curves
    assert len(first) + len(second) <= layout.plot.width + 4
    assert first[-1, 0] == pytest.approx(layout.x(3600.0), abs=1.5)
    assert second[0, 0] == pytest.approx(layout.x(3700.0), abs=1.5)


@pytest.mark.parametrize(
    "start, seconds, unit, labels",
    [
        (0.0, 1.0, "seconds", ["0.0", "0.1", "0.2"]),
        (0.0, 12.0, "seconds", ["0", "1", "2"]),
        (0.0, 600.0, "min:s", ["0:00", "1:00", "2:00"]),
        (0.0, 7200.0, "h:min:s", ["0:00:00", "0:10:00", "0:20:00"]),
        (4000.3, 1.0, "seconds", ["4000.3", "4000.4", "4000.5"]),
    ],
)
def test_ticks_are_round_times_at_their_place(start, seconds, unit, labels):
    layout = timeline_layout([track(seconds, start=start, fps=20 if seconds < 100 else 1)])
    assert layout.unit == unit and [tick.label for tick in layout.ticks[:3]] == labels
    assert all(layout.plot.left - 0.5 <= tick.x <= layout.plot.right + 0.5 for tick in layout.ticks)
    assert min(b.x - a.x for a, b in itertools.pairwise(layout.ticks)) > 50
    if unit == "seconds":
        assert all(tick.x == pytest.approx(layout.x(float(tick.label))) for tick in layout.ticks)


def test_axis_starts_where_the_first_target_was_picked():
    layout = timeline_layout([track(2.0, start=30.0), track(5.0, start=31.0, target=2)])
    assert layout.start == 30.0 and layout.end == pytest.approx(36.0)
    assert layout.groups[1].followed.left == pytest.approx(layout.x(31.0))


def test_too_narrow_a_figure_is_refused():
    with pytest.raises(ValueError, match="width must be at least 3.. pixels, got 100"):
        timeline_layout([track()], width=100)
