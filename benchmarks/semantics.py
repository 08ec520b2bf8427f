"""How well the events of annotated videos are found when only the target's first box is given.

    python benchmarks/semantics.py --annotations FILE --videos DIR [--split validation] [--only NAMES] [--model DIR]

Prints one JSON object: frame-level precision, recall and F1 of the interactions (micro, macro and per class), and
the share of true events that are found (same interaction, temporal IoU of at least 0.5), with the boxes, the
intervals and the classes all the model's own.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

import torch
from tqdm import tqdm

from dataset_script.names import read_names
from dataset_script.semantic_data import AnnotatedVideo, read_videos
from modeling_semtrack import SemTrackSession
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.trajectory import SemanticTrajectory

LEAST_TIOU = 0.5


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--videos", required=True)
    parser.add_argument("--split", help="only videos whose metadata name this split")
    parser.add_argument("--only", help="text file with the ids of the videos to use")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--most", type=int, default=100, help="videos at most")
    arguments = parser.parse_args()

    videos = read_videos(arguments.annotations, arguments.videos, arguments.split)
    if arguments.only:
        names = read_names(arguments.only)
        videos = [video for video in videos if video.record.video_id in names]
    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    counts, found, total, confusion = Counter(), 0, 0, Counter()
    for video in tqdm(videos[: arguments.most], unit="video"):
        for subject in sorted({event.subject for event in video.record.interactions}):
            session = SemTrackSession(model, processor)
            trajectory = follow(session, video, subject)
            truth = [e for e in video.record.interactions if e.subject == subject]
            count_frames(counts, trajectory, truth)
            for event in truth:
                total += 1
                found += any(matches(event, prediction) for prediction in trajectory.events)
                best = max(trajectory.events, key=lambda p, e=event: overlap(e, p), default=None)
                confusion[event.interaction, best.interaction if best and overlap(event, best) > 0 else "nothing"] += 1
    print(json.dumps(report(counts, found, total, confusion), indent=2))


def follow(session: SemTrackSession, video: AnnotatedVideo, subject: int) -> SemanticTrajectory:
    """Tracks a subject from its first box to the end of the video."""
    target = next(t for t in video.record.targets if t.track_id == subject)
    start = min(target.boxes)
    followed = None
    for index, time, image in video.frames():
        if followed is None and index >= start and index in target.boxes:
            height, width = image.shape[:2]
            x, y, w, h = target.boxes[index]
            x, y = max(x, 0.0), max(y, 0.0)
            followed = session.add_target(image, box=(x, y, min(w, width - x), min(h, height - y)))
        session.step(image, time=time)
    return session.trajectory(followed)


def count_frames(counts: Counter, trajectory: SemanticTrajectory, truth: list) -> None:
    """Adds hits, misses and false alarms per interaction and frame."""
    for frame in trajectory.frames:
        index = frame.frame_index
        real = {e.interaction for e in truth if e.start_frame <= index < e.end_frame}
        seen = {e.interaction for e in trajectory.events if e.start_frame <= index < e.end_frame}
        counts.update({("hit", name): 1 for name in real & seen})
        counts.update({("miss", name): 1 for name in real - seen})
        counts.update({("false", name): 1 for name in seen - real})


def overlap(event, prediction) -> float:
    """Temporal IoU of two intervals of frames."""
    shared = min(event.end_frame, prediction.end_frame) - max(event.start_frame, prediction.start_frame)
    union = max(event.end_frame, prediction.end_frame) - min(event.start_frame, prediction.start_frame)
    return max(0, shared) / union


def matches(event, prediction) -> bool:
    """Same interaction at about the same time."""
    return event.interaction == prediction.interaction and overlap(event, prediction) >= LEAST_TIOU


def report(counts: Counter, found: int, total: int, confusion: Counter) -> dict:
    """The printed object."""
    names = sorted({name for _, name in counts})
    classes = {name: scores(*(counts[kind, name] for kind in ("hit", "miss", "false"))) for name in names}
    real = [name for name in names if counts["hit", name] + counts["miss", name]]
    return {
        "micro": scores(*(sum(counts[kind, name] for name in names) for kind in ("hit", "miss", "false"))),
        "macro_f1": sum(classes[name]["f1"] for name in real) / max(1, len(real)),
        "events": total,
        "events_found": found / max(1, total),
        "classes": classes,
        "best_overlapping_prediction": {f"{a} -> {b}": n for (a, b), n in confusion.most_common()},
    }


def scores(hit: int, miss: int, false: int) -> dict[str, float]:
    """Precision, recall and F1 from counts."""
    return {
        "precision": hit / max(1, hit + false),
        "recall": hit / max(1, hit + miss),
        "f1": 2 * hit / max(1, 2 * hit + miss + false),
        "frames": hit + miss,
    }


if __name__ == "__main__":
    main()
