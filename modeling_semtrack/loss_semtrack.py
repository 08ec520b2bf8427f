"""Matching and losses of both branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from .configuration_semtrack import SemTrackConfig

IGNORE = -100  # label of what the source does not annotate
POSITIVE_CELL = 0.3  # cells with at least this Gaussian weight learn the box


@dataclass
class SemTrackTargets:
    """Truth for a batch of views; for clips every tensor has `steps` after `batch`.

    Attributes:
        boxes: [batch, 4], cxcywh normalised to the view; anything where the target is absent.
        presence: [batch] float, 1 visible, 0 absent.
        interactions: [batch, events] int64, `IGNORE` for padding; None without semantic labels.
        objects: [batch, events] int64, the number of object classes for "none", `IGNORE` for unknown.
        object_boxes: [batch, events, 4], cxcywh normalised to the scene, NaN where unknown.
        described: [batch] bool, False where interactions are not annotated.
    """

    boxes: torch.Tensor
    presence: torch.Tensor
    interactions: torch.Tensor | None = None
    objects: torch.Tensor | None = None
    object_boxes: torch.Tensor | None = None
    described: torch.Tensor | None = None

    def flatten(self, clip: bool) -> SemTrackTargets:
        """Merges batch and steps of clip labels."""
        if not clip:
            return self
        values = (getattr(self, field.name) for field in fields(self))
        return SemTrackTargets(*(None if value is None else value.flatten(0, 1) for value in values))

    def to(self, device: torch.device | str) -> SemTrackTargets:
        """The same labels on another device."""
        values = (getattr(self, field.name) for field in fields(self))
        return SemTrackTargets(*(None if value is None else value.to(device) for value in values))


def semtrack_loss(output, targets: SemTrackTargets, config: SemTrackConfig) -> dict[str, torch.Tensor]:
    """Unweighted loss terms by name.

    Args:
        output: `SemTrackOutput` with flat batch dimension.
        targets: Truth with flat batch dimension.
        config: Names the weight of "none" and the number of classes.

    Returns:
        `score`, `box_l1`, `box_giou`, `presence`, and, where interactions are annotated, `activity`, `interaction`,
        `object`, `object_box`.
    """
    losses = tracking_losses(output.score_logits, output.box_map, targets.boxes, targets.presence)
    losses["presence"] = F.binary_cross_entropy_with_logits(output.presence_logits, targets.presence.float())
    if targets.interactions is not None and output.interaction_logits is not None:
        read = (output.activity_logits, output.interaction_logits, output.object_logits, output.object_boxes)
        losses.update(semantic_losses(*read, targets, config.none_weight))
    return losses


def tracking_losses(
    score_logits: torch.Tensor, box_map: torch.Tensor, boxes: torch.Tensor, presence: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Focal loss on the centre map (CornerNet, eq. 1), L1 and GIoU on the boxes of the cells near the centre.

    Args:
        score_logits: [batch, rows, columns].
        box_map: [batch, 4, rows, columns], cxcywh normalised to the view.
        boxes: [batch, 4], cxcywh normalised to the view.
        presence: [batch], 1 visible, 0 absent; an absent target has an empty centre map and no box.
    """
    visible = presence > 0.5
    heat = center_heatmap(boxes, score_logits.shape[-2:]) * visible[:, None, None]
    weights = torch.where(heat >= POSITIVE_CELL, heat, 0.0)  # [batch, rows, columns]
    total = weights.sum().clamp_min(1e-6)
    truth = boxes[:, :, None, None].expand_as(box_map)
    truth = torch.where(visible[:, None, None, None], truth, box_map.detach())  # keeps NaN boxes out
    l1 = (box_map - truth).abs().sum(1)
    giou = 1 - generalized_iou(box_map.movedim(1, -1), truth.movedim(1, -1))
    return {
        "score": focal_loss(score_logits, heat),
        "box_l1": (l1 * weights).sum() / total,
        "box_giou": (giou * weights).sum() / total,
    }


def center_heatmap(boxes: torch.Tensor, grid: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Gaussian around each box's centre, exactly 1 at its cell: [batch, 4] -> [batch, rows, columns].

    The spread follows the box (a sixth of its side, at least half a cell), as in CenterNet.
    """
    rows, columns = grid
    boxes = boxes.nan_to_num(0.5).float()
    scale = torch.tensor([columns, rows], dtype=torch.float32, device=boxes.device)
    centers = torch.minimum((boxes[:, :2] * scale).floor().clamp_min(0), scale - 1)  # cell indices
    sigma = (boxes[:, 2:] * scale / 6).clamp_min(0.5)
    xs = torch.arange(columns, device=boxes.device)[None] - centers[:, :1]
    ys = torch.arange(rows, device=boxes.device)[None] - centers[:, 1:]
    gauss_x = torch.exp(-(xs**2) / (2 * sigma[:, :1] ** 2))
    gauss_y = torch.exp(-(ys**2) / (2 * sigma[:, 1:] ** 2))
    return gauss_y[:, :, None] * gauss_x[:, None, :]


def focal_loss(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss (Law & Deng, "CornerNet", ECCV 2018, alpha 2, beta 4), per visible target.

    Args:
        logits, heat: [batch, rows, columns]; heat is 1 at the centre and falls around it.
    """
    positive = (heat == 1).float()
    probability = logits.sigmoid()
    hit = F.logsigmoid(logits) * (1 - probability) ** 2 * positive
    miss = F.logsigmoid(-logits) * probability**2 * (1 - heat) ** 4 * (1 - positive)
    return -(hit.sum() + miss.sum()) / positive.sum().clamp_min(1.0)


def semantic_losses(
    activity_logits: torch.Tensor,
    interaction_logits: torch.Tensor,
    object_logits: torch.Tensor,
    object_boxes: torch.Tensor,
    targets: SemTrackTargets,
    none_weight: float,
    interaction_loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """The classification of what the target does, and the set prediction loss (DETR, eq. 2), over the annotated views.

    Args:
        activity_logits: [batch, interactions + 1].
        interaction_logits: [batch, queries, interactions + 1].
        object_logits: [batch, queries, objects + 1].
        object_boxes: [batch, queries, 4], cxcywh normalised to the scene.
        targets: Truth; views with `described` False are left out.
        none_weight: Weight of "none", the last class, in both classifications of the queries.
        interaction_loss: Of (logits [n, classes], labels [n], class weights), in place of the cross-entropy; see
            [`InteractionLoss`].
    """
    batch, queries = interaction_logits.shape[:2]
    interactions = interaction_logits.new_full((batch, queries), interaction_logits.shape[-1] - 1, dtype=torch.long)
    objects = torch.full_like(interactions, object_logits.shape[-1] - 1)
    boxes = torch.full_like(object_boxes, float("nan"))
    matches = match_interactions(interaction_logits, object_logits, object_boxes, targets)
    items = torch.cat([torch.full_like(rows, item) for item, (rows, _) in enumerate(matches)])
    rows, columns = (torch.cat(part) for part in zip(*matches))
    interactions[items, rows] = targets.interactions[items, columns]
    objects[items, rows] = targets.objects[items, columns]
    boxes[items, rows] = targets.object_boxes[items, columns].to(boxes.dtype)
    if targets.described is not None:
        interactions[~targets.described] = IGNORE
        objects[~targets.described] = IGNORE
        boxes[~targets.described] = float("nan")
    known = ~boxes.isnan().any(-1)
    truth = torch.where(known[..., None], boxes, object_boxes.detach())
    l1 = (object_boxes - truth).abs().sum(-1)
    giou = 1 - generalized_iou(object_boxes, truth)
    object_box = ((5 * l1 + 2 * giou) / 2 * known).sum() / known.sum().clamp_min(1)
    return {
        "activity": activity_loss(activity_logits, targets, interaction_loss),
        "interaction": _classification(interaction_logits, interactions, none_weight, interaction_loss),
        "object": _classification(object_logits, objects, none_weight),
        "object_box": object_box,
    }


def activity_loss(
    logits: torch.Tensor,
    targets: SemTrackTargets,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean loss of the views' interactions; a view that shows none counts as "none", one with several for each.

    Args:
        logits: [batch, interactions + 1].
        targets: Truth; views with `described` False are left out.
        loss: In place of the cross-entropy, as in [`semantic_losses`].
        weight: [interactions + 1], weight of each class; 1 by default.
    """
    weight = logits.new_ones(logits.shape[-1]) if weight is None else weight
    labels = targets.interactions.clone()
    idle = (labels == IGNORE).all(-1)
    labels[idle, 0] = logits.shape[-1] - 1
    if targets.described is not None:
        labels[~targets.described] = IGNORE
    views, events = (labels != IGNORE).nonzero(as_tuple=True)
    return _mean_loss(logits[views], labels[views, events], weight, loss)


@torch.no_grad()
def match_interactions(
    interaction_logits: torch.Tensor,
    object_logits: torch.Tensor,
    object_boxes: torch.Tensor,
    targets: SemTrackTargets,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Hungarian matching of queries to events, per view: (query indices, event indices); none where not annotated."""
    classes, boxes = targets.interactions, targets.object_boxes.to(object_boxes.dtype)
    known = classes != IGNORE  # [batch, events]
    if targets.described is not None:
        known = known & targets.described[:, None]
    cost = -_probability_of(interaction_logits, classes)  # [batch, queries, events]
    cost = cost - torch.where(targets.objects[:, None] != IGNORE, _probability_of(object_logits, targets.objects), 0.0)
    distance = torch.cdist(object_boxes, boxes.nan_to_num(0.0), p=1)
    cost = (cost + 2 * torch.where(boxes.isnan().any(-1)[:, None], 0.0, distance)).cpu().numpy()
    matches = []
    for item, events in enumerate(known.cpu().numpy()):
        events = np.flatnonzero(events)
        rows, columns = linear_sum_assignment(cost[item][:, events])
        matches.append((torch.from_numpy(rows), torch.from_numpy(events[columns])))
    return matches


def _probability_of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Of each event's class for each query: [batch, queries, classes], [batch, events] -> [batch, queries, events]."""
    events = classes.clamp_min(0)[:, None].expand(-1, logits.shape[1], -1)
    return logits.softmax(-1).gather(2, events)


def generalized_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """GIoU (Rezatofighi et al., CVPR 2019) of paired cxcywh boxes: [..., 4], [..., 4] -> [...]."""
    a1, a2 = first[..., :2] - first[..., 2:] / 2, first[..., :2] + first[..., 2:] / 2
    b1, b2 = second[..., :2] - second[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2
    intersection = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp_min(0).prod(-1)
    union = (first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - intersection).clamp_min(1e-9)
    hull = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).prod(-1).clamp_min(1e-9)
    return intersection / union - (hull - union) / hull


def _classification(
    logits: torch.Tensor,
    labels: torch.Tensor,
    none_weight: float,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Mean loss over annotated queries with the last class, "none", weighted down; 0 if nothing is annotated."""
    weight = logits.new_ones(logits.shape[-1])
    weight[-1] = none_weight
    known = labels != IGNORE
    return _mean_loss(logits[known], labels[known], weight, loss)


def _mean_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weight: torch.Tensor,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None,
) -> torch.Tensor:
    """Cross-entropy, or another loss, of [n, classes] and [n] with class weights; 0 of nothing."""
    if loss is not None:
        return loss(logits, labels, weight)
    return F.cross_entropy(logits, labels, weight, reduction="sum") / weight[labels].sum().clamp_min(1e-6)
