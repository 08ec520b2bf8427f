"""Frame-level recognition: hand-computed counts, averages and groups."""

import pytest
from metric_rows import BOX, FAR, event, pair, track

from metrics.semtrack.recognition import (
    FrameCounts,
    VideoRecognition,
    interaction_scores,
    shot_groups,
    summarise_recognition,
    video_recognition,
)


def test_counts_of_a_hand_computed_video():
    """push: true in 10..29, said in 20..39; hug: true in 0..4 and never said; kick: said in 2 frames, never true."""
    video = pair([event(20, 40, "push"), event(0, 2, "kick")], [event(10, 30, "push"), event(0, 5, "hug")])
    assert video_recognition(video).counts == {"hug": (0, 0, 5), "kick": (0, 2, 0), "push": (10, 10, 10)}


def test_scores_of_a_hand_computed_video():
    video = pair([event(20, 40, "push"), event(0, 2, "kick")], [event(10, 30, "push"), event(0, 5, "hug")])
    scores = interaction_scores([video])
    assert scores["per_class"] == {
        "hug": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 5},
        "kick": {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0},
        "push": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 20},
    }
    assert (scores["micro_precision"], scores["micro_recall"]) == (10 / 22, 10 / 25)
    assert scores["micro_f1"] == pytest.approx(20 / (20 + 12 + 15))
    assert (scores["macro_precision"], scores["macro_recall"], scores["macro_f1"]) == (0.25, 0.25, 0.25)


def test_several_interactions_in_one_frame_are_judged_each_for_itself():
    video = pair([event(0, 10, "hold"), event(0, 10, "push")], [event(0, 10, "hold"), event(5, 10, "walk")])
    assert video_recognition(video).counts == {"hold": (10, 0, 0), "push": (0, 10, 0), "walk": (0, 0, 5)}


def test_overlapping_events_of_one_interaction_and_their_copies_say_it_once():
    pieces = [event(0, 6, object="box"), event(4, 10, object="cart"), event(4, 10, object="cart")]
    assert video_recognition(pair(pieces, [event(0, 10)])).counts == {"push": (10, 0, 0)}


def test_events_of_another_track_than_the_one_that_stands_for_the_target_are_wrong():
    tracks = [track(1, box=FAR), track(2, box=BOX)]
    events = [event(0, 10, subject=1), event(0, 4, subject=2)]
    video = pair(events, [event(0, 10, subject=5)], predicted_tracks=tracks, true_tracks=[track(5)])
    assert video_recognition(video).counts == {"push": (4, 10, 6)}


def test_events_of_tracks_that_are_no_targets_do_not_count():
    tracks = [track(1), track(2, box=FAR, main=False)]
    events = [event(0, 4, subject=1), event(0, 10, "kick", subject=2)]
    video = pair(events, events, predicted_tracks=tracks, true_tracks=tracks)
    assert video_recognition(video).counts == {"push": (4, 0, 0)}


def test_association_by_id_judges_the_interactions_of_a_lost_target():
    lost = [track(1, box=FAR)]
    video = pair([event(0, 10)], [event(0, 10)], predicted_tracks=lost)
    assert video_recognition(video, "viou").counts == {"push": (0, 10, 10)}
    assert video_recognition(video, "track_id").counts == {"push": (10, 0, 0)}


def test_perfect_and_empty_predictions():
    events = [event(0, 10), event(5, 30, "walk", "")]
    perfect, empty = (interaction_scores([pair(said, events)]) for said in (events, []))
    names = [f"{average}_{score}" for average in ("micro", "macro") for score in ("precision", "recall", "f1")]
    assert {perfect[name] for name in names} == {1.0}
    assert {empty[name] for name in names} == {0.0}
    untracked = interaction_scores([pair([], events, predicted_tracks=[])])
    assert untracked == empty


def test_videos_without_events_are_undefined_alone_and_harmless_among_others():
    nothing = pair()
    assert {value for name, value in interaction_scores([nothing]).items() if name != "per_class"} == {None}
    events = [event(0, 10)]
    assert interaction_scores([nothing, pair(events, events)]) == interaction_scores([pair(events, events)])
    assert interaction_scores([])["micro_f1"] is None


def test_groups_average_the_classes_of_each_size():
    """a: 101 examples, F1 1; b: 100 and c: 20, F1 1 and 0; d: 19 and e (unnamed, so 0): F1 0 and 1; f never occurs."""
    counts = {name: FrameCounts(*((8, 0, 0) if name in "abe" else (0, 0, 8))) for name in "abcde"}
    counts["f"] = FrameCounts(0, 3, 0)
    training = {"a": 101, "b": 100, "c": 20, "d": 19, "f": 1000, "unseen": 5}
    groups = summarise_recognition([VideoRecognition("clip", counts)], training)["groups"]
    assert {name: (g["f1"], g["num_classes"]) for name, g in groups.items()} == {
        "many": (1.0, 1),
        "medium": (0.5, 2),
        "few": (0.5, 2),
    }


def test_group_thresholds_are_arguments_and_empty_groups_are_undefined():
    training = {"push": 5}
    video = pair([event(0, 4)], [event(0, 10)])
    groups = interaction_scores([video], training, many_shot=4, few_shot=2)["groups"]
    assert groups["many"]["recall"] == 0.4
    assert groups["few"] == {"precision": None, "recall": None, "f1": None, "num_classes": 0}
    assert "groups" not in interaction_scores([video])


def test_wrong_groups_are_named():
    with pytest.raises(ValueError, match="got few_shot 30 and many_shot 20"):
        shot_groups(["push"], {}, many_shot=20, few_shot=30)
    with pytest.raises(ValueError, match="training counts must be at least 0, got -1 for 'push'"):
        shot_groups(["push"], {"push": -1})
