"""What each part of the model, of meta-learning and of the long-tail remedies is worth, on synthetic videos.

    python -m benchmarks.ablation --output runs/ablation --report docs/ablation [--seeds 3] [--only full end_to_end]

Makes the videos, lets the bundled tracker follow the held-out targets, computes its features once, and then trains
every row of `benchmarks/ablation_grid.py` with `train.py`, once for each seed. What is finished is kept in the output
folder and not done again: a stopped run goes on where it was. The report (JSON, Markdown, PNG) is written from what
there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import train
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.files import atomic_path
from modeling_semtrack.meta_learning import Episode
from modeling_semtrack.training_clips import SemanticTrainer

from .ablation_grid import EVERY_RUN, HEAD, VARIANTS, Variant
from .ablation_scores import NO_LABELS, best_threshold, judge, new_episodes, scores
from .ablation_table import aggregate, write_report
from .ablation_world import (
    SHARED,
    TRACKER_DTYPE,
    World,
    held_out,
    make_models,
    make_videos,
    tracking_scores,
    tracks,
    tracks_of,
)

INTERACTIONS = (
    "move away", "push", "follow", "carry", "approach", "handshake", "sit on", "pull", "pick up", "open", "wave to",
    "throw", "ride", "climb", "pet", "hide behind", "cross", "lead", "drop", "enter", "shoot",
)  # fmt: skip
WORLD = {
    "interactions": INTERACTIONS,
    "videos": (300, 20, 44),
    "tail": 1.0,
    "seconds": (4.0, 6.0),
    "fps": 12.5,
    "stride": 3,
    "crop": 96,
    "crop_factor": 2.0,
    "seeds": (6000, 5150, 5170),
}
SHOTS = (60, 20)  # more training events: many-shot; fewer: few-shot
INNER_STEPS, INNER_RATES = (3, 5, 10, 20), (0.03, 0.1)  # what may be chosen on the validation videos
LAST_FILE = "processor_config.json"  # of a saved model
COMPARED_VIDEOS = 2  # tracked again with a trained head in action


def main() -> None:
    """Runs what is missing and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for videos, features and models")
    parser.add_argument("--report", type=Path, help="path without suffix for the .json, .md and .png")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="rows to run (default: all)")
    arguments = parser.parse_args()
    os.environ["ACCELERATE_USE_CPU"] = "true"
    arguments.output.mkdir(parents=True, exist_ok=True)
    world = World(folder=arguments.output.resolve(), **WORLD)  # features are kept by the path of their video
    prepare(world)
    for seed in range(arguments.seeds):
        for name in arguments.only or VARIANTS:
            run(world, name, seed)
    if arguments.report is not None:
        write_report(arguments.report, summary(world, arguments.seeds))


def prepare(world: World) -> None:
    """Videos, models and tracks; features are computed by the first run that needs them."""
    make_videos(world)
    make_models(world, HEAD)
    tracks(world, "test")


def run(world: World, name: str, seed: int) -> dict[str, Any]:
    """Trains and judges one row with one seed, unless that is done already.

    Returns:
        `none` and `support` (see `ablation_scores`), `chosen` on validation, and `minutes` of training.
    """
    result = world.folder / "results" / f"{name}_{seed}.json"
    if result.exists():
        return json.loads(result.read_text())
    variant, output = VARIANTS[name], world.folder / "runs" / f"{name}_{seed}"
    if variant.start:
        run(world, variant.start, seed)
    if not (output / "model" / LAST_FILE).exists():
        shutil.rmtree(output, ignore_errors=True)  # of a run that was stopped
        train.main(words_of(world, name, seed))
        for folder in ("checkpoints", "checkpoint"):
            shutil.rmtree(output / folder)
    began, ended = ((output / file).stat().st_mtime for file in ("arguments.json", f"model/{LAST_FILE}"))
    scores_of = judged(world, variant, output / "model") if variant.section else {}
    scored = {**scores_of, "minutes": (ended - began) / 60}
    result.parent.mkdir(exist_ok=True)
    with atomic_path(result) as temporary:
        temporary.write_text(json.dumps(scored, indent=1) + "\n")
    return scored


def words_of(world: World, name: str, seed: int) -> list[str]:
    """The command line of `train.py` for a row."""
    variant, runs = VARIANTS[name], world.folder / "runs"
    words = {
        **EVERY_RUN,
        **variant.arguments,
        "output_dir": runs / f"{name}_{seed}",
        "model": runs / f"{variant.start}_{seed}" / "model" if variant.start else world.model(variant.source),
        "annotations": world.annotations("train"),
        "videos": world.folder / "train",
        "features": world.features("train", variant.source),
        "seed": seed,
    }
    if variant.start:
        words["keep_head"] = True
    if variant.head:
        words["model_config"] = head_file(world, name, variant)
    return [str(word) for key, value in words.items() for word in (f"--{key}", value)]


def head_file(world: World, name: str, variant: Variant) -> Path:
    """A file with the fields of the row's semantic head."""
    path = world.folder / f"head_{name}.json"
    path.write_text(json.dumps(dict(variant.head)))
    return path


def judged(world: World, variant: Variant, folder: Path) -> dict[str, Any]:
    """The scores of a trained model; what it does with labels is chosen on the validation videos."""
    model, _ = load_checkpoint(folder)
    trainer, names = SemanticTrainer(model), model.config.id2interaction
    episodes = {split: episodes_of(world, split, variant.source) for split in ("validation", "test")}
    tried = [NO_LABELS, *((steps, rate) for rate in variant_rates(variant) for steps in variant_steps(variant))]
    thresholds = {
        adaptation: best_threshold(said, names)
        for adaptation, said in judge(trainer, episodes["validation"], variant.fast, tried).items()
    }
    best = max(tried[1:], key=lambda adaptation: thresholds[adaptation][1])
    said = judge(trainer, episodes["test"], variant.fast, [NO_LABELS, best])
    known = training_events(world)
    return {
        "none": scores(said[NO_LABELS], thresholds[NO_LABELS][0], names, known, SHOTS),
        "support": scores(said[best], thresholds[best][0], names, known, SHOTS),
        "chosen": {"steps": best[0], "rate": best[1], "thresholds": [thresholds[NO_LABELS][0], thresholds[best][0]]},
        "validation": {f"{steps} x {rate}": 100 * score for (steps, rate), (_, score) in thresholds.items()},
    }


def variant_steps(variant: Variant) -> Sequence[int]:
    """The numbers of inner steps to choose from; for the whole head those of the training."""
    return INNER_STEPS if variant.fast == "head" else (variant.arguments["inner_steps"],)


def variant_rates(variant: Variant) -> Sequence[float]:
    """The inner rates to choose from."""
    return INNER_RATES if variant.fast == "head" else (variant.arguments["inner_rate"],)


@lru_cache
def episodes_of(world: World, split: str, source: str) -> list[tuple[Episode, np.ndarray]]:
    """The episodes of a held-out split ([`new_episodes`])."""
    return new_episodes(held_out(world, split, source), EVERY_RUN["support"])


@lru_cache
def training_events(world: World) -> Counter[str]:
    """Events of each interaction in the training videos."""
    return Counter(event.interaction for video in world.read("train") for event in video.record.interactions)


def summary(world: World, seeds: int) -> dict[str, Any]:
    """The report: mean and standard deviation of every finished row, and what the tracker does."""
    results, rows = world.folder / "results", {}
    for name, variant in VARIANTS.items():
        files = [results / f"{name}_{seed}.json" for seed in range(seeds)]
        runs = [json.loads(file.read_text()) for file in files if file.exists()]
        if runs and variant.section:
            about = {"section": variant.section, "title": variant.title, "seeds": len(runs)}
            rows[name] = {**about, "chosen": [one["chosen"] for one in runs], "scores": aggregate(runs)}
    known = training_events(world)
    return {
        "command": " ".join(["python -m benchmarks.ablation", *sys.argv[1:]]),
        "world": {**WORLD, "training_events": dict(known.most_common()), "shots": SHOTS},
        "every_run": {**EVERY_RUN, "head": HEAD},
        "tracking": tracking_only(world, seeds),
        "rows": rows,
    }


def tracking_only(world: World, seeds: int) -> dict[str, Any]:
    """The tracker's scores, and how many models and boxes of theirs were found to be the tracker's to the bit.

    Raises:
        RuntimeError: If training the semantic head has changed the tracker.
    """
    rows = tracks(world, "test")
    models = sorted(
        path
        for name, variant in VARIANTS.items()
        for path in (world.folder / "runs").glob(f"{name}_[0-9]/model")
        if variant.source == SHARED
    )
    tracker = load_file(world.model(SHARED) / "model.safetensors")
    for folder in models:
        weights = load_file(folder / "model.safetensors")
        other = [n for n, w in tracker.items() if "semantic_head." not in n and not torch.equal(w, weights[n])]
        if other:
            raise RuntimeError(f"'{folder}' has changed the tracker's '{other[0]}'")
    boxes = 0
    _, processor = load_checkpoint(BUNDLED)
    for seed in range(seeds):
        folder = world.folder / "runs" / f"full_{seed}" / "model"
        if not folder.exists():
            continue
        model, _ = load_checkpoint(folder, dtype=TRACKER_DTYPE)
        for video, row in zip(world.read("test")[:COMPARED_VIDEOS], rows):
            anew = tracks_of(video, model, processor)
            for before, now in zip(row["tracks"], anew["tracks"]):
                if before["boxes"] != now["boxes"]:
                    raise RuntimeError(f"'{folder}' in action gives other boxes in '{video.record.video_id}'")
                boxes += len(now["boxes"])
    return {**tracking_scores(world, rows), "models": len(models), "boxes": boxes}


if __name__ == "__main__":
    main()
