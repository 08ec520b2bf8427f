"""Losses against hand-computed values, and labels that must not count."""

import itertools
import math

import pytest
import torch
from tiny_models import OBJECTS, clip_inputs, clip_labels, no_events, prompt_inputs, tiny_config, tiny_model

from modeling_semtrack.loss_semtrack import (
    IGNORE,
    SemTrackTargets,
    activity_loss,
    center_heatmap,
    focal_loss,
    generalized_iou,
    match_interactions,
    semantic_losses,
    semtrack_loss,
    tracking_losses,
)

NOWHERE = [float("nan")] * 4
NO_OBJECT = len(OBJECTS)


def logits_of(*classes, count, sure=10.0):
    """Logits [1, queries, count] that are sure of one class per query."""
    return sure * torch.nn.functional.one_hot(torch.tensor([classes]), count).float()


def view_targets(interactions, objects, boxes, described=None):
    """Semantic labels of one view."""
    return SemTrackTargets(
        boxes=torch.tensor([[0.5, 0.5, 0.2, 0.2]]),
        presence=torch.ones(1),
        interactions=torch.tensor([interactions]),
        objects=torch.tensor([objects]),
        object_boxes=torch.tensor([boxes]),
        described=None if described is None else torch.tensor([described]),
    )


# Boxes


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4], 1.0),
        # Two unit squares side by side: no overlap, and the hull is full.
        ([0.5, 0.5, 1.0, 1.0], [1.5, 0.5, 1.0, 1.0], 0.0),
        # A gap of one square between them: hull 3, union 2.
        ([0.5, 0.5, 1.0, 1.0], [2.5, 0.5, 1.0, 1.0], -1 / 3),
        # Overlap of a quarter: intersection 1, union 7, hull 9.
        ([1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0], 1 / 7 - 2 / 9),
        # One inside the other: the hull is the larger one.
        ([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], 0.25),
    ],
)
def test_generalized_iou_equals_the_hand_computed_one(first, second, expected):
    first, second = torch.tensor([first]), torch.tensor([second])
    for pair in ((first, second), (second, first)):
        torch.testing.assert_close(generalized_iou(*pair), torch.tensor([expected]))


def test_boxes_without_area_have_a_finite_generalized_iou_and_gradient():
    first = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    value = generalized_iou(first, torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(first.grad).all()


# Centre map


@pytest.mark.parametrize("rows, columns", [(4, 4), (16, 16), (6, 9)])
def test_the_heatmap_is_exactly_one_at_the_centre_cell_alone(rows, columns):
    boxes = torch.rand(50, 4) * torch.tensor([0.999, 0.999, 0.8, 0.8])
    heat = center_heatmap(boxes, (rows, columns))
    for box, item in zip(boxes, heat):
        centre = [int(box[1] * rows), int(box[0] * columns)]
        assert (item == 1).nonzero().tolist() == [centre]
        assert item.min() >= 0


@pytest.mark.parametrize("x, cell", [(0.0, 0), (1.0, 3), (-0.5, 0), (1.5, 3)])
def test_centres_outside_the_view_go_to_its_border(x, cell):
    heat = center_heatmap(torch.tensor([[x, 0.5, 0.2, 0.2]]), (4, 4))
    assert (heat[0] == 1).nonzero().tolist() == [[2, cell]]


def test_the_heatmap_spreads_with_the_box():
    wide = center_heatmap(torch.tensor([[0.53, 0.53, 0.9, 0.1]]), (16, 16))[0]
    assert wide[8, 10] == pytest.approx(math.exp(-(2**2) / (2 * (0.9 * 16 / 6) ** 2)))
    assert wide[10, 8] == pytest.approx(math.exp(-(2**2) / (2 * 0.5**2)))  # at least half a cell


def test_the_focal_loss_of_a_2x2_map_equals_the_hand_computed_one():
    heat = torch.tensor([[[1.0, 0.5], [0.0, 0.25]]])
    p = torch.tensor([[[0.6, 0.3], [0.2, 0.9]]])
    expected = -(
        0.4**2 * math.log(0.6)
        + 0.5**4 * 0.3**2 * math.log(0.7)
        + 1.0 * 0.2**2 * math.log(0.8)
        + 0.75**4 * 0.9**2 * math.log(0.1)
    )
    assert focal_loss(p.logit(), heat).item() == pytest.approx(expected, rel=1e-5)


def test_the_focal_loss_is_counted_per_visible_target():
    heat = torch.tensor([[[1.0, 0.5], [0.0, 0.25]]])
    logits = torch.randn(1, 2, 2)
    one = focal_loss(logits, heat)
    torch.testing.assert_close(focal_loss(logits.repeat(3, 1, 1), heat.repeat(3, 1, 1)), one)


def test_extreme_scores_have_finite_losses_and_gradients():
    logits = torch.tensor([[[1e4, -1e4], [-1e4, 1e4]]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[[0.0, 1.0], [0.2, 0.5]]]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


# Tracking


def test_a_perfect_answer_costs_nothing():
    box = torch.tensor([[0.4, 0.6, 0.2, 0.1]])
    heat = center_heatmap(box, (8, 8))
    everywhere = box[:, :, None, None].expand(1, 4, 8, 8)
    losses = tracking_losses(torch.where(heat == 1, 20.0, -20.0), everywhere, box, torch.ones(1))
    assert all(value.item() == pytest.approx(0.0, abs=1e-6) for value in losses.values())


def test_only_cells_near_the_centre_learn_the_box():
    box = torch.tensor([[0.4, 0.6, 0.2, 0.1]])
    boxes = torch.rand(1, 4, 8, 8, requires_grad=True)
    losses = tracking_losses(torch.zeros(1, 8, 8), boxes, box, torch.ones(1))
    (losses["box_l1"] + losses["box_giou"]).backward()
    learning = boxes.grad.abs().sum(1)[0] > 0
    assert torch.equal(learning, center_heatmap(box, (8, 8))[0] >= 0.3)


def test_the_l1_loss_is_the_weighted_mean_of_the_distances():
    box = torch.tensor([[0.4, 0.6, 0.2, 0.1]])
    off = (box + 0.05)[:, :, None, None].expand(1, 4, 8, 8)
    assert tracking_losses(torch.zeros(1, 8, 8), off, box, torch.ones(1))["box_l1"].item() == pytest.approx(0.2)


def test_absent_targets_add_no_box_loss_and_an_empty_map():
    boxes = torch.rand(1, 4, 8, 8, requires_grad=True)
    scores = torch.zeros(1, 8, 8, requires_grad=True)
    losses = tracking_losses(scores, boxes, torch.tensor([[0.4, 0.6, 0.2, 0.1]]), torch.zeros(1))
    assert losses["box_l1"] == 0 and losses["box_giou"] == 0
    sum(losses.values()).backward()
    assert (boxes.grad == 0).all()
    assert (scores.grad > 0).all()  # every score is to fall


def test_an_absent_target_does_not_change_the_box_loss_of_a_visible_one():
    visible, boxes, scores = torch.tensor([[0.4, 0.6, 0.2, 0.1]]), torch.rand(2, 4, 8, 8), torch.randn(2, 8, 8)
    alone = tracking_losses(scores[:1], boxes[:1], visible, torch.ones(1))
    both = tracking_losses(scores, boxes, torch.cat([visible, visible]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(both["box_l1"], alone["box_l1"])
    torch.testing.assert_close(both["box_giou"], alone["box_giou"])


def test_absent_boxes_may_be_nan_without_nan_gradients():
    model = tiny_model().train()
    labels = clip_labels()
    labels.presence[:, 1:] = 0.0
    labels.boxes[:, 1:] = float("nan")
    output = model(**clip_inputs(), **prompt_inputs(), labels=labels)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_presence_is_learnt_from_the_label():
    model = tiny_model()
    inputs = {**clip_inputs(), **prompt_inputs()}
    labels = clip_labels()
    labels.presence[0] = 0.0
    output = model(**inputs, labels=labels)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output.presence_logits, labels.presence)
    torch.testing.assert_close(output.losses["presence"], expected)


# Matching


def test_matching_finds_the_right_permutation():
    """Queries that are sure of one event each, in every order, are matched to just these events."""
    boxes = [[0.2, 0.2, 0.1, 0.1], [0.8, 0.2, 0.1, 0.1], [0.5, 0.8, 0.1, 0.1]]
    targets = view_targets([2, 0, 3], [1, 2, 0], boxes)
    for order in itertools.permutations(range(3)):
        interactions = logits_of(*(targets.interactions[0, i] for i in order), count=5)
        objects = logits_of(*(targets.objects[0, i] for i in order), count=4)
        ((queries, events),) = match_interactions(interactions, objects, torch.tensor([boxes])[:, list(order)], targets)
        assert [order[query] for query in queries] == events.tolist()


def test_matching_uses_the_box_where_classes_do_not_decide():
    targets = view_targets([1, 1], [0, 0], [[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]])
    boxes = torch.tensor([[[0.5, 0.1, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1], [0.2, 0.2, 0.1, 0.1]]])
    ((queries, events),) = match_interactions(torch.zeros(1, 3, 5), torch.zeros(1, 3, 4), boxes, targets)
    assert dict(zip(queries.tolist(), events.tolist())) == {2: 0, 1: 1}


def test_matching_looks_past_padding_unknown_objects_and_unknown_boxes():
    targets = view_targets([IGNORE, 2, 0], [IGNORE, IGNORE, 1], [NOWHERE, NOWHERE, [0.5, 0.5, 0.1, 0.1]])
    ((queries, events),) = match_interactions(
        logits_of(0, 4, 2, count=5), logits_of(1, 3, 3, count=4), torch.full((1, 3, 4), 0.5), targets
    )
    assert dict(zip(queries.tolist(), events.tolist())) == {2: 1, 0: 2}


def test_a_view_without_events_matches_nothing():
    interactions, objects, boxes = no_events(batch=1)
    targets = SemTrackTargets(torch.zeros(1, 4), torch.ones(1), interactions, objects, boxes)
    ((queries, events),) = match_interactions(torch.zeros(1, 3, 5), torch.zeros(1, 3, 4), torch.rand(1, 3, 4), targets)
    assert len(queries) == len(events) == 0


def test_more_events_than_queries_leave_some_events_out():
    targets = view_targets([0, 1, 2], [0, 0, 0], [[0.5, 0.5, 0.1, 0.1]] * 3)
    ((queries, events),) = match_interactions(
        logits_of(2, 0, count=5), torch.zeros(1, 2, 4), torch.full((1, 2, 4), 0.5), targets
    )
    assert dict(zip(queries.tolist(), events.tolist())) == {0: 2, 1: 0}


# Semantics


def losses_of(targets, interactions, objects, boxes=None, activity=None):
    boxes = torch.full((1, interactions.shape[1], 4), 0.5) if boxes is None else boxes
    activity = torch.zeros(1, interactions.shape[-1]) if activity is None else activity
    return semantic_losses(activity, interactions, objects, boxes, targets, tiny_config().none_weight)


def test_a_perfect_description_costs_nothing():
    box = [0.3, 0.4, 0.1, 0.2]
    losses = losses_of(
        view_targets([2, IGNORE], [1, IGNORE], [box, NOWHERE]),
        logits_of(4, 2, 4, count=5, sure=50.0),
        logits_of(NO_OBJECT, 1, NO_OBJECT, count=4, sure=50.0),
        torch.tensor([[[0.9, 0.9, 0.1, 0.1], box, [0.1, 0.1, 0.1, 0.1]]]),
        logits_of(2, count=5, sure=50.0)[:, 0],
    )
    assert all(value.item() == pytest.approx(0.0, abs=1e-6) for value in losses.values())


def test_none_weighs_as_little_as_the_configuration_says():
    """One matched query and two without an event: (1 log 5 + 2 * 0.2 log 5) / (1 + 2 * 0.2)."""
    skewed = torch.zeros(1, 3, 5)
    skewed[..., 4] = 1.0  # a little towards none
    losses = losses_of(view_targets([0], [0], [NOWHERE]), skewed, torch.zeros(1, 3, 4))
    log_sum = math.log(4 + math.e)
    assert losses["interaction"].item() == pytest.approx((log_sum + 0.4 * (log_sum - 1)) / 1.4)
    assert losses["object"].item() == pytest.approx(math.log(4))


def test_the_object_box_loss_is_l1_and_generalized_iou():
    truth, guess = [0.5, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]
    losses = losses_of(
        view_targets([2], [1], [truth]), logits_of(2, count=5), logits_of(1, count=4), torch.tensor([[guess]])
    )
    giou = 1 / 3  # intersection 0.02, union 0.06, and the hull has no gap
    assert losses["object_box"].item() == pytest.approx((5 * 0.1 + 2 * (1 - giou)) / 2, rel=1e-5)


def test_an_unknown_object_teaches_no_object_class():
    logits = torch.randn(1, 1, 4, requires_grad=True)
    losses = losses_of(view_targets([2], [IGNORE], [NOWHERE]), logits_of(2, count=5), logits)
    losses["object"].backward()
    assert losses["object"] == 0 and (logits.grad == 0).all()


def test_no_object_is_a_class_to_be_learnt():
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    losses_of(view_targets([2], [NO_OBJECT], [NOWHERE]), logits_of(2, count=5), logits)["object"].backward()
    assert logits.grad.argmin() == NO_OBJECT


def test_an_unknown_object_box_gives_neither_loss_nor_nan():
    boxes = torch.rand(1, 2, 4, requires_grad=True)
    losses = losses_of(view_targets([2], [1], [NOWHERE]), torch.zeros(1, 2, 5), torch.zeros(1, 2, 4), boxes)
    losses["object_box"].backward()
    assert losses["object_box"] == 0 and (boxes.grad == 0).all()


def test_views_that_are_not_described_add_nothing():
    """Whatever their labels hold: neither classes nor boxes."""
    interactions, objects = torch.randn(1, 2, 5, requires_grad=True), torch.randn(1, 2, 4, requires_grad=True)
    boxes, activity = torch.rand(1, 2, 4, requires_grad=True), torch.randn(1, 5, requires_grad=True)
    targets = view_targets([2], [1], [[0.5, 0.5, 0.2, 0.2]], described=False)
    losses = losses_of(targets, interactions, objects, boxes, activity)
    sum(losses.values()).backward()
    for value in losses.values():
        assert value == 0
    assert all((tensor.grad == 0).all() for tensor in (interactions, objects, boxes, activity))


def test_described_views_without_events_teach_none():
    interactions, objects, boxes = no_events(batch=1)
    targets = SemTrackTargets(torch.zeros(1, 4), torch.ones(1), interactions, objects, boxes, torch.tensor([True]))
    logits, activity = torch.zeros(1, 3, 5, requires_grad=True), torch.zeros(1, 5, requires_grad=True)
    losses = losses_of(targets, logits, torch.zeros(1, 3, 4), activity=activity)
    (losses["interaction"] + losses["activity"]).backward()
    for grad in (logits.grad, activity.grad):
        assert (grad[..., -1] < 0).all() and (grad[..., :-1] > 0).all()


# What the target does


def targets_of(*views, described=None):
    """The interactions of each view, padded to two."""
    interactions, objects, boxes = no_events(batch=len(views))
    for row, labels in enumerate(views):
        interactions[row, : len(labels)] = torch.tensor(labels)
    known = None if described is None else torch.tensor(described)
    return SemTrackTargets(torch.zeros(len(views), 4), torch.ones(len(views)), interactions, objects, boxes, known)


def test_a_view_counts_for_each_of_its_interactions_and_for_none_where_it_has_none():
    """One label, two labels, no label: four terms of equal weight, against -log softmax by hand."""
    rows = [[1.0, 0.0, 2.0], [0.5, 3.0, 0.0], [0.0, 1.0, -1.0]]
    logits = torch.tensor(rows)
    logs = [[value - math.log(sum(map(math.exp, row))) for value in row] for row in rows]
    expected = -(logs[0][1] + logs[1][0] + logs[1][1] + logs[2][2]) / 4
    assert activity_loss(logits, targets_of([1], [0, 1], [])).item() == pytest.approx(expected)


def test_views_that_are_not_described_are_no_part_of_the_mean():
    """Neither those with interactions nor those without."""
    logits = torch.randn(4, 3, requires_grad=True)
    loss = activity_loss(logits, targets_of([1], [0], [], [], described=[True, False, True, False]))
    torch.testing.assert_close(loss, activity_loss(logits[[0, 2]], targets_of([1], [])))
    loss.backward()
    assert not logits.grad[[1, 3]].any() and (logits.grad[[0, 2]] != 0).all()


def test_nothing_described_costs_nothing():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = activity_loss(logits, targets_of([1], [], described=[False, False]))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_classes_of_the_activity_may_weigh_differently():
    """A label of weight 3 and "none" of weight 0.5: (3 a + 0.5 b) / 3.5."""
    logits = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    costs = -logits.log_softmax(-1)
    expected = (3 * costs[0, 1] + 0.5 * costs[1, 2]) / 3.5
    weight = torch.tensor([1.0, 3.0, 0.5])
    torch.testing.assert_close(activity_loss(logits, targets_of([1], []), weight=weight), expected)


def test_another_loss_gets_the_labelled_rows_and_their_weights():
    given = []
    logits = torch.randn(3, 3)
    targets = targets_of([1], [0, 1], [], described=[True, True, False])
    result = activity_loss(logits, targets, lambda *parts: given.append(parts) or torch.tensor(7.0))
    ((rows, labels, weight),) = given
    assert result == 7 and labels.tolist() == [1, 0, 1] and weight.tolist() == [1, 1, 1]
    assert torch.equal(rows, logits[[0, 1, 1]])


def test_the_labels_stay_as_they_are():
    targets = targets_of([1], [], described=[False, True])
    before = targets.interactions.clone()
    activity_loss(torch.randn(2, 3), targets)
    assert torch.equal(targets.interactions, before)


# All together


def test_the_loss_is_the_weighted_sum_of_its_terms():
    model = tiny_model(object_box_loss_weight=3, presence_loss_weight=0.5, activity_loss_weight=2)
    output = model(**clip_inputs(), **prompt_inputs(), labels=clip_labels())
    tracking = {"score", "box_l1", "box_giou", "presence"}
    assert set(output.losses) == {*tracking, "activity", "interaction", "object", "object_box"}
    weights = {name: getattr(model.config, f"{name}_loss_weight") for name in output.losses}
    assert weights["object_box"] == 3 and weights["activity"] == 2
    torch.testing.assert_close(output.loss, sum(weights[name] * value for name, value in output.losses.items()))


def test_without_semantic_labels_only_tracking_is_learnt():
    labels = clip_labels()
    labels = SemTrackTargets(labels.boxes, labels.presence)
    output = tiny_model()(**clip_inputs(), **prompt_inputs(), labels=labels)
    assert set(output.losses) == {"score", "box_l1", "box_giou", "presence"}


def test_labels_of_clips_are_those_of_their_views():
    model = tiny_model()
    clip, prompts, labels = clip_inputs(batch=1), prompt_inputs(batch=1), clip_labels(batch=1)
    output = model(**clip, **prompts, labels=labels)
    flat = {name: output[name].flatten(0, 1) for name in output if name not in ("loss", "losses", "memory")}
    expected = semtrack_loss(type(output)(**flat), labels.flatten(True), model.config)
    for name, value in expected.items():
        torch.testing.assert_close(output.losses[name], value)


def test_labels_move_to_a_device_whole():
    labels = clip_labels()
    moved = labels.to("meta")
    assert {name: value.device.type for name, value in vars(moved).items()} == dict.fromkeys(vars(labels), "meta")
    assert SemTrackTargets(labels.boxes, labels.presence).to("cpu").interactions is None
