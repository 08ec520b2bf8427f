"""From embeddings to named interactions: the semantic head's readout, as trained or as adapted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.func import functional_call

from .events import DetectedInteraction
from .heads_semtrack import SemTrackEmbeds, SemTrackReading, SemTrackReadout
from .processing_semtrack import Window, box_from_view, clip_box

FAINTEST_INTERACTION = 0.05  # scores below are not reported


@dataclass(frozen=True)
class InteractionReader:
    """Reads what the semantic head has gathered at a step.

    Attributes:
        readout: Of the model; it is never changed.
        interactions: Names by class index.
        objects: Names by class index.
        weights: Weights that take the place of the readout's own ([`adapt_readout`]); may know more classes.
    """

    readout: SemTrackReadout
    interactions: Sequence[str]
    objects: Sequence[str]
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def logits(self, embeds: SemTrackEmbeds) -> SemTrackReading:
        """As [`SemTrackReadout.forward`]."""
        return functional_call(self.readout, dict(self.weights), (embeds,))

    def read(
        self, embeds: SemTrackEmbeds, scene: Window, size: tuple[int, int]
    ) -> list[tuple[DetectedInteraction, ...]]:
        """Interactions by name, each once, best first, for each of several targets or steps.

        Args:
            embeds: With [items] in front.
            scene: Where the scene lies in the frame.
            size: (height, width) of the frame in pixels.
        """
        return [self._read_one(SemTrackReading(*parts), scene, size) for parts in zip(*self.logits(embeds))]

    def _read_one(
        self, reading: SemTrackReading, scene: Window, size: tuple[int, int]
    ) -> tuple[DetectedInteraction, ...]:
        scores = reading.activity_logits.softmax(-1)[:-1]
        speakers = speakers_of(reading.interaction_logits, len(scores)).tolist()
        kinds = reading.object_logits.argmax(-1).tolist()
        found = []
        for index in scores.argsort(descending=True).tolist():
            score, query = float(scores[index]), speakers[index]
            if score < FAINTEST_INTERACTION:
                break
            kind = self.objects[kinds[query]] if kinds[query] < len(self.objects) else None
            box = clip_box(box_from_view(reading.object_boxes[query], scene), size, smallest=2.0) if kind else None
            found.append(DetectedInteraction(self.interactions[index], kind, score, box))
        return tuple(found)


def speakers_of(interaction_logits: torch.Tensor, interactions: int) -> torch.Tensor:
    """The query that speaks for each interaction: the surest of it, or, of one that was learned later, of any.

    Args:
        interaction_logits: [..., queries, known interactions + 1].
        interactions: How many are asked for, the known ones first.

    Returns:
        [..., interactions], indices of queries.
    """
    probabilities = interaction_logits.softmax(-1)
    known, later = probabilities[..., :-1], 1 - probabilities[..., -1:]
    later = later.expand(*later.shape[:-1], interactions - known.shape[-1])
    return torch.cat([known, later], dim=-1).argmax(-2)
