"""Annotated videos to clips of features and labels that the semantic head learns from.

The tracker is frozen while the semantic head is trained, so its features of every video are computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from .configuration_semtrack import SemTrackConfig
from .files import atomic_path
from .heads_semtrack import SemTrackEmbeds, SemTrackReading, at_most, pool_tokens
from .loss_semtrack import IGNORE, SemTrackTargets, semantic_losses
from .memory_semtrack import SemTrackMemory
from .modeling_semtrack import SemTrackModel, SemTrackOutput
from .motion_semtrack import Recent, motion_around
from .processing_semtrack import SemTrackImageProcessor, Window, box_to_view, window_to_view
from .surroundings_semtrack import read_cells
from .training_views import photometric
from .trajectory import Box

MOST_EVENTS = 4  # interactions of one target at one moment
BATCH = 16  # views encoded at once


@dataclass
class StepLabel:
    """What a target does at one moment: (interaction id, object id, object's box xywh pixels or None) each."""

    frame_index: int
    box: Box
    events: list[tuple[int, int, Box | None]]


@dataclass
class TargetClip:
    """Features and labels of one target over the semantic steps of one video.

    Attributes:
        features: `regions` [steps, cells * 2 * hidden], `motion` [steps, MOTION_SIZE], `view_features`,
            `view_embeds` [steps, tokens, hidden], `target_embeds` [steps, hidden], `scene_features` [steps, scene
            tokens, hidden] (shared between the targets of a video), `target_boxes`, `view_windows` [steps, 4],
            `times` [steps].
        labels: `interactions`, `objects` [steps, MOST_EVENTS], `object_boxes` [steps, MOST_EVENTS, 4].
        grid, scene_grid: (rows, columns) of the tokens.
        video: Which video it is of: clips of one video make an episode.
    """

    features: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    grid: tuple[int, int]
    scene_grid: tuple[int, int]
    video: str

    def __len__(self) -> int:
        return len(self.features["times"])

    def __getitem__(self, window: slice) -> TargetClip:
        """A part of the clip."""
        features, labels = ({k: v[window] for k, v in part.items()} for part in (self.features, self.labels))
        return TargetClip(features, labels, self.grid, self.scene_grid, self.video)

    def interactions(self) -> list[set[int]]:
        """The interactions of each step."""
        return [set(step) - {IGNORE} for step in self.labels["interactions"].tolist()]


@dataclass(frozen=True)
class Moment:
    """A frame of a video, and the one about `MOTION_SECONDS` before it (itself where there is none).

    Attributes:
        time, earlier_time: Seconds.
        image, earlier: uint8 RGB [height, width, 3].
    """

    time: float
    image: np.ndarray
    earlier_time: float
    earlier: np.ndarray

    def in_light(self, seed: int) -> Moment:
        """The same moment in another light, one for each seed."""
        image, earlier = (photometric(frame, np.random.default_rng(seed)) for frame in (self.image, self.earlier))
        return replace(self, image=image, earlier=earlier)


def moments(frames: Iterable[tuple[int, float, np.ndarray]], wanted: Set[int]) -> dict[int, Moment]:
    """The wanted frames of a video, (index, time in seconds, uint8 RGB) in order, with what was seen before them."""
    found, recent = {}, Recent()
    for index, time, image in frames:
        if index in wanted:
            found[index] = Moment(time, image, *(recent.earlier(time) or (time, image)))
        recent.add(time, image)
    return found


@torch.no_grad()
def extract_clips(
    model: SemTrackModel,
    processor: SemTrackImageProcessor,
    frames: Iterable[tuple[int, float, np.ndarray]],
    targets: Sequence[Sequence[StepLabel]],
    rng: np.random.Generator,
    video: str,
    varied: bool = False,
) -> list[TargetClip]:
    """Computes the frozen tracker's features for the labelled steps of one video.

    Args:
        model: In eval mode.
        processor: Cuts views.
        frames: (index, time in seconds, uint8 RGB) of the video, in order.
        targets: For each target its labelled steps, in order.
        rng: Jitters the windows as a tracker's errors would.
        video: Name of the video.
        varied: See it in another light, and its targets with the lasting box errors of a less exact tracker.

    Returns:
        One clip per target with at least two steps.
    """
    images = moments(frames, {label.frame_index for labels in targets for label in labels})
    if varied:
        light = int(rng.integers(2**32))  # one for the whole video
        images = {index: moment.in_light(light) for index, moment in images.items()}
        targets = [with_box_errors(labels, rng) for labels in targets]
    scenes: dict[int, torch.Tensor] = {}
    scene_grid = (0, 0)
    for part in _parts(sorted(images)):
        views = [
            processor.crop(f, processor.scene_window(f), processor.view_size) for f in (images[i].image for i in part)
        ]
        features, scene_grid = model.embed(processor.normalize(views).to(model.device))
        features, scene_grid = _condensed(features, scene_grid, model)
        scenes.update(zip(part, features))
    clips = []
    for labels in targets:
        labels = [label for label in labels if label.frame_index in images]
        if len(labels) >= 2:
            clips.append(_target_clip(model, processor, images, scenes, scene_grid, labels, rng, video))
    return clips


def _target_clip(
    model: SemTrackModel,
    processor: SemTrackImageProcessor,
    images: dict[int, Moment],
    scenes: dict[int, torch.Tensor],
    scene_grid: tuple[int, int],
    labels: list[StepLabel],
    rng: np.random.Generator,
    video: str,
) -> TargetClip:
    outer = processor.scene_window(images[labels[0].frame_index].image)
    windows = [_jittered(processor, label.box, rng) for label in labels]
    first = processor.template(images[labels[0].frame_index].image, labels[0].box)
    target_boxes = torch.tensor([box_to_view(label.box, outer) for label in labels])
    view_windows = torch.tensor([window_to_view(window, outer) for window in windows], dtype=torch.float32)
    names = ("regions", "motion", "view_features", "view_embeds", "target_embeds")
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for part in _parts(range(len(labels))):
        here = [images[labels[i].frame_index] for i in part]
        views, before = (
            processor.normalize([processor.crop(f, windows[i], processor.view_size) for f, i in zip(frames, part)])
            for frames in ([moment.image for moment in here], [moment.earlier for moment in here])
        )
        features, grid = model.embed(views.to(model.device))
        prompts = []
        for i in part:
            recent = labels[max(0, i - int(rng.integers(0, 5)))]
            later = processor.template(images[recent.frame_index].image, recent.box)
            prompts.append((first, later))
        pixels = processor.normalize([crop for pair in prompts for crop, _ in pair]).unflatten(0, (len(part), 2))
        boxes = torch.tensor([[box for _, box in pair] for pair in prompts])
        prompt = model.embed_templates(pixels.to(model.device), boxes.to(model.device))
        track = model.track(features, grid, prompt_states=model.read_prompt(prompt.to(features.dtype)))
        boxes, places = target_boxes[part], view_windows[part]
        around = (t[None].to(model.device) for t in (boxes, places))
        around = read_cells(track.view_embeds[None], track.view_features[None], *around, track.grid)[0]
        found["regions"].append(around.bfloat16().cpu())
        gaps = torch.tensor([moment.time - moment.earlier_time for moment in here])
        inputs = (t[None] for t in (views, before, places, gaps, boxes))
        found["motion"].append(motion_around(*inputs)[0].bfloat16())
        found["target_embeds"].append(track.target_embeds.bfloat16().cpu())
        for name in ("view_features", "view_embeds"):
            tokens, cells = _condensed(getattr(track, name), track.grid, model)
            found[name].append(tokens)
    features = {name: torch.cat(parts) for name, parts in found.items()}
    features["scene_features"] = torch.stack([scenes[label.frame_index] for label in labels])
    features["target_boxes"], features["view_windows"] = target_boxes, view_windows
    features["times"] = torch.tensor([images[label.frame_index].time for label in labels])
    return TargetClip(features, label_tensors(labels, outer), cells, scene_grid, video)


def label_tensors(labels: list[StepLabel], outer: Window) -> dict[str, torch.Tensor]:
    """Padded labels of each step; see [`TargetClip`]."""
    interactions = torch.full((len(labels), MOST_EVENTS), IGNORE)
    objects = torch.full((len(labels), MOST_EVENTS), IGNORE)
    boxes = torch.full((len(labels), MOST_EVENTS, 4), float("nan"))
    for step, label in enumerate(labels):
        for slot, (interaction, kind, box) in enumerate(label.events[:MOST_EVENTS]):
            interactions[step, slot] = interaction
            objects[step, slot] = kind
            if box is not None:
                boxes[step, slot] = torch.tensor(box_to_view(box, outer))
    return {"interactions": interactions, "objects": objects, "object_boxes": boxes}


class ClipDataset(Dataset):
    """Random windows of clips; item `i` depends on the seed and on `i` alone.

    Clips with rare interactions may be drawn more often: the weight of a clip is the frequency of its rarest
    interaction to the power of -`balance`.

    Args:
        clips: From [`extract_clips`].
        steps: Length of a window in semantic steps.
        length: Number of items.
        seed: Seed of the draws.
        first: Index of the first item, to resume.
        balance: 0 draws all clips alike, 1 all interactions.
    """

    def __init__(
        self,
        clips: Sequence[TargetClip],
        steps: int,
        length: int,
        seed: int = 0,
        first: int = 0,
        balance: float = 0.5,
    ) -> None:
        self.clips = [clip for clip in clips if len(clip) >= 2]
        if not self.clips:
            raise ValueError("no clip has two semantic steps or more; check the annotations and the stride")
        self.steps = steps
        self.length = length
        self.seed = seed
        self.first = first
        classes = [set().union(*clip.interactions()) for clip in self.clips]
        counts = Counter(label for present in classes for label in present)
        idle = min(counts.values(), default=1) ** -balance / 20  # clips in which nothing happens
        weights = np.array([max((counts[c] ** -balance for c in present), default=idle) for present in classes])
        self.weights = weights / weights.sum()

    def __len__(self) -> int:
        return self.length - self.first

    def __getitem__(self, index: int) -> TargetClip:
        rng = np.random.default_rng((self.seed, 2, index + self.first))
        clip = self.clips[rng.choice(len(self.clips), p=self.weights)]
        start = int(rng.integers(0, max(1, len(clip) - self.steps + 1)))
        return clip[start : start + self.steps]


def collate_clips(clips: Sequence[TargetClip]) -> dict[str, Any]:
    """Clips to keyword arguments of [`SemanticTrainer`]; shorter ones are padded at the end and not judged."""
    steps = max(map(len, clips))
    batch: dict[str, Any] = {"grid": clips[0].grid, "scene_grid": clips[0].scene_grid}
    for name in clips[0].features:
        batch[name] = torch.stack([_pad(clip.features[name], steps) for clip in clips]).float()
    labels = {name: torch.stack([_pad(clip.labels[name], steps) for clip in clips]) for name in clips[0].labels}
    described = torch.stack([torch.arange(steps) < len(clip) for clip in clips])
    batch["labels"] = SemTrackTargets(
        boxes=batch["target_boxes"], presence=described.float(), described=described, **labels
    )
    return batch


class SemanticTrainer(nn.Module):
    """Loss of the semantic head on precomputed features; the module that Accelerate wraps.

    Args:
        model: Whose semantic head is trained.
        interaction_loss: In place of the cross-entropy; see [`InteractionLoss`].
    """

    def __init__(self, model: SemTrackModel, interaction_loss: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self.interaction_loss = interaction_loss

    def forward(self, labels: SemTrackTargets, **inputs: Any) -> SemTrackOutput:
        """Labels and features ([`decode`]) -> output with `loss` and `losses`."""
        embeds, memory = self.decode(**inputs, only=labels.described)
        output = self.judge(self.model.semantic_head.readout(embeds), labels)
        output.memory = memory
        return output

    def decode(
        self,
        grid: tuple[int, int],
        scene_grid: tuple[int, int],
        scene_features: torch.Tensor,
        **features: torch.Tensor | None,
    ) -> tuple[SemTrackEmbeds, SemTrackMemory | None]:
        """Tensors of [`TargetClip`] with a batch dimension in front -> as [`SemTrackSemanticHead.decode`]."""
        if not self.model.config.use_scene_context:
            return self.model.semantic_head.decode(grid=grid, **features)
        return self.model.semantic_head.decode(
            grid=grid, scene_features=scene_features, scene_grid=scene_grid, **features
        )

    def judge(self, read: SemTrackReading, labels: SemTrackTargets) -> SemTrackOutput:
        """What the readout says, [clips, steps] in front, beside the truth -> output with `loss` and `losses`."""
        config = self.model.config
        flat = (tensor.flatten(0, 1) for tensor in read)
        losses = semantic_losses(*flat, labels.flatten(True), config.none_weight, self.interaction_loss)
        return SemTrackOutput(
            loss=sum(getattr(config, f"{name}_loss_weight") * value for name, value in losses.items()),
            losses=losses,
            **read._asdict(),
        )


def save_clips(clips: Sequence[TargetClip], path: str | Path, config: SemTrackConfig) -> None:
    """Writes clips and the label maps they were made with to one file."""
    data = {"labels": [config.id2interaction, config.id2object], "clips": [vars(clip) for clip in clips]}
    with atomic_path(path) as temporary:
        torch.save(data, temporary)


def load_clips(path: str | Path, config: SemTrackConfig) -> list[TargetClip]:
    """Inverse of [`save_clips`].

    Raises:
        ValueError: If the label maps are not those of the model.
    """
    data = torch.load(path, weights_only=True)
    if data["labels"] != [config.id2interaction, config.id2object]:
        raise ValueError(f"the features in '{path}' were made with other label maps; name a new file")
    return [TargetClip(**clip) for clip in data["clips"]]


def step_labels(
    boxes: dict[int, Box],
    events: Sequence[tuple[int, int, int, int, dict[int, Box]]],
    stride: int,
    phase: int,
) -> list[StepLabel]:
    """Labels of one target at every `stride`-th frame in which it is visible.

    Args:
        boxes: xywh pixels by frame.
        events: (interaction id, object id, start frame, end frame, the object's boxes by frame) of the target.
        stride: Frames between steps.
        phase: The first step's frame, less than `stride`.
    """
    labels = []
    for index in sorted(boxes):
        if index % stride == phase % stride:
            now = [
                (interaction, kind, places.get(index))
                for interaction, kind, start, end, places in events
                if start <= index < end
            ]
            labels.append(StepLabel(index, boxes[index], now))
    return labels


def mirror_labels(labels: Sequence[StepLabel], width: int) -> list[StepLabel]:
    """The labels of the mirrored video."""

    def flip(box: Box | None) -> Box | None:
        return None if box is None else (width - box[0] - box[2], *box[1:])

    return [StepLabel(s.frame_index, flip(s.box), [(i, o, flip(b)) for i, o, b in s.events]) for s in labels]


def _condensed(
    tokens: torch.Tensor, grid: tuple[int, int], model: SemTrackModel
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Tokens [views, tokens, hidden] as coarse as the semantic head sees them, in half precision, and their grid."""
    cells = at_most(grid, model.config.context_grid)
    return pool_tokens(tokens[None], grid, cells)[0].bfloat16().cpu(), cells


def with_box_errors(labels: Sequence[StepLabel], rng: np.random.Generator) -> list[StepLabel]:
    """The labels with boxes that are off as a tracker's are: all in the same way, by shift and size."""
    dx, dy = rng.normal(0, 0.06, 2)
    wider, taller = np.exp(rng.normal(0, 0.12, 2))

    def moved(box: Box) -> Box:
        x, y, width, height = box
        cx, cy = x + (0.5 + dx) * width, y + (0.5 + dy) * height
        return cx - wider * width / 2, cy - taller * height / 2, wider * width, taller * height

    return [StepLabel(label.frame_index, moved(label.box), label.events) for label in labels]


def _jittered(processor: SemTrackImageProcessor, box: Box, rng: np.random.Generator) -> Window:
    window = processor.search_window(box)
    shift = rng.normal(0, 0.03, 2) * window.side
    zoom = float(np.exp(rng.normal(0, 0.08)))
    return processor.view_window(window.x + shift[0], window.y + shift[1], window.side * zoom)


def _parts(indices: Sequence[int] | range) -> list[list[int]]:
    indices = list(indices)
    return [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]


def _pad(tensor: torch.Tensor, steps: int) -> torch.Tensor:
    """Repeats the last entry up to `steps`."""
    missing = steps - len(tensor)
    return tensor if missing <= 0 else torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
