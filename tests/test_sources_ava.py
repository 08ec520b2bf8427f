"""AVA, on rows of its own tables (those that mmaction2 and the documentation quote)."""

import pytest
from source_files import error_of, place
from video_files import encode, picture

from dataset_script.records import InteractionRecord
from dataset_script.sources.ava import read_ava
from dataset_script.sources.frames import FrameInfo

ANNA, BOB = "0f39OWEqJ24", "_-Z6wFjXtGQ"
SIZE = FrameInfo(width=1000, height=500, count=45_000, fps=25.0)  # 30 minutes


class Sizes(dict):
    """All films are of one size."""

    def __missing__(self, video):
        return SIZE

    def __contains__(self, video):
        return True


@pytest.fixture
def ava(shared_data, tmp_path):
    source = shared_data / "annotations" / "ava"
    place(source / "mmaction2_ava_sample.csv", tmp_path / "ava_train_v2.2.csv")
    place(source / "ava_val_v2.2_excerpt.csv", tmp_path / "ava_val_v2.2.csv")
    place(source / "ava_file_names_trainval_v2.1.txt", tmp_path / "ava_file_names_trainval_v2.1.txt")
    name = "ava_action_list_v2.1_for_activitynet_2018.pbtxt"
    place(source / f"{name}.txt", tmp_path / name)
    return tmp_path


def read(folder, split=None, broken=None):
    return read_ava(folder, split, broken, sizes=Sizes())


def rewrite(folder, old, new):
    path = folder / "ava_train_v2.2.csv"
    path.write_text(path.read_text().replace(old, new))


def test_values_are_those_of_the_published_rows(ava):
    """Row 1: 1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12,1; action 12 is "stand", 79 "talk to"."""
    (record,) = read(ava, "validation")
    assert (record.video_id, record.file_name, record.source) == ("1j20qq1JyX4", "1j20qq1JyX4.mp4", "ava")
    assert [(t.track_id, t.category) for t in record.targets] == [(0, "person"), (1, "person")]
    assert record.target(1).boxes == {22550: pytest.approx((2, 59, 712, 429.5))}  # second 902 at 25 fps
    names = {(event.subject, event.interaction) for event in record.interactions}
    assert names == {
        (1, "stand"), (1, "talk to (e.g., self, a person, a group)"), (0, "stand"), (0, "carry/hold (an object)"),
    }  # fmt: skip


def test_consecutive_key_frames_join_to_one_interval(ava):
    """In 902 and 903 the person stands, in 902 alone he talks: half a second to either side of a key frame."""
    anna, bob = read(ava, "train")
    assert (anna.video_id, bob.video_id, bob.file_name) == (ANNA, BOB, f"{BOB}.mkv")
    assert anna.interactions == [
        InteractionRecord(0, "stand", None, 22538, 22588),
        InteractionRecord(0, "carry/hold (an object)", None, 22538, 22588),
        InteractionRecord(0, "talk to (e.g., self, a person, a group)", None, 22538, 22563),
    ]
    assert sorted(anna.target(0).boxes) == [22550, 22575]


def test_a_pause_parts_two_intervals(ava):
    rewrite(ava, f"{ANNA},0903", f"{ANNA},0905")
    anna, _ = read(ava, "train")
    stands = [event for event in anna.interactions if event.interaction == "stand"]
    assert [(event.start_frame, event.end_frame) for event in stands] == [(22538, 22563), (22613, 22638)]


def test_only_key_frames_are_annotated(ava):
    anna, _ = read(ava, "train")
    assert anna.annotated_frames == (22550, 22575)
    assert anna.metadata == {"split": "train", "annotated_intervals": [[22538, 22588]]}


def test_excluded_seconds_are_left_out(ava, shared_data):
    name = "ava_train_excluded_timestamps_v2.2.csv"  # 0f39OWEqJ24,0903 and _-Z6wFjXtGQ,0902
    place(shared_data / "annotations" / "ava" / "mmaction2_ava_excluded_timestamps_sample.csv", ava / name)
    anna, bob = read(ava, "train")
    assert anna.annotated_frames == (22550,)
    assert (bob.annotated_frames, bob.targets, bob.interactions) == ((), [], [])


@pytest.mark.parametrize("line", [f"{ANNA},0904", f"{ANNA},0904,,,,,,"])
def test_a_second_without_people_is_annotated(ava, line):
    with (ava / "ava_train_v2.2.csv").open("a") as file:
        file.write(f"{line}\n")
    anna, _ = read(ava, "train")
    assert anna.annotated_frames == (22550, 22575, 22600)
    assert sorted(anna.target(0).boxes) == [22550, 22575]


def test_sizes_come_from_the_video_files(ava):
    """A cut that begins at second 900, as is customary: second 902 is frame 60 of 30 a second."""
    (ava / "videos").mkdir()
    encode(ava / "videos" / "1j20qq1JyX4.mp4", [picture()] * 100)
    (record,) = read_ava(ava, "validation", first_second=900)
    assert (record.width, record.height, record.fps, record.num_frames) == (64, 48, 30.0, 100)
    assert record.target(1).boxes == {60: pytest.approx((0.128, 5.664, 45.568, 41.232))}
    assert {(event.start_frame, event.end_frame) for event in record.interactions} == {(45, 75)}
    assert "line 1: second 902 lies outside the video file, which has 3 s" in error_of(read_ava(ava, "validation"))


def test_a_missing_video_is_reported_and_skipped(ava):
    (ava / "videos").mkdir()
    encode(ava / "videos" / "1j20qq1JyX4.mp4", [picture()] * 100)
    assert f"{ANNA}.mp4" in error_of(read_ava(ava))
    broken = []
    records = list(read_ava(ava, broken=broken, first_second=900))
    assert [record.video_id for record in records] == ["1j20qq1JyX4"]
    assert len(broken) == 2


@pytest.mark.parametrize("old, new, why", [
    (f"{ANNA},0903,0.034,", f"{ANNA},0.034,", "line 4: expected 8 cells"),
    (f"{ANNA},0903,0.034,", f"{ANNA},7,0903,0.034,", "line 4: expected 8 cells"),
    (f"{ANNA},0903,0.034,0.189,0.669,0.980,12,0", f"{ANNA},0903,0.189,0.669,0.980,12,0,0",
     "line 4, column 6 (y2): expected a number within [0, 1], got '12'; is a column shifted?"),
    ("0.034,0.189,0.669,0.980,12", "0.669,0.189,0.034,0.980,12", "line 4: expected corners x1 < x2, y1 < y2"),
    ("0.034,0.189,0.669,0.980,12", "0.035,0.189,0.669,0.980,12", "line 5: expected one box of person 0 in second 903"),
    ("0.980,12,0", "0.980,2,0", "line 4: action 2 points nowhere: the lists have 1, 3, 4"),
])  # fmt: skip
def test_a_broken_row_is_reported_and_its_video_skipped(ava, old, new, why):
    rewrite(ava, old, new)
    assert f"ava_train_v2.2.csv', {why}" in error_of(read(ava))
    broken = []
    assert [record.video_id for record in read(ava, broken=broken)] == [BOB, "1j20qq1JyX4"]
    assert len(broken) == 1 and "line" in broken[0].where


def test_a_video_that_is_not_on_the_list_is_reported(ava):
    rewrite(ava, BOB, "nobody")
    assert "line 6: video 'nobody' points nowhere: ava_file_names_trainval does not list it" in error_of(read(ava))


def test_a_truncated_table_is_reported(ava):
    path = ava / "ava_train_v2.2.csv"
    path.write_bytes(path.read_bytes()[:-12])
    assert "line 8: expected 8 cells" in error_of(read(ava, "train"))


def test_missing_parts_are_reported_with_what_was_found(ava, tmp_path):
    (ava / "ava_action_list_v2.1_for_activitynet_2018.pbtxt").unlink()
    message = error_of(read(ava))
    assert "expected the list of AVA's actions" in message and "found ava_file_names_trainval_v2.1.txt" in message
    message = error_of(read(ava / "..", "train"))
    assert "expected the tables of AVA (ava_train_v*.csv), found" in message
