"""The demo's tracker: follows a plan of prompts frame by frame, stops, resumes where the plan has changed."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .adaptation import LabelledMoment
from .app_state import Prompt
from .app_video import Clip, read_backwards, read_forwards
from .app_work import compute
from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor
from .session_semtrack import SemTrackSession, TargetState
from .trajectory import Box, InteractionEvent, SemanticTrajectory, TrackedFrame
from .video import Frame

WARM_UP_STEPS = 12  # the target is lost among them: then the whole frame is searched
SNAPSHOT_INTERVAL = 50  # frames; a correction repeats fewer frames than that


class Step(NamedTuple):
    """One finished frame.

    Attributes:
        frame_index: 0-based.
        image: uint8 RGB [height, width, 3].
        seen: For each followed target what is known of this frame alone, ready to be drawn.
        done: Frames finished in this run.
        total: Frames of this run.
    """

    frame_index: int
    image: np.ndarray
    seen: tuple[SemanticTrajectory, ...]
    done: int
    total: int


class _Piece(NamedTuple):
    """The stretch of a target from one of its prompts on; each has its own target in the session."""

    session_id: int
    frame: int


@dataclass
class _Snapshot:
    """The state before the frame `next_frame`."""

    next_frame: int
    session: SemTrackSession
    pieces: dict[int, list[_Piece]]


class Run:
    """Follows the targets of one visitor through one clip.

    A run may be stopped after any frame. When it is asked to follow a plan again, it goes on where it was; if prompts
    have been added, changed or removed, it goes back to the first frame that they concern and keeps what lies before.

    Args:
        model: Of one checkpoint.
        processor: Of the same checkpoint.
        clip: The video.
    """

    def __init__(self, model: SemTrackModel, processor: SemTrackProcessor, clip: Clip) -> None:
        self._model, self._processor, self._clip = model, processor, clip
        self._plan: tuple[Prompt, ...] = ()
        self._state: _Snapshot | None = None
        self._snapshots: list[_Snapshot] = []
        self._earlier: dict[int, tuple[Prompt, list[TrackedFrame]]] = {}  # found backwards, by target
        self._taught: tuple[LabelledMoment, ...] = ()

    @property
    def interactions(self) -> tuple[str, ...]:
        """Names that may be told apart, those that were taught included."""
        return self._state.session.interactions if self._state else tuple(self._model.config.id2interaction.values())

    def follow(self, prompts: Sequence[Prompt], stop: threading.Event | None = None) -> Iterator[Step]:
        """Follows the targets to the end of the clip, frame by frame.

        Args:
            prompts: The whole plan: of each target at least one.
            stop: Ends the run after the present frame when it is set.

        Raises:
            ValueError: If there are no prompts.
        """
        if not prompts:
            raise ValueError("pick a target first: click on it in the picture, then press Track")
        self._prepare(tuple(sorted(prompts, key=lambda p: (p.frame, p.target_id))))
        state, total = self._state, self._clip.last + 1 - self._state.next_frame
        for done, frame in enumerate(read_forwards(self._clip, state.next_frame), start=1):
            if stop is not None and stop.is_set():
                break
            if state.next_frame % SNAPSHOT_INTERVAL == 0:
                self._snapshots.append(self._copied(state))
            states = compute(self._step, state, frame)
            state.next_frame = frame.index + 1
            owners = {pieces[-1].session_id: target_id for target_id, pieces in state.pieces.items()}
            seen = tuple(self._seen(owners[s.target_id], s) for s in states if s.target_id in owners)
            yield Step(frame.index, frame.image, seen, done, total)
        self._teach_again()

    def follow_backwards(self, prompt: Prompt, stop: threading.Event | None = None) -> Iterator[Step]:
        """Follows one target from its first prompt back to the first frame. Only boxes are found: what is done looks
        different in reverse.

        Args:
            prompt: The first one of the target.
            stop: Ends the run after the present frame when it is set.

        Raises:
            ValueError: If there is nothing before the prompt.
        """
        if prompt.frame == 0:
            raise ValueError("this target starts in the first frame: there is nothing before it")
        self._earlier.pop(prompt.target_id, None)
        session = SemTrackSession(self._model, self._processor, semantic_stride=0)
        start, found = self._clip.times[prompt.frame], []
        try:
            for done, frame in enumerate(read_backwards(self._clip, prompt.frame)):
                if stop is not None and stop.is_set():
                    break
                if done == 0:
                    compute(session.add_target, frame.image, box=prompt.box, category=prompt.category)
                (state,) = compute(session.step, frame.image, start - frame.time)
                if done > 0:
                    found.append(TrackedFrame(frame.index, frame.time, state.box, state.presence))
                state = replace(state, frame_index=frame.index, time=frame.time)
                seen = self._seen(prompt.target_id, state, prompt.category)
                yield Step(frame.index, frame.image, (seen,), done + 1, prompt.frame + 1)
        finally:  # a caller may leave early
            self._earlier[prompt.target_id] = (prompt, found[::-1])

    def trajectories(self) -> list[SemanticTrajectory]:
        """What is known of each target of the plan so far, by target."""
        return [self._trajectory(target_id) for target_id in sorted(self._state.pieces)] if self._state else []

    def adapt(self, moments: Sequence[LabelledMoment]) -> None:
        """Teaches the session what the moments show; as [`SemTrackSession.adapt`], with the visitor's target ids.

        Raises:
            ValueError: If nothing has been tracked, or a moment does not fit what was tracked.
        """
        if self._state is None:
            raise ValueError("track the targets first, then mark moments of what they do")
        if not moments:
            raise ValueError("mark at least one moment first")
        compute(self._state.session.adapt, [self._translated(moment) for moment in moments])
        self._taught = tuple(moments)

    def forget(self) -> None:
        """Undoes [`adapt`]."""
        self._taught = ()
        if self._state is not None:
            compute(self._state.session.reset_adaptation)

    def _prepare(self, plan: tuple[Prompt, ...]) -> None:
        """Goes back to the first frame in which the plan differs from the one that was followed."""
        before, self._plan = self._plan, plan
        targets = {prompt.target_id for prompt in plan}
        for state in self._snapshots + ([self._state] if self._state else []):
            _drop(state, state.pieces.keys() - targets)
        old = {_key(prompt) for prompt in before if prompt.target_id in targets}
        changed = min((key[1] for key in old ^ {_key(prompt) for prompt in plan}), default=None)
        firsts = {prompt.target_id: _key(prompt) for prompt in reversed(plan)}
        self._earlier = {t: e for t, e in self._earlier.items() if firsts.get(t) == _key(e[0])}
        if self._state is not None and (changed is None or changed >= self._state.next_frame):
            return
        usable = [s for s in self._snapshots if changed is not None and s.next_frame <= changed]
        self._snapshots = usable[:-1]  # the last one is made anew
        if usable and usable[-1].pieces:
            self._state = self._copied(usable[-1])
            return
        start = plan[0].frame
        session = SemTrackSession(self._model, self._processor, first_frame=start)
        self._state, self._snapshots = _Snapshot(start, session, {}), []

    def _step(self, state: _Snapshot, frame: Frame) -> list[TargetState]:
        """Takes the prompts of a frame, and follows everything into it."""
        for prompt in self._plan:
            if prompt.frame != frame.index:
                continue
            pieces = state.pieces.setdefault(prompt.target_id, [])
            if pieces:
                state.session.remove_target(pieces[-1].session_id)
            session_id = state.session.add_target(frame.image, box=prompt.box, category=prompt.category)
            pieces.append(_Piece(session_id, frame.index))
        return state.session.step(frame.image, frame.time)

    def _copied(self, state: _Snapshot) -> _Snapshot:
        """A copy that shares what never changes: the network, and the steps that are remembered for teaching."""
        session, head = state.session, self._model.semantic_head
        shared = [session.model, session.images, session.settings, *([head.readout] if head is not None else [])]
        shared += [step for target in session._targets.values() for step in target.history]
        copied = copy.deepcopy(session, {id(part): part for part in shared})
        return _Snapshot(state.next_frame, copied, {t: list(pieces) for t, pieces in state.pieces.items()})

    def _teach_again(self) -> None:
        """A run that went back to a snapshot has lost what was taught; moments that no longer fit are forgotten."""
        if not self._taught:
            return
        try:
            self.adapt(self._taught)
        except ValueError:
            self.forget()

    def _translated(self, moment: LabelledMoment) -> LabelledMoment:
        pieces = self._state.pieces.get(moment.target_id, [])
        begun = [piece for piece in pieces if self._clip.times[piece.frame] <= moment.time]
        if not begun:
            raise ValueError(f"target {moment.target_id} was not followed at {moment.time:.2f} s: track it first")
        return replace(moment, target_id=begun[-1].session_id)

    def _trajectory(self, target_id: int) -> SemanticTrajectory:
        """The pieces of a target as one trajectory."""
        state = self._state
        parts = [state.session.trajectory(piece.session_id) for piece in state.pieces[target_id]]
        first = next(prompt for prompt in self._plan if prompt.target_id == target_id)
        own = [prompt for prompt in self._plan if prompt.target_id == target_id]
        prompt = {"frame": first.frame, "box": list(first.box)}
        if len(own) > 1:
            prompt["corrections"] = [{"frame": p.frame, "box": list(p.box)} for p in own[1:]]
        subject = first.category or f"target {target_id}"
        return SemanticTrajectory(
            target_id=target_id,
            category=first.category,
            prompt=prompt,
            width=self._clip.width,
            height=self._clip.height,
            frames=[*self._earlier.get(target_id, (None, []))[1], *(f for part in parts for f in part.frames)],
            events=[replace(event, subject=subject) for part in parts for event in part.events],
            complete=self._clip.complete and state.next_frame > self._clip.last,
        )

    def _seen(self, target_id: int, state: TargetState, category: str | None = None) -> SemanticTrajectory:
        """One frame of one target as a trajectory, with the interactions that count as running."""
        if self._state is not None:
            category = next((p.category for p in self._plan if p.target_id == target_id), category)
        index, time = state.frame_index, state.time
        threshold = self._threshold
        events = [
            InteractionEvent(
                subject=category or f"target {target_id}",
                interaction=seen.interaction,
                object=seen.object,
                start_time=time,
                end_time=time,
                start_frame=index,
                end_frame=index + 1,
                score=seen.score,
                object_boxes=() if seen.object_box is None else ((index, seen.object_box),),
            )
            for seen in state.interactions
            if seen.score >= threshold
        ]
        frames = [TrackedFrame(index, time, state.box, state.presence)]
        return SemanticTrajectory(target_id, category, {}, self._clip.width, self._clip.height, frames, events)

    @property
    def _threshold(self) -> float:
        return self._state.session.settings.events.start_threshold if self._state else 1.0


def warm_up(model: SemTrackModel, processor: SemTrackProcessor) -> None:
    """Does once what takes longer and fetches memory the first time, in the computing thread."""
    images = np.random.default_rng(0).integers(0, 256, (WARM_UP_STEPS, 360, 640, 3), np.uint8)

    def follow() -> None:
        session = SemTrackSession(model, processor)
        session.add_target(images[0], point=(320, 180))
        for index, image in enumerate(images):
            session.step(image, float(index))

    compute(follow)


def _key(prompt: Prompt) -> tuple[int, int, Box]:
    """What makes the track: how a target is called does not."""
    return prompt.target_id, prompt.frame, prompt.box


def _drop(state: _Snapshot, targets: set[int]) -> None:
    """Targets that nobody wants any more are not followed further."""
    for target_id in targets:
        state.session.remove_target(state.pieces.pop(target_id)[-1].session_id)
