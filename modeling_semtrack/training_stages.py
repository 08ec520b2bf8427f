"""What each stage of `train.py` trains, on what data, and how it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from dataset_script.elsewhere import elsewhere, scene_photos
from dataset_script.names import read_names
from dataset_script.semantic_data import AnnotatedVideo, described_targets, label_maps, read_videos, target_events
from dataset_script.sources.otb import BoxSequence, read_sequences
from dataset_script.tracking_data import idle_videos, tracking_sampler
from metrics.semtrack.recognition import FrameCounts, VideoRecognition, summarise_recognition

from .benchmarking import SessionTracker, evaluate_tracker
from .configuration_semtrack import SemTrackConfig
from .long_tail import InteractionLoss
from .loss_semtrack import SemTrackTargets
from .meta_learning import MetaEpisode
from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor
from .session_semtrack import SemTrackSession
from .training_activity import fit_activity
from .training_arguments import ELSEWHERE, TrainArguments, inner_settings
from .training_clips import (
    ClipDataset,
    SemanticTrainer,
    StepLabel,
    TargetClip,
    collate_clips,
    extract_clips,
    load_clips,
    mirror_labels,
    save_clips,
    step_labels,
)
from .training_episodes import NO_EPISODE, EpisodeDataset, has_episode, has_repeated, make_episode
from .training_evaluation import count_recognised
from .training_joint import JointClips, collate_joint
from .training_tracks import at_tracked_boxes
from .training_views import TrackingViews, collate_views


@dataclass
class Stage:
    """What a stage trains, on what, and how well it does.

    Attributes:
        trained: Its forward gives an output with `loss` and `losses`.
        dataset: Of (total items, first item).
        collate: Items to keyword arguments of `trained`.
        evaluate: Of (model, this process, number of processes): the scores by held-out video of this process's share.
        score: Of the gathered scores: the numbers to log; the first one decides what is best.
    """

    trained: nn.Module
    dataset: Callable[[int, int], Dataset]
    collate: Callable[[list], dict]
    evaluate: Callable[[SemTrackModel, int, int], list]
    score: Callable[[list], dict[str, float]]


def new_stage(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> Stage:
    """The stage that the arguments name."""
    make = {"tracking": tracking_stage, "joint": joint_stage}.get(args.stage, feature_stage)
    return make(args, model, processor, videos)


def tracking_stage(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> Stage:
    """Views with prompts; judged by the average overlap on the excluded sequences."""
    sampler = tracking_sampler(args.images, args.masks, args.sequences, args.exclude, videos)
    images = processor.image_processor
    held_out = held_out_sequences(args) if args.evaluate_every else []

    def evaluate(model: SemTrackModel, process: int, processes: int) -> list[tuple[str, float]]:
        return [(s.name, overlap_on(s, model, processor)) for s in held_out[process::processes]]

    return Stage(
        trained=model,
        dataset=lambda length, first: TrackingViews(sampler, images, length, args.batch_size, args.seed, first),
        collate=partial(collate_views, processor=images),
        evaluate=evaluate,
        score=lambda rows: {"ao": float(np.mean([overlap for _, overlap in rows]))},
    )


def joint_stage(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> Stage:
    """Clips of pixels for both branches, a new head fitted to features first; judged like the semantic stage."""
    targets = [(video, labels) for video in videos for labels in labelled_targets(video, model.config, phase=0)]
    images = processor.image_processor
    held_out = held_out_videos(args, model.config) if args.evaluate_every else []
    if fits_activity(args):
        fit_activity(SemanticTrainer(model), cached_clips(args, model, processor, videos), balance=args.balance)

    def evaluate(model: SemTrackModel, process: int, processes: int) -> list[VideoRecognition]:
        clips = compute_clips(args, model, processor, held_out, 1, process, processes)
        return [recognised(SemanticTrainer(model), clip) for clip in clips]

    return Stage(
        trained=model,
        dataset=lambda length, first: JointClips(targets, images, args.clip_steps, length, args.seed, first),
        collate=collate_joint,
        evaluate=evaluate,
        score=recognition_scores,
    )


def feature_stage(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> Stage:
    """The semantic head on features of the frozen tracker: in clips, or (meta) in episodes."""
    counts = Counter(event.interaction for video in videos for event in video.record.interactions)
    known = [max(1, counts[name]) for name in model.config.id2interaction.values()]
    trainer = SemanticTrainer(model, InteractionLoss(args.interaction_loss, known))
    trained = MetaEpisode(trainer, inner_settings(args)) if args.stage == "meta" else trainer
    if args.stage == "meta":
        check_episodes(videos, model.config)
    held_out_of = held_out_videos(args, model.config) if args.evaluate_every else []
    clips = cached_clips(args, model, processor, videos)
    held_out = compute_clips(args, model, processor, held_out_of, passes=1)
    if fits_activity(args):
        fit_activity(trainer, clips, trainer.interaction_loss, args.balance)

    def evaluate(model: SemTrackModel, process: int, processes: int) -> list[VideoRecognition]:
        evaluated = SemanticTrainer(model, trainer.interaction_loss)
        share = list(enumerate(held_out))[process::processes]
        if args.stage == "semantic":
            return [recognised(evaluated, clip) for _, clip in share]
        meta = MetaEpisode(evaluated, inner_settings(args))
        if trained.rates is not None:
            meta.rates = trained.rates
        return [
            recognised_after_adapting(meta, clip, np.random.default_rng((args.seed, place)), args.support)
            for place, clip in share
            if has_episode(clip)
        ]

    if args.stage == "semantic":
        return Stage(
            trained=trained,
            dataset=lambda length, first: ClipDataset(clips, args.clip_steps, length, args.seed, first, args.balance),
            collate=collate_clips,
            evaluate=evaluate,
            score=recognition_scores,
        )
    return Stage(
        trained=trained,
        dataset=lambda length, first: EpisodeDataset(clips, args.clip_steps, args.support, length, args.seed, first),
        collate=lambda episodes: {"episodes": episodes},
        evaluate=evaluate,
        score=recognition_scores,
    )


def fits_activity(args: TrainArguments) -> bool:
    """Whether the activity part is set from the clips: a first time, or, in the semantic stage, anew."""
    return not (args.resume or args.retrain) and (args.stage == "semantic" or not args.keep_head)


def check_episodes(videos: list[AnnotatedVideo], config: SemTrackConfig) -> None:
    """Refuses videos of which none makes an episode, before their features are computed.

    Raises:
        ValueError: If no target has an interaction at two steps.
    """
    targets = [labels for place, video in enumerate(videos) for labels in labelled_targets(video, config, phase=place)]
    if not any(has_repeated([{event[0] for event in step.events} for step in labels]) for labels in targets):
        raise ValueError(NO_EPISODE)


def held_out_sequences(args: TrainArguments) -> list[BoxSequence]:
    """The sequences that the run excludes."""
    names = read_names(args.exclude) if args.exclude else set()
    sequences = [s for s in read_sequences(args.sequences) if s.name in names] if args.sequences else []
    if not sequences:
        raise SystemExit("evaluate_every needs held-out sequences: name some in a file and pass it as --exclude")
    return sequences


def held_out_videos(args: TrainArguments, config: SemTrackConfig) -> list[AnnotatedVideo]:
    """The videos of the validation split and those that the run excludes."""
    videos = annotated_videos(args, "validation")
    if not videos:
        raise SystemExit(
            "evaluate_every needs held-out videos: pass --exclude_videos, or annotations with a validation split"
        )
    check_labels(videos, config, "held-out")
    return videos


def check_labels(videos: list[AnnotatedVideo], config: SemTrackConfig, which: str) -> None:
    """Refuses videos that show what the model has no class for.

    Raises:
        ValueError: If there are such; it names the labels.
    """
    for kind, shown, known in zip(
        ("interaction", "object"), label_maps(videos), (config.id2interaction, config.id2object)
    ):
        unknown = sorted(set(shown.values()) - set(known.values()))
        if unknown:
            raise ValueError(
                f"the {which} videos show {kind}s that the model has no class for: {', '.join(unknown)}; leave those "
                "videos out (exclude_videos), or train a head that knows them"
            )


def overlap_on(sequence: BoxSequence, model: SemTrackModel, processor: SemTrackProcessor) -> float:
    """The average overlap of the tracker on one sequence."""
    tracker = SessionTracker(partial(SemTrackSession, model, processor, semantic_stride=0))
    return evaluate_tracker(tracker, [sequence])["mean"]["ao"]


@torch.no_grad()
def recognised(trainer: SemanticTrainer, clip: TargetClip) -> VideoRecognition:
    """What the head recognises at all steps of a clip."""
    batch = send_to_device(collate_clips([clip]), trainer.model.device)
    output = trainer(**batch)
    labels = batch["labels"]
    return as_recognition(clip.video, output.activity_logits, labels, labels.described, trainer.model)


def recognised_after_adapting(
    meta: MetaEpisode, clip: TargetClip, rng: np.random.Generator, support: int
) -> VideoRecognition:
    """What the head recognises at the query steps, adapted to the support steps."""
    episode = make_episode([clip], rng, support).to(meta.trainer.model.device)
    weights, forward = meta.adapt(episode)
    labels = episode.clips["labels"]
    with torch.no_grad():
        output = forward(weights, labels)
    return as_recognition(clip.video, output.activity_logits, labels, episode.query, meta.trainer.model)


def as_recognition(
    video: str, logits: torch.Tensor, labels: SemTrackTargets, counted: torch.Tensor, model: SemTrackModel
) -> VideoRecognition:
    """Counts in the metric's terms; a step stands for a frame."""
    counts = count_recognised(logits, labels, counted, model.config.id2interaction)
    return VideoRecognition(video, {name: FrameCounts(*values) for name, values in counts.items()})


def recognition_scores(videos: Sequence[VideoRecognition]) -> dict[str, float]:
    """Macro and micro F1."""
    scores = summarise_recognition(videos)
    return {name: scores[name] or 0.0 for name in ("macro_f1", "micro_f1")}


def cached_clips(
    args: TrainArguments, model: SemTrackModel, processor: SemTrackProcessor, videos: list[AnnotatedVideo]
) -> list[TargetClip]:
    """The features of all videos, kept in a file where one is named; every process computes all of them."""
    if args.features and Path(args.features).exists():
        clips = load_clips(args.features, model.config)
        check_features(clips, compute_clips(args, model, processor, videos[:1], passes=1), videos, args.features)
        return clips
    if args.features:
        Path(args.features).parent.mkdir(parents=True, exist_ok=True)  # before minutes of work that it is to keep
    clips = compute_clips(args, model, processor, videos, args.passes)
    if args.features:
        save_clips(clips, args.features, model.config)
    return clips


def check_features(clips: list[TargetClip], anew: list[TargetClip], videos: list[AnnotatedVideo], path: str) -> None:
    """Refuses kept features that are not those of the model and the videos.

    Args:
        clips: As kept.
        anew: Those of the first video, computed again.
        videos: That the run is about.
        path: Of the kept ones.

    Raises:
        ValueError: If the first video's features differ, or those of other videos are among them.
    """
    others = sorted({clip.video for clip in clips} - {str(video.path) for video in videos})
    if others:
        raise ValueError(f"the features in '{path}' hold '{others[0]}', which this run leaves out; name a new file")
    for kept, now in zip(clips, anew):
        same_labels = all(torch.equal(kept.labels[name], now.labels[name]) for name in ("interactions", "objects"))
        same_kinds = kept.features.keys() == now.features.keys()
        if not same_labels or not same_kinds or not all(_alike(kept.features[n], v) for n, v in now.features.items()):
            raise ValueError(f"the features in '{path}' are of another model or other labels; name a new file")


def _alike(kept: torch.Tensor, now: torch.Tensor) -> bool:
    """Equal up to what another machine's half precision makes of the same numbers."""
    return kept.shape == now.shape and bool((kept.float() - now.float()).norm() <= 0.05 * now.float().norm())


@torch.no_grad()
def compute_clips(
    args: TrainArguments,
    model: SemTrackModel,
    processor: SemTrackProcessor,
    videos: list[AnnotatedVideo],
    passes: int,
    process: int = 0,
    processes: int = 1,
) -> list[TargetClip]:
    """The tracker's features of a process's share of the videos.

    Each pass sees other frames, and the mirror image of what the last one saw; all but the first see them in another
    light and with the box errors of a less exact tracker, and where there are backdrops, every third one in another
    place (but for videos with boxes in some frames alone, where nobody knows what to keep). What a video gives depends
    on its place in the list, and neither on the number of processes nor on the seed: runs of other seeds share kept
    features.
    """
    photos = scene_photos(args.backdrops) if args.backdrops else []
    clips = []
    was_training = model.training
    model.eval()
    rounds = [(number, place, video) for number in range(passes) for place, video in enumerate(videos)]
    for number, place, video in tqdm(rounds[process::processes], desc="features", unit="video", disable=not rounds):
        rng = np.random.default_rng((number, place))
        if photos and number % ELSEWHERE == ELSEWHERE - 1 and video.record.annotated_frames is None:
            video = elsewhere(video, photos[rng.integers(len(photos))], rng)
        targets = labelled_targets(video, model.config, phase=2 * number + place)
        mirrored = passes > 1 and (place + number) % 2 == 1
        if mirrored:
            targets = [mirror_labels(labels, video.record.width) for labels in targets]
        with torch.autocast(model.device.type, torch.bfloat16, enabled=args.mixed_precision == "bf16"):
            if args.tracked:
                targets = at_tracked_boxes(model, processor, frames_of(video, mirrored), targets)
            name, varied, frames = str(video.path), number > 0, frames_of(video, mirrored)
            clips += extract_clips(model, processor.image_processor, frames, targets, rng, name, varied)
    model.train(was_training)
    return clips


def frames_of(video: AnnotatedVideo, mirrored: bool) -> Iterator[tuple[int, float, np.ndarray]]:
    """(index, time in seconds, uint8 RGB) of every frame, or of its mirror image."""
    for index, time, image in video.frames():
        yield index, time, np.ascontiguousarray(image[:, ::-1]) if mirrored else image


def labelled_targets(video: AnnotatedVideo, config: SemTrackConfig, phase: int) -> list[list[StepLabel]]:
    """The labels of each described target of a video at its semantic steps."""
    return [
        step_labels(
            target.boxes,
            target_events(video.record, target, config.interaction2id, config.object2id),
            config.semantic_stride,
            phase,
        )
        for target in described_targets(video.record)
    ]


def annotated_videos(args: TrainArguments, split: str) -> list[AnnotatedVideo]:
    """The videos of all annotation files that belong to a split; where interactions are learned, sequences as well."""
    if len(args.annotations) != len(args.videos):
        raise SystemExit(f"pass one --videos folder per --annotations file, got {args.annotations} and {args.videos}")
    pairs = zip(args.annotations, args.videos)
    if split == "train":
        described = args.stage != "tracking"
        annotated = [
            video
            for file, folder in pairs
            for video in read_videos(file, folder, exclude=args.exclude_videos, described=described)
        ]
        return annotated + (idle_videos(args.sequences, args.exclude) if described and args.sequences else [])
    excluded = read_names(args.exclude_videos) if args.exclude_videos else set()
    return [
        video
        for file, folder in pairs
        for video in read_videos(file, folder, split=None)
        if video.record.video_id in excluded or video.record.metadata.get("split") == split
    ]
