"""ILSVRC VID, on four of its own files."""

import pytest
from source_files import cut_short, error_of, place

from dataset_script.sources.ilsvrc_vid import CATEGORIES, read_ilsvrc_vid

TURTLE = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00001000"
DOG = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00005009"
PLANE = "ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002"
PANDAS = "ILSVRC2015_val_00030000"


@pytest.fixture
def ilsvrc(shared_data, tmp_path):
    source = shared_data / "annotations" / "ilsvrc_vid"
    for video, split in ((TURTLE, "train"), (DOG, "train"), (PLANE, "train"), (PANDAS, "val")):
        (path,) = (source / video).glob("*.xml")
        place(path, tmp_path / "Annotations" / "VID" / split / video / path.name)
    return tmp_path


def file(folder, video, name, split="train"):
    return folder / "Annotations" / "VID" / split / video / name


def test_values_are_those_of_the_published_files(ilsvrc):
    """The turtle: xmin 0, ymin 81, xmax 888, ymax 718 in a frame of 1280 x 720."""
    turtle, dog, plane, pandas = read_ilsvrc_vid(ilsvrc)
    assert (turtle.video_id, turtle.file_name) == ("ILSVRC2015_train_00001000", f"train/{TURTLE}")
    assert (turtle.width, turtle.height, turtle.source) == (1280, 720, "ilsvrc_vid")
    assert [(t.track_id, t.category, t.boxes) for t in turtle.targets] == [(0, "turtle", {0: (0, 81, 889, 638)})]
    assert (dog.height, dog.target(0).category, dog.target(0).boxes) == (576, "dog", {8: (675, 115, 302, 337)})
    assert (plane.target(0).category, plane.target(0).boxes) == ("airplane", {0: (592, 334, 68, 42)})
    assert [(t.track_id, t.category) for t in pandas.targets] == [(0, "giant_panda"), (1, "giant_panda")]
    assert pandas.target(1).boxes == {0: (172, 307, 760, 284)}


def test_splits_are_told_apart(ilsvrc):
    assert [record.video_id for record in read_ilsvrc_vid(ilsvrc, "validation")] == [PANDAS]
    assert {record.metadata["split"] for record in read_ilsvrc_vid(ilsvrc, "train")} == {"train"}


def test_frames_without_a_file_are_unknown(ilsvrc):
    _, dog, *_ = read_ilsvrc_vid(ilsvrc)
    assert (dog.annotated_frames, dog.num_frames) == ((8,), 9)


def test_interactions_are_unknown_and_the_frame_rate_nominal(ilsvrc):
    record = next(read_ilsvrc_vid(ilsvrc, fps=25.0))
    assert record.interactions is None
    assert (record.fps, record.metadata["nominal_fps"]) == (25.0, True)


def test_a_track_goes_on_over_frames(ilsvrc):
    first = file(ilsvrc, TURTLE, "000000.xml")
    file(ilsvrc, TURTLE, "000001.xml").write_text(first.read_text().replace("<xmin>0<", "<xmin>10<"))
    turtle = next(read_ilsvrc_vid(ilsvrc))
    assert turtle.target(0).boxes == {0: (0, 81, 889, 638), 1: (10, 81, 879, 638)}
    assert turtle.annotated_frames is None


@pytest.mark.parametrize("old, new, why", [
    ("n01662784", "n00000000", "000000.xml': name 'n00000000' points nowhere: expected a WordNet id"),
    ("<xmin>0</xmin>", "", "000000.xml': expected a whole number in <bndbox/xmin> of <object>, got None"),
    ("<xmax>888<", "<xmax>-5<", "ILSVRC2015_train_00001000': track 0, frame 0: box must be finite"),
    ("</size>", "", "000000.xml', line"),
])  # fmt: skip
def test_a_broken_file_is_reported_and_its_video_skipped(ilsvrc, old, new, why):
    path = file(ilsvrc, TURTLE, "000000.xml")
    path.write_text(path.read_text().replace(old, new))
    assert why in error_of(read_ilsvrc_vid(ilsvrc))
    broken = []
    assert len(list(read_ilsvrc_vid(ilsvrc, broken=broken))) == 3
    assert len(broken) == 1


def test_a_track_keeps_its_category_and_frames_their_size(ilsvrc):
    text = file(ilsvrc, TURTLE, "000000.xml").read_text()
    second = file(ilsvrc, TURTLE, "000001.xml")
    second.write_text(text.replace("n01662784", "n02084071"))
    assert "000001.xml': expected track 0 to stay a turtle, got dog" in error_of(read_ilsvrc_vid(ilsvrc))
    second.write_text(text.replace("1280", "640"))
    assert "000001.xml': expected frames of one size" in error_of(read_ilsvrc_vid(ilsvrc))


def test_a_truncated_file_is_reported_with_line_and_column(ilsvrc):
    cut_short(file(ilsvrc, PANDAS, "000000.xml", split="val"))
    assert "000000.xml', line 18, column" in error_of(read_ilsvrc_vid(ilsvrc))


def test_an_empty_video_is_reported(ilsvrc):
    file(ilsvrc, TURTLE, "000000.xml").unlink()
    assert "expected a file <frame>.xml per frame, found nothing" in error_of(read_ilsvrc_vid(ilsvrc))


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(ilsvrc):
    message = error_of(read_ilsvrc_vid(ilsvrc / "Annotations"))
    assert "(Annotations/VID/train or Annotations/VID/val), found VID/" in message


def test_there_are_thirty_categories():
    assert len(set(CATEGORIES.values())) == 30
