"""Windows, crops and boxes: geometry to the sub-pixel, and prompts that do not fit the frame."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import TEMPLATE_SIZE, VIEW_SIZE, noise_frame, tiny_model, tiny_processor

from modeling_semtrack import SemTrackImageProcessor, SemTrackProcessor
from modeling_semtrack.processing_semtrack import (
    PADDING_GREY,
    Window,
    as_frame,
    box_from_view,
    box_to_view,
    check_box,
    check_point,
    clip_box,
    point_to_view,
    window_to_view,
)

FRAME = noise_frame()  # 120x90


def images(**options):
    return SemTrackImageProcessor(**({"view_size": VIEW_SIZE, "template_size": TEMPLATE_SIZE} | options))


def ramp(height=60, width=80):
    """A frame whose red is its x and whose green is its y, so that a crop tells where it is from."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, np.full_like(x, 40)], -1).astype(np.uint8)


# Crops


@pytest.mark.parametrize("size", [16, 60, 64, 100, 224])
def test_a_window_equal_to_the_frame_is_the_resized_frame(size):
    frame = noise_frame(55, 55)
    crop = images().crop(frame, Window(27.5, 27.5, 55.0), size)
    expected = np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
    assert np.abs(crop.astype(int) - expected).max() <= 1


def test_no_pixel_of_the_frame_is_lost_to_rounding():
    parts = images()
    for side in range(16, 120):
        black = np.zeros((side, side, 3), np.uint8)
        assert not parts.crop(black, Window(side / 2, side / 2, side), 100).any(), side
        before = parts.crop(black, Window(0.4 * side, 0.4 * side, side), 100)  # begins a tenth before the frame
        assert (before[:10] == PADDING_GREY).all() and not before[10:, 10:].any(), side


def test_a_window_at_full_scale_is_a_slice():
    crop = images().crop(FRAME, Window(40.0, 50.0, 32.0), 32)
    assert np.array_equal(crop, FRAME[34:66, 24:56])


@pytest.mark.parametrize("window", [Window(60.0, 45.0, 80.0), Window(50.2, 40.9, 71.4), Window(63.7, 44.1, 20.5)])
@pytest.mark.parametrize("size", [16, 64])
def test_a_crop_is_the_resampled_part_of_the_frame(window, size):
    """PIL resamples the same box of the whole frame. In the first row and column it also sees what is before it."""
    window = window.aligned(size)
    left, top = window.x - window.side / 2, window.y - window.side / 2
    box = (left, top, left + window.side, top + window.side)
    reference = Image.fromarray(FRAME).resize((size, size), Image.Resampling.BILINEAR, box=box)
    difference = images().crop(FRAME, window, size).astype(int) - np.asarray(reference).astype(int)
    edge = max(1, round(size / window.side / 2 + 0.5))  # half a pixel of the frame where that is more
    assert np.abs(difference[edge:, edge:]).max() <= 1


@pytest.mark.parametrize("corner", [(3, 3), (-7.7, 4), (20, -11.3), (60, 40), (-9, -9)])
@pytest.mark.parametrize("side", [30.0, 31.7, 52.125])
def test_a_crop_shows_each_place_where_the_window_says(corner, side):
    """The ramp tells where what is seen in a pixel of the view lies in the frame."""
    size = 40
    window = Window(corner[0] + side / 2, corner[1] + side / 2, side).aligned(size)
    crop = images().crop(ramp(), window, size)
    shown = np.argwhere(crop[..., 2] == 40)  # the frame's blue
    assert len(shown) > size
    for row, column in shown:
        x = window.x + ((column + 0.5) / size - 0.5) * window.side
        y = window.y + ((row + 0.5) / size - 0.5) * window.side
        assert crop[row, column, :2] == pytest.approx((2 * (x - 0.5), 2 * (y - 0.5)), abs=1.01)


def test_outside_the_frame_there_is_grey():
    crop = images().crop(FRAME, Window(0.0, 0.0, 64.0), 64)
    assert (crop[:32] == PADDING_GREY).all() and (crop[:, :32] == PADDING_GREY).all()
    assert np.array_equal(crop[32:, 32:], FRAME[:32, :32])
    far = images().crop(FRAME, Window(120 + 32.0, 90 + 32.0, 64.0), 64)
    assert (far == PADDING_GREY).all()


def test_the_last_pixels_of_the_frame_are_there():
    crop = images().crop(FRAME, Window(120.0, 90.0, 64.0), 64)
    assert np.array_equal(crop[:32, :32], FRAME[-32:, -32:])
    assert (crop[32:] == PADDING_GREY).all() and (crop[:, 32:] == PADDING_GREY).all()


def test_half_a_pixel_of_frame_is_no_pixel_of_the_view():
    crop = images().crop(np.zeros((9, 9, 3), np.uint8), Window(7.0, 7.0, 18.0), 9)  # from a pixel of the view before
    assert (crop[0] == PADDING_GREY).all() and (crop[5:] == PADDING_GREY).all()  # the last holds half a pixel of frame
    assert (crop[1:5, 1:5] == 0).all()


def test_a_tiny_window_within_one_pixel_shows_that_pixel():
    crop = images().crop(FRAME, Window(50.5, 40.5, 0.25).aligned(16), 16)
    assert np.abs(crop.astype(int) - FRAME[40, 50].astype(int)).max() <= 1


def test_a_crop_does_not_change_the_frame():
    frame = FRAME.copy()
    images().crop(frame, Window(30.0, 30.0, 40.0), 64)
    assert np.array_equal(frame, FRAME)


def test_frames_may_be_read_only(recwarn):
    frame = FRAME.copy()
    frame.setflags(write=False)
    window = images().scene_window(frame)
    assert np.array_equal(images().crop(frame, window, 64), images().crop(FRAME, window, 64)) and not recwarn


def test_frames_need_not_be_contiguous():
    flipped = FRAME[:, ::-1]
    window = Window(40.0, 50.0, 40.0)
    assert np.array_equal(images().crop(flipped, window, 32), images().crop(flipped.copy(), window, 32))


# Windows


@pytest.mark.parametrize("size", [16, 37, 256])
def test_aligned_windows_are_at_most_half_a_pixel_away_and_can_be_cut(size):
    rng = np.random.default_rng(0)
    for x, y, side in rng.uniform((-40, -40, 2), (160, 130, 150), (100, 3)):
        window = Window(x, y, side).aligned(size)
        most = max(1.0, side / size) / 2 + 1e-9
        assert abs(window.x - x) <= most and abs(window.y - y) <= most and window.side == side
        assert window.aligned(size) == pytest.approx(window)
        assert images().crop(FRAME, window, size).shape == (size, size, 3)


@pytest.mark.parametrize("window", [Window(40.5, 50.0, 32.0), Window(40.0, 10.3, 32.0), Window(40.0, 50.0, 31.9)])
def test_windows_that_begin_within_a_pixel_are_refused(window):
    with pytest.raises(ValueError, match=r"whole pixel.*got.*window.aligned\(32\)"):
        images().crop(FRAME, window, 32)


def test_windows_are_centred_on_the_box_and_scale_with_it():
    box = (10.0, 20.0, 40.0, 10.0)  # its size, the root of its area, is 20
    assert images().search_window(box) == Window(30.0, 25.0, 80.0)
    assert images().template_window(box) == Window(30.0, 25.0, 40.0)
    assert images(search_factor=3.0).search_window(box).side == 60.0


def test_a_search_window_keeps_its_smallest_side():
    assert images().search_window((30.0, 40.0, 4.0, 4.0), smallest_side=50.0) == Window(32.0, 42.0, 50.0)
    assert images().search_window((10.0, 20.0, 40.0, 40.0), smallest_side=50.0).side == 160.0


@pytest.mark.parametrize("shape", [(90, 120), (120, 90), (64, 64)])
def test_the_scene_is_the_smallest_window_that_holds_the_frame(shape):
    window = images().scene_window(np.zeros((*shape, 3), np.uint8))
    assert window == Window(shape[1] / 2, shape[0] / 2, max(shape))


# Boxes


@pytest.mark.parametrize("window", [Window(60.0, 45.0, 120.0), Window(13.7, 88.2, 31.4)])
def test_boxes_go_to_the_view_and_back(window):
    rng = np.random.default_rng(0)
    for box in rng.uniform(1, 50, (20, 4)):
        assert box_from_view(box_to_view(box, window), window) == pytest.approx(tuple(box))


def test_a_box_in_a_view_is_where_the_crop_shows_it():
    frame = np.zeros((90, 120, 3), np.uint8)
    frame[30:46, 50:74] = 255
    window = Window(60.0, 40.0, 64.0)
    cx, cy, w, h = (64 * value for value in box_to_view((50, 30, 24, 16), window))
    rows, columns = np.nonzero(images().crop(frame, window, 64)[..., 0] > 127)
    assert (columns.min(), columns.max() + 1) == (cx - w / 2, cx + w / 2)
    assert (rows.min(), rows.max() + 1) == (cy - h / 2, cy + h / 2)


def test_the_centre_of_a_window_is_half():
    window = Window(13.7, 88.2, 31.4)
    assert point_to_view((13.7, 88.2), window) == (0.5, 0.5)
    assert box_to_view((13.7 - 5, 88.2 - 5, 10, 10), window)[:2] == pytest.approx((0.5, 0.5))
    assert window_to_view(window, window) == (0.5, 0.5, 1.0, 1.0)
    assert window_to_view(Window(20.0, 20.0, 10.0), Window(20.0, 25.0, 40.0)) == (0.5, 0.375, 0.25, 0.25)


def test_clipping_keeps_what_lies_inside():
    assert clip_box((-5.0, 80.0, 20.0, 20.0), FRAME.shape[:2]) == (0.0, 80.0, 15.0, 10.0)
    assert clip_box((10.0, 10.0, 20.0, 20.0), FRAME.shape[:2]) == (10.0, 10.0, 20.0, 20.0)
    assert clip_box((118.5, 10.0, 20.0, 20.0), FRAME.shape[:2], smallest=2.0) is None
    assert clip_box((200.0, 10.0, 20.0, 20.0), FRAME.shape[:2]) is None


# Prompts


def test_good_boxes_and_points_come_back_as_floats():
    assert check_box([0, 0, 120, 90], FRAME) == (0.0, 0.0, 120.0, 90.0)
    assert check_box(np.array([1, 2, 3, 4]), FRAME) == (1.0, 2.0, 3.0, 4.0)
    assert check_point((0, 89.5), FRAME) == (0.0, 89.5)


@pytest.mark.parametrize(
    "box, shown",
    [
        ([10, 10, -3, 5], "10, 10, -3, 5"),
        ([10, 10, 0, 5], "10, 10, 0, 5"),
        ([-1, 10, 5, 5], "-1, 10, 5, 5"),
        ([100, 10, 21, 5], "100, 10, 21, 5"),
        ([10, 80, 5, 10.5], "10, 80, 5, 10.5"),
        ([float("nan"), 10, 5, 5], "nan, 10, 5, 5"),
        ([10, 10, float("inf"), 5], "10, 10, inf, 5"),
        ([10, 10, 5], "10, 10, 5"),
    ],
)
def test_a_box_that_does_not_fit_is_shown(box, shown):
    with pytest.raises(ValueError) as caught:
        check_box(box, FRAME)
    assert str(caught.value) == f"box must be [x, y, w, h] with w, h > 0 inside a 120x90 frame, got [{shown}]"


@pytest.mark.parametrize(
    "point, shown", [((120, 10), "120, 10"), ((-0.5, 10), "-0.5, 10"), ((10, float("nan")), "10, nan"), ((1,), "1")]
)
def test_a_point_that_does_not_fit_is_shown(point, shown):
    with pytest.raises(ValueError) as caught:
        check_point(point, FRAME)
    assert str(caught.value) == f"point must be (x, y) inside a 120x90 frame, got ({shown})"


@pytest.mark.parametrize(
    "frame, shown",
    [
        (np.zeros((4, 5), np.uint8), r"uint8 \[4, 5\]"),
        (np.zeros((4, 5, 4), np.uint8), r"uint8 \[4, 5, 4\]"),
        (np.zeros((4, 5, 3)), r"float64 \[4, 5, 3\]"),
        (np.zeros((0, 5, 3), np.uint8), r"uint8 \[0, 5, 3\]"),
    ],
)
def test_something_else_than_a_frame_is_refused(frame, shown):
    with pytest.raises(ValueError, match=rf"a frame must be uint8 RGB \[height, width, 3\], got {shown}"):
        as_frame(frame)


def test_pictures_of_any_mode_become_rgb():
    grey = Image.fromarray(FRAME).convert("L")
    assert as_frame(grey).shape == (90, 120, 3)
    assert np.array_equal(as_frame(Image.fromarray(FRAME)), FRAME)


# Processor


@pytest.mark.parametrize("name", ["view_size", "template_size"])
def test_views_below_a_cell_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 16 pixels, got 8"):
        SemTrackImageProcessor(**{name: 8})


def test_grey_becomes_zero_and_all_values_lie_within_one():
    views = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (PADDING_GREY, 0, 255)])
    pixels = images().normalize(views)
    assert pixels.shape == (3, 3, 4, 4) and pixels.dtype == torch.float32
    assert pixels[0].abs().max() < 1e-6
    assert pixels[1].unique().item() == pytest.approx(-127 / 128) and pixels[2].unique().item() == pytest.approx(1.0)


def test_frames_become_scenes():
    output = images()([FRAME, Image.fromarray(FRAME)])
    assert output["pixel_values"].shape == (2, 3, VIEW_SIZE, VIEW_SIZE)
    assert output["windows"].tolist() == [[60.0, 45.0, 120.0]] * 2
    assert torch.equal(images()(FRAME)["pixel_values"], output["pixel_values"][:1])
    margin = output["pixel_values"][0, :, :8]  # the frame is wider than high
    assert margin.abs().max() < 1e-6


def test_a_box_becomes_a_template_and_a_search_region():
    box, processor = (40.0, 30.0, 20.0, 20.0), tiny_processor()
    inputs = processor(FRAME, box=box)
    parts = processor.image_processor
    view = parts.crop(FRAME, parts.search_window(box), VIEW_SIZE)
    template, template_box = parts.template(FRAME, box)
    assert torch.equal(inputs["pixel_values"], parts.normalize([view]))
    assert torch.equal(inputs["template_pixel_values"], parts.normalize([template])[None])
    assert template_box == (0.5, 0.5, 0.5, 0.5) and inputs["template_boxes"].tolist() == [[[0.5] * 4]]


def test_the_template_may_come_from_another_frame():
    box, other = (40.0, 30.0, 20.0, 20.0), noise_frame(seed=1)
    inputs = tiny_processor()(FRAME, box=box, template_frame=other)
    assert torch.equal(inputs["pixel_values"], tiny_processor()(FRAME, box=box)["pixel_values"])
    assert torch.equal(inputs["template_pixel_values"], tiny_processor()(other, box=box)["template_pixel_values"])


def test_a_point_becomes_a_place_in_the_scene():
    inputs = tiny_processor()(FRAME, point=(30, 75))
    assert inputs["view"] == "scene"
    assert inputs["point_coords"].tolist() == [[[0.25, 0.75]]]  # the scene starts 15 pixels above the frame
    assert torch.equal(inputs["pixel_values"], tiny_processor().image_processor(FRAME)["pixel_values"])


@pytest.mark.parametrize("prompt", [{"box": (40, 30, 20, 20)}, {"point": (30, 75)}])
def test_the_model_takes_what_the_processor_gives(prompt):
    inputs = tiny_processor()(FRAME, **prompt).to("cpu")
    assert tiny_model()(**inputs).pred_boxes.shape == (1, 4)


@pytest.mark.parametrize("prompt", [{}, {"box": (1, 2, 3, 4), "point": (5, 6)}])
def test_a_processor_wants_exactly_one_prompt(prompt):
    with pytest.raises(ValueError, match="pass exactly one of box and point, got box="):
        tiny_processor()(FRAME, **prompt)


def test_a_processor_checks_its_prompts():
    with pytest.raises(ValueError, match="inside a 120x90 frame"):
        tiny_processor()(FRAME, box=(110, 10, 20, 20))
    with pytest.raises(ValueError, match="inside a 20x10 frame"):
        tiny_processor()(FRAME, box=(40, 30, 20, 20), template_frame=noise_frame(10, 20))


def test_a_folder_gives_the_same_processor_back(tmp_path):
    parts = images(search_factor=3.5, image_mean=[0.1, 0.2, 0.3])
    SemTrackProcessor(parts).save_pretrained(tmp_path)
    for again in (
        SemTrackProcessor.from_pretrained(tmp_path).image_processor,
        SemTrackImageProcessor.from_pretrained(tmp_path),
    ):
        assert again.to_dict() == parts.to_dict()
        assert (again.search_factor, again.image_mean, again.view_size) == (3.5, [0.1, 0.2, 0.3], VIEW_SIZE)


def test_a_processor_is_plain_json():
    data = json.loads(tiny_processor().to_json_string())
    assert data["image_processor"]["view_size"] == VIEW_SIZE
    assert str(tiny_processor())  # can be printed
