"""Remedies for rare classes do what their papers say, in numbers that one can compute by hand."""

import math

import pytest
import torch
from tiny_models import tiny_model
from torch.nn.functional import cross_entropy

from modeling_semtrack.long_tail import (
    EFFECTIVE_BETA,
    LARGEST_MARGIN,
    LDAM_SCALE,
    InteractionLoss,
    begin_retraining,
    finish_retraining,
)

LOGITS = torch.tensor([[2.0, 0.5, 0.0], [0.3, 1.0, -0.2]])  # two queries; classes common, rare, none
LABELS = torch.tensor([0, 1])
EVEN = torch.ones(3)
COUNTS = [90, 10]


def loss(name, labels=LABELS, weight=EVEN):
    return InteractionLoss(name, COUNTS)(LOGITS, labels, weight).item()


def test_cross_entropy_is_torch_s():
    weight = torch.tensor([1.0, 1.0, 0.2])
    labels = torch.tensor([0, 2])
    assert loss("cross_entropy", labels, weight) == pytest.approx(cross_entropy(LOGITS, labels, weight).item())


def test_focal_discounts_what_is_already_known():
    """(1 - p)^2 * -log p."""
    p = LOGITS.softmax(-1)[[0, 1], LABELS].tolist()
    assert loss("focal") == pytest.approx(sum(-math.log(q) * (1 - q) ** 2 for q in p) / 2)


def test_balanced_softmax_adds_the_frequencies_to_the_logits():
    """Shares of 90 and 10 examples, 50 on average: log 1.8 and log 0.2; "none" keeps its logit."""
    shifted = LOGITS + torch.tensor([math.log(1.8), math.log(0.2), 0.0])
    assert loss("balanced_softmax") == pytest.approx(cross_entropy(shifted, LABELS).item())


def test_ldam_asks_rare_classes_for_a_larger_margin():
    """Margins go with n^(-1/4), the rarest class has the largest one."""
    margin = [LARGEST_MARGIN * (10 / 90) ** 0.25, LARGEST_MARGIN]
    shifted = LOGITS.clone()
    for row, label in enumerate(LABELS.tolist()):
        shifted[row, label] -= LDAM_SCALE * margin[label]
    assert loss("ldam") == pytest.approx(cross_entropy(shifted, LABELS).item())


def test_ldam_reweights_rare_classes_when_told_to():
    """Weights (1 - beta) / (1 - beta^n), with a mean of 1 over the classes."""
    criterion = InteractionLoss("ldam", COUNTS)
    before = criterion(LOGITS, LABELS, EVEN).item()
    criterion.reweight()
    effective = [(1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**n) for n in COUNTS]
    rows = [criterion(LOGITS[i : i + 1], LABELS[i : i + 1], EVEN).item() for i in range(2)]
    expected = sum(w * row for w, row in zip(effective, rows)) / sum(effective)
    assert criterion(LOGITS, LABELS, EVEN).item() == pytest.approx(expected)
    assert expected != pytest.approx(before)


def test_only_ldam_has_a_second_phase():
    criterion = InteractionLoss("cross_entropy", COUNTS)
    before = criterion(LOGITS, LABELS, EVEN).item()
    criterion.reweight()
    assert criterion(LOGITS, LABELS, EVEN).item() == before


@pytest.mark.parametrize(("name", "counts"), [("hinge", [1, 2]), ("focal", [1, 0]), ("focal", [])])
def test_unknown_losses_and_classes_without_examples_are_refused(name, counts):
    with pytest.raises(ValueError):
        InteractionLoss(name, counts)


def test_nothing_annotated_costs_nothing():
    for name in ("cross_entropy", "focal", "balanced_softmax", "ldam"):
        assert InteractionLoss(name, COUNTS)(LOGITS[:0], LABELS[:0], EVEN).item() == 0.0


def test_crt_starts_the_classifier_anew():
    readout = tiny_model().semantic_head.readout
    before = readout.activity_classifier.weight.clone()
    parameters = begin_retraining(readout, "crt")
    assert {id(p) for p in parameters} == {id(p) for p in readout.activity_classifier.parameters()}
    assert not torch.equal(readout.activity_classifier.weight, before)


def test_lws_scales_the_rows_of_the_classes_and_leaves_none_alone():
    readout = tiny_model().semantic_head.readout
    classifier = readout.activity_classifier
    weight, bias = classifier.weight.detach().clone(), classifier.bias.detach().clone()
    (scale,) = begin_retraining(readout, "lws")
    assert torch.equal(classifier.weight, weight)  # it starts at 1
    with torch.no_grad():
        scale[1] = 3.0
    finish_retraining(readout)
    expected = torch.ones(len(weight))
    expected[1] = 3.0
    assert torch.allclose(classifier.weight, weight * expected[:, None])
    assert torch.allclose(classifier.bias, bias * expected)
    assert set(readout.state_dict()) == set(tiny_model().semantic_head.readout.state_dict())


def test_unknown_second_stages_are_refused():
    with pytest.raises(ValueError, match="crt, lws"):
        begin_retraining(tiny_model().semantic_head.readout, "bagging")
