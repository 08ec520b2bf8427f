"""The reader of MOTChallenge, on authentic files of MOT17 and MOT15."""

import shutil
from collections import Counter

import pytest
from tracking_sets import write_text

from dataset_script.sources.mot import read_mot
from dataset_script.sources.reading import SourceError

INFO = "[Sequence]\nname=x\nimDir=img1\nframeRate=25\nseqLength=71\nimWidth=640\nimHeight=480\n"


@pytest.fixture
def mot17(tmp_path, shared_data):
    """The two authentic sequences as train split."""
    for path in (shared_data / "annotations/mot/MOT17").iterdir():
        shutil.copytree(path, tmp_path / "train" / path.name)
    return tmp_path


def test_authentic_mot17_sequences(shared_data):
    first, second = read_mot(shared_data / "annotations/mot/MOT17")
    assert (first.video_id, first.file_name) == ("MOT17-05-DPM", "MOT17-05-DPM/img1")
    assert (first.width, first.height, first.fps, first.num_frames) == (640, 480, 14, 837)
    assert first.metadata == {"sequence": "MOT17-05"} and first.interactions is None
    assert first.target(1).boxes[0] == (16.0, 149.0, 77.0, 191.0), "row 1,1,17,150,77,191: MOT counts from 1"
    kinds = Counter((target.category, target.main) for target in first.targets)
    assert kinds["pedestrian", True] == 133 and kinds["car", False] == 9
    assert (second.video_id, second.fps, len(second.targets)) == ("MOT17-09-DPM", 30, 27)


def test_distractors_and_wholly_hidden_people_are_left_out(mot17):
    rows = (mot17 / "train/MOT17-05-DPM/gt/gt.txt").read_text().splitlines()
    cells = [row.split(",") for row in rows]
    expected = sum(int(c[7]) < 8 and float(c[8]) > 0 for c in cells)
    (record, _) = read_mot(mot17, "train")
    assert sum(len(target.boxes) for target in record.targets) == expected < len(rows)


def test_authentic_mot15_rows_have_world_coordinates_instead_of_a_class(tmp_path, shared_data):
    source = shared_data / "annotations/mot/MOT15/TUD-Campus/gt/gt.txt"
    write_text(tmp_path / "TUD-Campus/seqinfo.ini", INFO)
    write_text(tmp_path / "TUD-Campus/gt/gt.txt", source.read_text())
    (record,) = read_mot(tmp_path)
    assert (record.num_frames, record.metadata) == (71, {"sequence": "TUD-Campus"})
    assert record.target(1).boxes[0] == (398.0, 181.0, 121.0, 229.0)
    assert {target.category for target in record.targets} == {"pedestrian"}


def test_a_test_sequence_without_truth_is_unknown_not_empty(mot17):
    write_text(mot17 / "test/MOT17-01-FRCNN/seqinfo.ini", INFO)
    (record,) = read_mot(mot17, "test")
    assert (record.targets, record.annotated_frames) == ([], ())
    assert record.metadata == {"split": "test", "sequence": "MOT17-01"}


@pytest.mark.parametrize(
    "rows, message",
    [
        ("1,1,17,150,77,191,1,1\n", r"gt.txt', line 1: expected 9 or 10 cells, got 8"),
        ("1,1,17,150,77,191,1,1,1\n1,2,17,150,77,191,1,1\n", r"gt.txt', line 2: expected 9 cells"),
        ("1,1,1,17,150,77,191,1,1\n", r"line 1, column 7 \(considered\): expected a number within \[0, 1\], got '191'"),
        ("838,1,17,150,77,191,1,1,1\n", r"line 1: frame 838 lies past the last one, 837"),
        ("1,1,17,150,77,191,1,1,1\n" * 2, r"line 2: track 1 has two boxes in frame 1"),
        ("1,1,17,150,77,191,1,1,1\n2,1,17,150,77,191,1,3,1\n", r"line 2: track 1 was 'pedestrian' before and is 'car'"),
        ("1,1,17,150,0,191,1,1,1\n", r"line 1: expected a box with area, got 0 x 191"),
    ],
    ids=["truncated", "a cell missing", "shifted column", "frame", "twice", "category drift", "no area"],
)
def test_a_broken_row_is_named_by_file_and_line_and_the_sequence_can_be_passed_over(mot17, rows, message):
    write_text(mot17 / "train/MOT17-05-DPM/gt/gt.txt", rows)
    with pytest.raises(SourceError, match=message):
        list(read_mot(mot17))
    broken = []
    assert [r.video_id for r in read_mot(mot17, broken=broken)] == ["MOT17-09-DPM"]
    assert len(broken) == 1 and "gt.txt" in broken[0].where


def test_an_incomplete_seqinfo_is_named(shared_data):
    with pytest.raises(SourceError, match=r"TUD-Campus/seqinfo.ini': misses 'imwidth'; it has name, seqlength"):
        list(read_mot(shared_data / "annotations/mot/MOT15"))


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(shared_data):
    with pytest.raises(SourceError, match="expected sequences of MOTChallenge .*found .*ava/"):
        list(read_mot(shared_data / "annotations"))
