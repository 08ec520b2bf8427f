"""Geometry of the timeline figure: trajectories in, rectangles out.

Only positions are decided here; :mod:`.rendering` owns the sizes, fonts and colours and paints the
result. All rectangles are in pixels of the figure, ``(left, top, right, bottom)``; all times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .drawing import Measure, Rect, fit_text, plain
from .lookup import frame_duration
from .trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

_TICK_STEPS = (
    *(digit * 10.0**power for power in (-3, -2, -1, 0) for digit in (1, 2, 5)),
    *(10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24)),
)
_CLOCK_FROM = 120.0  # spans from here on are labelled min:s instead of seconds


@dataclass(frozen=True)
class TimelineSizes:
    """Lengths of the figure in pixels.

    A figure taller than ``axis_again`` repeats its time axis at the bottom; ``name_share`` limits the column
    of names to a share of the width.
    """

    margin: float
    title: float
    axis: float
    axis_again: float
    header: float
    presence: float
    row: float
    row_least: float
    lane_most: float
    lane_gap: float
    group_gap: float
    padding: float
    bar_padding: float
    bar_least: float
    tick_gap: float
    name_least: float
    name_share: float


class Tick(NamedTuple):
    """A labelled moment of the time axis."""

    x: float
    label: str


class Bar(NamedTuple):
    """One event. ``label`` (maybe empty) starts at ``label_left``, on or beside the bar."""

    event: InteractionEvent
    rect: Rect
    label: str
    label_left: float
    inside: bool


class Lane(NamedTuple):
    """All events of one interaction; ``name`` is shortened to fit its column."""

    interaction: str
    name: str
    rect: Rect
    bars: tuple[Bar, ...]


class Group(NamedTuple):
    """One target. ``followed`` is the part of ``presence`` in which the target was followed at all;
    ``curves`` are the presence polylines, one for each unbroken stretch of visibility; ``note`` is the
    row that says there are no interactions, or None."""

    trajectory: SemanticTrajectory
    card: Rect
    header: Rect
    presence: Rect
    followed: Rect
    curves: tuple[np.ndarray, ...]
    lanes: tuple[Lane, ...]
    note: Rect | None


class Timeline(NamedTuple):
    """The whole figure. ``plot`` spans the time axis, from ``start`` to ``end`` in seconds; ``axes`` are the
    vertical centres of its one or two rows of tick labels."""

    width: int
    height: int
    start: float
    end: float
    plot: Rect
    name_left: float
    unit: str
    ticks: tuple[Tick, ...]
    axes: tuple[float, ...]
    groups: tuple[Group, ...]

    def x(self, time: float) -> float:
        """Pixel column of a time in seconds."""
        return _to_x(time, self.start, self.end, self.plot)


def lay_out(trajectories: Sequence[SemanticTrajectory], width: int, sizes: TimelineSizes, font: Measure) -> Timeline:
    """Place everything the figure shows.

    Args:
        trajectories: The targets, drawn from top to bottom in this order.
        width: Width of the figure in pixels.
        sizes: Lengths in pixels.
        font: Measures the names of lanes and the labels of bars.

    Returns:
        The layout; its height follows from the number of lanes.

    Raises:
        ValueError: If the figure is too narrow for its names and a plot.
    """
    least = 2 * (sizes.margin + sizes.padding) + 4 * sizes.name_least
    if width < least:
        raise ValueError(f"timeline width must be at least {math.ceil(least)} pixels, got {width}")
    start, end = _time_span(trajectories)
    name_left = sizes.margin + sizes.padding
    names = ["presence", *(event.interaction for t in trajectories for event in t.events)]
    widest = max(font.getlength(plain(name)) for name in set(names))
    name_width = min(max(widest, sizes.name_least), sizes.name_share * width)
    plot_left = math.ceil(name_left + name_width + sizes.padding)
    top = sizes.margin + sizes.title + sizes.axis
    plot = Rect(plot_left, top, width - sizes.margin - sizes.padding, top)

    groups: list[Group] = []
    for trajectory in trajectories:
        group = _lay_out_group(trajectory, top, plot, (start, end), name_left, sizes, font)
        groups.append(group)
        top = group.card.bottom + sizes.group_gap
    bottom = groups[-1].card.bottom if groups else top
    unit, ticks = _ticks(start, end, plot, sizes.tick_gap, font)
    axes = [plot.top - sizes.axis / 2]
    if bottom > sizes.axis_again:
        axes.append(bottom + sizes.axis / 2)
        bottom += sizes.axis
    height = math.ceil(bottom + sizes.margin)
    return Timeline(width, height, start, end, plot, name_left, unit, ticks, tuple(axes), tuple(groups))


def _lay_out_group(
    trajectory: SemanticTrajectory,
    top: float,
    plot: Rect,
    span: tuple[float, float],
    name_left: float,
    sizes: TimelineSizes,
    font: Measure,
) -> Group:
    card_left, card_right = name_left - sizes.padding, plot.right + sizes.padding
    header = Rect(name_left, top, plot.right, top + sizes.header)
    presence = Rect(plot.left, header.bottom, plot.right, header.bottom + sizes.presence)
    cursor = presence.bottom + sizes.lane_gap

    lanes: list[Lane] = []
    for interaction, events in _by_interaction(trajectory.events).items():
        rows = _stack(events)
        count = max(rows) + 1
        row_height = min(sizes.row, max(sizes.row_least, sizes.lane_most / count))
        rect = Rect(plot.left, cursor, plot.right, cursor + row_height * count)
        bars = _lay_out_bars(events, rows, rect, row_height, span, sizes, font)
        name = fit_text(interaction, plot.left - sizes.padding - name_left, font)
        lanes.append(Lane(interaction, name, rect, bars))
        cursor = rect.bottom + sizes.lane_gap

    note = None
    if not lanes:
        note = Rect(plot.left, cursor, plot.right, cursor + sizes.row)
        cursor = note.bottom + sizes.lane_gap
    card = Rect(card_left, top, card_right, cursor - sizes.lane_gap + sizes.padding)
    followed, curves = _presence_curves(trajectory.frames, presence, span)
    return Group(trajectory, card, header, presence, followed, curves, tuple(lanes), note)


def _by_interaction(events: Sequence[InteractionEvent]) -> dict[str, list[InteractionEvent]]:
    """Events of each interaction by start time; the interactions in order of their first event."""
    lanes: dict[str, list[InteractionEvent]] = {}
    for event in sorted(events, key=lambda e: (e.start_time, e.end_time, e.interaction, e.object or "")):
        lanes.setdefault(event.interaction, []).append(event)
    return lanes


def _stack(events: Sequence[InteractionEvent]) -> list[int]:
    """Row of each event such that events at the same time never share one."""
    free_from: list[float] = []
    rows = []
    for event in events:
        row = next((r for r, time in enumerate(free_from) if time <= event.start_time + 1e-3), len(free_from))
        if row == len(free_from):
            free_from.append(event.end_time)
        free_from[row] = event.end_time
        rows.append(row)
    return rows


def _lay_out_bars(
    events: Sequence[InteractionEvent],
    rows: Sequence[int],
    lane: Rect,
    row_height: float,
    span: tuple[float, float],
    sizes: TimelineSizes,
    font: Measure,
) -> tuple[Bar, ...]:
    rects = []
    for event, row in zip(events, rows, strict=True):
        left = min(_to_x(event.start_time, *span, lane), lane.right - sizes.bar_least)
        right = max(_to_x(event.end_time, *span, lane), left + sizes.bar_least)
        top = lane.top + row * row_height
        rects.append(Rect(left, top + 1, right, top + row_height - 1))

    limit: dict[int, float] = {}  # by row: where the next bar to the right starts
    bars: list[Bar] = []
    for event, row, rect in reversed(list(zip(events, rows, rects, strict=True))):
        label, left, inside = "", rect.right, False
        if row_height >= sizes.row:
            label, left, inside = _label(event, rect, limit.get(row, lane.right), sizes.bar_padding, font)
        bars.append(Bar(event, rect, label, left, inside))
        limit[row] = rect.left
    return tuple(reversed(bars))


def _label(event: InteractionEvent, rect: Rect, limit: float, padding: float, font: Measure) -> tuple[str, float, bool]:
    """The longest label that fits on the bar, else beside it up to ``limit``, else a shortened one."""
    score = f"{event.score:.0%}"
    name = plain(event.object) if event.object else ""
    on_bar, beside = rect.width - 2 * padding, limit - rect.right - 2 * padding
    for text in (f"{name} {score}", name) if name else (score,):
        if font.getlength(text) <= on_bar:
            return text, rect.left + padding, True
    if not name:
        return "", rect.right, False
    if font.getlength(name) <= beside or beside > on_bar:
        return fit_text(name, beside, font), rect.right + padding, False
    return fit_text(name, on_bar, font), rect.left + padding, True


def _presence_curves(
    frames: Sequence[TrackedFrame], lane: Rect, span: tuple[float, float]
) -> tuple[Rect, tuple[np.ndarray, ...]]:
    """The followed part of the lane, and polylines ``[points, 2]`` (x, y), one for each visible stretch."""
    if not frames:
        return lane._replace(right=lane.left), ()
    duration = frame_duration(frames)
    times = np.array([f.time for f in frames])
    presence = np.clip([f.presence for f in frames], 0.0, 1.0)
    visible = np.array([f.box is not None for f in frames], dtype=float)
    left, right = _to_x(times[0], *span, lane), _to_x(times[-1] + duration, *span, lane)
    followed = lane._replace(left=left, right=right)

    x = lane.left + (times - span[0]) / (span[1] - span[0]) * lane.width
    index, count = np.array([f.frame_index for f in frames]), np.ones(len(frames))
    step, hold = duration / (span[1] - span[0]) * lane.width, 1.5 * duration
    if len(frames) > 2 * lane.width:  # more frames than pixels: one point for each pixel column
        _, first, count = np.unique(np.floor(x), return_index=True, return_counts=True)
        presence = np.add.reduceat(presence, first) / count
        visible = np.add.reduceat(visible, first) / count
        x, times, index = x[first], times[first], index[first]
        step, hold = 1.0, max(hold, 2 * (span[1] - span[0]) / lane.width)
    shown = visible >= 0.5
    unfollowed = (np.diff(index) > count[:-1]) & (np.diff(times) > hold)
    breaks = np.flatnonzero(unfollowed | (shown[1:] != shown[:-1])) + 1
    curves = []
    for run in np.split(np.arange(len(x)), breaks):
        if shown[run[0]]:
            last = run[-1]
            joins = last + 1 < len(x) and not unfollowed[last]
            columns = np.append(x[run], x[last + 1] if joins else min(x[last] + step, lane.right))
            heights = np.append(presence[run], presence[last])
            curves.append(np.stack([columns, lane.bottom - heights * lane.height], axis=1))
    return followed, tuple(curves)


def _time_span(trajectories: Sequence[SemanticTrajectory]) -> tuple[float, float]:
    starts = [t.frames[0].time for t in trajectories if t.frames]
    ends = [t.frames[-1].time + frame_duration(t.frames) for t in trajectories if t.frames]
    for trajectory in trajectories:
        starts.extend(event.start_time for event in trajectory.events)
        ends.extend(event.end_time for event in trajectory.events)
    if not starts:
        return 0.0, 1.0
    return min(starts), max(max(ends), min(starts) + 1e-3)


def _ticks(start: float, end: float, plot: Rect, gap: float, font: Measure) -> tuple[str, tuple[Tick, ...]]:
    """Unit and ticks at round times, as dense as their labels allow."""
    seconds = end - start < _CLOCK_FROM
    hours = not seconds and end >= 3600
    longest = 3 * (end - start)
    for step in (*_TICK_STEPS, *(86400.0 * 2**k for k in range(1, 40))):
        if step / (end - start) * plot.width < gap:
            continue
        times = [k * step for k in range(math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9) + 1)]
        labels = [_time_label(time, step, seconds, hours) for time in times]
        spacing = step / (end - start) * plot.width
        if step > longest or all(font.getlength(label) + gap / 3 <= spacing for label in labels):
            break
    unit = "seconds" if seconds else ("h:min:s" if hours else "min:s")
    return unit, tuple(Tick(_to_x(t, start, end, plot), label) for t, label in zip(times, labels, strict=True))


def _time_label(time: float, step: float, seconds: bool, hours: bool) -> str:
    if seconds:
        return f"{time:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    sign, whole = "-" if time < 0 else "", abs(round(time))
    minutes, second = divmod(whole, 60)
    if not hours:
        return f"{sign}{minutes}:{second:02d}"
    return f"{sign}{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def _to_x(time: float, start: float, end: float, plot: Rect) -> float:
    return plot.left + (time - start) / (end - start) * plot.width
