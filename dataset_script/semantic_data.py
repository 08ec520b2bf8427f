"""The semantic stage's data: annotated videos in the SemTrack layout, and the label maps they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling_semtrack.loss_semtrack import IGNORE
from modeling_semtrack.trajectory import Box
from modeling_semtrack.video import VideoReader

from .names import read_names
from .records import TargetRecord, VideoRecord
from .sources.semtrack import read_semtrack

# Interactions that both sides perform, where one may be annotated only.
MUTUAL = frozenset(
    {"fight", "handshake", "hold hand of", "hug", "kiss", "play with", "shake hand with", "shake hands", "speak to"}
)


@dataclass
class AnnotatedVideo:
    """A record and the file it describes."""

    record: VideoRecord
    path: Path

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, time in seconds, uint8 RGB) of every frame."""
        with VideoReader(self.path) as reader:
            for frame in reader:
                yield frame.index, frame.time, frame.image


def read_videos(
    annotations: str | Path,
    videos: str | Path,
    split: str | None = "train",
    exclude: str | Path | None = None,
    described: bool = True,
) -> list[AnnotatedVideo]:
    """Annotated videos.

    Args:
        annotations: JSON in the SemTrack layout.
        videos: Folder to which its file names are relative.
        split: Keep only videos whose metadata name this split; videos without a split count as training.
            None keeps all.
        exclude: Text file with ids of videos to leave out.
        described: Keep only videos whose interactions are annotated, too.

    Raises:
        ValueError: If a video file is missing.
    """
    found = []
    excluded = read_names(exclude) if exclude else set()
    for record in read_semtrack(annotations):
        if record.video_id in excluded:
            continue
        if (described and record.interactions is None) or split not in (None, record.metadata.get("split", "train")):
            continue
        path = Path(videos) / record.file_name
        if not path.exists():
            raise ValueError(f"'{annotations}' names the video '{record.file_name}', which is not in '{videos}'")
        found.append(AnnotatedVideo(record, path))
    return found


def label_maps(videos: Sequence[AnnotatedVideo]) -> tuple[dict[int, str], dict[int, str]]:
    """Interactions and classes of interacted objects that occur, in alphabetical order: (id2interaction, id2object)."""
    interactions, objects = set(), set()
    for video in videos:
        categories = {target.track_id: target.category for target in video.record.targets}
        for event in video.record.interactions:
            interactions.add(event.interaction)
            if event.object is not None and categories.get(event.object):
                objects.add(categories[event.object])
    return dict(enumerate(sorted(interactions))), dict(enumerate(sorted(objects)))


def described_targets(record: VideoRecord, bystanders: int = 1) -> list[TargetRecord]:
    """Targets whose interactions are known: all subjects, and some others, which do nothing.

    An object of its subject's own kind is left out where what they do has two sides: whether it acts as well is not
    annotated. In all other cases it is a bystander, of the kind that is hardest to tell from the subject.

    Args:
        record: With annotated interactions.
        bystanders: How many targets that are no subject at most; those visible longest come first.
    """
    kinds = {target.track_id: target.category for target in record.targets}
    subjects = {event.subject for event in record.interactions}
    pairs = [e for e in record.interactions if e.object is not None and kinds[e.object] == kinds[e.subject]]
    alike = {event.object for event in pairs}
    unknown = {event.object for event in pairs if event.interaction in MUTUAL}
    acting = [t for t in record.targets if t.boxes and t.track_id in subjects]
    others = [t for t in record.targets if t.boxes and t.track_id not in subjects | unknown]
    others.sort(key=lambda target: (target.track_id not in alike, -len(target.boxes)))
    return acting + others[:bystanders]


def target_events(
    record: VideoRecord, target: TargetRecord, interaction2id: dict[str, int], object2id: dict[str, int]
) -> list[tuple[int, int, int, int, dict[int, Box]]]:
    """(interaction id, object id, start frame, end frame, the object's boxes by frame) of a target's events.

    The object id is the number of object classes where there is no object, `IGNORE` where it has no category.
    """
    tracks = {track.track_id: track for track in record.targets}
    events = []
    for event in record.interactions:
        if event.subject != target.track_id:
            continue
        partner = tracks.get(event.object)
        kind = len(object2id)
        if partner is not None:
            kind = IGNORE if partner.category is None else object2id[partner.category]
        places = partner.boxes if partner is not None else {}
        events.append((interaction2id[event.interaction], kind, event.start_frame, event.end_frame, places))
    return events
