"""Results to look at: a contact sheet of each clip of a list, tracked from one click.

    python -m benchmarks.contact_sheets --clips DIR --output DIR [--model DIR] [--list benchmarks/contact_sheets.txt]
    python -m benchmarks.contact_sheets --failures FILE.png [--model DIR] [--videos 8]

The first form writes `<clip>.png` for each line of the list (`name x y what`): frames spread over the clip with the
target's box, label and presence, and under them the timeline of presence and events. The second one shows where the
model fails, without anybody's pixels: the worst moments of synthetic videos in front of painted noise, with the true
box dashed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from dataset_script.records import VideoRecord
from dataset_script.synthetic import SyntheticConfig, generate_video
from metrics.semtrack.tracking import iou
from modeling_semtrack import SemTrackModel, SemTrackProcessor, SemTrackSession
from modeling_semtrack.annotation_sheet import COLUMNS, GAP, HEADING, TEXT, TILE_WIDTH, in_tile, spread, tile_size
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.drawing import Rect, dashes, fit_text
from modeling_semtrack.files import atomic_path
from modeling_semtrack.processing_semtrack import clip_box
from modeling_semtrack.rendering import FAINT, INK, PAPER, FrameRenderer, draw_timeline
from modeling_semtrack.trajectory import Box, SemanticTrajectory
from modeling_semtrack.video import VideoReader

LIST = Path(__file__).with_suffix(".txt")
TILES = 12  # of a clip
FAILURES = 8  # moments in the figure
APART = 1.0  # seconds after the prompt before which a moment says little
COLORS = 48  # of the figure, which is kept small
TRUTH_COLOR = (255, 255, 255)


class Click(NamedTuple):
    """One line of the list: a clip, (x, y) in pixels of its first frame, and what is there."""

    clip: str
    point: tuple[float, float]
    what: str


class Failure(NamedTuple):
    """A moment at which the model is wrong: the frame (uint8 RGB), the track, where the target is, and words."""

    overlap: float
    image: np.ndarray
    frame: int
    trajectory: SemanticTrajectory
    truth: Box
    words: tuple[str, ...]


def main() -> None:
    """Writes the sheets or the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of the clips")
    parser.add_argument("--output", help="folder for the contact sheets")
    parser.add_argument("--list", default=str(LIST), help="text file with a clip and a click per line")
    parser.add_argument("--most", type=int, default=300, help="frames of a clip at most")
    parser.add_argument("--failures", help="picture of failures to write, in place of sheets")
    parser.add_argument("--videos", type=int, default=8, help="synthetic videos to find failures in")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    if bool(arguments.failures) == bool(arguments.clips and arguments.output):
        parser.error("pass --clips and --output for contact sheets, or --failures for the figure")

    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    if arguments.failures:
        found = [f for seed in tqdm(range(arguments.videos), unit="video") for f in failures(model, processor, seed)]
        worst = sorted(found, key=lambda failure: failure.overlap)[:FAILURES]
        with atomic_path(arguments.failures) as temporary:
            figure = failure_figure(worst).quantize(COLORS)
            figure.save(temporary, optimize=True)
        return
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    for click in tqdm(read_clicks(arguments.list), unit="clip"):
        trajectory, tiles = track_clip(model, processor, Path(arguments.clips) / click.clip, click, arguments.most)
        with atomic_path(Path(arguments.output) / f"{Path(click.clip).stem}.png") as temporary:
            contact_sheet(click, trajectory, tiles).save(temporary)


def read_clicks(path: str | Path) -> list[Click]:
    """The lines of a list; those that start with `#` are comments.

    Raises:
        ValueError: If a line is not `clip x y what`.
    """
    clicks = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            clip, x, y, what = line.split(maxsplit=3)
            clicks.append(Click(clip, (float(x), float(y)), what))
        except ValueError as error:
            raise ValueError(f"'{path}', line {number}: expected 'clip x y what', got {line!r}") from error
    return clicks


def track_clip(
    model: SemTrackModel, processor: SemTrackProcessor, path: Path, click: Click, most: int
) -> tuple[SemanticTrajectory, list[tuple[int, float, Image.Image]]]:
    """Tracks what is clicked; its trajectory, and (index, seconds, annotated frame) spread over the clip."""
    session, target = SemTrackSession(model, processor), None
    with VideoReader(path) as reader:
        for frame in reader:
            if frame.index >= most:
                break
            if target is None:
                target = session.add_target(frame.image, point=click.point, category=click.what)
            session.step(frame.image, time=frame.time)
    trajectory = session.trajectory(target)
    wanted = set(spread(0, len(trajectory.frames), TILES))
    renderer, tiles = FrameRenderer([scaled(trajectory)]), []
    with VideoReader(path) as reader:
        for frame in reader:
            if frame.index in wanted:
                small = Image.fromarray(frame.image).resize(tile_size(trajectory.width, trajectory.height))
                drawn = renderer.draw(np.asarray(small), frame.index)
                tiles.append((frame.index, frame.time, Image.fromarray(drawn)))
            if frame.index >= max(wanted):
                break
    return trajectory, tiles


def scaled(trajectory: SemanticTrajectory) -> SemanticTrajectory:
    """The trajectory in pixels of a tile; where objects are is left out, which would crowd it."""
    return replace(in_tile(trajectory), events=[replace(event, object_boxes=()) for event in trajectory.events])


def contact_sheet(
    click: Click, trajectory: SemanticTrajectory, tiles: Sequence[tuple[int, float, Image.Image]]
) -> Image.Image:
    """A heading, the annotated frames in rows, and the timeline."""
    width = COLUMNS * (TILE_WIDTH + GAP) + GAP
    timeline = draw_timeline([trajectory], width=width)
    captions = [(f"frame {index}, {time:.2f} s",) for index, time, _ in tiles]
    frames = grid([tile for _, _, tile in tiles], captions)
    top = HEADING + 2 * GAP
    sheet = Image.new("RGB", (width, top + frames.height + timeline.height), PAPER)
    words = f"{click.clip}: {click.what}, clicked at ({click.point[0]:g}, {click.point[1]:g})"
    font = ImageFont.load_default(HEADING)
    ImageDraw.Draw(sheet).text((GAP, GAP), fit_text(words, width - 2 * GAP, font), INK, font)
    sheet.paste(frames, (0, top))
    sheet.paste(timeline, (0, top + frames.height))
    return sheet


def grid(tiles: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> Image.Image:
    """Pictures of one size in rows of `COLUMNS`, with lines of text under each."""
    font, line = ImageFont.load_default(TEXT), TEXT + 4
    step = tiles[0].height + line * len(captions[0]) + GAP
    rows = -(-len(tiles) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * (TILE_WIDTH + GAP) + GAP, GAP + rows * step), PAPER)
    draw = ImageDraw.Draw(image)
    for place, (tile, caption) in enumerate(zip(tiles, captions)):
        left, top = GAP + place % COLUMNS * (TILE_WIDTH + GAP), GAP + place // COLUMNS * step
        image.paste(tile, (left, top))
        for number, words in enumerate(caption):
            at = (left, top + tile.height + 2 + number * line)
            draw.text(at, fit_text(words, TILE_WIDTH, font), FAINT, font)
    return image


def failures(model: SemTrackModel, processor: SemTrackProcessor, seed: int) -> Iterator[Failure]:
    """The worst moment of each subject of one synthetic video, and what is said of it there."""
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder))
        record, frames = generate_video(SyntheticConfig(images=Path(folder), zipf_exponent=0.2), seed)
        images = list(frames)
    for subject in sorted({event.subject for event in record.interactions}):
        boxes = next(target.boxes for target in record.targets if target.track_id == subject)
        trajectory = follow(model, processor, images, boxes, record.fps)
        seen = {frame.frame_index: frame.box for frame in trajectory.frames}
        late = [index for index in boxes if index - min(boxes) >= APART * record.fps and index in seen]
        overlaps = {index: overlap(seen[index], boxes[index]) for index in late}
        if overlaps:
            worst = min(overlaps, key=overlaps.__getitem__)
            words = said(record, subject, trajectory, worst, overlaps[worst])
            yield Failure(overlaps[worst], images[worst], worst, trajectory, boxes[worst], words)


def write_noise(folder: Path) -> None:
    """Two pictures of smooth noise, to stand in for photos."""
    for number in range(2):
        coarse = np.random.default_rng(number).integers(100, 160, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"noise{number}.png")


def follow(
    model: SemTrackModel, processor: SemTrackProcessor, images: Sequence[np.ndarray], boxes: dict[int, Box], fps: float
) -> SemanticTrajectory:
    """Tracks a target from its first box on."""
    first = min(boxes)
    session = SemTrackSession(model, processor, first_frame=first)
    target = session.add_target(images[first], box=clip_box(boxes[first], images[first].shape[:2]))
    for index in range(first, len(images)):
        session.step(images[index], time=index / fps)
    return session.trajectory(target)


def overlap(box: Box | None, truth: Box) -> float:
    """IoU, 0 where the target is not seen."""
    return 0.0 if box is None else float(iou([box], [truth])[0])


def said(
    record: VideoRecord, subject: int, trajectory: SemanticTrajectory, frame: int, iou_there: float
) -> tuple[str, ...]:
    """What is wrong at a frame, and what the target does and is said to do there."""
    box = next(f.box for f in trajectory.frames if f.frame_index == frame)
    where = "not seen" if box is None else f"IoU {iou_there:.2f}"
    true = [e.interaction for e in record.interactions if e.subject == subject and e.start_frame <= frame < e.end_frame]
    told = [e.interaction for e in trajectory.events if e.start_frame <= frame < e.end_frame]
    doing = f"does: {', '.join(true) or 'nothing'}; said: {', '.join(told) or 'nothing'}"
    return f"{where}, {frame / record.fps:.1f} s", doing


def failure_figure(moments: Sequence[Failure]) -> Image.Image:
    """The moments in rows, the answer's box in colour and the true one dashed."""
    tiles = []
    for moment in moments:
        height, width = moment.image.shape[:2]
        small = np.asarray(Image.fromarray(moment.image).resize(tile_size(width, height)))
        tile = Image.fromarray(FrameRenderer([replace(scaled(moment.trajectory), events=[])]).draw(small, moment.frame))
        scale, (x, y, w, h) = TILE_WIDTH / width, moment.truth
        true = Rect(*(round(v * scale) for v in (x, y, x + w, y + h)))
        for dash in dashes(true, 6, 2):
            ImageDraw.Draw(tile).rectangle(dash, fill=TRUTH_COLOR)
        tiles.append(tile)
    return grid(tiles, [moment.words for moment in moments])


if __name__ == "__main__":
    main()
