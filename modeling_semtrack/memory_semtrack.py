"""What the semantic head carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .configuration_semtrack import SemTrackConfig
from .motion_semtrack import MOTION_SIZE

LONGEST_PROJECTED = 192  # the projection to more would outgrow the encoder of a wide model


def projected_size(config: SemTrackConfig) -> int:
    """Length of what is projected of a target's surroundings."""
    return min(config.hidden_size, LONGEST_PROJECTED)


def code_size(config: SemTrackConfig) -> int:
    """Length of the code of a target's surroundings: what is there, and how it moves."""
    return projected_size(config) + MOTION_SIZE


@dataclass
class SemTrackMemory:
    """What the semantic head remembers of the last `memory_length` semantic steps of each target.

    Attributes:
        tokens: [batch, memory, cells, hidden]; cell 0 is the target's embedding, the others are pooled cells
            of its search region.
        boxes: [batch, memory, cells, 4], where each cell lay, cxcywh normalised to the scene.
        codes: [batch, memory, `code_size`], codes of the target's surroundings ([`SemTrackActivity.encode`]).
        times: [batch, memory], seconds.
        valid: [batch, memory] bool; False for steps that have not happened yet.
    """

    tokens: torch.Tensor
    boxes: torch.Tensor
    codes: torch.Tensor
    times: torch.Tensor
    valid: torch.Tensor

    @classmethod
    def empty(
        cls, config: SemTrackConfig, batch: int, device: torch.device | str, dtype: torch.dtype
    ) -> SemTrackMemory:
        """The memory before the first step."""
        length, cells = config.memory_length, 1 + config.memory_grid**2
        return cls(
            tokens=torch.zeros(batch, length, cells, config.hidden_size, device=device, dtype=dtype),
            boxes=torch.full((batch, length, cells, 4), 0.5, device=device),
            codes=torch.zeros(batch, length, code_size(config), device=device, dtype=dtype),
            times=torch.zeros(batch, length, device=device),
            valid=torch.zeros(batch, length, dtype=torch.bool, device=device),
        )

    @classmethod
    def cat(cls, memories: list[SemTrackMemory], dim: int = 0) -> SemTrackMemory:
        """Joins memories along the batch (0) or the time (1) dimension."""
        return cls(*(torch.cat([getattr(m, name) for m in memories], dim) for name in cls.__dataclass_fields__))

    def __getitem__(self, index: slice) -> SemTrackMemory:
        """The memories of a slice of the batch."""
        return SemTrackMemory(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def before_each_of(self, steps: int) -> SemTrackMemory:
        """For each of the last `steps` entries the ones before it: tensors [batch, steps, memory, ...]."""
        length = self.times.shape[1] - steps

        def unfold(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.unfold(1, length, 1)[:, :steps].movedim(-1, 2)

        return SemTrackMemory(*(unfold(tensor) for tensor in vars(self).values()))
