"""The activity is fitted to clips: it tells what lies beside the target, and learns nothing else."""

import pytest
import torch
from tiny_models import tiny_model

from modeling_semtrack import training_activity
from modeling_semtrack.activity_semtrack import GEOMETRY
from modeling_semtrack.long_tail import InteractionLoss
from modeling_semtrack.loss_semtrack import IGNORE, activity_loss
from modeling_semtrack.motion_semtrack import MOTION_SIZE
from modeling_semtrack.surroundings_semtrack import read_cells
from modeling_semtrack.training_activity import GEOMETRY_WEIGHT, LENGTH, MOTION_SHARE, fit_activity
from modeling_semtrack.training_clips import SemanticTrainer, TargetClip, collate_clips

HIDDEN, SIDE = 32, 8  # of the tokens, and of their grid
NONE = 4
FITTED = ("activity.center", "activity.scale", "activity.projection.weight", "activity.projection.bias")
CLASSIFIER = ("readout.activity_classifier.weight", "readout.activity_classifier.bias")
RARE = {"count": 60, "shares": (6, 6, 6, 1, 6), "clearly": 2.0}  # clips in which interaction 3 is
LOOKS = torch.randn(NONE + 1, HIDDEN, generator=torch.Generator().manual_seed(7))  # of what lies beside the target


def a_clip(interactions, generator, clearly=3.0):
    """Noise, but for the token two to the left of the target, which looks as its interaction does."""
    steps = len(interactions)
    tokens = torch.randn(2, steps, SIDE, SIDE, HIDDEN, generator=generator)
    rows, columns = torch.randint(2, SIDE, (2, steps), generator=generator)
    tokens[:, range(steps), rows, columns - 2] += clearly * LOOKS[interactions]
    centers = (torch.stack([columns, rows], dim=-1) + 0.5) / SIDE
    centers = centers + 0.01 * torch.randn(steps, 2, generator=generator)
    sizes = 2 / SIDE * torch.tensor([1.0, 0.5]) * (0.1 * torch.randn(steps, 2, generator=generator)).exp()
    views, embeds = tokens.flatten(2, 3).bfloat16()
    features = {
        "view_features": views,
        "view_embeds": embeds,
        "target_embeds": torch.randn(steps, HIDDEN, generator=generator).bfloat16(),
        "scene_features": torch.randn(steps, 4, HIDDEN, generator=generator).bfloat16(),
        "target_boxes": torch.cat([centers, sizes], dim=-1),
        "view_windows": torch.tensor([0.5, 0.5, 1.0, 1.0]).repeat(steps, 1),
        "times": 1.0 * torch.arange(steps),
    }
    around = (features[name][None] for name in ("view_embeds", "view_features", "target_boxes", "view_windows"))
    features["regions"] = read_cells(*around, (SIDE, SIDE))[0]
    features["motion"] = torch.rand(steps, MOTION_SIZE, generator=generator).bfloat16()
    labels = {
        "interactions": torch.tensor([[IGNORE if label == NONE else label, IGNORE] for label in interactions]),
        "objects": torch.full((steps, 2), IGNORE),
        "object_boxes": torch.full((steps, 2, 4), float("nan")),
    }
    return TargetClip(features, labels, (SIDE, SIDE), (2, 2), "walk")


def some_clips(seed=0, count=40, steps=6, shares=(1, 1, 1, 1, 1), **look):
    """Clips whose steps show interactions, or none, as often as the shares say."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.tensor(shares).float(), count * steps, replacement=True, generator=generator)
    return [a_clip(part, generator, **look) for part in drawn.unflatten(0, (count, steps)).tolist()]


def a_trainer():
    torch.manual_seed(0)
    return SemanticTrainer(tiny_model(num_semantic_layers=1))


def fitted(clips, *given):
    """A trainer whose activity is fitted to clips."""
    trainer = a_trainer()
    fit_activity(trainer, clips, *given)
    return trainer


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.model.semantic_head.state_dict().items()}


@torch.no_grad()
def told(trainer, clips):
    """What is told at each step of clips of one length, and what is true."""
    batch = collate_clips(clips)
    truth = batch["labels"].interactions[..., 0]
    return trainer(**batch).activity_logits.argmax(-1), torch.where(truth == IGNORE, NONE, truth)


@torch.no_grad()
def embeddings_of(trainer, clips):
    batch = collate_clips(clips)
    batch.pop("labels")
    return trainer.decode(**batch)[0].activity.flatten(0, 1)


def recall(trainer, clips, label):
    said, true = told(trainer, clips)
    return float((said == label)[true == label].float().mean())


@pytest.mark.parametrize("most", [8192, 100], ids=["all steps", "some steps"])
def test_what_lies_beside_the_target_is_told_in_fresh_clips(most, monkeypatch):
    """Also where the principal components come from a part of the steps. Chance is a fifth."""
    monkeypatch.setattr(training_activity, "MOST_STEPS", most)
    trainer = fitted(some_clips())
    said, true = told(trainer, some_clips(seed=1))
    assert (said == true).float().mean() > 0.9
    said, true = told(a_trainer(), some_clips(seed=1))
    assert (said == true).float().mean() < 0.5


def test_the_same_seed_gives_the_same_fit():
    clips = some_clips()
    first, second = (weights_of(fitted(clips)) for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_second_fit_forgets_the_first():
    """Its normalisation is taken off the embeddings before they are normalised anew."""
    clips = some_clips()
    twice = fitted(some_clips(seed=2))
    torch.manual_seed(3)
    fit_activity(twice, clips)
    once = a_trainer()
    torch.manual_seed(3)
    fit_activity(once, clips)
    first, second = (embeddings_of(trainer, clips) for trainer in (once, twice))
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)


def test_embeddings_of_the_fitted_clips_have_mean_zero_and_the_wanted_length():
    clips = some_clips()
    embeddings = embeddings_of(fitted(clips), clips)
    torch.testing.assert_close(embeddings.mean(0), torch.zeros(embeddings.shape[1]), atol=1e-3, rtol=0)
    assert embeddings.square().sum(-1).mean().sqrt().item() == pytest.approx(LENGTH, rel=0.01)
    codes, geometry = embeddings.std(0).tensor_split([-GEOMETRY])
    around, motion = codes.unflatten(0, (3, -1)).tensor_split([-MOTION_SIZE], dim=1)
    assert motion.norm().item() == pytest.approx(MOTION_SHARE * around.norm().item(), rel=1e-3)
    typical = around.square().mean().sqrt().item()
    assert geometry.tolist() == pytest.approx([GEOMETRY_WEIGHT * typical] * GEOMETRY, rel=1e-3)


@pytest.mark.parametrize("decay", (training_activity.DECAY, 2e-2))
def test_the_classifier_is_the_optimum_of_the_regularised_regression(decay, monkeypatch):
    """The slope of loss plus decay is nothing there."""
    monkeypatch.setattr(training_activity, "DECAY", decay)
    clips = some_clips(clearly=1.0)
    trainer = fitted(clips)
    classifier = trainer.model.semantic_head.readout.activity_classifier
    loss = activity_loss(classifier(embeddings_of(trainer, clips)), collate_clips(clips)["labels"].flatten(True))
    (loss + decay / 2 * classifier.weight.square().sum()).backward()
    assert classifier.weight.grad.abs().max() < 1e-3 and classifier.bias.grad.abs().max() < 1e-3


def test_balance_raises_the_recall_of_a_rare_interaction():
    clips, fresh = some_clips(**RARE), some_clips(seed=1, clearly=RARE["clearly"])
    plain, balanced = (recall(fitted(clips, None, balance), fresh, label=3) for balance in (0.0, 1.0))
    assert balanced > plain + 0.1


def test_fewer_steps_than_the_code_is_long_are_enough():
    """There are no more principal components than steps; the rest of the code stays nothing."""
    clips = some_clips(count=2, steps=7)
    trainer = fitted(clips)
    weights = weights_of(trainer)
    assert all(value.isfinite().all() for value in weights.values())
    projection = weights["activity.projection.weight"]
    assert projection[:14].abs().amax(1).min() > 0 and not projection[14:].any()
    said, true = told(trainer, clips)
    assert torch.equal(said, true)


def test_everything_but_the_activity_stays_as_it_was():
    before, after = weights_of(a_trainer()), weights_of(fitted(some_clips(count=6)))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {*FITTED, *CLASSIFIER}


def test_another_loss_changes_the_classifier_and_not_the_codes():
    """A balanced softmax tells the rare class more often."""
    clips, fresh = some_clips(**RARE), some_clips(seed=1, clearly=RARE["clearly"])
    steps = torch.cat([clip.labels["interactions"][:, 0] for clip in clips])
    counts = [int((steps == label).sum()) for label in range(NONE)]
    plain, other = fitted(clips), fitted(clips, InteractionLoss("balanced_softmax", counts))
    first, second = weights_of(plain), weights_of(other)
    assert all(torch.equal(first[name], second[name]) for name in FITTED)
    assert recall(other, fresh, label=3) > recall(plain, fresh, label=3) + 0.1


def test_nothing_to_fit_to_is_refused():
    with pytest.raises(ValueError, match="no clip has two semantic steps"):
        fitted([])


def test_the_model_learns_again_after_a_fit():
    """No weight is left without its gradient."""
    trainer = fitted(some_clips(count=6))
    trainer(**collate_clips(some_clips(count=2))).loss.backward()
    head = trainer.model.semantic_head
    assert all(head.get_parameter(name).grad is not None for name in (*FITTED[2:], *CLASSIFIER))
