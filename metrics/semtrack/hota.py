"""HOTA (Luiten et al., IJCV 2020, "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking").

The fields and values are those of TrackEval, whose release 1.3.0 runs on NumPy 2 and agrees. It is not used because
it loops over images, classes and thresholds in Python, which takes some 25 times as long as all scores here, because
it cannot be imported without OpenCV and pycocotools, and because its CLEAR does not count relations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .st_map_frames import EPS, Frames, assign

ALPHAS = np.arange(0.05, 0.99, 0.05)
COUNTS = ("HOTA_TP", "HOTA_FN", "HOTA_FP")
WEIGHTED = ("AssRe", "AssPr", "AssA")
TINY = 1e-10  # keeps LocA at 1 where nothing is matched
Scores = dict[str, np.ndarray]


def hota(frames: Frames, classes: int) -> list[Scores]:
    """Scores of each class over all videos.

    Args:
        frames: The compared boxes.
        classes: Number of classes.

    Returns:
        For each class counts, rates and scores, float64 ``[19]`` over the thresholds 0.05, ..., 0.95, and the
        values at the first threshold.
    """
    truth, predicted = frames.truth, frames.predicted
    true_object, object_ = truth.object[frames.pair_truth], predicted.object[frames.pair_predicted]
    links, link = np.unique(true_object * len(predicted.object_group) + object_, return_inverse=True)
    link_truth, link_predicted = np.divmod(links, max(1, len(predicted.object_group)))
    both = truth.lengths[link_truth] + predicted.lengths[link_predicted]
    potential = np.bincount(link, _soft_matches(frames), minlength=len(links))
    score = (potential / (both - potential))[link] * frames.iou
    chosen = assign(
        frames.pair_cell, frames.pair_truth, frames.pair_predicted, score, truth.starts, predicted.starts
    )  # zero scores are as good as none

    overlap, link = frames.iou[chosen], link[chosen]
    level = np.searchsorted(ALPHAS - EPS, overlap, side="right")
    pair_class = frames.group_class[frames.cell_group[frames.pair_cell[chosen]]]
    matches = _from_level(link, level, len(links))  # [links, alphas]
    tp = _from_level(pair_class, level, classes)
    located = _from_level(pair_class, level, classes, overlap)
    shares = {
        "AssA": matches / np.maximum(1, both[:, None] - matches),
        "AssRe": matches / np.maximum(1, truth.lengths[link_truth][:, None]),
        "AssPr": matches / np.maximum(1, predicted.lengths[link_predicted][:, None]),
    }
    link_class = frames.group_class[truth.object_group[link_truth]]
    true_count = frames.per_class(truth.object_group[truth.object], classes)
    count = frames.per_class(predicted.object_group[predicted.object], classes)
    results = []
    for number in range(classes):
        own = link_class == number
        result = {
            "HOTA_TP": tp[number],
            "HOTA_FN": true_count[number] - tp[number],
            "HOTA_FP": count[number] - tp[number],
            "LocA": np.maximum(TINY, located[number]) / np.maximum(TINY, tp[number]),
        }
        for name, share in shares.items():
            result[name] = (matches[own] * share[own]).sum(axis=0) / np.maximum(1, tp[number])
        results.append(_with_rates(result))
    return results


def hota_class_average(results: Sequence[Scores]) -> Scores:
    """The mean over the classes; counts are summed."""
    return {
        name: (np.sum if name in COUNTS else np.mean)([result[name] for result in results], axis=0)
        for name in results[0]
    }


def hota_box_average(results: Sequence[Scores]) -> Scores:
    """All classes as one."""
    total = {name: np.sum([result[name] for result in results], axis=0) for name in COUNTS}
    for name in WEIGHTED:
        weighted = np.sum([result[name] * result["HOTA_TP"] for result in results], axis=0)
        total[name] = weighted / np.maximum(1, total["HOTA_TP"])
    located = np.sum([result["LocA"] * result["HOTA_TP"] for result in results], axis=0)
    total["LocA"] = np.maximum(TINY, located) / np.maximum(TINY, total["HOTA_TP"])
    return _with_rates(total)


def _soft_matches(frames: Frames) -> np.ndarray:
    """[pairs]: overlap as a share of all the overlaps of the two boxes."""
    sums = [
        np.bincount(boxes, frames.iou)[boxes] if len(boxes) else np.zeros(0)
        for boxes in (frames.pair_truth, frames.pair_predicted)
    ]
    total = sums[0] + sums[1] - frames.iou
    return np.divide(frames.iou, total, out=np.zeros_like(total), where=total > EPS)


def _from_level(rows: np.ndarray, level: np.ndarray, count: int, weights: np.ndarray | None = None) -> np.ndarray:
    """[count, alphas]: entries (or their weights) of each row that reach each threshold."""
    size = len(ALPHAS) + 1
    table = np.bincount(rows * size + level, weights, minlength=count * size).reshape(count, size)
    return table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].astype(float)


def _with_rates(result: Mapping[str, np.ndarray]) -> Scores:
    """Adds what follows from the counts."""
    tp, fn, fp = (result[name] for name in COUNTS)
    result = dict(result)
    result["DetRe"] = tp / np.maximum(1, tp + fn)
    result["DetPr"] = tp / np.maximum(1, tp + fp)
    result["DetA"] = tp / np.maximum(1, tp + fn + fp)
    result["HOTA"] = np.sqrt(result["DetA"] * result["AssA"])
    result["OWTA"] = np.sqrt(result["DetRe"] * result["AssA"])
    result["HOTA(0)"] = result["HOTA"][0]
    result["LocA(0)"] = result["LocA"][0]
    result["HOTALocA(0)"] = result["HOTA(0)"] * result["LocA(0)"]
    return result
