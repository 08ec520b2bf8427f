"""Recognised steps are counted as one would count them by hand."""

import torch
from tiny_models import clip_labels

from modeling_semtrack.loss_semtrack import IGNORE
from modeling_semtrack.training_evaluation import count_recognised

NAMES = {0: "approach", 1: "chase", 2: "hit", 3: "carry"}
SURE = 8.0


def logits_of(*steps, queries=3):
    """[1, steps, queries, 5]: each step's interactions said by one query each, "none" by the others."""
    logits = torch.zeros(1, len(steps), queries, 5)
    logits[..., 4] = SURE
    for number, said in enumerate(steps):
        for query, label in enumerate(said):
            logits[0, number, query] = 0.0
            logits[0, number, query, label] = SURE
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


def test_two_queries_that_say_the_same_count_once():
    counts = count_recognised(logits_of((1, 1)), labels_of((1,)), torch.ones(1, 1, dtype=torch.bool), NAMES)
    assert counts == {"chase": (1, 0, 0)}


def test_steps_outside_the_mask_are_not_counted():
    counted = torch.tensor([[True, False]])
    counts = count_recognised(logits_of((1,), (2,)), labels_of((1,), (0,)), counted, NAMES)
    assert counts == {"chase": (1, 0, 0)}
