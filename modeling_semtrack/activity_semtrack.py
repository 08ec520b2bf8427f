"""What happens around the target, seen from the target: the part of the semantic head that names interactions."""

from __future__ import annotations

import torch
from torch import nn

from .configuration_semtrack import SemTrackConfig
from .memory_semtrack import SemTrackMemory, code_size, projected_size
from .surroundings_semtrack import COLUMNS, ROWS, on_target

MEMORY_SECONDS = 0.5  # after which a step counts for 1/e of the present one
GEOMETRY = 10  # numbers that tell where the target is and how it has moved


class SemTrackRegionProjection(nn.Linear):
    """Linear layer on thousands of inputs; a class of its own for its initialisation."""


class SemTrackActivity(nn.Module):
    """One embedding of each step: the target's surroundings now and a moment ago, and how its box has moved.

    A grid of cells goes with the target ([`read_cells`]). One linear projection of the features in all cells, and how
    it moves in each of them ([`motion_around`]), make the *code* of a step; the codes of the last steps are averaged
    with weights that fade, and their standard deviation tells how lively it is around the target. There is nothing
    else to be learned here: [`fit_activity`] sets the projection to the principal components of the training steps,
    and a linear classifier of the embedding learns from tens of clips, where attention over as many cells learns them
    by heart.
    """

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.config = config
        self.projection = SemTrackRegionProjection(2 * config.hidden_size * ROWS * COLUMNS, projected_size(config))
        self.register_buffer("center", torch.zeros(activity_size(config)))
        self.register_buffer("scale", torch.ones(activity_size(config)))

    def encode(self, regions: torch.Tensor, motion: torch.Tensor, target_boxes: torch.Tensor) -> torch.Tensor:
        """What is around the target at each step, as one code.

        Args:
            regions: [batch, steps, ROWS * COLUMNS * 2 * hidden] from [`read_cells`].
            motion: [batch, steps, MOTION_SIZE] from [`motion_around`].
            target_boxes: [batch, steps, 4], cxcywh normalised to the scene.

        Returns:
            [batch, steps, `code_size`], the projected regions and the motion.
        """
        codes = self.projection(self.seen(regions, target_boxes))
        return torch.cat([codes, self.seen(motion, target_boxes).to(codes.dtype)], dim=-1)

    def seen(self, cells: torch.Tensor, target_boxes: torch.Tensor) -> torch.Tensor:
        """What was read in the cells, and without `use_scene_context` only in those that the target's box reaches."""
        return cells if self.config.use_scene_context else on_target(cells, target_boxes)

    def forward(
        self, codes: torch.Tensor, target_boxes: torch.Tensor, times: torch.Tensor, past: SemTrackMemory | None
    ) -> torch.Tensor:
        """The embedding of each step.

        Args:
            codes: [batch, steps, `code_size`] from [`encode`].
            target_boxes: [batch, steps, 4], cxcywh normalised to the scene.
            times: [batch, steps], seconds.
            past: What came before each step, tensors [batch, steps, memory, ...]; None to see the present alone.

        Returns:
            [batch, steps, `activity_size`].
        """
        places = _place(target_boxes)
        earlier_codes, changes, earlier_places = codes, torch.zeros_like(codes), places
        if past is not None:
            ages = (times[:, :, None] - past.times).float()
            weights = torch.exp(-ages / MEMORY_SECONDS) * past.valid  # [batch, steps, memory]; 1 for the present
            total = 1 + weights.sum(-1, keepdim=True)
            # No matrix product, which autocast would round: a movement is the small difference of two places
            earlier_places = (places + (weights[..., None] * _place(past.boxes[..., 0, :])).sum(2)) / total
            weights, total = weights.to(codes.dtype), total.to(codes.dtype)
            earlier_codes = (codes + torch.einsum("bsm,bsmd->bsd", weights, past.codes)) / total
            changes = _deviation(codes, past)
        size = (places[..., 2:].sum(-1, keepdim=True) / 2).exp()  # the root of the box's area
        moved = (places - earlier_places)[..., :2] / size
        geometry = torch.cat([places, moved, moved.abs(), (places - earlier_places)[..., 2:]], dim=-1)
        embedding = torch.cat([codes, earlier_codes, changes, geometry.to(codes.dtype)], dim=-1)
        return (embedding - self.center.to(codes.dtype)) * self.scale.to(codes.dtype)


def activity_size(config: SemTrackConfig) -> int:
    """Length of a step's embedding."""
    return 3 * code_size(config) + GEOMETRY


def _deviation(codes: torch.Tensor, past: SemTrackMemory) -> torch.Tensor:
    """How much the codes have changed over the memory: the standard deviation, the present step included."""
    precise = torch.promote_types(codes.dtype, torch.float32)  # squares of small differences
    present, valid, earlier = (tensor.to(precise) for tensor in (codes, past.valid, past.codes))
    count, counted = 1 + valid.sum(-1, keepdim=True), valid[..., None]
    mean = (present + (counted * earlier).sum(2)) / count  # no matrix product, which autocast would round
    squares = (present - mean).square() + (counted * (earlier - mean[:, :, None]).square()).sum(2)
    return (squares / count + 1e-6).sqrt().to(codes.dtype)  # the slope of the root at 0 is infinite


def _place(boxes: torch.Tensor) -> torch.Tensor:
    """Centre and logarithmic size of cxcywh boxes."""
    return torch.cat([boxes[..., :2], boxes[..., 2:].clamp_min(1e-3).log()], dim=-1).float()
