"""The reader of LaSOT, on its published layout with authentic boxes."""

import pytest
from tracking_sets import write_images, write_text

from dataset_script.sources.lasot import read_lasot
from dataset_script.sources.reading import SourceError


@pytest.fixture
def lasot(tmp_path, shared_data):
    """The 25 authentic rows of airplane-1 and -2 in the published layout; flags and sentence are made up."""
    demo = shared_data / "annotations/sot_formats/mmtracking_demo_sot_data/lasot"
    for name in ("airplane-1", "airplane-2"):
        folder = tmp_path / "airplane" / name
        write_images(folder / "img", 25)
        write_text(folder / "groundtruth.txt", (demo / name / "groundtruth.txt").read_text())
        write_text(folder / "full_occlusion.txt", ",".join("1" if frame == 3 else "0" for frame in range(25)))
        write_text(folder / "out_of_view.txt", ",".join("1" if frame > 22 else "0" for frame in range(25)))
    write_text(tmp_path / "airplane/airplane-1/nlp.txt", "white airplane landing on the ground\n")
    write_text(tmp_path / "testing_set.txt", "airplane-1\n")
    return tmp_path


def test_authentic_boxes_class_and_sentence(lasot):
    first, second = read_lasot(lasot)
    assert (first.video_id, first.file_name) == ("airplane-1", "airplane/airplane-1/img")
    assert (first.width, first.height, first.fps, first.num_frames) == (64, 48, 30, 25)
    assert first.target(1).boxes[0] == (367.0, 101.0, 41.0, 16.0)
    assert second.target(1).boxes[1] == (75.0, 76.0, 369.0, 150.0)
    assert first.target(1).category == "airplane" and first.prompt == "white airplane landing on the ground"
    assert second.prompt is None and first.interactions is None


def test_a_hidden_or_absent_target_has_no_box(lasot):
    record = next(read_lasot(lasot))
    assert sorted(record.target(1).boxes) == [frame for frame in range(25) if frame not in (3, 23, 24)]


def test_the_list_of_test_videos_makes_the_splits(lasot):
    assert [(r.video_id, r.metadata) for r in read_lasot(lasot, "test")] == [("airplane-1", {"split": "test"})]
    assert [r.video_id for r in read_lasot(lasot, "train")] == ["airplane-2"]
    (lasot / "testing_set.txt").unlink()
    assert [r.metadata for r in read_lasot(lasot)] == [{}, {}]
    with pytest.raises(SourceError, match="splits need testing_set.txt, found airplane/"):
        next(read_lasot(lasot, "test"))


def test_videos_may_lie_in_the_folder_itself(lasot):
    assert [r.file_name for r in read_lasot(lasot / "airplane")] == ["airplane-1/img", "airplane-2/img"]


def test_a_flag_file_of_another_length_is_named_and_the_video_can_be_passed_over(lasot):
    write_text(lasot / "airplane/airplane-1/out_of_view.txt", "0,0")
    with pytest.raises(SourceError, match=r"out_of_view.txt': expected 25 entries of 0 or 1, .* got 2"):
        list(read_lasot(lasot))
    broken = []
    assert [r.video_id for r in read_lasot(lasot, broken=broken)] == ["airplane-2"] and len(broken) == 1


def test_missing_frames_are_named(lasot):
    for path in (lasot / "airplane/airplane-2/img").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match=r"airplane-2/img': expected frames \(.jpg, .png\), found nothing"):
        list(read_lasot(lasot))


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(shared_data):
    with pytest.raises(SourceError, match="expected the videos of LaSOT .*found .*hacs/"):
        list(read_lasot(shared_data / "annotations"))
