"""What visitors of the demo can do: each action takes a visit and gives the next one.

Nothing here knows of the page. Every refusal is a ValueError whose text may be shown.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .adaptation import LabelledMoment
from .app_clicks import box_of_clicks
from .app_exports import write_files
from .app_run import Run, Step
from .app_state import Click, Prompt, Visit, box_of_corners, rounded
from .app_store import LIFETIME, Visitors, adopt
from .app_video import EXAMPLES, Example, Limits, example_path, frame_at, open_clip, preview
from .app_views import changes, draw_step
from .app_work import compute
from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor, check_box
from .trajectory import Box

NEW, REFINE, REGION = "New target", "Refine or correct", "Region"
PLUS, MINUS, CORNERS = "Click +", "Click −", "Box (two corners)"
SHOWN_EVERY = 0.15  # seconds between shown frames of a run, at least
SHOWN_SHARE = 0.1  # of a run's time that drawing and sending frames may take


class Progress(NamedTuple):
    """A run on its way.

    Attributes:
        visit: Without new results before the end.
        image: The frame to show, at preview size; None where the page should draw it from the visit.
        done: Frames finished.
        total: Frames to do.
        fps: Frames per second so far.
        over: Whether this is the last report.
    """

    visit: Visit
    image: np.ndarray | None
    done: int
    total: int
    fps: float
    over: bool = False


class Demo:
    """The demo without its page.

    Args:
        model: In eval mode.
        processor: Of the same checkpoint.
        limits: On videos.
        lifetime: Seconds after which silent visitors are forgotten.
        folder: Where the visitors' folders go; the system's folder for temporary files by default.
    """

    def __init__(
        self,
        model: SemTrackModel,
        processor: SemTrackProcessor,
        limits: Limits | None = None,
        lifetime: float = LIFETIME,
        folder: Path | None = None,
    ) -> None:
        self.model, self.processor, self.limits = model, processor, limits or Limits()
        self.visitors = Visitors(lifetime, parent=folder)

    def open(self, key: str, path: str | Path, name: str | None = None) -> Visit:
        """Takes in a video.

        Args:
            key: Of the visitor.
            path: The file; the visitor gets a link to it or a copy.
            name: What to call it; its file name by default.

        Raises:
            ValueError: If it is no video, or beyond the limits.
        """
        path = Path(path)
        name = name or path.name
        clip = open_clip(path, name, self.limits)
        visitor = self.visitors.get(key)
        visitor.stop.set()
        clip = replace(clip, path=adopt(path, visitor.folder))
        visitor.run = Run(self.model, self.processor, clip)
        return Visit(key).with_clip(clip)

    def open_example(self, key: str, example: Example) -> Visit:
        """Takes one of the synthetic clips."""
        return self.open(key, example_path(example), example.file_name)

    def original(self, visit: Visit) -> Path:
        """The visitor's video under the name that they know, in their folder."""
        path = self.visitors.get(visit.key).folder / visit.clip.name
        shutil.copyfile(visit.clip.path, path)
        return path

    def check_idle(self, key: str) -> None:
        """Refuses changes while a run works, since they would be lost at its end.

        Raises:
            ValueError: If the visitor's run works.
        """
        if self.visitors.get(key).working.locked():
            raise ValueError("a run of yours is still working: wait for its end, or press Stop")

    def click(
        self, visit: Visit, point: tuple[float, float], what: str = NEW, how: str = PLUS, region: str = ""
    ) -> Visit:
        """A click on the shown frame.

        Args:
            visit: With a video.
            point: (x, y) in pixels of the video.
            what: :data:`NEW`, :data:`REFINE` (the selected target, in the frame shown) or :data:`REGION`.
            how: :data:`PLUS`, :data:`MINUS` or :data:`CORNERS`; a region is always drawn by two corners.
            region: What to call a region; it is numbered where this is empty.

        Raises:
            ValueError: If the click lies outside, or there is no target to refine.
        """
        if visit.clip is None:
            raise ValueError("choose a video first")
        if what == REGION or how == CORNERS:
            if visit.corner is None:
                return replace(visit, corner=point)
            return self.drag(visit, visit.corner, point, what, region)
        if what == NEW and how == MINUS:
            raise ValueError("a new target starts with a click on it (+)")
        target_id = visit.selected if what == REFINE else None
        known = visit.prompt_at(target_id, visit.position) if target_id is not None else None
        clicks = (*(known.clicks if known else ()), Click(*point, how == PLUS))
        frame = frame_at(visit.clip, visit.position)
        with self.visitors.at_work(visit.key):  # a run that begins now would know nothing of this click
            box = compute(box_of_clicks, self.model, self.processor.image_processor, frame, clicks)
        return visit.with_prompt(self._prompt(visit, what, box, clicks))

    def drag(
        self,
        visit: Visit,
        start: tuple[float, float],
        end: tuple[float, float],
        what: str = NEW,
        region: str = "",
    ) -> Visit:
        """A box on the shown frame between two corners (x, y) in pixels of the video; otherwise as [`click`]."""
        box = box_of_corners(start, end)
        if what == REGION:
            return visit.with_region(box, region)
        return visit.with_prompt(self._prompt(visit, what, check_box(box, frame_at(visit.clip, visit.position)), ()))

    def _prompt(self, visit: Visit, what: str, box: Box, clicks: tuple[Click, ...]) -> Prompt:
        box = rounded(box)
        if what == NEW:
            return Prompt(visit.next_target(), visit.position, box, None, clicks)
        if visit.selected is None:
            raise ValueError("there is no target to refine yet: pick a new one first")
        category = visit.first_prompt(visit.selected).category
        return Prompt(visit.selected, visit.position, box, category, clicks)

    def track(self, visit: Visit) -> Iterator[Progress]:
        """Follows all targets from where the plan has changed to the end, or until [`stop`]."""
        if not visit.prompts:
            raise ValueError("pick a target first: click on it in the picture, then press Track")
        with self.visitors.at_work(visit.key) as visitor:
            with closing(visitor.run.follow(visit.prompts, visitor.stop)) as steps:
                position = yield from self._shown(visit, steps)
            yield self.finished(visit.at(position).with_results(visitor.run.trajectories()))

    def track_backwards(self, visit: Visit) -> Iterator[Progress]:
        """Follows the selected target from its first prompt back to the first frame.

        Where no run has come to that prompt yet, the targets are followed up to it first.
        """
        prompt = visit.first_prompt(visit.selected)
        with self.visitors.at_work(visit.key) as visitor:
            start = {"frame": prompt.frame, "box": list(prompt.box)}
            if not any(start.items() <= t.prompt.items() for t in visitor.run.trajectories()):
                with closing(visitor.run.follow(visit.prompts, visitor.stop)) as steps:
                    next((step for step in steps if step.frame_index == prompt.frame), None)
            with closing(visitor.run.follow_backwards(prompt, visitor.stop)) as steps:
                position = yield from self._shown(visit, steps)
            reversed_targets = tuple(sorted({*visit.reversed, prompt.target_id}))
            visit = replace(visit.at(position), reversed=reversed_targets)
            yield self.finished(visit.with_results(visitor.run.trajectories()))

    def stop(self, visit: Visit) -> None:
        """Ends the visitor's run after the frame that it is working on."""
        self.visitors.get(visit.key).stop.set()

    def _shown(self, visit: Visit, steps: Iterator[Step]) -> Generator[Progress, None, int]:
        """Reports some of the steps, fewer on a busy machine; the index of the last frame."""
        start = time.perf_counter()
        due, step = 0.0, None
        for step in steps:
            now = time.perf_counter() - start
            if now >= due:
                image = preview(visit.clip, draw_step(step.image, step.seen, step.frame_index))
                now_at = replace(visit, position=step.frame_index)
                yield Progress(now_at, image, step.done, step.total, step.done / max(now, 1e-6))
                after = time.perf_counter() - start  # by now it has been sent, too
                due = max(now + SHOWN_EVERY, after + (after - now) * (1 / SHOWN_SHARE - 1))
        return visit.position if step is None else step.frame_index

    def finished(self, visit: Visit) -> Progress:
        """The report of a visit's runs so far."""
        frames = [frame.frame_index for t in visit.trajectories for frame in t.frames]
        done = max(frames) - min(frames) + 1 if frames else 0
        return Progress(visit, None, done, visit.clip.last + 1, 0.0, over=True)

    def mark(self, visit: Visit, interaction: str | None, object: str | None) -> Visit:
        """Labels the shown moment of the selected target; no interaction means that nothing happens.

        Raises:
            ValueError: If no target is selected.
        """
        target_id = visit.first_prompt(visit.selected).target_id
        names = ((name or "").strip() or None for name in (interaction, object))
        label = LabelledMoment(target_id, visit.clip.times[visit.position], *names)
        return replace(visit, moments=(*visit.moments, label))

    def adapt(self, visit: Visit) -> tuple[Visit, str]:
        """Teaches the visitor's session the marked moments; the visit, and what is told differently, in Markdown."""
        with self.visitors.at_work(visit.key) as visitor:
            visitor.run.adapt(visit.moments)
            after = visitor.run.trajectories()
        told = changes(visit.trajectories, after)
        return replace(visit.with_results(after), taught=visit.moments), told

    def forget(self, visit: Visit) -> tuple[Visit, str]:
        """Undoes [`adapt`]; as there."""
        with self.visitors.at_work(visit.key) as visitor:
            visitor.run.forget()
            after = visitor.run.trajectories()
        return replace(visit.with_results(after), taught=()), changes(visit.trajectories, after)

    def interactions(self, visit: Visit) -> tuple[str, ...]:
        """Names of interactions to choose from."""
        run = self.visitors.get(visit.key).run
        return run.interactions if run else tuple(self.model.config.id2interaction.values())

    def files(self, visit: Visit, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Writes everything that can be taken away into the visitor's folder; of an example the video, too."""
        with self.visitors.at_work(visit.key) as visitor:
            paths = write_files(visit, visitor.folder, progress)
        ours = visit.clip.name in {example.file_name for example in EXAMPLES}
        return [*paths, self.original(visit)] if ours else paths
