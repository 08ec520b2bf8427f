"""Remedies for rare classes: losses, and classifiers trained again. Each is what meta-learning stands beside.

All of them concern the interaction classes; "none", the last class of the logits, is no part of the long tail.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from .heads_semtrack import SemTrackReadout

LOSSES = ("cross_entropy", "focal", "balanced_softmax", "ldam")
RETRAINING = ("crt", "lws")
FOCUS = 2.0  # gamma of the focal loss
LARGEST_MARGIN = 0.5  # of LDAM, in units of its scale
LDAM_SCALE = 10.0
EFFECTIVE_BETA = 0.999  # of the effective number of samples


class InteractionLoss(nn.Module):
    """Classification loss of what the target does, and of what matched queries speak for.

    * `"cross_entropy"`
    * `"focal"`: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4.
    * `"balanced_softmax"`: Ren et al., NeurIPS 2020, eq. 3; the logit adjustment of Menon et al., ICLR 2021, with
      tau 1. The classes' frequencies are added to the logits in training, and not at inference.
    * `"ldam"`: Cao et al., NeurIPS 2019, eq. 13, with deferred re-weighting ([`reweight`]) by the effective number of
      samples (Cui et al., CVPR 2019).

    Args:
        name: One of `LOSSES`.
        counts: Training examples of each interaction class, at least 1.

    Raises:
        ValueError: If the name is unknown or a class has no example.
    """

    def __init__(self, name: str, counts: Sequence[int]) -> None:
        super().__init__()
        if name not in LOSSES:
            raise ValueError(f"the interaction loss must be one of {', '.join(LOSSES)}, got '{name}'")
        if not counts or min(counts) < 1:
            raise ValueError(f"every interaction class needs a training example, got counts {list(counts)}")
        self.name = name
        examples = torch.tensor(list(counts), dtype=torch.float32)
        share = examples / examples.mean()  # "none" counts as an average class
        margins = examples**-0.25
        self.register_buffer("log_share", F.pad(share.log(), (0, 1)), persistent=False)
        self.register_buffer("margins", F.pad(LARGEST_MARGIN * margins / margins.max(), (0, 1)), persistent=False)
        effective = (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**examples)
        self.register_buffer("rare_weight", F.pad(effective / effective.mean(), (0, 1), value=1.0), persistent=False)
        self.reweighted = False

    def reweight(self) -> None:
        """From now on rare classes count more (LDAM's second phase); the other losses have none."""
        self.reweighted = self.name == "ldam"

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The mean loss.

        Args:
            logits: [n, interactions + 1].
            labels: [n] int64.
            weight: [interactions + 1], weight of each class in the mean.
        """
        if self.name == "balanced_softmax":
            logits = logits + self.log_share
        elif self.name == "ldam":
            margin = F.one_hot(labels, logits.shape[-1]) * self.margins * LDAM_SCALE
            logits = logits - margin
        if self.reweighted:
            weight = weight * self.rare_weight
        losses = F.cross_entropy(logits, labels, reduction="none")
        if self.name == "focal":
            losses = (1 - (-losses).exp()) ** FOCUS * losses
        weights = weight[labels]
        return (losses * weights).sum() / weights.sum().clamp_min(1e-6)


class _ClassScale(nn.Module):
    """Scales the rows of a weight; the last row, "none", keeps its own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(classes))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """[classes + 1, hidden] or [classes + 1] -> the same shape."""
        scale = F.pad(self.scale, (0, 1), value=1.0)
        return weight * (scale if weight.dim() == 1 else scale[:, None])


def begin_retraining(readout: SemTrackReadout, method: str) -> list[nn.Parameter]:
    """Prepares the interaction classifier for a second stage on frozen features with class-balanced samples.

    * `"crt"`: classifier re-training, from random weights.
    * `"lws"`: learnable weight scaling, one factor per class. (Both: Kang et al., "Decoupling Representation and
      Classifier for Long-Tailed Recognition", ICLR 2020.)

    Args:
        readout: Changed in place; [`finish_retraining`] makes it an ordinary one again.
        method: One of `RETRAINING`.

    Returns:
        The parameters to train; all others must be frozen.

    Raises:
        ValueError: If the method is unknown.
    """
    classifier = readout.activity_classifier
    if method == "crt":
        classifier.reset_parameters()
        return list(classifier.parameters())
    if method == "lws":
        scale = _ClassScale(classifier.out_features - 1)
        for name in ("weight", "bias"):
            parametrize.register_parametrization(classifier, name, scale)
        return [scale.scale]
    raise ValueError(f"the second stage must be one of {', '.join(RETRAINING)}, got '{method}'")


def finish_retraining(readout: SemTrackReadout) -> None:
    """Folds what [`begin_retraining`] has added into the weights."""
    classifier = readout.activity_classifier
    for name in ("weight", "bias"):
        if parametrize.is_parametrized(classifier, name):
            parametrize.remove_parametrizations(classifier, name)
