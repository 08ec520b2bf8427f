"""The reader of UT-Interaction, on the per-frame layout and on the published one."""

import csv
import shutil
from collections import Counter

import pytest
from tracking_sets import write_text

from dataset_script.records import InteractionRecord
from dataset_script.sources.reading import SourceError
from dataset_script.sources.ut_interaction import CLASSES, read_labels, read_ut_interaction

HEADER = "sequence,class_id,start_frame,end_frame,x1,y1,x2,y2"


@pytest.fixture
def data(shared_data):
    return shared_data / "ut_interaction"


@pytest.fixture
def copy(tmp_path, data):
    """The annotations without the videos, which the reader does not need."""
    shutil.copytree(data / "annotations", tmp_path / "annotations")
    return tmp_path


@pytest.fixture
def published(tmp_path, data):
    """The published layout, a short clip in the sequence's place."""
    (tmp_path / "ut-interaction_set1").mkdir()
    shutil.copy(data / "videos/set1/0_1_4.avi", tmp_path / "ut-interaction_set1/seq1.avi")
    rows = ["seq1,3,70,80,210,122,433,422", "seq1,4,10,60,220,113,620,410"]
    write_text(tmp_path / "labels_set1.csv", "\n".join([HEADER, *rows]))
    return tmp_path


def test_60_clips_agree_with_the_spreadsheet(data):
    """Read here with csv alone: sequence, class and length of every interval."""
    with (data / "annotations/labels_set1.csv").open() as file:
        rows = list(csv.DictReader(file))
    records = list(read_ut_interaction(data))
    assert len(records) == len(rows) == 60
    for row, record in zip(rows, records):
        (event,) = record.interactions
        assert record.metadata["sequence"] == row["sequence"]
        assert event.interaction == CLASSES[int(row["class_id"])]
        assert event.end_frame - event.start_frame == int(row["end_frame"]) - int(row["start_frame"]) + 1
        assert record.source == "ut_interaction" and (data / record.file_name).is_file()
    assert Counter(r.interactions[0].interaction for r in records) == dict.fromkeys(CLASSES, 10)


def test_the_first_clip_shows_a_punch_by_the_person_on_the_right(data):
    record = next(read_ut_interaction(data))
    (event,) = record.interactions
    assert (record.video_id, record.file_name) == ("set1/0_1_4", "videos/set1/0_1_4.avi")
    assert event == InteractionRecord(1, "punch", 2, 15, 95)
    assert record.target(1).boxes[0] == (325.0, 16.0, 64.0, 257.0)
    assert record.prompt == "person on the right" and record.annotated_frames is None


def test_a_clip_that_contradicts_the_spreadsheet_is_named_and_can_be_passed_over(copy):
    path = copy / "annotations/labels_set1.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("seq1,2,", "seq1,3,")
    path.write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"labels_set1.csv', line 3: says \('seq1', 'point', 90\).*'set1/1_1_2' has"):
        list(read_ut_interaction(copy))
    broken = []
    assert len(list(read_ut_interaction(copy, broken=broken))) == 59 and len(broken) == 1


def test_a_shifted_column_of_the_spreadsheet_is_named(copy):
    path = copy / "annotations/labels_set1.csv"
    lines = path.read_text().splitlines()
    lines[5] = lines[5].replace("seq1,0,", "0,seq1,")
    path.write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"labels_set1.csv', line 6, column 2 \(class_id\): expected an integer"):
        list(read_ut_interaction(copy))
    broken = []
    assert len(list(read_ut_interaction(copy, broken=broken))) == 59
    assert ["line 6" in broken[0].where, "set1/4_1_0" in broken[1].why] == [True, True]


def test_truncated_annotations_are_named(copy):
    path = copy / "annotations/ut_interaction_set1.json"
    path.write_bytes(path.read_bytes()[:400_000])
    with pytest.raises(SourceError, match=r"ut_interaction_set1.json', byte \d+: not a complete JSON file"):
        list(read_ut_interaction(copy))
    broken = []
    assert list(read_ut_interaction(copy, broken=broken)) == [] and len(broken) == 1


def test_the_published_layout_has_events_without_boxes(published):
    (record,) = read_ut_interaction(published)
    assert (record.video_id, record.file_name) == ("set1/seq1", "ut-interaction_set1/seq1.avi")
    assert (record.width, record.height, record.fps) == (400, 296, 30)
    assert record.num_frames in (108, 109, 110), "108 decode; headers of these files name one or two more"
    events = [(e.interaction, e.object is None, e.start_frame, e.end_frame) for e in record.interactions]
    assert events == [("punch", False, 10, 61), ("point", True, 70, 81)], "in order of time, the last frame included"
    assert record.annotated_frames == (), "persons' own boxes are unknown"
    assert record.metadata["pair_boxes"] == [[220, 113, 400, 297], [210, 122, 223, 300]]
    assert all(not target.boxes for target in record.targets) and len(record.targets) == 3


def test_the_spreadsheet_is_checked(tmp_path):
    with pytest.raises(SourceError, match=r"line 1: expected the header sequence,class_id.*, got sequence,start"):
        list(read_labels(write_text(tmp_path / "a.csv", "sequence,start\n")))
    path = write_text(tmp_path / "b.csv", f"{HEADER}\nseq1,9,1,2,0,0,5,5\nseq1,1,5,2,0,0,5,5\nseq1,1,1,2,0,0,5,5\n")
    broken = []
    assert [row.number for row in read_labels(path, broken)] == [2]
    assert "column 2 (class_id): expected an integer within [0, 5]" in f"{broken[0].where}: {broken[0].why}"
    assert broken[1].why == "expected start_frame <= end_frame, got 5 and 2"


def test_a_missing_video_or_a_wrong_folder_is_named(published, shared_data):
    (published / "ut-interaction_set1/seq1.avi").unlink()
    with pytest.raises(SourceError, match="seq1.avi"):
        list(read_ut_interaction(published))
    with pytest.raises(SourceError, match="expected UT-Interaction .*found .*ava/"):
        list(read_ut_interaction(shared_data / "annotations"))
    with pytest.raises(ValueError, match="got 'train'"):
        next(read_ut_interaction(published, "train"))
