"""VidSTG, on the first rows of its own files and, for the boxes, VidOR's."""

import json

import pytest
from source_files import cut_short, error_of, place, write_json

from dataset_script.sources.vidstg import read_vidstg

FISH = "3598080384"


@pytest.fixture
def vidstg(shared_data):
    return shared_data / "annotations" / "vidstg"


@pytest.fixture
def row():
    """A row about VidOR's stingray, made in the published form."""
    return {
        "vid": FISH,
        "fps": 25,
        "frame_count": 368,
        "used_segment": {"begin_fid": 0, "end_fid": 367},
        "width": 640,
        "height": 480,
        "subject/objects": [{"tid": 0, "category": "adult"}, {"tid": 1, "category": "stingray"}],
        "used_relation": {"subject_tid": 1, "object_tid": 0, "predicate": "in_front_of", "begin_fid": 0, "end_fid": 90},
        "temporal_gt": {"begin_fid": 0, "end_fid": 90},
        "captions": [{"description": "a stingray is in front of the diver.", "type": "object", "target_id": 1}],
        "questions": [{"description": "what is in front of the diver?", "type": "object", "target_id": 1}],
    }


def test_sentences_are_those_of_the_published_files(vidstg):
    """Row 0 of the validation file: the child (2) watches the ball (7) from frame 510 to 556."""
    records = {record.video_id: record for record in read_vidstg(vidstg, "validation")}
    caption = records["10712559773_0_0"]
    assert caption.prompt == "the child in red clothes and black pants is watching the ball."
    assert (caption.width, caption.height, caption.fps, caption.num_frames) == (640, 360, 29.97, 596)
    assert [(t.track_id, t.category) for t in caption.targets if t.main] == [(2, "child")]
    assert caption.target(7).category == "ball/sports_ball"
    assert caption.metadata == {
        "split": "validation",
        "video": "10712559773",
        "sentence": "caption",
        "segment": [496, 596],
        "interval": [510, 556],
        "relation": {"subject": 2, "object": 7, "interaction": "watch"},
    }
    question = records["10712559773_0_1"]
    assert (question.prompt, question.metadata["sentence"]) == ("who is watching the ball?", "question")


def test_what_vidstg_alone_does_not_say_is_unknown(vidstg):
    record = next(read_vidstg(vidstg, "test"))
    assert record.interactions is None
    assert record.annotated_frames == ()
    assert not any(target.boxes for target in record.targets)


def test_every_sentence_of_every_row_is_a_record_in_steady_order(vidstg):
    records = list(read_vidstg(vidstg))
    rows = [row for split in ("val", "test") for row in json.loads((vidstg / f"{split}_annotations.json").read_text())]
    assert len(records) == sum(len(row["captions"]) + len(row["questions"]) for row in rows) == 1131
    assert len({record.video_id for record in records}) == 1131
    assert [r.video_id for r in read_vidstg(vidstg)] == [r.video_id for r in records]


def test_boxes_and_interactions_are_those_of_vidor(shared_data, tmp_path, row):
    write_json(tmp_path / "annotations" / "train_annotations.json", [row])
    place(
        shared_data / "annotations" / "vidor" / f"{FISH}.json",
        tmp_path / "vidor" / "training" / "0001" / f"{FISH}.json",
    )
    caption, question = read_vidstg(tmp_path, "train")
    assert caption.file_name == f"0001/{FISH}.mp4"
    assert caption.target(0).boxes[0] == (0, 150, 166, 230)
    assert len(caption.interactions) == 4
    assert [target.main for target in question.targets] == [False, True]
    assert (question.source, question.metadata["split"], question.metadata["segment"]) == ("vidstg", "train", [0, 368])


def test_a_video_that_vidor_does_not_have_is_reported_or_skipped(tmp_path, row):
    write_json(tmp_path / "val_annotations.json", [row])
    write_json(tmp_path / "elsewhere" / "validation" / "0000" / "1.json", {})
    message = error_of(read_vidstg(tmp_path, vidor_dir=tmp_path / "elsewhere"))
    assert f"val_annotations.json', row 0: vid '{FISH}' points nowhere: there is no {FISH}.json" in message
    broken = []
    assert list(read_vidstg(tmp_path, broken=broken, vidor_dir=tmp_path / "elsewhere")) == []
    assert len(broken) == 1


@pytest.mark.parametrize("changes, why, left", [
    ({"captions": [{"description": "it swims.", "target_id": 5}]}, "target_id 5 points nowhere", 3),
    ({"captions": [{"target_id": 1}]}, "misses 'description'", 3),
    ({"temporal_gt": {"begin_fid": 90, "end_fid": 369}}, "expected temporal_gt inside the video's 368 frames", 2),
    ({"used_relation": {"subject_tid": 9, "object_tid": 0, "predicate": "bite"}}, "used_relation", 2),
    ({"questions": None}, "expected 'questions' to be list, got None", 2),
    ({"vid": 7}, "expected 'vid' to be str, got 7", 2),
])  # fmt: skip
def test_a_broken_sentence_is_reported_with_its_row_and_skipped(tmp_path, row, changes, why, left):
    write_json(tmp_path / "val_annotations.json", [row, {**row, **changes}])
    message = error_of(read_vidstg(tmp_path))
    assert f"val_annotations.json', row 1: {why}" in message
    broken = []
    assert len(list(read_vidstg(tmp_path, broken=broken))) == left
    assert {entry.where[-5:] for entry in broken} == {"row 1"}


def test_a_truncated_file_is_reported_with_line_and_column(tmp_path, row):
    cut_short(write_json(tmp_path / "val_annotations.json", [row]))
    assert "val_annotations.json', line 1, column" in error_of(read_vidstg(tmp_path))


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "training").mkdir()
    message = error_of(read_vidstg(tmp_path))
    assert "expected the annotations of VidSTG" in message and "found training/" in message
