"""One-pass evaluation of trackers over annotated sequences: ours, and OpenCV's as peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from dataset_script.sources.otb import BoxSequence, list_images
from metrics.semtrack.tracking import SCORE_NAMES, presence_scores, tracking_scores

from .session_semtrack import SemTrackSession
from .trajectory import Box
from .video import VideoReader

PEERS = ("csrt", "kcf", "nanotrack")


class Tracker(Protocol):
    """A tracker of one target."""

    def start(self, frame: np.ndarray, box: Box) -> None:
        """Takes the first frame (uint8 RGB) and the target's box (xywh pixels)."""

    def step(self, frame: np.ndarray, index: int) -> Box | None:
        """The target's box in the next frame, or None where it is not seen."""


class SessionTracker:
    """A [`SemTrackSession`] with one target.

    Args:
        new_session: Makes a fresh session.
    """

    def __init__(self, new_session: Callable[[], SemTrackSession]) -> None:
        self._new_session = new_session

    def start(self, frame: np.ndarray, box: Box) -> None:
        """Adds the target and takes the first step."""
        self._session = self._new_session()
        self._session.add_target(frame, box=box)
        self._session.step(frame, time=0.0)

    def step(self, frame: np.ndarray, index: int) -> Box | None:
        """One step; the benchmark has no clock, so frame numbers stand in for times."""
        return self._session.step(frame, time=index / 25.0)[0].box


class OpenCVTracker:
    """A tracker of OpenCV's contrib modules.

    Args:
        name: One of `PEERS`.
        weights: Folder with NanoTrack's two ONNX files, for `"nanotrack"`.

    Raises:
        ImportError: If OpenCV (contrib) is not installed.
        ValueError: If NanoTrack's weights are missing.
    """

    def __init__(self, name: str, weights: str | Path | None = None) -> None:
        try:
            import cv2
        except ImportError:
            raise ImportError("peers need OpenCV: pip install opencv-contrib-python-headless") from None
        if name == "csrt":
            self._make = cv2.TrackerCSRT.create
        elif name == "kcf":
            self._make = cv2.TrackerKCF.create
        elif name == "nanotrack":
            parameters = _nanotrack_parameters(cv2, weights)
            self._make = lambda: cv2.TrackerNano.create(parameters)
        else:
            raise ValueError(f"peer must be one of {', '.join(PEERS)}, got '{name}'")

    def start(self, frame: np.ndarray, box: Box) -> None:
        """Initialises the tracker; OpenCV wants BGR and whole pixels."""
        self._tracker = self._make()
        self._tracker.init(np.ascontiguousarray(frame[..., ::-1]), tuple(max(1, round(v)) for v in box))

    def step(self, frame: np.ndarray, index: int) -> Box | None:
        """OpenCV's answer, None where it reports a failure."""
        found, box = self._tracker.update(np.ascontiguousarray(frame[..., ::-1]))
        return tuple(float(v) for v in box) if found else None


def evaluate_tracker(
    tracker: Tracker, sequences: list[BoxSequence], progress: Callable[[str], None] | None = None
) -> dict:
    """Runs a tracker over sequences, initialised in the first frame that shows the target.

    Args:
        tracker: Any tracker.
        sequences: With truth in xywh pixels.
        progress: Called with the name of each sequence before it starts.

    Returns:
        `targets` (scores per sequence) and `mean` (their mean): `ao`, `auc`, `sr50`, `sr75`, `precision20`,
        `norm_precision` and `fps` of the tracker alone; `presence` per sequence where the target is absent at times.
    """
    targets = {}
    for sequence in sequences:
        if progress is not None:
            progress(sequence.name)
        predicted, truth, seconds = run_tracker(tracker, sequence)
        targets[sequence.name] = {**tracking_scores(predicted, truth), "fps": (len(truth) - 1) / seconds}
        if np.isnan(truth[:, 0]).any():
            targets[sequence.name]["presence"] = presence_scores(~np.isnan(predicted[:, 0]), truth)
    names = (*SCORE_NAMES, "fps")
    return {"mean": {n: float(np.mean([t[n] for t in targets.values()])) for n in names}, "targets": targets}


def run_tracker(tracker: Tracker, sequence: BoxSequence) -> tuple[np.ndarray, np.ndarray, float]:
    """Boxes [frames, 4] (NaN where not seen) from the first visible frame on, their truth, and seconds spent.

    Raises:
        ValueError: If the target is never visible.
    """
    if np.isnan(sequence.boxes[:, 0]).all():
        raise ValueError(f"sequence '{sequence.name}' never shows its target: leave it out or check its ground truth")
    return track_frames(tracker, sequence_frames(sequence), sequence.boxes)


def track_frames(
    tracker: Tracker, frames: Iterable[np.ndarray], boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """As [`run_tracker`], on frames (uint8 RGB) with their true boxes [frames, 4], of which one at least is visible."""
    start = int(np.flatnonzero(~np.isnan(boxes[:, 0]))[0])
    truth = boxes[start:]
    predicted = np.full_like(truth, np.nan)
    seconds = 0.0
    for index, frame in enumerate(frames):
        if index < start:
            continue
        if index - start >= len(truth):
            break
        if index == start:
            box = _inside(truth[0], frame)
            tracker.start(frame, box)
            predicted[0] = box
            continue
        began = time.perf_counter()
        box = tracker.step(frame, index - start)
        seconds += time.perf_counter() - began
        if box is not None:
            predicted[index - start] = box
    return predicted, truth, max(seconds, 1e-9)


def sequence_frames(sequence: BoxSequence) -> Iterator[np.ndarray]:
    """The frames of a sequence, uint8 RGB, one at a time."""
    if sequence.frames.is_dir():
        for path in list_images(sequence.frames):
            yield np.asarray(Image.open(path).convert("RGB"))
        return
    with VideoReader(sequence.frames) as reader:
        for frame in reader:
            yield frame.image


def _inside(box: np.ndarray, frame: np.ndarray) -> Box:
    """Truth clipped to the frame: annotations may reach a pixel beyond it."""
    height, width = frame.shape[:2]
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    return (x0, y0, min(box[0] + box[2], width) - x0, min(box[1] + box[3], height) - y0)


def _nanotrack_parameters(cv2, weights: str | Path | None):
    folder = Path(weights) if weights else None
    names = ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx")
    if folder is None or not all((folder / name).exists() for name in names):
        raise ValueError(f"nanotrack needs a folder with {names[0]} and {names[1]}, got '{weights}'")
    parameters = cv2.TrackerNano.Params()
    parameters.backbone, parameters.neckhead = (str(folder / name) for name in names)
    return parameters
