"""Sets the activity part of a semantic head from clips of features, without gradient descent through the network.

Its projection becomes the principal components of what lies around the targets, its classifier a regularised
logistic regression on them. Both are the best there are for the clips, and take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields

import torch

from .activity_semtrack import GEOMETRY
from .heads_semtrack import SemTrackSemanticHead
from .loss_semtrack import IGNORE, SemTrackTargets, activity_loss
from .training_clips import SemanticTrainer, TargetClip, collate_clips

DECAY = 2.5e-4  # weight of half the squared classifier in the logistic regression
LENGTH = 6.0  # of a typical embedding: gradient descent of the classifier is stable up to rates of about 0.1
MOST_STEPS = 8192  # from which the principal components are found
GEOMETRY_WEIGHT = 3.0  # deviation of the few numbers of geometry, where one of a code is 1 on average
ITERATIONS = 100  # of L-BFGS


@torch.no_grad()
def fit_activity(
    trainer: SemanticTrainer,
    clips: Sequence[TargetClip],
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    balance: float = 0.0,
) -> None:
    """Fits projection, normalisation and classifier of the activity to all labelled steps, in place.

    Args:
        trainer: Holds the model.
        clips: Features of the model's own tracker, with labels.
        loss: Of (logits, labels, class weights), in place of the cross-entropy; see [`InteractionLoss`].
        balance: 0 counts all steps alike, 1 all interactions.

    Raises:
        ValueError: If there is no clip.
    """
    if not clips:
        raise ValueError("no clip has two semantic steps or more; check the annotations, the stride and the tracker")
    head = trainer.model.semantic_head
    device = trainer.model.device
    _fit_projection(head, clips, device)
    parts, labels = [], []
    for clip in clips:
        batch = collate_clips([clip])
        truth = batch.pop("labels")
        parts.append(_embedded(trainer, batch, device))
        labels.append(truth.flatten(True).to(device))
    embeddings = torch.cat(parts)
    truth = SemTrackTargets(*(torch.cat([getattr(part, field.name) for part in labels]) for field in fields(labels[0])))
    center, deviation = embeddings.mean(0), embeddings.std(0).clamp_min(1e-4)
    # Halfway to whitening: the first components do not drown the later ones, nor the last ones' noise the others
    scale = deviation.rsqrt()
    typical = (scale * deviation)[:-GEOMETRY].square().mean().sqrt()
    scale[-GEOMETRY:] = GEOMETRY_WEIGHT * typical / deviation[-GEOMETRY:]
    scale *= LENGTH / (scale * deviation).norm()
    head.activity.center.copy_(center)
    head.activity.scale.copy_(scale)
    _fit_classifier(head.readout.activity_classifier, (embeddings - center) * scale, truth, loss, balance)


def _fit_projection(head: SemTrackSemanticHead, clips: Sequence[TargetClip], device: torch.device) -> None:
    """The principal components of the standardised features around the targets, as a linear layer."""
    every = -(-sum(map(len, clips)) // MOST_STEPS)
    steps = []
    for number, clip in enumerate(clips):
        part = (clip.features[name][number % every :: every].to(device) for name in ("regions", "target_boxes"))
        steps.append(head.activity.seen(*part).float())
    regions = torch.cat(steps)  # [steps, inputs]
    mean, deviation = regions.mean(0), regions.std(0).clamp_min(1e-3)
    regions.sub_(mean).div_(deviation)
    projection = head.activity.projection
    found = min(projection.out_features, *regions.shape)
    components = torch.svd_lowrank(regions, q=found, niter=2)[2].T  # [found, inputs]
    projection.weight.zero_()
    projection.weight[:found] = components / deviation
    projection.bias.copy_(-projection.weight @ mean)


def _embedded(trainer: SemanticTrainer, batch: dict, device: torch.device) -> torch.Tensor:
    """The embeddings [steps, activity size] of one clip before they are normalised."""
    head = trainer.model.semantic_head
    inputs = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
    first = torch.zeros(inputs["times"].shape, dtype=torch.bool, device=device)
    first[:, 0] = True  # the queries, which are not of interest here, of one step alone
    embedding = trainer.decode(**inputs, only=first)[0].activity[0].float()
    return embedding / head.activity.scale + head.activity.center


@torch.enable_grad()
def _fit_classifier(
    classifier: torch.nn.Linear,
    embeddings: torch.Tensor,
    truth: SemTrackTargets,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None,
    balance: float,
) -> None:
    """L2-regularised logistic regression by L-BFGS: embeddings [steps, activity size] and labels -> the classifier."""
    classes = classifier.out_features
    counts = Counter(truth.interactions[truth.interactions != IGNORE].tolist())
    typical = sum(counts.values()) / max(1, len(counts))
    weight = embeddings.new_tensor([(counts[c] / typical) ** -balance if c in counts else 1.0 for c in range(classes)])
    weights = torch.zeros_like(classifier.weight, dtype=torch.float32, requires_grad=True)
    bias = torch.zeros_like(classifier.bias, dtype=torch.float32, requires_grad=True)
    solver = torch.optim.LBFGS([weights, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        solver.zero_grad()
        logits = embeddings @ weights.T + bias
        value = activity_loss(logits, truth, loss, weight) + DECAY / 2 * weights.square().sum()
        value.backward()
        return value

    solver.step(objective)
    with torch.no_grad():
        classifier.weight.copy_(weights)
        classifier.bias.copy_(bias)
