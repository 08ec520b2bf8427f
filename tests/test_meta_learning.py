"""The inner loop is exact, episodes keep their parts apart, and wrong settings are refused."""

import copy

import pytest
import torch
from tiny_models import clip_inputs, clip_labels, prompt_inputs, tiny_model

from modeling_semtrack.meta_learning import (
    Episode,
    InnerLoopSettings,
    MetaEpisode,
    fast_weights,
    inner_loop,
)
from modeling_semtrack.motion_semtrack import MOTION_SIZE
from modeling_semtrack.surroundings_semtrack import COLUMNS, ROWS
from modeling_semtrack.training_clips import SemanticTrainer

HIDDEN, TOKENS = 32, 16


def an_episode(seed=0, clips=1, steps=6):
    """Random features of clips; the first half of the steps is the support set."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    inputs = clip_inputs(clips, steps)
    features = {
        name: torch.randn(clips, steps, *shape, HIDDEN, generator=generator)
        for name, shape in (
            ("view_features", (TOKENS,)),
            ("view_embeds", (TOKENS,)),
            ("scene_features", (TOKENS,)),
            ("target_embeds", ()),
            ("regions", (ROWS * COLUMNS * 2,)),
        )
    }
    features["regions"] = features["regions"].flatten(2)
    features["motion"] = torch.rand(clips, steps, MOTION_SIZE, generator=generator)
    places = {name: inputs[name] for name in ("target_boxes", "view_windows", "times")}
    support = torch.arange(steps).repeat(clips, 1) < steps // 2
    grid = (4, 4)
    return Episode(
        {**features, **places, "grid": grid, "scene_grid": grid, "labels": clip_labels(clips, steps)},
        support,
        ~support,
    )


def doubles(episode):
    """The same episode in float64."""
    clips = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in episode.clips.items()}
    return Episode(clips, episode.support, episode.query)


def test_one_inner_step_on_a_parabola_is_what_one_computes_by_hand():
    """w' = w - a * dL/dw with L = (w - 3)^2: from 1 with rate 0.1 to 1.4; d(w' - 3)^2/dw = 2 (w' - 3)(1 - 2a)."""
    w = torch.tensor(1.0, requires_grad=True)
    adapted = inner_loop(lambda weights: (weights["w"] - 3) ** 2, {"w": w}, steps=1, rates=0.1)
    assert adapted["w"].item() == pytest.approx(1.4)
    ((adapted["w"] - 3) ** 2).backward()
    assert w.grad.item() == pytest.approx(2 * (1.4 - 3) * (1 - 0.2))


def test_first_order_takes_the_inner_gradient_for_a_constant():
    w = torch.tensor(1.0, requires_grad=True)
    adapted = inner_loop(lambda weights: (weights["w"] - 3) ** 2, {"w": w}, 1, 0.1, first_order=True)
    ((adapted["w"] - 3) ** 2).backward()
    assert w.grad.item() == pytest.approx(2 * (1.4 - 3))


def test_no_inner_step_leaves_the_weights_as_they_are():
    w = torch.tensor(1.0, requires_grad=True)
    assert inner_loop(lambda weights: weights["w"] ** 2, {"w": w}, 0, 0.1)["w"] is w


@pytest.mark.parametrize("fast", ["head", "semantic"])
def test_the_outer_gradient_is_the_slope_of_the_outer_loss(fast):
    """Second order, against finite differences in float64, along a random direction of all slow weights."""
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model().double())
    meta = MetaEpisode(trainer, InnerLoopSettings(fast, steps=2, rate=0.05))
    episode = doubles(an_episode())
    slow = [p for n, p in trainer.named_parameters() if n.startswith("model.semantic_head.")]
    gradients = torch.autograd.grad(meta([episode]).loss, slow)
    direction = [torch.randn_like(p) for p in slow]
    slope = sum((g * d).sum() for g, d in zip(gradients, direction)).item()

    def loss_at(distance):
        moved = copy.deepcopy(meta)
        weights = [p for n, p in moved.trainer.named_parameters() if n.startswith("model.semantic_head.")]
        with torch.no_grad():
            for weight, step in zip(weights, direction):
                weight.add_(step, alpha=distance)
        return moved([episode]).loss.item()

    step = 1e-6
    assert slope == pytest.approx((loss_at(step) - loss_at(-step)) / (2 * step), rel=1e-4)


def test_first_and_second_order_agree_on_the_loss_and_differ_in_the_gradient():
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model().double())
    episode = doubles(an_episode())
    weight = trainer.model.semantic_head.readout.interaction_classifier.weight
    losses, gradients = [], []
    for first_order in (False, True):
        loss = MetaEpisode(trainer, InnerLoopSettings(steps=2, rate=0.1, first_order=first_order))([episode]).loss
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, weight)[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-6


def test_zero_inner_steps_are_ordinary_training_on_the_query_set():
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model())
    episode = an_episode()
    meta = MetaEpisode(trainer, InnerLoopSettings(steps=0))
    inputs = {name: value for name, value in episode.clips.items() if name != "labels"}
    assert meta([episode]).loss.item() == pytest.approx(trainer(episode.labels(episode.query), **inputs).loss.item())


def test_adapting_lowers_the_loss_on_the_support_set():
    torch.manual_seed(0)
    episode = an_episode()
    meta = MetaEpisode(SemanticTrainer(tiny_model()), InnerLoopSettings(steps=10, rate=0.05))
    weights, forward = meta.adapt(episode)
    before = forward(fast_weights(meta.trainer, "head"), episode.labels(episode.support)).loss
    assert forward(weights, episode.labels(episode.support)).loss < 0.8 * before


def test_the_query_labels_do_not_leak_into_the_inner_loop():
    torch.manual_seed(0)
    meta = MetaEpisode(SemanticTrainer(tiny_model()), InnerLoopSettings(steps=2, rate=0.1))
    episode = an_episode()
    weights, _ = meta.adapt(episode)
    episode.clips["labels"].interactions[episode.query] = 0
    again, _ = meta.adapt(episode)
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_the_model_is_the_same_bits_after_an_episode():
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model())
    before = copy.deepcopy(trainer.state_dict())
    MetaEpisode(trainer, InnerLoopSettings("semantic", steps=2))([an_episode()]).loss.backward()
    assert all(torch.equal(value, before[name]) for name, value in trainer.state_dict().items())


def test_learned_rates_start_at_the_given_one_and_get_a_gradient():
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model())
    fixed = MetaEpisode(trainer, InnerLoopSettings(steps=2, rate=0.05))
    learned = MetaEpisode(trainer, InnerLoopSettings(steps=2, rate=0.05, learn_rates=True))
    loss = learned([an_episode()]).loss
    assert loss.item() == pytest.approx(fixed([an_episode()]).loss.item(), rel=1e-5)
    loss.backward()
    assert all(rate.grad is not None and rate.grad.abs().sum() > 0 for rate in learned.rates.values())


def test_reptile_moves_towards_the_adapted_weights():
    """Its gradient is the way back from them: slow - adapted."""
    torch.manual_seed(0)
    trainer = SemanticTrainer(tiny_model())
    meta = MetaEpisode(trainer, InnerLoopSettings(steps=3, rate=0.05, algorithm="reptile"))
    episode = an_episode()
    everything = torch.ones_like(episode.support)
    adapted, _ = meta.adapt(Episode(episode.clips, everything, everything))
    meta([episode]).loss.backward()
    for name, weight in fast_weights(trainer, "head").items():
        assert torch.allclose(weight.grad, weight - adapted[name], atol=1e-6)


def test_several_episodes_count_alike():
    torch.manual_seed(0)
    meta = MetaEpisode(SemanticTrainer(tiny_model()), InnerLoopSettings(steps=1))
    first, second = an_episode(0), an_episode(1, steps=8)
    alone = [meta([episode]).loss.item() for episode in (first, second)]
    assert meta([first, second]).loss.item() == pytest.approx(sum(alone) / 2)


def test_activation_checkpointing_over_fast_weights_is_refused():
    model = tiny_model()
    model.gradient_checkpointing_enable()
    trainer = SemanticTrainer(model)
    with pytest.raises(ValueError, match="semantic_head.layers.0.*disable it"):
        fast_weights(trainer, "semantic")
    assert fast_weights(trainer, "head")  # nothing checkpointed holds the readout


def test_lora_needs_an_adapter():
    with pytest.raises(ValueError, match="adapter"):
        fast_weights(SemanticTrainer(tiny_model()), "lora")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fast": "all"}, "fast must be one of"),
        ({"algorithm": "anil"}, "algorithm must be one of"),
        ({"steps": -1}, "steps=-1"),
        ({"rate": 0.0}, "rate=0.0"),
        ({"algorithm": "reptile", "learn_rates": True}, "reptile"),
        ({"algorithm": "reptile", "steps": 0}, "reptile"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        InnerLoopSettings(**changes)


def test_the_prompted_model_needs_no_episode():
    """Episodes are an addition: the model's own forward still works on the same network."""
    model = tiny_model()
    SemanticTrainer(model)
    output = model(**clip_inputs(), **prompt_inputs("template"))
    assert output.interaction_logits.shape[:2] == (2, 4)
