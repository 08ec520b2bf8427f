"""SemTrackSession: any number of targets followed through one video, one frame at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .events import DetectedInteraction, EventBuilder, EventSettings
from .heads_semtrack import SemTrackMemory
from .localization import Candidate, box_of_click, locate, smooth_size
from .modeling_semtrack import SemTrackModel, SemTrackTrack
from .processing_semtrack import (
    SemTrackProcessor,
    Window,
    as_frame,
    box_from_view,
    box_to_view,
    check_box,
    check_point,
    clip_box,
    window_to_view,
)
from .track_log import TrackLog
from .trajectory import Box, SemanticTrajectory

WINDOW_STEP = 0.125  # pixels; windows lie on this grid, so that rounding errors of a batch do not add up
FAINTEST_INTERACTION = 0.05  # scores below are not reported
LARGEST_KEPT_BLOCK = 31 << 20  # bytes; just under the largest threshold that glibc adapts to


@dataclass(frozen=True)
class SessionSettings:
    """How a session behaves; the network's own settings are in its config.

    Attributes:
        window_influence: How much places far from the last one are mistrusted, in [0, 1].
        size_rate: How fast the box's size follows what the network sees, in (0, 1].
        template_interval: Frames between renewals of the dynamic template.
        template_presence: Presence and centre score needed to renew it.
        lost_after: Frames in a row without the target after which the whole frame is searched.
        search_interval: Frames between two such searches.
        found_presence: Presence from which a target found elsewhere counts as the same.
        events: When interactions start, last and count.

    Raises:
        ValueError: If a value is out of its range.
    """

    window_influence: float = 0.4
    size_rate: float = 0.5
    template_interval: int = 20
    template_presence: float = 0.9
    lost_after: int = 5
    search_interval: int = 3
    found_presence: float = 0.7
    events: EventSettings = field(default_factory=lambda: EventSettings(0.3, 0.2, min_duration=0.4))

    def __post_init__(self) -> None:
        for name in ("window_influence", "size_rate", "template_presence", "found_presence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("template_interval", "lost_after", "search_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 frame, got {getattr(self, name)}")


@dataclass(frozen=True)
class TargetState:
    """One target in one frame.

    Attributes:
        target_id: As returned by [`SemTrackSession.add_target`].
        frame_index: 0-based.
        time: Seconds.
        box: xywh pixels, or None where the target is not visible.
        presence: Probability that it is visible.
        interactions: What the latest semantic step saw, best first.
    """

    target_id: int
    frame_index: int
    time: float
    box: Box | None
    presence: float
    interactions: tuple[DetectedInteraction, ...]


@dataclass
class _Target:
    """Everything a session knows of one target; its size does not grow, but for the log of results."""

    target_id: int
    category: str | None
    prompt: dict
    box: Box  # last place at which it was seen
    first_side: float  # of the search region
    template: tuple[np.ndarray, tuple[float, ...]]  # the user's
    prompt_embeds: torch.Tensor  # [1, prompt tokens, hidden], both templates
    events: EventBuilder
    log: TrackLog = field(default_factory=TrackLog)
    memory: SemTrackMemory | None = None
    interactions: tuple[DetectedInteraction, ...] = ()
    given: bool = True  # the next frame is the one in which the user showed it
    misses: int = 0
    renewed: int = 0  # frames since the dynamic template was renewed
    active: bool = True


class SemTrackSession:
    """Follows targets through a video and tells what they do. Memory does not grow with the video.

    Args:
        model: In eval mode after this call; its device and dtype are used.
        processor: Of the same checkpoint.
        settings: Behaviour over time.
        semantic_stride: Frames between semantic steps; the model's own by default, 0 for tracking only.
        first_frame: Index of the first frame in its video, for a session that starts later.

    Example:
        session = SemTrackSession(model, processor)
        target = session.add_target(first_frame, point=(310, 220))
        for time, frame in frames:          # the first one is first_frame
            for state in session.step(frame, time=time):
                print(state.box, state.presence, state.interactions)
        trajectory = session.trajectory(target)
    """

    def __init__(
        self,
        model: SemTrackModel,
        processor: SemTrackProcessor,
        settings: SessionSettings | None = None,
        semantic_stride: int | None = None,
        first_frame: int = 0,
    ) -> None:
        if first_frame < 0:
            raise ValueError(f"the first frame's index must be 0 or more, got {first_frame}")
        _keep_freed_memory()
        self.model = model.eval()
        self.images = processor.image_processor
        self.settings = settings or SessionSettings()
        self.stride = model.config.semantic_stride if semantic_stride is None else semantic_stride
        if self.stride < 0:
            raise ValueError(f"semantic_stride must be 0 (no semantics) or more frames, got {self.stride}")
        if model.semantic_head is None or model.config.num_interactions == 0:
            self.stride = 0
        self._targets: dict[int, _Target] = {}
        self._next_frame = first_frame
        self._last_time: float | None = None
        self._size: tuple[int, int] | None = None  # (height, width)

    @property
    def targets(self) -> tuple[int, ...]:
        """The targets that are being followed."""
        return tuple(target.target_id for target in self._active())

    @torch.inference_mode()
    def add_target(
        self,
        frame: np.ndarray,
        box: Sequence[float] | None = None,
        point: Sequence[float] | None = None,
        category: str | None = None,
    ) -> int:
        """Starts to follow a target.

        Args:
            frame: The frame that the next [`step`] will get, uint8 RGB [height, width, 3].
            box: The target's box, xywh pixels.
            point: A click on the target, (x, y) pixels. Exactly one of box and point.
            category: What the target is called in the results.

        Returns:
            The target's id, counted from 1.

        Raises:
            ValueError: If the prompt is not one box or one point inside the frame.
        """
        if (box is None) == (point is None):
            raise ValueError(f"pass exactly one of box and point, got box={box} and point={point}")
        frame = self._checked(frame)
        prompt: dict = {"frame": self._next_frame}
        if box is not None:
            box = check_box(box, frame)
            prompt["box"] = list(box)
        else:
            point = check_point(point, frame)
            prompt["point"] = list(point)
            box = box_of_click(self.model, self.images, frame, point)
        target_id = len(self._targets) + 1
        template = self.images.template(frame, box)
        self._targets[target_id] = _Target(
            target_id=target_id,
            category=category,
            prompt=prompt,
            box=box,
            first_side=self.images.search_window(box).side,
            template=template,
            prompt_embeds=self._embed_templates(template, template),
            events=EventBuilder(category or f"target {target_id}", self.settings.events),
        )
        return target_id

    def remove_target(self, target_id: int) -> None:
        """Stops following a target; its trajectory so far stays available.

        Raises:
            ValueError: If it is not being followed.
        """
        target = self._get(target_id)
        if not target.active:
            raise ValueError(f"target {target_id} has already been removed")
        target.active = False
        target.memory = None

    @torch.inference_mode()
    def step(self, frame: np.ndarray, time: float) -> list[TargetState]:
        """Follows all targets into the next frame.

        Args:
            frame: uint8 RGB [height, width, 3], of the same size as those before.
            time: Seconds since the start of the video, greater than at the last step.

        Returns:
            One state per followed target, in the order in which they were added.

        Raises:
            ValueError: If the frame or the time does not fit those before.
        """
        frame = self._checked(frame)
        if not math.isfinite(time) or (self._last_time is not None and time <= self._last_time):
            raise ValueError(f"time must rise from step to step, got {time} after {self._last_time}")
        index = self._next_frame
        self._next_frame, self._last_time = index + 1, float(time)
        targets = self._active()
        if not targets:
            return []
        windows = [self._search_window(target) for target in targets]
        track = self._track(frame, targets, windows)
        found = locate(track, windows, self.settings.window_influence)
        semantic_step = self.stride > 0 and index % self.stride == 0
        scene = None
        searching = [target for target in targets if self._is_searching(target)]
        if semantic_step or searching:
            scene_window = self.images.scene_window(frame)
            scene = self._embed_views(frame, [scene_window])
        elsewhere = self._search_scene(frame, scene, searching) if searching else {}
        visible = [self._update(t, c, elsewhere.get(t.target_id), frame) for t, c in zip(targets, found)]
        if semantic_step:
            self._describe(targets, visible, track, windows, scene, frame, index, float(time))
        states = []
        for target, candidate, box in zip(targets, found, visible):
            presence = 1.0 if target.given else self._presence(target, candidate, elsewhere)
            target.given = False
            target.log.append(index, float(time), box, presence)
            states.append(TargetState(target.target_id, index, float(time), box, presence, target.interactions))
        return states

    def trajectory(self, target_id: int, complete: bool = True) -> SemanticTrajectory:
        """The track and the events of a target so far; may be called at any moment.

        Args:
            target_id: As returned by [`add_target`].
            complete: False if the video broke off.

        Raises:
            ValueError: If there is no such target.
        """
        target = self._get(target_id)
        frames = target.log.frames()
        events = ()
        if frames:
            # The last frame lasts as long as the one before it.
            lasting = frames[-1].time - frames[-2].time if len(frames) > 1 else 0.0
            events = target.events.events(frames[-1].frame_index + 1, frames[-1].time + lasting)
        height, width = self._size
        return SemanticTrajectory(
            target_id=target.target_id,
            category=target.category,
            prompt=target.prompt,
            width=width,
            height=height,
            frames=frames,
            events=list(events),
            complete=complete,
        )

    def _active(self) -> list[_Target]:
        return [target for target in self._targets.values() if target.active]

    def _get(self, target_id: int) -> _Target:
        if target_id not in self._targets:
            known = ", ".join(map(str, self._targets)) or "none yet"
            raise ValueError(f"there is no target {target_id}; known targets: {known}")
        return self._targets[target_id]

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        frame = as_frame(frame)
        if self._size is None:
            self._size = frame.shape[:2]
        if frame.shape[:2] != self._size:
            raise ValueError(
                f"all frames of a session must have one size, got {frame.shape[1]}x{frame.shape[0]} "
                f"after {self._size[1]}x{self._size[0]}; start a new session"
            )
        return frame

    def _embed_templates(self, *templates: tuple[np.ndarray, tuple[float, ...]]) -> torch.Tensor:
        """Prompt tokens [1, tokens, hidden] of the user's template and the dynamic one."""
        pixels = self.images.normalize([crop for crop, _ in templates])[None]
        boxes = torch.tensor([[box for _, box in templates]])
        return self.model.embed_templates(pixels.to(self.model.device), boxes.to(self.model.device))

    def _embed_views(self, frame: np.ndarray, windows: list[Window]) -> tuple[torch.Tensor, tuple[int, int]]:
        views = [self.images.crop(frame, window, self.images.view_size) for window in windows]
        return self.model.embed(self.images.normalize(views).to(self.model.device))

    def _search_window(self, target: _Target) -> Window:
        window = self.images.search_window(target.box, target.first_side)
        return Window(*(round(value / WINDOW_STEP) * WINDOW_STEP for value in window))

    def _track(self, frame: np.ndarray, targets: list[_Target], windows: list[Window]) -> SemTrackTrack:
        features, grid = self._embed_views(frame, windows)
        prompts = torch.cat([target.prompt_embeds for target in targets])
        return self.model.track(features, grid, prompts.to(features.dtype))

    def _is_searching(self, target: _Target) -> bool:
        lost_for = target.misses - self.settings.lost_after
        return lost_for >= 0 and lost_for % self.settings.search_interval == 0

    def _search_scene(
        self, frame: np.ndarray, scene: tuple[torch.Tensor, tuple[int, int]], targets: list[_Target]
    ) -> dict[int, Candidate]:
        """Looks for lost targets in the whole frame, then closely at the answers; returns the certain ones."""
        features, grid = scene
        prompts = torch.cat([target.prompt_embeds for target in targets]).to(features.dtype)
        track = self.model.track(features.expand(len(targets), -1, -1), grid, prompts, view="scene")
        scene_windows = [self.images.scene_window(frame)] * len(targets)
        places = locate(track, scene_windows, window_influence=0.0)
        windows = [self.images.search_window(place.box, target.first_side) for place, target in zip(places, targets)]
        close = locate(self._track(frame, targets, windows), windows, self.settings.window_influence)
        certain = self.settings.found_presence
        return {t.target_id: c for t, c in zip(targets, close) if min(c.presence, c.score) >= certain}

    def _update(
        self, target: _Target, candidate: Candidate, elsewhere: Candidate | None, frame: np.ndarray
    ) -> Box | None:
        """Moves a target to where it was seen and renews its dynamic template; its visible box, or None."""
        if target.given:
            return target.box
        here = candidate.presence >= self.model.config.presence_threshold
        if not here and elsewhere is None:
            target.misses += 1
            return None
        proposed = candidate.box if here else elsewhere.box
        rate = self.settings.size_rate * candidate.score if here else 1.0
        box = clip_box(smooth_size(target.box, proposed, rate), frame, smallest=2.0)
        if box is None:
            target.misses += 1
            return None
        target.box, target.misses = box, 0
        target.renewed += 1
        sure = min(candidate.presence, candidate.score) >= self.settings.template_presence
        if here and sure and target.renewed >= self.settings.template_interval:
            target.prompt_embeds = self._embed_templates(target.template, self.images.template(frame, box))
            target.renewed = 0
        return box

    @staticmethod
    def _presence(target: _Target, candidate: Candidate, elsewhere: dict[int, Candidate]) -> float:
        found = elsewhere.get(target.target_id)
        return candidate.presence if found is None else max(candidate.presence, found.presence)

    def _describe(
        self,
        targets: list[_Target],
        visible: list[Box | None],
        track: SemTrackTrack,
        windows: list[Window],
        scene: tuple[torch.Tensor, tuple[int, int]],
        frame: np.ndarray,
        index: int,
        time: float,
    ) -> None:
        """One semantic step for all targets that are visible."""
        rows = [row for row, box in enumerate(visible) if box is not None]
        for row, target in enumerate(targets):
            if row not in rows:
                target.interactions = ()
                target.events.update(index, time, ())
        if not rows:
            return
        outer = self.images.scene_window(frame)
        device = self.model.device
        boxes = torch.tensor([[box_to_view(visible[row], outer)] for row in rows], device=device)
        places = torch.tensor([[window_to_view(windows[row], outer)] for row in rows], device=device)
        empty = SemTrackMemory.empty(self.model.config, 1, device, self.model.dtype)
        features, grid = scene
        interactions, objects, object_boxes, memory = self.model.describe(
            track.select(rows),
            boxes,
            places,
            torch.full((len(rows), 1), time, device=device),
            (features[:, None], grid),
            SemTrackMemory.cat([targets[row].memory or empty for row in rows]),
        )
        for position, row in enumerate(rows):
            target = targets[row]
            target.memory = None if memory is None else memory[position : position + 1]
            target.interactions = self._read_queries(
                interactions[position, 0], objects[position, 0], object_boxes[position, 0], outer, frame
            )
            target.events.update(index, time, target.interactions)

    def _read_queries(
        self,
        interaction_logits: torch.Tensor,
        object_logits: torch.Tensor,
        object_boxes: torch.Tensor,
        scene: Window,
        frame: np.ndarray,
    ) -> tuple[DetectedInteraction, ...]:
        """Query outputs [queries, ...] to interactions by name, each once, best first."""
        config = self.model.config
        scores, classes = interaction_logits.softmax(-1)[:, :-1].max(-1)
        objects = object_logits.argmax(-1)
        best: dict[str, DetectedInteraction] = {}
        for query in scores.argsort(descending=True).tolist():
            name = config.id2interaction[int(classes[query])]
            score = float(scores[query])
            if score < FAINTEST_INTERACTION:
                break
            if name in best:
                continue
            kind = config.id2object.get(int(objects[query]))
            box = clip_box(box_from_view(object_boxes[query], scene), frame, smallest=2.0) if kind else None
            best[name] = DetectedInteraction(name, kind, score, box)
        return tuple(best.values())


def _keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed activations instead of handing it back to the kernel at every layer.

    Its thresholds for handing back rise to the largest block that it has seen freed; with the small ones of a fresh
    process, the stem spends a third of its time on page faults. The block's pages are never touched.
    """
    torch.empty(LARGEST_KEPT_BLOCK, dtype=torch.uint8)
