"""Synthetic videos: what is said about them must be true of what is rendered."""

import json
import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from dataset_script.sources.semtrack import read_semtrack
from dataset_script.synthetic import (
    INTERACTION_WEIGHTS,
    INTERACTIONS,
    SyntheticConfig,
    build_scene,
    generate_video,
    synthesize,
)
from dataset_script.synthetic_scene import LEAST_VISIBLE, Look, Scene
from dataset_script.synthetic_sprites import CATEGORIES, PhotoLibrary, Sprite, make_sprite
from dataset_script.synthetic_stage import FORESHORTENING, Entity, Stage
from modeling_semtrack.video import VideoReader

SMALL = {"width": 96, "height": 72, "seconds": (0.8, 1.0)}
PLAIN = Look("static", 0.0, (1.0, 1.0), (1.0, 0.0), (0.0, 0.1), 0.0, 0.0, False)


class Played:
    """One finished event with the positions of its two entities on the stage."""

    def __init__(self, scene, event):
        entities = {e.track_id: e for e in scene.stage.entities}
        self.stage, self.event = scene.stage, event
        self.subject, self.object = entities[event.subject], entities[event.object]
        before = max(0, event.start_frame - 1)
        self.s, self.o = (
            np.array([(p.x, p.y, p.lift) for p in e.poses[before : event.end_frame]])
            for e in (self.subject, self.object)
        )
        gap = (self.s - self.o)[:, :2] / (1.0, FORESHORTENING)
        self.distance = np.hypot(*gap.T)
        self.angle = np.unwrap(np.arctan2(gap[:, 1], gap[:, 0]))
        self.contact = scene.stage.contact(self.subject, self.object)

    def path(self, track):
        return np.hypot(*np.diff(track[:, :2], axis=0).T).sum()


def distance_to_path(point, path):
    """Distance in pixels of a ground position from a polyline ``[n, 3]``."""
    a, b = path[:-1, :2], path[1:, :2]
    length = np.maximum(((b - a) ** 2).sum(1), 1e-9)
    share = np.clip(((point[:2] - a) * (b - a)).sum(1) / length, 0, 1)
    return np.hypot(*(a + share[:, None] * (b - a) - point[:2]).T).min()


@pytest.fixture(scope="module")
def played():
    """Per interaction: the finished events of that kind in a few videos made of it."""
    result = {}
    for interaction in INTERACTIONS:
        config = SyntheticConfig(interaction_weights={interaction: 1.0})
        events = []
        for seed in range(6):
            scene, _ = build_scene(config, seed)
            last = len(scene.camera)
            events += [
                Played(scene, e) for e in scene.stage.events if e.interaction == interaction and e.end_frame < last
            ]
        result[interaction] = events
    return result


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_every_interaction_occurs(played, interaction):
    assert len(played[interaction]) >= 3


def test_approaching_shrinks_the_distance_to_an_object_that_stays(played):
    for p in played["approach"]:
        assert p.distance[-1] < p.distance[0] and p.path(p.o) < 2
        assert (np.diff(p.distance) < 0.3).mean() > 0.9


def test_moving_away_grows_the_distance_to_an_object_that_stays(played):
    for p in played["move away"]:
        assert p.distance[-1] > p.distance[0] + 20 and p.path(p.o) < 2
        assert (np.diff(p.distance) > -0.3).mean() > 0.9


def test_following_keeps_the_distance_to_an_object_that_walks_ahead(played):
    for p in played["follow"]:
        late = p.distance[len(p.distance) // 2 :]
        assert p.path(p.o) > 15 and late.max() < 1.4 * late.min()
        trail = np.vstack([p.s[0], p.o])
        for step in range(len(p.s) // 2, len(p.s)):
            assert distance_to_path(p.s[step], trail[: step + 1]) < 3, "it walks where the object walked"


def test_chasing_closes_in_faster_than_the_object_runs(played):
    for p in played["chase"]:
        assert p.path(p.s) > p.path(p.o) > 40 and p.distance[-1] < 0.85 * p.distance[0]


def test_a_chase_is_faster_than_following(played):
    speed = {
        name: np.median([p.path(p.o) / len(p.o) / p.subject.speed for p in played[name]])
        for name in ("follow", "chase")
    }
    assert speed["chase"] > 1.5 * speed["follow"]


@pytest.mark.parametrize("interaction, sign", [("push", 1), ("pull", -1)])
def test_pushing_and_pulling_move_both_in_contact_in_one_direction(played, interaction, sign):
    """Pushing goes from the subject to the object, pulling the other way."""
    for p in played[interaction]:
        moved_s, moved_o = p.s[-1] - p.s[0], p.o[-1] - p.o[0]
        assert np.abs(moved_s - moved_o).max() < 1 and abs(moved_o[0]) > 5
        assert np.sign(moved_o[0]) == sign * np.sign(p.o[0, 0] - p.s[0, 0])
        assert p.distance.max() < 1.3 * p.contact + 5


def test_a_carried_object_stays_attached_to_a_walking_subject(played):
    for p in played["carry"]:
        offset = p.o[1:] - p.s[1:]
        assert p.path(p.s) > 15 and p.o[:, 2].min() > 0.15 * p.subject.sprite.height
        assert np.abs(offset[:, 0]).max() < p.stage.half_width(p.subject) + p.object.sprite.width


def test_picking_up_lifts_the_object_beside_a_standing_subject(played):
    for p in played["pick up"]:
        assert p.path(p.s) < 1 and p.o[0, 2] < 2 and p.o[-1, 2] > 0.15 * p.subject.sprite.height
        assert 0.39 <= (p.event.end_frame - p.event.start_frame) * p.stage.dt <= 0.81


def test_dropping_lets_the_object_fall_to_the_ground(played):
    for p in played["drop"]:
        assert p.path(p.s) < 1 and p.o[0, 2] > 5 and p.o[-1, 2] == 0
        assert np.diff(p.o[:, 2])[0] < 0 and abs(p.o[-1, 0] - p.o[0, 0]) < 15


def test_a_thrown_object_rises_and_lands_far_from_a_standing_subject(played):
    for p in played["throw"]:
        assert p.path(p.s) < 1 and p.o[:, 2].max() > p.o[0, 2] and p.o[-1, 2] == 0
        assert abs(p.o[-1, 0] - p.o[0, 0]) > 35


def test_a_hit_has_contact_and_sends_the_object_away_from_the_subject(played):
    for p in played["hit"]:
        assert p.distance.min() < p.contact and len(p.s) * p.stage.dt < 0.9
        assert (p.o[-1, 0] - p.o[0, 0]) * (p.o[0, 0] - p.s[0, 0]) > 0 and abs(p.o[-1, 0] - p.o[0, 0]) > 12


def test_circling_turns_around_an_object_that_stays(played):
    for p in played["circle"]:
        assert abs(p.angle[-1] - p.angle[0]) > math.radians(200) and p.path(p.o) < 2


def test_who_hides_behind_a_wall_disappears_behind_it(played):
    """The one interaction of which the camera sees the subject only at first."""
    hidden = 0
    for seed in range(6):
        record, _ = generate_video(SyntheticConfig(interaction_weights={"hide behind": 1.0}), seed)
        for event in record.interactions:
            if event.interaction == "hide behind" and event.end_frame < record.num_frames:
                subject, wall = record.target(event.subject), record.target(event.object)
                assert wall.category == "wall" and event.end_frame - 1 not in subject.boxes
                hidden += event.end_frame - 1 in wall.boxes
    assert hidden >= 3


def test_interactions_have_a_long_tail():
    config = SyntheticConfig(**{**SMALL, "seconds": (3.0, 5.0)})
    counts = Counter(e.interaction for seed in range(150) for e in build_scene(config, seed)[0].stage.events)
    order = list(INTERACTION_WEIGHTS)
    head, tail = (sum(counts[name] for name in names) for names in (order[:4], order[-3:]))
    assert counts.most_common(1)[0][0] == "approach" and head > 5 * tail > 0
    assert not set(counts) - set(INTERACTIONS)


def test_there_is_time_without_interaction_and_with_an_object_out_of_hand():
    idle = total = 0
    for seed in range(12):
        record, _ = generate_video(SyntheticConfig(**SMALL), seed)
        main = next(t.track_id for t in record.targets if t.main)
        busy = {f for e in record.interactions if e.subject == main for f in range(e.start_frame, e.end_frame)}
        idle, total = idle + record.num_frames - len(busy), total + record.num_frames
    assert 0.1 * total < idle < 0.9 * total


def test_the_same_seed_gives_the_same_video():
    config = SyntheticConfig(**SMALL)
    (record, frames), (again, frames_again) = generate_video(config, 3), generate_video(config, 3)
    assert record == again
    assert all(np.array_equal(a, b) for a, b in zip(frames, frames_again, strict=True))
    other, _ = generate_video(config, 4)
    assert other.targets != record.targets


def test_frames_and_boxes_fit_the_record():
    for seed in range(5):
        record, frames = generate_video(SyntheticConfig(**SMALL), seed)
        shapes = {(frame.shape, frame.dtype) for frame in frames}
        assert shapes == {((72, 96, 3), np.dtype(np.uint8))}
        assert sum(target.main for target in record.targets) == 1
        assert {t.category for t in record.targets} <= set(CATEGORIES)
        for target in record.targets:
            for x, y, w, h in target.boxes.values():
                assert 0 <= x < x + w <= 96 and 0 <= y < y + h <= 72


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


def peak_memory(seconds):
    """Bytes at the peak of making one video and taking its frames."""
    tracemalloc.start()
    _, frames = generate_video(SyntheticConfig(width=160, height=120, seconds=(seconds, seconds)), 0)
    for _ in frames:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_frames_are_rendered_one_at_a_time():
    """A video of 75 frames more takes no more memory than a few frames more."""
    peak_memory(0.2)  # photos and modules are loaded
    assert peak_memory(4.0) - peak_memory(1.0) < 20 * 160 * 120 * 3


def test_a_written_data_set_reads_back_equal(tmp_path):
    config, seen = SyntheticConfig(**SMALL, validation_share=0.34), []
    path = synthesize(tmp_path / "out", 3, 7, config, progress=lambda *done: seen.append(done))
    records = read_semtrack(path)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(r.metadata["split"] for r in records) == ["train", "train", "validation"]
    for seed, record in zip((7, 8, 9), records, strict=True):
        expected, frames = generate_video(config, seed)
        expected.metadata["split"] = record.metadata["split"]
        assert record == expected
        with VideoReader(tmp_path / "out" / record.file_name) as reader:
            decoded = list(reader)
        rendered = list(frames)
        assert len(decoded) == record.num_frames == len(rendered)
        assert np.abs(decoded[0].image.astype(int) - rendered[0]).mean() < 12
        assert decoded[5].time == pytest.approx(5 / config.fps, abs=1e-3)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "annotations.json", *(f"synthetic_00000{seed}.mp4" for seed in (7, 8, 9))
    ]  # fmt: skip
    names = json.loads(path.read_text())
    assert tuple(row["name"] for row in names["interactions"]) == INTERACTIONS


def test_a_data_set_is_not_written_over(tmp_path):
    (tmp_path / "annotations.json").write_text("mine")
    with pytest.raises(FileExistsError, match="already holds annotations.json"):
        synthesize(tmp_path, 1, 0, SyntheticConfig(**SMALL))
    assert (tmp_path / "annotations.json").read_text() == "mine" and not (tmp_path / "videos").exists()


def test_sprites_can_be_cut_out_of_photos(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    Image.new("RGB", (60, 50), (200, 30, 30)).save(images / "red.jpg")
    mask = np.zeros((50, 60), np.uint8)
    mask[10:40, 20:50] = 1
    Image.fromarray(mask).save(masks / "red.png")
    photos = PhotoLibrary(images, masks)
    sprite = make_sprite("thing", 24, photos, np.random.default_rng(0))
    assert (sprite.width, sprite.height) == (24, 24) and sprite.areas[0] == 24 * 24
    record, _ = generate_video(SyntheticConfig(**SMALL, images=images, cutouts=masks, cutout_share=1.0), 0)
    assert {target.category for target in record.targets} <= {"thing", "wall"}


def test_folders_without_photos_or_fitting_masks_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of photos at"):
        PhotoLibrary(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="no photos"):
        PhotoLibrary(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="belongs to one of the 1 photos"):
        PhotoLibrary(tmp_path, tmp_path / "missing")


@pytest.mark.parametrize(
    "field, value",
    [
        ("width", 33),
        ("height", 10),
        ("fps", 0),
        ("seconds", (4, 3)),
        ("cutouts", "masks"),
        ("cutout_share", 2),
        ("validation_share", -1),
        ("interaction_weights", {"dance": 1.0}),
        ("interaction_weights", {"push": 0.0}),
    ],
)
def test_an_impossible_configuration_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        SyntheticConfig(**{field: value})
