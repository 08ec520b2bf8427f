"""The ablation's report: mean and standard deviation over seeds as JSON, Markdown tables and a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling_semtrack.files import atomic_path

BEGIN, END = "<!-- tables: written by benchmarks/ablation.py -->", "<!-- end of tables -->"
LABELS = {"none": "Without labels of the test video", "support": "After learning the test video's support labels"}
COLUMNS = {
    "F1": ("f1", "overall"),
    "many": ("f1", "many"),
    "medium": ("f1", "medium"),
    "few": ("f1", "few"),
    "scene": ("f1", "scene_dependent"),
    "accuracy": ("accuracy", "overall"),
    "acc. many": ("accuracy", "many"),
    "acc. medium": ("accuracy", "medium"),
    "acc. few": ("accuracy", "few"),
}
GROUP_COLOURS = {"many": "#2b5c8a", "medium": "#7ba3c9", "few": "#d1495b"}
BAR_COLOUR = "#dfe3e8"


def aggregate(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample; 0 for one run) of every number of nested scores.

    Args:
        runs: The same row with other seeds: nested dictionaries of numbers, lists and None.

    Returns:
        The same structure with `{"mean", "std"}` in place of numbers; what is None in a run is None.
    """
    first = runs[0]
    if isinstance(first, Mapping):
        return {name: aggregate([run[name] for run in runs]) for name in first}
    if first is None or isinstance(first, Sequence) or any(run is None for run in runs):
        return None
    return {"mean": float(np.mean(runs)), "std": float(np.std(runs, ddof=1)) if len(runs) > 1 else 0.0}


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Writes `path`.json and .png, and the tables into `path`.md between their marks; other text there stays.

    Args:
        path: Without suffix.
        report: `command`, `world`, `tracking`, and `rows`: by name `section`, `title` and the aggregated scores.

    Raises:
        ValueError: If there is a page without the marks.
    """
    page = path.with_suffix(".md")
    before, after = "# Ablation\n\n", "\n"
    if page.exists():
        text = page.read_text()
        if BEGIN not in text or END not in text:
            raise ValueError(f"'{page}' has no place for the tables: put '{BEGIN}' and '{END}' into it")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{tables(report)}\n{END}{after}")
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    draw(path.with_suffix(".png"), report["rows"])


def tables(report: Mapping[str, Any]) -> str:
    """Both tables in Markdown, and what the tracker does under them."""
    parts = []
    for labels, title in LABELS.items():
        lines = [f"**{title}**", "", "| | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
        section = None
        for row in report["rows"].values():
            if row["section"] != section:
                section = row["section"]
                lines.append(f"| *{section}* |" + " |" * len(COLUMNS))
            cells = [cell(row["scores"][labels][kind][group]) for kind, group in COLUMNS.values()]
            lines.append(f"| {row['title']} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    tracking = report["tracking"]
    parts.append(
        f"Tracking only: average overlap {100 * tracking['ao']:.1f}, success at 0.5 {100 * tracking['sr50']:.1f}; "
        f"in all {tracking['models']} models the tracker's weights are the same to the bit, and with the heads of "
        f"`full` in action {tracking['boxes']} of {tracking['boxes']} boxes are, too."
    )
    return "\n\n".join(parts) + "\n"


def cell(value: Mapping[str, float] | None) -> str:
    """Mean and standard deviation; a dash where there is nothing to score."""
    return "-" if value is None else f"{value['mean']:.1f} ± {value['std']:.1f}"


def draw(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Mean F1 of each row with its standard deviation, and those of many-, medium- and few-shot interactions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.2 + 0.3 * len(rows)), layout="constrained")
    places = np.arange(len(rows))[::-1]
    for axes, (labels, title) in zip(figure.subplots(1, 2, sharey=True, sharex=True), LABELS.items()):
        f1 = [row["scores"][labels]["f1"] for row in rows.values()]
        bars = {part: [values["overall"][part] for values in f1] for part in ("mean", "std")}
        axes.barh(places, bars["mean"], xerr=bars["std"], color=BAR_COLOUR, ecolor="#8a939e", label="all")
        for group, colour in GROUP_COLOURS.items():
            means = [np.nan if values[group] is None else values[group]["mean"] for values in f1]
            axes.plot(means, places, "o", color=colour, markersize=5, label=f"{group}-shot")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("interaction F1 (%)")
        axes.set_yticks(places, [row["title"] for row in rows.values()], fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
