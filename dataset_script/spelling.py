"""Names of classes that mean the same and differ only in how they are written."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache
from itertools import combinations

from dataset_script.findings import WARNING, Finding

SHORTEST_TYPO = 7  # letters; shorter names that differ in one letter are often different words ("boat", "goat")
_IRREGULAR = {"people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse"}
_SENSE = r"(.*?)([nvasr]?\d*)"  # a word, and a WordNet sense without its dots
_SAME_IN_BOTH = ("ss", "us", "is")  # endings of singular words: "grass", "bus", "tennis"


@lru_cache(maxsize=16384)
def plain_words(name: str) -> str:
    """The name in lower case, without accents, its words apart by single spaces.

    Example:
        >>> plain_words("Baby_Seat"), plain_words("moveAway"), plain_words("hand-shake")
        ('baby seat', 'move away', 'hand shake')
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    letters = unicodedata.normalize("NFKD", parted).casefold()
    kept = "".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c))
    return " ".join(kept.split())


@lru_cache(maxsize=16384)
def spelling_key(name: str) -> str:
    """What names that differ only in case, separators or plural have in common.

    Example:
        >>> {spelling_key(name) for name in ("hand-shakes", "Hand_shake", "handshake")}
        {'handshake'}
    """
    return "".join(_singular(word) for word in plain_words(name).split())


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(_SAME_IN_BOTH):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes", "oes")):
        return word[:-2]
    return word[:-1]


def check_spelling(names: Mapping[str, Mapping[str, Set[str]]]) -> Iterator[Finding]:
    """Names that differ only in spelling, and long ones that differ in a single letter.

    Args:
        names: The sources (of data) of each name, by kind of name ("category", "interaction").

    Yields:
        One warning for each group of names.
    """
    for kind, sources in names.items():
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(sources):
            groups[spelling_key(name)].append(name)
        for alike in groups.values():
            if len(alike) > 1:
                yield _warning(kind, alike, sources, "are the same but for case, separators or plural")
        for one, other in _typos(groups):
            yield _warning(kind, [*groups[one], *groups[other]], sources, "differ in a single letter")


def _warning(kind: str, alike: Iterable[str], sources: Mapping[str, Set[str]], why: str) -> Finding:
    told = ", ".join(f"'{name}' ({', '.join(sorted(sources[name]))})" for name in alike)
    return Finding(WARNING, "spelling", "", f"{kind} names", f"{told} {why}: one class or two?")


def _typos(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of keys that become equal by changing, adding or dropping one letter after the first."""
    by_form: dict[str, list[str]] = defaultdict(list)
    for key in sorted(key for key in keys if len(key) >= SHORTEST_TYPO):
        changed = {key[:i] + "?" + key[i + 1 :] for i in range(1, len(key))}
        dropped = {key[:i] + key[i + 1 :] for i in range(1, len(key))}
        for form in changed | dropped | {key}:
            by_form[form].append(key)
    pairs = {
        (one, other)
        for form, same in by_form.items()
        for one, other in combinations(same, 2)
        if (len(one) == len(other)) == ("?" in form) and _is_suspicious(one, other)
    }
    yield from sorted(pairs)


def _is_suspicious(one: str, other: str) -> bool:
    """Whether one letter may be a slip: in a long word, or a lost digit of a sense ("comply.v.0" of WordNet)."""
    (word, sense), (other_word, other_sense) = (re.fullmatch(_SENSE, key).groups() for key in (one, other))
    if word == other_word:
        return len(sense) != len(other_sense)
    return sense == other_sense and min(len(word), len(other_word)) >= SHORTEST_TYPO
