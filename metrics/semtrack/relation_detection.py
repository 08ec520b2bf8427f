"""Relation detection and relation tagging by the protocol of VidVRD and VidOR.

The definitions are those of Shang et al., *Video Visual Relation Detection* (ACM MM 2017), and of the
VidOR challenge (Shang et al., *Annotating Objects and Relations in User-Generated Videos*, ICMR 2019):

* A relation is an event with an object: the triplet (subject's category, interaction, object's class)
  and the tubes of subject and object during the event. All tracks count, main or not.
* Detection: in the order of score, a predicted relation hits the truth of the same triplet that is not
  hit yet and whose smaller volume IoU (subject's and object's) is largest, if that is at least 0.5. AP is
  taken per video (precision at each recall replaced by the greatest at any higher recall, area under
  all points, as PASCAL VOC does since 2010); mAP is the mean over videos. Recall@K counts the hits
  among the first K predictions of each video, over all truths of all videos.
* Tagging: tubes do not matter; the distinct predicted triplets of a video in the order of their best
  score; precision@K is the share of the first K (or of all, if fewer) that occur in the reference;
  the mean over videos.

Videos without relations in the reference are left out with whatever is predicted for them. Predictions of
the same score keep their order. A truth whose object is not located counts for tagging alone; a
prediction whose object is not located hits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .rows import RowPair, Tube, VideoRow
from .tracking import viou

RECALL_AT = (50, 100)
PRECISION_AT = (1, 5, 10)

Triplet = tuple[str, str, str]


class Relation(NamedTuple):
    """A triplet with both tubes."""

    triplet: Triplet
    score: float
    subject: Tube
    object: Tube


class VideoRelations(NamedTuple):
    """What one video adds to the scores.

    Attributes:
        video_id: The video.
        num_truths: Truths whose object is located.
        hits: bool ``[predictions]``, best score first: whether each one hits a truth.
        tags: bool ``[distinct predicted triplets]``, best score first: whether each occurs in the
            reference; None where the reference has no relation.
    """

    video_id: str
    num_truths: int
    hits: np.ndarray
    tags: np.ndarray | None


def relation_scores(pairs: Iterable[RowPair], min_viou: float = 0.5) -> dict[str, float | int | None]:
    """:func:`summarise_relations` of :func:`video_relations` of every pair."""
    return summarise_relations([video_relations(pair, min_viou) for pair in pairs])


def video_relations(pair: RowPair, min_viou: float = 0.5) -> VideoRelations:
    """Matches the relations of one video.

    Args:
        pair: Prediction and reference.
        min_viou: Volume IoU that subject and object must both reach.
    """
    predictions = sorted(_relations(pair.prediction), key=lambda relation: -relation.score)
    truths = _relations(pair.reference)
    located = [truth for truth in truths if len(truth.object.frames)]
    triplets = {truth.triplet for truth in truths}
    tags = np.array([t in triplets for t in dict.fromkeys(p.triplet for p in predictions)], dtype=bool)
    hits = _hits(predictions, located, min_viou)
    return VideoRelations(pair.reference.video_id, len(located), hits, tags if truths else None)


def summarise_relations(videos: Sequence[VideoRelations]) -> dict[str, float | int | None]:
    """Scores over videos.

    Returns:
        ``mAP``, ``recall@50``, ``recall@100``, ``tagging_precision@1``, ``tagging_precision@5``,
        ``tagging_precision@10``, each None where no reference has a relation to find, and
        ``num_relations``, how many located truths there are.
    """
    detection = [video for video in videos if video.num_truths]
    tagging = [video.tags for video in videos if video.tags is not None]
    num_truths = sum(video.num_truths for video in detection)
    aps = [video_average_precision(video) for video in detection]
    summary: dict[str, float | int | None] = {"mAP": float(np.mean(aps)) if aps else None}
    for k in RECALL_AT:
        found = sum(int(video.hits[:k].sum()) for video in detection)
        summary[f"recall@{k}"] = found / num_truths if num_truths else None
    for k in PRECISION_AT:
        precisions = [float(tags[:k].mean()) if len(tags) else 0.0 for tags in tagging]
        summary[f"tagging_precision@{k}"] = float(np.mean(precisions)) if precisions else None
    return {**summary, "num_relations": num_truths}


def video_average_precision(video: VideoRelations) -> float:
    """Detection AP of one video that has truths."""
    true_positives = np.cumsum(video.hits)
    return average_precision(true_positives / np.arange(1, len(video.hits) + 1), true_positives / video.num_truths)


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the precision-recall curve as PASCAL VOC takes it since 2010.

    Args:
        precision: ``[N]``, of the predictions down to each threshold.
        recall: ``[N]``, ascending.

    Returns:
        In [0, 1]; each step of recall counts with the greatest precision at that recall or a higher one.
    """
    if not len(precision):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.diff(recall, prepend=0.0) @ envelope)


def _relations(row: VideoRow) -> list[Relation]:
    return [
        Relation(
            triplet=(row.track_by_id[event.subject].category, event.interaction, event.object),
            score=event.score,
            subject=row.subject_boxes(event),
            object=row.object_boxes(event),
        )
        for event in row.events
        if event.object
    ]


def _hits(predictions: Sequence[Relation], truths: Sequence[Relation], min_viou: float) -> np.ndarray:
    """bool ``[predictions]``: greedy matching, the first prediction chooses first."""
    by_triplet: dict[Triplet, list[Relation]] = {}
    for truth in truths:
        by_triplet.setdefault(truth.triplet, []).append(truth)
    free = {triplet: np.ones(len(same), dtype=bool) for triplet, same in by_triplet.items()}
    hits = np.zeros(len(predictions), dtype=bool)
    for index, prediction in enumerate(predictions):
        same = by_triplet.get(prediction.triplet, [])
        if not same or not free[prediction.triplet].any():
            continue
        overlaps = np.array([_smaller_viou(prediction, truth, min_viou) for truth in same])
        overlaps[~free[prediction.triplet]] = -1.0
        best = int(overlaps.argmax())
        if overlaps[best] >= min_viou:
            hits[index] = True
            free[prediction.triplet][best] = False
    return hits


def _smaller_viou(prediction: Relation, truth: Relation, min_viou: float) -> float:
    """Of subject and object; 0 without a look at the object where the subject is below `min_viou`."""
    subject = viou(prediction.subject, truth.subject)
    return min(subject, viou(prediction.object, truth.object)) if subject >= min_viou else 0.0
