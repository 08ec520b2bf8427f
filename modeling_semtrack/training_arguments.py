"""Everything that a training run depends on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml
from transformers import HfArgumentParser

from .long_tail import LOSSES, RETRAINING
from .meta_learning import InnerLoopSettings

STAGES = ("tracking", "semantic", "joint", "meta")
SCHEDULES = {"trapezoid": "warmup_stable_decay", "cosine": "cosine", "constant": "constant_with_warmup"}
COUNTS = ("steps", "batch_size", "gradient_accumulation", "clip_steps", "passes", "support", "save_every", "log_every")
ELSEWHERE = 3  # of so many passes the last one has other scenes, where there are backdrops


@dataclass
class TrainArguments:
    """Everything a run depends on; written to `arguments.json` in the output folder."""

    output_dir: str = field(metadata={"help": "Where checkpoints and the trained model go."})
    stage: str = field(default="tracking", metadata={"help": f"One of {', '.join(STAGES)}."})
    model: str | None = field(default=None, metadata={"help": "Folder of the model to start from; None: a new one."})
    model_config: str | None = field(
        default=None, metadata={"help": "JSON with SemTrackConfig fields of a new model or head."}
    )
    lite0: bool = field(default=True, metadata={"help": "Start a new conv stem from EfficientNet-Lite0."})
    freeze_stem: bool = field(default=True, metadata={"help": "Keep the stem as it is."})
    keep_head: bool = field(
        default=False, metadata={"help": "Go on with the model's semantic head and labels, in place of a new head."}
    )
    lora_rank: int = field(default=0, metadata={"help": "Train low-rank updates (peft) of attention of this rank."})

    # Data
    images: str | None = field(default=None, metadata={"help": "Folder of photos."})
    masks: str | None = field(default=None, metadata={"help": "Folder of masks of the photos' main objects."})
    sequences: str | None = field(
        default=None, metadata={"help": "Folder of OTB-like sequences; to the semantic head they show no interaction."}
    )
    exclude: str | None = field(default=None, metadata={"help": "Text file with sequence names to leave out."})
    annotations: list[str] = field(default_factory=list, metadata={"help": "JSON files in the SemTrack layout."})
    videos: list[str] = field(default_factory=list, metadata={"help": "The folder of each file's videos."})
    exclude_videos: str | None = field(default=None, metadata={"help": "Text file with video ids to leave out."})
    clip_steps: int = field(default=16, metadata={"help": "Semantic steps of a training clip."})
    features: str | None = field(
        default=None, metadata={"help": "File that keeps the frozen tracker's features; read where it exists."}
    )
    passes: int = field(default=1, metadata={"help": "Feature passes over the videos, each of which varies them."})
    backdrops: str | None = field(
        default=None,
        metadata={"help": "Folder of photos: every third pass sees targets in front of one, from an unsteady hand."},
    )
    tracked: bool = field(
        default=False,
        metadata={"help": "Features around the tracker's own boxes, which a session sees, not annotated ones."},
    )

    # Long tail
    interaction_loss: str = field(
        default="cross_entropy", metadata={"help": "cross_entropy, focal, balanced_softmax or ldam."}
    )
    balance: float = field(default=0.5, metadata={"help": "0 draws all clips alike, 1 all interactions."})
    retrain: str | None = field(default=None, metadata={"help": "Second stage of the classifier alone: crt or lws."})

    # Episodes
    fast: str = field(default="head", metadata={"help": "What adapts: head (ANIL), semantic (MAML) or lora."})
    inner_steps: int = 3
    inner_rate: float = 0.01
    first_order: bool = False
    learn_rates: bool = field(default=False, metadata={"help": "Learn the inner rates (Meta-SGD)."})
    algorithm: str = field(default="maml", metadata={"help": "maml or reptile."})
    support: int = field(default=5, metadata={"help": "Support steps per interaction of a clip."})

    # Optimization
    steps: int = field(default=1000, metadata={"help": "Optimizer steps."})
    batch_size: int = field(default=32, metadata={"help": "Items (episodes) per process and step."})
    gradient_accumulation: int = field(default=1, metadata={"help": "Micro-batches per optimizer step."})
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    schedule: str = field(default="trapezoid", metadata={"help": f"One of {', '.join(SCHEDULES)}."})
    warmup: float = field(default=0.03, metadata={"help": "Share of the steps with rising rate."})
    decay: float = field(default=0.25, metadata={"help": "Share of the steps, at the end, with falling rate."})
    clip_norm: float = 1.0
    ema: float = field(default=0.0, metadata={"help": "Decay of the averaged weights that are kept; 0: no average."})

    # Machine
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16."})
    activation_checkpointing: bool = field(default=False, metadata={"help": "Less memory, a third more time."})
    compile: bool = field(default=False, metadata={"help": "torch.compile."})
    workers: int = field(default=2, metadata={"help": "Processes that prepare data."})
    seed: int = 0

    # Records
    save_every: int = field(default=200, metadata={"help": "Steps between checkpoints."})
    log_every: int = field(default=20, metadata={"help": "Steps between lines of log.jsonl."})
    evaluate_every: int = field(default=0, metadata={"help": "Steps between evaluations on the held-out data."})
    report_to: str = field(default="none", metadata={"help": "tensorboard, trackio or none."})
    push_to_hub: str | None = field(default=None, metadata={"help": "Repository to which the model is uploaded."})
    resume: bool = field(default=False, metadata={"help": "Go on from the last checkpoint in output_dir."})


def parse_arguments(words: Sequence[str] | None = None) -> TrainArguments:
    """Arguments of the command line, over those of the file that `--config FILE` (or a lone first word) names.

    Args:
        words: Of the command line; None takes this process's.
    """
    words = sys.argv[1:] if words is None else list(words)
    if words and not words[0].startswith("-"):
        words = ["--config", *words]
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument(
        "--config", metavar="FILE", help="YAML or JSON file of arguments; the command line overrides it."
    )
    named, words = files.parse_known_args(words)
    if named.config:
        words = [*read_words(named.config), *words]
    parser = HfArgumentParser(TrainArguments, parents=[files], allow_abbrev=False)
    return parser.parse_args_into_dataclasses(words)[0]


def read_words(file: str) -> list[str]:
    """A YAML or JSON file of arguments as the words of a command line, so that both are checked alike.

    Raises:
        SystemExit: If the file cannot be read, or names what is no argument.
    """
    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, yaml.YAMLError) as error:
        raise SystemExit(f"'{file}' cannot be read as YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SystemExit(f"'{file}' must hold arguments by name, got {type(values).__name__}")
    unknown = sorted(set(values) - {argument.name for argument in fields(TrainArguments)})
    if unknown:
        raise SystemExit(f"'{file}' names no argument of train.py: {', '.join(unknown)}; see train.py --help")
    words = []
    for name, value in values.items():
        if value not in (None, []):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


def inner_settings(args: TrainArguments) -> InnerLoopSettings:
    """How episodes adapt.

    Raises:
        ValueError: If the settings do not fit together.
    """
    return InnerLoopSettings(
        args.fast, args.inner_steps, args.inner_rate, args.first_order, args.learn_rates, args.algorithm
    )


def check_arguments(args: TrainArguments) -> None:
    """Refuses what does not fit together before anything is loaded."""
    choices = {"stage": STAGES, "schedule": SCHEDULES, "interaction_loss": LOSSES, "retrain": (None, *RETRAINING)}
    for name, allowed in choices.items():
        if getattr(args, name) not in allowed:
            raise SystemExit(f"{name} must be one of {', '.join(map(str, allowed))}, got '{getattr(args, name)}'")
    for name in COUNTS:
        if getattr(args, name) < 1:
            raise SystemExit(f"{name} must be 1 or more, got {getattr(args, name)}")
    if args.retrain and (args.stage != "semantic" or not args.keep_head):
        raise SystemExit("retrain is a second stage: pass --stage semantic --keep_head true with a trained --model")
    if args.interaction_loss != "cross_entropy" and args.stage not in ("semantic", "meta"):
        raise SystemExit(f"interaction_loss belongs to the semantic and the meta stage, not to {args.stage}")
    if args.backdrops and (args.stage not in ("semantic", "meta") or args.passes < ELSEWHERE):
        raise SystemExit(f"backdrops belong to a semantic or meta stage of {ELSEWHERE} --passes or more")
    if args.stage == "meta":
        inner_settings(args)
        if args.fast == "lora" and not args.lora_rank:
            raise SystemExit("fast weights 'lora' need --lora_rank")
        if args.mixed_precision == "fp16":
            raise SystemExit("episodes take unscaled gradients in the forward pass, where fp16 underflows; use bf16")
        if args.activation_checkpointing and args.fast != "head":
            raise SystemExit(f"activation checkpointing gives wrong gradients for fast '{args.fast}'; leave it out")
    if not 0.0 <= args.ema < 1.0:
        raise SystemExit(f"ema is a decay in [0, 1), got {args.ema}")
    if args.stage != "tracking" and args.model is None:
        raise SystemExit(f"the {args.stage} stage needs --model (a trained tracker), --annotations and --videos")
    if args.stage == "tracking" and args.model is not None and args.model_config is not None:
        raise SystemExit("model_config describes a new network, and --model names one that is trained; leave one out")
