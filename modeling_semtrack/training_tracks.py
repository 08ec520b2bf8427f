"""Labels at the boxes that the tracker finds, in place of the annotated ones.

An annotated box knows what the target does: it takes in an arm that points. A tracker's box does not, and a head that
has learned from the former is lost with the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from metrics.semtrack.tracking import iou

from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor, clip_box
from .session_semtrack import SemTrackSession
from .training_clips import StepLabel
from .trajectory import Box

LEAST_OVERLAP = 0.3  # with the annotated box: below, the tracker may be on something that does something else


def at_tracked_boxes(
    model: SemTrackModel,
    processor: SemTrackProcessor,
    frames: Iterable[tuple[int, float, np.ndarray]],
    targets: Sequence[Sequence[StepLabel]],
) -> list[list[StepLabel]]:
    """Follows each target from its first labelled box on.

    Args:
        model: The tracker.
        processor: Of the same checkpoint.
        frames: (index, time in seconds, uint8 RGB) of the video, in order.
        targets: For each target its labelled steps, in order.

    Returns:
        For each target the steps in which the tracker has it (IoU of at least `LEAST_OVERLAP`), at the tracker's box.
    """
    session = SemTrackSession(model, processor, semantic_stride=0)
    starts = [(labels[0], place) for place, labels in enumerate(targets) if labels]
    places: dict[int, int] = {}  # in `targets`, by the session's target id
    tracked: list[dict[int, Box]] = [{} for _ in targets]
    for index, time, image in frames:
        for first, place in starts:
            if first.frame_index == index:
                box = clip_box(first.box, image.shape[:2], smallest=2.0)
                if box is not None:
                    places[session.add_target(image, box=box)] = place
        for state in session.step(image, time=time):
            if state.box is not None:
                tracked[places[state.target_id]][index] = state.box
    return [
        [
            replace(label, box=boxes[label.frame_index])
            for label in labels
            if label.frame_index in boxes
            and iou(np.array([boxes[label.frame_index]]), np.array([label.box]))[0] >= LEAST_OVERLAP
        ]
        for labels, boxes in zip(targets, tracked)
    ]
