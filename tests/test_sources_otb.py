"""The reader of OTB-like tracking sequences, on hand-made folders and on real ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_script.sources.otb import SequenceError, list_images, read_otb, read_sequences
from dataset_script.sources.reading import SourceError


def make_sequence(folder: Path, rows: str, images: int = 2, truth: str = "groundtruth.txt") -> Path:
    """A sequence folder with `images` one-pixel frames in img/ and `rows` as ground truth."""
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for index in range(images):
        Image.new("RGB", (1, 1)).save(folder / "img" / f"{index + 1:04d}.jpg")
    (folder / truth).write_text(rows)
    return folder


@pytest.mark.parametrize(
    "rows",
    [
        "1,2,3,4\n5,6,7,8.5\n",
        "1\t2\t3\t4\n5\t6\t7\t8.5",
        "1 2  3 4\n5 6 7 8.5",
        "1, 2, 3, 4\r\n5, 6, 7, 8.5\r\n\n",
    ],
    ids=["comma", "tab", "space", "comma and space"],
)
def test_every_separator_gives_the_same_boxes(tmp_path, rows):
    (sequence,) = read_sequences(make_sequence(tmp_path / "walk", rows))
    assert sequence.name == "walk"
    assert sequence.frames == tmp_path / "walk" / "img"
    assert sequence.masks is None
    assert sequence.boxes.dtype == np.float64
    np.testing.assert_array_equal(sequence.boxes, [[1, 2, 3, 4], [5, 6, 7, 8.5]])


@pytest.mark.parametrize("absent", ["NaN,NaN,NaN,NaN", "nan nan nan nan", "0,0,0,0"])
def test_absent_target_is_a_row_of_nan(tmp_path, absent):
    (sequence,) = read_sequences(make_sequence(tmp_path / "walk", f"1,2,3,4\n{absent}\n"))
    np.testing.assert_array_equal(sequence.boxes, [[1, 2, 3, 4], [np.nan] * 4])


def test_folder_of_sequences_is_sorted_by_name_and_passes_over_other_folders(tmp_path):
    for name in ("run", "Walk", "jump"):
        make_sequence(tmp_path / name, "1,2,3,4\n1,2,3,4")
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text("about")
    assert [sequence.name for sequence in read_sequences(tmp_path)] == ["Walk", "jump", "run"]


def test_frames_may_lie_beside_the_ground_truth_and_masks_are_found(tmp_path):
    for folder in (tmp_path, tmp_path / "mask"):
        folder.mkdir(exist_ok=True)
        for index in range(2):
            Image.new("L", (1, 1)).save(folder / f"{index}.png")
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n1,2,3,4")
    (sequence,) = read_sequences(tmp_path)
    assert sequence.frames == tmp_path
    assert sequence.masks == tmp_path / "mask"


def test_one_video_file_serves_as_frames(tmp_path):
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n")
    (tmp_path / "clip.MPG").write_bytes(b"")
    (sequence,) = read_sequences(tmp_path)
    assert sequence.frames == tmp_path / "clip.MPG"


def test_two_ground_truth_files_are_two_targets_on_the_same_frames(tmp_path):
    make_sequence(tmp_path / "Jogging", "1,1,1,1\n1,1,1,1", truth="groundtruth_rect.1.txt")
    make_sequence(tmp_path / "Jogging", "2,2,2,2\n2,2,2,2", truth="groundtruth_rect.2.txt")
    first, second = read_sequences(tmp_path)
    assert (first.name, second.name) == ("Jogging-groundtruth_rect.1", "Jogging-groundtruth_rect.2")
    assert first.frames == second.frames
    assert (first.boxes[0, 0], second.boxes[0, 0]) == (1, 2)


def test_images_are_ordered_by_number_not_by_spelling_and_hidden_files_left_out(tmp_path):
    for name in ("frame10.jpg", "frame2.jpg", "frame1.JPG", "._frame2.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in list_images(tmp_path)] == ["frame1.JPG", "frame2.jpg", "frame10.jpg"]


@pytest.mark.parametrize("row", ["1,2,3", "1,2,3,4,5,6,7,8", "1,2,three,4", "", "1,2,NaN,4", "1,2,-3,4", "1,inf,3,4"])
def test_a_row_that_is_not_a_box_is_named_by_file_and_line(tmp_path, row):
    folder = make_sequence(tmp_path / "walk", f"1,2,3,4\n{row}\n1,2,3,4\n", images=3)
    with pytest.raises(SequenceError, match=r"walk.groundtruth\.txt', line 2: expected") as error:
        read_sequences(folder)
    assert repr(row) in str(error.value)


def test_row_count_must_equal_the_number_of_images(tmp_path):
    folder = make_sequence(tmp_path / "walk", "1,2,3,4\n", images=2)
    with pytest.raises(SequenceError, match=r"groundtruth\.txt' has 1 rows but '.*img' has 2 images"):
        read_sequences(folder)


def test_mask_count_must_equal_the_number_of_rows(tmp_path):
    folder = make_sequence(tmp_path / "walk", "1,2,3,4\n1,2,3,4\n")
    (folder / "mask").mkdir()
    with pytest.raises(SequenceError, match=r"has 2 rows but '.*mask' has 0 images"):
        read_sequences(folder)


def test_frames_without_ground_truth_are_an_error(tmp_path):
    folder = make_sequence(tmp_path / "walk", "")
    (folder / "groundtruth.txt").unlink()
    for given in (folder, tmp_path):
        with pytest.raises(SequenceError, match=r"no groundtruth\*\.txt in '.*walk'"):
            read_sequences(given)


def test_ground_truth_without_rows_or_without_frames_is_an_error(tmp_path):
    with pytest.raises(SequenceError, match=r"groundtruth\.txt' is empty"):
        read_sequences(make_sequence(tmp_path / "walk", "\n"))
    with pytest.raises(SequenceError, match=r"no frames in '.*run'.* got 0 video files"):
        read_sequences(make_sequence(tmp_path / "run", "1,2,3,4", images=0))


def test_a_folder_without_sequences_or_no_folder_is_an_error(tmp_path):
    (tmp_path / "holiday.txt").touch()
    with pytest.raises(SequenceError, match=r"no sequences found in .*groundtruth\*.txt, found holiday.txt"):
        read_sequences(tmp_path)
    with pytest.raises(SequenceError, match="must be a folder, got '.*missing'"):
        read_sequences(tmp_path / "missing")


def test_real_sequences_are_all_read(shared_data):
    sequences = {sequence.name: sequence for sequence in read_sequences(shared_data / "sot")}
    assert len(sequences) == 30
    assert len(sequences["Car1"].boxes) == 1020
    assert np.isnan(sequences["TLD_car"].boxes).all(axis=1).sum() == 85
    assert sequences["TLD_car"].frames.name == "car.mpg"


def test_real_box_lies_on_its_object(shared_data):
    """The first box of the black swan holds (nearly) all pixels of its mask."""
    (sequence,) = read_sequences(shared_data / "sot" / "davis_blackswan")
    x, y, w, h = sequence.boxes[0].round().astype(int)
    mask = np.asarray(Image.open(list_images(sequence.masks)[0])) > 0
    assert mask[y : y + h, x : x + w].sum() / mask.sum() > 0.98


def test_records_of_sequences_leave_out_absent_frames_and_share_frames_between_targets(tmp_path):
    make_sequence(tmp_path / "Jogging", "1,1,1,1\nNaN,NaN,NaN,NaN", truth="groundtruth_rect.1.txt")
    make_sequence(tmp_path / "Jogging", "2,2,2,2\n3,2,2,2", truth="groundtruth_rect.2.txt")
    make_sequence(tmp_path / "walk", "1,2,3,4\n1,2,3,4")
    jogging, walk = read_otb(tmp_path)
    assert (jogging.video_id, jogging.file_name, jogging.num_frames) == ("Jogging", "Jogging/img", 2)
    assert [target.boxes for target in jogging.targets] == [
        {0: (1.0, 1.0, 1.0, 1.0)},
        {0: (2.0, 2.0, 2.0, 2.0), 1: (3.0, 2.0, 2.0, 2.0)},
    ]
    assert jogging.interactions is None and all(target.main for target in jogging.targets)
    assert walk.fps == 30 and walk.metadata == {"fps_assumed": True}
    with pytest.raises(ValueError, match="got 'train'"):
        next(read_otb(tmp_path, "train"))


def test_broken_sequences_are_passed_over_where_a_list_is_given(tmp_path):
    make_sequence(tmp_path / "run", "1,2,3\n1,2,3,4")
    make_sequence(tmp_path / "walk", "1,2,3,4\n1,2,3,4")
    with pytest.raises(SourceError, match=r"run.groundtruth\.txt', line 1"):
        list(read_otb(tmp_path))
    broken = []
    assert [record.video_id for record in read_otb(tmp_path, broken=broken)] == ["walk"]
    assert len(broken) == 1 and "run" in broken[0].where


def test_real_records_of_frames_and_of_a_video_file(shared_data):
    records = {record.video_id: record for record in read_otb(shared_data / "sot")}
    assert len(records) == 30
    car = records["TLD_car"]
    assert (car.file_name, car.width, car.height, car.num_frames, car.fps) == ("TLD_car/car.mpg", 320, 240, 945, 25)
    assert len(car.target(1).boxes) == 945 - 85 and car.metadata == {}
    assert (records["Car1"].num_frames, records["Car1"].width) == (1020, 320)
