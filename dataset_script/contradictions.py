"""Which interactions cannot hold of the same two objects at the same time, as data.

Names are compared in plain form (:func:`dataset_script.spelling.plain_words`): "move away", "move_away" and
"Move-Away" are one. The tables hold names of SemTrack's sources (VidOR, VidVRD) and of the synthetic videos.
"""

from __future__ import annotations

from dataset_script.spelling import plain_words

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("approach", "move away"),
    ("towards", "away"),
    ("toward", "away"),
    ("push", "pull"),
    ("pick up", "put down"),
    ("pick up", "drop"),
    ("carry", "drop"),
    ("carry", "throw"),
    ("hold", "release"),
    ("get on", "get off"),
    ("open", "close"),
    ("front", "behind"),
    ("in front of", "behind"),
    ("above", "beneath"),
    ("left", "right"),
)
"""Interactions of one subject and one object that exclude each other. VidVRD joins a verb and a place
("walk_left", "stand_behind"): such names exclude each other where their verbs are the same (or missing) and
their places are opposites, see :data:`PLACES`."""

PLACES: tuple[tuple[str, str], ...] = (
    ("front", "behind"),
    ("above", "beneath"),
    ("left", "right"),
    ("toward", "away"),
)
"""Opposite last words of names that join a verb and a place."""

ONE_WAY: tuple[str, ...] = (
    "larger",
    "taller",
    "faster",
    "in front of",
    "front",
    "behind",
    "above",
    "beneath",
    "inside",
    "carry",
    "ride",
    "lift",
)
"""Interactions that, if A does them to B, B cannot do to A at the same time."""

_OPPOSITES = {frozenset(map(plain_words, pair)) for pair in OPPOSITES}
_PLACES = {frozenset(pair) for pair in PLACES}
_ONE_WAY = {plain_words(name) for name in ONE_WAY}


def exclude_each_other(one: str, other: str) -> bool:
    """Whether one subject cannot do both to one object at the same time.

    Example:
        >>> exclude_each_other("move_away", "approach"), exclude_each_other("walk_left", "walk_right")
        (True, True)
    """
    first, second = plain_words(one), plain_words(other)
    if frozenset((first, second)) in _OPPOSITES:
        return True
    (*verb, place), (*other_verb, other_place) = first.split() or [""], second.split() or [""]
    return bool(verb) and verb == other_verb and frozenset((place, other_place)) in _PLACES


def excludes_its_reverse(name: str) -> bool:
    """Whether, while A does this to B, B cannot do it to A."""
    words = plain_words(name)
    return words in _ONE_WAY or words.split()[-1:] in (["behind"], ["above"], ["beneath"], ["inside"])
