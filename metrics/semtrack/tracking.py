"""Single-object-tracking scores as GOT-10k and OTB define them, in pure NumPy.

Definitions follow the GOT-10k paper (Huang et al., TPAMI 2021), the OTB papers (Wu et al., CVPR 2013
and TPAMI 2015) and the GOT-10k toolkit, which computes both, and for the normalised precision the
TrackingNet paper (Mueller et al., ECCV 2018):

* ``ao``: average overlap, the mean IoU over the scored frames.
* ``sr50``, ``sr75``: share of scored frames with IoU > 0.5 and > 0.75.
* ``auc``: area under OTB's success plot, the mean over the 21 thresholds 0, 0.05, ..., 1 of the share
  of frames with IoU > threshold. A perfect track reaches 20/21, since no IoU is greater than 1.
* ``precision20``: share of scored frames whose centre is at most 20 pixels from the true centre.
* ``norm_precision``: the distance of the centres is divided by the true box's width and height, side
  by side; the mean over the 51 thresholds 0, 0.01, ..., 0.5 of the share of frames at most that far.
  (Some toolkits report the share at 0.2 under the same name; that is another number.)

When comparing with published numbers: GOT-10k leaves the first frame (which gives the tracker its
box) out while OTB counts it, so use ``skip_first=False`` for OTB's own numbers; and GOT-10k clips
both boxes to the image first, so give ``image_size`` for its own. Over several sequences OTB takes
the mean of the sequences, GOT-10k the mean of all frames; :func:`summarise_tracking` gives both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .rows import RowPair, Track, Tube

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_PIXELS = 20
NORM_PRECISION_THRESHOLDS = np.linspace(0, 0.5, 51)
SCORE_NAMES = ("ao", "auc", "sr50", "sr75", "precision20", "norm_precision")
ASSOCIATIONS = ("viou", "track_id")


class TargetTracking(NamedTuple):
    """How well one target was tracked.

    Attributes:
        video_id: The video.
        track_id: The target in the reference.
        num_frames: How many frames were scored.
        scores: As :func:`tracking_scores`; None where no frame could be scored.
    """

    video_id: str
    track_id: int
    num_frames: int
    scores: dict[str, float] | None


def iou(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Intersection over union of boxes, row by row.

    Args:
        a: ``[N, 4]`` boxes, ``xywh`` in any unit; a row of NaN is no box.
        b: ``[N, 4]`` boxes in the same unit.

    Returns:
        float64 ``[N]`` in [0, 1]; NaN where either is no box, 0 where both boxes have no area.

    Raises:
        ValueError: If the shapes differ from ``[N, 4]`` or each other, or a size is negative.
    """
    a, b = _as_boxes(a, "a"), _as_boxes(b, "b")
    _check_same_length(a, b)
    overlap = _overlap(a, b)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - overlap
    ratio = np.divide(overlap, union, out=np.zeros_like(union), where=union != 0)
    return np.minimum(ratio, 1.0)  # rounding may exceed 1 for equal boxes


def viou(a: Tube, b: Tube) -> float:
    """Volume IoU of two tubes: overlap summed over their common frames, by the union over all frames.

    The measure of VidVRD (Shang et al., ACM MM 2017). Its code adds one pixel to every side because it
    counts corner pixels in; boxes made with ``w = xmax - xmin + 1`` give its numbers.

    Returns:
        In [0, 1]; 0 where the tubes have no volume.
    """
    rows_b = np.searchsorted(b.frames, a.frames)
    rows_a = np.flatnonzero(rows_b < len(b.frames))
    rows_a = rows_a[b.frames[rows_b[rows_a]] == a.frames[rows_a]]
    overlap = _overlap(a.boxes[rows_a], b.boxes[rows_b[rows_a]]).sum()
    union = a.boxes[:, 2] @ a.boxes[:, 3] + b.boxes[:, 2] @ b.boxes[:, 3] - overlap
    return min(float(overlap / union), 1.0) if union > 0 else 0.0


def associate_tracks(pair: RowPair, association: str = "viou", min_viou: float = 0.0) -> dict[int, Track | None]:
    """Which predicted track stands for each target of the reference.

    * ``"track_id"``: the one with the target's id, wherever its boxes are. For predictions that were
      asked for the reference's targets by a prompt and keep their ids.
    * ``"viou"``: each target of the prediction stands for the one target of the reference that it
      overlaps most (volume IoU over the whole video); where several stand for the same, the one that
      overlaps it most, or comes first. So a copy of a track never gains another target.

    Args:
        pair: Prediction and reference of one video.
        association: ``"viou"`` or ``"track_id"``.
        min_viou: For ``"viou"``: tracks must overlap this much, and more than 0.

    Returns:
        For each target of the reference, by its ``track_id``, the predicted track or None.

    Raises:
        ValueError: If `association` is unknown.
    """
    targets = pair.reference.targets
    if association == "track_id":
        return {target.track_id: pair.prediction.track_by_id.get(target.track_id) for target in targets}
    if association != "viou":
        raise ValueError(f"association must be one of {', '.join(ASSOCIATIONS)}, got '{association}'")
    found: dict[int, Track | None] = {target.track_id: None for target in targets}
    best = dict.fromkeys(found, 0.0)
    for track in pair.prediction.targets:
        overlaps = [viou(Tube(track.frames, track.boxes), Tube(target.frames, target.boxes)) for target in targets]
        overlap = max(overlaps, default=0.0)
        if overlap == 0 or overlap < min_viou:
            continue
        target_id = targets[overlaps.index(overlap)].track_id
        if overlap > best[target_id]:
            found[target_id], best[target_id] = track, overlap
    return found


def tracking_scores(
    predicted: ArrayLike, truth: ArrayLike, skip_first: bool = True, image_size: tuple[float, float] | None = None
) -> dict[str, float]:
    """Scores of one track against its truth; see the module's text for the definitions.

    Frames in which the target is absent are not scored, whatever is predicted there (see
    :func:`presence_scores` for those). A missing prediction where the target is present counts as
    IoU 0 and as a miss for the precision.

    Args:
        predicted: ``[N, 4]`` boxes, ``xywh`` in pixels; a row of NaN where the tracker gives no box.
        truth: ``[N, 4]`` boxes, ``xywh`` in pixels; a row of NaN where the target is absent.
        skip_first: Leave out the first frame, whose box was given to the tracker, as GOT-10k does.
        image_size: Width and height in pixels; before overlaps are taken, boxes are clipped to it as
            GOT-10k's toolkit does: the corner is moved into the image, then the size is cut.

    Returns:
        ``ao``, ``auc``, ``sr50``, ``sr75``, ``precision20`` and ``norm_precision``, each in [0, 1].

    Raises:
        ValueError: If the arrays are not boxes of the same number of frames, or no frame can be scored.
    """
    predicted, truth = _as_boxes(predicted, "predicted"), _as_boxes(truth, "truth")
    _check_same_length(predicted, truth)
    scored = _scored_frames(truth, skip_first)
    if not scored.any():
        after = " after the first one" if skip_first else ""
        raise ValueError(f"no frame to score: the target is absent from all of {len(truth)} frames{after}")
    predicted, truth = predicted[scored], truth[scored]
    clipped = [boxes if image_size is None else _clipped(boxes, image_size) for boxes in (predicted, truth)]
    overlaps = np.nan_to_num(iou(*clipped), nan=0.0)
    offsets = _centres(predicted) - _centres(truth)  # NaN without a prediction: never within a threshold
    distances = np.linalg.norm(offsets, axis=1)
    relative = np.divide(offsets, truth[:, 2:], out=np.full_like(offsets, np.inf), where=truth[:, 2:] > 0)
    norm_distances = np.linalg.norm(relative, axis=1)
    return {
        "ao": float(overlaps.mean()),
        "auc": float((overlaps[:, None] > SUCCESS_THRESHOLDS).mean()),
        "sr50": float((overlaps > 0.5).mean()),
        "sr75": float((overlaps > 0.75).mean()),
        "precision20": float((distances <= PRECISION_PIXELS).mean()),
        "norm_precision": float((norm_distances[:, None] <= NORM_PRECISION_THRESHOLDS).mean()),
    }


def target_tracking_scores(
    pairs: Iterable[RowPair], association: str = "viou", skip_first: bool = True
) -> dict[str, float | int | None]:
    """Tracking scores of all targets; :func:`summarise_tracking` of :func:`video_tracking` of every pair."""
    return summarise_tracking([target for pair in pairs for target in video_tracking(pair, association, skip_first)])


def video_tracking(pair: RowPair, association: str = "viou", skip_first: bool = True) -> list[TargetTracking]:
    """Tracking scores of each target of one video.

    Args:
        pair: Prediction and reference.
        association: Which predicted track is compared, see :func:`associate_tracks`.
        skip_first: Leave out the first frame that shows the target.

    Returns:
        One entry per target; a target without a predicted track scores 0.
    """
    tracks = associate_tracks(pair, association)
    return [_track_target(pair, target, tracks[target.track_id], skip_first) for target in pair.reference.targets]


def summarise_tracking(targets: Sequence[TargetTracking]) -> dict[str, float | int | None]:
    """Scores over targets.

    Returns:
        Each score of :func:`tracking_scores` as the mean over the targets; ``ao_frames``,
        ``sr50_frames`` and ``sr75_frames`` as the mean over all scored frames, as GOT-10k's toolkit
        does; ``num_targets`` and ``num_frames``, how many were scored. Scores are None where no
        target could be scored.
    """
    scored = [target for target in targets if target.scores is not None]
    frames = np.array([target.num_frames for target in scored], dtype=np.int64)
    values = {name: [target.scores[name] for target in scored] for name in SCORE_NAMES}
    summary: dict[str, float | int | None] = {n: float(np.mean(v)) if scored else None for n, v in values.items()}
    for name in ("ao", "sr50", "sr75"):
        summary[f"{name}_frames"] = float(np.average(values[name], weights=frames)) if scored else None
    return {**summary, "num_targets": len(scored), "num_frames": int(frames.sum())}


def presence_scores(presence: ArrayLike, truth: ArrayLike, skip_first: bool = True) -> dict[str, float | None]:
    """How well a tracker knows whether its target is visible, wherever it puts the box.

    Args:
        presence: bool ``[N]``, whether the tracker says that the target is visible.
        truth: ``[N, 4]`` boxes; a row of NaN where the target is absent.
        skip_first: Leave out the first frame, as in :func:`tracking_scores`.

    Returns:
        ``precision``, the share of frames said to be visible that are, and ``recall``, the share of
        visible frames said to be; None where there is no such frame.

    Raises:
        ValueError: If `presence` is not boolean, or the lengths differ.
    """
    presence, truth = np.asarray(presence), _as_boxes(truth, "truth")
    if presence.dtype != bool or presence.shape != truth.shape[:1]:
        raise ValueError(
            f"presence must be bool [{len(truth)}], one per row of truth, got {presence.dtype} {list(presence.shape)}"
        )
    first = int(skip_first)
    said, visible = presence[first:], _is_present(truth)[first:]
    return {
        "precision": float(visible[said].mean()) if said.any() else None,
        "recall": float(said[visible].mean()) if visible.any() else None,
    }


def _track_target(pair: RowPair, target: Track, track: Track | None, skip_first: bool) -> TargetTracking:
    """Scores from the first frame on that shows the target."""
    first = int(target.frames[0]) if len(target.frames) else 0
    length = pair.reference.num_frames
    truth = target.dense_boxes(length)[first:]
    predicted = np.full_like(truth, np.nan) if track is None else track.dense_boxes(length)[first:]
    num_frames = int(_scored_frames(truth, skip_first).sum())
    scores = tracking_scores(predicted, truth, skip_first) if num_frames else None
    return TargetTracking(pair.reference.video_id, target.track_id, num_frames, scores)


def _scored_frames(truth: np.ndarray, skip_first: bool) -> np.ndarray:
    scored = _is_present(truth)
    scored[:1] &= not skip_first
    return scored


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area in common, row by row; NaN where either is no box."""
    top_left = np.maximum(a[:, :2], b[:, :2])
    bottom_right = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    return sides[:, 0] * sides[:, 1]


def _centres(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2  # of the pixels, as OTB has it


def _clipped(boxes: np.ndarray, image_size: tuple[float, float]) -> np.ndarray:
    corners = np.clip(boxes[:, :2], 0, image_size)
    return np.concatenate([corners, np.clip(boxes[:, 2:], 0, image_size - corners)], axis=1)


def _is_present(boxes: np.ndarray) -> np.ndarray:
    return ~np.isnan(boxes).any(axis=1)


def _as_boxes(boxes: ArrayLike, name: str) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must be boxes [N, 4] (x, y, w, h), got shape {list(boxes.shape)}")
    negative = np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))
    if negative.size:
        row = negative[0]
        raise ValueError(f"{name} must have w, h >= 0, got {boxes[row].tolist()} in row {row}")
    return boxes


def _check_same_length(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise ValueError(f"both must have one box per frame, got {len(a)} and {len(b)} rows")
