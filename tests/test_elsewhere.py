"""Videos in another place: what is kept, what is replaced, and where the targets are then."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import tiny_model, tiny_processor
from training_files import a_record, box_of, write_annotated, write_photos

from dataset_script.elsewhere import FEATHER, ROOM, elsewhere, hand_path, scene_photos, soft_boxes
from dataset_script.records import TargetRecord
from dataset_script.semantic_data import read_videos
from modeling_semtrack.training_arguments import TrainArguments
from modeling_semtrack.training_stages import compute_clips

GREY = 200


@pytest.fixture
def video(tmp_path):
    """A target that moves to the right."""
    boxes = {index: (20.0 + index, 30.0, 24.0, 28.0) for index in range(12)}
    record = a_record("walk", 12, targets=[TargetRecord(1, "person", boxes, True)], interactions=[])
    return read_videos(write_annotated(tmp_path, record), tmp_path)[0]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (33, 21), (GREY,) * 3).save(path)
    return path


def test_from_a_tripod_the_targets_stay_as_they_are_and_the_rest_is_the_photo(video, photo):
    moved = elsewhere(video, photo)
    assert moved.record == video.record
    shown, true = list(moved.frames()), list(video.frames())
    assert [frame[:2] for frame in shown] == [frame[:2] for frame in true]
    for (index, _, image), (_, _, original) in zip(shown, true):
        inside = (slice(34, 54), slice(24 + index, 40 + index))
        assert (image[inside] == original[inside]).all()
        assert (image[:12] == GREY).all() and (image[:, 90:] == GREY).all()


def test_the_boxes_follow_what_an_unsteady_camera_sees(video, photo):
    """What differs from the photo lies, but for the soft edge, in the box of the record."""
    moved = elsewhere(video, photo, np.random.default_rng(3))
    corners = []
    for index, _, image in moved.frames():
        x, y, width, height = moved.record.targets[0].boxes[index]
        seen = np.array(box_of((image != GREY).any(-1)))
        assert image.shape == (video.record.height, video.record.width, 3)
        assert width == pytest.approx(24 / (1 - 2 * ROOM)) and height == pytest.approx(28 / (1 - 2 * ROOM))
        center, truth = seen[:2] + seen[2:] / 2, np.array([x + width / 2, y + height / 2])
        assert np.abs(center - truth).max() < 1.5
        corners.append(truth - [index / (1 - 2 * ROOM), 0])
    assert np.ptp(corners, axis=0).max() > 0.1, "the camera moved, and not only the target"
    assert video.record.targets[0].boxes[0] == (20.0, 30.0, 24.0, 28.0), "the record of the original is as it was"


def test_the_camera_never_sees_past_the_frame(video, photo):
    """Whatever the hand does, there is picture in all corners."""
    for seed in range(20):
        moved = elsewhere(video, photo, np.random.default_rng(seed))
        size = np.array([video.record.width, video.record.height])
        assert (moved.corners >= 0).all() and (moved.corners + moved.scale * size <= size + 1e-9).all()


def test_hands_differ_and_the_same_seed_is_the_same_hand():
    paths = [hand_path(300, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert paths[0].shape == (300, 2)
    assert (paths[0] == paths[1]).all() and not np.allclose(paths[0], paths[2])
    steadiness = [np.diff(hand_path(300, np.random.default_rng(seed)), axis=0).std() for seed in range(30)]
    assert max(steadiness) > 4 * min(steadiness)


def test_no_photo_is_used_both_to_train_and_to_measure(tmp_path):
    folder = write_photos(tmp_path / "photos", count=5)
    learned, kept = scene_photos(folder), scene_photos(folder, held_out=True)
    assert [path.stem for path in learned] == ["photo0", "photo2", "photo4"]
    assert [path.stem for path in kept] == ["photo1", "photo3"]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_photos_are_refused(tmp_path, count):
    with pytest.raises(ValueError, match=rf"photos' must hold two photos or more .*, found {count}"):
        scene_photos(write_photos(tmp_path / "photos", count=count))
    with pytest.raises(ValueError, match="missing' must hold two photos or more"):
        scene_photos(tmp_path / "missing")


def test_masks_are_white_inside_boxes_and_fade_outside():
    edge = np.asarray(soft_boxes([(20.0, 20.0, 20.0, 20.0)], (60, 60)))[30]
    assert (edge[20:40] >= 250).all() and 0 < edge[20 - FEATHER] < 255 and not edge[:4].any()


def test_every_third_pass_is_elsewhere_and_the_others_stay_as_they_are(tmp_path):
    """Features of other passes, and of videos whose boxes are known in some frames alone, do not depend on photos."""
    record = a_record("one")
    some = replace(record.targets[0], boxes={index: (4.0 + 2 * index, 20.0, 14.0, 24.0) for index in range(19)})
    sparse = a_record("two", targets=[some], interactions=[], annotated_frames=tuple(range(19)))
    videos = read_videos(write_annotated(tmp_path / "videos", record, sparse), tmp_path / "videos")
    photos = str(write_photos(tmp_path / "photos", count=4))
    model = tiny_model(id2interaction={0: "push", 1: "wave"}, id2object={0: "ball"})

    def passes(backdrops):
        args = TrainArguments(str(tmp_path), stage="semantic", mixed_precision="no", backdrops=backdrops)
        clips = compute_clips(args, model, tiny_processor(), videos, passes=3)
        return [[clip for clip in clips if clip.video == str(video.path)] for video in videos]

    for knows_all, plain, moved in zip((True, False), passes(None), passes(photos)):
        per_pass = len(plain) // 3
        assert per_pass and len(moved) == len(plain)
        same = [torch.equal(a.features["regions"], b.features["regions"]) for a, b in zip(plain, moved)]
        assert all(same[: 2 * per_pass])
        assert not any(same[2 * per_pass :]) if knows_all else all(same[2 * per_pass :])
