"""SemTrackSession: any number of targets followed through one video, one frame at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .adaptation import AdaptationSettings, LabelledMoment, adapt_readout, labels_by_step
from .events import DetectedInteraction, EventBuilder
from .heads_semtrack import SemTrackEmbeds
from .localization import Candidate, box_of_click, locate, smooth_size
from .memory_semtrack import SemTrackMemory
from .modeling_semtrack import SemTrackModel, SemTrackTrack
from .motion_semtrack import MOTION_SIZE, motion_around
from .processing_semtrack import (
    SemTrackProcessor,
    Window,
    as_frame,
    box_to_view,
    check_box,
    check_point,
    clip_box,
    window_to_view,
)
from .reading import InteractionReader
from .session_settings import SessionSettings
from .session_target import SemanticStep, SessionTarget
from .stem_semtrack import keep_freed_memory
from .trajectory import Box, SemanticTrajectory

STEADY = 20  # frames for which a target must be seen after a miss before its template is due for renewal


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
        keep_freed_memory()
        self.model = model.eval()
        self.images = processor.image_processor
        self.settings = settings or SessionSettings()
        self.stride = model.config.semantic_stride if semantic_stride is None else semantic_stride
        if self.stride < 0:
            raise ValueError(f"semantic_stride must be 0 (no semantics) or more frames, got {self.stride}")
        if model.semantic_head is None or model.config.num_interactions == 0:
            self.stride = 0
        self._reader = self._trained_reader()
        self._targets: dict[int, SessionTarget] = {}
        self._next_frame = first_frame
        self._last_time: float | None = None
        self._size: tuple[int, int] | None = None  # (height, width)
        self._scene: Window | None = None  # the whole frame

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
        self._targets[target_id] = SessionTarget(
            target_id=target_id,
            category=category,
            prompt=prompt,
            box=box,
            first_side=self.images.search_window(box).side,
            template=template,
            prompt_states=self._read_templates(template, template),
            events=EventBuilder(category or f"target {target_id}", self.settings.events),
            history=deque(maxlen=self.settings.remembered_steps),
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
        target.views.clear()

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
        windows = [self.images.search_window(target.box, target.first_side) for target in targets]
        views = self._cut(frame, windows)
        semantic_step = self.stride > 0 and index % self.stride == 0
        searching = [target for target in targets if self._is_searching(target)]
        whole = self._cut(frame, [self._scene]) if semantic_step or searching else []
        features, grid = self._embed([*views, *whole])  # together, which takes less time than one after the other
        scene = (features[len(views) :], grid)
        track = self._track(features[: len(views)], grid, targets)
        found = locate(track, windows, self.settings.window_influence)
        for target, view, window in zip(targets if self.stride else [], views, windows):
            target.views.add(float(time), (view, window))
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

    def adapt(self, moments: Sequence[LabelledMoment], settings: AdaptationSettings | None = None) -> None:
        """Teaches this session, and no other, what a few moments of its targets show.

        The readout of the semantic head learns the labels, new names included, and what the targets have done in
        the remembered steps is told anew. Every call starts from the trained model, which itself never changes; no
        moments change nothing.

        Args:
            moments: Labels of steps that this session has described.
            settings: How hard to learn.

        Raises:
            ValueError: If this session does not describe targets, or a moment is not among the remembered steps.
        """
        if self.stride == 0:
            raise ValueError("this session tracks only: adaptation needs semantic_stride > 0 and a semantic head")
        steps = {t.target_id: [s for s in t.history if s.embeds is not None] for t in self._targets.values()}
        for moment in moments:
            self._get(moment.target_id)
        times = {target_id: [step.time for step in known] for target_id, known in steps.items()}
        labels = labels_by_step(moments, times, self._moment_tolerance())
        reader = self._trained_reader()
        if labels:
            labelled = _stacked([steps[target_id][position].embeds for target_id, position in labels])
            seen = _stacked([step.embeds for known in steps.values() for step in known])
            reader = adapt_readout(reader, labelled, list(labels.values()), seen, settings or AdaptationSettings())
        self._retell(reader)

    def reset_adaptation(self) -> None:
        """Forgets what [`adapt`] has taught, and tells the remembered steps as the trained model sees them."""
        self._retell(self._trained_reader())

    @property
    def interactions(self) -> tuple[str, ...]:
        """The interactions that this session tells apart, those that it was taught included."""
        return tuple(self._reader.interactions)

    def _trained_reader(self) -> InteractionReader:
        config = self.model.config
        readout = None if self.model.semantic_head is None else self.model.semantic_head.readout
        return InteractionReader(readout, list(config.id2interaction.values()), list(config.id2object.values()))

    def _moment_tolerance(self) -> float:
        """Seconds between two semantic steps, at the pace of the frames so far."""
        longest = max((t.log.frames()[-2:] for t in self._targets.values()), key=len, default=[])
        return (longest[-1].time - longest[0].time) * self.stride if len(longest) == 2 else math.inf

    @torch.inference_mode()
    def _retell(self, reader: InteractionReader) -> None:
        """Reads all remembered steps again; events that ended before them stay as they were told."""
        self._reader = reader
        for target in self._targets.values():
            steps = list(target.history)
            if not steps:
                continue
            told = target.events.events(steps[-1].frame_index + 1, steps[-1].time)
            kept = [event for event in told if event.end_frame <= steps[0].frame_index]
            target.events = EventBuilder(target.events.subject, self.settings.events, kept)
            for step in steps:
                seen = () if step.embeds is None else reader.read(_stacked([step.embeds]), self._scene, self._size)[0]
                target.events.update(step.frame_index, step.time, seen)
                target.interactions = seen

    def _active(self) -> list[SessionTarget]:
        return [target for target in self._targets.values() if target.active]

    def _get(self, target_id: int) -> SessionTarget:
        if target_id not in self._targets:
            known = ", ".join(map(str, self._targets)) or "none yet"
            raise ValueError(f"there is no target {target_id}; known targets: {known}")
        return self._targets[target_id]

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        frame = as_frame(frame)
        if self._size is None:
            self._size, self._scene = frame.shape[:2], self.images.scene_window(frame)
        if frame.shape[:2] != self._size:
            raise ValueError(
                f"all frames of a session must have one size, got {frame.shape[1]}x{frame.shape[0]} "
                f"after {self._size[1]}x{self._size[0]}; start a new session"
            )
        return frame

    def _read_templates(self, *templates: tuple[np.ndarray, tuple[float, ...]]) -> torch.Tensor:
        """Reads the user's template and the dynamic one."""
        pixels = self.images.normalize([crop for crop, _ in templates])[None]
        boxes = torch.tensor([[box for _, box in templates]])
        embeds = self.model.embed_templates(pixels.to(self.model.device), boxes.to(self.model.device))
        return self.model.read_prompt(embeds)

    def _cut(self, frame: np.ndarray, windows: Sequence[Window]) -> list[np.ndarray]:
        return [self.images.crop(frame, window, self.images.view_size) for window in windows]

    def _embed(self, views: Sequence[np.ndarray]) -> tuple[torch.Tensor, tuple[int, int]]:
        return self.model.embed(self.images.normalize(views).to(self.model.device))

    def _track(
        self, features: torch.Tensor, grid: tuple[int, int], targets: list[SessionTarget], view: str = "search"
    ) -> SemTrackTrack:
        prompts = torch.cat([target.prompt_states for target in targets])
        return self.model.track(features, grid, prompt_states=prompts, view=view)

    def _is_searching(self, target: SessionTarget) -> bool:
        lost_for = target.misses - self.settings.lost_after
        return lost_for >= 0 and lost_for % self.settings.search_interval == 0

    def _search_scene(
        self, frame: np.ndarray, scene: tuple[torch.Tensor, tuple[int, int]], targets: list[SessionTarget]
    ) -> dict[int, Candidate]:
        """Looks for lost targets in the whole frame, then closely at the answers; returns the certain ones."""
        features, grid = scene
        track = self._track(features.expand(len(targets), -1, -1), grid, targets, view="scene")
        places = locate(track, [self._scene] * len(targets), window_influence=0.0)
        windows = [self.images.search_window(place.box, target.first_side) for place, target in zip(places, targets)]
        track = self._track(*self._embed(self._cut(frame, windows)), targets)
        close = locate(track, windows, self.settings.window_influence)
        certain = self.settings.found_presence
        return {t.target_id: c for t, c in zip(targets, close) if min(c.presence, c.score) >= certain}

    def _update(
        self, target: SessionTarget, candidate: Candidate, elsewhere: Candidate | None, frame: np.ndarray
    ) -> Box | None:
        """Moves a target to where it was seen and renews its dynamic template; its visible box, or None."""
        if target.given:
            return target.box
        enough = max(self.model.config.presence_threshold, self.settings.found_presence if target.misses else 0.0)
        here = candidate.presence >= enough
        if not here and elsewhere is None:
            self._miss(target)
            return None
        proposed = candidate.box if here else elsewhere.box
        rate = self.settings.size_rate if here else 1.0
        if not here:
            target.views.clear()  # they show another place
        box = clip_box(smooth_size(target.box, proposed, rate), frame.shape[:2], smallest=2.0)
        if box is None:
            self._miss(target)
            return None
        target.box, target.misses = box, 0
        target.renewed += 1
        sure = min(candidate.presence, candidate.score) >= self.settings.template_presence
        if here and sure and target.renewed >= self.settings.template_interval:
            target.prompt_states = self._read_templates(target.template, self.images.template(frame, box))
            target.renewed = 0
        return box

    def _miss(self, target: SessionTarget) -> None:
        """What is seen after a frame without the target may be something else, which no template may learn."""
        target.misses += 1
        target.renewed = -STEADY
        if target.misses == self.settings.lost_after:
            target.prompt_states = self._read_templates(target.template, target.template)

    @staticmethod
    def _presence(target: SessionTarget, candidate: Candidate, elsewhere: dict[int, Candidate]) -> float:
        found = elsewhere.get(target.target_id)
        return candidate.presence if found is None else max(candidate.presence, found.presence)

    def _describe(
        self,
        targets: list[SessionTarget],
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
                target.described(SemanticStep(index, time, None), ())
        if not rows:
            return
        outer, device = self._scene, self.model.device
        boxes = torch.tensor([[box_to_view(visible[row], outer)] for row in rows], device=device)
        places = torch.tensor([[window_to_view(windows[row], outer)] for row in rows], device=device)
        motion = [self._motion(targets[row], frame, time, visible[row]) for row in rows]
        empty = SemTrackMemory.empty(self.model.config, 1, device, self.model.dtype)
        features, grid = scene
        embeds, memory = self.model.decode(
            track.select(rows),
            torch.stack(motion).to(device),
            boxes,
            places,
            torch.full((len(rows), 1), time, device=device),
            (features[:, None], grid),
            SemTrackMemory.cat([targets[row].memory or empty for row in rows]),
        )
        for position, row in enumerate(rows):
            target = targets[row]
            target.memory = None if memory is None else memory[position : position + 1]
            # One at a time, as `_retell` reads: a batch would round otherwise, and telling anew would change something
            here = SemTrackEmbeds(*(tensor[position, 0] for tensor in embeds))
            reading = self._reader.read(_stacked([here]), outer, self._size)[0]
            target.described(SemanticStep(index, time, here), reading)

    def _motion(self, target: SessionTarget, frame: np.ndarray, time: float, box: Box) -> torch.Tensor:
        """How it moves around a target [1, MOTION_SIZE]; one target at a time, so that no other one has a say."""
        found = target.views.earlier(time)
        if found is None:
            return torch.zeros(1, MOTION_SIZE)
        before, (earlier, window) = found
        now, earlier = self.images.normalize([*self._cut(frame, [window]), earlier])[:, None, None]
        place, box = (torch.tensor([[p]]) for p in (window_to_view(window, self._scene), box_to_view(box, self._scene)))
        return motion_around(now, earlier, place, torch.tensor([[time - before]]), box)[0]


def _stacked(embeds: Sequence[SemTrackEmbeds]) -> SemTrackEmbeds:
    """Embeddings of single steps in one, [steps] in front."""
    return SemTrackEmbeds(*map(torch.stack, zip(*embeds)))
