"""What the semantic head recognises at labelled steps, counted for precision and recall."""

from __future__ import annotations

import torch

from .loss_semtrack import SemTrackTargets

SAID = 0.3  # probability from which an interaction counts as said

Counts = tuple[int, int, int]  # true positives, false positives, false negatives


def count_recognised(
    activity_logits: torch.Tensor, labels: SemTrackTargets, counted: torch.Tensor, names: dict[int, str]
) -> dict[str, Counts]:
    """Counts steps by interaction; those that are neither said nor true are left out.

    Args:
        activity_logits: [clips, steps, interactions + 1].
        labels: `interactions` [clips, steps, events].
        counted: [clips, steps] bool, the steps to look at.
        names: Interactions by class index.
    """
    probabilities = activity_logits.softmax(-1)[..., :-1]  # [clips, steps, interactions]
    said = (probabilities >= SAID) & counted[..., None]
    classes = torch.arange(probabilities.shape[-1], device=said.device)
    true = (labels.interactions[..., None] == classes).any(-2) & counted[..., None]
    sums = [mask.flatten(0, 1).sum(0).tolist() for mask in (said & true, said & ~true, true & ~said)]
    return {names[index]: counts for index, counts in enumerate(zip(*sums)) if any(counts)}
