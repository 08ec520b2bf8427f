"""From the box head's maps to one box per view: penalties, smoothing, and the answer to a click."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from .modeling_semtrack import SemTrackModel, SemTrackTrack
from .processing_semtrack import (
    SemTrackImageProcessor,
    Window,
    box_from_view,
    clip_box,
    point_to_view,
)
from .trajectory import Box

CLICK_ZOOMS = (0.5, 0.25)  # sides of the closer windows in which a click is looked at, over the frame's side
CLICK_REFINEMENTS = 2  # second looks, each on a search region around the answer so far
LARGE_IN_WINDOW = 0.9  # side of an answer's search region over its window's, from which no closer window is needed
SHARPEST_ZOOM = 2.0  # view pixels per frame pixel up to which a closer window can show more


@dataclass(frozen=True)
class Candidate:
    """Where a target seems to be: xywh pixels of the frame, centre score and presence in [0, 1]."""

    box: Box
    score: float
    presence: float


def locate(track: SemTrackTrack, windows: list[Window], window_influence: float) -> list[Candidate]:
    """The best box of each view.

    Args:
        track: Result of the model for one view per window.
        windows: Where the views lie in the frame.
        window_influence: Weight in [0, 1] of a Hann window over the view: how much a place far from the
            last one is mistrusted (SiamFC, Bertinetto et al., 2016).
    """
    scores = track.score_logits.sigmoid().cpu().numpy()  # [batch, rows, columns]
    boxes = track.box_map.cpu().numpy()  # [batch, 4, rows, columns]
    presence = track.presence_logits.sigmoid().cpu().numpy()
    weighted = scores * (1 - window_influence + window_influence * _hann(*track.grid))
    candidates = []
    for index, window in enumerate(windows):
        row, column = np.unravel_index(weighted[index].argmax(), track.grid)
        box = box_from_view(boxes[index, :, row, column], window)
        candidates.append(Candidate(box, float(scores[index, row, column]), float(presence[index])))
    return candidates


def box_of_click(
    model: SemTrackModel, processor: SemTrackImageProcessor, frame: np.ndarray, point: tuple[float, float]
) -> Box:
    """The box of what lies under a click.

    The click is looked at in the whole frame first, and in closer and closer windows as long as the answer is small
    in its window, because a whole frame at the view's resolution loses small things. The answer is then refined on
    search regions around itself. Where it was large in its window, the refinements see no more than the first look
    did, but may settle on a part of the target: there the mean of all looks counts. Each look sees its window and the
    mirror image of it.

    Args:
        model: Model in eval mode.
        processor: Cuts views.
        frame: uint8 RGB [height, width, 3].
        point: (x, y) in pixels, inside the frame.

    Returns:
        xywh pixels, inside the frame.
    """
    looks: list[Box] = []
    for window in click_windows(processor, frame, point):
        if looks and processor.view_size > SHARPEST_ZOOM * window.side:
            break
        looks = [_look_at_click(model, processor, frame, point, window, "scene")]
        large = processor.search_window(looks[0]).side >= LARGE_IN_WINDOW * window.side
        if large:
            break
    for _ in range(CLICK_REFINEMENTS):
        looks.append(_look_at_click(model, processor, frame, point, processor.search_window(looks[-1]), "search"))
    box = tuple(np.mean(looks, axis=0).tolist()) if large else looks[-1]
    return clip_box(box, frame.shape[:2]) or box


def click_windows(processor: SemTrackImageProcessor, frame: np.ndarray, point: tuple[float, float]) -> list[Window]:
    """The windows in which a click (x, y pixels) is looked at first: the whole frame, then closer and closer."""
    scene = processor.scene_window(frame)
    return [scene, *(processor.view_window(*point, scene.side * zoom) for zoom in CLICK_ZOOMS)]


def smooth_size(previous: Box, proposed: Box, rate: float) -> Box:
    """The proposed box with its size moved only by `rate` of the way from the previous size."""
    width = previous[2] + rate * (proposed[2] - previous[2])
    height = previous[3] + rate * (proposed[3] - previous[3])
    x, y = proposed[0] + proposed[2] / 2, proposed[1] + proposed[3] / 2
    return x - width / 2, y - height / 2, width, height


def with_mirror_image(track: SemTrackTrack) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of what a view and its mirror image say, cell by cell of the view.

    Args:
        track: Result for a batch of both.

    Returns:
        Scores [cells] and boxes [4, cells], cxcywh normalised to the view.
    """
    scores = track.score_logits[0].sigmoid() + track.score_logits[1].sigmoid().flip(-1)
    x, *others = track.box_map[1].flip(-1)
    boxes = track.box_map[0] + torch.stack([1 - x, *others])
    return scores.flatten() / 2, boxes.flatten(1) / 2


def _look_at_click(
    model: SemTrackModel,
    processor: SemTrackImageProcessor,
    frame: np.ndarray,
    point: tuple[float, float],
    window: Window,
    view: str,
) -> Box:
    """The best box (xywh pixels) that holds the click, in one window."""
    u, v = point_to_view(point, window)
    pixels = processor.normalize([processor.crop(frame, window, processor.view_size)]).to(model.device)
    features, grid = model.embed(torch.cat([pixels, pixels.flip(-1)]))
    places = torch.tensor([[[u, v]], [[1 - u, v]]], device=model.device)
    prompt = model.embed_points(places, torch.ones(2, 1, device=model.device))
    track = model.track(features, grid, prompt.to(features.dtype), view=view)
    scores, boxes = with_mirror_image(track)
    holds = (u - boxes[0]).abs().le(boxes[2] / 2) & (v - boxes[1]).abs().le(boxes[3] / 2)
    cell = int(torch.where(holds, scores, scores - 1).argmax())  # boxes without the click come last
    return box_from_view(boxes[:, cell].float().cpu().numpy(), window)


@lru_cache(maxsize=8)
def _hann(rows: int, columns: int) -> np.ndarray:
    """Hann window without zeros at its border: [rows, columns]."""
    return np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
