"""Tracking scores against values worked out by hand."""

import numpy as np
import pytest

from metrics.semtrack.tracking import iou, presence_scores, tracking_scores

ABSENT = [np.nan] * 4


def test_iou_of_hand_computed_pairs():
    a = [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 4, 4], [0.5, 0, 1, 1]]
    b = [[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [1, 1, 2, 2], [0, 0, 1, 1]]
    # the same; half overlap 50/150; only touching; one inside the other 4/16; 0.5/1.5
    np.testing.assert_allclose(iou(a, b), [1, 1 / 3, 0, 1 / 4, 1 / 3], rtol=1e-15)


def test_iou_of_no_box_is_nan_and_of_empty_boxes_is_zero():
    result = iou([ABSENT, [0, 0, 1, 1], [3, 3, 0, 0]], [[0, 0, 1, 1], ABSENT, [3, 3, 0, 0]])
    np.testing.assert_array_equal(result, [np.nan, np.nan, 0])


def test_scores_of_a_hand_computed_track():
    """A box of width 90 moved right by d pixels has IoU (90 - d) / (90 + d)."""
    truth = np.tile([10.0, 20, 90, 50], (5, 1))
    predicted = truth.copy()
    predicted[:, 0] += [70, 0, 10, 30, 90]  # IoU of all but the first, which is not scored: 1, 0.8, 0.5, 0
    scores = tracking_scores(predicted, truth)
    assert scores["ao"] == pytest.approx((1 + 0.8 + 0.5 + 0) / 4)
    assert scores["sr50"] == 0.5  # 0.5 itself is not greater than 0.5
    assert scores["sr75"] == 0.5
    assert scores["precision20"] == 0.5  # centres off by 0, 10, 30, 90 pixels
    # thresholds 0, 0.05, ..., 1 exceeded: by IoU 1 twenty, by 0.8 sixteen, by 0.5 ten, by 0 none
    assert scores["auc"] == pytest.approx((20 + 16 + 10) / (4 * 21))


def test_skip_first_false_scores_every_frame_as_otb_does():
    truth = [[0, 0, 10, 10]] * 2
    predicted = [[0, 0, 10, 10], [50, 0, 10, 10]]
    assert tracking_scores(predicted, truth)["ao"] == 0
    assert tracking_scores(predicted, truth, skip_first=False)["ao"] == 0.5


def test_perfect_track_has_auc_of_20_in_21_thresholds():
    truth = np.tile([3.3, 4.7, 11.1, 9.9], (4, 1))
    scores = tracking_scores(truth, truth)
    assert (scores["ao"], scores["sr50"], scores["sr75"], scores["precision20"]) == (1, 1, 1, 1)
    assert scores["auc"] == pytest.approx(20 / 21)


def test_centre_error_of_exactly_20_pixels_is_precise_even_without_overlap():
    truth = [[0, 0, 10, 10]] * 3
    predicted = [[0, 0, 10, 10], [12, 16, 10, 10], [20.01, 0, 10, 10]]
    assert tracking_scores(predicted, truth)["precision20"] == 0.5


def test_frames_with_absent_truth_are_not_scored_whatever_is_predicted():
    truth = [[0, 0, 10, 10], ABSENT, ABSENT, [0, 0, 10, 10]]
    predicted = [[0, 0, 10, 10], [0, 0, 10, 10], ABSENT, [0, 0, 10, 10]]
    assert tracking_scores(predicted, truth)["ao"] == 1


def test_missing_prediction_of_a_present_target_counts_as_a_miss():
    truth = [[0, 0, 10, 10]] * 3
    scores = tracking_scores([[0, 0, 10, 10], ABSENT, [0, 0, 10, 10]], truth)
    assert scores == pytest.approx({"ao": 0.5, "auc": 10 / 21, "sr50": 0.5, "sr75": 0.5, "precision20": 0.5}, abs=1e-12)


def test_scores_are_plain_floats():
    assert {type(value) for value in tracking_scores([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]] * 2).values()} == {float}


def test_inputs_are_left_as_they_were():
    predicted, truth = np.array([[0, 0, 1, 1], ABSENT]), np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    tracking_scores(predicted, truth)
    np.testing.assert_array_equal(predicted, [[0, 0, 1, 1], ABSENT])


def test_presence_precision_and_recall_of_a_hand_computed_track():
    box = [0, 0, 1, 1]
    truth = [ABSENT, box, box, box, ABSENT, ABSENT]
    presence = [True, True, True, False, True, False]
    assert presence_scores(presence, truth) == pytest.approx({"precision": 2 / 3, "recall": 2 / 3})
    assert presence_scores(presence, truth, skip_first=False)["precision"] == 0.5


def test_presence_scores_without_such_a_frame_are_none():
    assert presence_scores([True, False], [[0, 0, 1, 1]] * 2) == {"precision": None, "recall": 0}
    assert presence_scores([True, True], [[0, 0, 1, 1], ABSENT]) == {"precision": 0, "recall": None}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iou([[0, 0, 1]], [[0, 0, 1, 1]]), r"a must be boxes \[N, 4\] .* got shape \[1, 3\]"),
        (lambda: iou([[0, 0, 1, 1]], [[0, 0, 1, -1]]), r"b must have w, h >= 0, got \[.*-1.0\] in row 0"),
        (lambda: tracking_scores([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2), "got 1 and 2 rows"),
        (lambda: tracking_scores([[0, 0, 1, 1]], [[0, 0, 1, 1]]), "no frame to score: .* 1 frames after"),
        (lambda: tracking_scores([ABSENT], [ABSENT], skip_first=False), "no frame to score: .* 1 frames$"),
        (lambda: presence_scores([0.3], [[0, 0, 1, 1]]), r"presence must be bool \[1\].* got float64 \[1\]"),
        (lambda: presence_scores([True], [ABSENT] * 2), r"presence must be bool \[2\].* got bool \[1\]"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
