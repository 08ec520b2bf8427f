"""Scripts of the interactions with things that stand about: doors, benches, ladders, carts, tables, cups, animals.

Several share one motion on purpose, so that only the object tells which interaction it is (see
:data:`dataset_script.synthetic_law.SHARED_MOTIONS`).
"""

from __future__ import annotations

import math

from dataset_script.synthetic_props import SEAT, TABLE_TOP
from dataset_script.synthetic_scripts import reach, side_of, turn_to
from dataset_script.synthetic_stage import Entity, Script, Stage, smooth

KNEE = 0.25  # height of a seat on which a person's feet reach the ground, in body heights


def touch(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Lays a hand on the object and moves it to and fro: a door opens, an animal is petted."""
    yield from reach(stage, subject, obj, gap=0.95)
    obj.busy = True
    hand = str(stage.rng.choice(("touch", "stroke")))
    rate, seconds = stage.rng.uniform(0.8, 1.6), stage.rng.uniform(0.7, 1.6)
    door = obj.sprite.category == "door"
    try:
        with stage.event(subject, "open" if door else "pet", obj):
            yield from stage.gesture(subject, hand, stage.rng.uniform(0.3, 0.5))
            if door:
                obj.gesture = "open"
            for frame in range(stage.frames(seconds)):
                subject.sway = 10 * math.sin(2 * math.pi * rate * frame * stage.dt)
                if door:
                    obj.extent = smooth(frame * stage.dt / (0.8 * seconds))
                yield
            subject.sway = 0.0
            yield from stage.gesture(subject, hand, 0.3, end=0.0)
        stage.relax(subject)
        if door:  # it falls shut by itself
            yield from stage.stand(0.3)
            yield from stage.gesture(obj, "open", 0.5, end=0.0)
    finally:
        obj.busy, obj.extent = False, 0.0
        stage.relax(subject)


def sit_on(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Lowers itself onto the object, stays, and stands up again; the event is all of this."""
    yield from reach(stage, subject, obj, gap=0.8)
    obj.busy = True
    try:
        with stage.event(subject, "sit on", obj):
            yield from _mount(stage, subject, obj, "sit", stage.rng.uniform(-0.25, 0.25))
            yield from stage.stand(stage.rng.uniform(0.8, 2.0))
            yield from _dismount(stage, subject, obj)
    finally:
        obj.busy = False
        stage.relax(subject)


def climb(stage: Stage, subject: Entity, ladder: Entity) -> Script:
    """Climbs up the ladder, stays, and climbs down again; the event is all of this."""
    yield from reach(stage, subject, ladder, gap=0.8)
    ladder.busy = True
    top = stage.rng.uniform(0.4, 0.65) * stage.tall(ladder)
    seconds = stage.rng.uniform(0.9, 1.6)
    try:
        with stage.event(subject, "climb", ladder):
            yield from _mount(stage, subject, ladder, "climb", 0.0)
            yield from _rise(stage, subject, top, seconds)
            yield from stage.stand(stage.rng.uniform(0.2, 0.9))
            yield from _rise(stage, subject, 0.0, 0.8 * seconds)
            yield from _dismount(stage, subject, ladder)
    finally:
        ladder.busy, subject.lift = False, 0.0
        stage.relax(subject)


def ride(stage: Stage, subject: Entity, cart: Entity, pusher: Entity | None = None) -> Script:
    """Sits down on the cart, which moves with it (pushed by a third one, if any), and gets off."""
    yield from reach(stage, subject, cart, gap=0.8)
    cart.busy = True
    direction = 1 if stage.room(cart.x, 1) > stage.room(cart.x, -1) else -1
    if pusher is not None:
        direction = 1 if pusher.x < cart.x else -1
        pusher.busy = True
    cart.facing = direction
    try:
        with stage.event(subject, "ride", cart):
            yield from _mount(stage, subject, cart, "ride", -0.05 * direction)
            subject.facing = direction
            if pusher is None:
                yield from stage.stand(stage.rng.uniform(0.1, 0.3))
                yield from _roll(stage, (cart, subject), direction, subject.speed * stage.rng.uniform(0.7, 1.5))
            else:
                yield from reach(stage, pusher, cart)
                yield from stage.gesture(pusher, "reach", 0.2)
                with stage.event(pusher, "push", cart):
                    yield from _roll(stage, (cart, subject, pusher), direction, pusher.speed)
                stage.relax(pusher)
            yield from _dismount(stage, subject, cart)
    finally:
        cart.busy, subject.lift = False, 0.0
        cart.halt()
        if pusher is not None:
            pusher.busy = False
            stage.relax(pusher)
        stage.relax(subject)


def _roll(stage: Stage, moving: tuple[Entity, ...], direction: int, pace: float) -> Script:
    """Moves them together along the ground; a seated rider's legs stay still."""
    seconds = min(stage.rng.uniform(1.0, 2.4), (stage.room(moving[0].x, direction) + 25) / pace)
    for frame in range(stage.frames(seconds)):
        speed = direction * pace * min(1.0, 0.25 + (frame + 1) * stage.dt / 0.3)
        for e in moving:
            stage.velocity(e, speed, 0.0, turn=False)
        yield
    for e in moving:
        e.halt()


def jump_over(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Runs up and leaps over the object to its other side."""
    yield from reach(stage, subject, obj, gap=1.6)
    side, y = side_of(stage, subject, obj), stage.clamp_y(obj.y + 1.0)
    take_off = obj.x + side * 1.15 * stage.contact(subject, obj)
    landing = obj.x - side * 1.25 * stage.contact(subject, obj)
    yield from stage.walk(subject, lambda: (take_off, y), 1.8 * subject.speed, seconds=1.0)
    steps = stage.frames(stage.rng.uniform(0.5, 0.75))
    height = stage.tall(obj) * stage.rng.uniform(1.05, 1.25) + 3
    start = subject.x
    subject.facing, subject.gesture, obj.busy = -side, "tuck", True
    try:
        with stage.event(subject, "jump over", obj):
            for frame in range(steps):
                share = (frame + 1) / steps
                subject.extent = min(1.0, 1.6 * math.sin(math.pi * share))
                stage.velocity(subject, (start + share * (landing - start) - subject.x) / stage.dt, 0.0)
                subject.lift = height * 4 * share * (1 - share)
                yield
    finally:
        obj.busy, subject.lift = False, 0.0
        stage.relax(subject)
        subject.halt()


def put_on(stage: Stage, subject: Entity, table: Entity) -> Script:
    """Sets the load down on the table, where it stays."""
    yield from reach(stage, subject, table, gap=0.85)
    with stage.event(subject, "put on", table):
        load = stage.release(subject)
        load.held = load.busy = True
        start = (load.x, load.y, load.lift)
        goal = (table.x + 0.3 * (subject.x - table.x), table.y + 0.4, TABLE_TOP * stage.tall(table))
        steps = stage.frames(stage.rng.uniform(0.5, 0.8))
        subject.gesture = "reach"
        for frame in range(steps):
            share = smooth((frame + 1) / steps)
            load.x, load.y, load.lift = (a + share * (b - a) for a, b in zip(start, goal, strict=True))
            subject.extent = math.sin(math.pi * min(1.0, 0.5 + 0.5 * share)) if share > 0.5 else 1.0
            yield
    load.held = load.busy = False
    stage.relax(subject)


def drink_from(stage: Stage, subject: Entity, cup: Entity) -> Script:
    """Lifts the cup that it holds to its mouth, drinks, and lowers it again."""
    front, lift = stage.carry_place(subject)
    mouth = (0.62 * stage.half_width(subject) * subject.facing, 0.87 * stage.tall(subject) - 0.5 * stage.tall(cup))
    subject.gesture = "drink"

    def lifted(share: float) -> None:
        cup.x = subject.x + front + share * (mouth[0] - front)
        cup.lift = lift + share * (mouth[1] - lift)
        cup.lean, subject.extent = -38 * subject.facing * share, share

    steps = stage.frames(stage.rng.uniform(0.35, 0.55))
    try:
        with stage.event(subject, "drink from", cup):
            for frame in range(steps):
                lifted(smooth((frame + 1) / steps))
                yield
            yield from stage.stand(stage.rng.uniform(0.6, 1.3))
            for frame in range(steps):
                lifted(smooth(1 - (frame + 1) / steps))
                yield
    finally:
        cup.lean = 0.0
        stage.relax(subject)


def cross(stage: Stage, subject: Entity) -> Script:
    """Walks over the zebra crossing; the event follows from the positions (see ``Stage.run``)."""
    left, far, right, near = stage.crossing
    side = 1 if subject.x > 0.5 * (left + right) else -1
    y = stage.clamp_y(stage.rng.uniform(far + 4, near - 4))
    kerbs = (left - 12, right + 12) if side < 0 else (right + 12, left - 12)
    pace = subject.speed * stage.rng.uniform(0.9, 1.4)
    for x in kerbs:
        yield from stage.walk(subject, lambda x=x: (x, y), pace, within=2.5)


def _mount(stage: Stage, subject: Entity, obj: Entity, gesture: str, offset: float) -> Script:
    """Gets onto the object's seat (or its lowest rung), ``offset`` of its width from the middle."""
    turn_to(subject, obj)
    x, y = subject.x, subject.y
    goal = obj.x + offset * 2 * stage.half_width(obj)
    seat = SEAT.get(obj.sprite.category, 0.0) * stage.tall(obj) - KNEE * stage.tall(subject)
    steps = stage.frames(stage.rng.uniform(0.4, 0.65))
    subject.gesture = gesture
    for frame in range(steps):
        share = smooth((frame + 1) / steps)
        stage.velocity(subject, (x + share * (goal - x) - subject.x) / stage.dt, 0.0, turn=False)
        subject.y = y + share * (obj.y + 0.6 - y)
        subject.extent, subject.lift = share, share * max(0.0, seat) + 0.08 * stage.tall(subject) * share * (1 - share)
        yield
    subject.halt()


def _dismount(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Gets down beside the object again."""
    side = subject.facing if stage.room(obj.x, subject.facing) > 40 else -subject.facing
    x, lift, extent = subject.x, subject.lift, subject.extent
    goal = obj.x + side * 0.85 * stage.contact(subject, obj)
    steps = stage.frames(stage.rng.uniform(0.35, 0.55))
    for frame in range(steps):
        share = smooth((frame + 1) / steps)
        stage.velocity(subject, (x + share * (goal - x) - subject.x) / stage.dt, 0.0, turn=False)
        subject.extent, subject.lift = extent * (1 - share), lift * (1 - share)
        yield
    subject.y = stage.clamp_y(obj.y + 1.0)
    subject.halt()


def _rise(stage: Stage, subject: Entity, level: float, seconds: float) -> Script:
    """Goes up or down to ``level`` pixels above the ground, hand over hand."""
    start, steps = subject.lift, stage.frames(seconds)
    for frame in range(steps):
        share = smooth((frame + 1) / steps)
        subject.phase += abs(level - start) / steps / (0.45 * stage.tall(subject))
        subject.lift = start + share * (level - start)
        yield
