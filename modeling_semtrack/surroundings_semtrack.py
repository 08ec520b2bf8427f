"""The cells around a target that the semantic head reads, and the tracker's features in them."""

from __future__ import annotations

import torch

ROWS, COLUMNS = 4, 6  # cells laid around the target
REACH_DOWN, REACH_ASIDE = 0.6, 1.2  # of the outermost cells' far sides, in units of the target's longer side


def read_cells(
    view_embeds: torch.Tensor,
    view_features: torch.Tensor,
    target_boxes: torch.Tensor,
    view_windows: torch.Tensor,
    grid: tuple[int, int],
) -> torch.Tensor:
    """The features in the cells around the target, by bilinear interpolation.

    The cells move and scale with the target (as RoIAlign, He et al., "Mask R-CNN", ICCV 2017), so that what is read
    from a cell does not depend on where the target stands.

    Args:
        view_embeds, view_features: [batch, steps, tokens, hidden], search region after and before the joint
            encoder.
        target_boxes: [batch, steps, 4], cxcywh normalised to the scene.
        view_windows: [batch, steps, 4], where the search region lies in the scene, cxcywh.
        grid: (rows, columns) of the tokens.

    Returns:
        [batch, steps, ROWS * COLUMNS * 2 * hidden]; a cell outside the search region has the features of its edge.
    """
    places, reach = places_in(target_boxes, view_windows)
    reach = reach.amax(-1, keepdim=True)
    across = _interpolation(places[..., :1] + REACH_ASIDE * reach * cell_centers(COLUMNS, reach.device), grid[1])
    down = _interpolation(places[..., 1:] + REACH_DOWN * reach * cell_centers(ROWS, reach.device), grid[0])
    features = torch.cat([view_embeds, view_features], dim=-1).unflatten(2, grid)
    rows = torch.einsum("bsir,bsrcd->bsicd", down.to(features.dtype), features)
    return torch.einsum("bsjc,bsicd->bsijd", across.to(features.dtype), rows).flatten(2)


def places_in(target_boxes: torch.Tensor, view_windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and sizes [..., 2] of targets in their views (0 to 1), of boxes and windows [..., 4] in the scene."""
    boxes, windows = target_boxes.float(), view_windows.float().clamp_min(1e-6)
    return (boxes[..., :2] - windows[..., :2]) / windows[..., 2:] + 0.5, boxes[..., 2:] / windows[..., 2:]


def on_target(cells: torch.Tensor, target_boxes: torch.Tensor) -> torch.Tensor:
    """What was read in all cells [batch, steps, ROWS * COLUMNS * any], 0 where the target's box does not reach."""
    extent = target_boxes[..., 2:].float()
    extent = extent / extent.amax(-1, keepdim=True).clamp_min(1e-6) / 2  # half the box's sides over the longer one
    near_x = REACH_ASIDE * (cell_centers(COLUMNS, extent.device).abs() - 1 / COLUMNS)  # sides next to the target
    near_y = REACH_DOWN * (cell_centers(ROWS, extent.device).abs() - 1 / ROWS)
    inside = (near_y < extent[..., 1:])[..., None] & (near_x < extent[..., :1])[..., None, :]
    return (cells.unflatten(-1, (ROWS, COLUMNS, -1)) * inside[..., None]).flatten(-3)


def cell_centers(cells: int, device: torch.device) -> torch.Tensor:
    """Centres of cells that fill the interval from -1 to 1."""
    return (torch.arange(cells, device=device) + 0.5) * 2 / cells - 1


def _interpolation(places: torch.Tensor, cells: int) -> torch.Tensor:
    """Weights of a row of cells for places in it (0 to 1): [..., places] -> [..., places, cells]."""
    index = (places * cells - 0.5).clamp(0, cells - 1)
    return (1 - (index[..., None] - torch.arange(cells, device=places.device)).abs()).clamp_min(0)
