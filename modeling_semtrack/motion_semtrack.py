"""How it moves around a target: optical flow between two looks at it, a moment apart, summed up in cells.

What stands in a cell tells little of what a person does, and much of who they are and of the place; how it moves tells
what is done. A punch and a push look alike in any single frame.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import torch
from torch import nn

from .surroundings_semtrack import COLUMNS, REACH_DOWN, ROWS, places_in

MOTION_SECONDS = 1 / 15  # between the two looks
LONGEST_GAP = 0.25  # seconds between two looks from which on nothing is told
KINDS = 6  # numbers for each cell: motion to the right, down, left and up, change of brightness, fastest motion
MOTION_SIZE = ROWS * COLUMNS * KINDS

CELL = (15, 20)  # pixels of a look in a cell: 50 on the longer side of the target
PIXEL = REACH_DOWN * 2 / (ROWS * CELL[0])  # of a look, in longer sides of the target
MARGIN = (6, 4)  # pixels of a look beyond the cells
LOOK = (ROWS * CELL[0] + 2 * MARGIN[0], COLUMNS * CELL[1] + 2 * MARGIN[1])  # rows, columns
LEVELS = 4  # of the pyramid: motion of up to about 16 pixels is found
ITERATIONS = 2  # at each level
RADIUS = 3  # pixels of the windows in which all motion is taken to be the same
NOISE = 4e-4  # variance of the brightness (from -1 to 1) that is not trusted
LUMA = (0.299, 0.587, 0.114)

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps what was seen in the last moments, to find what it was `MOTION_SECONDS` ago; does not grow."""

    def __init__(self) -> None:
        self._items: deque[tuple[float, T]] = deque()

    def add(self, time: float, item: T) -> None:
        """Takes in what is seen at a time (seconds), later than all before."""
        self._items.append((time, item))
        while len(self._items) > 2 and time - self._items[1][0] >= MOTION_SECONDS:
            self._items.popleft()

    def earlier(self, time: float) -> tuple[float, T] | None:
        """What was seen about `MOTION_SECONDS` before a time, and when; None if nothing was, or too long ago."""
        found = [item for item in self._items if 0 < time - item[0] <= LONGEST_GAP]
        return min(found, key=lambda item: abs(time - item[0] - MOTION_SECONDS), default=None)

    def clear(self) -> None:
        """Forgets everything."""
        self._items.clear()


def motion_around(
    pixel_values: torch.Tensor,
    earlier_pixel_values: torch.Tensor,
    view_windows: torch.Tensor,
    seconds: torch.Tensor,
    target_boxes: torch.Tensor,
) -> torch.Tensor:
    """How it moves in the cells around the target.

    Args:
        pixel_values, earlier_pixel_values: [batch, steps, 3, height, width], normalised, a region around the target at
            each step and a moment earlier, both cut at the same place: two cuts of a still picture that lie half a
            pixel apart differ enough to look like motion.
        view_windows: [batch, steps, 4], where the region lies in the scene, cxcywh.
        seconds: [batch, steps], between the two; at 0 nothing has moved.
        target_boxes: [batch, steps, 4], the target at each step, cxcywh normalised to the scene.

    Returns:
        [batch, steps, MOTION_SIZE] float32 from 0 to 1: tanh of the roots of speeds in longer sides of the target per
        second, without the motion that most of the view shares, and of the absolute change of brightness. Roots tell
        slow motion apart, and past the speed of a fast arm all motion is alike: a shaking camera's is twice as fast.
    """
    shape = seconds.shape
    boxes = target_boxes.flatten(0, 1)
    now, before = (
        look_at(pixels.flatten(0, 1), view_windows.flatten(0, 1), boxes)
        for pixels in (pixel_values, earlier_pixel_values)
    )
    gap = seconds.flatten().float()[:, None, None, None]
    flow = optical_flow(before, now) / gap.clamp_min(1e-3) * PIXEL
    flow = flow - flow.flatten(2).median(-1).values[..., None, None]
    speed = nn.functional.avg_pool2d(flow.square().sum(1, keepdim=True).sqrt(), 3, 1, 1)
    means = torch.cat([flow.clamp_min(0), (-flow).clamp_min(0), (now - before).abs()], dim=1)
    inside = (..., slice(MARGIN[0], -MARGIN[0]), slice(MARGIN[1], -MARGIN[1]))
    found = [nn.functional.avg_pool2d(means[inside], CELL), nn.functional.max_pool2d(speed[inside], CELL)]
    cells = torch.where(gap > 0, torch.cat(found, dim=1).sqrt().tanh(), 0.0)  # [batch * steps, kinds, rows, columns]
    return cells.movedim(1, -1).flatten(1).unflatten(0, shape)


def look_at(pixel_values: torch.Tensor, windows: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The brightness around targets, at one scale for all of them.

    Args:
        pixel_values: [views, 3, height, width], normalised.
        windows: [views, 4], where the views lie in the scene, cxcywh.
        boxes: [views, 4], the targets, cxcywh normalised to the scene.

    Returns:
        [views, 1, *LOOK] float32; what is outside a view has the brightness of its edge.
    """
    device = pixel_values.device
    luma = torch.tensor(LUMA, device=device)[:, None, None]
    grey = (pixel_values.float() * luma).sum(1, keepdim=True)  # no matrix product, which autocast would round
    centers, sizes = places_in(boxes, windows)
    reach = sizes.amax(-1)[:, None, None] * PIXEL  # a pixel of the look, in the view
    rows, columns = (torch.arange(2 * side, device=device) / 2 + 0.25 - side / 2 for side in LOOK)
    across = (centers[:, None, None, 0] + reach * columns).expand(-1, 2 * LOOK[0], -1)
    down = (centers[:, None, None, 1] + reach * rows[:, None]).expand(-1, -1, 2 * LOOK[1])
    finer = _sampled(grey, torch.stack([across, down], dim=-1) * 2 - 1)
    return nn.functional.avg_pool2d(finer, 2)


def optical_flow(earlier: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Dense optical flow (Lucas & Kanade, IJCAI 1981, from coarse to fine as Bouguet, 2001).

    Args:
        earlier, now: [views, 1, rows, columns], brightness from -1 to 1; sides that `2 ** (LEVELS - 1)` divides.

    Returns:
        [views, 2, rows, columns], how far what is at a pixel now has moved, in pixels: rightward and downward.
    """
    pyramid = [(earlier, now)]
    for _ in range(LEVELS - 1):
        pyramid.append(tuple(nn.functional.avg_pool2d(image, 2) for image in pyramid[-1]))
    flow = torch.zeros_like(pyramid[-1][1]).repeat(1, 2, 1, 1)
    for level, (before, after) in enumerate(reversed(pyramid)):
        if level:
            flow = 2 * nn.functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
        down, across = torch.gradient(after, dim=(2, 3))
        xx, xy, yy = _window_means(torch.cat([across * across, across * down, down * down], dim=1)).split(1, dim=1)
        xx, yy = xx + NOISE, yy + NOISE
        determinant = xx * yy - xy * xy
        size = torch.tensor(after.shape[:1:-1], device=after.device)  # columns, rows
        columns, rows = (torch.arange(int(side), device=after.device) + 0.5 for side in size)
        pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        for _ in range(ITERATIONS):
            moved = after - _sampled(before, (pixels - flow.movedim(1, -1)) / size * 2 - 1)
            x, y = _window_means(torch.cat([across * moved, down * moved], dim=1)).split(1, dim=1)
            change = torch.cat([xy * y - yy * x, xy * x - xx * y], dim=1) / determinant
            flow = flow + change.clamp(-2, 2)
        flow = nn.functional.avg_pool2d(_padded(flow, 1), 3, 1)
    return flow


def _window_means(images: torch.Tensor) -> torch.Tensor:
    """Means over square windows; down and across one after the other, which takes half the time."""
    side = 2 * RADIUS + 1
    return nn.functional.avg_pool2d(nn.functional.avg_pool2d(_padded(images, RADIUS), (side, 1), 1), (1, side), 1)


def _padded(images: torch.Tensor, margin: int) -> torch.Tensor:
    return nn.functional.pad(images, (margin,) * 4, mode="replicate")


def _sampled(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return nn.functional.grid_sample(images, places, padding_mode="border", align_corners=False)
