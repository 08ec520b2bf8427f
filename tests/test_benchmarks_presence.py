"""Absences, staged ones included, and what a tracker makes of them."""

import numpy as np
import pytest
from training_files import moving, red_box, write_sequence

from benchmarks.presence import LONGEST_CUTAWAY, cutaway_frames, delays, report, watch, with_cutaways

NOWHERE = [np.nan] * 4


def track(*boxes):
    return np.array([NOWHERE if box is None else box for box in boxes], dtype=float)


HERE, ELSEWHERE = (10, 10, 20, 20), (60, 60, 20, 20)


class Finder:
    """Sees the red rectangle wherever it is; `late` frames after it has come back."""

    def __init__(self, late=0):
        self.late, self.seen = late, 99

    def start(self, frame, box):
        self.seen = 99

    def step(self, frame, index):
        self.seen = self.seen + 1 if red_box(frame) else 0
        return red_box(frame) if self.seen > self.late else None


def test_the_delay_counts_from_the_reappearance_to_the_first_good_box():
    truth = track(HERE, None, None, HERE, HERE, HERE)
    assert delays(track(HERE, None, None, None, ELSEWHERE, HERE), truth, within=5) == [2]
    assert delays(track(HERE, None, None, HERE, HERE, HERE), truth, within=5) == [0]


def test_what_is_found_too_late_or_in_the_wrong_place_is_not_taken_up():
    truth = track(HERE, None, HERE, HERE, HERE)
    assert delays(track(HERE, None, None, None, HERE), truth, within=2) == [None]
    assert delays(track(HERE, None, ELSEWHERE, ELSEWHERE, ELSEWHERE), truth, within=5) == [None]


def test_the_wait_ends_when_the_target_goes_away_again():
    truth = track(HERE, None, HERE, None, HERE, HERE)
    assert delays(track(HERE, None, None, None, None, HERE), truth, within=4) == [None, 1]


def test_a_target_that_is_never_away_has_no_reappearance():
    assert delays(track(HERE, HERE), track(HERE, HERE), within=5) == []


@pytest.mark.parametrize("length, count", [(12, 1), (50, 2), (1000, 3)])
def test_cutaways_are_apart_short_and_leave_the_first_and_last_frame(length, count):
    away = cutaway_frames(length, count)
    starts = np.flatnonzero(np.diff(away.astype(int)) == 1)
    assert len(starts) == count and not away[0] and not away[-1]
    assert away.sum() <= min(length / 3, count * LONGEST_CUTAWAY)


def test_a_cutaway_shows_the_other_sequence_in_the_size_of_this_one(tmp_path):
    sequence = write_sequence(tmp_path / "walk", moving(4))
    other = write_sequence(tmp_path / "other", [None, None], height=50, width=50)
    shown = list(with_cutaways(sequence, other, np.array([False, True, True, False])))
    assert [red_box(frame) is not None for frame in shown] == [True, False, False, True]
    assert {frame.shape for frame in shown} == {(90, 120, 3)}


def test_a_tracker_that_says_the_truth_gets_full_marks_and_a_slow_one_loses_recall(tmp_path):
    boxes = moving(4) + [None] * 3 + moving(5)
    sequence = write_sequence(tmp_path / "walk", boxes)
    exact = report([watch(Finder(), sequence, within=5)], {"walk"})["held_out"]["natural"]
    assert (exact["precision"], exact["recall"], exact["taken_up"], exact["median_delay"]) == (1.0, 1.0, 1.0, 0.0)
    assert exact["absent_frames"] == 3
    slow = report([watch(Finder(late=2), sequence, within=5)], set())
    assert slow["all"]["natural"]["recall"] == pytest.approx(6 / 8)  # the first frame was given
    assert slow["all"]["natural"]["median_delay"] == 2.0
    assert slow["held_out"]["natural"]["taken_up"] is None


def test_staged_absences_are_reported_apart_from_real_ones(tmp_path):
    sequence = write_sequence(tmp_path / "walk", moving(24))
    other = write_sequence(tmp_path / "other", [None] * 3)
    found = report([watch(Finder(), sequence, 5, other, cutaways=1)], {"walk"})
    assert found["all"]["natural"]["reappearances"] == 0
    assert found["held_out"]["staged"]["taken_up"] == 1.0
    assert found["held_out"]["staged"]["precision"] == 1.0
