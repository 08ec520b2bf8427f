"""The VidVRD/VidOR protocol on hand-computed videos."""

import numpy as np
import pytest
from metric_rows import BOX, FAR, event, pair, track

from metrics.semtrack.relation_detection import average_precision, relation_scores, video_relations

TRACKS = [track(1, box=BOX), track(2, box=FAR, main=False, category="box")]


def relation(start, end, score=1.0, interaction="push", object="box", **fields):
    return event(start, end, interaction, object, score=score, **{"object_track": 2, **fields})


def hits(predicted, true, **tracks):
    return video_relations(pair(predicted, true, **({"predicted_tracks": TRACKS, "true_tracks": TRACKS} | tracks)))


def test_average_precision_of_a_hand_computed_curve():
    """Hits at places 1, 3 and 4 of 5, four truths: precision 1, 2/3, 3/4; 2/3 is lifted to the later 3/4."""
    true_positives = np.cumsum([1, 0, 1, 1, 0])
    precision, recall = true_positives / [1, 2, 3, 4, 5], true_positives / 4
    assert average_precision(precision, recall) == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)
    assert average_precision(np.zeros(0), np.zeros(0)) == 0


def test_a_relation_needs_its_triplet_and_half_of_both_tubes():
    truth = [relation(0, 40)]
    assert hits([relation(0, 20)], truth).hits.tolist() == [True]  # both volume IoUs are exactly 0.5
    assert hits([relation(0, 19)], truth).hits.tolist() == [False]
    assert hits([relation(0, 40, interaction="pull")], truth).hits.tolist() == [False]
    assert hits([relation(0, 40, object="cart")], truth).hits.tolist() == [False]
    assert hits([relation(0, 40, object_track=-1)], truth).hits.tolist() == [False]
    assert hits([relation(0, 40, object_track=-1, located=(range(40), FAR))], truth).hits.tolist() == [True]
    other = [track(1, category="dog"), TRACKS[1]]
    assert hits([relation(0, 40)], truth, predicted_tracks=other).hits.tolist() == [False]


@pytest.mark.parametrize("moved", [0, 1])
def test_subject_and_object_must_both_be_in_place(moved):
    tracks = [{**t, "boxes": [[200.0, 0.0, 40.0, 30.0]] * 100} if i == moved else t for i, t in enumerate(TRACKS)]
    assert hits([relation(0, 40)], [relation(0, 40)], predicted_tracks=tracks).hits.tolist() == [False]


def test_each_truth_is_found_once_by_the_most_confident():
    video = hits([relation(0, 38, 0.2), relation(0, 40, 0.1), relation(0, 30, 0.9)], [relation(0, 40)])
    assert video.hits.tolist() == [True, False, False]  # in the order of score


def test_a_prediction_takes_the_free_truth_it_overlaps_most():
    """The first could take either truth and takes the second, so the next still finds the first."""
    truths = [relation(0, 30), relation(8, 40)]
    assert hits([relation(6, 40, 0.9), relation(0, 28, 0.8)], truths).hits.tolist() == [True, True]
    assert hits([relation(6, 36, 0.9), relation(8, 38, 0.8), relation(6, 37, 0.7)], truths).hits.tolist() == [
        True,
        True,
        False,
    ]


def test_predictions_of_the_same_score_keep_their_order():
    truth = [relation(0, 40)]
    assert hits([relation(50, 90), relation(0, 40)], truth).hits.tolist() == [False, True]
    assert hits([relation(0, 40), relation(50, 90)], truth).hits.tolist() == [True, False]


def test_scores_of_two_hand_computed_videos():
    """Video one: false, true, true of two truths: AP (2/3 + 2/3) / 2. Video two: one of three: AP 1/3."""
    one = pair(
        [relation(60, 90, 0.9), relation(0, 30, 0.8), relation(30, 60, 0.7)],
        [relation(0, 30), relation(30, 60)],
        TRACKS,
        TRACKS,
    )
    two = pair(
        [relation(0, 10, 0.9), relation(90, 95, 0.8, "pull")],
        [relation(0, 10), relation(10, 20, interaction="pull"), relation(20, 40, interaction="kick")],
        TRACKS,
        TRACKS,
    )
    scores = relation_scores([one, two])
    assert scores["mAP"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert scores["recall@50"] == scores["recall@100"] == pytest.approx(3 / 5)  # over all truths, not over videos
    assert scores["num_relations"] == 5
    # tags ignore tubes: video two's "pull" is right; each video's best tag is right
    assert scores["tagging_precision@1"] == scores["tagging_precision@5"] == scores["tagging_precision@10"] == 1


def test_recall_counts_the_first_predictions_of_each_video():
    """The truth is found at place 51 of one video and at place 101 of another."""
    missing = [relation(99, 100, 0.9) for _ in range(100)]
    videos = [pair([*missing[:n], relation(0, 40, 0.5)], [relation(0, 40)], TRACKS, TRACKS) for n in (49, 50, 100)]
    scores = relation_scores(videos)
    assert (scores["recall@50"], scores["recall@100"]) == pytest.approx((1 / 3, 2 / 3))


def test_tagging_counts_distinct_triplets_in_the_order_of_their_best_score():
    predicted = [
        relation(0, 5, 0.9, "kick"),
        *(relation(0, 5, 0.8, "push") for _ in range(5)),
        relation(0, 5, 0.7, "kick"),
        relation(0, 5, 0.6, "pull"),
    ]
    truth = [relation(0, 40, interaction=name) for name in ("push", "pull")]
    video = hits(predicted, truth)
    assert video.tags.tolist() == [False, True, True]
    scores = relation_scores([pair(predicted, truth, TRACKS, TRACKS)])
    assert scores["tagging_precision@1"] == 0
    assert scores["tagging_precision@5"] == pytest.approx(2 / 3)  # of the three that there are


def test_perfect_and_empty_predictions():
    truth = [relation(0, 40), relation(50, 60), relation(0, 10, interaction="pull")]
    perfect, empty = (relation_scores([pair(said, truth, TRACKS, TRACKS)]) for said in (truth, []))
    assert set(perfect.values()) == {1.0, 3}
    assert set(empty.values()) == {0.0, 3}
    assert relation_scores([pair([], truth, [], TRACKS)]) == empty


def test_videos_without_relations_are_left_out_with_their_predictions():
    without = pair([relation(0, 40)], [event(0, 10, object="")], TRACKS, TRACKS)
    truth = [relation(0, 40)]
    assert relation_scores([without, pair(truth, truth, TRACKS, TRACKS)])["mAP"] == 1
    undefined = relation_scores([without])
    assert undefined.pop("num_relations") == 0
    assert set(undefined.values()) == {None}


def test_truths_whose_object_is_not_located_count_for_tagging_alone():
    scores = relation_scores([pair([relation(0, 40)], [relation(0, 40, object_track=-1)], TRACKS, TRACKS)])
    assert (scores["mAP"], scores["recall@50"], scores["tagging_precision@1"]) == (None, None, 1)
