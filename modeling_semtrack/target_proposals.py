"""Targets that nobody pointed at: a grid of clicks, and the boxes on which several of them agree.

A click names whatever lies under it. Where there is an object, neighbouring clicks get the same box; on
background each gets another one. Boxes are ranked by the number of clicks that agree times the centre score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .drawing import Rect
from .localization import Candidate, locate
from .modeling_semtrack import SemTrackModel, SemTrackTrack
from .processing_semtrack import SemTrackImageProcessor, Window, clip_box, point_to_view
from .trajectory import Box

CLICKS = 28  # about; spread over the frame in a grid of square cells
REFINEMENTS = 2  # looks at the search region around each answer
SAME_OBJECT = 0.5  # intersection over union from which two clicks agree
LEAST_CLICKS, LEAST_SCORE = 2, 0.3  # that agree on a target; centre score of the best of them
MOST_SHARED = 0.6  # of the smaller of two targets; more is one object and its part
SMALLEST_SIDE = 8.0  # pixels
FAR_BELOW = 50.0  # logits


@dataclass(frozen=True)
class FoundTarget:
    """A target that clicks agree on.

    Attributes:
        box: xywh pixels, inside the frame.
        score: Centre score of the surest click, in [0, 1].
        clicks: How many clicks agree.
    """

    box: Box
    score: float
    clicks: int


@torch.inference_mode()
def find_targets(
    model: SemTrackModel, images: SemTrackImageProcessor, frame: np.ndarray, most: int
) -> list[FoundTarget]:
    """Objects of a frame that the model separates from their surroundings, the most certain first.

    Args:
        model: Model in eval mode.
        images: Cuts views.
        frame: uint8 RGB [height, width, 3].
        most: How many to return at most.

    Returns:
        Targets of which none holds most of another; may be empty.
    """
    points = _grid(frame)
    candidates = _answers(model, images, frame, points, [images.scene_window(frame)] * len(points), "scene")
    for _ in range(REFINEMENTS):
        windows = [images.search_window(candidate.box) for candidate in candidates]
        candidates = _answers(model, images, frame, points, windows, "search")
    inside = [c for point, c in zip(points, candidates) if _holds(c.box, point)]
    found = [target for group in _agreeing(inside) if (target := _as_target(group, frame)) is not None]
    found.sort(key=lambda target: -target.clicks * target.score)
    return _apart(found)[:most]


def _grid(frame: np.ndarray) -> list[tuple[float, float]]:
    """Middles of about :data:`CLICKS` nearly square cells, (x, y) pixels."""
    height, width = frame.shape[:2]
    columns = max(1, round((CLICKS * width / height) ** 0.5))
    rows = max(1, round(CLICKS / columns))
    return [((c + 0.5) * width / columns, (r + 0.5) * height / rows) for r in range(rows) for c in range(columns)]


def _answers(
    model: SemTrackModel,
    images: SemTrackImageProcessor,
    frame: np.ndarray,
    points: list[tuple[float, float]],
    windows: list[Window],
    view: str,
) -> list[Candidate]:
    """The model's answer to each click, in the window of the same place in the list."""
    looked_at = windows[:1] if view == "scene" else windows  # all clicks share the scene
    crops = [images.crop(frame, window, images.view_size) for window in looked_at]
    features, grid = model.embed(images.normalize(crops).to(model.device))
    features = features.expand(len(points), -1, -1)  # [clicks, tokens, hidden]
    places = torch.tensor([[point_to_view(point, window)] for point, window in zip(points, windows)])  # [clicks, 1, 2]
    prompts = model.embed_points(places.to(model.device), torch.ones(len(points), 1, device=model.device))
    track = model.track(features, grid, prompts.to(features.dtype), view=view)
    return locate(_holding(track, places), windows, window_influence=0.0)


def _holding(track: SemTrackTrack, places: torch.Tensor) -> SemTrackTrack:
    """The track with the scores of boxes that do not hold the click put last; places are [clicks, 1, 2]."""
    x, y = places.to(track.box_map.device)[:, 0, :, None, None].unbind(1)  # [clicks, 1, 1] each
    cx, cy, width, height = track.box_map.unbind(1)  # [clicks, rows, columns] each
    holds = ((x - cx).abs() <= width / 2) & ((y - cy).abs() <= height / 2)
    return replace(track, score_logits=torch.where(holds, track.score_logits, track.score_logits - FAR_BELOW))


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[0] + box[2] and box[1] <= point[1] <= box[1] + box[3]


def _agreeing(candidates: list[Candidate]) -> list[list[Candidate]]:
    """Candidates in groups that overlap with their first, which is their surest."""
    groups: list[list[Candidate]] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        rect = _rect(candidate.box)
        group = next((g for g in groups if _rect(g[0].box).overlap(rect) > SAME_OBJECT), None)
        if group is None:
            groups.append([candidate])
        else:
            group.append(candidate)
    return groups


def _as_target(group: list[Candidate], frame: np.ndarray) -> FoundTarget | None:
    box = clip_box(group[0].box, frame.shape[:2], smallest=SMALLEST_SIDE)
    if box is None or len(group) < LEAST_CLICKS or group[0].score < LEAST_SCORE:
        return None
    return FoundTarget(box, group[0].score, len(group))


def _apart(targets: list[FoundTarget]) -> list[FoundTarget]:
    """Targets that do not lie on a better one."""
    kept: list[FoundTarget] = []
    for target in targets:
        rect = _rect(target.box)
        area = rect.width * rect.height
        others = [_rect(other.box) for other in kept]
        if all(rect.shared_area(o) <= MOST_SHARED * min(area, o.width * o.height) for o in others):
            kept.append(target)
    return kept


def _rect(box: Box) -> Rect:
    x, y, width, height = box
    return Rect(x, y, x + width, y + height)
