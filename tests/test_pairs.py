"""Frames of one target in threes: the boxes are true, the same thing is shown, the draws depend on the seed."""

import numpy as np
import pytest
from PIL import Image
from training_files import box_of, moving, red_box, red_frame, write_mask, write_photos, write_sequence

from dataset_script import pairs
from dataset_script.pairs import LARGEST_GAP, SMALLEST_SIDE, MixedSampler, PhotoSampler, SequenceSampler, clip_box
from dataset_script.sources.otb import BoxSequence, list_images

SAMPLES = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return write_photos(folder / "images", folder / "masks"), folder / "masks"


def triples(sampler, count=SAMPLES):
    return [sampler.sample(np.random.default_rng(seed)) for seed in range(count)]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.box == other.box
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


# Photos


def test_a_triple_depends_on_its_seed_alone(photos):
    """Whatever has been drawn or loaded before, and however often."""
    used, fresh = PhotoSampler(*photos), PhotoSampler(*photos)
    for seed in (5, 3, 5):
        used.sample(np.random.default_rng(99))
        assert_same(used.sample(np.random.default_rng(seed)), fresh.sample(np.random.default_rng(seed)))
    assert red_box(fresh.sample(np.random.default_rng(1))[0].image) is not None


def test_boxes_of_photos_are_tight_inside_the_frame_and_not_tiny(photos):
    boxes = 0
    for frame in sum(triples(PhotoSampler(*photos)), []):
        height, width = frame.image.shape[:2]
        assert frame.image.dtype == np.uint8 and (height, width) == (90, 120)
        if frame.box is None:
            assert frame.mask is None
            continue
        boxes += 1
        x, y, w, h = frame.box
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height and min(w, h) >= SMALLEST_SIDE
        assert frame.mask.shape == (height, width) and frame.box == box_of(frame.mask)
    assert boxes > 2 * SAMPLES


def test_the_first_two_frames_show_the_target_and_absence_is_rare(photos):
    drawn = triples(PhotoSampler(*photos))
    assert all(first.box and later.box for first, later, _ in drawn)
    assert 0 < sum(last.box is None for *_, last in drawn) < 0.3 * SAMPLES


def test_absent_sets_the_share_of_composites_without_the_target(photos):
    def seen(absent):
        return sum(last.box is not None for *_, last in triples(PhotoSampler(*photos, absent=absent)))

    assert seen(0.0) > 0.9 * SAMPLES
    assert 0.2 * SAMPLES < seen(1.0) < 0.6 * SAMPLES  # the rest: one photo under a moving camera


def test_a_triple_shows_the_same_thing_twice(photos):
    """The share of red pixels inside the mask: of the object nearly all, of any rectangle what it holds."""
    shares = []
    for first, later, _ in triples(PhotoSampler(*photos)):
        shares.append([(frame.image[frame.mask][:, 0] > 127).mean() for frame in (first, later)])
    shares = np.array(shares)
    assert (np.abs(shares[:, 0] - shares[:, 1]) < 0.2).mean() > 0.95
    assert (shares.min(1) > 0.9).mean() > 0.4 and np.ptp(shares) > 0.5


def test_photos_without_masks_serve_as_well(photos):
    for frame in sum(triples(PhotoSampler(photos[0]), 20), []):
        assert frame.box is None or frame.box == box_of(frame.mask)


def test_large_photos_are_scaled_down_with_their_masks(tmp_path):
    write_photos(tmp_path / "images", tmp_path / "masks", count=1, height=300, width=720)
    frames = sum(triples(PhotoSampler(tmp_path / "images", tmp_path / "masks"), 10), [])
    assert {frame.image.shape for frame in frames} == {(150, 360, 3)}
    masked = [frame for frame in frames if frame.mask is not None]
    assert {frame.mask.shape for frame in masked} == {(150, 360)}
    assert np.mean([(frame.image[frame.mask][:, 0] > 127).mean() > 0.9 for frame in masked]) > 0.4


def test_an_object_too_small_to_teach_is_passed_over(tmp_path):
    """A mask of 4 pixels must not end in a template without a box."""
    write_photos(tmp_path / "images", count=2)
    speck = np.zeros((90, 120), bool)
    speck[40:44, 50:54] = True
    write_mask(tmp_path / "masks" / "photo0.png", speck)
    for first, later, _ in triples(PhotoSampler(tmp_path / "images", tmp_path / "masks")):
        assert min(*first.box[2:], *later.box[2:]) >= SMALLEST_SIDE


def test_a_cutout_that_falls_out_of_the_first_frames_is_drawn_again(photos, monkeypatch):
    place, calls = pairs._random_place, []

    def outside_at_first(size, rng):
        calls.append(place(size, rng))
        return (-500.0, -500.0) if len(calls) <= 8 else calls[-1]

    monkeypatch.setattr(pairs, "_random_place", outside_at_first)
    for seed in range(10):
        calls.clear()
        first, later, _ = PhotoSampler(*photos).sample(np.random.default_rng(seed))
        assert first.box and later.box


def test_folders_without_photos_or_matching_masks_are_refused(tmp_path, photos):
    with pytest.raises(ValueError, match="found none in"):
        PhotoSampler(tmp_path)
    write_mask(tmp_path / "other.png", np.ones((4, 4)))
    with pytest.raises(ValueError, match="no mask in .* is named like a photo"):
        PhotoSampler(photos[0], tmp_path)


# Sequences


def sampler_of(*sequences):
    return SequenceSampler(sequences, {s.name: list_images(s.frames) for s in sequences})


def test_boxes_of_sequences_mark_the_target_also_in_mirrored_frames(tmp_path):
    sampler = sampler_of(write_sequence(tmp_path / "walk", moving(12)))
    drawn = sum(triples(sampler, 30), [])
    assert all(frame.box == red_box(frame.image) for frame in drawn)
    originals = {red_box(np.asarray(Image.open(path))) for path in list_images(tmp_path / "walk/img")}
    assert 0.2 < np.mean([frame.box in originals for frame in drawn]) < 0.8  # the others are mirrored


def test_a_triple_is_mirrored_as_a_whole(tmp_path):
    still = sampler_of(write_sequence(tmp_path / "stand", [(10, 20, 16, 20)] * 5))
    sides = [{frame.box[0] for frame in triple} for triple in triples(still, 20)]
    assert sorted({x for side in sides for x in side}) == [10, 120 - 10 - 16]
    assert all(len(side) == 1 for side in sides)


def test_masks_of_sequences_belong_to_their_frames(tmp_path):
    sampler = sampler_of(write_sequence(tmp_path / "walk", moving(6), masks=True))
    for frame in sum(triples(sampler, 20), []):
        np.testing.assert_array_equal(frame.mask, frame.image[..., 0] > 127)


def test_absent_frames_come_last_only_and_have_no_box(tmp_path):
    sampler = sampler_of(write_sequence(tmp_path / "hide", [*moving(8), None, None]))
    drawn = triples(sampler)
    assert all(first.box and later.box for first, later, _ in drawn)
    gone = [last for *_, last in drawn if last.box is None]
    assert 0.1 * SAMPLES < len(gone) < 0.5 * SAMPLES
    assert all(red_box(frame.image) is None for frame in gone)


def test_the_moments_of_a_triple_are_near_each_other():
    """Frame numbers are written into the pixels."""
    count = 4 * LARGEST_GAP
    frames = [np.full((20, 20, 3), (index // 256, index % 256, 0), np.uint8) for index in range(count)]
    sequence = BoxSequence("long", None, np.tile([2.0, 2.0, 12.0, 12.0], (count, 1)), None)
    sampler = SequenceSampler([sequence], {"long": frames})
    gaps = []
    for triple in triples(sampler):
        first, *others = (int(frame.image[0, 0, 0]) * 256 + int(frame.image[0, 0, 1]) for frame in triple)
        gaps += [abs(other - first) for other in others]
    assert LARGEST_GAP / 2 < max(gaps) <= LARGEST_GAP


def test_tiny_targets_and_boxes_outside_the_frame_are_not_shown(tmp_path):
    boxes = [(10, 10, 20, 20), (30, 30, 4, 40), (200, 10, 20, 20), (40, 40, 20, 20)]
    sampler = sampler_of(write_sequence(tmp_path / "walk", boxes))
    for triple in triples(sampler, 30):
        for frame in triple[:2]:
            assert frame.box == red_box(frame.image) and frame.box[2:] == (20, 20)


def test_a_ground_truth_longer_than_its_video_is_cut():
    """Readers do not compare a video file's length with its rows."""
    frames = [red_frame((10, 10, 20, 20))] * 3
    boxes = np.array([[10.0, 10, 20, 20]] * 8 + [[np.nan] * 4] * 4)
    sampler = SequenceSampler([BoxSequence("short", None, boxes, None)], {"short": frames})
    assert all(frame.box == red_box(frame.image) for triple in triples(sampler, 30) for frame in triple)


def test_sequences_that_show_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one sequence"):
        SequenceSampler([], {})
    with pytest.raises(ValueError, match="no sequence shows its target at 8 pixels or more"):
        sampler_of(write_sequence(tmp_path / "speck", [(10, 10, 3, 3)] * 3))


# Mixtures and boxes


class Constant:
    def __init__(self, value):
        self.value = value

    def sample(self, rng):
        return [self.value]


def test_a_mixture_draws_by_weight():
    sampler = MixedSampler([(Constant("often"), 0.6), (Constant("rarely"), 0.2), (Constant("never"), 0.0)])
    drawn = [sampler.sample(np.random.default_rng(seed))[0] for seed in range(400)]
    assert drawn.count("never") == 0
    assert 0.68 < drawn.count("often") / 400 < 0.82


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -0.5]])
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(ValueError, match="sampler weights must be positive"):
        MixedSampler([(Constant("x"), weight) for weight in weights])


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((-5, -6, 30, 40), (0, 0, 25, 34)),
        ((90, 80, 30, 40), (90, 80, 10, 10)),
        ((99, 20, 30, 40), None),
        ((200, 20, 30, 40), None),
        ([np.nan] * 4, None),
    ],
)
def test_boxes_are_clipped_to_the_frame(box, clipped):
    assert clip_box(box, 100, 90) == clipped
