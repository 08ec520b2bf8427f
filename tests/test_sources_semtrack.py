"""Reading and writing the official SemTrack layout."""

import json
from collections import Counter

import pytest

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.reading import SourceError
from dataset_script.sources.semtrack import read_semtrack, read_semtrack_folder, write_semtrack


def boxes(frames, x=1.5):
    return {frame: (x + frame, 2.25, 10.0, 20.0) for frame in frames}


def make_video(name="train/one", **changes):
    targets = [
        TargetRecord(4, "person", boxes(range(0, 10)), True),
        TargetRecord(2, "dog", boxes([0, 1, 5]), False),
        TargetRecord(9, None, {}, False),
    ]
    interactions = [
        InteractionRecord(4, "carry", 2, 0, 6),
        InteractionRecord(4, "approach", 9, 2, 9),
        InteractionRecord(2, "bark", None, 1, 2),
    ]
    fields = {
        "video_id": name,
        "file_name": f"videos/{name}.mp4",
        "width": 64,
        "height": 48,
        "fps": 29.97,
        "num_frames": 12,
        "targets": targets,
        "interactions": interactions,
        "prompt": "die Person mit dem Hündchen",
        "source": "test",
        "metadata": {"split": "train", "list": [1, None]},
    }
    return VideoRecord(**{**fields, **changes})


def rewritten(path, **changes):
    """Changes lists of an annotation file; None removes a list."""
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    return path


def test_what_is_written_is_read_back_exactly(tmp_path):
    """Simultaneous and invisible interactions, missing names, equal track ids in two videos."""
    records = [
        make_video(),
        make_video("val/two", prompt=None, interactions=[]),
        make_video("val/three", interactions=None, targets=[], metadata={}),
    ]
    write_semtrack(records, tmp_path / "annotations.json")
    assert read_semtrack(tmp_path / "annotations.json") == records


def test_the_file_is_the_official_layout(tmp_path):
    write_semtrack([make_video(), make_video("two")], tmp_path / "a.json", categories=["dog"], interactions=["x"])
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["categories"][:2] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]
    assert data["interactions"][0] == {"id": 0, "name": "x"}
    for name in ("videos", "images", "tracks", "annotations"):
        ids = [row["id"] for row in data[name]]
        assert len(set(ids)) == len(ids), f"ids of {name} must be unique within the file"
    names = {row["id"]: row["name"] for row in data["interactions"]}
    first = [a for a in data["annotations"] if a["track_id"] == 1]
    assert first[3]["bbox"] == [4.5, 2.25, 10.0, 20.0] and first[3]["main_object"] == 1
    said = [names.get(a["relation_sub_category_id"]) for a in first]
    assert said == ["carry"] * 2 + ["approach"] * 7 + [None], "the interaction that began last wins"
    dog = [a["relation_obj_category_id"] for a in data["annotations"] if a["track_id"] == 2]
    assert [names.get(number) for number in dog] == ["carry"] * 3


def test_events_are_derived_from_runs_where_the_file_has_no_list_of_them(tmp_path):
    """Frames in which the subject is out of view do not cut its event in two."""
    interactions = [
        InteractionRecord(4, "carry", 2, 0, 4),
        InteractionRecord(2, "bark", None, 1, 6),
        InteractionRecord(4, "push", 2, 5, 9),
    ]
    write_semtrack([make_video(interactions=interactions)], tmp_path / "a.json")
    path = rewritten(tmp_path / "a.json", events=None)
    assert read_semtrack(path)[0].interactions == interactions


def test_an_objects_name_at_the_subject_settles_who_acts_on_whom(tmp_path):
    both = [InteractionRecord(4, "push", 2, 0, 6), InteractionRecord(2, "push", 4, 0, 6)]
    write_semtrack([make_video(interactions=both[:1])], tmp_path / "a.json")
    annotations = json.loads((tmp_path / "a.json").read_text())["annotations"]
    for row in annotations:
        row["relation_track_id"] = 2 if row["relation_sub_category_id"] >= 0 else None
    path = rewritten(tmp_path / "a.json", events=None, annotations=annotations)
    assert read_semtrack(path)[0].interactions == both[:1]


def test_a_file_without_relations_does_not_claim_that_nothing_happens(tmp_path):
    write_semtrack([make_video(interactions=[])], tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    del data["videos"][0]["interactions_annotated"]
    for row in data["annotations"]:
        del row["relation_sub_category_id"], row["relation_obj_category_id"]
    path = rewritten(tmp_path / "a.json", events=None, videos=data["videos"], annotations=data["annotations"])
    assert read_semtrack(path)[0].interactions is None


def test_a_frame_rate_that_the_file_does_not_name_is_asked_for(tmp_path):
    write_semtrack([make_video()], tmp_path / "a.json")
    videos = json.loads((tmp_path / "a.json").read_text())["videos"]
    del videos[0]["fps"]
    path = rewritten(tmp_path / "a.json", videos=videos)
    with pytest.raises(ValueError, match="'train/one' names no frame rate"):
        read_semtrack(path)
    assert read_semtrack(path, fps=12)[0].fps == 12


@pytest.mark.parametrize(
    "content, message",
    [("{", "not a complete JSON file"), ("[]", "expected a JSON object"), ('{"videos": []}', "images")],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_semtrack(tmp_path / "a.json")
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no annotation file at"):
        read_semtrack(tmp_path / "missing.json")


def test_a_dangling_id_is_named(tmp_path):
    write_semtrack([make_video()], tmp_path / "a.json")
    with pytest.raises(ValueError, match="does not hold: 1"):
        read_semtrack(rewritten(tmp_path / "a.json", images=[]))


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_semtrack([make_video()], path)
    with pytest.raises(ValueError, match="'train/one' twice"):
        write_semtrack([make_video(), make_video()], path)
    with pytest.raises(TypeError):
        write_semtrack([make_video(metadata={"not JSON": object()})], path)
    assert read_semtrack(path) == [make_video()] and len(list(tmp_path.iterdir())) == 1


def test_ut_interaction_loads(shared_data):
    """60 clips of 6 interactions, 10 each; nobody is pointed at; a box and an interval checked by hand."""
    records = read_semtrack(shared_data / "ut_interaction/annotations/ut_interaction_set1.json")
    events = [event for record in records for event in record.interactions]
    assert len(records) == 60 and sum(len(r.targets) for r in records) == 110
    assert Counter(e.interaction for e in events) == dict.fromkeys(
        ("handshake", "hug", "kick", "point", "punch", "push"), 10
    )
    assert all((event.object is None) == (event.interaction == "point") for event in events)
    first = records[0]
    assert (first.video_id, first.width, first.height, first.num_frames) == ("set1/0_1_4", 400, 296, 108)
    assert first.target(1).boxes[0] == (325.0, 16.0, 64.0, 257.0) and first.target(1).main
    truth = json.loads((shared_data / "ut_interaction/annotations/events_set1.json").read_text())
    assert [(e.subject, e.object, e.interaction, e.start_frame, e.end_frame) for e in events] == [
        (t["subject_track"], t["object_track"], t["interaction"], t["start_frame"], t["end_frame"]) for t in truth
    ]


def test_frames_without_an_image_are_not_annotated(tmp_path):
    """As in TAO: `images` lists the annotated frames."""
    targets = [TargetRecord(4, "person", boxes([0, 5, 10]), True)]
    sparse = make_video(targets=targets, interactions=None, annotated_frames=(0, 5, 10))
    none = make_video("two", targets=[], interactions=None, annotated_frames=())
    write_semtrack([sparse, none], tmp_path / "a.json")
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [image["frame_index"] for image in images] == [0, 5, 10]
    assert read_semtrack(tmp_path / "a.json") == [sparse, none]


@pytest.mark.parametrize("place", ["", "annotations"])
def test_a_folder_holds_a_file_per_split(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    for name, video in (("train", "a"), ("semtrack_val", "b"), ("test", "c")):
        write_semtrack([make_video(video, metadata={})], folder / f"{name}.json")
    records = list(read_semtrack_folder(tmp_path))
    assert [record.video_id for record in records] == ["b", "c", "a"]
    assert [record.metadata["split"] for record in records] == ["validation", "test", "train"]
    assert [record.video_id for record in read_semtrack_folder(tmp_path, "validation")] == ["b"]
    assert [record.video_id for record in read_semtrack_folder(tmp_path, "train")] == ["a"]
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        next(read_semtrack_folder(tmp_path, "val"))


def test_in_a_file_of_no_split_the_metadata_tell_it(tmp_path):
    records = [make_video("a"), make_video("b", metadata={"split": "validation"}), make_video("c", metadata={})]
    write_semtrack(records, tmp_path / "annotations.json")
    assert list(read_semtrack_folder(tmp_path)) == records
    assert list(read_semtrack_folder(tmp_path / "annotations.json", "validation")) == records[1:2]


def test_the_order_of_the_rows_in_the_file_does_not_matter(tmp_path):
    records = [make_video("a"), make_video("b")]
    write_semtrack(records, tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    mixed = sorted(data["annotations"], key=lambda row: row["image_id"] % 7)
    lists = {"events": data.pop("events"), "annotations": mixed}
    (tmp_path / "a.json").write_text(json.dumps({**lists, **{k: data[k] for k in data if k not in lists}}))
    assert read_semtrack(tmp_path / "a.json") == records


def test_a_broken_video_is_named_and_can_be_passed_over(tmp_path):
    write_semtrack([make_video("a"), make_video("b"), make_video("c")], tmp_path / "train.json")
    data = json.loads((tmp_path / "train.json").read_text())
    data["annotations"][0]["track_id"] = 77
    data["events"][-1]["end_frame"] = 500
    rewritten(tmp_path / "train.json", **data)
    with pytest.raises(SourceError, match="train.json', video 'a': refers to an id or field that it does not hold: 77"):
        list(read_semtrack_folder(tmp_path))
    broken = []
    assert [record.video_id for record in read_semtrack_folder(tmp_path, broken=broken)] == ["b"]
    assert ["video 'a'" in broken[0].where, "video 'c'" in broken[1].where] == [True, True]
    assert "ends at frame 500 of 12 frames" in broken[1].why


@pytest.mark.parametrize(
    ("name", "field", "junk", "message"),
    [
        ("annotations", "bbox", {"x": 1}, "box must be finite .* got {'x': 1}"),
        ("annotations", "bbox", 5, "box must be finite .* got 5"),
        ("annotations", "track_id", [], "a value of another kind than the layout has: unhashable"),
        ("videos", "num_frames", "many", "a value of another kind than the layout has: "),
        ("events", "start_frame", None, "a value of another kind than the layout has: "),
    ],
)
def test_a_value_of_another_kind_is_the_videos_error_and_can_be_passed_over(tmp_path, name, field, junk, message):
    write_semtrack([make_video("a"), make_video("b")], tmp_path / "train.json")
    data = json.loads((tmp_path / "train.json").read_text())
    data[name][0][field] = junk
    rewritten(tmp_path / "train.json", **data)
    with pytest.raises(SourceError, match=f"train.json', video 'a': .*{message}"):
        list(read_semtrack_folder(tmp_path))
    broken = []
    assert [record.video_id for record in read_semtrack_folder(tmp_path, broken=broken)] == ["b"] and len(broken) == 1


def test_an_id_of_another_kind_is_an_error_of_the_file(tmp_path):
    write_semtrack([make_video("a")], tmp_path / "train.json")
    data = json.loads((tmp_path / "train.json").read_text())
    for name, field, message in (("categories", "id", "an id that is none"), ("events", "video_id", r"byte \d+")):
        rewritten(tmp_path / "train.json", **data | {name: [data[name][0] | {field: []}, *data[name][1:]]})
        with pytest.raises(SourceError, match=message):
            list(read_semtrack_folder(tmp_path))


def test_a_row_of_no_video_is_an_error_of_the_file(tmp_path):
    write_semtrack([make_video("a")], tmp_path / "train.json")
    data = json.loads((tmp_path / "train.json").read_text())
    data["tracks"][0]["video_id"] = 9
    rewritten(tmp_path / "train.json", **data)
    with pytest.raises(SourceError, match="'tracks' refers to a video that 'videos' does not hold: 9"):
        list(read_semtrack_folder(tmp_path))
    del data["tracks"][0]["video_id"]
    rewritten(tmp_path / "train.json", **data)
    with pytest.raises(SourceError, match=r"byte \d+: expected an object with 'video_id', a number or a name, in 'tr"):
        list(read_semtrack_folder(tmp_path))


def test_a_truncated_file_is_passed_over_and_the_others_read(tmp_path):
    for name in ("train", "validation"):
        write_semtrack([make_video(name)], tmp_path / f"{name}.json")
    path = tmp_path / "train.json"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(SourceError, match=r"train.json', byte \d+: not a complete JSON file"):
        list(read_semtrack_folder(tmp_path))
    broken = []
    assert [record.video_id for record in read_semtrack_folder(tmp_path, broken=broken)] == ["validation"]
    assert len(broken) == 1 and "train.json" in broken[0].where


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(shared_data, tmp_path):
    with pytest.raises(SourceError, match=r"expected SemTrack annotations \(train.json.*\), found .*ava/"):
        list(read_semtrack_folder(shared_data / "annotations"))
    with pytest.raises(SourceError, match="there is none"):
        list(read_semtrack_folder(tmp_path / "missing"))
