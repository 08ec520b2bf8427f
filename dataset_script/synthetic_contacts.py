"""Scripts of the interactions between persons: with hands, arms and legs.

The definitions that they keep to are tabled in :mod:`dataset_script.synthetic_law`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from dataset_script.synthetic_scripts import GRAVITY, approach, reach, side_of, turn_to
from dataset_script.synthetic_stage import FORESHORTENING, Entity, Script, Stage, smooth

ARM, LEG = 0.66, 0.62  # distances of the feet, in body heights, at which hands meet and a foot hits


def handshake(stage: Stage, subject: Entity, other: Entity) -> Script:
    """Both stretch an arm out, hold hands and shake them, and let go; both are subjects."""
    yield from _come_near(stage, subject, other, ARM)
    with _facing(stage, subject, other), _mutual(stage, subject, other, "handshake"):
        yield from stage.together(
            _step_to(stage, subject, other, ARM),
            stage.gesture(subject, "shake hands", stage.rng.uniform(0.3, 0.5)),
            stage.gesture(other, "shake hands", stage.rng.uniform(0.35, 0.6)),
        )
        rate = stage.rng.uniform(1.6, 2.8)
        for frame in range(stage.frames(stage.rng.uniform(0.6, 1.6))):
            subject.sway = other.sway = 13 * math.sin(2 * math.pi * rate * frame * stage.dt)
            yield
        subject.sway = other.sway = 0.0
        yield from stage.together(*(stage.gesture(e, "shake hands", 0.3, end=0.0) for e in (subject, other)))


def hug(stage: Stage, subject: Entity, other: Entity) -> Script:
    """Both put their arms around each other, stay so, and part; both are subjects."""
    yield from _come_near(stage, subject, other, 0.21)
    with _facing(stage, subject, other), _mutual(stage, subject, other, "hug"):
        yield from stage.together(
            _step_to(stage, subject, other, 0.21),
            stage.gesture(subject, "hug", stage.rng.uniform(0.35, 0.6)),
            stage.gesture(other, "hug", stage.rng.uniform(0.35, 0.6)),
        )
        yield from stage.stand(stage.rng.uniform(0.6, 1.5))
        yield from stage.together(
            _step_to(stage, subject, other, 0.55),
            *(stage.gesture(e, "hug", 0.35, end=0.0) for e in (subject, other)),
        )


def punch(stage: Stage, subject: Entity, other: Entity) -> Script:
    """Draws back a fist and strikes; the other sways back."""
    yield from _blow(stage, subject, other, "punch", ("draw fist", "punch"), 0.56, (0.08, 0.3))


def push_person(stage: Stage, subject: Entity, other: Entity) -> Script:
    """Thrusts both arms against the other, who staggers back."""
    yield from _blow(stage, subject, other, "push", ("raise hands", "shove"), 0.54, (0.35, 0.8))


def kick(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Swings a leg back and forward; a person sways back, a ball rolls off until it rests."""
    if obj.sprite.category == "ball":
        yield from _kick_ball(stage, subject, obj)
    else:
        yield from _blow(stage, subject, obj, "kick", ("raise leg", "kick"), LEG, (0.12, 0.4))


def _blow(stage: Stage, subject: Entity, other: Entity, name: str, gestures: tuple[str, str], distance: float,
          thrust: tuple[float, float]) -> Script:  # fmt: skip
    """Winds up while stepping in, strikes with contact, draws back; the other recoils by ``thrust`` heights."""
    yield from _come_near(stage, subject, other, distance)
    wind_up, strike = gestures
    with _facing(stage, subject, other), stage.event(subject, name, other):
        yield from stage.together(
            _step_to(stage, subject, other, distance), stage.gesture(subject, wind_up, stage.rng.uniform(0.18, 0.35))
        )
        yield from stage.gesture(subject, strike, stage.rng.uniform(0.1, 0.18))
        knock = stage.rng.uniform(*thrust) * stage.tall(other)
        yield from stage.together(
            _stagger(stage, other, -side_of(stage, subject, other) * knock), _draw_back(stage, subject, strike)
        )


def _draw_back(stage: Stage, subject: Entity, strike: str) -> Script:
    yield from stage.stand(stage.rng.uniform(0.06, 0.16))
    yield from stage.gesture(subject, strike, stage.rng.uniform(0.25, 0.4), end=0.0)


def _stagger(stage: Stage, other: Entity, way: float) -> Script:
    """Sways back by ``way`` pixels (sign: direction) and finds its balance again."""
    steps = stage.frames(stage.rng.uniform(0.5, 0.8))
    other.gesture = "recoil"
    for frame in range(steps):
        left = 1 - (frame + 0.5) / steps
        other.extent = min(1.0, 4 * (1 - left), 2.2 * left)
        stage.velocity(other, 2 * way * left / (steps * stage.dt), 0.0, turn=False)
        yield
    other.halt()


def _kick_ball(stage: Stage, subject: Entity, ball: Entity) -> Script:
    yield from reach(stage, subject, ball, gap=1.1)
    direction = -side_of(stage, subject, ball)
    ball.busy = True
    try:
        with stage.event(subject, "kick", ball):
            yield from stage.gesture(subject, "raise leg", stage.rng.uniform(0.15, 0.28))
            yield from stage.gesture(subject, "kick", stage.rng.uniform(0.08, 0.14))
            yield from stage.together(_roll(stage, ball, direction), _draw_back(stage, subject, "kick"))
    finally:
        ball.busy, ball.lift = False, 0.0
        stage.relax(subject)


def _roll(stage: Stage, ball: Entity, direction: int) -> Script:
    steps = stage.frames(stage.rng.uniform(0.6, 1.1))
    speed, rise = stage.rng.uniform(130, 260), stage.rng.uniform(0, 110)
    for frame in range(steps):
        stage.velocity(ball, direction * speed * (1 - (frame + 0.5) / steps), 0.0, turn=False)
        ball.lift = max(0.0, ball.lift + rise * stage.dt)
        rise -= GRAVITY * stage.height / 240 * stage.dt
        yield
    ball.halt()


def point(stage: Stage, subject: Entity, towards: Entity) -> Script:
    """Stretches an arm out and keeps it so; the object is the nearest one in front, or nobody."""
    turn_to(subject, towards)
    with stage.event(subject, "point", _in_front(stage, subject)):
        yield from stage.gesture(subject, "point", stage.rng.uniform(0.25, 0.5))
        yield from stage.stand(stage.rng.uniform(0.6, 1.6))
        yield from stage.gesture(subject, "point", stage.rng.uniform(0.25, 0.5), end=0.0)
    stage.relax(subject)


def _in_front(stage: Stage, subject: Entity) -> Entity | None:
    """The nearest entity within 25 degrees of the direction in which the subject looks."""
    ahead = []
    for e in stage.entities:
        dx, dy = (e.x - subject.x) * subject.facing, (e.y - subject.y) / FORESHORTENING
        if e is not subject and e.track_id is not None and e is not subject.holding and dx > 0:
            if abs(dy) < 0.47 * dx and 0 < e.x < stage.width:
                ahead.append((math.hypot(dx, dy), e.track_id, e))
    return min(ahead)[2] if ahead else None


def wave_to(stage: Stage, subject: Entity, other: Entity) -> Script:
    """Raises an arm towards the other and swings the forearm."""
    turn_to(subject, other)
    with stage.event(subject, "wave to", other):
        yield from wave_arm(stage, subject)
    stage.relax(subject)


def wave_arm(stage: Stage, subject: Entity) -> Script:
    """The motion of waving."""
    yield from stage.gesture(subject, "wave", stage.rng.uniform(0.2, 0.4))
    rate = stage.rng.uniform(1.4, 2.4)
    for frame in range(stage.frames(stage.rng.uniform(0.8, 1.8))):
        subject.sway = 34 * math.sin(2 * math.pi * rate * frame * stage.dt)
        yield
    subject.sway = 0.0
    yield from stage.gesture(subject, "wave", 0.3, end=0.0)


def give(stage: Stage, subject: Entity, receiver: Entity) -> Script:
    """Hands the load over: it goes from the subject's hands into those of the receiver."""
    if subject.holding is None:
        raise RuntimeError(f"track {subject.track_id} holds nothing that it could give")
    if not stage.near(subject, receiver):
        with stage.event(subject, "carry", subject.holding):
            yield from approach(stage, subject, receiver)
    yield from _step_to(stage, subject, receiver, 0.75)
    with _facing(stage, subject, receiver), stage.event(subject, "give", receiver):
        yield from stage.together(
            stage.gesture(subject, "reach", 0.35), stage.gesture(receiver, "reach", stage.rng.uniform(0.35, 0.6))
        )
        load = stage.release(subject)
        load.held = True
        start = (load.x, load.y, load.lift)
        receiver.holding = load
        front, lift = stage.carry_place(receiver)
        receiver.holding = None
        goal = (receiver.x + front, receiver.y + 0.5, lift)
        steps = stage.frames(stage.rng.uniform(0.35, 0.6))
        subject.gesture, subject.extent = "reach", 1.0
        for frame in range(steps):
            share = smooth((frame + 1) / steps)
            load.x, load.y, load.lift = (a + share * (b - a) for a, b in zip(start, goal, strict=True))
            subject.extent = 1 - share
            yield
        stage.grab(receiver, load)


@contextmanager
def _facing(stage: Stage, subject: Entity, other: Entity) -> Iterator[None]:
    """While it lasts the two look at each other, and nobody else moves the other one."""
    turn_to(subject, other)
    turn_to(other, subject)
    other.busy = True
    try:
        yield
    finally:
        other.busy = False
        for e in (subject, other):
            stage.relax(e)
            e.halt()


@contextmanager
def _mutual(stage: Stage, one: Entity, other: Entity, name: str) -> Iterator[None]:
    """An event that each of the two does with the other."""
    with stage.event(one, name, other), stage.event(other, name, one):
        yield


def _come_near(stage: Stage, subject: Entity, other: Entity, distance: float) -> Script:
    """Goes where one last step is left to the ``distance`` in body heights; an approach from afar."""
    touch = stage.contact(subject, other)
    gap = distance * _mean_height(stage, subject, other) * stage.rng.uniform(1.0, 1.8) / touch
    if stage.distance(subject, other) > 1.25 * gap * touch + 8:
        yield from approach(stage, subject, other, max(gap, 1.0))


def _step_to(stage: Stage, subject: Entity, other: Entity, distance: float) -> Script:
    """Steps beside the other, ``distance`` body heights from it, without turning round."""
    side = side_of(stage, subject, other)
    x, y = other.x + side * distance * _mean_height(stage, subject, other), stage.clamp_y(other.y + 1.0)
    for _ in range(stage.frames(1.2)):
        left = stage.steer(subject, x, y, 1.3 * subject.speed, turn=False)
        yield
        if left < 1.5:
            break
    subject.halt()


def _mean_height(stage: Stage, one: Entity, other: Entity) -> float:
    return 0.5 * (stage.tall(one) + stage.tall(other))
