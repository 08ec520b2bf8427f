"""What is shown of results, checked against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from app_clips import colour_clip

from modeling_semtrack import InteractionEvent, LabelledMoment, SemanticTrajectory
from modeling_semtrack.app_state import Click, Prompt, Region, Visit
from modeling_semtrack.app_video import open_clip
from modeling_semtrack.app_views import (
    EVENT_COLUMNS,
    TIMELINE_WIDTH,
    changes,
    dwell_rows,
    event_rows,
    heat_map,
    moment_rows,
    picture,
    place_of_click,
    thumbnails,
    time_of_row,
    time_of_timeline_click,
    timeline,
    told,
)
from modeling_semtrack.rendering import target_color, timeline_layout
from modeling_semtrack.trajectory import TrackedFrame

BOX = (30.0, 20.0, 10.0, 20.0)


def event(interaction="push", start=2, end=5, **changes):
    fields = {"subject": "target 1", "object": "box", "score": 0.756} | changes
    times = {"start_time": start / 10, "end_time": end / 10, "start_frame": start, "end_frame": end}
    return InteractionEvent(interaction=interaction, **times, **fields)


def trajectory(target_id=1, boxes=None, events=(), **changes):
    boxes = [BOX] * 10 if boxes is None else boxes
    frames = [TrackedFrame(index, index / 10, box, 1.0) for index, box in enumerate(boxes)]
    return SemanticTrajectory(target_id, None, {}, 120, 90, frames, list(events), **changes)


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return Visit("one", open_clip(colour_clip(tmp_path_factory.mktemp("clip"), 10), "clip.mp4"))


def test_event_rows_come_by_time_and_lead_back_to_it():
    rows = event_rows([trajectory(2, events=[event(start=4)]), trajectory(1, events=[event("hit", object=None)])])
    assert rows == [[1, "target 1", "hit", "", 0.2, 0.5, 0.76], [2, "target 1", "push", "box", 0.4, 0.5, 0.76]]
    assert len(rows[0]) == len(EVENT_COLUMNS) and [time_of_row(row) for row in rows] == [0.2, 0.4]


def test_a_click_on_the_timeline_means_the_event_or_the_time_under_it():
    trajectories = [trajectory(events=[event(start=3, end=8)])]
    layout = timeline_layout(trajectories, width=TIMELINE_WIDTH)
    bar = layout.groups[0].lanes[0].bars[0].rect
    middle = ((bar.left + bar.right) / 2, (bar.top + bar.bottom) / 2)
    assert time_of_timeline_click(trajectories, middle) == 0.3
    above = (layout.x(0.6), layout.groups[0].presence.top)
    assert time_of_timeline_click(trajectories, above) == pytest.approx(0.6, abs=0.01)
    assert time_of_timeline_click(trajectories, (2, middle[1])) is None


def test_dwell_times_count_where_the_foot_is():
    """Foot (35, 40): inside for 3 frames, gone for 1, elsewhere for 2, and inside for 2 again, of 0.1 s each."""
    boxes = [BOX] * 3 + [None] + [(80.0, 20.0, 10.0, 20.0)] * 2 + [BOX] * 2
    regions = [Region("till", (30, 38, 10, 10)), Region("head", (30, 20, 10, 10))]
    rows = dwell_rows([trajectory(boxes=boxes)], regions)
    assert rows == [["target 1", "till", 0.5, "71%", 2], ["target 1", "head", 0.0, "0%", 0]]
    assert dwell_rows([trajectory(boxes=[None] * 4)], regions[:1]) == [["target 1", "till", 0, "", 0]]


def test_the_heat_map_glows_where_the_target_stood(visit):
    assert heat_map(visit) is None
    shown = heat_map(visit.with_results([trajectory()])).astype(int)
    plain = picture(visit).astype(int)
    difference = np.abs(shown - plain).sum(-1)
    row, column = np.unravel_index(difference.argmax(), difference.shape)
    assert abs(column - 35) <= 4 and abs(row - 40) <= 4 and difference[80, 100] == 0


def test_the_picture_shows_prompts_tracks_and_regions(visit):
    """Each in its place; a prompt wins over the track in its frame."""
    plain = picture(visit)
    prompted = picture(visit.with_prompt(Prompt(1, 0, BOX, None, (Click(35, 30),))))
    tracked = picture(visit.with_results([trajectory(boxes=[(80.0, 20.0, 10.0, 20.0)] * 10)]).at(3))
    both = visit.with_prompt(Prompt(1, 0, BOX)).with_results([trajectory(boxes=[(80.0, 20.0, 10.0, 20.0)] * 10)])
    color = np.array(target_color(1))
    edges = {name: (image == color).all(-1) for name, image in (("p", prompted), ("t", tracked), ("b", picture(both)))}
    assert edges["p"][20:40, 25:45].any() and not edges["p"][20:40, 75:95].any()
    assert edges["t"][20:40, 75:95].any() and not edges["t"][22:40, 25:45].any()
    assert edges["b"][20:40, 25:45].any() and not edges["b"][20:40, 75:95].any()
    assert not np.array_equal(picture(visit.with_region((5.0, 50.0, 20.0, 20.0)))[60, 10], plain[60, 10])
    assert picture(Visit("one")) is None


def test_thumbnails_name_their_targets(visit):
    visit = visit.with_prompt(Prompt(1, 0, BOX, "cat")).with_prompt(Prompt(2, 5, BOX))
    assert [caption for _, caption in thumbnails(visit)] == ["1: cat", "target 2"]
    assert all((image[0, 0] == target_color(number)).all() for number, (image, _) in enumerate(thumbnails(visit), 1))


def test_each_target_is_told_in_a_paragraph_of_its_own():
    """Names are shown as they are typed, whatever Markdown would make of them."""
    words = told([trajectory(events=[event(object="<b>*box*")]), trajectory(2)])
    assert words.count("\n\n") == 1 and r"push (\<b\>\*box\*, 76%)" in words
    assert told([]) == "" and timeline([]) is None and timeline([trajectory()]).width == TIMELINE_WIDTH


def test_changes_are_told_in_words():
    before, after = [trajectory(events=[event()])], [trajectory(events=[event("water", object=None)])]
    told = changes(before, after)
    assert "new: target 1 **water**, 0.2 to 0.5 s" in told and "gone: target 1 **push** box" in told
    assert "Nothing changed" in changes(before, before)


def test_moments_in_rows():
    assert moment_rows([LabelledMoment(1, 0.4, "push", "box"), LabelledMoment(2, 1.239, None)]) == [
        [1, 0.4, "push", "box"],
        [2, 1.24, "(nothing)", ""],
    ]


def test_clicks_outside_are_refused(visit):
    assert place_of_click(visit, (10, 20)) == (10, 20)
    with pytest.raises(ValueError, match="outside the 120x90 picture"):
        place_of_click(visit, (120, 20))
    with pytest.raises(ValueError, match="choose a video first"):
        place_of_click(replace(visit, clip=None), (10, 20))
