"""What the demo shows of results: rows, pictures and sentences made of a visitor's state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from .adaptation import LabelledMoment
from .app_state import Prompt, Region, Visit
from .app_video import frame_at, from_preview, preview
from .lookup import TrajectoryLookup, frame_duration
from .rendering import CARD, INK, FrameRenderer, draw_timeline, target_color, timeline_layout
from .summary import summary
from .trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame

EVENT_COLUMNS = ("target", "subject", "interaction", "object", "from (s)", "to (s)", "confidence")
DWELL_COLUMNS = ("target", "region", "seconds", "share", "visits")
MOMENT_COLUMNS = ("target", "at (s)", "interaction", "object")
TIMELINE_WIDTH = 1240  # at least as wide as it is shown: clicks on enlarged pictures would miss
HEAT_CELL = 4  # pixels of the shown picture; time is counted in squares of this side
HEAT_SPREAD = 0.02  # of the frame's longer side
HEAT_COLORS = np.array([(0, 0, 0), (86, 20, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164)])  # after "inferno"
HEAT_OPACITY = 0.75
THUMBNAIL = 96  # pixels
REGION_COLOR = (255, 255, 255)


def picture(visit: Visit) -> np.ndarray | None:
    """The shown frame with targets, prompts, clicks and regions, at preview size; None without a video."""
    if visit.clip is None:
        return None
    image = frame_at(visit.clip, visit.position)
    image = FrameRenderer(_shown(visit)).draw(image, visit.position)
    return preview(visit.clip, _with_marks(image, visit))


def _shown(visit: Visit) -> list[SemanticTrajectory]:
    """Of each target what is known of the shown frame; a prompt in this frame wins over the track."""
    clip, index = visit.clip, visit.position
    shown = []
    tracked = {trajectory.target_id: trajectory for trajectory in visit.trajectories}
    for target_id in sorted({*visit.targets, *tracked}):
        prompt = visit.prompt_at(target_id, index)
        if prompt is not None:
            frames, events = [TrackedFrame(index, clip.times[index], prompt.box, 1.0)], []
            if target_id in tracked:
                events = list(TrajectoryLookup(tracked[target_id]).events(index))
            category = prompt.category
            shown.append(SemanticTrajectory(target_id, category, {}, clip.width, clip.height, frames, events))
        elif target_id in tracked:
            shown.append(tracked[target_id])
    return shown


def _with_marks(image: np.ndarray, visit: Visit) -> np.ndarray:
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    unit = max(2, round(max(image.shape[:2]) / 240))
    for region in visit.regions:
        x, y, width, height = region.box
        draw.rectangle((x, y, x + width, y + height), fill=(*REGION_COLOR, 40), outline=REGION_COLOR, width=unit)
        draw.text((x + 2 * unit, y + unit), region.name, fill=CARD, stroke_width=1, stroke_fill=INK)
    for prompt in visit.prompts:
        if prompt.frame == visit.position:
            for click in prompt.clicks:
                _mark(draw, click[:2], unit, target_color(prompt.target_id), click.positive)
    if visit.corner is not None:
        _mark(draw, visit.corner, unit, REGION_COLOR, True)
    return np.asarray(canvas)


def _mark(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], unit: int, color: tuple[int, int, int], plus: bool
) -> None:
    """A disc with a plus or a minus."""
    x, y = at
    reach = 2.5 * unit
    draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=CARD, outline=color, width=max(1, unit // 2))
    draw.line((x - 1.4 * unit, y, x + 1.4 * unit, y), fill=INK, width=max(1, unit // 2))
    if plus:
        draw.line((x, y - 1.4 * unit, x, y + 1.4 * unit), fill=INK, width=max(1, unit // 2))


def draw_step(image: np.ndarray, seen: Sequence[SemanticTrajectory], frame_index: int) -> np.ndarray:
    """A frame of a run with what is known of it."""
    return FrameRenderer(seen).draw(image, frame_index)


def thumbnails(visit: Visit) -> list[tuple[np.ndarray, str]]:
    """A small picture, framed in the target's colour, and a caption for each target."""
    return [_thumbnail(visit, visit.first_prompt(target_id)) for target_id in visit.targets]


def _thumbnail(visit: Visit, prompt: Prompt) -> tuple[np.ndarray, str]:
    x, y, width, height = prompt.box
    crop = Image.fromarray(frame_at(visit.clip, prompt.frame)).crop(
        (int(x), int(y), max(int(x) + 1, round(x + width)), max(int(y) + 1, round(y + height)))
    )
    crop.thumbnail((THUMBNAIL - 12, THUMBNAIL - 12))
    if max(crop.size) < THUMBNAIL - 12:
        grow = (THUMBNAIL - 12) / max(crop.size)
        crop = crop.resize((max(1, round(crop.width * grow)), max(1, round(crop.height * grow))))
    canvas = Image.new("RGB", (THUMBNAIL, THUMBNAIL), target_color(prompt.target_id))
    canvas.paste(INK, (4, 4, THUMBNAIL - 4, THUMBNAIL - 4))
    canvas.paste(crop, ((THUMBNAIL - crop.width) // 2, (THUMBNAIL - crop.height) // 2))
    name = f"{prompt.target_id}: {prompt.category}" if prompt.category else f"target {prompt.target_id}"
    return np.asarray(canvas), name


def event_rows(trajectories: Sequence[SemanticTrajectory]) -> list[list]:
    """Rows of :data:`EVENT_COLUMNS`, by time."""
    events = sorted(((e.start_time, t.target_id, e) for t in trajectories for e in t.events), key=lambda row: row[:2])
    return [
        [i, e.subject, e.interaction, e.object or "", round(e.start_time, 2), round(e.end_time, 2), round(e.score, 2)]
        for _, i, e in events
    ]


def time_of_row(row: Sequence) -> float:
    """Where an event of :func:`event_rows` starts, in seconds."""
    return float(row[EVENT_COLUMNS.index("from (s)")])


def time_of_timeline_click(trajectories: Sequence[SemanticTrajectory], point: tuple[float, float]) -> float | None:
    """The start of the event under a click on the timeline figure, else the time at its place; None beside the plot.

    Args:
        trajectories: That the figure shows.
        point: (x, y) pixels of a figure :data:`TIMELINE_WIDTH` wide.
    """
    layout = timeline_layout(trajectories, width=TIMELINE_WIDTH)
    x, y = point
    for bar in (bar for group in layout.groups for lane in group.lanes for bar in lane.bars):
        rect = bar.rect
        if rect.left - 1 <= x <= rect.right + 1 and rect.top <= y <= rect.bottom:
            return bar.event.start_time
    plot = layout.plot
    if not plot.left <= x <= plot.right:
        return None
    return layout.start + (x - plot.left) / (plot.right - plot.left) * (layout.end - layout.start)


def told(trajectories: Sequence[SemanticTrajectory]) -> str:
    """What happened in words, a paragraph for each target, in Markdown."""
    return "\n\n".join(_plain(summary([trajectory])) for trajectory in trajectories)


def _plain(text: str) -> str:
    """Names may hold what Markdown would take for markup."""
    return re.sub(r"([\\`*_\[\]<>|~#])", r"\\\1", text)


def timeline(trajectories: Sequence[SemanticTrajectory]) -> Image.Image | None:
    """The figure whose clicks [`time_of_timeline_click`] understands; None without a track."""
    return draw_timeline(trajectories, width=TIMELINE_WIDTH) if trajectories else None


def foot(box: Sequence[float]) -> tuple[float, float]:
    """Where something stands: the middle of the lower edge of its box (xywh)."""
    return box[0] + box[2] / 2, box[1] + box[3]


def heat_map(visit: Visit) -> np.ndarray | None:
    """The shown frame with the time that targets spent at each place, at preview size; None without a track."""
    if visit.clip is None or not any(f.box for t in visit.trajectories for f in t.frames):
        return None
    image = preview(visit.clip, frame_at(visit.clip, visit.position))
    height, width = image.shape[:2]
    rows, columns = -(-height // HEAT_CELL), -(-width // HEAT_CELL)
    scale = columns / visit.clip.width
    time = np.zeros((rows, columns), np.float32)
    for trajectory in visit.trajectories:
        for frame, seconds in _durations(trajectory):
            if frame.box is not None:
                x, y = foot(frame.box)
                time[min(max(0, int(y * scale)), rows - 1), min(max(0, int(x * scale)), columns - 1)] += seconds
    heat = gaussian_filter(time, HEAT_SPREAD * max(rows, columns))
    heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    heat = np.sqrt(heat / heat.max())  # so that short stays are seen beside long ones
    stops = np.linspace(0, 1, len(HEAT_COLORS))
    color = np.stack([np.interp(heat, stops, HEAT_COLORS[:, channel]) for channel in range(3)], axis=-1)
    opacity = HEAT_OPACITY * np.clip(heat * 3, 0, 1)[..., None]
    return (image * (1 - opacity) + color * opacity).astype(np.uint8)


def dwell_rows(trajectories: Sequence[SemanticTrajectory], regions: Sequence[Region]) -> list[list]:
    """Rows of :data:`DWELL_COLUMNS`: how long the foot of each target was in each region, what share of its visible
    time that is, and how often it came in."""
    rows = []
    for trajectory in trajectories:
        durations = _durations(trajectory)
        visible = sum(seconds for frame, seconds in durations if frame.box is not None)
        for region in regions:
            inside = [frame.box is not None and _holds(region, foot(frame.box)) for frame, _ in durations]
            stay = sum(seconds for (_, seconds), is_in in zip(durations, inside) if is_in)
            visits = sum(now and not before for before, now in pairwise([False, *inside]))
            share = f"{stay / visible:.0%}" if visible else ""
            rows.append([trajectory.subject, region.name, round(stay, 2), share, visits])
    return rows


def _durations(trajectory: SemanticTrajectory) -> list[tuple[TrackedFrame, float]]:
    """Each frame with the seconds until the next one."""
    frames = trajectory.frames
    seconds = [after.time - before.time for before, after in pairwise(frames)]
    return list(zip(frames, [*seconds, frame_duration(frames)]))


def _holds(region: Region, point: tuple[float, float]) -> bool:
    x, y, width, height = region.box
    return x <= point[0] < x + width and y <= point[1] < y + height


def moment_rows(moments: Sequence[LabelledMoment]) -> list[list]:
    """Rows of :data:`MOMENT_COLUMNS`."""
    return [[m.target_id, round(m.time, 2), m.interaction or "(nothing)", m.object or ""] for m in moments]


def changes(before: Sequence[SemanticTrajectory], after: Sequence[SemanticTrajectory]) -> str:
    """What is told differently, as a list in Markdown."""
    old, new = ({_phrase(t, e) for t in trajectories for e in t.events} for trajectories in (before, after))
    lines = [f"- new: {phrase}" for phrase in sorted(new - old)] + [f"- gone: {phrase}" for phrase in sorted(old - new)]
    return "\n".join(lines) or "Nothing changed: mark more moments, also some in which it does *not* happen."


def _phrase(trajectory: SemanticTrajectory, event: InteractionEvent) -> str:
    what = f"**{_plain(event.interaction)}** {_plain(event.object or '')}".strip()
    return f"target {trajectory.target_id} {what}, {event.start_time:.1f} to {event.end_time:.1f} s"


def place_of_click(visit: Visit, point: Sequence[float]) -> tuple[float, float]:
    """A click on the shown picture as pixels of the video.

    Raises:
        ValueError: If there is no video, or the click lies outside.
    """
    if visit.clip is None:
        raise ValueError("choose a video first")
    x, y = from_preview(visit.clip, (float(point[0]), float(point[1])))
    if not (0 <= x < visit.clip.width and 0 <= y < visit.clip.height):
        size = f"{visit.clip.width}x{visit.clip.height}"
        raise ValueError(f"the click at ({x:.0f}, {y:.0f}) lies outside the {size} picture: click inside it")
    return x, y
