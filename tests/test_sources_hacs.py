"""HACS, on the rows of its own files that the data set's page quotes."""

import json

import pytest
from source_files import cut_short, error_of, place, write_json
from video_files import encode, picture

from dataset_script.sources.frames import FrameInfo
from dataset_script.sources.hacs import read_hacs

BALL = "--0edUL8zmA"
ARCHERS = ["0O_qMHxBfXg", "NUdji_CqvcY", "a2X2hz1G6i8"]
SIZES = {video: FrameInfo(width=340, height=256, count=2765, fps=30.0) for video in (BALL, *ARCHERS)}
SEGMENTS, CLIPS = "HACS_segments_v1.1.1.json", "HACS_clips_v1.1.1.csv"


@pytest.fixture
def hacs(shared_data, tmp_path):
    source = shared_data / "annotations" / "hacs"
    place(source / "HACS_segments_v1.1.1_excerpt.json", tmp_path / SEGMENTS)
    place(source / "HACS_clips_v1.1.1_excerpt.csv", tmp_path / CLIPS)
    return tmp_path


def change(folder, **changes):
    """Changes the entry of the segments file."""
    data = json.loads((folder / SEGMENTS).read_text())
    data["database"][BALL].update(changes)
    write_json(folder / SEGMENTS, data)


def rewrite(folder, old, new):
    path = folder / CLIPS
    path.write_text(path.read_text().replace(old, new))


def test_values_are_those_of_the_published_rows(hacs):
    records = {record.video_id: record for record in read_hacs(hacs, sizes=SIZES)}
    assert list(records) == sorted([BALL, *ARCHERS])
    ball = records[BALL]
    assert (ball.file_name, ball.source) == (f"Dodgeball/v_{BALL}.mp4", "hacs")
    assert ball.metadata == {
        "split": "train",
        "segments": [
            {"label": "Dodgeball", "start": 5.4, "end": 11.6},
            {"label": "Dodgeball", "start": 12.6, "end": 88.16},
        ],
        "clips": [],
    }
    assert records["a2X2hz1G6i8"].metadata["clips"] == [
        {"label": "Archery", "start": 15.5, "end": 17.5, "positive": True}
    ]
    assert records["NUdji_CqvcY"].metadata["clips"][0]["positive"] is False


def test_nobody_says_who_acts_and_where(hacs):
    for record in read_hacs(hacs, sizes=SIZES):
        assert record.targets == []
        assert record.interactions is None
        assert record.annotated_frames == ()


def test_segments_are_unknown_where_only_clips_are_annotated_or_they_are_withheld(hacs):
    change(hacs, subset="testing", annotations=[])
    records = {record.video_id: record for record in read_hacs(hacs, sizes=SIZES)}
    assert records[BALL].metadata["segments"] is None
    assert records[ARCHERS[0]].metadata["segments"] is None


def test_one_of_the_files_is_enough(hacs):
    (hacs / SEGMENTS).unlink()
    assert len(list(read_hacs(hacs, sizes=SIZES))) == 3


def test_splits_are_those_of_the_files(hacs):
    change(hacs, subset="validation")
    assert [record.video_id for record in read_hacs(hacs, "validation", sizes=SIZES)] == [BALL]
    assert len(list(read_hacs(hacs, "train", sizes=SIZES))) == 3
    assert list(read_hacs(hacs, "test", sizes=SIZES)) == []


def test_sizes_come_from_the_video_files_and_a_missing_one_is_reported_and_skipped(hacs):
    (hacs / "videos" / "Dodgeball").mkdir(parents=True)
    encode(hacs / "videos" / "Dodgeball" / f"v_{BALL}.mp4", [picture()] * 5)
    assert f"v_{ARCHERS[0]}.mp4" in error_of(read_hacs(hacs))
    broken = []
    (record,) = read_hacs(hacs, broken=broken)
    assert (record.width, record.height, record.fps, record.num_frames) == (64, 48, 30.0, 5)
    assert len(broken) == 3


@pytest.mark.parametrize("changes, why", [
    ({"subset": "train"}, "expected a subset (training, validation, testing), got 'train'"),
    ({"annotations": [{"label": "Dodgeball", "segment": [9, 8]}]}, "annotations[0]: expected segment as [start, "),
    ({"annotations": [{"segment": [1, 2]}]}, "annotations[0]: misses 'label'"),
    ({"annotations": None}, "expected 'annotations' to be list, got None"),
])  # fmt: skip
def test_a_broken_entry_is_reported_and_skipped(hacs, changes, why):
    change(hacs, **changes)
    message = error_of(read_hacs(hacs, sizes=SIZES))
    assert f"{SEGMENTS}', video '{BALL}'" in message and why in message
    broken = []
    assert len(list(read_hacs(hacs, broken=broken, sizes=SIZES))) == 3
    assert len(broken) == 1


@pytest.mark.parametrize("old, new, why", [
    ("training,77.5", "77.5", "line 3: expected 6 cells"),
    ("training,77.5,79.5,-1", "77.5,training,79.5,-1",
     "line 3, column 3 (subset): expected a subset (training, validation, testing), got '77.5'; is a column shifted?"),
    ("79.5,-1", "79.5,2", "line 3, column 6 (label): expected 1 or -1, got '2'"),
    ("79.5,-1", "7.5,-1", "line 3: expected start < end, got 77.5, 7.5"),
])  # fmt: skip
def test_a_broken_row_is_reported_and_its_video_skipped(hacs, old, new, why):
    rewrite(hacs, old, new)
    assert f"{CLIPS}', {why}" in error_of(read_hacs(hacs, sizes=SIZES))
    broken = []
    assert len(list(read_hacs(hacs, broken=broken, sizes=SIZES))) == 3
    assert len(broken) == 1


def test_a_table_with_other_columns_is_reported(hacs):
    rewrite(hacs, "classname,youtube_id", "youtube_id,classname")
    assert "line 1: expected the header classname,youtube_id" in error_of(read_hacs(hacs, sizes=SIZES))


def test_a_truncated_file_is_reported_with_line_and_column(hacs):
    cut_short(hacs / SEGMENTS)
    assert f"{SEGMENTS}', line 14, column 2" in error_of(read_hacs(hacs, sizes=SIZES))


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "HACS_v1.1.1").mkdir()
    message = error_of(read_hacs(tmp_path))
    assert "expected HACS_segments_v*.json or HACS_clips_v*.csv, found HACS_v1.1.1/" in message
