"""Identity scores (Ristani et al., ECCV 2016, "Performance Measures and a Data Set for Multi-Target Tracking").

The fields and values are those of TrackEval; see :mod:`hota` for why its release is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .st_map_frames import Frames, assign

SAME_OBJECT = 0.5  # IoU
COUNTS = ("IDTP", "IDFN", "IDFP")
Scores = dict[str, float]


def identity(frames: Frames, classes: int) -> list[Scores]:
    """Scores of each class over all videos.

    A predicted track is paired with at most one true track of its video, so that as many boxes as possible
    agree. This is the minimum of false positives and negatives: each agreement takes one of both away.
    """
    truth, predicted = frames.truth, frames.predicted
    near = frames.iou >= SAME_OBJECT
    true_object, object_ = truth.object[frames.pair_truth[near]], predicted.object[frames.pair_predicted[near]]
    links, agreed = np.unique(true_object * len(predicted.object_group) + object_, return_counts=True)
    link_truth, link_predicted = np.divmod(links, max(1, len(predicted.object_group)))
    group = truth.object_group[link_truth]
    edges = np.arange(len(frames.group_class) + 1)
    starts, predicted_starts = (np.searchsorted(side.object_group, edges) for side in (truth, predicted))
    chosen = assign(group, link_truth, link_predicted, agreed.astype(float), starts, predicted_starts)
    tp = frames.per_class(group[chosen], classes, agreed[chosen])
    true_count = frames.per_class(truth.object_group[truth.object], classes)
    count = frames.per_class(predicted.object_group[predicted.object], classes)
    return [
        _with_rates(dict(zip(COUNTS, values)))
        for values in zip(tp.tolist(), (true_count - tp).tolist(), (count - tp).tolist())
    ]


def identity_class_average(results: Sequence[Scores]) -> Scores:
    """The mean over the classes; counts are summed."""
    return {
        name: float((np.sum if name in COUNTS else np.mean)([result[name] for result in results]))
        for name in results[0]
    }


def identity_box_average(results: Sequence[Scores]) -> Scores:
    """All classes as one."""
    return _with_rates({name: sum(result[name] for result in results) for name in COUNTS})


def _with_rates(result: Mapping[str, float]) -> Scores:
    """Adds what follows from the counts."""
    tp, fn, fp = (result[name] for name in COUNTS)
    return dict(result) | {
        "IDR": tp / max(1.0, tp + fn),
        "IDP": tp / max(1.0, tp + fp),
        "IDF1": tp / max(1.0, tp + 0.5 * fp + 0.5 * fn),
    }
