"""TAO, on an excerpt of its own training file with the published list of categories."""

import json

import pytest
from source_files import cut_short, error_of, write_json

from dataset_script.sources.tao import read_tao, video_names

VIDEO = "train/YFCC100M/v_f69ebe5b731d3e87c1a3992ee39c3b7e"


@pytest.fixture
def excerpt(shared_data):
    folder = shared_data / "annotations" / "tao"
    categories = json.loads((folder / "tao_categories.json").read_text())
    return {**json.loads((folder / "ann.json").read_text()), "categories": categories}


@pytest.fixture
def tao(excerpt, tmp_path):
    write_json(tmp_path / "annotations" / "train.json", excerpt)
    return tmp_path


def second_video(excerpt, **changes):
    """The excerpt with a second video, whose rows may be changed."""
    video = {**excerpt["videos"][0], "id": 9, "name": "train/AVA/z"}
    images = [{**image, "id": image["id"] + 90, "video_id": 9} for image in excerpt["images"]]
    tracks = [{"id": 91, "category_id": 95, "video_id": 9}]
    row = {**excerpt["annotations"][0], "image_id": 90, "track_id": 91, "category_id": 95, **changes}
    lists = {"videos": [video], "images": images, "tracks": tracks, "annotations": [row]}
    return {**excerpt, **{name: [*excerpt[name], *rows] for name, rows in lists.items()}}


def test_values_are_those_of_the_published_file(tao):
    (record,) = read_tao(tao, "train")
    assert (record.video_id, record.file_name, record.source) == (VIDEO, VIDEO, "tao")
    assert (record.width, record.height) == (640, 480)
    assert [target.track_id for target in record.targets] == [1, 3]
    assert record.target(1).boxes == {390: (156, 97, 150, 301), 420: (58, 63, 407, 417)}
    assert record.target(3).boxes == {390: (162, 240, 134, 240), 420: (332, 377, 108, 103)}
    assert record.metadata["username"] == "Amsterdamized"
    assert record.metadata["split"] == "train"


def test_all_people_are_persons_and_not_babies(tao):
    """The published name of category 805 (person.n.01) is its first synonym."""
    (record,) = read_tao(tao)
    assert [target.category for target in record.targets] == ["person", "bicycle"]
    assert record.metadata["not_exhaustive"] == ["person", "bicycle"]
    assert len(record.metadata["absent"]) == 5


def test_frames_between_the_annotated_ones_are_unknown(tao):
    """Annotated at one frame a second: frames 390 and 420 are a second apart."""
    (record,) = read_tao(tao)
    assert record.annotated_frames == (390, 420)
    assert (record.fps, record.num_frames) == (30.0, 421)
    assert record.interactions is None


def test_test_videos_without_annotation_have_no_annotated_frames(excerpt, tmp_path):
    for withheld in ({}, {"annotations": [], "tracks": []}):
        kept = {name: rows for name, rows in excerpt.items() if name not in ("annotations", "tracks")}
        write_json(tmp_path / "annotations" / "test_without_annotations.json", {**kept, **withheld})
        (record,) = read_tao(tmp_path, "test")
        assert record.annotated_frames == ()
        assert record.targets == []


def test_videos_come_by_name_and_can_be_listed(excerpt, tmp_path):
    write_json(tmp_path / "train.json", second_video(excerpt))
    assert [record.video_id for record in read_tao(tmp_path)] == ["train/AVA/z", VIDEO]
    assert sorted(video_names(tmp_path)) == ["train/AVA/z", VIDEO]


@pytest.mark.parametrize("changes, why", [
    ({"track_id": 77}, "video 'train/AVA/z': an annotation points nowhere: the file has no track 77"),
    ({"bbox": [1, 2, 0, 4]}, "video 'train/AVA/z': track 91, frame 390: box must be finite"),
    ({"bbox": None}, "video 'train/AVA/z': expected 'bbox' to be list, got None"),
])  # fmt: skip
def test_a_broken_video_is_reported_and_skipped(excerpt, tmp_path, changes, why):
    write_json(tmp_path / "train.json", second_video(excerpt, **changes))
    assert why in error_of(read_tao(tmp_path))
    broken = []
    assert [record.video_id for record in read_tao(tmp_path, broken=broken)] == [VIDEO]
    assert len(broken) == 1


def test_boxes_of_no_image_and_images_of_no_video_are_reported(excerpt, tmp_path):
    lost = second_video(excerpt, image_id=5000)
    lost["images"][-1]["video_id"] = 77
    write_json(tmp_path / "train.json", lost)
    assert "train.json': an image points nowhere: the file has no video 77" in error_of(read_tao(tmp_path))
    broken = []
    list(read_tao(tmp_path, broken=broken))
    assert "an annotation points nowhere: the file has no image 5000" in [entry.why for entry in broken]


def test_a_category_that_the_file_does_not_list_is_reported(shared_data, tmp_path):
    """The excerpt itself lists two categories and uses a third."""
    excerpt = json.loads((shared_data / "annotations" / "tao" / "ann.json").read_text())
    write_json(tmp_path / "train.json", excerpt)
    assert f"video '{VIDEO}': points nowhere: the file has no category 95" in error_of(read_tao(tmp_path))


def test_a_truncated_file_is_reported_with_its_position(tao):
    cut_short(tao / "annotations" / "train.json")
    message = error_of(read_tao(tao))
    assert "train.json', byte" in message and "cut short" in message


def test_another_json_file_is_told_from_tao(tmp_path):
    write_json(tmp_path / "train.json", {"videos": []})
    assert "expected a list 'videos' as TAO has, found none" in error_of(read_tao(tmp_path))


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "frames").mkdir()
    message = error_of(read_tao(tmp_path, "train"))
    assert "expected the annotations of TAO (annotations/train.json or train.json), found frames/" in message
