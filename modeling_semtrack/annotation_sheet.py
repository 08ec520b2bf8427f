"""The contact sheet of a proposal: its tracks in frames spread over the video, and each event in a row of frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .annotation_review import Proposal
from .drawing import fit_text
from .files import atomic_path
from .rendering import FAINT, INK, PAPER, FrameRenderer
from .trajectory import SemanticTrajectory
from .video import VideoReader

COLUMNS, TILE_WIDTH, GAP = 4, 320, 12  # pixels
OVERVIEW = 8  # frames
MOST_EVENTS = 60
HEADING, TEXT = 18, 13  # font sizes


@dataclass
class _Row:
    """A line of text and the frames under it."""

    heading: str
    frames: list[int]
    renderer: FrameRenderer


def save_sheet(video: str | Path, proposal: Proposal, review: dict[str, Any], path: str | Path) -> None:
    """Writes the contact sheet of a proposal as a picture; numbers are those of the review file.

    Args:
        video: The video that was proposed for.
        proposal: The tracks, with those of the objects.
        review: Content of the review file, see :func:`modeling_semtrack.annotation_review.to_review`.
        path: A PNG or JPEG file.

    Raises:
        OutputError: If the picture cannot be written.
    """
    rows = _rows(proposal, review)
    tiles = _tiles(video, rows)
    with atomic_path(path) as temporary:
        _paint(proposal, rows, tiles).save(temporary)


def _rows(proposal: Proposal, review: dict[str, Any]) -> list[_Row]:
    named = {t.target_id: _numbered(t) for t in proposal.trajectories}
    blank = [replace(track, events=[]) for track in named.values()]
    frames = spread(proposal.first_frame, proposal.num_frames, OVERVIEW)
    facts = f"{len(review['tracks'])} tracks, {len(review['events'])} events, frames {proposal.first_frame} to "
    rows = [_Row(f"{facts}{proposal.num_frames - 1}", frames, FrameRenderer(blank))]
    sources = [(track, event) for track in proposal.trajectories for event in track.events]
    for row, (track, event) in list(zip(review["events"], sources))[:MOST_EVENTS]:
        other = row["object_track"]
        told = f"event {row['event_id']}: track {row['subject_track']} {row['interaction']}"
        told += f" track {other}" if other is not None else f" {event.object or ''}".rstrip()
        told += f"   frames [{event.start_frame}, {event.end_frame}), {event.start_time:.2f}-{event.end_time:.2f} s"
        told += f", score {event.score:.2f}"
        shown = [replace(named[track.target_id], events=[replace(event, object_boxes=())])]
        shown += [replace(named[other], events=[])] if other is not None else []
        rows.append(_Row(told, spread(event.start_frame, event.end_frame, COLUMNS), FrameRenderer(shown)))
    left = len(sources) - MOST_EVENTS
    if left > 0:
        rows.append(_Row(f"{left} more events stand in the review file alone", [], FrameRenderer(blank)))
    return rows


def _numbered(track: SemanticTrajectory) -> SemanticTrajectory:
    """The track in pixels of a tile, called by its number in the review."""
    name = f"track {track.target_id}" + (f" {track.category}" if track.category else "")
    return replace(in_tile(track), category=name)


def in_tile(track: SemanticTrajectory) -> SemanticTrajectory:
    """The track in pixels of a tile; the objects of its events stay where they were."""
    scale = TILE_WIDTH / track.width
    frames = [
        frame._replace(box=None if frame.box is None else tuple(side * scale for side in frame.box))
        for frame in track.frames
    ]
    width, height = tile_size(track.width, track.height)
    return replace(track, width=width, height=height, frames=frames)


def tile_size(width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of a tile that shows frames of this size."""
    return TILE_WIDTH, max(1, round(height * TILE_WIDTH / width))


def spread(start: int, end: int, count: int) -> list[int]:
    """Up to ``count`` different frames of [start, end), its first and last among them."""
    return sorted({int(frame) for frame in np.linspace(start, end - 1, count)})


def _tiles(video: str | Path, rows: Sequence[_Row]) -> dict[tuple[int, int], tuple[Image.Image, float]]:
    """Drawn, small frames and their times, by number of the row and frame index; the video is read once."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        for frame in row.frames:
            wanted[frame].append(number)
    tiles = {}
    with VideoReader(video) as reader:
        for frame in reader:
            if frame.index in wanted:
                size = tile_size(reader.width, reader.height)
                small = np.array(Image.fromarray(frame.image).resize(size, Image.Resampling.LANCZOS))
            for number in wanted.get(frame.index, ()):
                drawn = Image.fromarray(rows[number].renderer.draw(small, frame.index))
                tiles[number, frame.index] = (drawn, frame.time)
            if frame.index >= max(wanted):
                break
    return tiles


def _paint(
    proposal: Proposal, rows: Sequence[_Row], tiles: dict[tuple[int, int], tuple[Image.Image, float]]
) -> Image.Image:
    heading, text = ImageFont.load_default(HEADING), ImageFont.load_default(TEXT)
    height = max(tile.height for tile, _ in tiles.values())
    step, line = height + TEXT + 2 * GAP, HEADING + 2 * GAP
    lines = [-(-len(row.frames) // COLUMNS) for row in rows]
    width = COLUMNS * (TILE_WIDTH + GAP) + GAP
    sheet = Image.new("RGB", (width, line * (1 + len(rows)) + step * sum(lines) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), fit_text(f"Review of {proposal.file_name}", width - 2 * GAP, heading), INK, heading)
    top = line
    for number, row in enumerate(rows):
        draw.text((GAP, top + GAP), fit_text(row.heading, width - 2 * GAP, heading), INK, heading)
        top += line
        for place, frame in enumerate(row.frames):
            left, upper = GAP + place % COLUMNS * (TILE_WIDTH + GAP), top + place // COLUMNS * step
            tile, time = tiles[number, frame]
            sheet.paste(tile, (left, upper))
            draw.text((left, upper + tile.height + 4), f"frame {frame}, {time:.2f} s", FAINT, text)
        top += lines[number] * step
    return sheet
