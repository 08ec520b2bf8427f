"""The small world of the ablation: synthetic videos with a long tail, a tracker, its tracks and its features.

The training videos follow a long tail; validation and test videos show all interactions alike often, as is usual
for long-tailed recognition (Liu et al., CVPR 2019). The tracker is the bundled one, frozen. In held-out videos it
starts from a target's first box and is on its own from there: what its features show is what it follows.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dataset_script.records import TargetRecord, VideoRecord
from dataset_script.semantic_data import AnnotatedVideo, described_targets, label_maps, read_videos
from dataset_script.synthetic import SyntheticConfig, synthesize
from metrics.semtrack.conversion import record_to_row
from metrics.semtrack.rows import pair_rows
from metrics.semtrack.tracking import target_tracking_scores
from modeling_semtrack import SemTrackConfig, SemTrackImageProcessor, SemTrackModel, SemTrackProcessor, SemTrackSession
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.evaluation import track_record
from modeling_semtrack.files import atomic_path
from modeling_semtrack.training_clips import StepLabel, TargetClip, extract_clips, load_clips, save_clips
from modeling_semtrack.training_stages import labelled_targets

SPLITS = ("train", "validation", "test")
TRACKER_DTYPE = torch.bfloat16
SHARED, APART = "shared", "apart"  # whose features: the tracker's, or those of crops that it has no part in


@dataclass(frozen=True)
class World:
    """What the grid is run on.

    Attributes:
        folder: Where everything is kept.
        interactions: Those that occur, the most frequent one of the training videos first.
        videos: Number of training, validation and test videos.
        tail: Zipf exponent of the training videos.
        seconds: Least and greatest length of a video.
        fps: Frames per second.
        stride: Frames between semantic steps.
        crop: Side in pixels of the crops that the classifier without the tracker's features looks at.
        crop_factor: Side of such a crop over the target's size.
        seeds: Of the first video of each split.
    """

    folder: Path
    interactions: tuple[str, ...]
    videos: tuple[int, int, int]
    tail: float
    seconds: tuple[float, float]
    fps: float
    stride: int
    crop: int
    crop_factor: float
    seeds: tuple[int, int, int]

    def annotations(self, split: str) -> Path:
        """The annotation file of a split's videos."""
        return self.folder / split / "annotations.json"

    def model(self, source: str) -> Path:
        """The folder of the model that gives the features."""
        return self.folder / f"model_{source}"

    def features(self, split: str, source: str) -> Path:
        """The file of a split's features."""
        return self.folder / f"features_{source}_{split}.pt"

    def read(self, split: str) -> list[AnnotatedVideo]:
        """The videos of a split."""
        return read_videos(self.annotations(split), self.folder / split, split=None)


def make_videos(world: World) -> None:
    """Renders the videos of all splits that are not there yet."""
    for split, count, first in zip(SPLITS, world.videos, world.seeds):
        if not world.annotations(split).exists():
            with tqdm(total=count, desc=f"{split} videos", unit="video") as bar:
                synthesize(world.folder / split, count, first, look(world, split), lambda done, total: bar.update())


def look(world: World, split: str) -> SyntheticConfig:
    """What the videos of a split look like."""
    exponent = world.tail if split == "train" else 0.0
    weights = np.arange(1, len(world.interactions) + 1) ** -exponent
    return SyntheticConfig(
        fps=world.fps,
        seconds=world.seconds,
        interaction_weights=dict(zip(world.interactions, weights.tolist())),
        validation_share=0.0,
    )


def make_models(world: World, head: dict[str, Any]) -> None:
    """Writes the models that give the features: the tracker, and one that has never learned to track.

    The second one looks at crops through its own copy of the ImageNet stem; its projection and its encoder are random
    and stay so. All that is trained of it is the classifier.

    Args:
        world: Where they go.
        head: Fields of the configuration that every semantic head has.
    """
    names, objects = label_maps(world.read("train"))
    bundled, processor = load_checkpoint(BUNDLED)
    fields_of = {**head, "semantic_stride": world.stride, "id2interaction": names, "id2object": objects}
    crops = SemTrackImageProcessor(world.crop, world.crop // 2, search_factor=world.crop_factor)
    processors = {SHARED: processor, APART: SemTrackProcessor(crops)}
    for source, processor in processors.items():
        if (world.model(source) / "processor_config.json").exists():  # it is written last
            continue
        torch.manual_seed(0)
        model = SemTrackModel(SemTrackConfig.from_dict(bundled.config.to_dict() | fields_of))
        part = "" if source == SHARED else "stem."
        weights = {n: w for n, w in bundled.state_dict().items() if n.startswith(part) and "semantic_head" not in n}
        model.load_state_dict(weights, strict=False)  # but for the semantic head, which every run makes anew
        model.save_pretrained(world.model(source))
        processor.save_pretrained(world.model(source))


@dataclass(frozen=True)
class Followed:
    """The steps of one target of a held-out video.

    Attributes:
        clip: Features around the boxes of the tracker, labels of the truth.
        truth: [steps, 4], true boxes, xywh pixels.
        tracked: [steps, 4], boxes of the tracker, NaN where it has lost the target.
    """

    clip: TargetClip
    truth: np.ndarray
    tracked: np.ndarray


def held_out(world: World, split: str, source: str) -> list[list[Followed]]:
    """The followed targets of each video of a split; tracks and features are computed once and kept."""
    model, processor = load_checkpoint(world.model(source))
    videos = world.read(split)
    rows = tracks(world, split)
    targets = [followed_steps(video, row, model.config) for video, row in zip(videos, rows)]
    path = world.features(split, source)
    if not path.exists():
        bar = tqdm(zip(videos, targets), total=len(videos), desc=f"{split} features", unit="video")
        save_clips([clip for pair in bar for clip in clips_of(model, processor, *pair)], path, model.config)
    clips = iter(load_clips(path, model.config))
    return [[Followed(next(clips), truth, tracked) for _, truth, tracked in video] for video in targets]


def tracks(world: World, split: str) -> list[dict[str, Any]]:
    """What the tracker says of a split's acting targets, as rows of the metric (`metrics/semtrack/rows.py`)."""
    path = world.folder / f"tracks_{split}.json"
    if not path.exists():
        model, processor = load_checkpoint(BUNDLED, dtype=TRACKER_DTYPE)
        bar = tqdm(world.read(split), desc=f"{split} tracks", unit="video")
        rows = [tracks_of(video, model, processor, semantic_stride=0) for video in bar]
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(rows))
    return json.loads(path.read_text())


def tracks_of(video: AnnotatedVideo, model: SemTrackModel, processor: SemTrackProcessor, **settings) -> dict[str, Any]:
    """The acting targets of one video, each from its first true box on, as a row."""
    return track_record(as_asked(video.record), video.path, lambda _: SemTrackSession(model, processor, **settings))


def acting_targets(record: VideoRecord) -> list[TargetRecord]:
    """The targets that are followed: those that act at some time."""
    return described_targets(record, bystanders=0)


def as_asked(record: VideoRecord) -> VideoRecord:
    """The record with the targets that are followed marked main, and no others."""
    acting = {target.track_id for target in acting_targets(record)}
    return replace(record, targets=[replace(t, main=t.track_id in acting) for t in record.targets])


def followed_steps(
    video: AnnotatedVideo, row: dict[str, Any], config: SemTrackConfig
) -> list[tuple[list[StepLabel], np.ndarray, np.ndarray]]:
    """The steps of each acting target: labels at the tracker's boxes, true boxes, the tracker's boxes.

    Where the tracker has lost its target, the label is at its last box.
    """
    found = []
    boxes = {track["track_id"]: dict(zip(track["frames"], track["boxes"])) for track in row["tracks"]}
    for target, labels in zip(acting_targets(video.record), labelled_targets(video, config, phase=0)):
        mine = boxes.get(target.track_id, {})
        if len(labels) < 2 or not mine:
            continue
        last = [max((f for f in mine if f <= label.frame_index), default=min(mine)) for label in labels]
        moved = [replace(label, box=tuple(mine[frame])) for label, frame in zip(labels, last)]
        lost = [math.nan] * 4
        tracked = np.array([mine.get(label.frame_index, lost) for label in labels])
        found.append((moved, np.array([label.box for label in labels]), tracked))
    return found


def clips_of(
    model: SemTrackModel,
    processor: SemTrackProcessor,
    video: AnnotatedVideo,
    targets: list[tuple[list[StepLabel], np.ndarray, np.ndarray]],
) -> list[TargetClip]:
    """The features of a held-out video's followed targets."""
    labels = [labels for labels, _, _ in targets]
    images, rng = processor.image_processor, np.random.default_rng(0)
    with torch.autocast("cpu", torch.bfloat16):
        return extract_clips(model.eval(), images, video.frames(), labels, rng, str(video.path))


def tracking_scores(world: World, rows: list[dict[str, Any]]) -> dict[str, float]:
    """`ao` and `sr50` of the tracker on the test videos' acting targets."""
    references = [record_to_row(as_asked(video.record)) for video in world.read("test")]
    scores = target_tracking_scores(pair_rows(rows, references), association="track_id")
    return {name: scores[name] for name in ("ao", "sr50")}
