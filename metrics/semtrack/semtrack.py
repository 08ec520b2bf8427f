"""The SemTrack metric as a module of 🤗 evaluate; its card is README.md in this folder.

`evaluate` copies the files from which this one imports, one a line and without a comment behind it, and no
others. So every file that the metric needs is named here, also those that only its helpers use.
"""

# ruff: noqa: F401

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from .clear import clear
from .confidence import bootstrap_intervals
from .conversion import empty_row
from .hota import hota
from .identity import identity
from .layout import to_layout
from .recognition import interaction_scores
from .relation_detection import relation_scores
from .rows import pair_rows
from .scoring import score_rows
from .semantic_trajectory import trajectory_scores
from .st_map import st_map
from .st_map_data import read_scenes
from .st_map_frames import compare_frames
from .st_map_relations import is_right_strictly
from .st_map_rows import table_of
from .st_map_tracks import read_tracks
from .tracking import tracking_scores

_DESCRIPTION = """
Scores of semantic tracking: where targets go, what they do, with whom or what, and when. Tracking (AO, success
AUC, precision), interaction recognition (frame-level F1, also by many, medium and few shots), semantic
trajectories (quadruplets of subject, object, interaction and interval: mAP, recall, accuracy), relation detection
and tagging (VidVRD, VidOR), and ST-mAP, MTI and HOTA (as the authors of SemTrack published them, or mended).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (list of dict): one row per video, see below.
    references (list of dict): the truth, one row per video. Within a batch the order does not matter, and a video
        without a prediction may be left out of the predictions.
    metrics (list of str): some of "tracking", "recognition", "trajectory", "relations", "st_map"; default all.
    mode (str): "strict" (default) or "official", for st_map alone: mended, or with the defects of the published
        evaluation code.
    max_relations (int): for st_map in strict mode: how many relations a predicted box may list; default 1.
    association (str): which predicted track stands for a target: "viou" (default), the one that overlaps it most,
        or "track_id", the one with its id.
    training_counts (dict): training events by interaction, for the many-, medium- and few-shot groups.
    tious (list of float): temporal IoU thresholds of the semantic trajectory; default 0.3, 0.5, 0.7.
    object_viou (float): volume IoU that a located object must reach there; default 0.5.
    interactions (list of str): the known interactions; rows with another one are refused.
    confidence (bool or list of str): also give 95 % bootstrap intervals by video, of all metrics or of those named;
        those of st_map take minutes, as it is computed anew for each draw.
    n_resamples (int): number of bootstrap draws; default 1000.
    confidence_seed (int): of the bootstrap; default 0.
A row:
    {"video_id": str, "num_frames": int, "fps": float,
     "tracks": [{"track_id": int, "category": str, "main": bool, "score": float,
                 "frames": [int], "boxes": [[x, y, w, h]], "scores": [float]}],
     "events": [{"subject": int, "interaction": str, "object": str, "object_track": int,
                 "start_frame": int, "end_frame": int, "score": float,
                 "object_frames": [int], "object_boxes": [[x, y, w, h]]}]}
    Boxes are in pixels, frames count from 0, intervals are half-open; "subject" is a track_id, "object" a class
    name ("" for none), "object_track" a track_id or -1.
Returns:
    A dictionary of plain JSON types with "mode", "num_videos" and one entry per metric; None where a score is
    undefined.
"""

_CITATION = """
@inproceedings{wang2024semtrack,
  title={SemTrack: A Large-scale Dataset for Semantic Tracking in the Wild},
  author={Wang, Pengfei and Hui, Xiaofei and Wu, Jing and Yang, Zile and Ong, Kian Eng and Zhao, Xinge and Lu,
    Beijia and Huang, Dezhao and Ling, Evan and Chen, Weiling and Ma, Keng Teck and Hur, Minhoe and Liu, Jun},
  booktitle={European Conference on Computer Vision},
  year={2024}
}
"""


def _row_features() -> dict[str, Any]:
    integer, number, text = (datasets.Value(kind) for kind in ("int64", "float64", "string"))
    boxes = datasets.Sequence(datasets.Sequence(number))
    track = {"track_id": integer, "category": text, "main": datasets.Value("bool"), "score": number}
    track |= {"frames": datasets.Sequence(integer), "boxes": boxes, "scores": datasets.Sequence(number)}
    event = {"subject": integer, "interaction": text, "object": text, "object_track": integer}
    event |= {"start_frame": integer, "end_frame": integer, "score": number}
    event |= {"object_frames": datasets.Sequence(integer), "object_boxes": boxes}
    return {"video_id": text, "num_frames": integer, "fps": number, "tracks": [track], "events": [event]}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class SemTrack(evaluate.Metric):
    """Loaded by `evaluate.load("metrics/semtrack")`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": _row_features(), "references": _row_features()}),
            reference_urls=["https://github.com/sutdcv/SemTrack"],
        )

    def add(self, *, prediction: Mapping | None = None, reference: Mapping, **kwargs: Any) -> None:
        """Adds one video; without a prediction, nothing is predicted for it."""
        self.add_batch(predictions=[] if prediction is None else [prediction], references=[reference], **kwargs)

    def add_batch(self, *, predictions: Sequence[Mapping], references: Sequence[Mapping], **kwargs: Any) -> None:
        """Adds some videos; bad rows show here, and every prediction needs its reference in the same batch.

        Raises:
            ValueError: If a row is bad or a prediction has no reference.
        """
        pair_rows(predictions, references)
        predicted = {row["video_id"]: row for row in predictions}
        predictions = [predicted.get(row["video_id"]) or empty_row(row) for row in references]
        super().add_batch(predictions=predictions, references=list(references), **kwargs)

    def compute(self, *, predictions: Sequence[Mapping] | None = None, references: Sequence[Mapping] | None = None,
                **kwargs: Any) -> dict[str, Any] | None:  # fmt: skip
        """Scores what was added, and what is given; None on all processes but the first.

        Raises:
            ValueError: If a row or an argument is bad, or there is no video.
        """
        if references is None and predictions is not None:
            raise ValueError("predictions need references: pass both, or neither after add_batch")
        if references is None and self.writer is None:
            predictions, references = [], []  # a process without videos must say so, or the first one waits for it
        elif references is not None and predictions is None:
            predictions = []
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions: list[dict], references: list[dict], **options: Any) -> dict[str, Any]:
        return score_rows(predictions, references, **options)
