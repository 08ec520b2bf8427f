"""Scripts of the interactions: how a subject and its object move, and when the event counts.

Each script is a generator over frames (see :mod:`dataset_script.synthetic_stage`); the definitions they
keep to are tabled in :mod:`dataset_script.synthetic`.
"""

from __future__ import annotations

import math

import numpy as np

from dataset_script.synthetic_stage import FORESHORTENING, Entity, Script, Stage, smooth

GRAVITY = 620.0  # pixels per second squared, at 240 pixels of frame height


def side_of(stage: Stage, subject: Entity, obj: Entity) -> int:
    """1 where the subject is to the right of the object, -1 where it is to the left."""
    return 1 if subject.x >= obj.x else -1


def turn_to(subject: Entity, obj: Entity) -> None:
    if abs(obj.x - subject.x) > 1:
        subject.facing = 1 if obj.x > subject.x else -1


def approach(stage: Stage, subject: Entity, obj: Entity, gap: float = 1.0) -> Script:
    """Walks straight to the object's side, until ``gap`` contact distances are left."""
    side = side_of(stage, subject, obj)
    pace = subject.speed * stage.rng.uniform(0.95, 1.7)

    def goal() -> tuple[float, float]:
        return obj.x + side * gap * stage.contact(subject, obj), obj.y + 1.0

    def arrived() -> bool:
        return stage.distance(subject, obj) <= gap * stage.contact(subject, obj) + 2

    with stage.event(subject, "approach", obj):
        yield from stage.walk(subject, goal, pace, until=arrived)
    turn_to(subject, obj)


def reach(stage: Stage, subject: Entity, obj: Entity, gap: float = 1.0) -> Script:
    """Brings the subject beside the object: an approach from afar, then a short step if need be."""
    if not stage.near(subject, obj):
        yield from approach(stage, subject, obj, gap)
    side = side_of(stage, subject, obj)
    x, y = obj.x + side * gap * stage.contact(subject, obj), stage.clamp_y(obj.y + 1.0)
    if math.hypot(subject.x - x, subject.y - y) > 3:
        yield from stage.walk(subject, lambda: (x, y), 1.3 * subject.speed, within=2.0)
    turn_to(subject, obj)


def move_away(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Walks off from a near object, which stays; where the stage ends, out of it."""
    side = side_of(stage, subject, obj)
    length = min(stage.rng.uniform(55, 150), max(55, stage.room(subject.x, side) + 30))
    goal = (subject.x + side * length, stage.clamp_y(subject.y + stage.rng.uniform(-0.35, 0.35) * length))
    pace = subject.speed * stage.rng.uniform(0.85, 1.5)
    with stage.event(subject, "move away", obj):
        yield from stage.walk(subject, lambda: goal, pace, seconds=2.5, within=2.0)


def follow(stage: Stage, subject: Entity, leader: Entity) -> Script:
    """The leader walks ahead; the subject keeps its distance on the same path."""
    gap = stage.contact(subject, leader) * stage.rng.uniform(1.35, 2.2) + 6
    if stage.distance(subject, leader) > 1.25 * gap:
        yield from approach(stage, subject, leader, gap=gap / stage.contact(subject, leader))
    pace = min(subject.speed, leader.speed) * stage.rng.uniform(0.75, 1.15)
    seconds = stage.rng.uniform(1.1, 2.6)
    yield from _pursue(stage, subject, leader, "follow", pace, seconds, gap, head_start=0.85 * gap)


def chase(stage: Stage, subject: Entity, leader: Entity) -> Script:
    """The leader runs; the subject runs faster and closes in."""
    pace = max(subject.speed, leader.speed) * stage.rng.uniform(1.9, 2.7)
    seconds = stage.rng.uniform(0.9, 1.8)
    gap = stage.contact(subject, leader) * stage.rng.uniform(0.8, 1.2)
    head_start = gap + stage.rng.uniform(0.2, 0.4) * stage.height
    yield from _pursue(stage, subject, leader, "chase", pace, seconds, gap, head_start)


def _pursue(
    stage: Stage,
    subject: Entity,
    leader: Entity,
    name: str,
    pace: float,
    seconds: float,
    gap: float,
    head_start: float,
) -> Script:
    """The leader goes ahead on a curved path; once it is ``head_start`` pixels off, the subject follows.

    The subject takes the leader's trail; the distance along it (foreshortening undone) goes smoothly from
    what it is then to ``gap`` pixels.
    """
    heading = math.atan2((leader.y - subject.y) / FORESHORTENING, leader.x - subject.x)
    if stage.room(leader.x, math.cos(heading)) < 0.2 * pace * seconds:
        heading += math.copysign(0.7, stage.rng.uniform(-1, 1))
    bend = stage.rng.uniform(-0.5, 0.5)
    trail = [(subject.x, subject.y), (leader.x, leader.y)]
    arc = [0.0, stage.distance(subject, leader)]
    steps = stage.frames(seconds)
    leader.busy = True

    def advance(frame: int) -> None:
        nonlocal heading
        heading = _inside(stage, leader, heading + bend * stage.dt)
        speed = pace * smooth((frame + 1) * stage.dt / 0.3)
        stage.velocity(leader, speed * math.cos(heading), speed * math.sin(heading) * FORESHORTENING)
        leader.y = stage.clamp_y(leader.y)
        x, y = trail[-1]
        arc.append(arc[-1] + math.hypot(leader.x - x, (leader.y - y) / FORESHORTENING))
        trail.append((leader.x, leader.y))

    try:
        late = 0
        while late < 3 or arc[-1] < head_start and late < stage.fps:
            advance(late)
            late += 1
            yield
        start, done = arc[-1], 0.0
        with stage.event(subject, name, leader):
            for frame in range(steps):
                advance(late + frame)
                share = smooth((frame + 1) / steps * (1 if name == "chase" else 2))
                done = max(done, arc[-1] - (start + share * (gap - start)))
                points = np.asarray(trail)
                x, y = (float(np.interp(done, arc, points[:, axis])) for axis in (0, 1))
                stage.velocity(subject, (x - subject.x) / stage.dt, (y - subject.y) / stage.dt)
                yield
    finally:
        leader.busy = False
        leader.halt()
        subject.halt()


def tag_along(stage: Stage, subject: Entity, leader: Entity) -> Script:
    """Follows a leader whom another script moves, on its trail, until it has walked and stands again."""
    while not (leader.vx or leader.vy):
        yield
    trail = [(subject.x, subject.y), (leader.x, leader.y)]
    arc = [0.0, stage.distance(subject, leader)]
    gap, done = arc[-1], 0.0
    with stage.event(subject, "follow", leader):
        while leader.vx or leader.vy:
            x, y = trail[-1]
            arc.append(arc[-1] + math.hypot(leader.x - x, (leader.y - y) / FORESHORTENING))
            trail.append((leader.x, leader.y))
            done = max(done, arc[-1] - gap)
            points = np.asarray(trail)
            x, y = (float(np.interp(done, arc, points[:, axis])) for axis in (0, 1))
            stage.velocity(subject, (x - subject.x) / stage.dt, (y - subject.y) / stage.dt)
            yield
    subject.halt()


def _inside(stage: Stage, entity: Entity, heading: float) -> float:
    """Turns a heading towards the middle of the stage where it would soon leave it."""
    ahead_x = entity.x + 40 * math.cos(heading)
    ahead_y = entity.y + 40 * math.sin(heading) * FORESHORTENING
    if 0.04 * stage.width < ahead_x < 0.96 * stage.width and stage.top <= ahead_y <= stage.bottom:
        return heading
    wanted = math.atan2((0.5 * (stage.top + stage.bottom) - entity.y) / FORESHORTENING, 0.5 * stage.width - entity.x)
    turn = (wanted - heading + math.pi) % (2 * math.pi) - math.pi
    return heading + max(-5 * stage.dt, min(5 * stage.dt, turn))


def push(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """In contact behind the object, both move from the subject towards it; with an animal this is leading it."""
    yield from _shove(stage, subject, obj, "push")


def pull(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """In contact before the object, both move from the object towards the subject."""
    yield from _shove(stage, subject, obj, "pull")


def _shove(stage: Stage, subject: Entity, obj: Entity, name: str) -> Script:
    yield from reach(stage, subject, obj)
    sign = 1 if name == "push" else -1
    direction = -sign * side_of(stage, subject, obj)
    if stage.room(obj.x, direction) < 30:  # no room that way: the other interaction of the pair
        name, sign, direction = ("pull", -1, -direction) if name == "push" else ("push", 1, -direction)
    if obj.sprite.category == "animal":
        name, obj.facing = "lead", direction
    obj.busy = True
    yield from stage.gesture(subject, "reach", stage.rng.uniform(0.15, 0.3))
    pace = subject.speed * stage.rng.uniform(0.55, 1.0)
    seconds = min(stage.rng.uniform(0.8, 2.2), (stage.room(obj.x, direction) + 25) / pace)
    drift = stage.rng.uniform(-0.12, 0.12) * pace
    steps = stage.frames(seconds)
    tilt = direction * stage.rng.uniform(4, 10)
    try:
        with stage.event(subject, name, obj):
            for frame in range(steps):
                speed = direction * pace * min(1.0, 0.3 + (frame + 1) * stage.dt / 0.2)
                dy = drift if stage.top < subject.y + drift * stage.dt < stage.bottom else 0.0
                subject.lean = tilt * min(1.0, (frame + 1) / 4)
                stage.velocity(subject, speed, dy, turn=False)
                stage.velocity(obj, speed, dy, turn=False)
                yield
    finally:
        obj.busy, subject.lean = False, 0.0
        stage.relax(subject)
        subject.halt()
        obj.halt()


def pick_up(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """Standing by it, the subject takes the object from the ground to its carrying place."""
    yield from reach(stage, subject, obj, gap=0.85)
    steps = stage.frames(stage.rng.uniform(0.4, 0.8))
    x, y, low = obj.x, obj.y, obj.lift
    obj.busy = True
    subject.gesture = "bend"
    subject.holding = obj  # the carrying place depends on the load
    front, lift = stage.carry_place(subject)
    subject.holding = None
    with stage.event(subject, "pick up", obj):
        for frame in range(steps):
            share = smooth((frame + 1) / steps)
            subject.extent = min(1.0, 1.4 * math.sin(math.pi * share**0.7))
            obj.x = x + share * (subject.x + front - x)
            obj.y = y + share * (subject.y + 0.5 - y)
            obj.lift = low + share * (lift - low)
            yield
    stage.grab(subject, obj)


def carry(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """The object stays at the carrying place of the walking subject."""
    direction = subject.facing if stage.room(subject.x, subject.facing) > 60 else -subject.facing
    length = min(stage.rng.uniform(45, 140), stage.room(subject.x, direction) + 20)
    goal = (subject.x + direction * length, stage.clamp_y(subject.y + stage.rng.uniform(-0.3, 0.3) * length))
    pace = subject.speed * stage.rng.uniform(0.8, 1.2)
    with stage.event(subject, "carry", obj):
        yield from stage.walk(subject, lambda: goal, pace, seconds=2.4, within=2.0)


def drop(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """The load of the standing subject falls to the ground in front of it."""
    obj = stage.release(subject)
    speed, bounced = 0.0, False
    drift = subject.facing * stage.rng.uniform(4, 16)
    with stage.event(subject, "drop", obj):
        while True:
            speed += GRAVITY * stage.height / 240 * stage.dt
            obj.lift -= speed * stage.dt
            stage.velocity(obj, drift, 0.0, turn=False)
            if obj.lift <= 0:
                obj.lift = 0.0
                if bounced or obj.sprite.category != "ball":
                    yield
                    break
                speed, bounced = -0.35 * speed, True
            yield
    obj.busy = False
    obj.halt()


def throw(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """A short swing, then the load flies on a ballistic path until it lands."""
    if stage.room(subject.x, subject.facing) < 70:
        subject.facing = -subject.facing
        stage.carry_along(subject)
    direction = subject.facing
    swing = stage.frames(stage.rng.uniform(0.16, 0.28))
    name = "shoot" if stage.court and obj.sprite.category == "ball" else "throw"
    with stage.event(subject, name, obj):
        x, lift = obj.x, obj.lift
        subject.gesture = "swing back"
        for frame in range(swing):
            share = smooth((frame + 1) / swing)
            subject.extent = share
            obj.x = x - direction * share * 0.9 * stage.half_width(subject)
            obj.lift = lift + share * 0.3 * stage.tall(subject)
            yield
        obj = stage.release(subject)
        subject.gesture = "throw"
        obj.held = True  # flying: no rolling
        flown = 0
        rate = direction * stage.rng.uniform(130, 240)
        rise = stage.rng.uniform(90, 190)
        spin = stage.rng.uniform(-500, 500)
        while obj.lift > 0 or rise > 0:
            flown += 1
            subject.extent = min(1.0, max(0.0, 2.0 - 4.0 * flown * stage.dt))
            rise -= GRAVITY * stage.height / 240 * stage.dt
            obj.lift = max(0.0, obj.lift + rise * stage.dt)
            obj.lean += spin * stage.dt if obj.sprite.category != "cart" else 0.0
            stage.velocity(obj, rate, 0.0, turn=False)
            yield
    obj.held = obj.busy = False
    if obj.sprite.category != "ball":
        obj.lean = 0.0
    stage.relax(subject)
    obj.halt()


def hit(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """A quick strike with contact; the object jolts away and comes to rest."""
    yield from reach(stage, subject, obj, gap=1.25)
    direction = -side_of(stage, subject, obj)
    back = subject.x
    strike = stage.frames(stage.rng.uniform(0.10, 0.18))
    settle = stage.frames(stage.rng.uniform(0.32, 0.5))
    kick = stage.rng.uniform(30, 65) / (settle * stage.dt) * 2
    lunge = stage.distance(subject, obj) - 0.8 * stage.contact(subject, obj)
    hop = stage.rng.uniform(0, 70) if not obj.is_actor else 0.0
    lift_speed, obj.busy, subject.gesture = hop, True, "shove"
    try:
        with stage.event(subject, "hit", obj):
            for frame in range(strike):
                subject.extent = (frame + 1) / strike
                stage.velocity(subject, direction * lunge / (strike * stage.dt), 0.0, turn=False)
                yield
            for frame in range(settle):
                left = 1 - (frame + 0.5) / settle
                stage.velocity(obj, direction * kick * left, 0.0, turn=False)
                obj.lift = max(0.0, obj.lift + lift_speed * stage.dt)
                lift_speed -= GRAVITY * stage.height / 240 * stage.dt
                if obj.sprite.category != "ball":
                    obj.lean = 18 * direction * math.sin(math.pi * (1 - left))
                subject.extent = max(0.0, 2 * left - 1)
                recoil = (back - subject.x) * 0.15 / stage.dt
                stage.velocity(subject, recoil, 0.0, turn=False)
                yield
    finally:
        obj.busy, obj.lift = False, 0.0
        stage.relax(subject)
        if obj.sprite.category != "ball":
            obj.lean = 0.0
        subject.halt()
        obj.halt()


def circle(stage: Stage, subject: Entity, obj: Entity) -> Script:
    """The subject walks around the object, which stays, by more than half a turn."""
    touch = stage.contact(subject, obj)
    if stage.distance(subject, obj) > 2.4 * touch + 10:
        yield from approach(stage, subject, obj, gap=1.5)
    start = math.atan2((subject.y - obj.y) / FORESHORTENING, subject.x - obj.x)
    radius0, radius = stage.distance(subject, obj), touch * stage.rng.uniform(1.25, 1.9)
    turn = math.radians(stage.rng.uniform(210, 480)) * stage.rng.choice((-1, 1))
    pace = subject.speed * stage.rng.uniform(1.3, 2.0)
    steps = max(stage.frames(1.0), stage.frames(abs(turn) * radius / pace))
    obj.busy = True
    try:
        with stage.event(subject, "circle", obj):
            for frame in range(steps):
                share = (frame + 1) / steps
                angle = start + turn * (0.75 * share + 0.25 * smooth(share))
                r = radius0 + (radius - radius0) * smooth(4 * share)
                x, y = obj.x + r * math.cos(angle), obj.y + r * math.sin(angle) * FORESHORTENING
                stage.velocity(subject, (x - subject.x) / stage.dt, (y - subject.y) / stage.dt)
                yield
    finally:
        obj.busy = False
        subject.halt()


def hide_behind(stage: Stage, subject: Entity, wall: Entity) -> Script:
    """From beside the wall the subject goes behind it and stays there for a while."""
    side = side_of(stage, subject, wall)
    depth = wall.y - 5.0
    beside = wall.x + side * (stage.half_width(wall) + 1.6 * stage.half_width(subject))
    if not stage.near(subject, wall):
        yield from approach(stage, subject, wall, gap=1.1)
    if math.hypot(subject.x - beside, subject.y - depth) > 3:
        yield from stage.walk(subject, lambda: (beside, depth), 1.3 * subject.speed, within=2.0)
    pace = subject.speed * stage.rng.uniform(0.8, 1.3)
    with stage.event(subject, "enter" if wall.sprite.category == "door" else "hide behind", wall):
        yield from stage.walk(subject, lambda: (wall.x, depth), pace)
        yield from stage.stand(stage.rng.uniform(0.3, 0.9))
