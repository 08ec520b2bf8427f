"""Annotated videos to clips of pixels: both branches learn together, end to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from .loss_semtrack import SemTrackTargets
from .processing_semtrack import SemTrackImageProcessor, box_to_view, window_to_view
from .training_clips import StepLabel, label_tensors, moments
from .training_views import photometric, search_window_around, template_around


class LabelledVideo(Protocol):
    """A video that can be read again and again."""

    def frames(self) -> Iterable[tuple[int, float, np.ndarray]]:
        """(index, time in seconds, uint8 RGB [height, width, 3]) of every frame."""
        ...


class JointClips(Dataset):
    """Random clips of annotated targets; item `i` depends on the seed and on `i` alone.

    Args:
        targets: (video, labels of one target at its semantic steps) pairs.
        processor: Cuts and normalises views.
        steps: Semantic steps of an item; targets with fewer are left out.
        length: Number of items.
        seed: Seed of everything drawn here.
        first: Index of the first item, to resume.

    Raises:
        ValueError: If no target is long enough.
    """

    def __init__(
        self,
        targets: Sequence[tuple[LabelledVideo, Sequence[StepLabel]]],
        processor: SemTrackImageProcessor,
        steps: int,
        length: int,
        seed: int = 0,
        first: int = 0,
    ) -> None:
        self.targets = [(video, labels) for video, labels in targets if len(labels) >= steps]
        if not self.targets:
            raise ValueError(f"no target is visible at {steps} semantic steps; use shorter clips (clip_steps)")
        self.processor = processor
        self.steps = steps
        self.length = length
        self.seed = seed
        self.first = first

    def __len__(self) -> int:
        return self.length - self.first

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, 4, index + self.first))
        video, labels = self.targets[rng.integers(len(self.targets))]
        start = int(rng.integers(len(labels) - self.steps + 1))
        return make_clip(video, labels, slice(start, start + self.steps), self.processor, rng)


def make_clip(
    video: LabelledVideo,
    labels: Sequence[StepLabel],
    window: slice,
    processor: SemTrackImageProcessor,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Views, scenes, templates and labels of some steps of a target.

    The templates come from the target's first step and from the clip's, as in a session that has followed it.

    Returns:
        Tensors of [`SemTrackModel.forward`] without a batch dimension; `labels` is a dict of tensors.
    """
    chosen = labels[window]
    images = moments(video.frames(), {labels[0].frame_index} | {label.frame_index for label in chosen})
    first = template_around(images[labels[0].frame_index].image, labels[0].box, processor, rng, jitter=0.02)
    later = template_around(images[chosen[0].frame_index].image, chosen[0].box, processor, rng, jitter=0.08)
    windows = [search_window_around(label.box, processor, rng, loose=False) for label in chosen]
    seen = [images[label.frame_index] for label in chosen]
    outer = processor.scene_window(seen[0].image)
    scenes = [processor.crop(moment.image, outer, processor.view_size) for moment in seen]
    lights = rng.integers(2**32, size=len(seen))
    views, before = (
        processor.normalize(
            [
                photometric(processor.crop(frame, where, processor.view_size), np.random.default_rng(light))
                for frame, where, light in zip(frames, windows, lights)
            ]
        )
        for frames in ([moment.image for moment in seen], [moment.earlier for moment in seen])
    )
    view_windows = torch.tensor([window_to_view(where, outer) for where in windows], dtype=torch.float32)
    boxes = torch.tensor([box_to_view(label.box, where) for label, where in zip(chosen, windows)])
    inside = ((boxes[:, :2] > 0) & (boxes[:, :2] < 1)).all(-1)
    return {
        "pixel_values": views,
        "scene_pixel_values": processor.normalize(scenes),
        "template_pixel_values": processor.normalize([first[0], later[0]]),
        "template_boxes": torch.tensor([first[1], later[1]], dtype=torch.float32),
        "target_boxes": torch.tensor([box_to_view(label.box, outer) for label in chosen], dtype=torch.float32),
        "view_windows": view_windows,
        "times": torch.tensor([moment.time for moment in seen], dtype=torch.float32),
        "earlier_pixel_values": before,
        "earlier_times": torch.tensor([moment.earlier_time for moment in seen], dtype=torch.float32),
        "labels": {
            "boxes": boxes.float(),
            "presence": inside.float(),
            "described": torch.ones(len(chosen), dtype=torch.bool),
            **label_tensors(chosen, outer),
        },
    }


def collate_joint(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Clips of equal length to keyword arguments of `SemTrackModel`."""
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0] if name != "labels"}
    labels = {name: torch.stack([item["labels"][name] for item in items]) for name in items[0]["labels"]}
    return batch | {"labels": SemTrackTargets(**labels)}
