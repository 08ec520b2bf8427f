"""Where the click benchmark clicks, and what its answers come to."""

import numpy as np
import pytest
from training_files import moving, red_box, write_sequence

from benchmarks.click_to_box import CENTRAL_PART, Answer, click_in_box, click_in_mask, clicks_of, report


def test_a_click_in_a_mask_is_on_one_of_its_pixels():
    inside = np.zeros((20, 30), dtype=bool)
    inside[4, 7] = inside[15, 22] = True
    rng = np.random.default_rng(0)
    clicks = {click_in_mask(inside, rng) for _ in range(40)}
    assert clicks == {(7.5, 4.5), (22.5, 15.5)}


def test_a_click_in_a_box_stays_in_its_central_part():
    rng = np.random.default_rng(0)
    clicks = np.array([click_in_box(np.array([10.0, 20.0, 40.0, 8.0]), rng) for _ in range(300)])
    share = (clicks - (30.0, 24.0)) / (40.0, 8.0)
    assert np.abs(share).max() <= CENTRAL_PART / 2
    assert np.abs(share).max(axis=0) == pytest.approx(CENTRAL_PART / 2, abs=0.02), "the whole of the part is clicked"


@pytest.mark.parametrize("masks", [True, False])
def test_clicks_are_spread_over_the_visible_frames_and_hit_the_target(tmp_path, masks):
    boxes = moving(9)
    boxes[4] = None
    sequence = write_sequence(tmp_path / "walk", boxes, masks=masks)
    found = list(clicks_of(sequence, 3, np.random.default_rng(0)))
    assert [tuple(truth) for _, _, truth in found] == [boxes[0], boxes[5], boxes[8]]
    for frame, (x, y), truth in found:
        left, top, width, height = red_box(frame)
        assert (left, top, width, height) == pytest.approx(tuple(truth), abs=1)
        assert left <= x <= left + width and top <= y <= top + height


def test_the_same_seed_gives_the_same_clicks(tmp_path):
    sequence = write_sequence(tmp_path / "walk", moving(6), masks=True)
    first, again, other = (
        [point for _, point, _ in clicks_of(sequence, 4, np.random.default_rng(seed))] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_a_sequence_shorter_than_the_number_of_clicks_gives_one_per_frame(tmp_path):
    sequence = write_sequence(tmp_path / "walk", moving(3))
    assert len(list(clicks_of(sequence, 10, np.random.default_rng(0)))) == 3


def test_a_click_on_a_target_that_leaves_the_frame_stays_inside_the_frame(tmp_path):
    sequence = write_sequence(tmp_path / "walk", [(110, 80, 60, 60)])
    for seed in range(20):
        (frame, (x, y), _), *_ = clicks_of(sequence, 1, np.random.default_rng(seed))
        assert 0 <= x <= frame.shape[1] - 1 and 0 <= y <= frame.shape[0] - 1


def test_held_out_sequences_and_large_targets_are_reported_on_their_own():
    answers = [
        Answer("learned", masked=True, share=0.10, iou=0.9),
        Answer("unseen", masked=True, share=0.10, iou=0.6),
        Answer("unseen", masked=True, share=0.01, iou=0.2),
        Answer("unseen boxes", masked=False, share=0.01, iou=0.5),
    ]
    found = report(answers, {"unseen", "unseen boxes"})
    assert found["all"]["all"]["all_sizes"]["iou"] == pytest.approx(0.55)
    assert found["held_out"]["masks"]["all_sizes"] == {"iou": pytest.approx(0.4), "share_50": 0.5, "clicks": 2}
    assert found["held_out"]["masks"]["large"]["iou"] == pytest.approx(0.6)
    assert found["held_out"]["boxes"]["large"] == {"iou": None, "share_50": None, "clicks": 0}
    assert found["sequences"]["learned"]["held_out"] is False
