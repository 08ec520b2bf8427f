"""Semantic trajectories: hand-computed matches, and what duplicates, fragments, merges and shifts cost."""

import numpy as np
import pytest
from metric_rows import BOX, FAR, event, pair, row, track

from metrics.semtrack.rows import pair_rows
from metrics.semtrack.semantic_trajectory import temporal_iou, trajectory_scores, video_trajectories

SCORES = ("mAP", "recall", "precision", "accuracy")
EVENTS = [event(0, 40, "push"), event(50, 80, "push"), event(10, 30, "walk", "")]


def scores(predicted, true=EVENTS, **tracks):
    return trajectory_scores([pair(predicted, true, **tracks)])


def hits(predicted, true, tious=(0.3, 0.5, 0.7), **options):
    return video_trajectories(pair(predicted, true), tious, **options).hits.astype(int).tolist()


def test_temporal_iou_of_hand_computed_intervals():
    overlaps = temporal_iou(np.array([[0, 10], [4, 8]]), np.array([[0, 10], [5, 15], [10, 20]]))
    np.testing.assert_allclose(overlaps, [[1, 1 / 3, 0], [0.4, 3 / 11, 0]])


def test_events_match_where_the_threshold_is_reached():
    assert hits([event(0, 50)], [event(0, 100)]) == [[1], [1], [0]]  # tIoU is exactly 0.5
    assert hits([event(0, 49)], [event(0, 100)]) == [[1], [0], [0]]


def test_interaction_object_class_and_subject_must_be_the_same():
    truth = [event(0, 40, "push", "box")]
    assert hits([event(0, 40, "pull", "box")], truth, [0.5]) == [[0]]
    assert hits([event(0, 40, "push", "cart")], truth, [0.5]) == [[0]]
    assert hits([event(0, 40, "push", "")], truth, [0.5]) == [[0]]
    tracks = [track(1), track(2, box=FAR)]
    wrong = pair([event(0, 40, subject=2)], [event(0, 40, subject=1)], tracks, tracks)
    assert video_trajectories(wrong).hits.sum() == 0


def test_located_objects_must_be_in_place_where_both_intervals_are():
    truth = [event(0, 40, located=(range(40), BOX))]
    half, less = [10.0, 20.0, 20.0, 30.0], [10.0, 20.0, 19.0, 30.0]
    assert hits([event(0, 40, located=(range(40), half))], truth, [0.5]) == [[1]]
    assert hits([event(0, 40, located=(range(40), less))], truth, [0.5]) == [[0]]
    assert hits([event(0, 40, located=(range(40), less))], truth, [0.5], object_viou=0.4) == [[1]]
    assert hits([event(0, 40)], truth, [0.5]) == [[0]]  # not located at all
    assert hits([event(0, 40, located=(range(19), BOX))], truth, [0.5]) == [[0]]
    assert hits([event(0, 40, located=(range(20), BOX))], truth, [0.5]) == [[1]]
    # time is the tIoU's matter: a third of the interval, the object in place
    assert hits([event(0, 13, located=(range(13), BOX))], truth, [0.3]) == [[1]]
    assert hits(truth, [event(0, 13, located=(range(13), BOX))], [0.3]) == [[1]]


def test_place_of_an_object_is_not_judged_where_the_truth_does_not_locate_it():
    assert hits([event(0, 40, located=(range(40), FAR))], [event(0, 40)], [0.5]) == [[1]]


def test_object_may_be_located_by_a_track():
    tracks = [track(1), track(2, box=FAR, main=False)]
    truth = [event(0, 40, object_track=2)]
    right, wrong = ([event(0, 40, located=(range(40), box))] for box in (FAR, BOX))
    assert video_trajectories(pair(right, truth, true_tracks=tracks)).hits.all()
    assert not video_trajectories(pair(wrong, truth, true_tracks=tracks)).hits.any()


def test_subject_must_be_tracked_for_half_of_its_volume_unless_it_keeps_its_id():
    events = [event(0, 40)]
    lost = pair(events, events, predicted_tracks=[track(1, range(49))])
    assert video_trajectories(lost).hits.sum() == 0
    assert video_trajectories(lost, subject_viou=0.4).hits.all()
    assert video_trajectories(lost, association="track_id").hits.all()


def test_matching_finds_as_many_as_possible_whatever_the_order():
    """The first fits both truths, the second only the first truth: greedy matching by score would find one."""
    truths = [event(0, 20), event(10, 30)]
    assert hits([event(2, 22, score=0.9), event(0, 12, score=0.5)], truths, [0.3]) == [[1, 1]]


def test_of_predictions_for_one_truth_the_most_confident_is_found():
    assert hits([event(0, 40, score=0.5), event(0, 38, score=0.9)], [event(0, 40)], [0.5]) == [[0, 1]]
    assert hits([event(0, 40, score=-2.0), event(0, 40, score=-1.0)], [event(0, 40)], [0.5]) == [[0, 1]]


def test_average_precision_of_a_hand_computed_set():
    """Two videos, scores 0.9 hit, 0.8 wrong, 0.7 hit, three truths: AP (1 + 2/3) / 3; the other class is missed."""
    one = pair([event(0, 40, score=0.9), event(60, 70, score=0.8)], [event(0, 40)])
    two = pair([event(0, 40, score=0.7)], [event(0, 40), event(50, 60), event(0, 9, "walk")])
    result = trajectory_scores([one, two])
    assert result["per_interaction"]["push"]["AP@0.5"] == pytest.approx((1 + 2 / 3) / 3)
    assert result["mAP"] == result["mAP@0.5"] == pytest.approx((1 + 2 / 3) / 3 / 2)
    assert result["recall@0.5"] == pytest.approx(2 / 4)
    assert result["precision@0.5"] == pytest.approx(2 / 3)
    assert (result["num_events"], result["per_interaction"]["push"]["num_events"]) == (4, 3)
    assert result["per_interaction"]["push"]["recall"] == pytest.approx(2 / 3)
    assert result["per_interaction"]["walk"]["AP"] == 0


def test_order_of_predictions_with_equal_scores_does_not_matter():
    truth, wrong = event(0, 40), event(60, 70)
    assert scores([truth, wrong], [truth]) == scores([wrong, truth], [truth])
    assert scores([truth, wrong], [truth])["mAP"] == 0.5


def test_accuracy_of_a_hand_computed_video():
    """The box is wrong in frame 9; one interaction is said too early in 2 and 3, one misses in 6 and 7."""
    boxes = [[0.0, 0.0, 10.0, 10.0]] * 10
    predicted_boxes = [[0.0, 0.0, 5.0, 10.0]] * 9 + [[0.0, 0.0, 4.9, 10.0]]
    video = pair(
        [event(2, 8, "push")],
        [event(4, 8, "push"), event(6, 8, "walk", "")],
        [track(1, range(10), predicted_boxes)],
        [track(1, range(10), boxes)],
        num_frames=10,
    )
    assert trajectory_scores([video])["accuracy"] == pytest.approx(5 / 10)


def test_accuracy_counts_only_frames_that_show_the_target():
    video = pair([], [event(0, 50)], [track(1, range(40, 60))], [track(1, range(40, 60))])
    assert trajectory_scores([video])["accuracy"] == pytest.approx(10 / 20)
    missed = pair([], [], [track(1, range(40, 50))], [track(1, range(40, 60))])
    assert trajectory_scores([missed])["accuracy"] == pytest.approx(10 / 20)


def random_row(rng, video_id):
    """Two moving targets, one further object, events of which some have located objects; no fact twice."""
    frames = np.arange(60)
    tracks = [
        track(
            track_id,
            frames,
            (rng.uniform(0, 300, 4)[None] * [1, 1, 0.2, 0.2] + 5 + frames[:, None] * [1, 0, 0, 0]).tolist(),
            main=track_id < 3,
        )
        for track_id in (1, 2, 3)
    ]
    events = []
    for name in rng.permutation(["push", "pull", "walk", "hug", "kick"])[: rng.integers(1, 6)]:
        start = int(rng.integers(0, 25))
        for first in (start, start + 20)[: rng.integers(1, 3)]:
            object_track = int(rng.choice([-1, 3]))
            score = float(rng.uniform())
            last = first + int(rng.integers(5, 15))
            events.append(event(first, last, str(name), "box", int(rng.integers(1, 3)), object_track, score))
    return row(events, tracks, video_id, num_frames=60)


def random_rows(seed):
    rng = np.random.default_rng(seed)
    return [random_row(rng, f"v{i}") for i in range(10)]


def changed(rows, change, seed):
    rng = np.random.default_rng(seed)
    return [change(one, rng) for one in rows]


def unspoilt(one, rng):
    return one


def noisy(one, rng):
    """Some events missing, some moved, some of another interaction, some invented."""
    events = [e for e in one["events"] if rng.uniform() > 0.2]
    events = [moved(e, int(rng.integers(-4, 5))) if rng.uniform() < 0.5 else e for e in events]
    events = [{**e, "interaction": "hug"} if rng.uniform() < 0.2 else e for e in events]
    return {**one, "events": [*events, event(3, 12, "kick", "box", score=float(rng.uniform()))]}


def moved(one, by, num_frames=60):
    start = min(max(one["start_frame"] + by, 0), num_frames - 1)
    end = min(max(one["end_frame"] + by, start + 1), num_frames)
    return {**one, "start_frame": start, "end_frame": end}


def duplicated(one, rng):
    """Copies of some events, as confident or less so, anywhere in the list."""
    copies = [{**e, "score": e["score"] * rng.choice([1.0, 0.5])} for e in one["events"] if rng.uniform() < 0.5]
    events = [*one["events"], *copies]
    return {**one, "events": [events[i] for i in rng.permutation(len(events))]}


def with_copied_track(one, rng):
    """A copy of a target with all that it does, under another id."""
    copy = {**one["tracks"][0], "track_id": 9}
    said = [{**e, "subject": 9} for e in one["events"] if e["subject"] == 1]
    return {**one, "tracks": [*one["tracks"], copy], "events": [*one["events"], *said]}


@pytest.mark.parametrize("seed", range(5))
def test_a_perfect_prediction_scores_one_and_an_empty_one_zero(seed):
    truth = random_rows(seed)
    perfect = trajectory_scores(pair_rows(truth, truth))
    assert {perfect[f"{name}@{t}"] for name in SCORES[:3] for t in (0.3, 0.5, 0.7)} == {1.0}
    assert {perfect[name] for name in SCORES} == {1.0}
    for predicted in ([], [{**one, "tracks": [], "events": []} for one in truth]):
        empty = trajectory_scores(pair_rows(predicted, truth))
        assert {empty[name] for name in SCORES} == {0.0}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("repeat", [duplicated, with_copied_track])
@pytest.mark.parametrize("spoil", [unspoilt, noisy])
def test_duplicates_never_raise_a_score_and_cost_precision(seed, repeat, spoil):
    """Neither of a perfect prediction nor of a flawed one."""
    truth = random_rows(seed)
    predicted = changed(truth, spoil, seed)
    once = trajectory_scores(pair_rows(predicted, truth))
    twice = trajectory_scores(pair_rows(changed(predicted, repeat, seed), truth))
    for name in [*SCORES, *(f"{score}@{t}" for score in SCORES[:3] for t in (0.3, 0.5, 0.7))]:
        assert twice[name] <= once[name], name
    assert twice["precision"] < once["precision"]
    assert twice["recall"] == once["recall"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", [-20, -3, -1, 1, 3, 20])
def test_shifting_a_perfect_prediction_in_time_never_raises_a_score(seed, by):
    truth = random_rows(seed)
    predicted = [{**one, "events": [moved(e, by) for e in one["events"]]} for one in truth]
    shifted = trajectory_scores(pair_rows(predicted, truth))
    assert all(shifted[name] <= 1 for name in SCORES)
    assert shifted["accuracy"] < 1
    assert abs(by) < 20 or shifted["recall"] < 1


def test_further_shifts_of_one_event_score_less_and_less():
    truth = [event(40, 60)]
    shifted = [scores([event(40 + by, 60 + by)], truth) for by in (0, 2, 4, 8, 12, 30)]
    for name in SCORES:
        values = [result[name] for result in shifted]
        assert values == sorted(values, reverse=True) and values[0] == 1
    assert [result["mAP"] for result in shifted] == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0])


def test_a_fragmented_event_is_found_at_most_once_and_its_other_pieces_are_wrong():
    """Halves have tIoU 0.5."""
    whole, halves = scores([event(0, 80)], [event(0, 80)]), scores([event(0, 40), event(40, 80)], [event(0, 80)])
    assert [halves[f"recall@{t}"] for t in (0.3, 0.5, 0.7)] == [1, 1, 0]
    assert [halves[f"precision@{t}"] for t in (0.3, 0.5, 0.7)] == [0.5, 0.5, 0]
    assert all(halves[name] < whole[name] for name in SCORES[:3])
    thirds = scores([event(0, 27), event(27, 54), event(54, 80)], [event(0, 80)])
    assert all(thirds[name] < halves[name] for name in SCORES[:3])


def test_merged_events_are_found_at_most_once():
    truth = [event(0, 40), event(40, 80)]
    apart, merged = scores(truth, truth), scores([event(0, 80)], truth)
    assert [merged[f"recall@{t}"] for t in (0.3, 0.5, 0.7)] == [0.5, 0.5, 0]
    assert all(merged[name] < apart[name] for name in SCORES[:3])
    twice = scores([event(0, 80), event(0, 80)], truth)
    assert twice["recall"] == merged["recall"] and twice["precision"] < merged["precision"]


def test_identical_events_of_a_reference_are_one_event():
    assert scores([event(0, 40)], [event(0, 40), event(0, 40)])["recall"] == 1


def test_what_no_target_does_is_not_judged_but_what_an_unasked_target_does_is_wrong():
    bystander = [track(1), track(2, box=FAR, main=False)]
    events = [event(0, 40), event(0, 40, "kick", subject=2)]
    with_bystander = trajectory_scores([pair(events, events, bystander, bystander)])
    assert (with_bystander["num_events"], with_bystander["precision"]) == (1, 1)
    asked = [track(1), track(2, box=FAR)]
    result = trajectory_scores([pair(events, events[:1], asked, [track(1)])])
    assert (result["recall"], result["precision"]) == (1, 0.5)


def test_an_interaction_absent_from_the_predictions_counts_as_zero():
    result = scores([EVENTS[2]])
    assert result["per_interaction"]["push"]["AP"] == 0
    assert result["mAP"] == 0.5


def test_without_true_events_scores_are_undefined_and_predictions_wrong():
    silent = scores([], [])
    assert [silent[name] for name in SCORES] == [None, None, None, 1]
    assert silent["mAP@0.5"] is None and silent["num_events"] == 0
    said = scores([event(0, 40)], [])
    assert [said[name] for name in SCORES] == [None, None, 0, 0.6]
    assert trajectory_scores([])["accuracy"] is None
    with_silent = trajectory_scores([pair(), pair(EVENTS, EVENTS)])
    assert (with_silent["mAP"], with_silent["recall"]) == (1, 1)


def test_repeated_videos_weigh_twice_as_a_bootstrap_needs():
    good, bad = pair(EVENTS, EVENTS), pair([], EVENTS)
    assert trajectory_scores([good, bad, bad])["recall"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("tious", [(), (0.0,), (0.5, 1.2)])
def test_thresholds_outside_their_range_are_named(tious):
    with pytest.raises(ValueError, match=r"tious must be thresholds in \(0, 1\], got \["):
        trajectory_scores([pair()], tious)
