"""What one visitor of the demo has done so far: plain values that are replaced, never changed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from .adaptation import LabelledMoment
from .app_video import Clip
from .trajectory import Box, SemanticTrajectory


class Click(NamedTuple):
    """A click in pixels of the video: on the target, or (positive is False) beside it."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Prompt:
    """Where a target is in one frame, as the visitor says. The first prompt of a target starts it, later ones
    correct it.

    Attributes:
        target_id: Counted from 1.
        frame: 0-based index.
        box: xywh pixels.
        category: What the target is called, or None.
        clicks: That led to the box; empty if it was drawn.
    """

    target_id: int
    frame: int
    box: Box
    category: str | None = None
    clicks: tuple[Click, ...] = ()


@dataclass(frozen=True)
class Region:
    """A part of the picture in which time is counted; box is xywh pixels."""

    name: str
    box: Box


@dataclass(frozen=True)
class Visit:
    """Everything that the page shows to one visitor.

    Attributes:
        key: Names the visitor in the store of sessions.
        clip: The video, or None before one is chosen.
        position: Index of the shown frame.
        prompts: Of all targets, by frame.
        selected: Target that refinements, corrections and moments refer to, or None.
        corner: First corner (x, y) of a box that is being drawn, or None.
        regions: For dwell times.
        trajectories: Results of the latest run.
        moments: Labels to learn from.
        taught: Moments that the session has learned.
        reversed: Targets that were followed backwards too.
    """

    key: str
    clip: Clip | None = None
    position: int = 0
    prompts: tuple[Prompt, ...] = ()
    selected: int | None = None
    corner: tuple[float, float] | None = None
    regions: tuple[Region, ...] = ()
    trajectories: tuple[SemanticTrajectory, ...] = ()
    moments: tuple[LabelledMoment, ...] = ()
    taught: tuple[LabelledMoment, ...] = ()
    reversed: tuple[int, ...] = ()

    @property
    def targets(self) -> tuple[int, ...]:
        """Identifiers of the targets, ascending."""
        return tuple(sorted({prompt.target_id for prompt in self.prompts}))

    def first_prompt(self, target_id: int) -> Prompt:
        """The prompt that starts a target.

        Raises:
            ValueError: If there is no such target.
        """
        own = [prompt for prompt in self.prompts if prompt.target_id == target_id]
        if not own:
            raise ValueError("select a target first: click on it in the picture, or on its thumbnail")
        return min(own, key=lambda prompt: prompt.frame)

    def prompt_at(self, target_id: int, frame: int) -> Prompt | None:
        """What the visitor said about a target in a frame."""
        return next((p for p in self.prompts if (p.target_id, p.frame) == (target_id, frame)), None)

    def next_target(self) -> int:
        """Identifier for a new target; those of removed targets are not used again while others are left."""
        return max(self.targets, default=0) + 1

    def with_clip(self, clip: Clip) -> Visit:
        """A new video: what was done with the one before is gone."""
        return Visit(self.key, clip)

    def at(self, frame: int) -> Visit:
        """Shows another frame; a box that was begun is dropped."""
        last = self.clip.last if self.clip else 0
        return replace(self, position=min(max(0, int(frame)), last), corner=None)

    def with_prompt(self, prompt: Prompt) -> Visit:
        """Adds a prompt, or replaces the one of the same target and frame; selects the target."""
        kept = [p for p in self.prompts if (p.target_id, p.frame) != (prompt.target_id, prompt.frame)]
        prompts = tuple(sorted([*kept, prompt], key=lambda p: (p.frame, p.target_id)))
        return replace(self, prompts=prompts, selected=prompt.target_id, corner=None)

    def renamed(self, target_id: int, category: str | None) -> Visit:
        """Calls a target by another name, in its results too."""
        category = (category or "").strip() or None
        prompts = tuple(replace(p, category=category) if p.target_id == target_id else p for p in self.prompts)
        return replace(self, prompts=prompts).with_results(self.trajectories)

    def without_target(self, target_id: int) -> Visit:
        """Removes a target with its results."""
        prompts = tuple(p for p in self.prompts if p.target_id != target_id)
        left = sorted({p.target_id for p in prompts})
        return replace(
            self,
            prompts=prompts,
            selected=left[-1] if left else None,
            corner=None,
            trajectories=tuple(t for t in self.trajectories if t.target_id != target_id),
            moments=tuple(m for m in self.moments if m.target_id != target_id),
            taught=tuple(m for m in self.taught if m.target_id != target_id),
            reversed=tuple(t for t in self.reversed if t != target_id),
        )

    def cleared(self) -> Visit:
        """Removes all targets, regions and results; the video stays."""
        return replace(Visit(self.key, self.clip), position=self.position)

    def with_region(self, box: Box, name: str = "") -> Visit:
        """Adds a region, named by its number where no name is given."""
        name = name.strip() or f"region {len(self.regions) + 1}"
        return replace(self, regions=(*self.regions, Region(name, box)), corner=None)

    def without_regions(self) -> Visit:
        """Removes all regions."""
        return replace(self, regions=(), corner=None)

    def without_moments(self) -> Visit:
        """Removes the marks; what was learned from them stays until it is forgotten."""
        return replace(self, moments=())

    def with_selected(self, target_id: int) -> Visit:
        """Selects a target and shows the frame in which it was picked.

        Raises:
            ValueError: If there is no such target.
        """
        return replace(self, selected=target_id, position=self.first_prompt(target_id).frame, corner=None)

    def with_results(self, trajectories: Iterable[SemanticTrajectory]) -> Visit:
        """Takes in what a run has found, under the names that the targets have now."""
        names = {prompt.target_id: prompt.category for prompt in self.prompts}
        named = (_called(t, names[t.target_id]) if t.target_id in names else t for t in trajectories)
        return replace(self, trajectories=tuple(named))


def _called(trajectory: SemanticTrajectory, category: str | None) -> SemanticTrajectory:
    renamed = replace(trajectory, category=category)
    return replace(renamed, events=[replace(event, subject=renamed.subject) for event in trajectory.events])


def box_of_corners(one: tuple[float, float], other: tuple[float, float]) -> Box:
    """The box (xywh) between two corners in any order.

    Raises:
        ValueError: If it has no area.
    """
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(one, other))
    if right - left < 2 or bottom - top < 2:
        raise ValueError("the two corners must lie at least 2 pixels apart in both directions: click them again")
    return left, top, right - left, bottom - top


def rounded(box: Box) -> Box:
    """The box (xywh, larger than a pixel) in hundredths of a pixel, inside the one before: short to read and type."""
    (left, width), (top, height) = (_rounded(start, size) for start, size in zip(box[:2], box[2:]))
    return left, top, width, height


def _rounded(start: float, size: float) -> tuple[float, float]:
    begin = round(math.ceil(100 * start) / 100, 2)
    length = round(math.floor(100 * (start + size - begin)) / 100, 2)
    return begin, length if begin + length <= start + size else round(length - 0.01, 2)
