"""Rendering: boxes must be those of the pixels that are shown."""

import numpy as np
import pytest
from PIL import Image

from dataset_script.synthetic import SyntheticConfig, build_scene
from dataset_script.synthetic_scene import LEAST_VISIBLE, Look, Scene
from dataset_script.synthetic_sprites import Sprite
from dataset_script.synthetic_stage import Entity, Stage

PLAIN = Look("static", 0.0, (1.0, 1.0), (1.0, 0.0), (0.0, 0.1), 0.0, 0.0, False)


def plain_scene(entities, num_frames=1, camera=(100.0, 80.0, 1.0)):
    """White sprites without a photo on black, seen by a resting camera; the frame is 200 x 160."""
    stage = Stage(200, 160, 80, 25.0, np.random.default_rng(0))
    stage.entities = entities
    stage.run([], num_frames)
    return Scene(stage, Image.new("RGB", (8, 8)), np.array([camera] * num_frames), PLAIN, 200, 160, 0)


def white(width, height, track_id=1, ellipse=False, colour=255, **where):
    image = np.zeros((height + 4, width + 4, 4), np.uint8)
    image[..., :3] = colour
    image[2:-2, 2:-2, 3] = 255
    if ellipse:
        v, u = np.mgrid[: height + 4, : width + 4]
        inside = ((u - width / 2 - 1.5) / (width / 2)) ** 2 + ((v - height / 2 - 1.5) / (height / 2)) ** 2 <= 1
        image[..., 3] = 255 * inside
    return Entity(track_id, Sprite("box", [Image.fromarray(image)], width, height), **where)


@pytest.mark.parametrize("lean, zoom, x", [(0, 1.0, 90.3), (25, 1.0, 90), (-40, 1.37, 110.5), (10, 0.8, 3.0)])
def test_a_box_is_tight_around_the_pixels_of_the_sprite(lean, zoom, x):
    """Checked against the rendered picture: an ellipse, leaning, zoomed, cut by the frame."""
    scene = plain_scene([white(36, 61, ellipse=True, x=x, y=120.0, lean=lean)], camera=(100.0, 90.0, zoom))
    frame = next(iter(scene.frames()))[..., 0]
    rows, columns = np.flatnonzero((frame > 127).any(1)), np.flatnonzero((frame > 127).any(0))
    expected = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    assert scene.boxes()[1][0] == expected


def test_a_box_covers_what_is_occluded_until_too_little_is_seen():
    """Three quarters hidden: the full box. Nine tenths hidden: not visible. An occluder is no target."""
    full = plain_scene([white(40, 60, x=100.0, y=120.0)]).boxes()[1][0]
    for hidden, expected in ((0.75, {0: full}), (1 - LEAST_VISIBLE + 0.05, {})):
        panel = white(40, 140, None, colour=0, x=100.0 - (1 - hidden) * full[2], y=158.0, foreground=True)
        assert plain_scene([white(40, 60, x=100.0, y=120.0), panel]).boxes() == {1: expected}


def test_who_leaves_the_frame_has_no_box():
    boxes = plain_scene([white(40, 60, x=x, y=120.0, track_id=i) for i, x in enumerate((100, 10, -17, -50))]).boxes()
    assert boxes[0] and not boxes[2] and not boxes[3]
    assert boxes[1][0][0] == 0 and boxes[1][0][2] < boxes[0][0][2], "cut at the frame's edge"


def test_the_nearer_one_covers_the_farther_one():
    far, near = white(40, 60, 1, x=100.0, y=110.0), white(44, 70, 2, x=100.0, y=115.0)
    assert set(plain_scene([near, far]).boxes()[2]) == {0} and not plain_scene([near, far]).boxes()[1]


def test_the_boxes_of_a_video_are_those_of_its_silhouettes():
    """Persons with stretched limbs, leaning, moving: every box is the bounds of the mask in that frame."""
    config = SyntheticConfig(width=160, height=120, seconds=(2, 2), interaction_weights={"kick": 1.0})
    scene, _ = build_scene(config, 1)
    boxes = scene.boxes()
    for entity in (e for e in scene.stage.entities if e.track_id is not None):
        for frame, (x, y, w, h) in list(boxes[entity.track_id].items())[::5]:
            rows, columns = np.nonzero(scene.silhouette(entity, frame))
            assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_rain_falls_and_snow_falls_slower():
    """The streaks of one frame are found again further down in the next one."""
    shifts = {}
    for weather in ("rain", "snow"):
        stage = Stage(200, 160, 80, 25.0, np.random.default_rng(0))
        stage.run([], 2)
        look = Look("static", 0.0, (1.0, 1.0), (1.0, 0.0), (0.0, 0.1), 0.0, 0.0, False, weather)
        scene = Scene(stage, Image.new("RGB", (8, 8)), np.array([(100.0, 80.0, 1.0)] * 2), look, 200, 160, 0)
        first, second = (frame[..., 0].astype(float) for frame in scene.frames())
        assert 0.001 < (first > 40).mean() < 0.2
        scores = [(first[: 160 - k] * second[k:]).mean() for k in range(40)]
        shifts[weather] = int(np.argmax(scores))
    assert shifts["rain"] > 3 * shifts["snow"] > 0
