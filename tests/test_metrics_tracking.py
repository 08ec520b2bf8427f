"""Tracking scores against values worked out by hand, and against the GOT-10k toolkit on real sequences."""

from types import SimpleNamespace

import numpy as np
import pytest
from metric_rows import BOX, FAR, pair, track

from dataset_script.sources.otb import read_sequences
from metrics.semtrack.rows import Tube
from metrics.semtrack.tracking import (
    associate_tracks,
    iou,
    presence_scores,
    summarise_tracking,
    target_tracking_scores,
    tracking_scores,
    video_tracking,
    viou,
)

ABSENT = [np.nan] * 4
IMAGE_SIZE = (300, 200)
# What the package got10k 0.1.3 gives for `drifting` predictions, in the frames that show the target: the first
# three by its ExperimentGOT10k (without the first frame, boxes clipped to IMAGE_SIZE), the next two by its
# ExperimentOTB, the last from its centre errors of boxes divided by the true sizes.
SCORES = ("ao", "sr50", "sr75", "auc", "precision20", "norm_precision")
PUBLISHED = {
    "Car4": [0.5799702428833577, 0.7325227963525835, 0.05927051671732523]
    + [0.5785100079485511, 0.8437025796661608, 0.5921628135320897],
    "Crossing": [0.5957703257333878, 0.7983193277310925, 0.01680672268907563]
    + [0.584126984126984, 1.0, 0.6031045751633987],
    "TLD_car": [0.5779985808680759, 0.7508731082654249, 0.05820721769499418]
    + [0.5776854928017718, 0.8011627906976744, 0.590515275877793],
    "davis_dog": [0.6319017406784415, 1.0, 0.0, 0.626984126984127, 0.36666666666666664, 0.6598039215686274],
}


def drifting(truth):
    """A tracker that swings around its target and breathes."""
    frame = np.arange(len(truth))[:, None]
    predicted = truth.copy()
    predicted[:, :2] += truth[:, 2:] * 0.2 * np.sin(frame / [17.0, 23.0])
    predicted[:, 2:] *= 1 + 0.2 * np.cos(frame / 11.0)
    return predicted


def visible_boxes(shared_data, name):
    (sequence,) = read_sequences(shared_data / "sot" / name)
    return sequence.boxes[~np.isnan(sequence.boxes[:, 0])]


def scores_as_published(predicted, truth):
    """Our values of SCORES: GOT-10k's with its clipping and without the first frame, OTB's with all frames."""
    got10k = tracking_scores(predicted, truth, image_size=IMAGE_SIZE)
    otb = tracking_scores(predicted, truth, skip_first=False)
    return [got10k[name] for name in SCORES[:3]] + [otb[name] for name in SCORES[3:]]


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_sequences_score_what_the_got10k_toolkit_gave(shared_data, name):
    truth = visible_boxes(shared_data, name)
    np.testing.assert_allclose(scores_as_published(drifting(truth), truth), PUBLISHED[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*PUBLISHED, "CarScale", "TLD_david"])
def test_real_sequences_score_what_the_installed_got10k_toolkit_gives(shared_data, name):
    """Calls the curves and scores of the toolkit's own experiments."""
    experiments = pytest.importorskip("got10k.experiments", reason="the package got10k is not installed")
    from got10k.utils.metrics import center_error, rect_iou

    truth = visible_boxes(shared_data, name)
    predicted = drifting(truth)
    bins = SimpleNamespace(nbins_iou=21, nbins_ce=51)
    success, precision = experiments.ExperimentOTB._calc_curves(
        bins, rect_iou(predicted, truth), center_error(predicted, truth)
    )
    clipped = rect_iou(predicted[1:].copy(), truth[1:].copy(), bound=IMAGE_SIZE)  # clips its arguments in place
    ao, sr50, _, success_101 = experiments.ExperimentGOT10k._evaluate(None, clipped, [])
    sizes = np.tile(truth[:, 2:], 2)
    norm_precision = (center_error(predicted / sizes, truth / sizes)[:, None] <= np.linspace(0, 0.5, 51)).mean()
    published = [ao, sr50, success_101[75], success.mean(), precision[20], norm_precision]
    np.testing.assert_allclose(scores_as_published(predicted, truth), published, rtol=0, atol=1e-12)


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
    names = ("ao", "sr50", "sr75", "precision20", "norm_precision")
    assert scores == pytest.approx({**dict.fromkeys(names, 0.5), "auc": 10 / 21}, abs=1e-12)


def test_norm_precision_divides_by_the_true_size():
    """Off by 10 of 100 pixels of width: 0.1, within the thresholds 0.1 to 0.5; by 30 of 50 of height: beyond all."""
    truth = np.tile([0.0, 0, 100, 50], (3, 1))
    predicted = truth + [[0, 0, 0, 0], [9.99, 0, 0, 0], [0, 30, 0, 0]]
    assert tracking_scores(predicted, truth)["norm_precision"] == pytest.approx(41 / 51 / 2)


def test_norm_precision_of_a_true_box_without_area_is_a_miss():
    assert tracking_scores([[0, 0, 1, 1]], [[0, 0, 0, 5]], skip_first=False)["norm_precision"] == 0


def test_iou_of_equal_boxes_never_exceeds_one():
    """Sums of fractions round: without a bound a perfect track would pass the success threshold 1."""
    boxes = np.random.default_rng(0).uniform(0, 300, (10_000, 4))
    assert iou(boxes, boxes).max() == 1


def test_image_size_clips_both_boxes_before_overlaps_are_taken():
    truth, predicted = [[90, 0, 20, 10]] * 2, [[90, 0, 40, 10]] * 2
    assert tracking_scores(predicted, truth)["ao"] == 0.5
    assert tracking_scores(predicted, truth, image_size=(100, 100))["ao"] == 1


def tube(frames, box=BOX):
    return Tube(np.array(list(frames), dtype=np.int64), np.array([box] * len(frames), dtype=float).reshape(-1, 4))


def test_viou_of_hand_computed_tubes():
    assert viou(tube(range(10)), tube(range(10))) == 1
    assert viou(tube(range(10)), tube(range(5, 15))) == pytest.approx(5 / 15)
    assert viou(tube(range(10), [0, 0, 10, 10]), tube(range(10), [5, 0, 10, 10])) == pytest.approx(1 / 3)
    # 8 frames with half of the area in common, 2 frames of the first and 4 of the second alone
    assert viou(tube(range(10), [0, 0, 10, 10]), tube(range(2, 14), [0, 0, 10, 5])) == pytest.approx(400 / 1200)
    assert viou(tube(range(10)), tube(range(10, 20))) == viou(tube(range(0)), tube(range(0))) == 0
    assert viou(tube([0, 2, 4]), tube([1, 2, 3, 4])) == pytest.approx(2 / 5)


def ids(association):
    return {target: None if found is None else found.track_id for target, found in association.items()}


def test_tracks_stand_for_the_target_they_overlap_most():
    near = [12.0, 20, 40, 30]
    truth = [track(1, box=BOX), track(2, box=FAR)]
    video = pair(predicted_tracks=[track(7, box=FAR), track(8, box=near), track(9, box=BOX)], true_tracks=truth)
    assert ids(associate_tracks(video)) == {1: 9, 2: 7}
    assert ids(associate_tracks(pair(predicted_tracks=[track(8, box=near)], true_tracks=truth))) == {1: 8, 2: None}
    shifted = pair(predicted_tracks=[track(8, box=[40.0, 20, 40, 30])], true_tracks=truth)
    assert ids(associate_tracks(shifted, min_viou=0.5)) == {1: None, 2: None}


def test_a_copy_of_a_track_does_not_take_a_further_target():
    truth = [track(1, box=[0, 0, 30, 30]), track(2, box=[5, 0, 30, 30])]
    copies = pair(predicted_tracks=[track(7, box=[0, 0, 30, 30]), track(8, box=[0, 0, 30, 30])], true_tracks=truth)
    assert ids(associate_tracks(copies)) == {1: 7, 2: None}


def test_tracks_of_a_prompt_keep_their_ids_wherever_they_are():
    video = pair(predicted_tracks=[track(1, box=FAR), track(2, box=BOX)], true_tracks=[track(1, box=BOX)])
    assert ids(associate_tracks(video, "track_id")) == {1: 1}
    assert ids(associate_tracks(video, "viou")) == {1: 2}


def test_only_main_tracks_are_targets():
    video = pair(
        predicted_tracks=[track(1, box=BOX, main=False), track(2, box=[15.0, 20, 40, 30])],
        true_tracks=[track(4, box=BOX), track(5, box=FAR, main=False)],
    )
    assert ids(associate_tracks(video)) == {4: 2}


def test_targets_are_scored_from_the_first_frame_that_shows_them():
    video = pair(predicted_tracks=[track(1, range(10, 20))], true_tracks=[track(1, range(10, 31))])
    (target,) = video_tracking(video)
    assert (target.video_id, target.track_id, target.num_frames) == ("clip", 1, 20)
    assert target.scores["ao"] == pytest.approx(9 / 20)
    assert video_tracking(video, skip_first=False)[0].scores["ao"] == pytest.approx(10 / 21)


def test_summary_weighs_targets_or_frames():
    videos = [
        pair(predicted_tracks=[track(1, range(41))], true_tracks=[track(1, range(41))]),
        pair(predicted_tracks=[], true_tracks=[track(1, range(11))]),
    ]
    scores = target_tracking_scores(videos)
    assert (scores["ao"], scores["sr50"], scores["norm_precision"]) == (0.5, 0.5, 0.5)
    assert scores["ao_frames"] == scores["sr75_frames"] == pytest.approx(40 / 50)
    assert (scores["num_targets"], scores["num_frames"]) == (2, 50)


def test_targets_without_a_frame_to_score_are_left_out():
    videos = [pair(true_tracks=[track(1, frames)]) for frames in (range(0), range(1))]
    assert [target.scores for video in videos for target in video_tracking(video)] == [None, None]
    assert target_tracking_scores(videos)["ao"] is None
    assert summarise_tracking([])["num_targets"] == 0


def test_unknown_association_is_named():
    with pytest.raises(ValueError, match="association must be one of viou, track_id, got 'name'"):
        associate_tracks(pair(), "name")


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
