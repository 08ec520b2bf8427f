"""What the subcommands of `semtrack` do; each takes the parsed arguments of `cli.py` and returns the exit code."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from dataset_script.sources.otb import BoxSequence, read_sequences
from dataset_script.synthetic import SyntheticConfig, generate_video
from dataset_script.synthetic import synthesize as write_synthetic
from dataset_script.tracking_data import read_names

from .benchmarking import PEERS, OpenCVTracker, SessionTracker, Tracker, evaluate_tracker
from .checkpoint import find_checkpoint, load_checkpoint
from .command_output import bar, check_outputs, check_writable, is_same_file, nearest_folder
from .decoding import resolve
from .export import dumps, export_trajectories, format_of, load_trajectories
from .files import OutputError, atomic_path
from .pipeline_semtrack import SemanticTrackingPipeline
from .rendering import render_video, save_timeline
from .session_semtrack import SemTrackSession
from .summary import summary
from .trajectory import SemanticTrajectory
from .video import VideoReader, VideoWriter

DEMO_SEED = 183  # its main subject is in plain sight from the first frame on, and does several things
DEMO_CLIP, DEMO_RESULTS = "synthetic.mp4", ("trajectory.json", "annotated.mp4", "timeline.png")


def track(args: Namespace) -> int:
    """`semtrack track`: one target through one video."""
    check_outputs(args.video, output=args.output, render=args.render, timeline=args.timeline)
    layout = args.format or (format_of(args.output) if args.output else "json")
    if args.output and layout == "csv":
        check_writable(args.output.with_name(f"{args.output.stem}_track.csv"))
    frames = _open_once(args.video, again=args.render is not None)
    pipe = _pipeline(args)
    with bar(frames and max(0, frames - args.frame), "frame", "tracking") as tick:
        trajectory = pipe(
            args.video,
            box=args.box,
            point=args.point,
            frame=args.frame,
            category=args.label,
            semantic_stride=args.semantic_stride,
            progress=tick,
        )
    name = Path(args.video).name
    if args.output:
        export_trajectories([trajectory], args.output, layout, name)
    else:
        sys.stdout.write(dumps([trajectory], layout, name))
    _draw(args.video, trajectory, args.render, args.timeline, frames)
    print(summary([trajectory]), file=sys.stdout if args.output else sys.stderr)
    return 0 if trajectory.complete else 1


def benchmark(args: Namespace) -> int:
    """`semtrack benchmark`: scores of SemTrack and of OpenCV's trackers on the same sequences."""
    if args.output:
        check_outputs(None, output=args.output)
    sequences = _sequences(args.sequences, args.include)
    trackers: dict[str, Tracker] = _peers(args.peers, args.nanotrack_weights)
    model, processor = load_checkpoint(find_checkpoint(args.model), args.device, getattr(torch, args.dtype))
    ours = SessionTracker(lambda: SemTrackSession(model, processor, semantic_stride=args.semantic_stride))
    trackers = {"semtrack": ours, **trackers}
    with bar(len(trackers) * len(sequences), "sequence", "benchmark") as tick:
        scores = {name: evaluate_tracker(tracker, sequences, tick) for name, tracker in trackers.items()}
    conditions = {
        "threads": torch.get_num_threads(),
        "device": args.device,
        "dtype": args.dtype,
        "semantic_stride": args.semantic_stride,
    }
    text = json.dumps({**scores, **conditions}, indent=2, allow_nan=False)
    if args.output is None:
        print(text)
        return 0
    with atomic_path(args.output) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return 0


def synthesize(args: Namespace) -> int:
    """`semtrack synthesize`: a data set of synthetic videos."""
    nearest_folder(args.output)
    config = SyntheticConfig(
        seconds=tuple(args.seconds), images=args.images, cutouts=args.cutouts, zipf_exponent=args.tail
    )
    with bar(args.videos, "video", "synthesizing") as tick:
        annotations = write_synthetic(
            args.output, args.videos, args.seed, config, lambda done, total: tick(done), args.workers
        )
    print(f"{args.videos} videos, described in {annotations}")
    return 0


def demo(args: Namespace) -> int:
    """`semtrack demo`: the whole path from a video to a paragraph, on a synthetic clip or the user's video."""
    prompted = args.box is not None or args.point is not None
    if prompted != (args.video is not None):
        raise ValueError("--video goes with --point X Y or --box X Y W H: pass the video and one of them, or neither")
    _check_demo_folder(args.output, args.video)
    with _moved_together(args.output) as scratch:
        prompt = {"box": args.box, "point": args.point} if args.video else _make_demo_clip(scratch / DEMO_CLIP)
        video = args.video or scratch / DEMO_CLIP
        frames = _open_once(video, again=True)
        pipe = _pipeline(args)
        with bar(frames, "frame", "tracking") as tick:
            trajectory = pipe(video, progress=tick, **prompt)
        export_trajectories([trajectory], scratch / DEMO_RESULTS[0])
        _draw(video, trajectory, *(scratch / name for name in DEMO_RESULTS[1:]), frames)
    for what, name in zip(("trajectory", "annotated video", "timeline"), DEMO_RESULTS):
        print(f"{what}: {args.output / name}")
    print(summary([trajectory]))
    return 0 if trajectory.complete else 1


def _pipeline(args: Namespace) -> SemanticTrackingPipeline:
    model, processor = load_checkpoint(find_checkpoint(args.model), args.device, getattr(torch, args.dtype))
    return SemanticTrackingPipeline(model=model, image_processor=processor, device=args.device)


def _open_once(video: str | Path, again: bool) -> int | None:
    """The number of frames that a video announces; a bad one shows here, before the model is loaded."""
    name, _, repeatable = resolve(video, None)
    if repeatable:
        with VideoReader(video) as reader:
            return reader.frame_count
    if again:
        raise ValueError(f"{name} can be read only once, so nothing can be drawn into it; save it to a file first")
    return None


def _draw(
    video: str | Path, trajectory: SemanticTrajectory, render: Path | None, timeline: Path | None, frames: int | None
) -> None:
    if render:
        with bar(frames, "frame", "drawing") as tick:
            render_video(video, [trajectory], render, progress=tick)
    if timeline:
        save_timeline([trajectory], timeline)


def _sequences(folder: Path, include: Path | None) -> list[BoxSequence]:
    """The sequences to run; ones that cannot be scored are refused before anything runs."""
    sequences = read_sequences(folder)
    if include is not None:
        names = read_names(include)
        unknown = sorted(names - {sequence.name for sequence in sequences})
        if unknown or not names:
            what = f"names sequences that are not in '{folder}': {', '.join(unknown)}" if unknown else "names nothing"
            raise ValueError(f"'{include}' {what}; give names of sequences, one a line")
        sequences = [sequence for sequence in sequences if sequence.name in names]
    for sequence in sequences:
        if np.isfinite(sequence.boxes[:, 0]).sum() < 2:
            raise ValueError(
                f"sequence '{sequence.name}' shows its target in fewer than 2 frames, so there is nothing to score; "
                "leave it out with --include"
            )
    return sequences


def _peers(names: str, nanotrack_weights: Path | None) -> dict[str, OpenCVTracker]:
    """OpenCV's trackers, on as many threads as ours."""
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise ValueError(f"--peers takes some of {','.join(PEERS)}, got '{','.join(unknown)}'")
    trackers = {name: OpenCVTracker(name, nanotrack_weights) for name in wanted}
    if trackers:
        import cv2

        cv2.setNumThreads(torch.get_num_threads())
    return trackers


def _make_demo_clip(path: Path) -> dict:
    """Writes the demo's clip; the prompt that names its main subject."""
    config = SyntheticConfig()
    record, frames = generate_video(config, DEMO_SEED)
    with VideoWriter(path, config.fps) as writer, bar(record.num_frames, "frame", "synthesizing") as tick:
        for index, frame in enumerate(frames):
            writer.write(frame, index / config.fps)
            tick(index)
    main = next(target for target in record.targets if target.main)
    return {"box": main.boxes[0], "category": main.category}


def _check_demo_folder(folder: Path, video: str | None) -> None:
    """A demo replaces what an earlier one wrote, and nothing else."""
    nearest_folder(folder)
    names = DEMO_RESULTS if video else (*DEMO_RESULTS, DEMO_CLIP)
    present = [name for name in names if os.path.lexists(folder / name)]
    if not present:
        return
    try:
        load_trajectories(folder / DEMO_RESULTS[0])
    except (OSError, ValueError):
        raise OutputError(
            f"'{folder}' holds {', '.join(present)}, which no demo wrote; choose another --output"
        ) from None
    for path in (folder / name for name in present):
        if is_same_file(path, video):
            raise ValueError(f"the video '{video}' is what the demo would replace; choose another --output")
        check_writable(path)


@contextmanager
def _moved_together(folder: Path) -> Iterator[Path]:
    """A folder to write to, whose files move into `folder` when the block ends well and vanish otherwise."""
    with tempfile.TemporaryDirectory(dir=nearest_folder(folder), prefix=".semtrack-") as scratch:
        yield Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(Path(scratch).iterdir(), key=lambda path: path.name != DEMO_RESULTS[0]):
            os.replace(path, folder / path.name)  # the trajectory first: it tells that a demo was here
