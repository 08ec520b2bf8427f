"""What happens around the target, seen from the target: the part of the semantic head that names interactions."""

from __future__ import annotations

import torch
from torch import nn

from .configuration_semtrack import SemTrackConfig
from .memory_semtrack import SemTrackMemory, code_size

ROWS, COLUMNS = 4, 6  # cells laid around the target
REACH_DOWN, REACH_ASIDE = 0.6, 1.2  # of the outermost cells' far sides, in units of the target's longer side
MEMORY_SECONDS = 0.5  # after which a step counts for 1/e of the present one
GEOMETRY = 10  # numbers that tell where the target is and how it has moved


class SemTrackRegionProjection(nn.Linear):
    """Linear layer on thousands of inputs; a class of its own for its initialisation."""


class SemTrackActivity(nn.Module):
    """One embedding of each step: the target's surroundings now and a moment ago, and how its box has moved.

    A grid of cells moves and scales with the target (as RoIAlign, He et al., "Mask R-CNN", ICCV 2017), so that what is
    read from a cell does not depend on where the target stands. One linear projection makes a *code* of the features
    in all cells; the codes of the last steps are averaged with weights that fade, and their standard deviation tells
    how lively it is around the target. There is nothing else to be learned here: [`fit_activity`] sets the projection
    to the principal components of the training steps, and a linear classifier of the embedding learns from tens of
    clips, where attention over as many cells learns them by heart.
    """

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.config = config
        self.projection = SemTrackRegionProjection(2 * config.hidden_size * ROWS * COLUMNS, code_size(config))
        self.register_buffer("center", torch.zeros(activity_size(config)))
        self.register_buffer("scale", torch.ones(activity_size(config)))

    @staticmethod
    def regions(
        view_embeds: torch.Tensor,
        view_features: torch.Tensor,
        target_boxes: torch.Tensor,
        view_windows: torch.Tensor,
        grid: tuple[int, int],
    ) -> torch.Tensor:
        """The features in the cells around the target, by bilinear interpolation.

        Args:
            view_embeds, view_features: [batch, steps, tokens, hidden], search region after and before the joint
                encoder.
            target_boxes: [batch, steps, 4], cxcywh normalised to the scene.
            view_windows: [batch, steps, 4], where the search region lies in the scene, cxcywh.
            grid: (rows, columns) of the tokens.

        Returns:
            [batch, steps, ROWS * COLUMNS * 2 * hidden]; a cell outside the search region has the features of its edge.
        """
        boxes, windows = target_boxes.float(), view_windows.float().clamp_min(1e-6)
        place = (boxes[..., :2] - windows[..., :2]) / windows[..., 2:] + 0.5  # of the target, in the search region
        reach = (boxes[..., 2:] / windows[..., 2:]).amax(-1, keepdim=True)
        across = _interpolation(place[..., :1] + REACH_ASIDE * reach * _centers(COLUMNS, boxes.device), grid[1])
        down = _interpolation(place[..., 1:] + REACH_DOWN * reach * _centers(ROWS, boxes.device), grid[0])
        features = torch.cat([view_embeds, view_features], dim=-1).unflatten(2, grid)
        rows = torch.einsum("bsir,bsrcd->bsicd", down.to(features.dtype), features)
        return torch.einsum("bsjc,bsicd->bsijd", across.to(features.dtype), rows).flatten(2)

    def encode(self, regions: torch.Tensor, target_boxes: torch.Tensor) -> torch.Tensor:
        """Projects the regions of each step to its code.

        Args:
            regions: [batch, steps, ROWS * COLUMNS * 2 * hidden].
            target_boxes: [batch, steps, 4], cxcywh normalised to the scene.

        Returns:
            [batch, steps, `code_size`].
        """
        return self.projection(self.seen(regions, target_boxes))

    def seen(self, regions: torch.Tensor, target_boxes: torch.Tensor) -> torch.Tensor:
        """The regions, and without `use_scene_context` only the cells that the target's box reaches into."""
        if self.config.use_scene_context:
            return regions
        extent = target_boxes[..., 2:].float()
        extent = extent / extent.amax(-1, keepdim=True).clamp_min(1e-6) / 2  # half the box's sides over the longer one
        near_x = REACH_ASIDE * (_centers(COLUMNS, extent.device).abs() - 1 / COLUMNS)  # sides next to the target
        near_y = REACH_DOWN * (_centers(ROWS, extent.device).abs() - 1 / ROWS)
        inside = (near_y < extent[..., 1:])[..., None] & (near_x < extent[..., :1])[..., None, :]
        return (regions.unflatten(-1, (ROWS, COLUMNS, -1)) * inside[..., None]).flatten(-3)

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


def _centers(cells: int, device: torch.device) -> torch.Tensor:
    """Centres of cells that fill the interval from -1 to 1."""
    return (torch.arange(cells, device=device) + 0.5) * 2 / cells - 1


def _interpolation(places: torch.Tensor, cells: int) -> torch.Tensor:
    """Weights of a row of cells for places in it (0 to 1): [..., places] -> [..., places, cells]."""
    index = (places * cells - 0.5).clamp(0, cells - 1)
    return (1 - (index[..., None] - torch.arange(cells, device=places.device)).abs()).clamp_min(0)


def _place(boxes: torch.Tensor) -> torch.Tensor:
    """Centre and logarithmic size of cxcywh boxes."""
    return torch.cat([boxes[..., :2], boxes[..., 2:].clamp_min(1e-3).log()], dim=-1).float()
