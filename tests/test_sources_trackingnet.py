"""The reader of TrackingNet, on its published layout."""

import pytest
from tracking_sets import write_images, write_text

from dataset_script.sources.reading import SourceError
from dataset_script.sources.trackingnet import read_trackingnet


@pytest.fixture
def trackingnet(tmp_path, shared_data):
    """The layout with the boxes of mmtracking's sample; of the test clip only the first, as published."""
    demo = shared_data / "annotations/sot_formats/mmtracking_demo_sot_data/trackingnet/TRAIN_0"
    rows = (demo / "video-2/gt_for_eval.txt").read_text().splitlines()
    write_text(tmp_path / "TRAIN_0/anno/clip_0.txt", "\n".join(rows))
    write_images(tmp_path / "TRAIN_0/frames/clip_0", len(rows), first=0, digits=1)
    write_text(tmp_path / "TRAIN_1/anno/clip_1.txt", "\n".join(rows[:11]))
    write_images(tmp_path / "TRAIN_1/frames/clip_1", 11, first=0, digits=1)
    write_text(tmp_path / "TEST/anno/clip_2.txt", rows[0])
    write_images(tmp_path / "TEST/frames/clip_2", 5, first=0, digits=1)
    return tmp_path


def test_boxes_frames_and_splits(trackingnet):
    first, second, test = read_trackingnet(trackingnet)
    assert (first.video_id, first.file_name, first.fps) == ("clip_0", "TRAIN_0/frames/clip_0", 30)
    assert first.target(1).boxes[1] == (75.0, 76.0, 369.0, 150.0)
    assert first.num_frames == len(first.target(1).boxes) and first.target(1).category is None
    assert first.metadata == {"split": "train", "part": "TRAIN_0"} and second.num_frames == 11
    assert test.metadata == {"split": "test", "part": "TEST"}
    assert (test.num_frames, test.annotated_frames) == (5, (0,)), "the other frames are unknown, not empty"
    assert first.annotated_frames is None and first.interactions is None
    assert [r.video_id for r in read_trackingnet(trackingnet, "test")] == ["clip_2"]


def test_a_clip_without_frames_or_with_other_rows_is_named_and_can_be_passed_over(trackingnet):
    write_text(trackingnet / "TRAIN_0/anno/clip_9.txt", "1,2,3,4\n")
    write_text(trackingnet / "TRAIN_1/anno/clip_1.txt", "1,2,3,4\n1,2,3\n")
    broken = []
    assert [r.video_id for r in read_trackingnet(trackingnet, broken=broken)] == ["clip_0", "clip_2"]
    assert "TRAIN_0/frames/clip_9" in broken[0].where and "there is none" in broken[0].why
    assert "clip_1.txt', line 2: expected 4 numbers" in broken[1].why
    write_text(trackingnet / "TRAIN_0/anno/clip_0.txt", "1,2,3,4\n1,2,3,4\n")
    with pytest.raises(SourceError, match=r"frames.clip_0': has \d+ images but 2 rows of ground truth"):
        next(read_trackingnet(trackingnet))


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(shared_data):
    with pytest.raises(SourceError, match=r"expected the clips of TrackingNet \(TRAIN_\*/anno.*found .*ava/"):
        list(read_trackingnet(shared_data / "annotations"))
