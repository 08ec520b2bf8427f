"""The stage of a synthetic video: entities, time, truth, and the ways of moving.

The stage is a ground plane seen obliquely, in pixels of the unzoomed frame: ``x`` runs to the right,
``y`` towards the viewer (down the frame), ``lift`` is the height above the ground. An entity stands at
``(x, y)``; the nearer one (larger ``y``) is drawn over the farther one. Vertical distances on the ground
are foreshortened by :data:`FORESHORTENING`.

A *script* is a generator that moves its actors by one frame per ``yield``; events it opens with
:meth:`Stage.event` get exact intervals, also where the video ends in the middle of a script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dataset_script.records import InteractionRecord
from dataset_script.synthetic_sprites import Posture, Sprite

FORESHORTENING = 0.45
Script = Iterator[None]


class Pose(NamedTuple):
    """An entity in one frame: ground position and lift in stage pixels, lean in degrees (clockwise)."""

    x: float
    y: float
    lift: float
    lean: float
    stretch: float
    facing: int
    image: int
    depth: float


@dataclass(eq=False)
class Entity:
    """An actor, object, wall or occluder on the stage.

    Attributes:
        track_id: Identifier in the record; None for an occluder, which is no target.
        sprite: How it looks.
        x: Ground position to the right, stage pixels.
        y: Ground position towards the viewer, stage pixels.
        lift: Height of its foot above the ground, pixels.
        lean: Rotation in degrees, clockwise.
        facing: 1 = right, -1 = left.
        speed: Its usual walking speed in pixels per second.
        gesture: What its limbs do besides walking, or "" (names: ``synthetic_person.GESTURES``).
        extent: How far the gesture is carried out, 0 to 1 (for a door: how far it is open).
        sway: Swing of the forearm in degrees.
        holding: What it carries, if anything.
        busy: Whether a script moves it now.
        breath: Phase, rate (Hz) and depth of the slow change of its size.
        poses: Its pose in every frame so far.
    """

    track_id: int | None
    sprite: Sprite
    x: float
    y: float
    lift: float = 0.0
    lean: float = 0.0
    facing: int = 1
    speed: float = 45.0
    gesture: str = ""
    extent: float = 0.0
    sway: float = 0.0
    holding: Entity | None = None
    held: bool = False
    busy: bool = False
    foreground: bool = False
    breath: tuple[float, float, float] = (0.0, 0.0, 0.0)
    vx: float = 0.0
    vy: float = 0.0
    phase: float = 0.0
    poses: list[Pose] = field(default_factory=list)

    @property
    def is_actor(self) -> bool:
        """Whether it can act by itself (a person, an animal or a cut-out in that role)."""
        return self.sprite.alive

    def halt(self) -> None:
        """Forgets its velocity."""
        self.vx = self.vy = 0.0


class Stage:
    """Runs scripts frame by frame and keeps the truth.

    Args:
        width: Width of the ground plane in pixels.
        height: Height of the frame in pixels.
        top: Least ``y`` on which entities walk.
        fps: Frames per second.
        rng: Source of randomness.
        court: Whether it is a sports court, where throwing a ball is shooting.
        crossing: Zebra crossing on the ground ``(x0, y0, x1, y1)``, or None.
        depth: Strength of the perspective.
    """

    def __init__(self, width: float, height: float, top: float, fps: float, rng: np.random.Generator,
                 court: bool = False, crossing: tuple[float, float, float, float] | None = None,
                 depth: float = 0.3) -> None:  # fmt: skip
        self.court, self.crossing, self.depth = court, crossing, depth
        self.width, self.height, self.top, self.bottom = width, height, top, 0.97 * height
        self.fps, self.dt, self.rng = fps, 1.0 / fps, rng
        self.frame = 0
        self.entities: list[Entity] = []
        self.events: list[InteractionRecord] = []

    def scale(self, y: float) -> float:
        """Perspective: how much larger things at ``y`` look than in the middle of the ground."""
        return 1.0 + self.depth * (y - 0.5 * (self.top + self.bottom)) / self.height

    def half_width(self, entity: Entity) -> float:
        """Half of the entity's width as it looks at its place, pixels."""
        return 0.5 * entity.sprite.width * self.scale(entity.y)

    def tall(self, entity: Entity) -> float:
        """The entity's height as it looks at its place, pixels."""
        return entity.sprite.height * self.scale(entity.y)

    def contact(self, a: Entity, b: Entity) -> float:
        """Horizontal distance of the feet at which ``a`` and ``b`` touch."""
        return 0.93 * (self.half_width(a) + self.half_width(b))

    def distance(self, a: Entity, b: Entity) -> float:
        """Distance of the feet on the ground, pixels, foreshortening undone."""
        return math.hypot(a.x - b.x, (a.y - b.y) / FORESHORTENING)

    def near(self, a: Entity, b: Entity) -> bool:
        """Whether ``a`` stands by ``b``: within 1.5 contact distances and a few pixels."""
        return self.distance(a, b) < 1.5 * self.contact(a, b) + 6

    def room(self, x: float, direction: float) -> float:
        """Pixels from ``x`` to the end of the stage in ``direction`` (sign)."""
        return max(0.0, (0.94 * self.width - x) if direction > 0 else (x - 0.06 * self.width))

    def clamp_y(self, y: float) -> float:
        """``y`` inside the walkable band."""
        return min(self.bottom, max(self.top, y))

    def frames(self, seconds: float) -> int:
        """Number of frames in ``seconds``, at least one."""
        return max(1, round(seconds * self.fps))

    @contextmanager
    def event(self, subject: Entity, interaction: str, obj: Entity | None) -> Iterator[None]:
        """Keeps the interaction from the current frame to the one in which the block ends."""
        start = self.frame
        try:
            yield
        finally:
            if self.frame > start and subject.track_id is not None:
                other = None if obj is None else obj.track_id
                self.events.append(InteractionRecord(subject.track_id, interaction, other, start, self.frame))

    def run(self, scripts: Iterable[Script], num_frames: int) -> None:
        """Plays all scripts side by side for ``num_frames`` frames; a script may end earlier."""
        alive = list(scripts)
        for self.frame in range(num_frames):
            alive = [script for script in alive if next(script, _ENDED) is not _ENDED]
            for entity in self.entities:
                entity.poses.append(self._pose(entity))
        self.frame = num_frames
        for script in alive:
            script.close()
        self.events += self._crossings()
        self.events.sort(key=lambda e: (e.start_frame, e.end_frame, e.subject, e.interaction))

    def _pose(self, e: Entity) -> Pose:
        offset, rate, depth = e.breath
        stretch = 1.0 + depth * math.sin(offset + 2 * math.pi * rate * self.frame * self.dt)
        lean = e.lean + 60 * depth * math.sin(1.7 * offset + 5 * rate * self.frame * self.dt)
        order = e.y + (1000 if e.foreground else 0)
        stride = 1.0 if math.hypot(e.vx, e.vy) > 4 or e.gesture == "climb" else 0.12
        image = e.sprite.pose(Posture(e.phase, stride, e.gesture, e.extent, e.sway))
        return Pose(e.x, e.y, e.lift, lean, stretch, e.facing, image, order)

    def _crossings(self) -> Iterator[InteractionRecord]:
        """Every passage of a person over the zebra crossing, from its one side to its other."""
        if self.crossing is None:
            return
        left, far, right, near = self.crossing
        for e in self.entities:
            if e.track_id is None or e.sprite.category != "person":
                continue
            side, start = 0, 0  # where it came from: -1 = left of the crossing, 1 = right, 0 = elsewhere
            for frame, pose in enumerate(e.poses):
                now = -1 if pose.x < left else 1 if pose.x > right else 0
                if not far <= pose.y <= near or pose.lift > 0:
                    side = 0
                elif now:
                    if side == -now:
                        yield InteractionRecord(e.track_id, "cross", None, start, frame)
                    side, start = now, frame + 1

    def velocity(self, e: Entity, vx: float, vy: float, turn: bool = True) -> None:
        """Moves ``e`` by one frame at ``(vx, vy)`` pixels per second, with its legs and its load."""
        e.vx, e.vy = vx, vy
        e.x += vx * self.dt
        e.y += vy * self.dt
        e.phase += math.hypot(vx, vy) * self.dt / (0.55 * self.tall(e)) if e.is_actor else 0.0
        if turn and abs(vx) > 6:
            e.facing = 1 if vx > 0 else -1
        if e.sprite.category == "ball" and not e.held:
            e.lean += math.degrees(vx * self.dt / max(2.0, self.half_width(e)))
        self.carry_along(e)

    def steer(self, e: Entity, x: float, y: float, speed: float, turn: bool = True) -> float:
        """Walks ``e`` one frame towards ``(x, y)``, slowing down on arrival; gives the distance left."""
        dx, dy = x - e.x, y - e.y
        left = math.hypot(dx, dy)
        if left < 1e-6:
            return 0.0
        wanted = min(speed, 6.0 * left + 10.0)
        step = min(wanted, left / self.dt)
        gain = min(1.0, self.dt / 0.1)
        vx = e.vx + gain * (step * dx / left - e.vx)
        vy = e.vy + gain * (step * dy / left - e.vy)
        self.velocity(e, vx, vy, turn)
        return math.hypot(x - e.x, y - e.y)

    def walk(
        self,
        e: Entity,
        goal: Callable[[], tuple[float, float]],
        speed: float,
        seconds: float = 8.0,
        within: float = 1.5,
        until: Callable[[], bool] = lambda: False,
    ) -> Script:
        """Walks ``e`` to a goal (which may move) until it is ``within`` pixels, or ``until`` says so.

        It gives up after ``seconds``.
        """
        for _ in range(self.frames(seconds)):
            left = self.steer(e, *goal(), speed)
            yield
            if left <= within or until():
                break
        e.halt()

    def together(self, *scripts: Script) -> Script:
        """Plays scripts side by side until all have ended."""
        alive = list(scripts)
        try:
            while alive := [script for script in alive if next(script, _ENDED) is not _ENDED]:
                yield
        finally:
            for script in alive:
                script.close()

    def stand(self, seconds: float) -> Script:
        """Lets time pass."""
        for _ in range(self.frames(seconds)):
            yield

    def carry_place(self, e: Entity) -> tuple[float, float]:
        """Where ``e`` carries things: offset to the front and lift of the load's foot, pixels."""
        load = e.holding
        size = self.tall(load) if load else 0.0
        animal = e.sprite.category == "animal"
        front, level = (0.84, 0.72) if animal else (1.1, 0.62)
        return front * self.half_width(e) * e.facing, level * self.tall(e) - 0.5 * size

    def carry_along(self, e: Entity) -> None:
        """Puts the load of ``e``, if any, at its carrying place."""
        if e.holding is not None:
            front, lift = self.carry_place(e)
            e.holding.x, e.holding.y, e.holding.lift = e.x + front, e.y + 0.5, lift

    def grab(self, e: Entity, load: Entity) -> None:
        """Makes ``e`` carry ``load`` from now on."""
        e.holding, load.held = load, True
        self.relax(e)
        self.carry_along(e)

    def release(self, e: Entity) -> Entity:
        """Ends carrying and gives the load, which stays where it is."""
        load = e.holding
        if load is None:
            raise RuntimeError(f"track {e.track_id} holds nothing that it could release")
        e.holding, load.held = None, False
        self.relax(e)
        return load

    def relax(self, e: Entity) -> None:
        """Ends the gesture of ``e``: arms hang down, or hold its load."""
        e.gesture, e.extent, e.sway = ("carry", 1.0, 0.0) if e.holding is not None else ("", 0.0, 0.0)

    def gesture(self, e: Entity, name: str, seconds: float, end: float = 1.0) -> Script:
        """Goes over to the gesture ``name`` (or changes its extent) smoothly within ``seconds``."""
        start = e.extent if e.gesture == name else 0.0
        e.gesture = name
        steps = self.frames(seconds)
        for frame in range(steps):
            e.extent = start + (end - start) * smooth((frame + 1) / steps)
            yield


_ENDED = object()


def smooth(t: float) -> float:
    """Ease in and out: 0 at 0, 1 at 1, flat at both."""
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)
