"""How much there is in a data set: counts, classes, and the long tail of their frequencies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_script import media
from dataset_script.records import VideoRecord

MANY, FEW = 100, 20  # events (or tracks) of a class: more than MANY is "many", less than FEW is "few"
KINDS = {"interactions": "events", "categories": "tracks"}  # classes, and what counts them
SINGULAR = {"interactions": "interaction", "categories": "category"}
LISTED = 60  # classes that the table in words names
NAMED = 36  # classes up to which the figure names them
FIGURE_SIZE, DOTS_PER_INCH = (9.0, 4.2), 110  # inches


class DatasetStatistics:
    """Counts over records, which are taken one at a time and not kept.

    Attributes:
        classes: How often each name occurs, by kind of class: interactions by events, categories by tracks.
        by_source: Counts of each source.
        by_split: Counts of each split.
    """

    def __init__(self) -> None:
        self.classes: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self.by_source: dict[str, Counter[str]] = defaultdict(Counter)
        self.by_split: dict[str, Counter[str]] = defaultdict(Counter)
        self._visible: list[int] = []  # frames of each track with boxes
        self._lasting: list[float] = []  # seconds of each event

    def add(self, record: VideoRecord, split: str | None) -> None:
        """Counts one video.

        Args:
            record: The video.
            split: The split that it belongs to, or None.
        """
        events = record.interactions
        counts = Counter(
            {
                "videos": 1,
                "frames": record.num_frames,
                "seconds": record.num_frames / record.fps,
                "tracks": len(record.targets),
                "main targets": sum(target.main for target in record.targets),
                "boxes": sum(len(target.boxes) for target in record.targets),
                "events": len(events or ()),
                "events without an object": sum(event.object is None for event in events or ()),
                "videos without annotated interactions": int(events is None),
                "videos with a sentence": int(record.prompt is not None),
            }
        )
        self.by_source[record.source].update(counts)
        self.by_split[split or "no split"].update(counts)
        self.classes["interactions"].update(event.interaction for event in events or ())
        self.classes["categories"].update(target.category for target in record.targets if target.category)
        self._visible += [len(target.boxes) for target in record.targets if target.boxes]
        self._lasting += [(event.end_frame - event.start_frame) / record.fps for event in events or ()]

    @property
    def total(self) -> Counter[str]:
        """Counts of everything."""
        total: Counter[str] = Counter()
        for counts in self.by_source.values():
            total.update(counts)
        return total

    def to_dict(self) -> dict[str, Any]:
        """All statistics as plain JSON types."""
        return {
            "total": _rounded(self.total),
            "sources": {name: _rounded(counts) for name, counts in self.by_source.items()},
            "splits": {name: _rounded(counts) for name, counts in self.by_split.items()},
            "boxes per track": _spread(self._visible),
            "seconds per event": _spread(self._lasting),
            **{kind: tail(counts) for kind, counts in self.classes.items()},
        }

    def to_markdown(self) -> str:
        """The statistics section of a dataset card."""
        columns = ("videos", "frames", "seconds", "tracks", "boxes", "events")
        rows = [(name, counts) for name, counts in self.by_source.items()]
        rows += [(f"split {name}", counts) for name, counts in self.by_split.items()] if len(self.by_split) > 1 else []
        rows += [("all", self.total)] if len(self.by_source) > 1 else []
        lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
        for name, counts in rows:
            lines.append(f"| {name} | " + " | ".join(f"{round(counts[c]):,}" for c in columns) + " |")
        for kind, counts in self.classes.items():
            if counts:
                lines += ["", *_tail_in_words(kind, tail(counts))]
        return "\n".join(lines)


def tail(counts: Mapping[str, int]) -> dict[str, Any]:
    """How long-tailed classes are.

    Args:
        counts: How often each class occurs.

    Returns:
        "classes": their number; "imbalance": count of the most frequent over that of the rarest; "gini": Gini
        coefficient of the counts, 0 where all are equal; "many", "medium", "few": number of classes with more
        than :data:`MANY`, up to it, and less than :data:`FEW`; "counts": the counts, most frequent first.
    """
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    values = np.array(sorted(ordered.values()), dtype=float)
    if not len(values):
        return {"classes": 0, "imbalance": None, "gini": None, "many": 0, "medium": 0, "few": 0, "counts": {}}
    shares = values.cumsum() / values.sum()
    return {
        "classes": len(values),
        "imbalance": round(float(values[-1] / values[0]), 2),
        "gini": round(float((len(values) + 1 - 2 * shares.sum()) / len(values)), 3),
        "many": int((values > MANY).sum()),
        "medium": int(((values >= FEW) & (values <= MANY)).sum()),
        "few": int((values < FEW).sum()),
        "counts": ordered,
    }


def save_long_tail(statistics: DatasetStatistics, path: str | Path) -> None:
    """Draws the frequency of each class by its rank, interactions beside categories, and writes the picture.

    Args:
        statistics: Counts with at least one class.
        path: An image file; it is replaced.

    Raises:
        ValueError: If there is no class, or the suffix is of no picture that matplotlib writes.
        OutputError: If the file cannot be written.
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "figures of statistics need matplotlib, not installed here: pip install matplotlib"
        ) from error

    shown = {kind: counts for kind, counts in statistics.classes.items() if counts}
    if not shown:
        raise ValueError("there are no classes to draw: no record names a category or an interaction")
    figure = Figure(figsize=FIGURE_SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (kind, counts) in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown.items()):
        _draw_tail(axes, kind, tail(counts))
    if Path(path).suffix.lower().lstrip(".") not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"--figure must be an image file such as tail.png, got '{path}'")
    with media.atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None} if Path(path).suffix.lower() == ".png" else None)


def _draw_tail(axes: Any, kind: str, facts: Mapping[str, Any]) -> None:
    names, counts = list(facts["counts"]), list(facts["counts"].values())
    ranks, named = range(1, len(names) + 1), len(names) <= NAMED
    axes.bar(ranks, counts, color="#0072b2", width=0.8 if named else 1.0)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_title(
        f"{_counted(facts['classes'], kind)}, most to rarest {facts['imbalance']:.3g} : 1", fontsize=11, loc="left"
    )
    axes.set_ylabel(KINDS[kind])
    if named:
        axes.set_xticks(ranks, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    else:
        axes.set_xlabel("rank")
    for limit, word in ((MANY, "many"), (FEW, "few")):
        if min(counts) <= limit <= max(counts):
            axes.axhline(limit, color="#d55e00", linewidth=0.8, linestyle="--")
            where = "above" if word == "many" else "below"
            axes.text(
                len(names) - 0.5, limit * 1.05, f"{word}: {where} {limit}", ha="right", fontsize=8, color="#a04000"
            )
    axes.spines[["top", "right"]].set_visible(False)


def _tail_in_words(kind: str, facts: Mapping[str, Any]) -> list[str]:
    named = list(facts["counts"].items())
    listed = ", ".join(f"{name} {count:,}" for name, count in named[:LISTED])
    more = f", and {len(named) - LISTED} more" if len(named) > LISTED else ""
    return [
        f"**{_counted(facts['classes'], kind)}** (counted in {KINDS[kind]}; {facts['many']} with more than {MANY}, "
        f"{facts['medium']} medium, {facts['few']} with less than {FEW}; most to rarest {facts['imbalance']:.3g} : 1, "
        f"Gini {facts['gini']:g}): {listed}{more}."
    ]


def _counted(number: int, kind: str) -> str:
    return f"{number} {SINGULAR[kind] if number == 1 else kind}"


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    numbers = np.array(list(values), dtype=float)
    if not len(numbers):
        return None
    low, middle, high = np.percentile(numbers, (5, 50, 95))
    named = {"5%": low, "median": middle, "95%": high, "mean": numbers.mean()}
    return {name: round(float(value), 3) for name, value in named.items()}


def _rounded(counts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in counts.items()}
