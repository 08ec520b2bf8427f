"""Whether the tracker knows that its target is away, and whether it takes up the right one when it comes back.

    python -m benchmarks.presence --sequences DIR [--model DIR] [--within 30] [--cutaways 2]

Looks at the sequences whose truth says "absent" at times (`natural`). With `--cutaways N`, also at all others with N
absences staged in each (`staged`): the film cuts to another sequence for up to a second, and the target has moved on
when it cuts back. Prints one JSON object: precision and recall of "present" over all frames, and the share of
re-appearances after a full absence at which the tracker is back on the target (an IoU of at least 0.5) within so many
frames; over all sequences, over those that no training has seen (`--held-out`), and for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.click_to_box import HELD_OUT
from dataset_script.names import read_names
from dataset_script.sources.otb import BoxSequence, read_sequences
from metrics.semtrack.tracking import iou, presence_scores
from modeling_semtrack import SemTrackSession
from modeling_semtrack.benchmarking import SessionTracker, Tracker, sequence_frames, track_frames
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint

BARS = {"precision": 0.95, "recall": 0.9}
ON_TARGET = 0.5  # IoU
LONGEST_CUTAWAY = 25  # frames


@dataclass(frozen=True)
class Watched:
    """What a tracker said about one sequence, from the frame after the first one that shows the target.

    Attributes:
        sequence: Its name.
        staged: Whether its absences are.
        present: bool [frames], where the tracker gave a box.
        truth: xywh pixels [frames, 4], NaN where absent.
        delays: For each re-appearance the frames until the tracker was back, None where that took too long.
    """

    sequence: str
    staged: bool
    present: np.ndarray
    truth: np.ndarray
    delays: list[int | None]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", required=True, help="folder of OTB-like sequences")
    parser.add_argument("--held-out", default=str(HELD_OUT), help="text file with the names that no training has seen")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--within", type=int, default=30, help="frames after a re-appearance that count as soon")
    parser.add_argument("--cutaways", type=int, default=0, help="staged absences in each sequence without real ones")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()

    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    tracker = SessionTracker(partial(SemTrackSession, model, processor, semantic_stride=0))
    sequences = read_sequences(arguments.sequences)
    watched = [watch(tracker, s, arguments.within) for s in tqdm(absent_at_times(sequences), unit="sequence")]
    if arguments.cutaways:
        always = [s for s in sequences if not np.isnan(s.boxes).any()]
        for sequence, other in tqdm(list(zip(always, always[1:] + always[:1])), unit="sequence"):
            watched.append(watch(tracker, sequence, arguments.within, other, arguments.cutaways))
    print(json.dumps(report(watched, read_names(arguments.held_out)), indent=2))


def absent_at_times(sequences: Sequence[BoxSequence]) -> list[BoxSequence]:
    """Those in which the target comes back, or goes away."""
    return [sequence for sequence in sequences if np.isnan(sequence.boxes).any()]


def watch(
    tracker: Tracker, sequence: BoxSequence, within: int, other: BoxSequence | None = None, cutaways: int = 0
) -> Watched:
    """Runs a tracker over a sequence, with cuts to another one where one is given."""
    frames, boxes = sequence_frames(sequence), sequence.boxes
    if other is not None:
        away = cutaway_frames(len(boxes), cutaways)
        boxes = np.where(away[:, None], np.nan, boxes)
        frames = with_cutaways(sequence, other, away)
    predicted, truth, _ = track_frames(tracker, frames, boxes)
    present = ~np.isnan(predicted[1:, 0])
    return Watched(sequence.name, other is not None, present, truth[1:], delays(predicted, truth, within))


def cutaway_frames(length: int, count: int) -> np.ndarray:
    """bool [length]: where a film of so many frames cuts away, evenly spread and for a third of the time at most."""
    spacing = length // (count + 1)
    away = np.zeros(length, dtype=bool)
    for number in range(1, count + 1):
        away[number * spacing : number * spacing + min(LONGEST_CUTAWAY, spacing // 3)] = True
    return away


def with_cutaways(sequence: BoxSequence, other: BoxSequence, away: np.ndarray) -> Iterator[np.ndarray]:
    """The frames of a sequence; where it is away, those of the other one, stretched to the same size."""
    elsewhere = cycle(sequence_frames(other))
    for frame, gone in zip(sequence_frames(sequence), away):
        if gone:
            frame = np.asarray(Image.fromarray(next(elsewhere)).resize((frame.shape[1], frame.shape[0])))
        yield frame


def delays(predicted: np.ndarray, truth: np.ndarray, within: int) -> list[int | None]:
    """Frames from each re-appearance until the tracker is on its target again.

    Args:
        predicted: xywh [frames, 4], NaN where nothing was seen.
        truth: xywh [frames, 4], NaN where the target is absent.
        within: So many frames are waited, or until the target is away again; then the answer is None.
    """
    overlaps = np.nan_to_num(iou(predicted, truth))
    visible = ~np.isnan(truth[:, 0])
    found: list[int | None] = []
    for start in np.flatnonzero(visible[1:] & ~visible[:-1]) + 1:
        gone = np.flatnonzero(~visible[start:])
        end = start + min(within, gone[0] if len(gone) else within)
        back = np.flatnonzero(overlaps[start:end] >= ON_TARGET)
        found.append(int(back[0]) if len(back) else None)
    return found


def report(watched: list[Watched], held_out: set[str]) -> dict:
    """The printed object."""
    kinds = {"natural": [w for w in watched if not w.staged], "staged": [w for w in watched if w.staged]}
    return {
        "bars": BARS,
        "held_out": {kind: summary([w for w in some if w.sequence in held_out]) for kind, some in kinds.items()},
        "all": {kind: summary(some) for kind, some in kinds.items()},
        "sequences": {w.sequence: {"held_out": w.sequence in held_out, **summary([w])} for w in watched},
    }


def summary(watched: list[Watched]) -> dict:
    """Scores over all frames and re-appearances; None where there are none."""
    waited = [delay for w in watched for delay in w.delays]
    back = [delay for delay in waited if delay is not None]
    scores: dict = {"precision": None, "recall": None}
    if watched:
        present, truth = np.concatenate([w.present for w in watched]), np.concatenate([w.truth for w in watched])
        scores = presence_scores(present, truth, skip_first=False)
        scores["absent_frames"] = int(np.isnan(truth[:, 0]).sum())
    return {
        **scores,
        "reappearances": len(waited),
        "taken_up": len(back) / len(waited) if waited else None,
        "median_delay": float(np.median(back)) if back else None,
    }


if __name__ == "__main__":
    main()
