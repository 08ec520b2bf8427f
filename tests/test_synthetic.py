"""Synthetic videos and data sets of them."""

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dataset_script.sources.semtrack import read_semtrack
from dataset_script.synthetic import SyntheticConfig, build_scene, generate_video, synthesize
from dataset_script.synthetic_law import INTERACTIONS, depends_on_scene
from dataset_script.synthetic_photos import PhotoLibrary
from dataset_script.synthetic_places import PLACES
from dataset_script.synthetic_props import CATEGORIES, make_sprite
from modeling_semtrack.video import VideoReader

SMALL = {"width": 96, "height": 72, "seconds": (0.8, 1.0)}


def test_there_is_time_without_interaction():
    idle = total = 0
    for seed in range(10):
        stage = build_scene(SyntheticConfig(seconds=(3, 4)), seed)[0].stage
        busy = {f for e in stage.events if e.subject == 1 for f in range(e.start_frame, e.end_frame)}
        idle, total = idle + stage.frame - len(busy), total + stage.frame
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


def test_the_metadata_tell_the_scene_and_what_depends_on_it():
    flagged = 0
    for seed in range(12):
        record, _ = generate_video(SyntheticConfig(width=160, height=120, seconds=(3, 3), zipf_exponent=0.0), seed)
        assert record.metadata["scene"] in PLACES and set(record.metadata["episodes"]) <= set(INTERACTIONS)
        for index, event in enumerate(record.interactions):
            category = None if event.object is None else record.target(event.object).category
            expected = depends_on_scene(event.interaction, category)
            assert (index in record.metadata["scene_dependent"]) == expected
            flagged += expected
    assert flagged >= 2


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


def test_the_files_do_not_depend_on_when_and_by_how_many_processes_they_are_made(tmp_path):
    digests = []
    for name, workers in (("one", 1), ("two", 2)):
        synthesize(tmp_path / name, 2, 3, SyntheticConfig(**SMALL), workers=workers)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        digests.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    assert digests[0] == digests[1] and len(digests[0]) == 3


def test_sprites_can_be_cut_out_of_photos(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    Image.new("RGB", (60, 50), (200, 30, 30)).save(images / "red.jpg")
    mask = np.zeros((50, 60), np.uint8)
    mask[10:40, 20:50] = 1
    Image.fromarray(mask).save(masks / "red.png")
    photos = PhotoLibrary(images, masks)
    sprite = make_sprite("thing", 24, photos, np.random.default_rng(0))
    assert (sprite.width, sprite.height) == (24, 24) and sprite.picture(0).area == 24 * 24
    config = SyntheticConfig(**SMALL, images=images, cutouts=masks, cutout_share=1.0, composite_share=0.0,
                             interaction_weights={"carry": 1.0, "chase": 1.0})  # fmt: skip
    record, _ = generate_video(config, 0)
    first = next(target for target in record.targets if target.main)
    assert first.category == "thing"


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
        ("composite_share", 1.5),
        ("zipf_exponent", -0.1),
        ("interaction_weights", {"dance": 1.0}),
        ("interaction_weights", {"push": 0.0}),
        ("interaction_weights", {}),
    ],
)
def test_an_impossible_configuration_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        SyntheticConfig(**{field: value})
