"""Rows of the metric, short to write: a box per frame that stands still unless said otherwise."""

from metrics.semtrack.rows import RowPair, pair_rows

BOX = [10.0, 20.0, 40.0, 30.0]
FAR = [500.0, 500.0, 40.0, 30.0]


def track(track_id=1, frames=range(100), box=BOX, main=True, category="person", score=1.0):
    frames = list(frames)
    boxes = box if len(box) == len(frames) and isinstance(box[0], list) else [list(box)] * len(frames)
    return {
        "track_id": track_id,
        "category": category,
        "main": main,
        "score": score,
        "frames": frames,
        "boxes": boxes,
        "scores": [1.0] * len(frames),
    }


def event(start, end, interaction="push", object="box", subject=1, object_track=-1, score=1.0, located=()):
    """`located`: (frames, box) of the object."""
    frames = list(located[0]) if located else []
    return {
        "subject": subject,
        "interaction": interaction,
        "object": object,
        "object_track": object_track,
        "start_frame": start,
        "end_frame": end,
        "score": score,
        "object_frames": frames,
        "object_boxes": [list(located[1])] * len(frames) if located else [],
    }


def row(events=(), tracks=None, video_id="clip", num_frames=100):
    tracks = [track(frames=range(num_frames))] if tracks is None else list(tracks)
    return {"video_id": video_id, "num_frames": num_frames, "fps": 25.0, "tracks": tracks, "events": list(events)}


def pair(predicted_events=(), true_events=(), predicted_tracks=None, true_tracks=None, num_frames=100) -> RowPair:
    """One video, read and checked."""
    prediction = row(predicted_events, predicted_tracks, num_frames=num_frames)
    return pair_rows([prediction], [row(true_events, true_tracks, num_frames=num_frames)])[0]
