"""ImageNet-VidVRD. No annotation file of it is at hand; the example is the one of the authors' format page, whose
names and sizes the published lists confirm."""

import json

import pytest
from source_files import cut_short, error_of, write_json

from dataset_script.records import InteractionRecord
from dataset_script.sources.reading import SourceError
from dataset_script.sources.vidvrd import read_vidvrd

VIDEO = "ILSVRC2015_train_00010001"
BOX = {"xmin": 672, "ymin": 560, "xmax": 781, "ymax": 693}
EXAMPLE = {
    "video_id": VIDEO,
    "frame_count": 219,
    "fps": 30,
    "width": 1920,
    "height": 1080,
    "subject/objects": [{"tid": 0, "category": "bicycle"}, {"tid": 1, "category": "bicycle"}],
    "trajectories": [[{"tid": 0, "bbox": BOX, "generated": 0}], *[[]] * 218],
    "relation_instances": [
        {"subject_tid": 0, "object_tid": 1, "predicate": "move_right", "begin_fid": 0, "end_fid": 210}
    ],
}


@pytest.fixture
def vidvrd(tmp_path):
    write_json(tmp_path / "test" / f"{VIDEO}.json", EXAMPLE)
    return tmp_path


def test_values_are_those_of_the_published_example(vidvrd):
    (record,) = read_vidvrd(vidvrd, "test")
    assert (record.video_id, record.file_name, record.source) == (VIDEO, f"{VIDEO}.mp4", "vidvrd")
    assert (record.width, record.height, record.fps, record.num_frames) == (1920, 1080, 30.0, 219)
    assert record.target(0).category == "bicycle"
    assert record.target(0).boxes == {0: (672, 560, 110, 134)}
    assert record.interactions == [InteractionRecord(0, "move_right", 1, 0, 210)]
    assert record.metadata == {"split": "test", "manual_frames": {"0": [0], "1": []}}


def test_the_published_list_of_relations_confirms_the_example(vidvrd, shared_data):
    """A row of the list: video, frames, width, height, subject-predicate-object."""
    (record,) = read_vidvrd(vidvrd)
    (event,) = record.interactions
    triplet = f"{record.target(event.subject).category}-{event.interaction}-{record.target(event.object).category}"
    listed = json.loads((shared_data / "annotations" / "vidvrd" / "vRGV_vrelation_val.json").read_text())
    assert [record.video_id, record.num_frames, record.width, record.height, triplet] in listed


def test_a_truncated_file_is_reported_or_skipped(vidvrd):
    write_json(vidvrd / "test" / "a.json", EXAMPLE)
    cut_short(vidvrd / "test" / f"{VIDEO}.json")
    assert f"{VIDEO}.json', line 1, column" in error_of(read_vidvrd(vidvrd))
    broken = []
    assert len(list(read_vidvrd(vidvrd, broken=broken))) == 1
    assert [f"{VIDEO}.json" in entry.where for entry in broken] == [True]


def test_the_annotations_of_another_set_are_told_from_vidvrd(tmp_path):
    (tmp_path / "training").mkdir()
    message = error_of(read_vidvrd(tmp_path))
    assert "expected the annotations of ImageNet-VidVRD" in message and "found training/" in message


def test_an_empty_split_is_reported(vidvrd):
    (vidvrd / "train").mkdir()
    with pytest.raises(SourceError, match=r"train': expected .* \(\*\.json\), found nothing"):
        list(read_vidvrd(vidvrd, "train"))
