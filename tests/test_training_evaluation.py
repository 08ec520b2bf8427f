"""Recognised steps are counted as one would count them by hand."""

import torch
from tiny_models import clip_labels

from modeling_semtrack.loss_semtrack import IGNORE
from modeling_semtrack.training_evaluation import count_recognised

NAMES = {0: "approach", 1: "chase", 2: "hit", 3: "carry"}
SURE = 8.0


def logits_of(*steps):
    """[1, steps, 5]: each step's interactions are equally likely; "none" where there are none."""
    logits = torch.zeros(1, len(steps), 5)
    for number, said in enumerate(steps):
        logits[0, number, list(said) or 4] = SURE
    return logits


def labels_of(*steps):
    labels = clip_labels(batch=1, steps=len(steps))
    labels.interactions.fill_(IGNORE)
    for number, true in enumerate(steps):
        for slot, label in enumerate(true):
            labels.interactions[0, number, slot] = label
    return labels


def test_hits_false_alarms_and_misses_are_told_apart():
    said, true = [(1,), (1, 2), (), (3,)], [(1,), (1,), (2,), ()]
    counts = count_recognised(logits_of(*said), labels_of(*true), torch.ones(1, 4, dtype=torch.bool), NAMES)
    assert counts == {"chase": (2, 0, 0), "hit": (0, 1, 1), "carry": (0, 1, 0)}


def test_two_events_of_the_same_interaction_count_once():
    counts = count_recognised(logits_of((1,)), labels_of((1, 1)), torch.ones(1, 1, dtype=torch.bool), NAMES)
    assert counts == {"chase": (1, 0, 0)}


def test_what_is_less_likely_than_the_threshold_is_not_said():
    """Three that are equally likely are said (a third each), four are not (a quarter)."""
    counts = count_recognised(logits_of((0, 1, 2), (0, 1, 2, 3)), labels_of((), ()), torch.ones(1, 2).bool(), NAMES)
    assert counts == {"approach": (0, 1, 0), "chase": (0, 1, 0), "hit": (0, 1, 0)}


def test_steps_outside_the_mask_are_not_counted():
    counted = torch.tensor([[True, False]])
    counts = count_recognised(logits_of((1,), (2,)), labels_of((1,), (0,)), counted, NAMES)
    assert counts == {"chase": (1, 0, 0)}
