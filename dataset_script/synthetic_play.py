"""What the actors of a synthetic video do one after another: episodes, composite events, and pauses between them."""

from __future__ import annotations

import math

from dataset_script.synthetic_casting import CARRYING, HANDING_OVER, Episode, Role
from dataset_script.synthetic_contacts import give, handshake, hug, kick, point, punch, push_person, wave_arm, wave_to
from dataset_script.synthetic_fixtures import climb, cross, drink_from, jump_over, put_on, ride, sit_on, touch
from dataset_script.synthetic_scripts import (
    approach,
    carry,
    chase,
    circle,
    drop,
    follow,
    hide_behind,
    hit,
    move_away,
    pick_up,
    pull,
    push,
    reach,
    tag_along,
    throw,
    turn_to,
)
from dataset_script.synthetic_stage import FORESHORTENING, Entity, Script, Stage

SCRIPTS = {
    "follow": follow, "push": push, "carry": carry, "pull": pull, "circle": circle, "chase": chase, "throw": throw,
    "shoot": throw, "hit": hit, "handshake": handshake, "hug": hug, "punch": punch, "kick": kick, "point": point,
    "wave to": wave_to, "sit on": sit_on, "climb": climb, "ride": ride, "open": touch, "pet": touch, "lead": push,
    "jump over": jump_over, "drink from": drink_from, "give": give, "put on": put_on,
}  # fmt: skip
MEETINGS = (handshake, hug, punch, kick, push_person)


def play(stage: Stage, role: Role) -> Script:
    """The whole life of a role: pause, episode, pause, ... and pauses to the end of the video."""
    actor = role.actor
    if stage.rng.random() < 0.6:
        yield from pause(stage, actor)
    if role.composite:
        yield from _COMPOSITES[role.composite](stage, actor, *role.company)
        yield from pause(stage, actor)
    for episode in role.episodes:
        if not _possible(stage, actor, episode.object) or not _possible(stage, actor, episode.load):
            continue
        while actor.busy:
            yield
        yield from _episode(stage, actor, episode)
        yield from pause(stage, actor)
    while True:
        yield from pause(stage, actor)


def _possible(stage: Stage, actor: Entity, obj: Entity | None) -> bool:
    """Whether the object is still there (not thrown out of the scene) and not taken by somebody else."""
    if obj is None or actor.holding is obj:
        return True
    return 0 < obj.x < stage.width and not obj.busy and not obj.held


def _episode(stage: Stage, actor: Entity, episode: Episode) -> Script:
    """One interaction with what has to come before it."""
    name, obj = episode.interaction, episode.object
    if name == "approach" and actor.holding is not None and not stage.near(actor, obj):
        with stage.event(actor, "carry", actor.holding):  # two interactions at once
            yield from approach(stage, actor, obj, gap=stage.rng.uniform(1.0, 1.45))
        return
    load = episode.load if name in HANDING_OVER else obj if name in CARRYING else None
    if actor.holding is not None and actor.holding is not load and name not in ("cross", "point"):
        yield from drop(stage, actor, actor.holding)
        yield from stage.stand(stage.rng.uniform(0.1, 0.3))
    if load is not None and actor.holding is None:
        yield from pick_up(stage, actor, load)
        if name != "pick up":
            yield from stage.stand(stage.rng.uniform(0.05, 0.4))
    if name == "approach":
        if not stage.near(actor, obj):
            yield from approach(stage, actor, obj, gap=stage.rng.uniform(1.0, 1.45))
    elif name == "move away":
        yield from reach(stage, actor, obj, gap=1.15)
        yield from stage.stand(stage.rng.uniform(0.1, 0.4))
        yield from move_away(stage, actor, obj)
    elif name in ("hide behind", "enter"):
        yield from hide_behind(stage, actor, obj)
        yield from move_away(stage, actor, obj)
    elif name == "cross":
        yield from cross(stage, actor)
    elif name == "push" and obj.sprite.category == "person":
        yield from push_person(stage, actor, obj)
    elif name == "drop":
        yield from drop(stage, actor, obj)
    elif name != "pick up":
        yield from SCRIPTS[name](stage, actor, obj)
    if name == "carry" and stage.rng.random() < 0.35:
        yield from stage.stand(stage.rng.uniform(0.1, 0.4))
        yield from drop(stage, actor, obj)


def _carry_and_follow(stage: Stage, actor: Entity, load: Entity, leader: Entity) -> Script:
    with stage.event(actor, "carry", load):
        yield from follow(stage, actor, leader)


def _wave_and_approach(stage: Stage, actor: Entity, other: Entity) -> Script:
    turn_to(actor, other)
    with stage.event(actor, "wave to", other):
        yield from stage.together(approach(stage, actor, other, gap=1.8), wave_arm(stage, actor))
    stage.relax(actor)


def _ride_pushed(stage: Stage, actor: Entity, cart: Entity, pusher: Entity) -> Script:
    yield from ride(stage, actor, cart, pusher)


def _convoy(stage: Stage, actor: Entity, leader: Entity, last: Entity) -> Script:
    last.busy = True
    try:
        yield from reach(stage, actor, leader, gap=1.5)
        yield from reach(stage, last, actor, gap=1.3)
        yield from stage.together(follow(stage, actor, leader), tag_along(stage, last, actor))
    finally:
        last.busy = False


def _witness(stage: Stage, actor: Entity, one: Entity, other: Entity) -> Script:
    """Two persons meet; the actor points at them."""
    meeting = MEETINGS[stage.rng.integers(len(MEETINGS))]
    one.busy = True
    try:
        yield from stage.together(meeting(stage, one, other), _point_later(stage, actor, one))
    finally:
        one.busy = False


def _point_later(stage: Stage, actor: Entity, towards: Entity) -> Script:
    yield from stage.stand(stage.rng.uniform(0.1, 0.4))
    yield from point(stage, actor, towards)


_COMPOSITES = {
    "carry and follow": _carry_and_follow, "wave and approach": _wave_and_approach, "ride and be pushed": _ride_pushed,
    "convoy": _convoy, "witness": _witness,
}  # fmt: skip


def pause(stage: Stage, actor: Entity) -> Script:
    """Time without an interaction: standing, wandering about, or leaving the frame and coming back."""
    chance = stage.rng.random()
    goal = None if actor.holding is not None else _idle_goal(stage, actor)
    if goal is None or chance < 0.45:
        yield from stage.stand(stage.rng.uniform(0.2, 0.8))
    elif chance < 0.92:
        yield from stage.walk(actor, lambda: goal, actor.speed * stage.rng.uniform(0.7, 1.3), seconds=1.6, within=2.0,
                              until=lambda: actor.busy)  # fmt: skip
    else:
        yield from _leave_and_return(stage, actor)


def roam(stage: Stage, actor: Entity) -> Script:
    """The life of a passer-by: it wanders and stands, and does nothing with anybody."""
    while True:
        if actor.busy:
            yield
        else:
            yield from pause(stage, actor)


def _idle_goal(stage: Stage, actor: Entity) -> tuple[float, float] | None:
    """A place to wander to that looks neither like approaching nor like moving away from anything."""
    others = [e for e in stage.entities if e is not actor and e.track_id is not None]
    if any(stage.near(actor, e) for e in others):
        return None
    for _ in range(16):
        x = actor.x + stage.rng.choice((-1, 1)) * stage.rng.uniform(30, 110)
        y = stage.clamp_y(actor.y + stage.rng.uniform(-45, 45))
        if 0 < x < stage.width and not any(_resembles(stage, actor, e, x, y) for e in others):
            return x, y
    return None


def _resembles(stage: Stage, actor: Entity, other: Entity, x: float, y: float) -> bool:
    """Whether walking to ``(x, y)`` would look like approaching or moving away from ``other``."""
    before, after = stage.distance(actor, other), math.hypot(x - other.x, (y - other.y) / FORESHORTENING)
    way = math.hypot(x - actor.x, (y - actor.y) / FORESHORTENING)
    touch_distance = stage.contact(actor, other)
    arrives = after < 2.2 * touch_distance + 8
    heads_for = before - after > 0.85 * way and after < 0.75 * before
    departs = after - before > 0.85 * way and before < 3.0 * touch_distance
    return arrives or heads_for or departs


def _leave_and_return(stage: Stage, actor: Entity) -> Script:
    """Walks out at the nearer side, waits, comes back."""
    away = -1 if actor.x < 0.5 * stage.width else 1
    edge = 0.0 if away < 0 else stage.width
    outside, back = edge + away * 1.6 * actor.sprite.width, edge - away * 0.18 * stage.width
    y, pace = actor.y, actor.speed * stage.rng.uniform(1.2, 1.8)
    yield from stage.walk(actor, lambda: (outside, y), pace, seconds=3.0)
    yield from stage.stand(stage.rng.uniform(0.2, 0.6))
    yield from stage.walk(actor, lambda: (back, y), pace, seconds=3.0, within=2.0)
