"""Rows: what is read, what is refused and how it is said."""

import copy

import numpy as np
import pytest
from metric_rows import BOX, event, row, track

from metrics.semtrack.rows import filled_tube, pair_rows, read_row


def good_row():
    tracks = [track(1), track(2, frames=range(10, 20), main=False, category="box")]
    events = [event(5, 15, object_track=2), event(20, 30, located=([21, 25], BOX))]
    return row(events, tracks)


def test_row_becomes_arrays():
    video = read_row(good_row())
    assert (video.video_id, video.num_frames, video.fps) == ("clip", 100, 25.0)
    second = video.tracks[1]
    assert (second.track_id, second.category, second.main, second.score) == (2, "box", False, 1.0)
    assert (second.frames.dtype, second.boxes.dtype, second.scores.dtype) == (np.int64, np.float64, np.float64)
    np.testing.assert_array_equal(second.frames, np.arange(10, 20))
    np.testing.assert_array_equal(second.boxes, [BOX] * 10)


def test_dense_boxes_are_nan_where_the_object_is_not_visible():
    dense = read_row(good_row()).tracks[1].dense_boxes(100)
    assert dense.shape == (100, 4)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(dense[:, 0])), np.arange(10, 20))


def test_object_is_where_its_track_or_its_own_boxes_are_during_the_event():
    video = read_row(good_row())
    np.testing.assert_array_equal(video.object_boxes(video.events[0]).frames, np.arange(10, 15))
    np.testing.assert_array_equal(video.object_boxes(video.events[1]).frames, [21, 25])
    np.testing.assert_array_equal(video.subject_boxes(video.events[0]).frames, np.arange(5, 15))
    assert len(read_row(row([event(0, 5)])).object_boxes(read_row(row([event(0, 5)])).events[0]).frames) == 0


def test_targets_are_the_main_tracks_or_all_where_none_is_marked():
    assert [t.track_id for t in read_row(good_row()).targets] == [1]
    unmarked = row(tracks=[track(1, main=False), track(2, main=False)])
    assert [t.track_id for t in read_row(unmarked).targets] == [1, 2]


def test_rows_without_tracks_or_events_and_tracks_without_frames_are_rows():
    assert read_row(row(tracks=[])).targets == ()
    assert read_row(row(tracks=[track(frames=[])])).tracks[0].boxes.shape == (0, 4)


def test_boxes_of_no_area_are_boxes():
    assert read_row(row(tracks=[track(box=[1, 1, 0, 0])])).tracks[0].boxes[0].tolist() == [1, 1, 0, 0]


def test_input_is_left_as_it_was():
    given = good_row()
    before = copy.deepcopy(given)
    read_row(given)
    assert given == before


def changed(path, value):
    """The good row with one value replaced, or removed where it is None."""
    bad = good_row()
    owner = bad
    for step in path[:-1]:
        owner = owner[step]
    if value is None:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return bad


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["video_id"], "", "predictions[3]: video_id must be a string that is not empty, got ''"),
        (["fps"], None, "video 'clip', predictions[3]: the field 'fps' is missing"),
        (["num_frames"], 0, "num_frames and fps must be positive, got 0 and 25.0"),
        (["num_frames"], 9.5, "num_frames must be a whole number, got 9.5"),
        (["tracks", 1, "track_id"], 1, "tracks: track_id must be unique, got 1 more than once"),
        (["tracks", 0, "scores"], [1.0] * 99, "tracks[0]: one score per frame is needed, got 99 scores for 100"),
        (["tracks", 0, "scores", 7], float("nan"), "tracks[0].scores[7] must be finite, got nan"),
        (["tracks", 0, "score"], float("nan"), "tracks[0].score must be a finite number, got nan"),
        (["tracks", 0, "boxes"], [BOX] * 98, "tracks[0]: one box per frame is needed, got 98 boxes for 100 frames"),
        (["tracks", 1, "boxes", 4], [1, 2, -3, 4], "tracks[1].boxes[4] must have width, height >= 0, got [1.0, 2.0, -"),
        (["tracks", 1, "boxes", 4], [1, float("nan"), 3, 4], "tracks[1].boxes[4] must be finite, got [1.0, nan"),
        (["tracks", 1, "boxes", 4], [1, 2, 3], "tracks[1].boxes[4] must be numbers [x, y, w, h], got [1, 2, 3]"),
        (["tracks", 1, "frames", 3], 12, "tracks[1].frames[3] must ascend, each frame once, got 12"),
        (["tracks", 1, "frames", 9], 100, "tracks[1].frames[9] must lie in [0, 100), got 100"),
        (["tracks", 1, "frames", 0], 0.5, "tracks[1].frames must be whole numbers, got [0.5,"),
        (["tracks", 1, "frames"], 5, "tracks[1].frames must be a list, got 5"),
        (["tracks", 1, "frames", 0], 10**30, "tracks[1].frames must be whole numbers, got [1000"),
        (["tracks", 1, "boxes", 4], [1, 2, 3, [4]], "tracks[1].boxes[4] must be numbers [x, y, w, h], got [1, 2, 3, ["),
        (["tracks", 1, "scores", 0], "high", "tracks[1].scores must be numbers, got ['high', 1.0, 1.0]"),
        (["tracks", 1], [1, 2], "tracks[1] must be an object with named fields, got list"),
        (["events"], {}, "events must be a list, got {}"),
        (["tracks", 1, "main"], "yes", "tracks[1].main must be true or false, got 'yes'"),
        (["tracks", 1, "category"], 5, "tracks[1].category must be a string, got 5"),
        (
            ["events", 1, "end_frame"],
            20,
            "events[1]: the interval must start before it ends, within 100 frames, got [",
        ),
        (["events", 1, "end_frame"], 101, "got [20, 101)"),
        (["events", 1, "score"], float("inf"), "events[1].score must be a finite number, got inf"),
        (["events", 1, "subject"], 7, "events[1]: subject must be a track_id of its row, got 7, not in [1, 2]"),
        (["events", 0, "object_track"], 1, "events[0]: object_track must be -1 or another track_id of its row, got 1"),
        (["events", 1, "object_frames", 1], 30, "events[1].object_frames[1] must lie in [20, 30), got 30"),
        (["events", 1, "object_boxes"], [BOX], "events[1]: one box per frame is needed, got 1 boxes for 2 frames"),
        (["events", 1, "interaction"], "", "events[1]: interaction must be a name, got ''"),
        (["events", 1, "interaction"], "fly", "events[1]: interaction must be one of the 2 known names, got 'fly'"),
    ],
)
def test_bad_rows_are_refused_with_video_row_and_value(path, value, message):
    with pytest.raises(ValueError) as error:
        read_row(changed(path, value), "predictions[3]", interactions=("push", "pull"))
    assert message in str(error.value)
    assert "predictions[3]" in str(error.value) and "\n" not in str(error.value)
    assert path == ["video_id"] or "video 'clip'" in str(error.value)


def test_any_interaction_is_fine_where_no_names_are_given():
    assert read_row(changed(["events", 1, "interaction"], "fly")).events[1].interaction == "fly"


def test_rows_pair_up_by_video_in_the_order_of_the_references():
    pairs = pair_rows([row(video_id="b"), row(video_id="a")], [row(video_id=name) for name in "abc"])
    assert [p.reference.video_id for p in pairs] == [p.prediction.video_id for p in pairs] == ["a", "b", "c"]
    assert [len(p.prediction.tracks) for p in pairs] == [1, 1, 0]


def test_up_to_three_predictions_for_unknown_videos_are_named():
    strangers = [row(video_id=f"v{i}") for i in range(5)]
    with pytest.raises(ValueError, match="no reference: 'v0', 'v1', 'v2' and 2 more$"):
        pair_rows(strangers, [row()])
    with pytest.raises(ValueError, match="no reference: 'v0'$"):
        pair_rows(strangers[:1], [row()])


@pytest.mark.parametrize("kind", ["predictions", "references"])
def test_a_video_that_comes_twice_is_refused(kind):
    rows = {"predictions": [row()], "references": [row()], kind: [row(), row()]}
    with pytest.raises(ValueError, match=rf"video 'clip', {kind}\[1\]: this video_id has come before"):
        pair_rows(**rows)


def test_a_prediction_may_end_early_but_not_reach_past_its_reference():
    assert pair_rows([row(num_frames=50)], [row(num_frames=60)])
    with pytest.raises(ValueError, match="video 'clip': the prediction reaches frame 99, but the reference has 60"):
        pair_rows([row(num_frames=100)], [row(num_frames=60)])
    with pytest.raises(ValueError, match="reaches frame 69, but"):
        pair_rows([row([event(0, 70)], [track(frames=[0])])], [row(num_frames=60)])


def test_filled_tube_moves_linearly_and_holds_at_the_ends():
    tube = filled_tube([2, 4], [[0, 0, 10, 10], [4, 2, 20, 10]], 0, 6)
    np.testing.assert_array_equal(tube.frames, np.arange(6))
    np.testing.assert_array_equal(tube.boxes[:, 0], [0, 0, 0, 2, 4, 4])
    np.testing.assert_array_equal(tube.boxes[:, 2], [10, 10, 10, 15, 20, 20])
    assert len(filled_tube([], [], 0, 6).frames) == 0
