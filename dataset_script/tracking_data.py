"""What a run trains on beside annotated interactions: whatever mixture of photos, sequences and videos there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_semtrack.video import VideoReader

from .names import read_names
from .pairs import MixedSampler, PhotoSampler, SequenceSampler
from .records import TargetRecord, VideoRecord
from .semantic_data import AnnotatedVideo
from .sources.frames import probe
from .sources.otb import BoxSequence, list_images, read_sequences

PHOTO_WEIGHT, SEQUENCE_WEIGHT, VIDEO_WEIGHT = 0.6, 0.3, 0.1  # the last one for each source of videos
MOST_FRAMES = 5000  # of a source's videos that are held in memory
MOST_OF_A_VIDEO = 100  # frames, evenly spread
FRAMES_PER_SECOND = 25.0  # of a folder of images
LONGEST_SIDE = 360  # pixels; larger frames are scaled down


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
        annotated: Videos with annotated tracks; of each source as many as `MOST_FRAMES` allows, from the first one on.

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
    for source in sorted({video.record.source for video in annotated}):
        tracks, frames = _annotated_tracks([video for video in annotated if video.record.source == source])
        samplers.append((SequenceSampler(tracks, frames), VIDEO_WEIGHT))
    if not samplers:
        raise ValueError("nothing to train on: pass images, sequences or videos (a folder each)")
    return MixedSampler(samplers)


def idle_videos(sequences: str | Path, exclude: str | Path | None = None) -> list[AnnotatedVideo]:
    """Sequences as videos whose targets take part in no interaction: what a head must not see one in.

    Args:
        sequences: Folder of OTB-like sequences. That they show no interaction of interest is for the caller to know.
        exclude: Text file with names of sequences to leave out.
    """
    videos = []
    for sequence in without_excluded(read_sequences(sequences), exclude):
        width, height, count, fps = probe(sequence.frames)
        boxes = {i: tuple(box) for i, box in enumerate(sequence.boxes[:count].tolist()) if np.isfinite(box).all()}
        target = TargetRecord(track_id=1, category=None, boxes=boxes, main=True)
        record = VideoRecord(
            video_id=sequence.name,
            file_name=sequence.frames.name,
            width=width,
            height=height,
            fps=fps or FRAMES_PER_SECOND,
            num_frames=count,
            targets=[target],
            interactions=[],
            prompt=None,
            source="sequences",
        )
        videos.append(AnnotatedVideo(record, sequence.frames))
    return videos


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
    """The tracks of the videos in a part of their frames, which are held unpacked."""
    tracks, frames = [], {}
    held = 0
    for video in videos:
        if held >= MOST_FRAMES:
            break
        moments, images = _some_frames(video)
        held += len(images)
        scale = images[0].shape[1] / video.record.width
        for target in video.record.targets:
            boxes = np.array([target.boxes.get(moment, (np.nan,) * 4) for moment in moments], dtype=float) * scale
            if np.isfinite(boxes[:, 0]).sum() >= 2:
                name = f"{video.path}/{video.record.video_id}/{target.track_id}"  # ids repeat from file to file
                tracks.append(BoxSequence(name, video.path, boxes, None))
                frames[name] = images
    return tracks, frames


def _some_frames(video: AnnotatedVideo) -> tuple[list[int], list[np.ndarray]]:
    """Indices of annotated frames, evenly spread over a video, and these frames, scaled down."""
    record = video.record
    annotated = range(record.num_frames) if record.annotated_frames is None else record.annotated_frames
    spread = np.linspace(0, len(annotated) - 1, min(MOST_OF_A_VIDEO, len(annotated)))
    wanted = {annotated[round(position)] for position in spread}
    images = {}
    for index, _, image in video.frames():
        if index in wanted:
            small = Image.fromarray(image)
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            images[index] = np.asarray(small)
        if index >= max(wanted):
            break
    if not images:
        raise ValueError(f"video '{video.path}' has no frame of those that are annotated; check the file")
    return list(images), list(images.values())


def _unpack(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]
