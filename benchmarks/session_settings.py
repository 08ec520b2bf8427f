"""Which settings of a session track best: one setting at a time is changed, the others stay at their defaults.

    python -m benchmarks.session_settings --sequences DIR [--model DIR] [--most 250] [--only size_rate lost_after]

Every value of `GRID` is tried on the sequences that trainings may see and on those that none has seen
(`--held-out`). Prints one JSON object, after a line of progress per value on stderr: the mean average overlap of
each value, its difference to the defaults', and precision and recall of "present" where the truth says "absent" at
times. A setting is chosen by the first column; the second one is to confirm it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.click_to_box import HELD_OUT
from dataset_script.names import read_names
from dataset_script.sources.otb import BoxSequence, read_sequences
from modeling_semtrack import SemTrackModel, SemTrackProcessor, SemTrackSession, SessionSettings
from modeling_semtrack.benchmarking import SessionTracker, evaluate_tracker
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint

PRESENCE = "presence_threshold"  # of the model's config, not of the session
GRID: dict[str, tuple[float, ...]] = {
    "window_influence": (0.2, 0.3, 0.4, 0.5, 0.6),
    "size_rate": (0.3, 0.5, 0.8, 1.0),
    "template_interval": (5, 10, 20, 50, 100000),
    "template_presence": (0.3, 0.5, 0.7, 0.9),
    PRESENCE: (0.3, 0.4, 0.5, 0.6, 0.7),
    "lost_after": (2, 5, 10),
    "search_interval": (1, 3, 6),
    "found_presence": (0.5, 0.7, 0.85),
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", required=True, help="folder of OTB-like sequences")
    parser.add_argument("--held-out", default=str(HELD_OUT), help="text file with the names that no training has seen")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--most", type=int, default=250, help="frames of a sequence at most")
    parser.add_argument("--only", nargs="+", choices=list(GRID), default=list(GRID), help="settings to change")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()

    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    held_out = read_names(arguments.held_out)
    sequences = [shortened(s, arguments.most) for s in read_sequences(arguments.sequences)]
    groups = {
        "training": [s for s in sequences if s.name not in held_out],
        "held_out": [s for s in sequences if s.name in held_out],
    }
    defaults = {
        **{field.name: field.default for field in fields(SessionSettings)},
        PRESENCE: model.config.presence_threshold,
    }
    rows = []
    for name, value in (bar := tqdm(trials(defaults, arguments.only), unit="setting")):
        scores = {group: measure(model, processor, found, name, value) for group, found in groups.items()}
        rows.append({"setting": name, "value": value, "default": defaults.get(name), **scores})
        bar.write(f"{name}={value}: " + ", ".join(f"{group} {s['ao']:.4f}" for group, s in scores.items()))
    print(json.dumps({"model": arguments.model, "frames": arguments.most, "rows": with_gains(rows)}, indent=2))


def trials(defaults: dict[str, float], names: Sequence[str]) -> list[tuple[str, float | None]]:
    """(setting, value) to try: the defaults first, then every other value of the named settings."""
    others = [(name, value) for name in names for value in GRID[name] if value != defaults[name]]
    return [("defaults", None), *others]


def shortened(sequence: BoxSequence, most: int) -> BoxSequence:
    """Its first frames; one whose target is absent at times stays whole."""
    return sequence if np.isnan(sequence.boxes).any() else replace(sequence, boxes=sequence.boxes[:most])


def measure(
    model: SemTrackModel, processor: SemTrackProcessor, sequences: Sequence[BoxSequence], name: str, value: float | None
) -> dict[str, float | None]:
    """Mean scores of a tracker with one setting changed (None: none)."""
    usual = model.config.presence_threshold
    settings = SessionSettings() if value is None or name == PRESENCE else SessionSettings(**{name: value})
    try:
        if name == PRESENCE:
            model.config.presence_threshold = value
        tracker = SessionTracker(partial(SemTrackSession, model, processor, settings, semantic_stride=0))
        scores = evaluate_tracker(tracker, list(sequences))
    finally:
        model.config.presence_threshold = usual
    known = [target["presence"] for target in scores["targets"].values() if "presence" in target]
    means = {kind: mean([k[kind] for k in known if k[kind] is not None]) for kind in ("precision", "recall")}
    return {**{kind: scores["mean"][kind] for kind in ("ao", "sr50", "sr75")}, **means}


def mean(values: Sequence[float]) -> float | None:
    """None of no values."""
    return sum(values) / len(values) if values else None


def with_gains(rows: list[dict]) -> list[dict]:
    """The rows with `gain`: the average overlap minus that of the first row, by group."""
    groups = [name for name, value in rows[0].items() if isinstance(value, dict)]
    return [{**row, "gain": {g: round(row[g]["ao"] - rows[0][g]["ao"], 4) for g in groups}} for row in rows]


if __name__ == "__main__":
    main()
