"""Motion around a target: the flow is right, the cells go with the target, and nothing unknown moves."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from modeling_semtrack.motion_semtrack import (
    KINDS,
    LONGEST_GAP,
    LOOK,
    MOTION_SECONDS,
    Recent,
    look_at,
    motion_around,
    optical_flow,
)
from modeling_semtrack.processing_semtrack import SemTrackImageProcessor, Window, box_to_view, window_to_view
from modeling_semtrack.surroundings_semtrack import COLUMNS, ROWS

RIGHT, DOWN, LEFT, UP, CHANGE, FASTEST = range(KINDS)
SCENE = Window(160.0, 160.0, 320.0)
BOX = (120.0, 130.0, 30.0, 60.0)  # xywh pixels: a longer side of 60


def texture(rows, columns, seed=0, grain=20):
    """A smooth random picture [1, 1, rows, columns] from -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, rows // grain + 3, columns // grain + 3, generator=generator)
    smooth = functional.interpolate(coarse, scale_factor=grain, mode="bicubic", align_corners=False)
    return 2 * smooth[..., grain : grain + rows, grain : grain + columns].clamp(0, 1) - 1


def frame_of(picture):
    """[1, 1, rows, columns] -> uint8 RGB."""
    grey = ((picture[0, 0] + 1) * 127.5).byte().numpy()
    return np.stack([grey] * 3, axis=-1)


def motion_between(earlier, now, seconds=0.1, box=BOX, window=None, size=256):
    """[ROWS, COLUMNS, KINDS] of two frames, as they were before root and tanh: longer sides of the target a second."""
    images = SemTrackImageProcessor(view_size=size)
    window = window or Window(box[0] + box[2] / 2, box[1] + box[3] / 2, 4 * math.sqrt(box[2] * box[3]))
    window = window.aligned(size)
    pixels = images.normalize([images.crop(frame, window, size) for frame in (now, earlier)])[:, None, None]
    places = (torch.tensor([[place]]) for place in (window_to_view(window, SCENE), box_to_view(box, SCENE)))
    place, target = places
    found = motion_around(*pixels, place, torch.tensor([[seconds]]), target)
    return found[0, 0].unflatten(0, (ROWS, COLUMNS, KINDS)).atanh().square()


# Flow


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (-5, 4), (0.5, 0.25)])
def test_the_flow_of_a_shifted_picture_is_the_shift(shift):
    """To a tenth of a pixel, and subpixels; the edges, where pixels have no counterpart, are left out."""
    rows, columns = LOOK
    fine = texture(4 * (rows + 32), 4 * (columns + 32), grain=40)

    def seen(x, y):
        part = fine[..., 64 - int(4 * y) :, 64 - int(4 * x) :][..., : 4 * rows, : 4 * columns]
        return functional.avg_pool2d(part, 4)

    flow = optical_flow(seen(0, 0), seen(*shift))[0, :, 10:-10, 10:-10]
    torch.testing.assert_close(flow.mean((1, 2)), torch.tensor(shift, dtype=torch.float32), atol=0.1, rtol=0)


def test_a_still_picture_does_not_move():
    picture = texture(*LOOK)
    assert optical_flow(picture, picture).abs().max() < 1e-3


# Cells


def test_what_moves_shows_in_its_cell_its_direction_and_its_speed():
    """A patch to the right of the target moves up by 6 pixels, a tenth of the longer side, in 0.1 seconds."""
    earlier = texture(320, 320)
    now = earlier.clone()
    now[..., 150:170, 161:181] = earlier[..., 156:176, 161:181]  # 26 to 46 pixels right of the centre (135, 160)
    motion = motion_between(frame_of(earlier), frame_of(now))
    fastest = motion[..., UP].argmax()
    assert divmod(int(fastest), COLUMNS)[1] == 4  # columns are 24 pixels wide: the fifth is 24 to 48 pixels right
    share = 20 / 24 * 10 / 18  # of the cell that the patch covers
    torch.testing.assert_close(motion[1:3, 4, UP], torch.full((2,), share), atol=0.1, rtol=0)
    torch.testing.assert_close(motion[1:3, 4, FASTEST], torch.ones(2), atol=0.15, rtol=0)
    assert motion[:, :3].max() < 0.05 and motion[1:3, 4, DOWN].max() < 0.05


def test_a_camera_that_moves_is_not_motion():
    """The motion that most of the view shares is taken off; the edges, where nothing can be known, are not judged."""
    picture = texture(330, 330)
    motion = motion_between(frame_of(picture[..., :320, :320]), frame_of(picture[..., 4:324, 3:323]))
    assert motion[1:-1, 1:-1, [RIGHT, LEFT, DOWN, UP]].max() < 0.05


def test_speeds_are_counted_in_sizes_of_the_target_per_second():
    """The same movement at twice the size and in twice the time."""
    earlier, now = texture(320, 320), None
    now = earlier.clone()
    now[..., 150:170, 160:190] = earlier[..., 150:170, 156:186]
    near = [functional.interpolate(f, scale_factor=2, mode="bilinear")[..., 160:480, 110:430] for f in (earlier, now)]
    box = tuple(2 * side - shift for side, shift in zip(BOX, (110, 160, 0, 0)))
    here = motion_between(frame_of(earlier), frame_of(now), seconds=0.1)
    there = motion_between(*map(frame_of, near), seconds=0.1, box=box)
    torch.testing.assert_close(here, there, atol=0.1, rtol=0.2)
    slower = motion_between(frame_of(earlier), frame_of(now), seconds=0.2)
    torch.testing.assert_close(here[..., :4], 2 * slower[..., :4], atol=1e-4, rtol=1e-4)


def test_motion_does_not_depend_on_where_the_view_was_cut():
    earlier = texture(320, 320)
    now = earlier.clone()
    now[..., 150:170, 161:181] = earlier[..., 156:176, 161:181]
    frames = frame_of(earlier), frame_of(now)
    elsewhere = motion_between(*frames, window=Window(128.0, 165.0, 190.0))
    torch.testing.assert_close(elsewhere, motion_between(*frames), atol=0.08, rtol=0.1)


def test_the_mirrored_video_has_the_mirrored_motion():
    earlier = texture(320, 320)
    now = earlier.clone()
    now[..., 140:180, 165:200] = earlier[..., 142:182, 160:195]
    box = (320 - BOX[0] - BOX[2], *BOX[1:])
    motion = motion_between(frame_of(earlier), frame_of(now))
    mirrored = motion_between(frame_of(earlier.flip(-1)), frame_of(now.flip(-1)), box=box)
    expected = motion.flip(1)[..., [LEFT, DOWN, RIGHT, UP, CHANGE, FASTEST]]
    torch.testing.assert_close(mirrored, expected, atol=0.03, rtol=0.05)


def test_motion_is_between_0_and_1_however_fast():
    """And it saturates: two pictures that have nothing in common move as fast as can be told."""
    torch.manual_seed(0)
    views = torch.randn(2, 1, 1, 3, 64, 64)
    place = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    for seconds in (0.2, 0.01):
        motion = motion_around(*views, place, torch.tensor([[seconds]]), place)
        assert motion.min() >= 0 and motion.max() <= 1
    assert motion.max() > 0.99


def test_without_an_earlier_view_nothing_moves():
    earlier, now = (frame_of(texture(320, 320, seed)) for seed in (0, 1))
    assert not motion_between(earlier, now, seconds=0.0).any()


def test_each_view_is_looked_at_alone():
    torch.manual_seed(0)
    views = torch.randn(2, 2, 3, 3, 64, 64)
    windows, boxes = torch.rand(2, 2, 3, 4) * 0.1 + 0.4
    inputs = (*views, windows, torch.rand(2, 3) / 10 + 0.03, boxes)
    one = (slice(1, 2), slice(2, 3))
    torch.testing.assert_close(motion_around(*(t[one] for t in inputs)), motion_around(*inputs)[one])


def test_mixed_precision_sees_the_same_motion():
    torch.manual_seed(0)
    place = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    inputs = (*torch.randn(2, 1, 1, 3, 64, 64), place, torch.tensor([[0.07]]), place)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = motion_around(*inputs)
    torch.testing.assert_close(mixed, motion_around(*inputs))


def test_a_look_at_the_edge_of_a_view_goes_on_with_its_edge():
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[..., 16:] = 1.0
    look = look_at(pixels, torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.6, 0.5, 0.1, 0.1]]))
    assert look.shape == (1, 1, *LOOK)
    assert look[..., LOOK[1] // 2 :].min() > 0.99 and look[..., 0].max() < 0.01


# What was seen before


def test_the_earlier_view_is_the_one_nearest_to_the_wanted_time():
    for rate, gap in ((30, 2), (60, 4), (24, 2), (10, 1), (5, 1)):
        recent = Recent()
        for index in range(20):
            recent.add(index / rate, index)
        time, index = recent.earlier(19 / rate)
        assert index == 19 - gap and time == index / rate, rate


def test_views_that_are_too_old_are_of_no_use_and_few_are_kept():
    recent = Recent()
    assert recent.earlier(0.0) is None
    recent.add(0.0, "first")
    assert recent.earlier(0.0) is None  # no time has passed
    assert recent.earlier(LONGEST_GAP) == (0.0, "first") and recent.earlier(LONGEST_GAP + 0.01) is None
    for index in range(1, 1000):
        recent.add(index / 100, index)
    assert len(recent._items) <= 100 * MOTION_SECONDS + 3
    recent.clear()
    assert recent.earlier(10.0) is None
