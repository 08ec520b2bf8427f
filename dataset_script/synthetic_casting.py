"""Who and what appears in a synthetic video, and where it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dataset_script.synthetic_law import needs_person
from dataset_script.synthetic_photos import PhotoLibrary
from dataset_script.synthetic_props import ACTORS, CUTOUT_CATEGORY, make_sprite
from dataset_script.synthetic_sprites import Sprite
from dataset_script.synthetic_stage import FORESHORTENING, Entity, Stage

CARRYING = ("pick up", "carry", "drop", "throw", "shoot", "drink from")  # the object is in the hands
HANDING_OVER = ("give", "put on")  # the object gets what is in the hands
PARTNERS: dict[str, dict[str, float]] = {  # categories that an interaction's object may have, with weights
    **dict.fromkeys(("pick up", "carry", "drop"), {"ball": 1.0, "box": 1.0, "cup": 0.4}),
    "throw": {"ball": 1.0, "box": 1.0},
    "shoot": {"ball": 1.0},
    "drink from": {"cup": 1.0},
    "push": {"box": 1.0, "cart": 1.0, "person": 1.2},
    "pull": {"box": 1.0, "cart": 1.0},
    "lead": {"animal": 1.0},
    "pet": {"animal": 1.0},
    "hit": {"ball": 1.0, "box": 1.0},
    "kick": {"person": 2.0, "ball": 1.0},
    "follow": {"person": 2.0, "animal": 1.0, "car": 0.4, "ball": 0.4},
    "chase": {"person": 2.0, "animal": 1.5, "ball": 1.0},
    "hide behind": {"wall": 1.0},
    **dict.fromkeys(("open", "enter"), {"door": 1.0}),
    "sit on": {"bench": 1.0},
    "climb": {"ladder": 1.0},
    "ride": {"cart": 1.0},
    "put on": {"table": 1.0},
    "jump over": {"box": 1.0, "bench": 0.5},
    **dict.fromkeys(("handshake", "hug", "punch", "wave to", "give"), {"person": 1.0}),
    "point": {"person": 1.0, "animal": 0.4, "ball": 0.3, "car": 0.4, "door": 0.2, "box": 0.3},
    **dict.fromkeys(("approach", "move away", "circle"),
                    {"person": 1.2, "animal": 0.8, "ball": 0.5, "box": 0.6, "cart": 0.6, "wall": 0.3, "bench": 0.5,
                     "ladder": 0.3, "door": 0.3, "table": 0.5, "cup": 0.2, "car": 0.5}),
}  # fmt: skip
# Height of an object as a share of a person's; of a load, of its actor's.
HEIGHTS = {"ball": (0.24, 0.38), "box": (0.26, 0.42), "cart": (0.42, 0.58), "wall": (1.22, 1.45), "bench": (0.48, 0.56),
           "ladder": (1.35, 1.7), "door": (1.22, 1.4), "table": (0.42, 0.52), "cup": (0.17, 0.23),
           "car": (0.7, 0.9)}  # fmt: skip
CUT_OUT = ("ball", "box", "cart")  # objects for which a cut-out may stand
# Interactions that need no limbs and no certain object: in these a cut-out may take part.
FREE = ("approach", "move away", "follow", "push", "carry", "pick up", "pull", "circle", "chase", "drop", "throw",
        "hit", "hide behind")  # fmt: skip
FAR = ("approach", "point", "wave to")  # interactions that start at a distance


@dataclass
class Episode:
    """One interaction that a role plays, with its object and what is handed over."""

    interaction: str
    object: Entity | None
    load: Entity | None = None


@dataclass
class Role:
    """An actor with what it is to play, in order.

    Attributes:
        actor: Who acts.
        episodes: Its interactions.
        composite: Name of a composite event that it plays first, or "".
        company: The others in the composite event.
    """

    actor: Entity
    episodes: list[Episode] = field(default_factory=list)
    composite: str = ""
    company: list[Entity] = field(default_factory=list)


class Casting:
    """Builds the cast of one video.

    Args:
        stage: The empty stage.
        photos: Where textures come from.
        actor_height: Height of the main actor in pixels.
        cutout_share: Probability that an actor or object is a cut-out, where there are any.
        rng: Source of randomness.
    """

    def __init__(self, stage: Stage, photos: PhotoLibrary, actor_height: float, cutout_share: float,
                 rng: np.random.Generator) -> None:  # fmt: skip
        self.stage, self.photos, self.actor_height, self.rng = stage, photos, actor_height, rng
        self.cutout_share = cutout_share if photos.cutouts else 0.0

    def role(self, interactions: Sequence[str], composite: str = "") -> Role:
        """An actor with objects for its interactions, all placed on the stage."""
        person = composite or any(needs_person(name) for name in interactions) or self.rng.random() < 0.65
        free = not composite and all(name in FREE for name in interactions)
        role = Role(self.actor("person" if person else "animal", 1.0, free), composite=composite)
        partners: list[Entity] = []
        for name in interactions:
            load = None
            if name in HANDING_OVER:
                load = self._partner("carry", partners, role.actor)
                partners.append(load)
            partner = None if name == "cross" else self._partner(name, partners, role.actor)
            if partner is not None and partner not in partners:
                partners.append(partner)
            role.episodes.append(Episode(name, partner, load))
        self._place(role)
        for partner in partners:
            if partner is not role.episodes[0].object and not partner.held:
                self._bring_near(partner, role.actor)
        if composite:
            self._invite(role)
        return role

    def actor(self, category: str, ratio: float, free: bool = False) -> Entity:
        """A person or animal somewhere on the stage, ``ratio`` of the main actor's height.

        Where ``free``, it may be a cut-out instead.
        """
        height = self.actor_height * ratio * self.rng.uniform(0.88, 1.12) * (0.6 if category == "animal" else 1.0)
        if free and self.rng.random() < self.cutout_share:
            category = CUTOUT_CATEGORY
        entity = self._enter(make_sprite(category, max(12, round(height)), self.photos, self.rng, alive=True))
        entity.speed = self.rng.uniform(45, 88) * math.sqrt(self.actor_height / 60)
        return entity

    def thing(self, category: str, height: float, min_width: float = 0.0, free: bool = False) -> Entity:
        """An object somewhere on the stage; where ``free``, it may be a cut-out instead."""
        if free and category in CUT_OUT and self.rng.random() < self.cutout_share:
            category = CUTOUT_CATEGORY
        return self._enter(make_sprite(category, max(6, round(height)), self.photos, self.rng, min_width))

    def double(self, entity: Entity) -> Entity:
        """A look-alike of ``entity`` somewhere on the stage."""
        other = self._enter(entity.sprite.recoloured(self.rng.uniform(0.85, 1.15)))
        other.speed = entity.speed
        return other

    def bystander(self) -> Entity:
        """A person who stands in the background."""
        entity = self.actor("person", self.rng.uniform(0.7, 0.95))
        entity.y = self.rng.uniform(self.stage.top, self.stage.top + 0.3 * (self.stage.bottom - self.stage.top))
        return entity

    def occluder(self) -> Entity:
        """A panel in front of everything; no target."""
        height = round(self.stage.height * self.rng.uniform(0.4, 1.1))
        width = round(self.rng.uniform(0.03, 0.11) * self.stage.height * 1.3)
        wall = make_sprite("wall", height, self.photos, self.rng).picture(0)
        pose = wall.colour.copy()
        pose.putalpha(wall.alpha)
        sprite = Sprite("wall", [pose.resize((width + 4, pose.height))], width, height)
        x, y = self.rng.uniform(0.1, 0.9) * self.stage.width, 1.02 * self.stage.height
        panel = Entity(None, sprite, x, y, foreground=True)
        self.stage.entities.append(panel)
        return panel

    def _enter(self, sprite: Sprite) -> Entity:
        numbers = [e.track_id for e in self.stage.entities if e.track_id is not None]
        entity = Entity(len(numbers) + 1, sprite, 0.0, 0.0, facing=int(self.rng.choice((-1, 1))))
        if sprite.alive:
            entity.breath = (self.rng.uniform(0, 6.3), self.rng.uniform(0.1, 0.5), self.rng.uniform(0.0, 0.03))
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

    def _partner(self, name: str, partners: list[Entity], actor: Entity) -> Entity:
        """An object for the interaction: one of the partners that fits, or a new one."""
        choices = dict(PARTNERS[name])
        if actor.sprite.category != "person" and name == "push":
            del choices["person"]
        if name == "throw" and self.stage.court:
            del choices["ball"]  # that would be shooting
        fitting = [p for p in partners if p.sprite.category in choices]
        if name == "hide behind":  # a cut-out stands for whom it is placed
            fitting = [p for p in fitting if p.sprite.width > 1.5 * actor.sprite.width]
        if name in CARRYING:
            fitting = [p for p in fitting if p.sprite.height < 0.5 * actor.sprite.height]
        if fitting and (len(partners) >= 4 or self.rng.random() < 0.65):
            return fitting[self.rng.integers(len(fitting))]
        weights = np.array(list(choices.values()))
        category = str(self.rng.choice(list(choices), p=weights / weights.sum()))
        if category in ACTORS:
            return self.actor(category, self.rng.uniform(0.88, 1.1), name in FREE)
        return self._object(name, category, actor)

    def _object(self, name: str, category: str, actor: Entity) -> Entity:
        load = name in CARRYING
        height = (actor.sprite.height if load else self.actor_height) * self.rng.uniform(*HEIGHTS[category])
        if category in ("box", "ball") and not load and name not in ("kick", "jump over"):
            height *= self.rng.uniform(1.0, 1.5)
        hiding = category == "wall" or name == "enter"
        entity = self.thing(category, height, 1.6 * actor.sprite.width if hiding else 0.0, name in FREE)
        entity.speed = actor.speed
        return entity

    def _place(self, role: Role) -> None:
        """The actor starts near the first episode's object or far from it; it may already carry it."""
        first, stage, actor = role.episodes[0], self.stage, role.actor
        if first.object is None:
            left, far, right, near = stage.crossing
            side = self.rng.choice((-1, 1))
            actor.x = left - 25 if side < 0 else right + 25
            actor.y = self.rng.uniform(far + 4, near - 4)
            return
        obj = first.object
        near_share = 0.0 if first.interaction in FAR else {"move away": 0.85, "chase": 0.2}.get(first.interaction, 0.65)
        near = self.rng.random() < near_share
        obj.x = self.rng.uniform(0.25, 0.75) * stage.width
        side = self.rng.choice((-1, 1))
        gap = stage.contact(actor, obj) * self.rng.uniform(1.0, 1.3)
        if not near:
            gap += self.rng.uniform(0.25, 0.55) * stage.height
        if stage.room(obj.x, side) < gap:
            side = -side
        actor.x = min(0.97 * stage.width, max(0.03 * stage.width, obj.x + side * gap))
        actor.y = stage.clamp_y(obj.y + (1.0 if near else self.rng.uniform(-0.3, 0.3) * gap * FORESHORTENING))
        actor.facing = -side
        load = first.load or obj
        in_hand = first.interaction in (*HANDING_OVER, "carry", "drop", "throw", "shoot", "drink from")
        if not role.composite and in_hand and self.rng.random() < 0.55:
            stage.grab(actor, load)

    def _bring_near(self, entity: Entity, actor: Entity) -> None:
        """Into the actor's neighbourhood, as far from the others as a few tries find."""
        stage, best = self.stage, -1.0
        others = [e for e in stage.entities if e is not entity]
        for _ in range(6):
            x = actor.x + self.rng.uniform(-0.65, 0.65) * stage.height
            y = self.rng.uniform(stage.top, stage.bottom)
            gap = min(stage.distance(e, Entity(None, entity.sprite, x, y)) for e in others)
            if 0.08 * stage.width < x < 0.92 * stage.width and gap > best:
                best, entity.x, entity.y = gap, x, y

    def _invite(self, role: Role) -> None:
        """Brings in who else takes part in the role's composite event, near its actor."""
        actor = role.actor
        if role.composite == "carry and follow":
            load = self._object("carry", str(self.rng.choice(("ball", "box"))), actor)
            role.company = [load, self.actor("person", 1.0)]
            self.stage.grab(actor, load)
        elif role.composite == "ride and be pushed":
            cart = self._object("ride", "cart", actor)
            self._beside(cart, actor, self.stage.contact(actor, cart))
            role.company = [cart, self.actor("person", 1.0)]
        elif role.composite == "wave and approach":
            role.company = [self.actor("person", 1.0)]
        else:  # a convoy, or two who do something and one who sees it
            role.company = [self.actor("person", 1.0), self.actor("person", 1.0)]
            if role.composite == "witness":
                one, other = role.company
                self._beside(one, actor, self.rng.uniform(1.0, 1.5) * actor.sprite.height)
                self._beside(other, one, 0.5 * (one.sprite.height + other.sprite.height))

    def _beside(self, entity: Entity, other: Entity, gap: float) -> None:
        side = 1 if self.stage.room(other.x, 1) > self.stage.room(other.x, -1) else -1
        entity.x, entity.y, entity.facing = other.x + side * gap, self.stage.clamp_y(other.y + 1.0), -side
