"""From query embeddings to named interactions: the semantic head's readout, as trained or as adapted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.func import functional_call

from .events import DetectedInteraction
from .heads_semtrack import SemTrackReadout
from .processing_semtrack import Window, box_from_view, clip_box

FAINTEST_INTERACTION = 0.05  # scores below are not reported


@dataclass(frozen=True)
class InteractionReader:
    """Reads what the queries of a semantic step have found.

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

    def logits(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[..., queries, hidden] -> as [`SemTrackReadout.forward`]."""
        return functional_call(self.readout, dict(self.weights), (queries,))

    def read(
        self, queries: torch.Tensor, scene: Window, size: tuple[int, int]
    ) -> list[tuple[DetectedInteraction, ...]]:
        """Interactions by name, each once, best first, for each of several targets or steps.

        Args:
            queries: [items, queries, hidden].
            scene: Where the scene lies in the frame.
            size: (height, width) of the frame in pixels.
        """
        return [self._read_one(*parts, scene, size) for parts in zip(*self.logits(queries))]

    def _read_one(
        self,
        interaction_logits: torch.Tensor,
        object_logits: torch.Tensor,
        object_boxes: torch.Tensor,
        scene: Window,
        size: tuple[int, int],
    ) -> tuple[DetectedInteraction, ...]:
        scores, classes = interaction_logits.softmax(-1)[:, :-1].max(-1)
        kinds = object_logits.argmax(-1).tolist()
        best: dict[str, DetectedInteraction] = {}
        for query in scores.argsort(descending=True).tolist():
            name, score = self.interactions[int(classes[query])], float(scores[query])
            if score < FAINTEST_INTERACTION:
                break
            if name in best:
                continue
            kind = self.objects[kinds[query]] if kinds[query] < len(self.objects) else None
            box = clip_box(box_from_view(object_boxes[query], scene), size, smallest=2.0) if kind else None
            best[name] = DetectedInteraction(name, kind, score, box)
        return tuple(best.values())
