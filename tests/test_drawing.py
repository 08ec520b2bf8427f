"""Rectangles, text fitting, label placement and contrast."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageFont

from modeling_semtrack.drawing import (
    Rect,
    contrast,
    dashes,
    fill_below,
    fill_rounded,
    fit_text,
    link,
    mix,
    place_label,
    plain,
)

FONT = ImageFont.load_default(size=13)


@pytest.mark.parametrize("width", [0, 5, 20, 60, 100, 400])
def test_fitted_text_never_exceeds_its_width(width):
    for text in ("", "a", "umbrella", "w" * 700, "two\nlines and\ttabs " * 20):
        fitted = fit_text(text, width, FONT)
        assert fitted == "" or FONT.getlength(fitted) <= width
        assert "\n" not in fitted


def test_text_that_fits_is_left_whole_and_other_text_keeps_as_much_as_fits():
    assert fit_text("umbrella", 200, FONT) == "umbrella"
    fitted = fit_text("umbrella", FONT.getlength("umbr…") + 0.5, FONT)
    assert fitted == "umbr…"


def test_accents_are_dropped_because_the_font_lacks_them():
    assert plain("café  Zürich\n!") == "cafe Zurich !"


@pytest.mark.parametrize("x, y", [*itertools.product([-30, 0, 80, 160, 230], [-30, 0, 60, 100, 150])])
def test_label_lies_inside_the_picture_wherever_its_box_is(x, y):
    anchor = Rect(x, y, x + 30, y + 30).clipped(200, 120)
    label = place_label((70, 20), anchor, (200, 120), [], [anchor], 4)
    assert 0 <= label.left and label.right <= 200 and 0 <= label.top and label.bottom <= 120


def test_label_flips_inside_when_its_box_touches_the_top():
    box = Rect(20, 0, 160, 100)
    label = place_label((60, 16), box, (200, 120), [], [box], 4)
    assert box.left < label.left and box.top < label.top and label.bottom < box.bottom


def test_labels_of_boxes_at_one_place_are_stacked_without_covering_each_other():
    box, placed = Rect(60, 50, 100, 90), []
    for _ in range(6):
        placed.append(place_label((50, 14), box, (200, 160), placed, [box], 3))
    assert all(a.shared_area(b) == 0 for a, b in itertools.combinations(placed, 2))


def test_label_larger_than_the_picture_has_no_place():
    assert place_label((50, 10), Rect(0, 0, 5, 5), (40, 40), [], [], 2) is None


def test_dashes_follow_the_four_sides_and_leave_gaps():
    canvas = np.zeros((40, 60), dtype=bool)
    for left, top, right, bottom in dashes(Rect(5, 6, 50, 30), 4, 2):
        canvas[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = True
    assert canvas[6, 5] and not canvas[8:29, 7:49].any()
    assert 0.4 < canvas[6, 5:51].mean() < 0.7 and 0.4 < canvas[6:31, 5].mean() < 0.7
    assert not canvas[:6].any() and not canvas[31:].any() and not canvas[:, 51:].any()


def test_link_runs_from_edge_to_edge_and_is_absent_between_overlapping_boxes():
    assert link(Rect(0, 0, 10, 10), Rect(30, 0, 50, 10)) == ((10, 5), (30, 5))
    assert link(Rect(0, 0, 10, 10), Rect(5, 5, 20, 20)) is None
    assert link(Rect(0, 0, 10, 10), Rect(0, 0, 10, 10)) is None


def test_filled_shapes_stay_within_their_rectangle():
    image = Image.new("RGB", (40, 30), (255, 255, 255))
    fill_rounded(image, Rect(5, 5, 20, 15), (0, 0, 0), radius=4)
    pixels = np.array(image)[..., 0]
    assert pixels[10, 5] == 0 and pixels[10, 19] == 0 and pixels[5, 5] > 100, "round corners, full sides"
    outside = np.ones_like(pixels, dtype=bool)
    outside[5:15, 5:20] = False
    assert (pixels[outside] == 255).all()


def test_area_below_a_curve_is_filled_up_to_the_curve():
    image = Image.new("RGB", (40, 30), (255, 255, 255))
    fill_below(image, np.array([[5.0, 10.0], [30.0, 10.0]]), 25, fill=(0, 200, 0), line=(0, 0, 0))
    pixels = np.array(image)
    assert tuple(pixels[20, 15]) == (0, 200, 0)
    assert (pixels[:8] == 255).all() and (pixels[27:] == 255).all() and (pixels[:, 33:] == 255).all()


def test_contrast_and_mix_agree_with_known_values():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21.0)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    assert mix((0, 100, 200), (255, 255, 255), 0.0) == (0, 100, 200)
    assert mix((0, 100, 200), (200, 100, 0), 0.5) == (100, 100, 100)
