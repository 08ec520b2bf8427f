"""Who plays in a synthetic video, where they start, and what they do one after another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dataset_script.synthetic_scripts import SCRIPTS, approach, drop, hide_behind, move_away, pick_up, reach
from dataset_script.synthetic_sprites import (
    ACTOR_SHAPES,
    CUTOUT_CATEGORY,
    PhotoLibrary,
    Sprite,
    lookalike,
    make_sprite,
)
from dataset_script.synthetic_stage import FORESHORTENING, Entity, Script, Stage

CARRYING = ("pick up", "carry", "drop", "throw")
PARTNERS = {  # shapes an interaction's object may have, with weights
    **dict.fromkeys(CARRYING, {"ball": 1.0, "box": 1.0}),
    "push": {"box": 1.0, "cart": 1.2, "actor": 0.6},
    "pull": {"box": 1.0, "cart": 1.2, "actor": 0.6},
    "hit": {"ball": 1.0, "box": 1.0, "actor": 1.0},
    "follow": {"actor": 3.0, "cart": 0.5, "ball": 0.5},
    "chase": {"actor": 3.0, "ball": 1.0, "cart": 0.3},
    "hide behind": {"wall": 1.0},
    **dict.fromkeys(("approach", "move away", "circle"),
                    {"actor": 1.5, "ball": 0.7, "box": 1.0, "cart": 1.0, "wall": 0.3}),
}  # fmt: skip
# Height of an object as a share of its actor's.
HEIGHTS = {"ball": (0.24, 0.42), "box": (0.28, 0.45), "cart": (0.4, 0.6), "wall": (1.22, 1.45)}


@dataclass
class Role:
    """An actor with the episodes it is to play: interaction and object, in order."""

    actor: Entity
    episodes: list[tuple[str, Entity]] = field(default_factory=list)


class Casting:
    """Builds the cast of one video.

    Args:
        stage: The empty stage.
        photos: Where textures come from.
        actor_height: Height of the main actor in pixels.
        weights: How often each interaction is chosen as an episode.
        cutout_share: Probability that an actor or object is a cut-out, where there are any.
        rng: Source of randomness.
    """

    def __init__(self, stage: Stage, photos: PhotoLibrary, actor_height: float, weights: Mapping[str, float],
                 cutout_share: float, rng: np.random.Generator) -> None:  # fmt: skip
        self.stage, self.photos, self.actor_height, self.rng = stage, photos, actor_height, rng
        self.names = list(weights)
        self.shares = np.array([weights[name] for name in self.names]) / sum(weights.values())
        self.cutout_share = cutout_share if photos.cutouts else 0.0

    def role(self, episodes: int) -> Role:
        """An actor with objects for ``episodes`` randomly chosen interactions, all placed on the stage."""
        kinds = [str(kind) for kind in self.rng.choice(self.names, size=episodes, p=self.shares)]
        role = Role(self.actor("person" if self.rng.random() < 0.65 else "animal", 1.0))
        partners: list[Entity] = []
        for kind in kinds:
            partner = self._partner(kind, partners, role.actor)
            if partner not in partners:
                partners.append(partner)
            role.episodes.append((kind, partner))
        self._place(role)
        return role

    def actor(self, shape: str, ratio: float) -> Entity:
        """A person or animal (or cut-out) somewhere on the stage, ``ratio`` of the main actor's height."""
        height = self.actor_height * ratio * self.rng.uniform(0.85, 1.15) * (0.62 if shape == "animal" else 1.0)
        shape = CUTOUT_CATEGORY if self.rng.random() < self.cutout_share else shape
        entity = self._enter(make_sprite(shape, max(12, round(height)), self.photos, self.rng))
        entity.speed = self.rng.uniform(38, 75) * math.sqrt(self.actor_height / 60)
        return entity

    def thing(self, shape: str, height: float, min_width: float = 0.0) -> Entity:
        """An object somewhere on the stage."""
        if shape != "wall" and self.rng.random() < self.cutout_share:
            shape = CUTOUT_CATEGORY
        return self._enter(make_sprite(shape, max(8, round(height)), self.photos, self.rng, min_width))

    def double(self, entity: Entity) -> Entity:
        """A look-alike of ``entity`` somewhere on the stage."""
        other = self._enter(lookalike(entity.sprite, self.rng))
        other.speed = entity.speed
        return other

    def occluder(self) -> Entity:
        """A panel in front of everything; no target."""
        height = round(self.stage.height * self.rng.uniform(0.4, 1.1))
        sprite = make_sprite("wall", height, self.photos, self.rng)
        width = round(self.rng.uniform(0.03, 0.11) * self.stage.height * 1.3)
        poses = [pose.resize((width + 4, pose.height)) for pose in sprite.poses]
        x, y = self.rng.uniform(0.1, 0.9) * self.stage.width, 1.02 * self.stage.height
        panel = Entity(None, Sprite("wall", poses, width, height), x, y, foreground=True)
        self.stage.entities.append(panel)
        return panel

    def _enter(self, sprite: Sprite) -> Entity:
        numbers = [e.track_id for e in self.stage.entities if e.track_id is not None]
        entity = Entity(len(numbers) + 1, sprite, 0.0, 0.0, facing=int(self.rng.choice((-1, 1))))
        entity.breath = (self.rng.uniform(0, 6.3), self.rng.uniform(0.1, 0.5), self.rng.uniform(0.0, 0.035))
        self._scatter(entity)
        self.stage.entities.append(entity)
        return entity

    def _scatter(self, entity: Entity) -> None:
        """A random place as far from the others as a few tries find."""
        stage, best = self.stage, -1.0
        for _ in range(6):
            x, y = self.rng.uniform(0.1, 0.9) * stage.width, self.rng.uniform(stage.top, stage.bottom)
            gap = min((math.hypot(x - e.x, (y - e.y) / FORESHORTENING) for e in stage.entities), default=0.0)
            if gap > best:
                best, entity.x, entity.y = gap, x, y

    def _partner(self, kind: str, partners: list[Entity], actor: Entity) -> Entity:
        """An object for ``kind``: one of the partners that fits, or a new one."""
        choices = PARTNERS[kind]
        fitting = [p for p in partners if ("actor" if p.is_actor else p.sprite.category) in choices]
        if kind in CARRYING:
            fitting = [p for p in fitting if p.sprite.height < 0.5 * actor.sprite.height]
        if fitting and (len(partners) >= 3 or self.rng.random() < 0.65):
            return fitting[self.rng.integers(len(fitting))]
        weights = np.array(list(choices.values()))
        shape = str(self.rng.choice(list(choices), p=weights / weights.sum()))
        if shape == "actor":
            return self.actor(str(self.rng.choice(ACTOR_SHAPES)), self.rng.uniform(0.75, 1.2))
        height = actor.sprite.height * self.rng.uniform(*HEIGHTS[shape])
        if shape in ("box", "ball") and kind not in CARRYING:
            height *= self.rng.uniform(1.0, 1.7)
        entity = self.thing(shape, height, 1.25 * actor.sprite.width if shape == "wall" else 0.0)
        entity.speed = actor.speed
        return entity

    def _place(self, role: Role) -> None:
        """The actor starts near the first episode's object or far from it; it may already carry it."""
        kind, first = role.episodes[0]
        stage, actor = self.stage, role.actor
        near = self.rng.random() < {"approach": 0.0, "move away": 0.85, "chase": 0.2}.get(kind, 0.65)
        first.x = self.rng.uniform(0.25, 0.75) * stage.width
        side = self.rng.choice((-1, 1))
        gap = stage.contact(actor, first) * self.rng.uniform(1.0, 1.3)
        if not near:
            gap += self.rng.uniform(0.25, 0.55) * stage.height
        if stage.room(first.x, side) < gap:
            side = -side
        actor.x = min(0.97 * stage.width, max(0.03 * stage.width, first.x + side * gap))
        actor.y = stage.clamp_y(first.y + (1.0 if near else self.rng.uniform(-0.3, 0.3) * gap * FORESHORTENING))
        actor.facing = -side
        if kind in ("carry", "drop", "throw") and self.rng.random() < 0.55:
            stage.grab(actor, first)


def play(stage: Stage, role: Role) -> Script:
    """The whole life of a role: pause, episode, pause, ... and pauses to the end of the video."""
    rng = stage.rng
    if rng.random() < 0.6:
        yield from pause(stage, role.actor)
    for kind, obj in role.episodes:
        if not 0 < obj.x < stage.width or obj.busy and role.actor.holding is not obj:
            continue  # thrown out of the scene
        yield from _episode(stage, role.actor, kind, obj)
        yield from pause(stage, role.actor)
    while True:
        yield from pause(stage, role.actor)


def _episode(stage: Stage, actor: Entity, kind: str, obj: Entity) -> Script:
    """One interaction with what has to come before it."""
    if kind == "approach" and actor.holding is not None and not stage.near(actor, obj):
        with stage.event(actor, "carry", actor.holding):  # two interactions at once
            yield from approach(stage, actor, obj, gap=stage.rng.uniform(1.0, 1.45))
        return
    if actor.holding is not None and (kind not in CARRYING or actor.holding is not obj):
        yield from drop(stage, actor, actor.holding)
        yield from stage.stand(stage.rng.uniform(0.1, 0.3))
    if kind in CARRYING:
        if actor.holding is None:
            yield from pick_up(stage, actor, obj)
            if kind != "pick up":
                yield from stage.stand(stage.rng.uniform(0.05, 0.4))
        if kind != "pick up":
            yield from SCRIPTS[kind](stage, actor, obj)
        if kind == "carry" and stage.rng.random() < 0.35:
            yield from stage.stand(stage.rng.uniform(0.1, 0.4))
            yield from drop(stage, actor, obj)
    elif kind == "approach":
        if not stage.near(actor, obj):
            yield from approach(stage, actor, obj, gap=stage.rng.uniform(1.0, 1.45))
    elif kind == "move away":
        yield from reach(stage, actor, obj, gap=1.15)
        yield from stage.stand(stage.rng.uniform(0.1, 0.4))
        yield from move_away(stage, actor, obj)
    elif kind == "hide behind":
        yield from hide_behind(stage, actor, obj)
        yield from move_away(stage, actor, obj)
    else:
        yield from SCRIPTS[kind](stage, actor, obj)


def pause(stage: Stage, actor: Entity) -> Script:
    """Time without an interaction: standing, wandering about, or leaving the frame and coming back."""
    chance = stage.rng.random()
    goal = None if actor.holding is not None else _idle_goal(stage, actor)
    if goal is None or chance < 0.45:
        yield from stage.stand(stage.rng.uniform(0.2, 0.8))
    elif chance < 0.92:
        yield from stage.walk(actor, lambda: goal, actor.speed * stage.rng.uniform(0.7, 1.3), seconds=1.6, within=2.0)
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
    touch = stage.contact(actor, other)
    arrives = after < 2.2 * touch + 8
    heads_for = before - after > 0.85 * way and after < 0.75 * before
    departs = after - before > 0.85 * way and before < 3.0 * touch
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
