"""Trains SemTrack with Accelerate: `accelerate launch train.py --stage tracking --images photos/ --output_dir runs/a`.

Stages:
    tracking  the stem's projection, the joint encoder and the box head, on views with template and point prompts
    semantic  the semantic head on clips with interactions; the tracker is frozen and stays as it is

One run holds one stage; the next one starts from its result (`--model`). Every run can be stopped and
resumed at its last checkpoint (`--resume`) with the same result as one that was never stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import HfArgumentParser

from dataset_script.semantic_data import AnnotatedVideo, described_targets, label_maps, read_videos, target_events
from dataset_script.tracking_data import tracking_sampler
from modeling_semtrack import SemTrackConfig, SemTrackImageProcessor, SemTrackModel, SemTrackProcessor
from modeling_semtrack.checkpoint import export_checkpoint, load_checkpoint
from modeling_semtrack.lite0 import load_lite0
from modeling_semtrack.training_clips import (
    ClipDataset,
    SemanticTrainer,
    TargetClip,
    collate_clips,
    extract_clips,
    load_clips,
    mirror_labels,
    save_clips,
    step_labels,
)
from modeling_semtrack.training_views import TrackingViews, collate_views

# Accelerate saves what `main` registers after everything else: a checkpoint with this file is complete.
LAST_FILE_OF_CHECKPOINT = "custom_checkpoint_1.pkl"


@dataclass
class TrainArguments:
    """Everything a run depends on; written to `arguments.json` in the output folder."""

    output_dir: str = field(metadata={"help": "Where checkpoints and the trained model go."})
    stage: str = field(default="tracking", metadata={"help": "tracking or semantic."})
    model: str | None = field(default=None, metadata={"help": "Folder of the model to start from; None: a new one."})
    config: str | None = field(
        default=None, metadata={"help": "JSON with SemTrackConfig fields of a new model or head."}
    )
    lite0: bool = field(default=True, metadata={"help": "Start a new conv stem from EfficientNet-Lite0."})
    freeze_stem: bool = field(default=True, metadata={"help": "Keep the stem as it is."})

    images: str | None = field(default=None, metadata={"help": "Folder of photos."})
    masks: str | None = field(default=None, metadata={"help": "Folder of masks of the photos' main objects."})
    sequences: str | None = field(default=None, metadata={"help": "Folder of OTB-like sequences."})
    exclude: str | None = field(default=None, metadata={"help": "Text file with sequence names to leave out."})
    annotations: list[str] = field(default_factory=list, metadata={"help": "JSON files in the SemTrack layout."})
    videos: list[str] = field(default_factory=list, metadata={"help": "The folder of each file's videos."})
    exclude_videos: str | None = field(default=None, metadata={"help": "Text file with video ids to leave out."})
    clip_steps: int = field(default=16, metadata={"help": "Semantic steps of a training clip."})
    features: str | None = field(
        default=None, metadata={"help": "File that keeps the semantic stage's features; read where it exists."}
    )
    passes: int = field(default=1, metadata={"help": "Feature passes over the videos: other frames, mirrored."})

    steps: int = field(default=1000, metadata={"help": "Optimizer steps."})
    batch_size: int = field(default=32, metadata={"help": "Items per process and step."})
    gradient_accumulation: int = field(default=1, metadata={"help": "Micro-batches per optimizer step."})
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup: float = field(default=0.03, metadata={"help": "Share of the steps with rising rate."})
    decay: float = field(default=0.25, metadata={"help": "Share of the steps, at the end, with falling rate."})
    clip_norm: float = 1.0
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16."})
    workers: int = field(default=2, metadata={"help": "Processes that prepare data."})
    seed: int = 0
    save_every: int = field(default=200, metadata={"help": "Steps between checkpoints."})
    log_every: int = field(default=20, metadata={"help": "Steps between lines of log.jsonl."})
    resume: bool = field(default=False, metadata={"help": "Go on from the last checkpoint in output_dir."})


def main() -> None:
    """One run, from arguments to a saved model."""
    args = parse_arguments()
    output = Path(args.output_dir)
    project = ProjectConfiguration(project_dir=str(output), automatic_checkpoint_naming=True, total_limit=2)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation,
        project_config=project,
    )
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise RuntimeError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but Accelerate runs {accelerator.num_processes} process(es): "
            "set ACCELERATE_USE_CPU=true for several CPU processes"
        )
    check_output(args, output)
    set_seed(args.seed)

    videos = annotated_videos(args)
    model, processor = load_model(args, videos)
    select_trainable(model, args)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=args.learning_rate, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_at, args))
    progress = Progress()
    accelerator.register_for_checkpointing(progress)
    # The schedule is not prepared: it counts optimizer steps here, whatever the number of processes.
    accelerator.register_for_checkpointing(schedule)
    trained = model if args.stage == "tracking" else SemanticTrainer(model)
    trained, optimizer = accelerator.prepare(trained, optimizer)
    if args.resume:
        resume(accelerator, output)

    per_step = args.batch_size * args.gradient_accumulation * accelerator.num_processes
    span = (args.steps * per_step, progress.step * per_step)
    if args.stage == "tracking":
        dataset, collate = tracking_data(args, processor, videos, *span)
    else:
        dataset, collate = semantic_data(args, model, processor, videos, *span)
    loader = DataLoader(dataset, args.batch_size, collate_fn=collate, num_workers=args.workers)
    loader = accelerator.prepare(loader)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_arguments(args, output)
    bar = tqdm(total=args.steps, initial=progress.step, disable=not accelerator.is_main_process, unit="step")
    trained.train()
    if args.freeze_stem:
        model.stem.eval()  # a backbone's batch norms keep their statistics, too
    running: dict[str, float] = {}
    for batch in loader:
        with accelerator.accumulate(trained):
            output_of_batch = trained(**batch)
            accelerator.backward(output_of_batch.loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(trainable, args.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        if not accelerator.sync_gradients:
            continue
        schedule.step()
        progress.step += 1
        bar.update()
        update_running(running, output_of_batch)
        if progress.step % args.log_every == 0 and accelerator.is_main_process:
            bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()})
            write_log(output, {"step": progress.step, "rate": schedule.get_last_lr()[0], **running})
        if progress.step % args.save_every == 0 or progress.step == args.steps:
            accelerator.save_state()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        model.save_pretrained(output / "model")
        processor.save_pretrained(output / "model")
        shutil.rmtree(output / "checkpoint", ignore_errors=True)  # of this run, where it is resumed after its end
        export_checkpoint(model, processor, output / "checkpoint")
        print(f"trained model: {output / 'model'} (for the Hub), {output / 'checkpoint'} (compact)")
    accelerator.end_training()


class Progress:
    """The number of optimizer steps done, saved with every checkpoint."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        """The count."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restores the count."""
        self.step = state["step"]


def parse_arguments() -> TrainArguments:
    """Arguments from the command line, or from one JSON or YAML file and the command line."""
    parser = HfArgumentParser(TrainArguments)
    if len(sys.argv) == 2 and sys.argv[1].endswith((".json", ".yaml", ".yml")):
        parse = parser.parse_json_file if sys.argv[1].endswith(".json") else parser.parse_yaml_file
        return parse(sys.argv[1])[0]
    return parser.parse_args_into_dataclasses()[0]


def check_output(args: TrainArguments, output: Path) -> None:
    """Refuses to overwrite a run, or to resume it with other arguments."""
    saved = output / "arguments.json"
    if args.resume:
        if not saved.exists():
            raise SystemExit(f"nothing to resume in '{output}': it has no arguments.json; start without --resume")
        before = json.loads(saved.read_text())
        changed = [k for k, v in asdict(args).items() if k not in ("resume", "workers") and before.get(k) != v]
        if changed:
            raise SystemExit(f"'{output}' was started with other arguments: {', '.join(changed)}; use a new output_dir")
    elif saved.exists():
        raise SystemExit(f"'{output}' already holds a run; pass --resume true to go on, or another --output_dir")


def write_arguments(args: TrainArguments, output: Path) -> None:
    """Marks the folder as a run, once its data and model are known to load."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "arguments.json").write_text(json.dumps(asdict(args), indent=2) + "\n")


def annotated_videos(args: TrainArguments) -> list[AnnotatedVideo]:
    """The training videos of all annotation files."""
    if len(args.annotations) != len(args.videos):
        raise SystemExit(f"pass one --videos folder per --annotations file, got {args.annotations} and {args.videos}")
    pairs = zip(args.annotations, args.videos)
    return [video for file, folder in pairs for video in read_videos(file, folder, exclude=args.exclude_videos)]


def load_model(args: TrainArguments, videos: list[AnnotatedVideo]) -> tuple[SemTrackModel, SemTrackProcessor]:
    """The model to start from; the semantic stage gives it the label maps of its videos."""
    if args.stage not in ("tracking", "semantic"):
        raise SystemExit(f"stage must be tracking or semantic, got '{args.stage}'")
    fields = json.loads(Path(args.config).read_text()) if args.config else {}
    if args.stage == "semantic":
        if args.model is None or not videos:
            raise SystemExit("the semantic stage needs --model (a trained tracker), --annotations and --videos")
        id2interaction, id2object = label_maps(videos)
        labels = {"id2interaction": id2interaction, "id2object": id2object}
        config = SemTrackConfig.from_pretrained(args.model, **labels, **fields)
        model = SemTrackModel(config)
        tracker, processor = load_checkpoint(args.model)
        weights = {k: v for k, v in tracker.state_dict().items() if not k.startswith("semantic_head.")}
        model.load_state_dict(weights, strict=False)  # all but the semantic head, which is a new one
        return model, processor
    if args.model is not None:
        return load_checkpoint(args.model)
    model = SemTrackModel(SemTrackConfig(**fields))
    if args.lite0 and model.config.stem == "conv":
        load_lite0(model.stem)
    return model, SemTrackProcessor(SemTrackImageProcessor())


def select_trainable(model: SemTrackModel, args: TrainArguments) -> None:
    """Freezes what the stage does not train."""
    semantic = ("semantic_head.",)
    frozen = semantic + ("text_projection.",) + (("stem.",) if args.freeze_stem else ())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(semantic) if args.stage == "semantic" else not name.startswith(frozen))


def tracking_data(
    args: TrainArguments, processor: SemTrackProcessor, videos: list[AnnotatedVideo], length: int, first: int
) -> tuple[Dataset, Callable]:
    """Views with prompts from item `first` on, and their collate function."""
    sampler = tracking_sampler(args.images, args.masks, args.sequences, args.exclude, videos)
    images = processor.image_processor
    dataset = TrackingViews(sampler, images, length, args.batch_size, args.seed, first)
    return dataset, partial(collate_views, processor=images)


def semantic_data(
    args: TrainArguments,
    model: SemTrackModel,
    processor: SemTrackProcessor,
    videos: list[AnnotatedVideo],
    length: int,
    first: int,
) -> tuple[Dataset, Callable]:
    """Clips of features from item `first` on, and their collate function; every process computes all features."""
    if args.features and Path(args.features).exists():
        clips = load_clips(args.features, model.config)
    else:
        clips = compute_clips(args, model, processor, videos)
        if args.features:
            save_clips(clips, args.features, model.config)
    return ClipDataset(clips, args.clip_steps, length, args.seed, first), collate_clips


def compute_clips(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> list[TargetClip]:
    """The frozen tracker's features of all videos."""
    config = model.config
    rng = np.random.default_rng(args.seed)
    clips = []
    model.eval()
    rounds = [(number, place, video) for number in range(args.passes) for place, video in enumerate(videos)]
    for number, place, video in tqdm(rounds, desc="features", unit="video"):
        targets = [
            step_labels(
                target.boxes,
                target_events(video.record, target, config.interaction2id, config.object2id),
                config.semantic_stride,
                phase=2 * number + place,
            )
            for target in described_targets(video.record)
        ]
        frames = video.frames()
        if (place + number) % 2:  # every other video is mirrored, in the next pass the others
            targets = [mirror_labels(labels, video.record.width) for labels in targets]
            frames = ((index, time, np.ascontiguousarray(image[:, ::-1])) for index, time, image in frames)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=args.mixed_precision == "bf16"):
            clips += extract_clips(model, processor.image_processor, frames, targets, rng)
    return clips


def rate_at(args: TrainArguments, step: int) -> float:
    """Learning rate factor: linear warm-up, constant, linear decay to zero."""
    rising = (step + 1) / max(1.0, args.warmup * args.steps)
    falling = (args.steps - step) / max(1.0, args.decay * args.steps)
    return max(0.0, min(1.0, rising, falling))


def resume(accelerator: Accelerator, output: Path) -> None:
    """Loads the last checkpoint and goes on counting after it."""
    folders = sorted((output / "checkpoints").glob("checkpoint_*"), key=lambda p: int(p.name.split("_")[1]))
    cut_off = [folder for folder in folders if not zipfile.is_zipfile(folder / LAST_FILE_OF_CHECKPOINT)]
    folders = [folder for folder in folders if folder not in cut_off]
    if not folders:
        raise SystemExit(f"nothing to resume in '{output}/checkpoints': the run ended before its first checkpoint")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for folder in cut_off:  # the run was stopped while it saved this one
            shutil.rmtree(folder)
    accelerator.load_state(str(folders[-1]))
    accelerator.project_configuration.iteration = int(folders[-1].name.split("_")[1]) + 1


def update_running(running: dict[str, float], output) -> None:
    """Exponential averages of the loss terms."""
    for name, value in {"loss": output.loss, **output.losses}.items():
        value = float(value)
        running[name] = 0.95 * running[name] + 0.05 * value if name in running else value


def write_log(output: Path, row: dict[str, float]) -> None:
    """Appends a row to `log.jsonl`."""
    with open(output / "log.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
