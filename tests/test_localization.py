"""The best box of a view, what a click means, and the smoothing of sizes."""

import numpy as np
import pytest
import torch
from colour_model import GRID, RED, ColourModel
from tiny_models import noise_frame, square_frame, tiny_model, tiny_processor

from modeling_semtrack.layers_semtrack import grid_centers
from modeling_semtrack.localization import box_of_click, locate, smooth_size, with_mirror_image
from modeling_semtrack.modeling_semtrack import SemTrackTrack
from modeling_semtrack.processing_semtrack import Window

IMAGES = tiny_processor().image_processor


def a_track(scores, grid=(8, 8), presence=1.0):
    """One view whose cells propose boxes of a quarter of the view, centred on themselves.

    Args:
        scores: {(row, column): centre score}; all others are 0.1.
    """
    probability = torch.full((1, *grid), 0.1)
    for (row, column), score in scores.items():
        probability[0, row, column] = score
    centers = grid_centers(*grid, probability.device).T.unflatten(-1, grid)
    boxes = torch.cat([centers, torch.full_like(centers, 0.25)])[None]
    tokens = torch.zeros(1, grid[0] * grid[1], 4)
    return SemTrackTrack(probability.logit(), boxes, torch.tensor([presence]), torch.zeros(1, 4), tokens, tokens, grid)


def and_mirror_image(track):
    """A batch of the view and what the same things would look like in its mirror image."""
    x, *others = track.box_map[0].flip(-1)
    track.box_map = torch.stack([track.box_map[0], torch.stack([1 - x, *others])])
    track.score_logits = torch.cat([track.score_logits, track.score_logits.flip(-1)])
    return track


def test_the_best_cell_gives_the_box_in_pixels_of_the_frame():
    window = Window(100.0, 50.0, 80.0)  # from (60, 10); a cell has 10 pixels
    (candidate,) = locate(a_track({(2, 5): 0.9}, presence=2.0), [window], window_influence=0.4)
    assert candidate.box == pytest.approx((60 + 55 - 10, 10 + 25 - 10, 20, 20))
    assert candidate.score == pytest.approx(0.9)
    assert candidate.presence == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_grids_need_not_be_square():
    (candidate,) = locate(a_track({(1, 6): 0.9}, grid=(2, 8)), [Window(40.0, 40.0, 80.0)], 0.4)
    assert candidate.box == pytest.approx((65 - 10, 60 - 10, 20, 20))


def test_far_places_are_mistrusted_as_much_as_asked():
    track, windows = a_track({(0, 0): 0.9, (4, 4): 0.7}), [Window(40.0, 40.0, 80.0)]
    near, far = (45 - 10, 45 - 10, 20, 20), (5 - 10, 5 - 10, 20, 20)
    assert locate(track, windows, window_influence=0.0)[0].box == pytest.approx(far)
    assert locate(track, windows, window_influence=0.4)[0].box == pytest.approx(near)
    assert locate(track, windows, window_influence=0.4)[0].score == pytest.approx(0.7)  # not the weighted one


def test_a_far_place_still_wins_where_nothing_is_near():
    (candidate,) = locate(a_track({(0, 0): 0.9}), [Window(40.0, 40.0, 80.0)], window_influence=0.4)
    assert candidate.score == pytest.approx(0.9)


def test_every_view_has_its_own_window():
    model, frame = ColourModel(), square_frame({(20, 30, 12): RED})
    windows = [Window(26.0, 36.0, 48.0), Window(30.0, 30.0, 60.0)]
    features, grid = model.embed(IMAGES.normalize([IMAGES.crop(frame, window, 64) for window in windows]))
    red = IMAGES.normalize([np.full((1, 1, 3), RED, np.uint8)]).reshape(1, 1, 3)
    for candidate in locate(model.track(features, grid, red.expand(2, 1, 3)), windows, window_influence=0.4):
        assert candidate.box == pytest.approx((20, 30, 12, 12), abs=0.5)


# Clicks


@pytest.mark.parametrize("side", [5, 12, 30])
def test_a_click_finds_what_it_lies_on(side):
    frame = square_frame({(70, 20, side): RED})
    box = box_of_click(ColourModel(), IMAGES, frame, (70 + side / 2, 20 + side / 2))
    assert box == pytest.approx((70, 20, side, side), abs=0.8)


@pytest.mark.parametrize(
    "side, frame, first_looks",
    [(34, (90, 120), 1), (12, (90, 120), 2), (12, (180, 240), 3), (12, (24, 30), 1), (4, (24, 30), 1)],
    ids=["large in the frame", "large in half of it", "small in a large frame", "large in a small one", "all is sharp"],
)
def test_a_click_is_looked_at_closer_while_that_shows_more_and_then_refined(side, frame, first_looks):
    model = ColourModel()
    x, y = frame[1] // 2 - side // 2, frame[0] // 2 - side // 2
    box_of_click(model, IMAGES, square_frame({(x, y, side): RED}, *frame), (x + side / 2, y + side / 2))
    assert model.tracked == [("scene", 2)] * first_looks + [("search", 2)] * 2  # each with its mirror image


def test_only_where_the_answer_is_large_in_its_window_the_first_look_counts_as_much_as_the_refinements():
    class Shrinking(ColourModel):
        """The first look sees the whole thing, the refinements half of it."""

        def track(self, *args, view="search", **kwargs):
            track = super().track(*args, view=view, **kwargs)
            if view == "search":
                track.box_map = track.box_map * torch.tensor([1, 1, 0.5, 0.5])[:, None, None]
            return track

    for side, expected in ((36, (36 + 18 + 18) / 3), (12, 6)):
        frame = square_frame({(60 - side // 2, 45 - side // 2, side): RED})
        _, _, width, height = box_of_click(Shrinking(), IMAGES, frame, (60, 45))
        assert (width, height) == pytest.approx((expected, expected), rel=0.08)


def test_a_view_and_its_mirror_image_count_the_same():
    """Where both say the same that is the answer, and where they differ the mean of both is."""
    track = a_track({(2, 5): 0.9})
    both = and_mirror_image(a_track({(2, 5): 0.9}))
    scores, boxes = with_mirror_image(both)
    torch.testing.assert_close(scores, track.score_logits.sigmoid().flatten())
    torch.testing.assert_close(boxes, track.box_map[0].flatten(1))
    both.score_logits[1, 2, 2] = torch.tensor(0.5).logit()  # cell (2, 5) of the view
    both.box_map[1, :, 2, 2] += torch.tensor([0.1, 0.1, 0.2, 0.0])  # to the right in the mirror image
    scores, boxes = with_mirror_image(both)
    assert float(scores[2 * 8 + 5]) == pytest.approx(0.7)
    expected = track.box_map[0, :, 2, 5] + torch.tensor([-0.05, 0.05, 0.1, 0.0])
    torch.testing.assert_close(boxes[:, 2 * 8 + 5], expected)


@torch.no_grad()
def test_a_clicked_box_lies_in_the_frame():
    frame = noise_frame()
    model = tiny_model()
    for point in ((0, 0), (119, 0), (60, 89), (119.5, 89.5)):
        x, y, w, h = box_of_click(model, IMAGES, frame, point)
        assert x >= 0 and y >= 0 and x + w <= 120 and y + h <= 90 and w > 0 and h > 0


def test_boxes_that_hold_the_click_come_first():
    """Another cell is more certain, but its box does not hold the click."""

    class TwoThings(ColourModel):
        def track(self, view_features, grid, point_embeds=None, view="search"):
            self.clicks.append(point_embeds[0, 0, :2])
            track = a_track({(1, 1): 0.9, (12, 12): 0.3}, GRID)
            track.box_map = track.box_map.clone()
            track.box_map[:, 2:] = 0.1
            if len(self.clicks) == 1:
                track.box_map[0, :2, 12, 12] = self.clicks[0]
            return and_mirror_image(track)

    model = TwoThings()
    model.clicks = []
    best = box_of_click(model, IMAGES, noise_frame(), (80, 60))
    first = model.clicks[0]
    assert first.tolist() == pytest.approx([80 / 120, (60 + 15) / 120])
    # The first answer was the box around the click, so the click is in the middle of the second look.
    assert model.clicks[1].tolist() == pytest.approx([0.5, 0.5])
    assert best is not None


# Sizes


def test_the_centre_moves_at_once_and_the_size_slowly():
    assert smooth_size((10, 10, 20, 40), (50, 60, 40, 20), rate=0.25) == (50 + 20 - 12.5, 60 + 10 - 17.5, 25, 35)


@pytest.mark.parametrize("rate, expected", [(0.0, (60, 50, 20, 40)), (1.0, (50, 60, 40, 20))])
def test_a_rate_of_one_takes_the_proposed_size(rate, expected):
    assert smooth_size((10, 10, 20, 40), (50, 60, 40, 20), rate) == expected
