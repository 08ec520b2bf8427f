"""Speed of tracking on this machine, beside OpenCV's CSRT and NanoTrack on the same frames.

    python benchmarks/tracking.py [--sequence DIR] [--nanotrack-weights DIR] [--dtype bfloat16] [--rounds 3]
                                  [--width 1920]

Prints one JSON object: milliseconds per frame (median over the frames of all rounds) and frames per second of
each contestant, and the ratios that matter. The contestants take turns round by round, so that whatever else the
machine does hits all of them; only the ratios hold on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from dataset_script.sources.otb import read_sequences
from dataset_script.synthetic import SyntheticConfig, generate_video
from modeling_semtrack import SemTrackSession
from modeling_semtrack.benchmarking import OpenCVTracker, sequence_frames
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint

MOST_FRAMES = 120
WARM_UP = 5


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequence", help="one OTB-like sequence folder; without it a synthetic clip is used")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--nanotrack-weights", help="folder with NanoTrack's ONNX files; without it no NanoTrack")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, help="resize the frames to this many pixels; their own width by default")
    arguments = parser.parse_args()
    if arguments.width is not None and arguments.width < 1:
        parser.error(f"--width must be at least 1 pixel, got {arguments.width}")

    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    frames, boxes = load_frames(arguments.sequence)
    if arguments.width is not None:
        frames, boxes = resized(frames, boxes, arguments.width)

    def session(targets: int, stride: int) -> Callable[[np.ndarray, int], object]:
        tracker = SemTrackSession(model, processor, semantic_stride=stride)
        for box in boxes[:targets]:
            tracker.add_target(frames[0], box=box)
        return lambda frame, index: tracker.step(frame, time=index / 25)

    def peer(name: str) -> Callable[[np.ndarray, int], object]:
        tracker = OpenCVTracker(name, arguments.nanotrack_weights)
        tracker.start(frames[0], boxes[0])
        return tracker.step

    contestants = {
        "semtrack, 1 target": lambda: session(1, 0),
        "semtrack, 2 targets": lambda: session(2, 0),
        "semtrack, 1 target, semantics every 5th frame": lambda: session(1, 5),
        "csrt": lambda: peer("csrt"),
    }
    if arguments.nanotrack_weights:
        contestants["nanotrack"] = lambda: peer("nanotrack")
    milliseconds: dict[str, list[float]] = {name: [] for name in contestants}
    totals: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in tqdm(range(arguments.rounds), desc="rounds"):
        for name, start in contestants.items():
            times = time_steps(start(), frames)
            milliseconds[name] += times
            totals[name].append(float(np.mean(times)))

    median = {name: float(np.median(values)) for name, values in milliseconds.items()}
    mean = {name: float(np.median(values)) for name, values in totals.items()}
    one = "semtrack, 1 target"
    report = {
        "frames": len(frames),
        "size": [frames[0].shape[1], frames[0].shape[0]],
        "threads": torch.get_num_threads(),
        "dtype": arguments.dtype,
        "milliseconds": median,
        "mean_milliseconds": mean,
        "fps": {name: 1000 / value for name, value in median.items()},
        "speed_over_csrt": median["csrt"] / median[one],
        "second_target_adds": median["semtrack, 2 targets"] / median[one] - 1,
        # Semantic frames are rare and slow: only the mean shows them.
        "semantics_adds": mean["semtrack, 1 target, semantics every 5th frame"] / mean[one] - 1,
    }
    print(json.dumps(report, indent=2))


def load_frames(sequence: str | None) -> tuple[list[np.ndarray], list[tuple[float, ...]]]:
    """Up to `MOST_FRAMES` frames, and two boxes (xywh pixels) in the first of them."""
    if sequence is None:
        record, images = generate_video(SyntheticConfig(), seed=7)
        visible = [target.boxes[0] for target in record.targets if 0 in target.boxes]
        return list(images)[:MOST_FRAMES], [visible[0], visible[-1]]
    found = read_sequences(sequence)[0]
    frames = [frame for frame, _ in zip(sequence_frames(found), range(MOST_FRAMES))]
    # The same target twice: a patch of background would be lost and searched for, which is other work.
    return frames, [tuple(found.boxes[0])] * 2


def resized(
    frames: list[np.ndarray], boxes: list[tuple[float, ...]], width: int
) -> tuple[list[np.ndarray], list[tuple[float, ...]]]:
    """Frames of another width and the same proportions, and the boxes in them."""
    scale = width / frames[0].shape[1]
    size = (width, round(frames[0].shape[0] * scale))
    images = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    return images, [tuple(scale * value for value in box) for box in boxes]


def time_steps(step: Callable[[np.ndarray, int], object], frames: list[np.ndarray]) -> list[float]:
    """Milliseconds of each step after the warm-up."""
    times = []
    for index, frame in enumerate(frames):
        began = time.perf_counter()
        step(frame, index)
        times.append(1000 * (time.perf_counter() - began))
    return times[WARM_UP:]


if __name__ == "__main__":
    main()
