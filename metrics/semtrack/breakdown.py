"""Where the scores come from: a table with a line per video, and a figure of the videos and interactions that fail."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modeling_semtrack.files import atomic_path

from .recognition import summarise_recognition, video_recognition
from .rows import RowPair
from .semantic_trajectory import summarise_trajectories, video_trajectories
from .tracking import summarise_tracking, video_tracking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("video_id", "frames", "targets", "ao", "sr50", "accuracy", "f1", "events", "found", "missed", "invented")
FIGURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")
ALL_VIDEOS = "all videos"
MOST_VIDEOS, LONGEST_NAME = 40, 30
ROW_INCHES, COLUMN_INCHES, BAR_INCHES = 0.27, 0.46, 2.6
BOX_COLOUR, RIGHT_COLOUR, GUIDE_COLOUR = "#b9c4d0", "#2b5c8a", "#dfe3e8"
LEGEND = "numbers: F1 by frames, in %     +: said, never true     (n): true events"
BAD_TO_GOOD = "RdYlBu"


def video_table(
    pairs: Sequence[RowPair], association: str = "viou", tiou: float = 0.5, object_viou: float = 0.5
) -> list[dict[str, Any]]:
    """What happened in each video, in the order of the pairs.

    Args:
        pairs: From :func:`.rows.pair_rows`.
        association: Which predicted track stands for a target, see :func:`.tracking.associate_tracks`.
        tiou: Temporal IoU from which an event counts as found.
        object_viou: Volume IoU that its object must reach, if it is located.

    Returns:
        Per video the :data:`COLUMNS`: ``ao`` and ``sr50`` of its targets; ``accuracy`` (box and interactions
        right, see :mod:`.semantic_trajectory`) and ``f1`` (micro, see :mod:`.recognition`), by frames; the number
        of true ``events`` and of those ``found``; the interactions of those ``missed`` and of predicted ones that
        match none (``invented``), as ``"hug, push x2"``. None where a score is undefined.
    """
    return [_table_row(pair, association, tiou, object_viou) for pair in pairs]


def write_table(table: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes a table of :func:`video_table` as CSV; a score that is undefined is an empty cell.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)


def check_figure(path: str | os.PathLike[str]) -> None:
    """Everything about a figure that would otherwise show when the work is done.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the suffix is none of :data:`FIGURE_SUFFIXES`.
    """
    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise ValueError(f"the figure must be a file that ends in {', '.join(FIGURE_SUFFIXES)}, got '{path}'")
    if find_spec("matplotlib") is None:
        raise ImportError("the figure needs matplotlib: pip install matplotlib")


def save_breakdown(pairs: Sequence[RowPair], path: str | os.PathLike[str], association: str = "viou") -> None:
    """Draws which videos and which interactions fail, the worst videos at the top.

    On the left a bar for each video's average overlap, and inside it one for the share of frames in which box and
    interactions are right; on the right the F1 of each interaction in each video, by frames. At most
    :data:`MOST_VIDEOS` videos are shown.

    Args:
        pairs: From :func:`.rows.pair_rows`, at least one.
        path: A file with one of the :data:`FIGURE_SUFFIXES`.
        association: Which predicted track stands for a target, see :func:`.tracking.associate_tracks`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no video, or the suffix is another one.
        OutputError: If the file cannot be written.
    """
    check_figure(path)
    if not pairs:
        raise ValueError("a breakdown needs at least one video, got none")
    figure = _draw(pairs, association)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _table_row(pair: RowPair, association: str, tiou: float, object_viou: float) -> dict[str, Any]:
    tracking = summarise_tracking(video_tracking(pair, association))
    recognition = summarise_recognition([video_recognition(pair, association)])
    events = video_trajectories(pair, [tiou], object_viou, association=association)
    hits = events.hits[0]
    found = Counter(events.interactions[hits].tolist())
    return {
        "video_id": pair.reference.video_id,
        "frames": pair.reference.num_frames,
        "targets": len(pair.reference.targets),
        "ao": tracking["ao"],
        "sr50": tracking["sr50"],
        "accuracy": events.right_frames / events.num_frames if events.num_frames else None,
        "f1": recognition["micro_f1"],
        "events": sum(events.num_events.values()),
        "found": int(hits.sum()),
        "missed": _listed(Counter(events.num_events) - found),
        "invented": _listed(Counter(events.interactions[~hits].tolist())),
    }


def _listed(counts: Counter[str]) -> str:
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in sorted(counts.items()))


class _Line(NamedTuple):
    """A line of the figure: one video, or all of them."""

    name: str
    ao: float
    accuracy: float
    interactions: Mapping[str, Mapping[str, Any]]  # as in `per_class` of the recognition


def _line(name: str, pairs: Sequence[RowPair], association: str) -> _Line:
    """Scores of some videos; undefined ones count as 0."""
    tracking = summarise_tracking([target for pair in pairs for target in video_tracking(pair, association)])
    events = summarise_trajectories([video_trajectories(pair, association=association) for pair in pairs])
    recognition = summarise_recognition([video_recognition(pair, association) for pair in pairs])
    return _Line(name, tracking["ao"] or 0.0, events["accuracy"] or 0.0, recognition["per_class"])


def _draw(pairs: Sequence[RowPair], association: str) -> Figure:
    from matplotlib.figure import Figure

    total = _line(ALL_VIDEOS, pairs, association)
    videos = [_line(pair.reference.video_id, [pair], association) for pair in pairs]
    worst = sorted(videos, key=lambda line: (line.accuracy, line.ao))[:MOST_VIDEOS]
    interactions = sorted(total.interactions, key=lambda name: _rank(total.interactions[name]))
    widths = (BAR_INCHES, max(len(interactions), 1) * COLUMN_INCHES)
    height = (len(worst) + 1) * ROW_INCHES
    figure = Figure(figsize=(sum(widths) + 3.4, height + 2.4), layout="constrained")
    bars, matrix = figure.subplots(1, 2, width_ratios=widths, sharey=True)
    _draw_bars(bars, [total, *worst])
    _draw_matrix(matrix, [total, *worst], interactions, _events_by_interaction(pairs))
    left_out = "" if len(worst) == len(videos) else f", the {len(worst)} worst of {len(videos)} videos"
    figure.suptitle(f"Where it fails{left_out}", fontsize=11, x=0.01, horizontalalignment="left")
    figure.supxlabel(LEGEND, fontsize=8, x=0.99, horizontalalignment="right")
    return figure


def _rank(scores: Mapping[str, Any]) -> tuple[bool, float]:
    """The worst interaction first, those that are nowhere true last."""
    return not scores["support"], scores["f1"]


def _events_by_interaction(pairs: Sequence[RowPair]) -> Counter[str]:
    return Counter(event.interaction for pair in pairs for event in pair.reference.events)


def _draw_bars(axes: Axes, lines: Sequence[_Line]) -> None:
    places = range(len(lines))
    axes.barh(places, [line.ao for line in lines], height=0.8, color=BOX_COLOUR, label="average overlap")
    accuracies = [line.accuracy for line in lines]
    axes.barh(places, accuracies, height=0.4, color=RIGHT_COLOUR, label="frames with box and interactions right")
    axes.set_yticks(places, [_shortened(line.name) for line in lines], fontsize=8)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_xlim(0, 1)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.axhline(0.5, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8, frameon=False)


def _draw_matrix(axes: Axes, lines: Sequence[_Line], interactions: Sequence[str], events: Mapping[str, int]) -> None:
    scores = [[line.interactions.get(name, {"f1": None, "support": 0}) for name in interactions] for line in lines]
    shares = np.array([[cell["f1"] for cell in row] for row in scores], dtype=np.float64)  # NaN: neither true nor said
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if not interactions:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no interactions", transform=axes.transAxes, horizontalalignment="center", fontsize=8)
        return
    axes.hlines(range(len(lines)), -0.5, len(interactions) - 0.5, color=GUIDE_COLOUR, linewidth=0.6, zorder=0)
    axes.imshow(shares, cmap=BAD_TO_GOOD, vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(~np.isnan(shares)):
        invented = not scores[row][column]["support"]
        text = "+" if invented else f"{100 * shares[row, column]:.0f}"
        colour = "black" if 0.2 < shares[row, column] < 0.8 else "white"
        axes.text(column, row, text, color=colour, fontsize=7, horizontalalignment="center", verticalalignment="center")
    axes.axhline(0.5, color="black", linewidth=0.8)
    axes.tick_params(axis="y", labelleft=False)
    axes.xaxis.tick_top()
    labels = [f"{_shortened(name)} ({events.get(name, 0)})" for name in interactions]
    axes.set_xticks(range(len(interactions)), labels, fontsize=8, rotation=40, horizontalalignment="left")


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
