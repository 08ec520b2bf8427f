"""UT-Interaction, leave one sequence out, in the real setting: only a person's first box is given.

    python -m benchmarks.ut_interaction --data DIR --output DIR [--model DIR] [--folds 10] [--steps 600]
        [--other-scenes PHOTOS] [any other argument of train.py, such as --passes 4 --semantic_dropout ...]

For each fold a semantic head learns from the clips of the other sequences (and from `--annotations` and
`--sequences`), with train.py's own arguments, data and losses; the tracker's features of all clips are computed once.
Then the person who acts is followed through every clip of the fold: track, interval, interaction and object are the
model's own. The label of a clip is the interaction with the largest total confidence (score times seconds) over its
events, or the one of the strongest moment where there is no event. The model must not have learned from these clips
before: pass one without a semantic head, or (with `--keep_head true`) one whose head has seen other videos only.

Each fold's answers go to `OUTPUT/<sequence>.json`; a fold that is there is not done again. Prints one JSON object:
accuracy and confusion matrix, frame-level F1, temporal IoU of the event of the right class, whether the right person
carries the event in clips where one acts and the other does not (both are followed, each on its own), the accuracy
on clips that the head has learned from and (`--other-scenes`) on the held-out ones in front of photos, and a table of
the folds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import set_seed

import train
from benchmarks.ut_scores import clip_row, report
from dataset_script.elsewhere import elsewhere, scene_photos
from dataset_script.semantic_data import AnnotatedVideo, read_videos
from modeling_semtrack import SemTrackModel, SemTrackProcessor, SemTrackSession
from modeling_semtrack.checkpoint import BUNDLED
from modeling_semtrack.files import atomic_path
from modeling_semtrack.long_tail import InteractionLoss
from modeling_semtrack.processing_semtrack import clip_box
from modeling_semtrack.training_activity import fit_activity
from modeling_semtrack.training_arguments import TrainArguments, check_arguments, parse_arguments
from modeling_semtrack.training_clips import (
    ClipDataset,
    SemanticTrainer,
    TargetClip,
    collate_clips,
    load_clips,
    save_clips,
)
from modeling_semtrack.training_stages import annotated_videos, compute_clips
from modeling_semtrack.trajectory import SemanticTrajectory

Frames = Iterable[tuple[int, float, np.ndarray]]
USUAL = {
    "steps": 600,
    "batch_size": 8,
    "learning_rate": 6e-4,
    "clip_steps": 12,
    "passes": 2,
    "tracked": True,  # as a session sees the clips
    "ema": 0.99,
}


def main() -> None:
    """Runs the folds that are not done yet, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", required=True, help="folder of UT-Interaction in the SemTrack layout")
    parser.add_argument("--output", required=True, help="folder of the folds' answers and the features")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--folds", type=int, default=10, help="sequences to leave out, from the first one on")
    parser.add_argument("--other-scenes", help="folder of photos to put behind the persons, for a second measurement")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the measurement")
    parser.add_argument("--device", default="cpu")
    arguments, rest = parser.parse_known_args()

    output = Path(arguments.output)
    args = training_arguments(arguments.model, output, rest)
    check_arguments(args)
    photos_in("--backdrops", args.backdrops)
    photos = photos_in("--other-scenes", arguments.other_scenes, held_out=True)
    videos = read_videos(*annotation_files(Path(arguments.data)), split=None)
    others = annotated_videos(args, "train")
    claim(output, args, arguments)
    folds = sorted({sequence_of(video) for video in videos}, key=lambda name: (len(name), name))
    clips: list[TargetClip] = []
    for fold in folds[: arguments.folds]:
        answers = output / f"{fold}.json"
        if answers.exists():
            continue
        clips = clips or features(args, videos + others, output / "features.pt", arguments.device)
        left_out = {str(video.path) for video in videos if sequence_of(video) == fold}
        model, processor = train.load_model(args, videos + others)
        train_head(args, model.to(arguments.device), [clip for clip in clips if clip.video not in left_out])
        model.to(getattr(torch, arguments.dtype))
        rows = measure_fold(model, processor, videos, fold, folds, photos)
        with atomic_path(answers) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    done = {
        fold: json.loads((output / f"{fold}.json").read_text(encoding="utf-8")) for fold in folds[: arguments.folds]
    }
    print(json.dumps(report(done), indent=2))


def training_arguments(model: str, output: Path, words: Sequence[str]) -> TrainArguments:
    """train.py's arguments: those of the command line over `USUAL`."""
    fixed = {"stage": "semantic", "model": model, "output_dir": str(output), "workers": 0}
    usual = [word for name, value in {**USUAL, **fixed}.items() for word in (f"--{name}", str(value))]
    return parse_arguments([*usual, *words])


def photos_in(option: str, folder: str | None, held_out: bool = False) -> list[Path]:
    """The photos that an option names, if it names any.

    Raises:
        SystemExit: If there are too few.
    """
    try:
        return scene_photos(folder, held_out) if folder else []
    except ValueError as error:
        raise SystemExit(f"{option}: {error}") from error


def annotation_files(data: Path) -> tuple[Path, Path]:
    """Annotation file and video folder of a folder of UT-Interaction.

    Raises:
        SystemExit: If there is not one such file.
    """
    found = sorted(data.glob("annotations/ut_interaction_set*.json"))
    if len(found) != 1:
        raise SystemExit(f"'{data}' must hold one annotations/ut_interaction_set*.json, found {len(found)}")
    return found[0], data / "videos"


def claim(output: Path, args: TrainArguments, arguments: argparse.Namespace) -> None:
    """Marks the folder with everything that its answers depend on.

    Raises:
        SystemExit: If it holds answers of other arguments or another model.
    """
    weights = hashlib.sha256((Path(args.model) / "model.safetensors").read_bytes()).hexdigest()
    named = {"data": arguments.data, "other_scenes": arguments.other_scenes, "dtype": arguments.dtype}
    settings = {**named, "weights": weights, **asdict(args)}
    path = output / "arguments.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in settings.keys() | before.keys() if settings.get(name) != before.get(name))
        if changed:
            raise SystemExit(f"'{output}' was begun with other arguments: {', '.join(changed)}; name a new --output")
        return
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def sequence_of(video: AnnotatedVideo) -> str:
    """The recording that a clip was cut from."""
    return video.record.metadata["sequence"]


def features(args: TrainArguments, videos: list[AnnotatedVideo], path: Path, device: str) -> list[TargetClip]:
    """The tracker's features of all videos, kept in a file."""
    model, processor = train.load_model(args, videos)
    if not path.exists():
        save_clips(compute_clips(args, model.to(device), processor, videos, args.passes), path, model.config)
    return load_clips(path, model.config)


def clip_items(args: TrainArguments, clips: Sequence[TargetClip]) -> Dataset:
    """What train.py's semantic stage draws from clips of features."""
    return ClipDataset(clips, args.clip_steps, args.steps * args.batch_size, args.seed, balance=args.balance)


def train_head(args: TrainArguments, model: SemTrackModel, clips: Sequence[TargetClip], items=clip_items) -> None:
    """Trains the semantic head of a model in place, as train.py's semantic stage does, on one device.

    Args:
        args: Steps, rates, batch size and the like.
        model: With a semantic head for the labels of the clips.
        clips: Features with labels.
        items: Of (args, clips): a data set of `args.steps * args.batch_size` clips; the place for augmentation.
    """
    set_seed(args.seed)
    times = [
        sum(index in step for clip in clips for step in clip.interactions()) for index in model.config.id2interaction
    ]
    trainer = SemanticTrainer(model, InteractionLoss(args.interaction_loss, [max(1, count) for count in times]))
    trainer.to(model.device)
    fit_activity(trainer, clips, trainer.interaction_loss, args.balance)
    trainable = train.select_trainable(model, args)
    optimizer = torch.optim.AdamW(trainable, lr=args.learning_rate, weight_decay=args.weight_decay)
    schedule = train.new_schedule(optimizer, args)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(args.ema)) if args.ema else None
    train.training_mode(trainer, model, args)
    batches = DataLoader(items(args, clips), args.batch_size, collate_fn=collate_clips)
    for batch in (bar := tqdm(batches, desc="training", unit="step")):
        batch = send_to_device(batch, model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=args.mixed_precision == "bf16"):
            loss = trainer(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, args.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if average is not None:
            average.update_parameters(model)
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()


def measure_fold(
    model: SemTrackModel,
    processor: SemTrackProcessor,
    videos: Sequence[AnnotatedVideo],
    fold: str,
    folds: Sequence[str],
    photos: Sequence[Path],
) -> dict[str, list[dict]]:
    """Answers (`clip_row`) on the held-out clips, in front of photos, and on those of one sequence that was learned."""
    known = folds[(folds.index(fold) + 1) % len(folds)]
    held_out = [video for video in videos if sequence_of(video) == fold]
    rows: dict[str, list[dict]] = {"held_out": [], "other_scenes": [], "seen": []}
    for video in tqdm(held_out, desc=fold, unit="clip"):
        event = video.record.interactions[0]
        subject = follow(model, processor, video, event.subject, video.frames())
        partner = None
        if event.object is not None and video.record.metadata.get("main_actor") in ("left", "right"):
            partner = follow(model, processor, video, event.object, video.frames())
        rows["held_out"].append(clip_row(video.record, *subject, partner))
    for number, video in enumerate(held_out if photos else []):
        photo = photos[(17 * number + folds.index(fold)) % len(photos)]
        frames = elsewhere(video, photo).frames()
        answer = follow(model, processor, video, video.record.interactions[0].subject, frames)
        rows["other_scenes"].append(clip_row(video.record, *answer))
    for video in (video for video in videos if sequence_of(video) == known):
        answer = follow(model, processor, video, video.record.interactions[0].subject, video.frames())
        rows["seen"].append(clip_row(video.record, *answer))
    return rows


def follow(
    model: SemTrackModel, processor: SemTrackProcessor, video: AnnotatedVideo, person: int, frames: Frames
) -> tuple[SemanticTrajectory, dict[str, float]]:
    """Tracks a person from their first box on: the trajectory, and the best score of each interaction at any step."""
    boxes = next(target.boxes for target in video.record.targets if target.track_id == person)
    session, followed, peaks = SemTrackSession(model, processor), None, {}
    for index, time, image in frames:
        if followed is None and index in boxes:
            followed = session.add_target(image, box=clip_box(boxes[index], image.shape[:2]))
        for state in session.step(image, time=time):
            for seen in state.interactions:
                peaks[seen.interaction] = max(peaks.get(seen.interaction, 0.0), seen.score)
    return session.trajectory(followed), peaks


if __name__ == "__main__":
    main()
