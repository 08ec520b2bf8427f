"""Pictures of trajectories: annotated frames, annotated video, and the timeline figure.

Every colour, font and size of the project lives here. Drawing is deterministic: the same input gives
the same bytes. Text uses the font that ships with Pillow, which covers the Latin alphabet; accents are
dropped and other scripts appear as empty boxes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .decoding import Source
from .drawing import Color, Rect, contrast, dashes, fill_below, fill_rounded, fit_text, link, mix, place_label
from .files import atomic_path
from .lookup import TrajectoryLookup
from .timeline import Bar, Group, Timeline, TimelineSizes, lay_out
from .trajectory import Box, InteractionEvent, SemanticTrajectory
from .video import VideoReader, VideoWriter

# Okabe and Ito's colour-blind safe palette with wine from Paul Tol's in place of black, ordered so that
# neighbours stay apart (CIEDE2000 >= 16) under simulated protanopia, deuteranopia and tritanopia.
TARGET_COLORS: tuple[Color, ...] = (
    (0, 114, 178), (230, 159, 0), (86, 180, 233), (136, 34, 85),
    (204, 121, 167), (240, 228, 66), (0, 158, 115), (213, 94, 0),
)  # fmt: skip
INK: Color = (16, 18, 22)
FAINT: Color = (98, 106, 117)
GRID: Color = (226, 230, 235)
LANE: Color = (243, 245, 248)
CARD: Color = (255, 255, 255)
PAPER: Color = (247, 248, 250)
PANEL: Color = (18, 21, 26)
ON_PANEL: Color = (255, 255, 255)
_PANEL_ALPHA = 205
_HALO = (0, 0, 0, 110)

OBJECT_REACH = 0.5  # seconds for which an object's box stays valid between semantic steps
_MOST_ROWS = 6  # interactions listed under one label

_TIMELINE = TimelineSizes(
    margin=24,
    title=64,
    axis=26,
    axis_again=700,
    header=40,
    presence=34,
    row=24,
    row_least=6,
    lane_most=168,
    lane_gap=6,
    group_gap=16,
    padding=16,
    bar_padding=7,
    bar_least=2,
    tick_gap=54,
    name_least=72,
    name_share=0.2,
)
_TITLE_FONT, _HEADER_FONT, _TEXT_FONT = 24, 16, 13


@dataclass(frozen=True)
class _FrameSizes:
    """Lengths in pixels that grow with the frame."""

    line: int
    font: int
    pad: int
    row: int
    radius: int

    @classmethod
    def of(cls, width: int, height: int) -> _FrameSizes:
        short = min(width, height)
        font = max(10, round(short / 36))
        return cls(max(2, round(short / 220)), font, max(2, font // 3), round(font * 1.55), max(2, font // 4))


def target_color(target_id: int) -> Color:
    """Colour (red, green, blue) of a target; identifiers count from 1 and cycle through the palette."""
    return TARGET_COLORS[(target_id - 1) % len(TARGET_COLORS)]


class FrameRenderer:
    """Draws targets, their interactions and the objects of these onto frames.

    Args:
        trajectories: The targets of one video. Their frames and events are indexed once, so that each
            call of :meth:`draw` looks them up by bisection.
    """

    def __init__(self, trajectories: Sequence[SemanticTrajectory]) -> None:
        names = display_names(trajectories)
        self._targets = [(t, n, TrajectoryLookup(t)) for t, n in zip(trajectories, names, strict=True)]

    def draw(self, image: np.ndarray, frame_index: int) -> np.ndarray:
        """The frame with everything that is known about it.

        A target without an entry for this frame (not yet or no longer followed) leaves no mark; one that
        is not visible is named in the lower left corner.

        Args:
            image: uint8 ``[height, width, 3]``, RGB; it is left as it is.
            frame_index: 0-based index of the frame in the video.

        Returns:
            A new array of the same shape and type.

        Raises:
            ValueError: If the image is not of this type or not of the size the targets were tracked in.
        """
        self._check(image)
        canvas = Image.fromarray(image)
        overlay = _Overlay(canvas)
        panels: list[tuple[str, float, Sequence[InteractionEvent], Rect, Color]] = []
        located: list[tuple[str, Box, Rect, Color]] = []
        for trajectory, name, lookup in self._targets:
            color, frame = target_color(trajectory.target_id), lookup.frame(frame_index)
            if frame is not None and frame.box is None:
                overlay.corner_chip(f"{name}: not visible", color)
            if frame is None or frame.box is None:
                continue
            events, rect = lookup.events(frame_index), overlay.target(frame.box, color)
            panels.append((name, frame.presence, events, rect, color))
            boxes = [(e.object or "", lookup.object_box(e, frame_index, OBJECT_REACH)) for e in events]
            # Two interactions may share one object: it is drawn once.
            located += [(thing, box, rect, color) for thing, box in dict.fromkeys(boxes) if box is not None]
        chips = [(thing, overlay.object(box, rect, color), color) for thing, box, rect, color in located]
        for panel in panels:
            overlay.panel(*panel)
        for chip in chips:
            overlay.object_chip(*chip)
        return np.array(canvas)

    def _check(self, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be uint8 [height, width, 3] in RGB, got {image.dtype} {list(image.shape)}")
        height, width = image.shape[:2]
        for t, _, _ in self._targets:
            if (t.width, t.height) != (width, height):
                raise ValueError(
                    f"target {t.target_id} was tracked in {t.width}x{t.height} frames, got an image of "
                    f"{width}x{height}: draw on frames of the tracked video"
                )


def render_video(
    source: Source,
    trajectories: Sequence[SemanticTrajectory],
    path: str | PathLike[str],
    *,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a copy of the video with the trajectories drawn in; frame times are kept.

    Args:
        source: The video the targets were tracked in, anything :class:`VideoReader` opens.
        trajectories: The targets. Frames outside their tracked range are copied without marks.
        path: The H.264 file to write.
        progress: Called after each frame with the number of frames written so far.

    Returns:
        The path of the written file.

    Raises:
        ValueError: If ``path`` is the source itself, or the frames are not of the tracked size.
    """
    path = Path(path)
    if isinstance(source, str | PathLike) and os.path.exists(source) and path.exists():
        if path.samefile(source):
            raise ValueError(f"cannot write '{path}': it is the source itself; choose another name")
    renderer = FrameRenderer(trajectories)
    with VideoReader(source) as reader, VideoWriter(path, reader.fps) as writer:
        for count, frame in enumerate(reader, start=1):
            writer.write(renderer.draw(frame.image, frame.index), time=frame.time)
            if progress is not None:
                progress(count)
    return path


def display_names(trajectories: Sequence[SemanticTrajectory]) -> list[str]:
    """What each target is called in pictures: its subject, with its identifier where several share it."""
    shared = Counter(t.subject for t in trajectories)
    return [t.subject if shared[t.subject] == 1 else f"{t.subject} {t.target_id}" for t in trajectories]


def timeline_layout(trajectories: Sequence[SemanticTrajectory], *, width: int = 1200) -> Timeline:
    """Where :func:`draw_timeline` puts everything.

    Args:
        trajectories: The targets, from top to bottom.
        width: Width of the figure in pixels.

    Returns:
        Rectangles of the groups, lanes and bars in pixels, and the ticks of the time axis.

    Raises:
        ValueError: If the figure is too narrow for its names and a plot.
    """
    return lay_out(trajectories, width, _TIMELINE, _font(_TEXT_FONT))


def draw_timeline(trajectories: Sequence[SemanticTrajectory], *, width: int = 1200) -> Image.Image:
    """Figure of who was visible and did what, when: a lane per interaction, stronger tints for surer events.

    Args:
        trajectories: The targets, from top to bottom.
        width: Width of the figure in pixels; the height follows from the number of lanes.

    Returns:
        An RGB image.

    Raises:
        ValueError: If the figure is too narrow for its names and a plot.
    """
    layout = timeline_layout(trajectories, width=width)
    image = Image.new("RGB", (layout.width, layout.height), PAPER)
    _paint_title(image, layout)
    for group, name in zip(layout.groups, display_names(trajectories), strict=True):
        _paint_group(image, layout, group, name)
    _paint_axis(image, layout)
    return image


def save_timeline(trajectories: Sequence[SemanticTrajectory], path: str | PathLike[str], *, width: int = 1200) -> Path:
    """Write :func:`draw_timeline` to an image file (PNG, or whatever the suffix says).

    Args:
        trajectories: The targets, from top to bottom.
        path: The file to write; it appears complete or not at all.
        width: Width of the figure in pixels.

    Returns:
        The path of the written file.

    Raises:
        ValueError: If the figure is too narrow, or Pillow knows no format of this suffix.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise ValueError(f"timeline must be an image file such as timeline.png, got '{path.name}'")
    image = draw_timeline(trajectories, width=width)
    with atomic_path(path) as temporary:
        image.save(temporary, format=kind)
    return path


class _Overlay:
    """One frame while it is drawn: marks go below, labels keep clear of each other."""

    def __init__(self, canvas: Image.Image) -> None:
        self.canvas = canvas
        self.sizes = _FrameSizes.of(*canvas.size)
        self.font = _font(self.sizes.font)
        self.draw = ImageDraw.Draw(canvas, "RGBA")
        self.labels: list[Rect] = []
        self.boxes: list[Rect] = []

    def target(self, box: Box, color: Color) -> Rect:
        """Outline the target; returns the visible part of its box."""
        rect, line = self._pixels(box), self.sizes.line
        outer = rect.grown(line // 2)
        self.draw.rectangle(outer.grown(1), outline=_HALO, width=line + 2)
        self.draw.rectangle(outer, outline=color, width=line)
        return self._obstacle(rect)

    def object(self, box: Box, target: Rect, color: Color) -> Rect:
        """Dash the object's outline and link it to the target; returns the visible part of its box."""
        rect, line = self._pixels(box), max(1, self.sizes.line - 1)
        if any(rect.overlap(other) > 0.7 for other in self.boxes):  # the object is a target too: ring its box
            rect = rect.grown(2 * self.sizes.line)
        ends = link(target, rect)
        for fill, width in ((_HALO, line + 2), (color, line)):
            if ends is not None:
                self.draw.line([*ends[0], *ends[1]], fill=fill, width=width)
            for dash in dashes(rect, 4 * self.sizes.line, line):
                self.draw.rectangle(dash.grown((width - line) // 2), fill=fill)
        if ends is not None:
            self.draw.circle(ends[1], 2 * line, fill=color)
        return self._obstacle(rect)

    def panel(self, name: str, presence: float, events: Sequence[InteractionEvent], anchor: Rect, color: Color) -> None:
        """The target's label: a header in its colour and a row with a score bar for each interaction."""
        sizes, (width, height) = self.sizes, self.canvas.size
        pad, bar, font = sizes.pad, 3 * sizes.font, self.font
        most = max(0, min(_MOST_ROWS, height // sizes.row - 1))
        shown = sorted(events, key=lambda e: -e.score)[: most if len(events) <= most else max(0, most - 1)]
        rest = [f"+ {len(events) - len(shown)} more"] if len(shown) < min(len(events), most) else []
        room = min(width, max(width // 2, 16 * sizes.font)) - 2 * pad
        value = f"{presence:.2f}"
        title = fit_text(name, room - font.getlength(value) - 2 * pad, font)
        rows = [fit_text(_phrase(event), room - bar - 2 * pad, font) for event in shown]
        widths = [font.getlength(row) + bar for row in rows] + [font.getlength(title) + font.getlength(value)]
        size = round(max(widths)) + 4 * pad, sizes.row * (1 + len(rows) + len(rest))
        place = self._place(size, anchor)
        if place is None or not title:
            return
        header = place._replace(bottom=place.top + sizes.row)
        fill_rounded(self.canvas, place, PANEL, sizes.radius, _PANEL_ALPHA)
        fill_rounded(self.canvas, header, color, sizes.radius)
        self._text(title, place.left, place.top, text_on(color))
        self._text(value, place.right - 2 * pad - font.getlength(value), place.top, text_on(color))
        for number, row in enumerate(rows + rest, start=1):
            self._text(row, place.left, place.top + number * sizes.row, ON_PANEL)
        for number, event in enumerate(shown, start=1):
            self._score(event.score, place.right - pad - bar, place.top + (number + 0.5) * sizes.row, color)

    def _score(self, score: float, left: float, middle: float, color: Color) -> None:
        half = max(1, self.sizes.font // 7)
        track = Rect(left, middle - half, left + 3 * self.sizes.font, middle + half)
        fill_rounded(self.canvas, track, ON_PANEL, half, 70)
        done = track._replace(right=left + max(2 * half, score * track.width))
        fill_rounded(self.canvas, done, mix(color, CARD, 0.25), half)

    def object_chip(self, name: str, anchor: Rect, color: Color) -> None:
        """The object's name on a dark chip with a stripe in the target's colour."""
        sizes = self.sizes
        name = fit_text(name, self.canvas.width - 2 - 3 * sizes.pad, self.font)
        place = self._place((round(self.font.getlength(name)) + 3 * sizes.pad, sizes.row), anchor)
        if place is None or not name:
            return
        fill_rounded(self.canvas, place, PANEL, sizes.radius, _PANEL_ALPHA)
        fill_rounded(self.canvas, place._replace(right=place.left + sizes.pad), color, sizes.radius)
        self._text(name, place.left + sizes.pad, place.top, ON_PANEL)

    def corner_chip(self, text: str, color: Color) -> None:
        """A note in the lower left corner, above those already there."""
        sizes, (width, height) = self.sizes, self.canvas.size
        text = fit_text(text, width - 2 - 4 * sizes.pad, self.font)
        bottom = min([rect.top for rect in self.labels], default=height) - sizes.pad
        if not text or bottom - sizes.row < 0:
            return
        right = sizes.pad + round(self.font.getlength(text)) + 2 * sizes.pad
        place = Rect(sizes.pad, bottom - sizes.row, right, bottom)
        self.labels.append(place)
        fill_rounded(self.canvas, place, color, sizes.radius)
        self._text(text, place.left, place.top, text_on(color))

    def _text(self, text: str, left: float, top: float, fill: Color) -> None:
        at = (left + self.sizes.pad, top + self.sizes.row / 2)
        self.draw.text(at, text, fill=fill, font=self.font, anchor="lm")

    def _pixels(self, box: Box) -> Rect:
        """First and last pixel of the box; what lies far outside the frame is drawn just outside it."""
        x, y, width, height = box
        far = 4 * self.sizes.line
        across, down = self.canvas.width + far, self.canvas.height + far
        left, top = min(max(x, -far), across), min(max(y, -far), down)
        right, bottom = min(max(x + width, -far), across), min(max(y + height, -far), down)
        left, top = round(left), round(top)
        return Rect(left, top, max(round(right) - 1, left), max(round(bottom) - 1, top))

    def _obstacle(self, rect: Rect) -> Rect:
        self.boxes.append(rect.clipped(*self.canvas.size))
        return self.boxes[-1]

    def _place(self, size: tuple[int, int], anchor: Rect) -> Rect | None:
        gap = self.sizes.line + 2
        place = place_label(size, anchor, self.canvas.size, self.labels, self.boxes, gap)
        if place is not None:
            self.labels.append(place)
        return place


def _paint_title(image: Image.Image, layout: Timeline) -> None:
    draw, font, edge = ImageDraw.Draw(image), _font(_TEXT_FONT), layout.plot.right
    targets, events = len(layout.groups), sum(len(g.trajectory.events) for g in layout.groups)
    facts = f"{_count(targets, 'target')}, {_count(events, 'interaction')}"
    broken = [g.trajectory.frames[-1].time for g in layout.groups if not g.trajectory.complete and g.trajectory.frames]
    if broken:
        facts += f", the video broke off after {max(broken):.1f} s"
    top = _TIMELINE.margin
    draw.text((layout.name_left, top + 14), "Semantic trajectory", INK, _font(_TITLE_FONT), anchor="lm")
    facts = fit_text(facts, edge - layout.name_left - 220, font)
    draw.text((layout.name_left, top + 41), facts, FAINT, font, anchor="lm")
    draw.text((edge, top + 41), "100%", FAINT, font, anchor="rm")
    for step in range(5):
        left = edge - 40 - 16 * (5 - step)
        fill_rounded(image, Rect(left, top + 35, left + 15, top + 47), _tint(FAINT, (step + 0.5) / 5), 2)
    draw.text((edge - 128, top + 41), "score 0%", FAINT, font, anchor="rm")


def _paint_axis(image: Image.Image, layout: Timeline) -> None:
    draw, font = ImageDraw.Draw(image), _font(_TEXT_FONT)
    for y in layout.axes:
        draw.text((layout.name_left, y), layout.unit, FAINT, font, anchor="lm")
        for tick in layout.ticks:
            last = layout.width - _TIMELINE.margin - font.getlength(tick.label) / 2
            draw.text((min(tick.x, last), y), tick.label, FAINT, font, anchor="mm")


def _paint_group(image: Image.Image, layout: Timeline, group: Group, name: str) -> None:
    color, trajectory = target_color(group.trajectory.target_id), group.trajectory
    draw, font = ImageDraw.Draw(image), _font(_TEXT_FONT)
    fill_rounded(image, group.card.grown(1), GRID, 9)
    fill_rounded(image, group.card, CARD, 8)

    seen = sum(f.box is not None for f in trajectory.frames)
    facts = f"visible in {seen} of {_count(len(trajectory.frames), 'frame')}"
    middle, left = group.header.center[1], group.header.left
    fill_rounded(image, Rect(left, middle - 7, left + 14, middle + 7), color, 4)
    room = group.header.width - 22 - font.getlength(facts) - 24
    title = fit_text(name, room, _font(_HEADER_FONT))
    draw.text((left + 22, middle), title, INK, _font(_HEADER_FONT), anchor="lm")
    draw.text((group.header.right, middle), facts, FAINT, font, anchor="rm")

    fill_rounded(image, group.followed, LANE, 3)
    for lane in group.lanes:
        fill_rounded(image, lane.rect, LANE, 3)
    bottom = group.lanes[-1].rect.bottom if group.lanes else group.presence.bottom
    for tick in layout.ticks:
        draw.line((tick.x, group.presence.top, tick.x, bottom), GRID)
    draw.text((left, group.presence.center[1]), "presence", FAINT, font, anchor="lm")
    for curve in group.curves:
        fill_below(image, curve, group.presence.bottom, mix(color, CARD, 0.65), color)
    for lane in group.lanes:
        draw.text((left, lane.rect.center[1]), lane.name, INK, font, anchor="lm")
        for bar in lane.bars:
            _paint_bar(image, bar, color)
    if group.note is not None:
        at = (group.note.left, group.note.center[1])
        draw.text(at, "no interactions found", FAINT, font, anchor="lm")


def _paint_bar(image: Image.Image, bar: Bar, color: Color) -> None:
    tint = _tint(color, bar.event.score)
    seam = 1 if bar.rect.width > 4 else 0  # keeps bars apart that follow each other at once
    fill_rounded(image, bar.rect._replace(right=bar.rect.right - seam), tint, min(4, bar.rect.height / 4))
    if bar.label:
        ink = text_on(tint) if bar.inside else INK
        at = (bar.label_left, bar.rect.center[1])
        ImageDraw.Draw(image).text(at, bar.label, ink, _font(_TEXT_FONT), anchor="lm")


def _tint(color: Color, score: float) -> Color:
    return mix(color, CARD, 0.75 * (1 - score))


def text_on(color: Color) -> Color:
    """Dark or white ink, whichever stands out more on this colour.

    White gets a bonus, since it reads better on saturated middle tones than its contrast says.
    """
    return CARD if contrast(CARD, color) > 0.85 * contrast(INK, color) else INK


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _phrase(event: InteractionEvent) -> str:
    return f"{event.interaction} {event.object}" if event.object else event.interaction


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
