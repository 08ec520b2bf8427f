"""The reader of GOT-10k, on its published layout with an authentic meta_info.ini."""

import shutil

import pytest
from tracking_sets import write_images, write_text

from dataset_script.sources.got10k import read_got10k
from dataset_script.sources.reading import Broken, SourceError

TRUTH = "100.0000,200.0000,30.0000,40.0000\n101.5000,200.0000,30.0000,40.0000\n1.0000,1.0000,5.0000,5.0000\n"


def make_video(folder, meta, truth=TRUTH, images=3, absence="0\n0\n1\n"):
    write_images(folder, images)
    write_text(folder / "groundtruth.txt", truth)
    write_text(folder / "absence.label", absence)
    shutil.copy(meta, folder / "meta_info.ini")


@pytest.fixture
def meta(shared_data):
    return shared_data / "annotations/got10k/meta_info.ini"


@pytest.fixture
def got10k(tmp_path, meta):
    make_video(tmp_path / "train/GOT-10k_Train_000001", meta)
    make_video(tmp_path / "val/GOT-10k_Val_000001", meta)
    make_video(tmp_path / "test/GOT-10k_Test_000001", meta, TRUTH.splitlines()[0], absence="0")
    return tmp_path


def test_the_authentic_metadata_name_the_swimming_ctenophore(got10k):
    (record,) = read_got10k(got10k, "validation")
    assert (record.video_id, record.file_name) == ("GOT-10k_Val_000001", "val/GOT-10k_Val_000001")
    assert (record.width, record.height, record.fps, record.num_frames) == (1920, 1080, 10, 3)
    (target,) = record.targets
    assert (target.category, target.main) == ("ctenophore", True)
    assert record.metadata == {
        "split": "validation",
        "url": "https://youtu.be/P-fKM-2DHoM",
        "motion_class": "swimming",
        "major_class": "invertebrate",
        "root_class": "animal",
        "motion_adverb": "slowly",
    }
    assert record.interactions is None, "motion classes are no annotated interactions"


def test_an_absent_target_has_no_box_although_the_file_has_a_row(got10k):
    record = next(read_got10k(got10k, "train"))
    assert record.target(1).boxes == {0: (100.0, 200.0, 30.0, 40.0), 1: (101.5, 200.0, 30.0, 40.0)}
    assert record.annotated_frames is None, "the third frame is annotated: the target is not there"


def test_of_a_test_video_only_the_first_frame_is_known(got10k):
    (record,) = read_got10k(got10k, "test")
    assert record.annotated_frames == (0,) and record.num_frames == 3 and set(record.target(1).boxes) == {0}


def test_all_splits_come_in_order(got10k):
    splits = [record.metadata["split"] for record in read_got10k(got10k)]
    assert splits == ["train", "validation", "test"]
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        next(read_got10k(got10k, "val"))


def test_without_metadata_the_images_tell_their_size(got10k):
    (got10k / "val/GOT-10k_Val_000001/meta_info.ini").unlink()
    (record,) = read_got10k(got10k, "validation")
    assert (record.width, record.height, record.fps) == (64, 48, 30)
    assert record.metadata["fps_assumed"] and record.target(1).category is None


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("groundtruth.txt", "1,2,3\n" * 3, r"groundtruth.txt', line 1: expected 4 numbers"),
        ("groundtruth.txt", TRUTH[:70], r"groundtruth.txt', line 3: expected 4 numbers .* got '1\."),
        ("absence.label", "0\n0\n", r"absence.label': expected 3 entries of 0 or 1, one per row.*got 2"),
        ("absence.label", "0\n7\n0\n", r"absence.label', entry 2: expected 0 or 1, got '7'"),
        ("meta_info.ini", "[OTHER]\na: b\n", r"meta_info.ini': expected a section \[METAINFO\], found OTHER"),
        ("meta_info.ini", "resolution", r"meta_info.ini': not a readable .ini file"),
        ("meta_info.ini", "[METAINFO]\nresolution: big", r"meta_info.ini', resolution: expected \(width, height\)"),
    ],
)
def test_a_broken_video_is_named_and_can_be_passed_over(got10k, meta, name, content, message):
    make_video(got10k / "train/GOT-10k_Train_000002", meta)
    write_text(got10k / "train/GOT-10k_Train_000001" / name, content)
    with pytest.raises(SourceError, match=message) as error:
        list(read_got10k(got10k, "train"))
    assert "\n" not in str(error.value)
    broken: list[Broken] = []
    assert [r.video_id for r in read_got10k(got10k, "train", broken)] == ["GOT-10k_Train_000002"]
    assert len(broken) == 1 and "GOT-10k_Train_000001" in broken[0].where + broken[0].why


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(tmp_path, shared_data):
    with pytest.raises(SourceError, match="expected the videos of GOT-10k .*found .*bensmot/"):
        list(read_got10k(shared_data / "annotations"))
    with pytest.raises(SourceError, match="expected a folder with the videos of GOT-10k.*there is none"):
        list(read_got10k(tmp_path / "missing"))
    (tmp_path / "val").mkdir()
    with pytest.raises(SourceError, match=r"expected folders GOT-10k_\*, found nothing"):
        list(read_got10k(tmp_path))
