"""What one clip's answer is worth, and what many of them come to: the arithmetic of `ut_interaction.py`.

A *row* holds everything that is reported of one clip, in plain JSON types:

    video, sequence, interaction, interval     what is true
    label                                      the answer among the interactions of UT-Interaction
    free_label                                 the answer among all that the model knows
    by_event                                   False where there was no event and the strongest moment decided
    tiou                                       of the best event of the right class, 0 where there is none
    frames                                     {"hit", "miss", "false"}: {interaction: frames}
    main_actor                                 whether the acting person carries the event; None where both act
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.semantics import count_frames, overlap, scores
from dataset_script.records import VideoRecord
from dataset_script.sources.ut_interaction import CLASSES
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory

KINDS = ("hit", "miss", "false")
Answer = tuple[SemanticTrajectory, Mapping[str, float]]


def clip_row(
    record: VideoRecord, trajectory: SemanticTrajectory, peaks: Mapping[str, float], partner: Answer | None = None
) -> dict:
    """The row of one clip.

    Args:
        record: With one interaction.
        trajectory: Of the person who acts.
        peaks: The best score of each interaction at any step.
        partner: Trajectory and peaks of the other person, where only one acts.
    """
    event = record.interactions[0]
    same = [overlap(event, found) for found in trajectory.events if found.interaction == event.interaction]
    counts: Counter = Counter()
    count_frames(counts, trajectory, [event])
    return {
        "video": record.video_id,
        "sequence": record.metadata["sequence"],
        "interaction": event.interaction,
        "interval": [event.start_frame, event.end_frame],
        "label": label_of(trajectory.events, peaks, CLASSES),
        "free_label": label_of(trajectory.events, peaks),
        "by_event": bool(totals(trajectory.events, CLASSES)),
        "tiou": max(same, default=0.0),
        "frames": {kind: {name: n for (k, name), n in counts.items() if k == kind} for kind in KINDS},
        "main_actor": None if partner is None else strength(trajectory, peaks) > strength(*partner),
    }


def totals(events: Sequence[InteractionEvent], among: Sequence[str] | None = None) -> dict[str, float]:
    """Total confidence of each interaction: the sum over its events of score times seconds."""
    found: dict[str, float] = {}
    for event in events:
        if among is None or event.interaction in among:
            worth = event.score * (event.end_time - event.start_time)
            found[event.interaction] = found.get(event.interaction, 0.0) + worth
    return found


def label_of(
    events: Sequence[InteractionEvent], peaks: Mapping[str, float], among: Sequence[str] | None = None
) -> str | None:
    """The interaction with the largest total confidence; without events the one of the strongest moment, if any."""
    worth = totals(events, among) or {n: s for n, s in peaks.items() if among is None or n in among}
    return max(worth, key=worth.__getitem__, default=None)


def strength(trajectory: SemanticTrajectory, peaks: Mapping[str, float]) -> tuple[float, float]:
    """How much a person acts: the largest total confidence, then the strongest moment."""
    moments = [score for name, score in peaks.items() if name in CLASSES]
    return max(totals(trajectory.events, CLASSES).values(), default=0.0), max(moments, default=0.0)


def report(folds: Mapping[str, Mapping[str, Sequence[dict]]]) -> dict:
    """The printed object, from the rows of each fold: `held_out`, `other_scenes` and `seen`."""
    rows = [row for fold in folds.values() for row in fold["held_out"]]
    seen = accuracy([row for fold in folds.values() for row in fold["seen"]])
    elsewhere = accuracy([row for fold in folds.values() for row in fold["other_scenes"]])
    summary = summarise(rows)
    return {
        **summary,
        "seen_accuracy": seen,
        "other_scenes_accuracy": elsewhere,
        "drop_to_unseen_sequences": difference(seen, summary["accuracy"]),
        "drop_to_other_scenes": difference(summary["accuracy"], elsewhere),
        "confusion": confusion(rows),
        "by_class": {name: f1_of(rows, [name]) for name in CLASSES},
        "folds": {name: summarise(fold["held_out"]) for name, fold in folds.items()},
        "wrong": [
            [row["video"], row["interaction"], row["label"]] for row in rows if row["label"] != row["interaction"]
        ],
    }


def summarise(rows: Sequence[dict]) -> dict:
    """The numbers of some clips; None where there is nothing to count."""
    directed = [row["main_actor"] for row in rows if row["main_actor"] is not None]
    found = [row["tiou"] for row in rows if row["tiou"] > 0]
    return {
        "clips": len(rows),
        "accuracy": accuracy(rows),
        "free_accuracy": mean([row["free_label"] == row["interaction"] for row in rows]),
        "by_event": mean([row["by_event"] for row in rows]),
        "frame_f1": f1_of(rows)["f1"] if rows else None,
        "tiou": mean([row["tiou"] for row in rows]),
        "tiou_where_found": mean(found),
        "main_actor": mean(directed),
        "directed_clips": len(directed),
    }


def accuracy(rows: Sequence[dict]) -> float | None:
    """Share of clips with the right label."""
    return mean([row["label"] == row["interaction"] for row in rows])


def f1_of(rows: Sequence[dict], names: Sequence[str] | None = None) -> dict[str, float]:
    """Frame-level precision, recall and F1, over all interactions or over some."""
    sums = (
        sum(n for row in rows for name, n in row["frames"][kind].items() if names is None or name in names)
        for kind in KINDS
    )
    return scores(*sums)


def confusion(rows: Sequence[dict]) -> dict[str, dict[str, int]]:
    """{true interaction: {label: clips}}."""
    pairs = Counter((row["interaction"], row["label"] or "nothing") for row in rows)
    return {name: {label: n for (true, label), n in sorted(pairs.items()) if true == name} for name in CLASSES}


def mean(values: Sequence[float]) -> float | None:
    """None of no values."""
    return sum(values) / len(values) if values else None


def difference(one: float | None, other: float | None) -> float | None:
    """None where one is missing."""
    return None if one is None or other is None else one - other
