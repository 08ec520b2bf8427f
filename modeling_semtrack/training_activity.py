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
from .configuration_semtrack import SemTrackConfig
from .heads_semtrack import SemTrackSemanticHead
from .loss_semtrack import IGNORE, SemTrackTargets, activity_loss
from .memory_semtrack import projected_size
from .motion_semtrack import MOTION_SIZE
from .training_clips import SemanticTrainer, TargetClip, collate_clips

DECAY = 5e-4  # weight of half the squared classifier in the logistic regression
LENGTH = 6.0  # of a typical embedding: gradient descent of the classifier is stable up to rates of about 0.1
MOTION_SHARE = 2.0  # length of what tells of motion, where that of the projected surroundings is 1
OVERSAMPLING = 64  # components that are searched beyond those that are kept: fewer depend on the random start
MOST_STEPS = 8192  # from which the principal components are found
GEOMETRY_WEIGHT = 3.0  # deviation of the few numbers of geometry, where one of the surroundings is 1 on average
LEAST_DEVIATION = 0.01  # of motion: what hardly ever moves must not count for more than it tells
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
    scale = activity_scale(head.config, deviation)
    head.activity.center.copy_(center)
    head.activity.scale.copy_(scale)
    _fit_classifier(head.readout.activity_classifier, (embeddings - center) * scale, truth, loss, balance)


def activity_scale(config: SemTrackConfig, deviation: torch.Tensor) -> torch.Tensor:
    """What the numbers of an embedding are multiplied with, so that each part counts as much as it tells.

    The surroundings are brought halfway to whitening: the first components do not drown the later ones, nor the last
    ones' noise the others. Motion and geometry are whitened.

    Args:
        config: Of the model.
        deviation: [activity size], standard deviations of the embeddings.

    Returns:
        [activity size]; embeddings multiplied with it have a length of about `LENGTH`.
    """
    codes, geometry = deviation[:-GEOMETRY].unflatten(0, (3, -1)), deviation[-GEOMETRY:]
    around, motion = codes.split((projected_size(config), MOTION_SIZE), dim=1)
    scales = [around.rsqrt(), 1 / motion.clamp_min(LEAST_DEVIATION)]
    lengths = [(scale * part).norm() for scale, part in zip(scales, (around, motion))]
    scales[1] *= MOTION_SHARE * lengths[0] / lengths[1].clamp_min(1e-6)
    typical = lengths[0] / around.numel() ** 0.5
    scale = torch.cat([torch.cat(scales, dim=1).flatten(), GEOMETRY_WEIGHT * typical / geometry])
    return scale * LENGTH / (scale * deviation).norm()


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
    components = torch.svd_lowrank(regions, q=min(found + OVERSAMPLING, *regions.shape), niter=3)[2].T[:found]
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
