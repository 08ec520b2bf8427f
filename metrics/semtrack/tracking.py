"""Single-object-tracking scores as GOT-10k and OTB define them, in pure NumPy.

Definitions follow the GOT-10k paper (Huang et al., TPAMI 2021), the OTB papers (Wu et al., CVPR 2013
and TPAMI 2015) and the GOT-10k toolkit, which computes both:

* ``ao``: average overlap, the mean IoU over the scored frames.
* ``sr50``, ``sr75``: share of scored frames with IoU > 0.5 and > 0.75.
* ``auc``: area under OTB's success plot, the mean over the 21 thresholds 0, 0.05, ..., 1 of the share
  of frames with IoU > threshold. A perfect track reaches 20/21, since no IoU is greater than 1.
* ``precision20``: share of scored frames whose centre is at most 20 pixels from the true centre.

Two things to know when comparing with published numbers: GOT-10k leaves the first frame (which gives
the tracker its box) out while OTB counts it, so use ``skip_first=False`` for OTB's own numbers; and
GOT-10k clips both boxes to the image first, which is left to the caller here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_PIXELS = 20


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
    top_left = np.maximum(a[:, :2], b[:, :2])
    bottom_right = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    overlap = np.maximum(bottom_right - top_left, 0).prod(axis=1)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - overlap
    return np.divide(overlap, union, out=np.zeros_like(union), where=union != 0)


def tracking_scores(predicted: ArrayLike, truth: ArrayLike, skip_first: bool = True) -> dict[str, float]:
    """Scores of one track against its truth; see the module's text for the definitions.

    Frames in which the target is absent are not scored, whatever is predicted there (see
    :func:`presence_scores` for those). A missing prediction where the target is present counts as
    IoU 0 and as a miss for the precision.

    Args:
        predicted: ``[N, 4]`` boxes, ``xywh`` in pixels; a row of NaN where the tracker gives no box.
        truth: ``[N, 4]`` boxes, ``xywh`` in pixels; a row of NaN where the target is absent.
        skip_first: Leave out the first frame, whose box was given to the tracker, as GOT-10k does.

    Returns:
        ``ao``, ``auc``, ``sr50``, ``sr75`` and ``precision20``, each in [0, 1].

    Raises:
        ValueError: If the arrays are not boxes of the same number of frames, or no frame can be scored.
    """
    predicted, truth = _as_boxes(predicted, "predicted"), _as_boxes(truth, "truth")
    _check_same_length(predicted, truth)
    scored = _is_present(truth)
    scored[:1] &= not skip_first
    if not scored.any():
        after = " after the first one" if skip_first else ""
        raise ValueError(f"no frame to score: the target is absent from all of {len(truth)} frames{after}")
    predicted, truth = predicted[scored], truth[scored]
    overlaps = np.nan_to_num(iou(predicted, truth), nan=0.0)
    offsets = (predicted[:, :2] + predicted[:, 2:] / 2) - (truth[:, :2] + truth[:, 2:] / 2)
    distances = np.linalg.norm(offsets, axis=1)  # NaN without a prediction: never <= 20
    return {
        "ao": float(overlaps.mean()),
        "auc": float((overlaps[:, None] > SUCCESS_THRESHOLDS).mean()),
        "sr50": float((overlaps > 0.5).mean()),
        "sr75": float((overlaps > 0.75).mean()),
        "precision20": float((distances <= PRECISION_PIXELS).mean()),
    }


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
