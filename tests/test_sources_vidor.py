"""VidOR, on three of its own annotation files."""

import json

import pytest
from source_files import cut_short, error_of, place, write_json

from dataset_script.records import InteractionRecord
from dataset_script.sources.reading import SourceError
from dataset_script.sources.semtrack import read_semtrack, write_semtrack
from dataset_script.sources.vidor import read_vidor, write_vidor

FILES = {"11566930393": "0009", "2793806282": "0001", "3598080384": "0001"}


@pytest.fixture
def vidor(shared_data, tmp_path):
    for video, group in FILES.items():
        name = f"{video}.json"
        place(shared_data / "annotations" / "vidor" / name, tmp_path / "annotation" / "validation" / group / name)
    return tmp_path


@pytest.fixture
def small(tmp_path):
    """A video of three frames that the tests may damage: a dog, a ball and what they do."""

    def make(**changes):
        box = {"xmin": 10, "ymin": 5, "xmax": 19, "ymax": 24}
        data = {
            "version": "VERSION 1.0",
            "video_id": "1",
            "video_path": "0000/1.mp4",
            "frame_count": 3,
            "fps": 25,
            "width": 64,
            "height": 48,
            "subject/objects": [{"tid": 0, "category": "dog"}, {"tid": 4, "category": "ball"}],
            "trajectories": [[{"tid": 0, "bbox": box, "generated": 0, "tracker": "none"}], [], []],
            "relation_instances": [
                {"subject_tid": 0, "object_tid": 4, "predicate": "watch", "begin_fid": 0, "end_fid": 2}
            ],
        }
        write_json(tmp_path / "training" / "0000" / "1.json", {**data, **changes})
        return tmp_path

    return make


def relation(**changes):
    return [{"subject_tid": 0, "object_tid": 4, "predicate": "bite", "begin_fid": 0, "end_fid": 2, **changes}]


def test_values_are_those_of_the_published_files(vidor):
    records = {record.video_id: record for record in read_vidor(vidor, "validation")}
    assert sorted(records) == sorted(FILES)
    fish = records["3598080384"]
    assert (fish.file_name, fish.width, fish.height, fish.fps, fish.num_frames) == (
        "0001/3598080384.mp4", 640, 480, 25.0, 368,
    )  # fmt: skip
    assert [(t.track_id, t.category) for t in fish.targets] == [(0, "adult"), (1, "stingray")]
    # xmin 0, ymin 150, xmax 165, ymax 379: 166 x 230 pixels
    assert fish.target(0).boxes[0] == (0, 150, 166, 230)
    assert fish.interactions == [
        InteractionRecord(0, "next_to", 1, 0, 90),
        InteractionRecord(0, "next_to", 1, 150, 205),
        InteractionRecord(1, "in_front_of", 0, 0, 90),
        InteractionRecord(1, "in_front_of", 0, 150, 205),
    ]
    child = records["11566930393"]
    assert [t.category for t in child.targets] == ["child", "toy", "toy"]
    assert child.interactions[0] == InteractionRecord(0, "watch", 2, 0, 189)
    assert len(child.interactions) == 15
    assert len(records["2793806282"].interactions) == 40


def test_a_box_reaches_to_the_edge_of_the_frame(vidor):
    """xmax 639 of 640 pixels names the last pixel inside."""
    fish = next(record for record in read_vidor(vidor) if record.video_id == "3598080384")
    x, _, width, _ = fish.target(1).boxes[367]
    assert x + width == 640


def test_hand_drawn_boxes_are_told_from_tracked_ones(vidor):
    fish = next(record for record in read_vidor(vidor) if record.video_id == "3598080384")
    manual = fish.metadata["manual_frames"]
    assert manual["0"][0] == 0 and 367 in manual["1"] and 1 not in manual["0"]
    assert sum(map(len, manual.values())) == 28


def test_videos_come_in_order_and_say_their_split(vidor):
    records = list(read_vidor(vidor))
    assert [record.video_id for record in records] == ["2793806282", "3598080384", "11566930393"]
    assert {record.metadata["split"] for record in records} == {"validation"}


def test_every_relation_survives_the_way_through_semtrack_and_back(vidor, tmp_path):
    records = list(read_vidor(vidor))
    write_semtrack(records, tmp_path / "semtrack.json")
    for record in read_semtrack(tmp_path / "semtrack.json"):
        write_vidor(record, tmp_path / f"{record.video_id}.json")
    for path in sorted((vidor / "annotation").rglob("*.json")):
        original = json.loads(path.read_text())
        back = json.loads((tmp_path / path.name).read_text())
        assert back["relation_instances"] == original["relation_instances"]
        assert back["subject/objects"] == original["subject/objects"]
        assert [drawn(rows) for rows in back["trajectories"]] == [drawn(rows) for rows in original["trajectories"]]


def drawn(rows):
    return sorted((row["tid"], *row["bbox"].values(), row["generated"]) for row in rows)


def test_an_action_without_object_cannot_be_written_as_vidor(small, tmp_path):
    (record,) = read_vidor(small())
    record.interactions.append(InteractionRecord(0, "bark", None, 0, 1))
    with pytest.raises(ValueError, match="'bark' of track 0 has no object"):
        write_vidor(record, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_a_truncated_file_is_reported_with_line_and_column(small):
    folder = small()
    cut_short(folder / "training" / "0000" / "1.json")
    assert "1.json', line 1, column" in error_of(read_vidor(folder))


@pytest.mark.parametrize("changes, why", [
    ({"relation_instances": relation(object_tid=7)},
     "relation_instances[0]: tid 7 points nowhere; subject/objects declares 0, 4"),
    ({"relation_instances": relation(end_fid=4)}, "relation_instances[0]: expected end_fid up to frame_count 3, got 4"),
    ({"relation_instances": relation(begin_fid=2)}, "relation_instances[0]: interaction 'bite' must have 0 <= start"),
    ({"relation_instances": relation(object_tid=0)}, "relation_instances[0]: interaction 'bite': track 0 is its own"),
])  # fmt: skip
def test_a_broken_relation_is_reported_and_skipped_alone(small, changes, why):
    folder = small(**changes)
    assert why in error_of(read_vidor(folder))
    broken = []
    (record,) = read_vidor(folder, broken=broken)
    assert record.interactions == [] and len(record.targets) == 2
    assert len(broken) == 1 and broken[0].where.endswith("relation_instances[0]")


@pytest.mark.parametrize("changes, why", [
    ({"trajectories": [[{"tid": 9, "bbox": {}}], [], []]}, "trajectories[0]: tid 9 points nowhere"),
    ({"trajectories": [[], [{"tid": 0, "bbox": {"xmin": 1}}], []]}, "trajectories[1]: misses 'ymin'"),
    ({"trajectories": [[], []]}, "expected trajectories for 3 frames, got 2"),
    ({"trajectories": [None, [], []]}, "trajectories[0]: expected a list of boxes, got None"),
    ({"video_path": 2.5}, "expected 'video_path' to be str, got 2.5"),
    ({"subject/objects": None}, "expected 'subject/objects' to be list, got None"),
    ({"width": 0}, "1.json': video '1': width, height, num_frames and fps must be positive"),
])  # fmt: skip
def test_a_broken_video_is_reported_and_skipped(small, changes, why):
    folder = small(**changes)
    assert why in error_of(read_vidor(folder))
    broken = []
    assert list(read_vidor(folder, broken=broken)) == []
    assert len(broken) == 1


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "0001").mkdir()
    message = error_of(read_vidor(tmp_path))
    assert "expected the annotations of VidOR" in message and "found 0001/" in message


def test_an_unknown_split_is_refused(small):
    with pytest.raises(ValueError, match="split must be one of train, validation"):
        list(read_vidor(small(), "test"))
    with pytest.raises(SourceError, match="validation"):
        list(read_vidor(small(), "validation"))
