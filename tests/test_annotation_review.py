"""Proposing, reviewing and merging annotations."""

import json
import re
from dataclasses import replace

import pytest
from colour_model import RED, ColourModel
from PIL import Image
from session_clips import red_at
from test_pipeline import EAGER
from tiny_models import noise_frame, square_frame, tiny_model, tiny_processor
from video_files import cut, encode, noisy

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import read_semtrack, write_semtrack
from modeling_semtrack.annotation_review import (
    Proposal,
    mean_overlap,
    merge_review,
    propose,
    read_review,
    to_review,
    with_object_tracks,
    write_review,
)
from modeling_semtrack.annotation_sheet import save_sheet
from modeling_semtrack.files import OutputError
from modeling_semtrack.target_proposals import find_targets
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame
from modeling_semtrack.video import VideoError

FRAMES = 10


def trajectory(number, x, events=(), category=None):
    frames = [TrackedFrame(index, index / 10, (x + index, 5.0, 20.0, 10.0), 0.9) for index in range(FRAMES)]
    return SemanticTrajectory(number, category, {"frame": 0, "point": [x, 5]}, 120, 90, frames, list(events))


def event(name, start, end, object_boxes=(), kind=None):
    return InteractionEvent("target 1", name, kind, start / 10, end / 10, start, end, 0.6, object_boxes)


@pytest.fixture
def proposal():
    """Track 1 pushes track 2, hits a ball that nobody follows, and waves."""
    events = [
        event("push", 0, 4, [(0, (50, 5, 20, 10)), (3, (53, 5, 20, 10))], "person"),
        event("hit", 4, 8, [(4, (80, 60, 8, 8)), (6, (84, 60, 8, 8))], "ball"),
        event("wave", 8, 10),
    ]
    tracks = [trajectory(1, 5.0, events), trajectory(2, 50.0)]
    return with_object_tracks(Proposal("clip", "clip.mp4", 10.0, 0, FRAMES, tracks, True))


@pytest.fixture
def review(proposal, tmp_path):
    """Writes the review with some decisions and other changes; gives it as read back."""

    def make(tracks=(True, True, True), events=(True, True, True), **changes):
        content = to_review(proposal) | changes
        for rows, decisions in ((content["tracks"], tracks), (content["events"], events)):
            for row, decision in zip(rows, decisions):
                row["accept"] = decision
        path = tmp_path / "review.json"
        path.write_text(json.dumps(content))
        return read_review(path)

    return make


# Proposing


def test_targets_that_nobody_pointed_at_are_found_by_clicks_that_agree():
    frame = square_frame({(30, 20, 40): RED}, height=90, width=120)
    (found, *_) = find_targets(ColourModel().eval(), tiny_processor().image_processor, frame, most=3)
    assert mean_overlap({0: found.box}, {0: (30, 20, 40, 40)}) > 0.6 and found.clicks >= 4


def test_a_video_is_followed_from_its_prompts_and_otherwise_from_what_stands_out(tmp_path):
    path = encode(tmp_path / "red.mp4", [red_at(40 + i, 30, 30) for i in range(8)], crf=0, pixels="yuv444p")
    model, processor = ColourModel(), tiny_processor()
    named = propose(path, model, processor, points=[(50, 45)], boxes=[(40, 30, 30, 30)], semantic_stride=0)
    assert [list(t.prompt) for t in named.trajectories] == [["frame", "box"], ["frame", "point"]]
    assert (named.video_id, named.file_name, named.num_frames, named.complete) == ("red", "red.mp4", 8, True)
    found = propose(path, model, processor, most=1, semantic_stride=0)
    (track,) = found.trajectories
    boxes = {frame.frame_index: frame.box for frame in track.frames if frame.box}
    assert mean_overlap({0: (40, 30, 30, 30), 7: (47, 30, 30, 30)}, boxes) > 0.5


def test_the_network_itself_proposes_events_with_their_objects(tmp_path):
    wide = noise_frame(90, 200)
    path = encode(tmp_path / "clip.mp4", [wide[:, 3 * i : 3 * i + 120] for i in range(FRAMES)])
    model = tiny_model(presence_threshold=0.3)
    proposed = propose(path, model, tiny_processor(), boxes=[(30, 20, 30, 40)], settings=EAGER, semantic_stride=2)
    content = to_review(with_object_tracks(proposed))
    assert content["events"] and all(row["accept"] is None for row in content["events"] + content["tracks"])
    numbers = {row["track_id"] for row in content["tracks"]}
    assert {row["object_track"] for row in content["events"]} <= numbers | {None}
    write_review(content, tmp_path / "review.json")
    assert read_review(tmp_path / "review.json").count(None) == (len(content["tracks"]), len(content["events"]))


def test_a_prompt_past_the_end_and_a_plain_picture_are_refused(tmp_path):
    path = encode(tmp_path / "short.mp4", [noise_frame()] * 2)
    with pytest.raises(VideoError, match="--frame must be less than the 2 frames"):
        propose(path, ColourModel(), tiny_processor(), points=[(5, 5)], frame=2)
    model = ColourModel()
    model.score = -6.0
    with pytest.raises(ValueError, match="no target stands out in .*: name one with --point"):
        propose(path, model, tiny_processor())


def test_a_video_that_breaks_off_is_proposed_as_far_as_it_goes(tmp_path):
    whole = encode(tmp_path / "whole.mp4", noisy(40, 90, 120), muxer={"movflags": "+faststart"})
    proposed = propose(cut(whole, 0.5), ColourModel(), tiny_processor(), boxes=[(9, 9, 30, 30)], semantic_stride=0)
    assert not proposed.complete and 5 < proposed.num_frames < 35


def test_objects_become_tracks_and_are_joined_to_the_tracks_that_they_are(proposal):
    content = to_review(proposal)
    assert [row["object_track"] for row in content["events"]] == [2, 3, None]
    ball = content["tracks"][2]
    assert (ball["category"], ball["main"]) == ("ball", False)
    assert ball["boxes"] == {"4": [80, 60, 8, 8], "5": [82, 60, 8, 8], "6": [84, 60, 8, 8]}, "interpolated"


# The file


def test_the_file_has_a_box_on_each_line_and_is_not_written_over(proposal, tmp_path):
    path = tmp_path / "review.json"
    write_review(to_review(proposal), path)
    assert re.search(r'^ +"3": \[8\.0, 5\.0, 20\.0, 10\.0\],?$', path.read_text(), re.MULTILINE)
    with pytest.raises(OutputError, match="may hold a review"):
        write_review(to_review(proposal), path)


def test_edited_boxes_names_and_intervals_are_what_is_read(proposal, tmp_path):
    content = to_review(proposal)
    content["tracks"][0] |= {"category": "child", "boxes": {"10": [1, 1, 5, 5], "9": [2, 2, 5, 5]}}
    content["events"][2] |= {"interaction": "greet", "start_frame": 9, "end_frame": 11}
    content["video"] |= {"num_frames": 11, "prompt": "the child"}
    (tmp_path / "r.json").write_text(json.dumps(content))
    read = read_review(tmp_path / "r.json")
    assert read.tracks[0].target == TargetRecord(1, "child", {9: (2, 2, 5, 5), 10: (1, 1, 5, 5)}, True)
    assert read.events[2].event == InteractionRecord(1, "greet", None, 9, 11) and read.video.prompt == "the child"


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda d: d.update(format="coco"), "is not a review"),
        (lambda d: d["tracks"][0].update(accept="yes"), "accept of track 1 must be true, false or null, got 'yes'"),
        (lambda d: d["events"][1].update(accept=1), "accept of event 2 must be true, false or null, got 1"),
        (lambda d: d["tracks"][0]["boxes"].update({"3": [1, 2, 0, 4]}), "track 1, frame 3: box must be finite"),
        (lambda d: d["events"][0].update(subject_track=8), "names track 8"),
        (lambda d: d["events"][0].update(end_frame=99), "ends at frame 99 of 10"),
        (lambda d: d["tracks"][0].pop("main"), "misses a field"),
        (lambda d: d["video"].update(colour="red"), "wrong kind"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused_in_one_line(proposal, tmp_path, damage, words):
    content = to_review(proposal)
    damage(content)
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_review(tmp_path / "r.json")
    assert "r.json'" in str(error.value) and "\n" not in str(error.value)


# Merging


def test_only_what_is_accepted_is_merged(review):
    read = review(tracks=(True, True, None), events=(True, False, None))
    (record,) = merge_review(read, [])
    assert [target.track_id for target in record.targets] == [1, 2]
    assert record.interactions == [InteractionRecord(1, "push", 2, 0, 4)]
    assert (read.count(True), read.count(False), read.count(None)) == ((2, 1), (0, 1), (1, 1))


def test_that_nothing_else_happens_must_be_said(review):
    nothing = {"events": (False, False, False)}
    assert merge_review(review(**nothing), [])[0].interactions is None
    assert merge_review(review(**nothing, all_events_listed=True), [])[0].interactions == []


def test_an_event_whose_track_is_not_accepted_is_refused(review):
    with pytest.raises(ValueError, match=r"'hit' \[4, 8\) is accepted, but its object, track 3, is not"):
        merge_review(review(tracks=(True, True, None)), [])
    with pytest.raises(ValueError, match="accepts no track"):
        merge_review(review(tracks=(None,) * 3, events=(None,) * 3), [])


def test_a_review_goes_through_the_layout_and_back(review, tmp_path):
    merged = merge_review(review(), [])
    write_semtrack(merged, tmp_path / "a.json")
    assert read_semtrack(tmp_path / "a.json") == merged


def test_a_review_that_is_merged_twice_changes_nothing_more(review):
    once = merge_review(review(), [])
    assert merge_review(review(), once) == once


def test_other_videos_stay_and_the_same_video_gains_tracks_with_new_numbers(review):
    old = TargetRecord(1, "dog", {0: (1.0, 1.0, 5.0, 5.0)}, False)
    other = VideoRecord("other", "o.mp4", 9, 9, 5.0, 3, [], None, None, "test")
    same = replace(other, video_id="clip", width=120, height=90, num_frames=FRAMES, targets=[old], interactions=[])
    first, second = merge_review(review(), [other, same])
    assert first == other and [t.track_id for t in second.targets] == [1, 2, 3, 4]
    assert second.interactions[0] == InteractionRecord(2, "push", 3, 0, 4) and second.source == "test"


def test_annotations_of_another_size_are_refused(review):
    old = VideoRecord("clip", "c.mp4", 120, 91, 5.0, FRAMES, [], None, None, "test")
    with pytest.raises(ValueError, match="'clip' differ in height: 90 and 91"):
        merge_review(review(), [old])


def test_frames_before_the_prompt_are_marked_as_unknown(proposal, tmp_path):
    content = to_review(replace(proposal, first_frame=2))
    for row in content["tracks"]:
        row |= {"accept": True, "boxes": {k: v for k, v in row["boxes"].items() if int(k) >= 2}}
    content["events"] = []
    (tmp_path / "r.json").write_text(json.dumps(content))
    (record,) = merge_review(read_review(tmp_path / "r.json"), [])
    assert record.annotated_frames == tuple(range(2, FRAMES))


# The contact sheet


def test_the_sheet_shows_tracks_and_a_row_for_each_event(proposal, tmp_path):
    path = encode(tmp_path / "clip.mp4", [noise_frame()] * FRAMES)
    save_sheet(path, proposal, to_review(proposal), tmp_path / "sheet.png")
    few = replace(proposal, trajectories=[replace(t, events=[]) for t in proposal.trajectories])
    save_sheet(path, few, to_review(few), tmp_path / "few.png")
    sheet, smaller = Image.open(tmp_path / "sheet.png"), Image.open(tmp_path / "few.png")
    assert sheet.width == smaller.width > 1200 and sheet.height > smaller.height + 3 * 200
