"""The tracking stage's data: whatever mixture of photos, sequences and videos the user has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_semtrack.video import VideoReader

from .names import read_names
from .pairs import MixedSampler, PhotoSampler, SequenceSampler
from .semantic_data import AnnotatedVideo
from .sources.otb import BoxSequence, list_images, read_sequences

PHOTO_WEIGHT, SEQUENCE_WEIGHT, VIDEO_WEIGHT = 0.6, 0.3, 0.1
MOST_VIDEOS = 60  # unpacked videos are held in memory


def tracking_sampler(
    images: str | Path | None = None,
    masks: str | Path | None = None,
    sequences: str | Path | None = None,
    exclude: str | Path | None = None,
    annotated: Sequence[AnnotatedVideo] = (),
) -> MixedSampler:
    """A sampler over all the given sources.

    Args:
        images: Folder of photos.
        masks: Folder of masks of the photos' main objects.
        sequences: Folder of OTB-like sequences.
        exclude: Text file with names of sequences to leave out, one per line, `#` starts a comment.
        annotated: Videos with annotated tracks, of which the first `MOST_VIDEOS` are used.

    Raises:
        ValueError: If nothing is given, or `exclude` names a sequence that is not there.
    """
    samplers: list[tuple[PhotoSampler | SequenceSampler, float]] = []
    if images:
        samplers.append((PhotoSampler(images, masks), PHOTO_WEIGHT))
    if sequences:
        kept = without_excluded(read_sequences(sequences), exclude)
        frames = {s.name: list_images(s.frames) if s.frames.is_dir() else _unpack(s.frames) for s in kept}
        samplers.append((SequenceSampler(kept, frames), SEQUENCE_WEIGHT))
    if annotated:
        tracks, frames = _annotated_tracks(annotated[:MOST_VIDEOS])
        samplers.append((SequenceSampler(tracks, frames), VIDEO_WEIGHT))
    if not samplers:
        raise ValueError("nothing to train on: pass images, sequences or videos (a folder each)")
    return MixedSampler(samplers)


def without_excluded(sequences: list[BoxSequence], exclude: str | Path | None) -> list[BoxSequence]:
    """The sequences that the file `exclude` does not name.

    Raises:
        ValueError: If it names a sequence that is not there (a misspelt split would leak).
    """
    if exclude is None:
        return sequences
    names = read_names(exclude)
    unknown = sorted(names - {s.name for s in sequences})
    if unknown:
        raise ValueError(f"'{exclude}' excludes sequences that do not exist: {', '.join(unknown)}; check the spelling")
    return [s for s in sequences if s.name not in names]


def _annotated_tracks(videos: Sequence[AnnotatedVideo]) -> tuple[list[BoxSequence], dict[str, list]]:
    """Every track of the videos, with their frames unpacked."""
    tracks, frames = [], {}
    for video in videos:
        images = _unpack(video.path)
        for target in video.record.targets:
            boxes = np.full((len(images), 4), np.nan)
            for index, box in target.boxes.items():
                if index < len(images):
                    boxes[index] = box
            if np.isfinite(boxes[:, 0]).sum() >= 2:
                name = f"{video.path}/{target.track_id}"  # ids of videos repeat from file to file
                tracks.append(BoxSequence(name, video.path, boxes, None))
                frames[name] = images
    return tracks, frames


def _unpack(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]
