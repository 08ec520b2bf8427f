"""What happens in synthetic videos and how often: the interactions, their long tail, and what depends on the scene.

S = subject, O = object, "touch" = their sides meet. Positions are those of the feet on the ground, free of camera
motion. Intervals start and end with the motion that is described. In the order of their frequency:

==============  ====================================================================================================
interaction     definition
==============  ====================================================================================================
move away       S stands by O and walks off; O stays, the distance grows
push            S touches O (box, cart) from behind, both move in the direction from S to O; or S (person) thrusts
                both arms against O (person), who staggers back
follow          O walks ahead; S walks on O's trail, at a distance that stays the same
carry           O stays in the hands (an animal's mouth) of S while S walks
handshake       S and O (persons) stretch an arm out, hold hands and shake them, let go; both are subjects
approach        S walks straight to the side of O, which stays; the distance shrinks
punch           S (person) draws back a fist and strikes O (person), who sways back
kick            S (person) swings a leg against O: a person, who sways back, or a ball, which rolls off until it rests
hug             S and O (persons) put their arms around each other, stay so, and part; both are subjects
point           S (person) stretches an arm out and keeps it so; O is the nearest one within 25 degrees of the
                direction in which S looks, or there is no object
sit on          S (person) lowers itself onto O (bench), stays, and stands up again
pull            S touches O; both move in the direction from O to S
pick up         S stands by O; O rises from where it lies to where S carries things (0.4 to 0.8 s)
open            S (person) lays a hand on O (door) and moves it to and fro; O opens
circle          S walks around O, which stays, by more than half a turn
chase           O runs; S runs faster on O's trail and closes in
wave to         S (person) raises an arm towards O (person) and swings the forearm
throw           after a short swing O leaves the standing S on a ballistic path and lands
ride            S (person) sits down on O (cart), is moved along with it, and gets off
climb           S (person) gets on O (ladder), goes up, stays, and comes down again
pet             S (person) lays a hand on O (animal) and moves it to and fro
hit             S strikes O in a quick lunge with contact; O jolts away and comes to rest
hide behind     from beside O (wall), S goes behind it and stays there, out of sight
cross           S (person) walks over a zebra crossing from its one side to its other; there is no object
lead            S (person) touches O (animal); both move along together
give            S (person) hands what it carries over to O (person)
put on          S (person) sets what it carries down on O (table)
jump over       S leaps over O to its other side
drop            O leaves the hands of the standing S and falls to the ground
drink from      S (person) lifts O (cup), which it holds, to its mouth and lowers it again
enter           from beside O (door), S goes behind it and stays there, out of sight
shoot           the same as "throw", of a ball on a sports court
==============  ====================================================================================================

Law of the tail (Zipf): the k-th of the n interactions is drawn as an episode with the probability
``k ** -s / sum(j ** -s for j in 1..n)``, where s is ``SyntheticConfig.zipf_exponent``; s = 0 makes all equal. What
an episode needs first is played and annotated as well, so that events are counted otherwise than episodes: getting
to an object from afar is an approach, carrying starts with picking up unless the video starts with full hands, who
has to do something else drops what it holds, leaving a hiding place is moving away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

INTERACTIONS = (
    "move away", "push", "follow", "carry", "handshake", "approach", "punch", "kick", "hug", "point", "sit on", "pull",
    "pick up", "open", "circle", "chase", "wave to", "throw", "ride", "climb", "pet", "hit", "hide behind", "cross",
    "lead", "give", "put on", "jump over", "drop", "drink from", "enter", "shoot",
)  # fmt: skip
PLACE_BOUND = ("shoot", "cross")  # a video has one place: of these, only the one drawn first stays
BOTH_ACT = ("handshake", "hug")  # annotated in both directions

# One motion, several meanings: (interaction, category of the object, where). Who sees only how the subject moves
# cannot tell the members of a group apart.
SHARED_MOTIONS: dict[str, tuple[tuple[str, str | None, str], ...]] = {
    "moves along, in touch": (("push", "box", ""), ("push", "cart", ""), ("pull", "box", ""), ("pull", "cart", ""),
                              ("lead", "animal", "")),
    "lays a hand on it": (("open", "door", ""), ("pet", "animal", "")),
    "lets a ball fly": (("throw", "ball", "elsewhere"), ("shoot", "ball", "court")),
    "disappears behind it": (("hide behind", "wall", ""), ("enter", "door", "")),
    "gets onto it": (("sit on", "bench", ""), ("ride", "cart", ""), ("climb", "ladder", "")),
    "walks across": (("cross", None, "crossing"),),  # elsewhere the same walk is no interaction
}  # fmt: skip
# Two interactions at once, or three actors, and the interactions that take part.
COMPOSITES: dict[str, tuple[str, ...]] = {
    "carry and follow": ("carry", "follow"),
    "wave and approach": ("wave to", "approach"),
    "ride and be pushed": ("ride", "push"),
    "convoy": ("follow",),
    "witness": ("point", "handshake", "hug", "punch", "kick", "push"),
}
_PERSON_ONLY = frozenset(
    ("handshake", "punch", "kick", "hug", "point", "sit on", "open", "wave to", "ride", "climb", "pet", "cross", "lead",
     "give", "put on", "drink from", "shoot")
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is to happen in one video.

    Attributes:
        roles: The episodes of each acting subject, in order; the first one is the main subject's.
        composites: Names of :data:`COMPOSITES` that are played before the main subject's episodes.
    """

    roles: tuple[tuple[str, ...], ...]
    composites: tuple[str, ...]

    @property
    def episodes(self) -> list[str]:
        """All episodes that were drawn."""
        return [name for role in self.roles for name in role]


def zipf_weights(exponent: float) -> dict[str, float]:
    """The probability of every interaction under Zipf's law with this exponent."""
    weights = np.arange(1, len(INTERACTIONS) + 1) ** -float(exponent)
    return dict(zip(INTERACTIONS, (weights / weights.sum()).tolist(), strict=True))


def draw_plan(weights: Mapping[str, float], composite_share: float, seconds: float, rng: np.random.Generator) -> Plan:
    """Draws what happens in a video.

    Args:
        weights: How often each interaction is drawn as an episode.
        composite_share: Probability of a composite event.
        seconds: Length of the video; longer ones have more episodes.
        rng: Source of randomness.
    """
    names = list(weights)
    shares = np.array([weights[name] for name in names]) / sum(weights.values())

    def role(most: int) -> tuple[str, ...]:
        return tuple(str(name) for name in rng.choice(names, size=int(rng.integers(1, most + 1)), p=shares))

    roles = [role(1 + round(seconds / 2))]
    if rng.random() < 0.35:
        roles.append(role(2))
    bound = [name for drawn in roles for name in drawn if name in PLACE_BOUND]
    excluded = set(bound) - set(bound[:1])
    roles = [tuple(name for name in drawn if name not in excluded) for drawn in roles]
    possible = [name for name, parts in COMPOSITES.items() if all(weights.get(part) for part in parts)]
    composites = (str(rng.choice(possible)),) if possible and rng.random() < composite_share else ()
    return Plan(tuple(drawn for drawn in roles if drawn), composites)


def needs_person(interaction: str) -> bool:
    """Whether only a person can be the subject."""
    return interaction in _PERSON_ONLY


def depends_on_scene(interaction: str, category: str | None) -> bool:
    """Whether the subject's motion alone does not tell this interaction with an object of this category."""
    return any((interaction, category) == member[:2] for group in SHARED_MOTIONS.values() for member in group)
