"""The box of several clicks, on the target and beside it.

The provided weights have learned from single clicks on the target. So each positive click is asked for its box as
ever, and the clicks choose among the answers: the box that holds most of the positive clicks and fewest of the
negative ones wins, and of several such boxes the surest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .app_state import Click
from .localization import box_of_click, click_windows
from .modeling_semtrack import SemTrackModel
from .processing_semtrack import (
    SemTrackImageProcessor,
    box_from_view,
    check_point,
    clip_box,
    point_to_view,
)
from .trajectory import Box

SMALLEST_SIDE = 2.0  # pixels
LEAST_SCORE = 0.05  # of a box that may win because it fits the clicks


@torch.inference_mode()
def box_of_clicks(
    model: SemTrackModel, images: SemTrackImageProcessor, frame: np.ndarray, clicks: Sequence[Click]
) -> Box:
    """The box that fits all clicks best.

    Args:
        model: Model in eval mode.
        images: Cuts views.
        frame: uint8 RGB [height, width, 3].
        clicks: At least one of them positive.

    Returns:
        xywh pixels, inside the frame.

    Raises:
        ValueError: If a click lies outside the frame, or none is positive.
    """
    for click in clicks:
        check_point(click[:2], frame)
    positive = [click for click in clicks if click.positive]
    if not positive:
        raise ValueError("click on the target (+) before you click beside it (-)")
    single = box_of_click(model, images, frame, positive[-1][:2])
    if len(clicks) == 1:
        return single
    candidates = [(single, 1.0), *(c for click in positive for c in _answers(model, images, frame, click))]
    return max(candidates, key=lambda candidate: (_agreement(candidate[0], clicks), candidate[1]))[0]


def _agreement(box: Box, clicks: Sequence[Click]) -> int:
    """How many clicks a box (xywh) satisfies."""
    x, y, width, height = box
    return sum((x <= c.x <= x + width and y <= c.y <= y + height) == c.positive for c in clicks)


def _answers(
    model: SemTrackModel, images: SemTrackImageProcessor, frame: np.ndarray, click: Click
) -> list[tuple[Box, float]]:
    """All boxes (xywh pixels) with their scores that the model sees for a click, in windows of several sizes."""
    windows = click_windows(images, frame, click[:2])
    crops = [images.crop(frame, window, images.view_size) for window in windows]
    features, grid = model.embed(images.normalize(crops).to(model.device))
    places = torch.tensor([[point_to_view(click[:2], window)] for window in windows], device=model.device)
    prompts = model.embed_points(places, torch.ones(len(windows), 1, device=model.device))
    track = model.track(features, grid, prompts.to(features.dtype), view="scene")
    scores = track.score_logits.sigmoid().flatten(1).cpu()  # [windows, cells]
    boxes = track.box_map.flatten(2).transpose(1, 2).cpu().numpy()  # [windows, cells, 4]
    found = []
    for window, cells, sure in zip(windows, boxes, scores.tolist()):
        for cell, score in zip(cells, sure):
            box = clip_box(box_from_view(cell, window), frame.shape[:2], smallest=SMALLEST_SIDE)
            if box is not None and score >= LEAST_SCORE:
                found.append((box, score))
    return found
