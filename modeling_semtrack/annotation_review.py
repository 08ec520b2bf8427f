"""Multi-stage labelling: a model proposes tracks and events, a person reviews them, the accepted ones are merged.

The file in between (``semtrack-review``) is JSON that is meant to be edited. Each track and each event has an
``accept``: null until somebody has looked, then true or false. Names, boxes (``[x, y, width, height]`` pixels by
frame index) and intervals (frames, half-open) may be changed, tracks and events added. What is not accepted
is not merged. The stages follow the labelling of the SemTrack data set (Wang et al., ECCV 2024).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord

from .drawing import Rect
from .files import OutputError, atomic_path
from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor
from .session_semtrack import SemTrackSession
from .session_settings import SessionSettings
from .target_proposals import find_targets
from .trajectory import Box, InteractionEvent, SemanticTrajectory, TrackedFrame
from .video import VideoError, VideoReader

FORMAT, VERSION = "semtrack-review", 1
HOW_TO = (
    "Set accept to true or false in every track and event; null means not reviewed and is not merged. "
    "Boxes are [x, y, width, height] pixels by frame index, intervals [start_frame, end_frame) with the end "
    "left out. Give tracks a category, correct names, boxes and intervals, add what is missing. "
    "Set all_events_listed to true if nothing else happens in the video."
)
SAME_TRACK = 0.4  # mean intersection over union from which an event's object is one of the tracks
SAME_AGAIN = 0.9  # from which a track to merge is one that the annotations already have
DECIMALS = 2  # of boxes in the file
SOURCE = "reviewed"


@dataclass
class Proposal:
    """What a model proposes for a video.

    Attributes:
        video_id: Name of the video in the annotations.
        file_name: Of the video.
        fps: Frames per second.
        first_frame: From which the targets were followed.
        num_frames: Frames that the video has, or that could be read.
        trajectories: The tracks, with the events of each.
        complete: False where the video broke off.
    """

    video_id: str
    file_name: str
    fps: float
    first_frame: int
    num_frames: int
    trajectories: list[SemanticTrajectory]
    complete: bool


class ReviewedTrack(NamedTuple):
    """A track of a review. ``accept`` is None where nobody has decided."""

    accept: bool | None
    target: TargetRecord


class ReviewedEvent(NamedTuple):
    """An event of a review. ``accept`` is None where nobody has decided."""

    accept: bool | None
    event: InteractionRecord


@dataclass
class Review:
    """A review as read from its file.

    Attributes:
        video: The video without targets and interactions.
        tracks: In the file's order.
        events: In the file's order.
        all_events_listed: Whether the reviewer says that nothing else happens in the video.
    """

    video: VideoRecord
    tracks: list[ReviewedTrack]
    events: list[ReviewedEvent]
    all_events_listed: bool

    def count(self, accept: bool | None) -> tuple[int, int]:
        """Number of tracks and of events with this decision."""
        return sum(t.accept is accept for t in self.tracks), sum(e.accept is accept for e in self.events)


def propose(
    video: str | Path,
    model: SemTrackModel,
    processor: SemTrackProcessor,
    *,
    boxes: Iterable[Sequence[float]] = (),
    points: Iterable[Sequence[float]] = (),
    frame: int = 0,
    most: int = 4,
    settings: SessionSettings | None = None,
    semantic_stride: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Proposal:
    """Follows targets through a video and lists what they do.

    Args:
        video: A video file or a folder of images.
        model: The current model.
        processor: Of the same checkpoint.
        boxes: Boxes of targets in frame ``frame``, xywh pixels.
        points: Clicks on targets in frame ``frame``, (x, y) pixels.
        frame: Frame of the prompts; tracking starts there.
        most: Where there are neither boxes nor points, how many targets to look for (:func:`find_targets`).
        settings: Of the session.
        semantic_stride: Frames between semantic steps; the model's own by default.
        progress: Called with the index of every finished frame.

    Raises:
        VideoError: If the video cannot be read or is shorter than ``frame``.
        ValueError: If a prompt does not fit the frame, or no target is found.
    """
    prompts = [{"box": box} for box in boxes] + [{"point": point} for point in points]
    session = SemTrackSession(model, processor, settings, semantic_stride, first_frame=frame)
    targets: list[int] = []
    with VideoReader(video) as reader:
        for current in reader:
            if current.index < frame:
                continue
            if not targets:
                prompts = prompts or _found(session, current.image, most, video)
                targets = [session.add_target(current.image, **prompt) for prompt in prompts]
            session.step(current.image, time=current.time)
            if progress is not None:
                progress(current.index)
        if not targets:
            raise VideoError(f"--frame must be less than the {current.index + 1} frames of '{video}', got {frame}")
        tracks = [session.trajectory(target, complete=reader.complete) for target in targets]
        name, fps = Path(video), reader.fps
        return Proposal(name.stem, name.name, fps, frame, current.index + 1, tracks, reader.complete)


def _found(session: SemTrackSession, image: np.ndarray, most: int, video: str | Path) -> list[dict[str, Box]]:
    found = find_targets(session.model, session.images, image, most)
    if not found:
        raise ValueError(f"no target stands out in '{video}': name one with --point X Y or --box X Y W H")
    return [{"box": target.box} for target in found]


def with_object_tracks(proposal: Proposal) -> Proposal:
    """The proposal with a track for each object that events name and that is not followed itself.

    The boxes of such a track stand in the frames of the semantic steps; in between they are interpolated.
    """
    tracks = list(proposal.trajectories)
    for trajectory in proposal.trajectories:
        for event in trajectory.events:
            if event.object_boxes and _object_of(event, trajectory.target_id, tracks) is None:
                tracks.append(_object_track(event, trajectory, len(tracks) + 1))
    return replace(proposal, trajectories=tracks)


def _object_track(event: InteractionEvent, subject: SemanticTrajectory, number: int) -> SemanticTrajectory:
    known = [index for index, _ in event.object_boxes]
    sides = np.array([box for _, box in event.object_boxes])  # [steps, 4]
    times = {frame.frame_index: frame.time for frame in subject.frames}
    frames = []
    for index in range(known[0], known[-1] + 1):
        box = tuple(float(np.interp(index, known, side)) for side in sides.T)
        frames.append(TrackedFrame(index, times[index], box, event.score))
    prompt = {"object_of": subject.target_id, "interaction": event.interaction}
    return SemanticTrajectory(number, event.object, prompt, subject.width, subject.height, frames, [], True)


def _object_of(event: InteractionEvent, subject: int, tracks: Iterable[SemanticTrajectory]) -> int | None:
    """The track in which an event's object boxes lie, other than the subject's own."""
    located = dict(event.object_boxes)
    best, similarity = None, SAME_TRACK
    for track in tracks:
        boxes = {frame.frame_index: frame.box for frame in track.frames if frame.box is not None}
        if track.target_id != subject and (shared := mean_overlap(located, boxes)) >= similarity:
            best, similarity = track.target_id, shared
    return best


def mean_overlap(one: Mapping[int, Box], other: Mapping[int, Box]) -> float:
    """Mean intersection over union of two tracks (xywh by frame) in the frames of the first; 0 where one is not."""
    if not one:
        return 0.0
    shared = (_rect(box).overlap(_rect(other[frame])) if frame in other else 0.0 for frame, box in one.items())
    return sum(shared) / len(one)


def _rect(box: Box) -> Rect:
    return Rect(box[0], box[1], box[0] + box[2], box[1] + box[3])


def to_review(proposal: Proposal) -> dict[str, Any]:
    """The content of a review file.

    Args:
        proposal: With the tracks of its objects, see :func:`with_object_tracks`.
    """
    first = proposal.trajectories[0]
    events = []
    for track in proposal.trajectories:
        for event in track.events:
            other = _object_of(event, track.target_id, proposal.trajectories)
            events.append(_event_row(len(events) + 1, event, track.target_id, other))
    return {
        "format": FORMAT,
        "version": VERSION,
        "how_to_review": HOW_TO,
        "video": {
            "video_id": proposal.video_id,
            "file_name": proposal.file_name,
            "width": first.width,
            "height": first.height,
            "fps": proposal.fps,
            "num_frames": proposal.num_frames,
            "first_frame": proposal.first_frame,
            "prompt": None,
        },
        "all_events_listed": None,
        "tracks": [_track_row(track) for track in proposal.trajectories],
        "events": events,
    }


def _track_row(track: SemanticTrajectory) -> dict[str, Any]:
    seen = [frame for frame in track.frames if frame.box is not None]
    presence = sum(frame.presence for frame in seen) / max(1, len(seen))
    return {
        "track_id": track.target_id,
        "accept": None,
        "category": track.category,
        "main": "object_of" not in track.prompt,
        "proposed_from": {key: _rounded(value) for key, value in track.prompt.items()},
        "confidence": round(presence, 3),
        "boxes": {str(frame.frame_index): _rounded(frame.box) for frame in seen},
    }


def _rounded(value: Any) -> Any:
    return [round(number, DECIMALS) for number in value] if isinstance(value, list | tuple) else value


def _event_row(number: int, event: InteractionEvent, subject: int, other: int | None) -> dict[str, Any]:
    return {
        "event_id": number,
        "accept": None,
        "subject_track": subject,
        "interaction": event.interaction,
        "object_track": other,
        "start_frame": event.start_frame,
        "end_frame": event.end_frame,
        "confidence": round(event.score, 3),
    }


def write_review(review: Mapping[str, Any], path: str | Path) -> None:
    """Writes a review file, each box on one line.

    Raises:
        OutputError: If there is a file of this name (it may hold somebody's work), or it cannot be written.
    """
    if Path(path).exists():
        raise OutputError(f"cannot write '{path}': it exists and may hold a review; choose another name")
    text = json.dumps(review, indent=2, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[[\s\d.,eE+-]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    with atomic_path(path) as temporary:
        temporary.write_text(text.replace("[ ", "[").replace(" ]", "]") + "\n", encoding="utf-8")


def read_review(path: str | Path) -> Review:
    """Reads a review file and checks all of it, also what is not accepted.

    Raises:
        ValueError: If it is no review file, or a track or event in it does not hold together; names which.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is not complete JSON: {error}") from error
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ValueError(f'\'{path}\' is not a review: expected "format": "{FORMAT}", "version": {VERSION}')
    try:
        return _review(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' misses a field or holds one of the wrong kind: {error}") from error
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def _review(data: Mapping[str, Any]) -> Review:
    video = dict(data["video"])
    first = video.pop("first_frame")
    annotated = None if first == 0 else tuple(range(first, video["num_frames"]))
    tracks = [
        ReviewedTrack(
            _decision(row, f"track {row['track_id']}"),
            TargetRecord(row["track_id"], row["category"] or None, _by_frame(row["boxes"]), bool(row["main"])),
        )
        for row in data["tracks"]
    ]
    events = [
        ReviewedEvent(
            _decision(row, f"event {row['event_id']}"),
            InteractionRecord(
                row["subject_track"], row["interaction"], row["object_track"], row["start_frame"], row["end_frame"]
            ),
        )
        for row in data["events"]
    ]
    whole = VideoRecord(
        **video,
        targets=[track.target for track in tracks],
        interactions=[event.event for event in events],
        source=SOURCE,
        annotated_frames=annotated,
    )
    blank = replace(whole, targets=[], interactions=None)
    return Review(blank, tracks, events, _decision(data, "the video", "all_events_listed") is True)


def _by_frame(boxes: Mapping[str, Any]) -> dict[int, Any]:
    return {int(frame): box for frame, box in boxes.items()}


def _decision(row: Mapping[str, Any], what: str, field: str = "accept") -> bool | None:
    if row[field] is not None and not isinstance(row[field], bool):
        raise ValueError(f"{field} of {what} must be true, false or null, got {row[field]!r}")
    return row[field]


def merge_review(review: Review, records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Adds what a review accepts to records.

    A track that its video already has (the same category and nearly the same boxes) is not added again, and
    neither is an event that is already there, so that a review may be merged twice.

    Args:
        review: Accepted tracks and events are taken; the rest is left out.
        records: The annotations so far; not changed.

    Returns:
        The records with the video of the review in its place, or at the end.

    Raises:
        ValueError: If nothing is accepted, an accepted event names a track that is not, or the annotations of
            that video do not fit the review.
    """
    targets = [track.target for track in review.tracks if track.accept]
    accepted = {target.track_id for target in targets}
    events = [event.event for event in review.events if event.accept]
    for event in events:
        for role, track in (("subject", event.subject), ("object", event.object)):
            if track is not None and track not in accepted:
                raise ValueError(
                    f"the event '{event.interaction}' [{event.start_frame}, {event.end_frame}) is accepted, but its "
                    f"{role}, track {track}, is not: accept that track too, or change the event"
                )
    if not targets:
        raise ValueError("the review accepts no track; set accept to true in those that are right")
    added = replace(
        review.video,
        targets=targets,
        interactions=events if events or review.all_events_listed else None,
    )
    names = [record.video_id for record in records]
    if added.video_id not in names:
        return [*records, added]
    place = names.index(added.video_id)
    return [*records[:place], _joined(records[place], added), *records[place + 1 :]]


def _joined(old: VideoRecord, new: VideoRecord) -> VideoRecord:
    for what in ("width", "height", "num_frames", "annotated_frames"):
        if getattr(old, what) != getattr(new, what):
            raise ValueError(
                f"the review and the annotations of '{old.video_id}' differ in {what}: {_short(getattr(new, what))} "
                f"and {_short(getattr(old, what))}; is it the same video, tracked from the same frame?"
            )
    targets, number = list(old.targets), {}
    for target in new.targets:
        known = next((t for t in old.targets if _is_same(t, target)), None)
        number[target.track_id] = known.track_id if known else max((t.track_id for t in targets), default=0) + 1
        if known is None:
            targets.append(replace(target, track_id=number[target.track_id]))
    events = None if old.interactions is None and new.interactions is None else list(old.interactions or ())
    for event in new.interactions or ():
        moved = replace(event, subject=number[event.subject], object=number.get(event.object))
        if moved not in events:
            events.append(moved)
    return replace(old, targets=targets, interactions=events, prompt=old.prompt or new.prompt)


def _is_same(one: TargetRecord, other: TargetRecord) -> bool:
    alike = min(mean_overlap(one.boxes, other.boxes), mean_overlap(other.boxes, one.boxes))
    return one.category == other.category and alike >= SAME_AGAIN


def _short(value: Any) -> str:
    return f"frames {value[0]}-{value[-1]}" if isinstance(value, tuple) and value else str(value)
