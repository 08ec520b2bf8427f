"""What training draws from a record: pairs, clips with a memory, episodes. Plain frame indices, no pixels.

Every sampler is a function of a record and a random generator, and of nothing else: the same record and the same
state of the generator give the same draw. A data set with numbered items makes a generator per item
(``np.random.default_rng((seed, index))``); a stream takes :func:`worker_rng`, which differs between the workers of
a loader and between the processes of a run.

What a source does not annotate is never drawn as if it were known: frames outside ``annotated_frames`` count
neither as showing the target nor as lacking it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import get_worker_info

from dataset_script.pairs import LARGEST_GAP, SMALLEST_SIDE
from dataset_script.records import TargetRecord, VideoRecord

ABSENT = 0.3  # share of pairs whose search frame lacks the target, where it is known to be absent somewhere
EVENTFUL = 0.5  # share of clips that touch an interaction of their target, where it has one


class Pair(NamedTuple):
    """Two moments of one target.

    Attributes:
        track_id: The target.
        template: A frame that shows it.
        search: A frame that shows it, or from which it is known to be absent.
    """

    track_id: int
    template: int
    search: int


class Clip(NamedTuple):
    """A stretch of a video and what came before.

    Attributes:
        track_id: The target.
        memory: Earlier frames that show the target, ascending; fewer than asked for near the beginning.
        frames: The frames of the clip, ascending; the first shows the target.
    """

    track_id: int
    memory: list[int]
    frames: list[int]


class Episode(NamedTuple):
    """Frames of one target to adapt to, and others to judge the adapted model by.

    Attributes:
        support: Frames that show the target, ascending.
        query: Other frames that show it, ascending.
    """

    support: list[int]
    query: list[int]


def worker_rng(seed: int, epoch: int = 0) -> np.random.Generator:
    """A generator of this process and this worker alone; the same again for the same seed and epoch.

    The process is known from `torch.distributed` once that is initialised, before from the launcher's variable
    ``RANK``; the worker from the loader that this runs in.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else int(os.environ.get("RANK", 0))
    worker = get_worker_info()
    return np.random.default_rng((seed, epoch, rank, 0 if worker is None else worker.id))


def pair(record: VideoRecord, rng: np.random.Generator, target: int | None = None,
         largest_gap: int = LARGEST_GAP) -> Pair:  # fmt: skip
    """Draws a template and a search frame of one target.

    Args:
        record: The video.
        rng: Source of all randomness.
        target: ``track_id`` of the target; None draws one, the longer visible the likelier.
        largest_gap: Frames between the two at most (an absent target may be further away).

    Raises:
        ValueError: If no target is visible at :data:`dataset_script.pairs.SMALLEST_SIDE` pixels or more.
    """
    track = _drawn_target(record, rng) if target is None else record.target(target)
    visible = _large_frames(track)
    if not len(visible):
        raise ValueError(f"{_named(record, track)} is nowhere {SMALLEST_SIDE:g} pixels large or more")
    template = int(rng.choice(visible))
    absent = [frame for frame in _known_frames(record) if frame not in track.boxes]
    if absent and rng.random() < ABSENT:
        return Pair(track.track_id, template, int(rng.choice(absent)))
    near = visible[np.abs(visible - template) <= largest_gap]
    return Pair(track.track_id, template, int(rng.choice(near)))


def clip(record: VideoRecord, rng: np.random.Generator, length: int, stride: int = 1, memory: int = 0,
         memory_stride: int = 1, target: int | None = None) -> Clip:  # fmt: skip
    """Draws a stretch of annotated frames of one target, with earlier frames as its memory.

    Args:
        record: The video.
        rng: Source of all randomness.
        length: Frames of the clip; fewer where the video ends.
        stride: Distance between them, counted in annotated frames.
        memory: Earlier frames that show the target, at most.
        memory_stride: Distance between them, counted in frames that show it.
        target: ``track_id`` of the target; None draws one, the longer visible the likelier.

    Raises:
        ValueError: If a number is less than 1 (`memory`: 0), or the target is nowhere visible.
    """
    if min(length, stride, memory_stride) < 1 or memory < 0:
        raise ValueError(
            f"length, stride and memory_stride must be at least 1 and memory at least 0, got {length}, {stride}, "
            f"{memory_stride}, {memory}"
        )
    track = _drawn_target(record, rng) if target is None else record.target(target)
    known, visible = np.array(_known_frames(record)), np.array(list(track.boxes), dtype=int)
    if not len(visible):
        raise ValueError(f"{_named(record, track)} is nowhere visible")
    start = int(np.searchsorted(known, _first_frame(record, track, known, visible, length, stride, rng)))
    frames = known[start : start + length * stride : stride]
    earlier = visible[visible < frames[0]][::-1][memory_stride - 1 :: memory_stride][:memory][::-1]
    return Clip(track.track_id, earlier.tolist(), frames.tolist())


def episode(record: VideoRecord, rng: np.random.Generator, most: int, target: int | None = None,
            gap: int = 0) -> Episode:  # fmt: skip
    """Draws frames to adapt to and frames to judge by, from one target, with its interactions in both.

    What the target does (doing nothing counts too) is a class; :func:`split_support` cuts each in two.

    Args:
        record: The video; its interactions must be annotated.
        rng: Source of all randomness.
        most: Support frames per class at most.
        target: ``track_id``; None takes the main target, or else the one with the most interactions.
        gap: Frames around each support frame that are no query, as far as others are left: neighbours look alike.

    Returns:
        Frame indices; :func:`frame_labels` tells what is done in them.

    Raises:
        ValueError: If a number is too small, or no class is seen in two frames.
    """
    if most < 1 or gap < 0:
        raise ValueError(f"most must be at least 1 and gap at least 0, got {most} and {gap}")
    track = acting_target(record) if target is None else record.target(target)
    labels = frame_labels(record, track.track_id)
    frames = np.array(list(labels), dtype=int)
    support, query = (frames[steps] for steps in split_support(list(labels.values()), rng, most))
    if not len(support):
        raise ValueError(
            f"{_named(record, track)} is visible in {len(frames)} annotated frames, no two of which are of one class; "
            "an episode needs one for support and one as query"
        )
    apart = np.abs(query[:, None] - support).min(axis=1)
    return Episode(support.tolist(), query[apart > min(gap, apart.max() - 1)].tolist())


def split_support(
    classes: Sequence[Collection[Hashable]], rng: np.random.Generator, most: int
) -> tuple[list[int], list[int]]:
    """Support and query steps of one target, stratified by class.

    The steps of each class are cut in two; the earlier or the later part, by chance, may serve as support. Moments
    apart make the harder and more honest query: neighbouring steps look alike.

    Args:
        classes: For each step in order of time, what happens; empty for nothing, which counts as a class.
        rng: Draws the parts and the steps.
        most: Support steps per class at most.

    Returns:
        Indices of support steps and of query steps, both ascending; either is empty where no class has two steps.
    """
    members: dict[Hashable, list[int]] = {}
    for step, present in enumerate(classes):
        for label in present or (None,):
            members.setdefault(label, []).append(step)
    support: set[int] = set()
    query: set[int] = set()
    for label in sorted(members, key=lambda name: len(members[name])):  # rare classes choose first
        steps = [step for step in members[label] if step not in support | query]
        if len(steps) < 2:
            query.update(steps)
            continue
        cut = int(rng.integers(1, len(steps)))
        halves = (steps[:cut], steps[cut:])
        early = bool(rng.random() < 0.5)
        candidates, rest = halves if early else halves[::-1]
        picked = rng.choice(candidates, min(most, len(candidates)), replace=False)
        support.update(int(step) for step in picked)
        query.update(rest)
    return sorted(support), sorted(query)


def frame_labels(record: VideoRecord, target: int) -> dict[int, tuple[str, ...]]:
    """What a target does in each frame that shows it: names of its interactions, sorted; none where it does nothing.

    Frames for which the source does not know actions (``metadata["annotated_intervals"]``) are left out.

    Raises:
        ValueError: If the source does not annotate interactions.
    """
    if record.interactions is None:
        raise ValueError(f"video '{record.video_id}': '{record.source}' does not annotate interactions")
    intervals = record.metadata.get("annotated_intervals", [[0, record.num_frames]])
    events = [event for event in record.interactions if event.subject == target]
    return {
        frame: tuple(sorted({e.interaction for e in events if e.start_frame <= frame < e.end_frame}))
        for frame in record.target(target).boxes
        if any(start <= frame < end for start, end in intervals)
    }


def acting_target(record: VideoRecord) -> TargetRecord:
    """The target that an episode is about: a main one before others, then the one with the most interactions.

    Raises:
        ValueError: If the video has no targets, or its interactions are not annotated.
    """
    if record.interactions is None or not record.targets:
        raise ValueError(f"video '{record.video_id}' has no targets with annotated interactions")
    events = Counter(event.subject for event in record.interactions)
    return max(record.targets, key=lambda target: (target.main, events[target.track_id]))


def _known_frames(record: VideoRecord) -> Sequence[int]:
    return range(record.num_frames) if record.annotated_frames is None else record.annotated_frames


def _large_frames(track: TargetRecord) -> np.ndarray:
    return np.array([frame for frame, box in track.boxes.items() if min(box[2:]) >= SMALLEST_SIDE], dtype=int)


def _named(record: VideoRecord, track: TargetRecord) -> str:
    return f"video '{record.video_id}': track {track.track_id}"


def _drawn_target(record: VideoRecord, rng: np.random.Generator) -> TargetRecord:
    """A target, by the root of how long it is visible: long tracks are richer, but not in proportion."""
    weights = np.array([len(_large_frames(track)) ** 0.5 for track in record.targets])
    if not weights.sum():
        raise ValueError(
            f"video '{record.video_id}' shows none of its {len(weights)} targets at {SMALLEST_SIDE:g} pixels or more"
        )
    return record.targets[rng.choice(len(weights), p=weights / weights.sum())]


def _first_frame(record: VideoRecord, track: TargetRecord, known: np.ndarray, visible: np.ndarray, length: int,
                 stride: int, rng: np.random.Generator) -> int:  # fmt: skip
    """A frame that shows the target, early enough for a whole clip where the video is long enough for one."""
    latest = known[max(0, len(known) - (length - 1) * stride - 1)]
    starts = visible[visible <= latest] if visible[0] <= latest else visible[:1]
    events = [event for event in record.interactions or () if event.subject == track.track_id]
    if events and rng.random() < EVENTFUL:
        event = events[rng.integers(len(events))]
        ends = known[np.minimum(np.searchsorted(known, starts) + (length - 1) * stride, len(known) - 1)]
        touching = starts[(starts < event.end_frame) & (ends >= event.start_frame)]
        starts = touching if len(touching) else starts
    return int(rng.choice(starts))
