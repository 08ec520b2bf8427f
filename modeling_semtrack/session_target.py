"""What a session knows of one of its targets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from .events import DetectedInteraction, EventBuilder
from .heads_semtrack import SemTrackEmbeds
from .memory_semtrack import SemTrackMemory
from .motion_semtrack import Recent
from .processing_semtrack import Window
from .track_log import TrackLog
from .trajectory import Box


class SemanticStep(NamedTuple):
    """A semantic step of one target: what it was read from, or None where it was not visible."""

    frame_index: int
    time: float
    embeds: SemTrackEmbeds | None


@dataclass
class SessionTarget:
    """Everything a session knows of one target; its size does not grow, but for the log of results."""

    target_id: int
    category: str | None
    prompt: dict
    box: Box  # last place at which it was seen
    first_side: float  # of the search region
    template: tuple[np.ndarray, tuple[float, ...]]  # the user's
    prompt_states: torch.Tensor  # of it and the dynamic one, from `SemTrackModel.read_prompt`, batch size 1
    events: EventBuilder
    history: deque[SemanticStep]
    log: TrackLog = field(default_factory=TrackLog)
    views: Recent[tuple[np.ndarray, Window]] = field(default_factory=Recent)  # its last search regions
    memory: SemTrackMemory | None = None
    interactions: tuple[DetectedInteraction, ...] = ()
    given: bool = True  # the next frame is the one in which the user showed it
    misses: int = 0
    renewed: int = 0  # frames since the dynamic template was renewed; negative after a miss
    active: bool = True

    def described(self, step: SemanticStep, interactions: tuple[DetectedInteraction, ...]) -> None:
        """Takes in what a semantic step has seen."""
        self.history.append(step)
        self.interactions = interactions
        self.events.update(step.frame_index, step.time, interactions)
