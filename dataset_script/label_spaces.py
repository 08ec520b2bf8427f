"""One space of interactions and categories for all sources.

Every source names what it annotates in its own words: VidVRD ``walk_left``, VidOR ``towards``, AVA
``hug (a person)``, BenSMOT ``talk.v.01``. ``labels/interactions.json`` and ``labels/categories.json`` say, source by
source, which unified names each of them stands for; these two files are the documentation of the mapping. Names
that differ from a unified one only in spelling (case, separators, plural) need no entry. A name of a source may
stand for several unified interactions at once (``walk_left``: ``walk`` and ``left of``).

The categories are the 85 names of the official SemTrack evaluation and a few that it lacks. Of SemTrack's 52
interactions no list is published: they map by spelling, what does not is reported by :func:`unmapped`.
Nothing is dropped: :func:`unify` leaves a name without a counterpart as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.spelling import spelling_key
from metrics.semtrack.recognition import shot_groups

KINDS = ("action", "motion", "posture", "position", "comparison")


def unified_interactions(*kinds: str) -> tuple[str, ...]:
    """The unified interactions, by kind and name.

    Args:
        kinds: Some of :data:`KINDS`; all where none is given. Actions, motions and postures are what a subject
            does; positions and comparisons hold between two objects whether they do anything or not.

    Raises:
        ValueError: If there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kinds of interactions are {', '.join(KINDS)}, got {unknown[0]!r}")
    names = _data("interactions")["names"]
    return tuple(name for kind in KINDS if kind in kinds or not kinds for name in names[kind])


def unified_categories() -> tuple[str, ...]:
    """The unified categories, sorted."""
    return tuple(_data("categories")["names"])


def unify_interaction(name: str, source: str) -> tuple[str, ...] | None:
    """The unified interactions that a source's name stands for, or None where the mapping does not know it."""
    table = _interactions(source)
    found = table.get(spelling_key(name))
    if found is None and name.count(".") == 2:  # a WordNet sense: talk.v.01
        found = table.get(spelling_key(name.split(".")[0]))
    return found


def unify_category(name: str, source: str) -> str | None:
    """The unified category of a source's class, or None where the mapping does not know one."""
    return _categories(source).get(spelling_key(name))


def unify(record: VideoRecord) -> VideoRecord:
    """The same video in unified names; unifying twice changes nothing more.

    A name that stands for several interactions becomes as many events with the same interval. Events of one
    subject, object and unified name that touch or overlap become one. A name without a counterpart stays as
    it is, except that the mapping may say that a class means none (``thing``): its category becomes None.

    Args:
        record: A video of any source; it is not changed.
    """
    targets = [replace(target, category=_category(target, record.source)) for target in record.targets]
    if record.interactions is None:
        return replace(record, targets=targets)
    renamed = (
        replace(event, interaction=name)
        for event in record.interactions
        for name in unify_interaction(event.interaction, record.source) or (event.interaction,)
    )
    return replace(record, targets=targets, interactions=_merged(renamed))


@dataclass
class LabelCounts:
    """How often names occur.

    Attributes:
        interactions: Events by interaction.
        categories: Tracks by category; tracks without a class name are not among them.
    """

    interactions: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Plain JSON types, most frequent first."""
        return {"interactions": _ordered(self.interactions), "categories": _ordered(self.categories)}


def count_labels(records: Iterable[VideoRecord], unified: bool = True) -> dict[str, LabelCounts]:
    """How often each name occurs in each source.

    Args:
        records: Any videos, taken one at a time.
        unified: Whether to count unified names or the sources' own ones.

    Returns:
        Counts by source, in the order in which the sources come.
    """
    counts: dict[str, LabelCounts] = {}
    for record in records:
        ours = counts.setdefault(record.source, LabelCounts())
        named = unify(record) if unified else record
        ours.interactions.update(event.interaction for event in named.interactions or ())
        ours.categories.update(target.category for target in named.targets if target.category is not None)
    return counts


def unmapped(records: Iterable[VideoRecord]) -> dict[str, LabelCounts]:
    """The names that have no counterpart in the unified space, and how often they occur.

    Args:
        records: Any videos, taken one at a time.

    Returns:
        Counts of the sources' own names, by source; sources whose names are all mapped are not among them.
    """
    missing = {}
    for source, counts in count_labels(records, unified=False).items():
        rest = LabelCounts(
            Counter({n: c for n, c in counts.interactions.items() if unify_interaction(n, source) is None}),
            Counter({n: c for n, c in counts.categories.items() if unify_category(n, source) is None}),
        )
        if rest.interactions or rest.categories:
            missing[source] = rest
    return missing


def frequency_groups(counts: Mapping[str, LabelCounts], many: int = 100, few: int = 20) -> dict[str, list[str]]:
    """Interactions in groups by how many events of all sources together show them.

    Args:
        counts: Of :func:`count_labels`, for example over a training split.
        many: Interactions with more events than this are ``many``.
        few: Interactions with fewer events than this are ``few``; what lies between is ``medium``.

    Returns:
        Names by group, most frequent first (:func:`metrics.semtrack.recognition.shot_groups`).

    Raises:
        ValueError: If the thresholds cross.
    """
    total = _ordered(sum((source.interactions for source in counts.values()), Counter()))
    return shot_groups(total, total, many, few)


def _category(target: TargetRecord, source: str) -> str | None:
    if target.category is None:
        return None
    return _categories(source).get(spelling_key(target.category), target.category)


def _merged(events: Iterable[InteractionRecord]) -> list[InteractionRecord]:
    """Events with those of the same subject, object and name that touch as one, in order of their first one."""
    spans: dict[tuple[int, str, int | None], list[InteractionRecord]] = {}
    for event in events:
        spans.setdefault((event.subject, event.interaction, event.object), []).append(event)
    merged = (joined for same in spans.values() for joined in _joined(same))
    return sorted(merged, key=lambda e: (e.start_frame, e.end_frame, e.subject))


def _joined(same: Sequence[InteractionRecord]) -> Iterator[InteractionRecord]:
    ordered = sorted(same, key=lambda event: event.start_frame)
    last = ordered[0]
    for event in ordered[1:]:
        if event.start_frame <= last.end_frame:
            last = replace(last, end_frame=max(last.end_frame, event.end_frame))
        else:
            yield last
            last = event
    yield last


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@cache
def _data(kind: str) -> dict[str, Any]:
    return json.loads((files("dataset_script") / "labels" / f"{kind}.json").read_text(encoding="utf-8"))


@cache
def _interactions(source: str) -> dict[str, tuple[str, ...]]:
    """Unified interactions by the spelling key of a source's names and of the unified names."""
    data = _data("interactions")
    own = data["sources"].get(data["same_as"].get(source, source), {})
    table = {spelling_key(name): (name,) for name in unified_interactions()}
    return table | {spelling_key(name): tuple(names) for name, names in own.items()}


@cache
def _categories(source: str) -> dict[str, str | None]:
    """Unified category by the spelling key of a source's names, the aliases and the unified names."""
    data = _data("categories")
    own = data["sources"].get(source, {})
    table = {**data["aliases"], **{name: name for name in data["names"]}, **own}
    return {spelling_key(name): unified for name, unified in table.items()}
