"""The ablation judges all models at the same steps, with the metrics' own numbers, and changes none of them."""

import numpy as np
import pytest
import torch
from test_training_clips import a_clip
from tiny_models import INTERACTIONS, tiny_model

from benchmarks.ablation_scores import (
    NO_LABELS,
    SCENE_DEPENDENT,
    Judged,
    adapted_logits,
    best_threshold,
    joined,
    judge,
    new_episodes,
    scores,
)
from benchmarks.ablation_world import Followed
from metrics.semtrack.rows import pair_rows
from metrics.semtrack.semantic_trajectory import trajectory_scores
from modeling_semtrack.meta_learning import InnerLoopSettings, MetaEpisode
from modeling_semtrack.training_clips import SemanticTrainer

NAMES = {0: "push", 1: "carry", 2: "cross"}


def a_judged(steps=40, seed=0):
    rng = np.random.default_rng(seed)
    return Judged(rng.random((steps, 3)), rng.random((steps, 3)) < 0.4, rng.random(steps) < 0.7)


def followed(clip, lost=()):
    """A target that the tracker follows exactly, but for some steps."""
    boxes = np.tile([10.0, 10.0, 20.0, 20.0], (len(clip), 1))
    tracked = boxes.copy()
    tracked[list(lost)] = np.nan
    return Followed(clip, boxes, tracked)


def some_videos():
    return [
        [followed(a_clip(8), lost=[2]), followed(a_clip(6, interaction=None, seed=1))],
        [followed(a_clip(7, seed=2))],
    ]


def test_scores_by_hand():
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    said = np.array([[0.9, 0.1, 0.1], [0.2, 0.1, 0.1], [0.1, 0.8, 0.1], [0.9, 0.1, 0.7]])
    found = scores(
        Judged(said, truth, np.array([True, True, False, True])), 0.5, NAMES, {"push": 9, "carry": 4}, (5, 2)
    )
    assert found["per_class"] == {"push": 50.0, "carry": 100.0, "cross": 100.0}
    assert found["f1"]["overall"] == pytest.approx(250 / 3)
    assert (found["f1"]["many"], found["f1"]["medium"], found["f1"]["few"]) == (50.0, 100.0, 100.0)
    assert SCENE_DEPENDENT & set(NAMES.values()) == {"push", "cross"}
    assert (found["f1"]["scene_dependent"], found["f1"]["other"]) == (75.0, 100.0)
    assert found["accuracy"] == {"overall": 25.0, "many": 50.0, "medium": 0.0, "few": 0.0}


def test_accuracy_is_the_metric_s_semantic_trajectory_accuracy():
    judged = a_judged()
    said, box = judged.probabilities >= 0.5, [10.0, 10.0, 20.0, 20.0]

    def row(flags, boxes):
        steps = range(len(flags))
        track = {"track_id": 1, "category": "", "main": True, "score": 1.0, "frames": list(steps), "boxes": boxes,
                 "scores": [1.0] * len(flags)}  # fmt: skip
        events = [
            {"subject": 1, "interaction": NAMES[c], "object": "", "object_track": -1, "start_frame": int(s),
             "end_frame": int(s) + 1, "score": 1.0, "object_frames": [], "object_boxes": []}
            for s, c in np.argwhere(flags)
        ]  # fmt: skip
        return {"video_id": "v", "num_frames": len(flags), "fps": 1.0, "tracks": [track], "events": events}

    boxes = [box if right else [90.0, 90.0, 5.0, 5.0] for right in judged.box_right]
    pairs = pair_rows([row(said, boxes)], [row(judged.truth, [box] * len(said))])
    expected = trajectory_scores(pairs, association="track_id")["accuracy"]
    assert scores(judged, 0.5, NAMES, {}, (5, 2))["accuracy"]["overall"] == pytest.approx(100 * expected)


def test_the_best_threshold_separates_true_from_false():
    truth = np.eye(3, dtype=bool)
    threshold, f1 = best_threshold(Judged(np.where(truth, 0.42, 0.28), truth, np.ones(3, dtype=bool)), NAMES)
    assert 0.28 < threshold <= 0.42 and f1 == 1.0


def test_episodes_are_always_the_same_and_know_where_the_tracker_is_right():
    first, second = new_episodes(some_videos(), 2), new_episodes(some_videos(), 2)
    assert all(
        torch.equal(a.query, b.query) and torch.equal(a.support, b.support) for (a, _), (b, _) in zip(first, second)
    )
    assert first[0][1].sum(1).tolist() == [7, 6]  # one step lost; padding is not right


def test_a_video_in_which_nothing_happens_twice_is_no_episode():
    assert new_episodes([[followed(a_clip(6, interaction=None))]], 2) == []


def test_no_labels_change_nothing_and_steps_are_those_of_the_inner_loop():
    trainer = SemanticTrainer(tiny_model()).eval()
    before = {name: weight.clone() for name, weight in trainer.state_dict().items()}
    (episode, _), *_ = new_episodes(some_videos(), 2)
    logits = adapted_logits(trainer, episode, "head", [NO_LABELS, (1, 0.1), (3, 0.1)])
    with torch.no_grad():
        plain = trainer(**episode.clips).activity_logits
    assert torch.allclose(logits[NO_LABELS], plain, atol=1e-6)
    weights, forward = MetaEpisode(trainer, InnerLoopSettings("head", 3, 0.1, first_order=True)).adapt(episode)
    expected = forward(weights, episode.clips["labels"]).activity_logits
    assert torch.allclose(logits[3, 0.1], expected, atol=1e-5)
    assert not torch.allclose(logits[1, 0.1], plain, atol=1e-4)
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.state_dict().items())


@pytest.mark.parametrize("fast", ["head", "semantic"])
def test_query_steps_alone_are_judged(fast):
    episodes = new_episodes(some_videos(), 2)
    judged = judge(SemanticTrainer(tiny_model()), episodes, fast, [NO_LABELS, (1, 0.1)])
    expected = sum(int(episode.query.sum()) for episode, _ in episodes)
    for said in judged.values():
        assert said.probabilities.shape == said.truth.shape == (expected, len(INTERACTIONS))


def test_joining_keeps_the_order():
    parts = [a_judged(3), a_judged(2, seed=1)]
    assert np.array_equal(joined(parts).box_right, np.concatenate([part.box_right for part in parts]))
