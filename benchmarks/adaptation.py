"""What five labelled moments per interaction teach a session whose model does not know these interactions.

    python -m benchmarks.adaptation [--model DIR] [--videos 16] [--moments 5] [--labelled spread|early] [--nothing 0]
    python -m benchmarks.adaptation --showing FILE > unseen.txt

Every fourth interaction of the synthetic videos is held out: its rows are cut out of the model's classifier and its
name out of the label map. The rest of such a model has seen them, though. The stricter test is a model whose head has
not: train it with `--exclude_videos unseen.txt`, the videos of an annotation file that show one of them (the second
command), and name it with `--model`. New videos are rendered in which two held-out interactions at a time
recur among known ones. Their subjects are tracked from the first box, and a few moments of each held-out interaction
are labelled, with all that their subject does at them; then everything is counted at the other semantic steps, from the
events that the session tells.

Prints one JSON object: F1 before and after `adapt`, in points, for the held-out and for the known interactions (each
the mean over the interactions, which counts rare ones fully, and over all steps), and the seconds that `adapt` takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from dataset_script.records import VideoRecord
from dataset_script.sources.semtrack import read_semtrack
from dataset_script.synthetic import SyntheticConfig, generate_video
from dataset_script.synthetic_law import INTERACTIONS
from metrics.semtrack.recognition import FrameCounts, VideoRecognition, summarise_recognition
from modeling_semtrack import LabelledMoment, SemTrackModel, SemTrackProcessor, SemTrackSession
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.label_maps import with_interactions
from modeling_semtrack.trajectory import SemanticTrajectory

HELD_OUT = INTERACTIONS[2::4]  # of all frequencies; a choice that nobody made by hand
SECONDS = 16.0
FIRST_SEED = 700_000  # far from the videos of training
LEAST_LEFT = 3  # steps of an interaction that are left to be judged after its moments are labelled
HELD_OUT_SHARE = 0.6  # of the episodes of a video
TARGET = {"gain": 15.0, "seconds": 2.0}

Step = tuple[int, int, float]  # target id, frame index, time


@dataclass
class Watched:
    """A video that a session has seen to its end.

    Attributes:
        video_id: Its name.
        session: With all subjects as targets.
        truth: For each described step of each target, what it does.
    """

    video_id: str
    session: SemTrackSession
    truth: dict[Step, set[str]]

    def members(self, interaction: str) -> list[Step]:
        """The steps that show an interaction, in order of time."""
        return sorted((step for step, names in self.truth.items() if interaction in names), key=lambda step: step[1:])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--moments", type=int, default=5, help="labelled steps of each held-out interaction and video")
    parser.add_argument(
        "--labelled",
        default="spread",
        choices=("spread", "early"),
        help="moments drawn from all of the video, or its first ones, as from a user who has seen no more",
    )
    parser.add_argument("--nothing", type=int, default=0, help="labelled steps in which nothing happens")
    parser.add_argument("--showing", metavar="FILE", help="only print which of its videos show what is held out")
    arguments = parser.parse_args()
    if arguments.showing:
        print(*showing(arguments.showing), sep="\n")
        return
    model, processor = load_checkpoint(arguments.model)
    model = with_interactions(model, [name for name in model.config.id2interaction.values() if name not in HELD_OUT])
    watched = [watch(model, processor, place) for place in tqdm(range(arguments.videos), unit="video")]
    print(json.dumps(measure(watched, arguments.moments, arguments.labelled, arguments.nothing), indent=2))


def showing(annotations: str) -> list[str]:
    """The ids of the videos that show a held-out interaction."""
    records = read_semtrack(annotations)
    return [r.video_id for r in records if {event.interaction for event in r.interactions or ()} & set(HELD_OUT)]


def watch(model: SemTrackModel, processor: SemTrackProcessor, place: int) -> Watched:
    """Renders a video and follows all its subjects."""
    record, frames = generate_video(video_config(place), FIRST_SEED + place)
    session = SemTrackSession(model, processor)
    subjects = {event.subject for event in record.interactions}
    starts = {target.track_id: min(target.boxes) for target in record.targets if target.track_id in subjects}
    tracks: dict[int, int] = {}  # target id of the session: track id of the truth
    truth: dict[Step, set[str]] = {}
    for index, frame in enumerate(frames):
        for track_id in (track_id for track_id, start in starts.items() if start == index):
            boxes = next(target.boxes for target in record.targets if target.track_id == track_id)
            tracks[session.add_target(frame, box=boxes[index])] = track_id
        for state in session.step(frame, time=index / record.fps):
            if index % session.stride == 0 and state.box is not None:
                truth[state.target_id, index, state.time] = done_by(record, tracks[state.target_id], index)
    return Watched(record.video_id, session, truth)


def video_config(place: int) -> SyntheticConfig:
    """Two held-out interactions recur among the known ones, other two in every next video."""
    new = [HELD_OUT[(2 * place + offset + place // len(HELD_OUT)) % len(HELD_OUT)] for offset in range(2)]
    known = [name for name in INTERACTIONS if name not in HELD_OUT]
    weights = dict.fromkeys(new, HELD_OUT_SHARE / len(new)) | dict.fromkeys(known, (1 - HELD_OUT_SHARE) / len(known))
    return SyntheticConfig(seconds=(SECONDS, SECONDS), interaction_weights=weights, composite_share=0.0)


def done_by(record: VideoRecord, track_id: int, frame: int) -> set[str]:
    """What a track does in a frame."""
    return {
        e.interaction for e in record.interactions if e.subject == track_id and e.start_frame <= frame < e.end_frame
    }


def measure(watched: list[Watched], moments: int, labelled: str, nothing: int) -> dict:
    """All numbers."""
    before, after, seconds, taught = [], [], [], Counter()
    unchanged = True
    for place, video in enumerate(watched):
        steps = choose_steps(video, moments, labelled, nothing, np.random.default_rng(place))
        if not steps:
            continue
        shown = set().union(*(video.truth[step] for step in steps))
        counted = {step: names for step, names in video.truth.items() if step not in steps}
        taught.update(shown & set(HELD_OUT))
        told = [video.session.trajectory(target) for target in video.session.targets]
        before.append(recognition(video, counted, shown))
        video.session.adapt([])
        unchanged &= told == [video.session.trajectory(target) for target in video.session.targets]
        began = time.perf_counter(), time.process_time()
        video.session.adapt(labels_of(video, steps))
        seconds.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        after.append(recognition(video, counted, shown))
        video.session.reset_adaptation()
    scores = {"held_out": compare(before, after, new=True), "known": compare(before, after, new=False)}
    return {
        **scores,
        "adapt_wall_seconds": {"median": statistics.median(s for s, _ in seconds), "most": max(s for s, _ in seconds)},
        "adapt_processor_seconds": statistics.median(s for _, s in seconds),
        "no_moments_change_nothing": unchanged,
        "target": TARGET,
        "videos": len(before),
        "videos_that_teach": dict(taught),
        "moments": moments,
        "labelled": labelled,
        "steps_of_nothing": nothing,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }


def choose_steps(video: Watched, moments: int, labelled: str, nothing: int, rng: np.random.Generator) -> list[Step]:
    """The steps that the user labels; none of an interaction of which too few would be left to judge."""
    chosen: list[Step] = []
    for name in HELD_OUT:
        members = video.members(name)
        if len(members) >= moments + LEAST_LEFT:
            places = range(moments) if labelled == "early" else rng.choice(len(members), moments, replace=False)
            chosen += [members[place] for place in places]
    idle = [step for step, names in video.truth.items() if not names]
    if chosen and nothing:
        chosen += [idle[place] for place in rng.choice(len(idle), min(nothing, len(idle)), replace=False)]
    return sorted(set(chosen))


def labels_of(video: Watched, steps: list[Step]) -> list[LabelledMoment]:
    """Everything that the targets do at these steps."""
    return [
        LabelledMoment(target_id, time, name)
        for target_id, frame, time in steps
        for name in sorted(video.truth[target_id, frame, time]) or [None]
    ]


def recognition(video: Watched, counted: dict[Step, set[str]], shown: set[str]) -> VideoRecognition:
    """What the session tells at the counted steps; held-out interactions that were not taught do not count."""
    told: dict[int, SemanticTrajectory] = {t: video.session.trajectory(t) for t in video.session.targets}
    counts: Counter = Counter()
    untaught = set(HELD_OUT) - shown
    for (target_id, frame, _), true in counted.items():
        said = {e.interaction for e in told[target_id].events if e.start_frame <= frame < e.end_frame}
        for kind, names in enumerate((said & true, said - true, true - said)):
            counts.update((name, kind) for name in names - untaught)
    names = {name for name, _ in counts}
    return VideoRecognition(video.video_id, {n: FrameCounts(*(counts[n, kind] for kind in range(3))) for n in names})


def compare(before: list[VideoRecognition], after: list[VideoRecognition], new: bool) -> dict:
    """F1 in points before and after, over the held-out or the known interactions."""
    scores = []
    for videos in (before, after):
        part = [
            VideoRecognition(v.video_id, {n: c for n, c in v.counts.items() if (n in HELD_OUT) == new}) for v in videos
        ]
        scores.append(summarise_recognition(part))
    pairs = {name: [100 * (score[name] or 0.0) for score in scores] for name in ("macro_f1", "micro_f1")}
    classes = {
        name: [round(100 * (score["per_class"].get(name, {}).get("f1") or 0.0), 1) for score in scores]
        for name, row in sorted(scores[1]["per_class"].items())
        if row["support"]
    }
    return {
        **{name: {"before": a, "after": b, "gain": b - a} for name, (a, b) in pairs.items()},
        "precision": scores[1]["micro_precision"],
        "recall": scores[1]["micro_recall"],
        "f1_by_interaction": classes,
    }


if __name__ == "__main__":
    main()
