"""The record type of all data sources refuses what no consumer could use."""

import re

import pytest

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord


def make_video(**changes):
    fields = {
        "video_id": "a/b",
        "file_name": "a/b.mp4",
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "num_frames": 10,
        "targets": [TargetRecord(1, "dog", {0: (1, 2, 3, 4)}, True), TargetRecord(7, None, {}, False)],
        "interactions": [InteractionRecord(1, "push", 7, 0, 10)],
        "prompt": "the dog",
        "source": "test",
    }
    return VideoRecord(**{**fields, **changes})


def test_boxes_become_floats_in_order_of_frames():
    target = TargetRecord(1, "dog", {5: [1, 2, 3, 4], 2: (0, 0, 1, 1)}, True)
    assert list(target.boxes.items()) == [(2, (0.0, 0.0, 1.0, 1.0)), (5, (1.0, 2.0, 3.0, 4.0))]
    assert all(isinstance(value, float) for box in target.boxes.values() for value in box)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1), (float("nan"), 0, 5, 5), (0, 0, 5)])
def test_a_box_without_area_or_number_is_refused(box):
    with pytest.raises(ValueError, match="track 3, frame 4: box must be finite"):
        TargetRecord(3, "dog", {4: box}, True)


def test_a_negative_frame_is_refused():
    with pytest.raises(ValueError, match="frame index must be at least 0, got -1"):
        TargetRecord(3, "dog", {-1: (0, 0, 5, 5)}, True)


@pytest.mark.parametrize("start, end", [(3, 3), (4, 2), (-1, 2)])
def test_an_interval_is_half_open_and_not_empty(start, end):
    with pytest.raises(ValueError, match=re.escape(f"[{start}, {end})")):
        InteractionRecord(1, "push", 2, start, end)


def test_nobody_acts_upon_itself_or_without_a_name():
    with pytest.raises(ValueError, match="track 1 is its own object"):
        InteractionRecord(1, "push", 1, 0, 2)
    with pytest.raises(ValueError, match="needs a name"):
        InteractionRecord(1, "", 2, 0, 2)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 0}, "must be positive, got 0x48"),
        ({"fps": float("nan")}, "must be positive"),
        ({"file_name": "/home/someone/a.mp4"}, "relative"),
        ({"file_name": "C:\\videos\\a.mp4"}, "relative"),
        ({"prompt": ""}, "prompt must be None or a sentence"),
        ({"targets": [TargetRecord(1, "dog", {}, True)] * 2, "interactions": []}, "unique"),
        ({"num_frames": 5}, "ends at frame 10 of 5"),
        ({"targets": [TargetRecord(1, "dog", {10: (0, 0, 1, 1)}, True)]}, "box in frame 10 of 10"),
        ({"interactions": [InteractionRecord(1, "push", 8, 0, 2)]}, "names track 8"),
    ],
)
def test_a_video_with_impossible_content_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_video(**changes)


def test_not_annotated_and_nothing_happens_are_different():
    assert make_video(interactions=None) != make_video(interactions=[])


def test_a_target_is_found_by_its_track_id():
    assert make_video().target(7).category is None
    with pytest.raises(KeyError, match="no track 8"):
        make_video().target(8)


def test_frames_that_are_not_annotated_are_unknown():
    record = make_video(annotated_frames=[0, 5])
    assert record.annotated_frames == (0, 5)
    assert make_video().annotated_frames is None
    assert make_video(annotated_frames=range(10)) == make_video(), "all frames and every frame are the same"
    nothing = make_video(annotated_frames=(), targets=[], interactions=None)
    assert nothing.annotated_frames == (), "no frame is annotated: nothing is known"


@pytest.mark.parametrize("frames, shown", [((3, 1), "3, 1"), ((0, 0), "0, 0"), ((0, 10), "0, 10"), ((-1, 2), "-1, 2")])
def test_annotated_frames_ascend_inside_the_video(frames, shown):
    with pytest.raises(ValueError, match=f"must ascend inside the 10 frames, got {shown}$"):
        make_video(annotated_frames=frames)


def test_a_box_in_a_frame_that_is_not_annotated_is_a_contradiction():
    with pytest.raises(ValueError, match="track 1 has boxes in frames that annotated_frames leaves out: 0$"):
        make_video(annotated_frames=(1, 2))
