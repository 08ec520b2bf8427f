"""Labelled frames to the prompts, views and labels that the tracking branch learns from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.utils.data import Dataset

from .loss_semtrack import SemTrackTargets
from .processing_semtrack import SemTrackImageProcessor, Window, box_to_view, point_to_view
from .trajectory import Box

# What a batch practises, and how often. One batch has one task, so that its tensors have one shape.
TASKS = {
    "template_search": 0.68,  # tracking
    "template_scene": 0.12,  # re-detection
    "point_scene": 0.12,  # click, first look
    "point_search": 0.08,  # click, second look
}
STRANGERS = 0.07  # share of template items whose view shows another target in the middle, not this one


class Sampler(Protocol):
    """Source of labelled frames: three of one target; the first two show it."""

    def sample(self, rng: np.random.Generator) -> Sequence[Any]:
        """Frames with `.image` (uint8 RGB), `.box` (xywh pixels or None) and `.mask` (bool or None)."""
        ...


class TrackingViews(Dataset):
    """Endless in principle, exact in practice: item `i` depends on the seed and on `i` alone.

    Args:
        sampler: Where the frames come from.
        processor: Cuts and normalises views.
        length: Number of items.
        batch_size: Items of one batch (they share a task).
        seed: Seed of everything drawn here.
        first: Index of the first item, to resume.
    """

    def __init__(
        self,
        sampler: Sampler,
        processor: SemTrackImageProcessor,
        length: int,
        batch_size: int,
        seed: int = 0,
        first: int = 0,
    ) -> None:
        self.sampler = sampler
        self.processor = processor
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.first = first

    def __len__(self) -> int:
        return self.length - self.first

    def __getitem__(self, index: int) -> dict[str, Any]:
        index += self.first
        batch_rng = np.random.default_rng((self.seed, 1, index // self.batch_size))
        task = batch_rng.choice(list(TASKS), p=list(TASKS.values()))
        rng = np.random.default_rng((self.seed, 0, index))
        frames = list(self.sampler.sample(rng))
        stranger = None
        if task.startswith("template") and rng.random() < STRANGERS:
            stranger = self.sampler.sample(rng)[1]
        return make_views(frames, str(task), self.processor, rng, stranger)


def make_views(
    frames: Sequence[Any],
    task: str,
    processor: SemTrackImageProcessor,
    rng: np.random.Generator,
    stranger: Any | None = None,
) -> dict[str, Any]:
    """One training item.

    Args:
        frames: Template, later template and search frame of one target.
        task: A key of `TASKS`.
        processor: Cuts views.
        rng: Source of all randomness.
        stranger: Frame of another target, which then takes the search frame's place: this one is absent.

    Returns:
        `task`, `view_crop` uint8 [size, size, 3], `box` (cxcywh normalised to the view), `presence`, and the
        prompt: `template_crops`, `template_boxes`, or `point`.
    """
    prompt_kind, view_kind = task.split("_")
    first, later, last = frames
    if prompt_kind == "point" and last.box is None:
        last = later  # a click is always on something
    box, around = last.box, last.box or later.box
    if stranger is not None:
        last, box, around = stranger, None, stranger.box
    if view_kind == "search":
        window = search_window_around(around, processor, rng, loose=prompt_kind == "point")
        elsewhere = prompt_kind == "template" and box is not None and rng.random() < 0.08
        if elsewhere:
            window = _window_without(box, window, last.image, processor, rng)
    else:
        window = _scene_window(last.image, processor, rng)
        if prompt_kind == "point" and not _holds(window, box):
            window = processor.scene_window(last.image)
    view_box = (0.5, 0.5, 0.1, 0.1) if box is None else box_to_view(box, window)
    visible = box is not None and 0 < view_box[0] < 1 and 0 < view_box[1] < 1
    item = {
        "task": task,
        "view_crop": photometric(processor.crop(last.image, window, processor.view_size), rng),
        "box": view_box,
        "presence": float(visible),
    }
    if prompt_kind == "point":
        item["point"] = point_to_view(_point_on(last, rng), window)
        return item
    crops = [template_around(first.image, first.box, processor, rng, jitter=0.02)]
    crops.append(
        crops[0] if rng.random() < 0.35 else template_around(later.image, later.box, processor, rng, jitter=0.08)
    )
    item["template_crops"] = [photometric(crop, rng, 0.5) for crop, _ in crops]
    item["template_boxes"] = [box for _, box in crops]
    return item


def collate_views(items: Sequence[dict[str, Any]], processor: SemTrackImageProcessor) -> dict[str, Any]:
    """Items of one task to keyword arguments of `SemTrackModel`, with `labels`."""
    prompt_kind, view_kind = items[0]["task"].split("_")
    batch = {
        "pixel_values": processor.normalize([item["view_crop"] for item in items]),
        "view": view_kind,
        "labels": SemTrackTargets(
            boxes=torch.tensor([item["box"] for item in items], dtype=torch.float32),
            presence=torch.tensor([item["presence"] for item in items]),
        ),
    }
    if prompt_kind == "point":
        batch["point_coords"] = torch.tensor([[item["point"]] for item in items], dtype=torch.float32)
        batch["point_labels"] = torch.ones(len(items), 1)
    else:
        crops = [crop for item in items for crop in item["template_crops"]]
        batch["template_pixel_values"] = processor.normalize(crops).unflatten(0, (len(items), -1))
        batch["template_boxes"] = torch.tensor([item["template_boxes"] for item in items], dtype=torch.float32)
    return batch


def search_window_around(box: Box, processor: SemTrackImageProcessor, rng: np.random.Generator, loose: bool) -> Window:
    """The search region that a tracker (or, loosely, a first look at a click) would have chosen."""
    window = processor.search_window(box)
    target = window.side / processor.search_factor
    reach = min(1.3, processor.search_factor / 2 - 0.3)
    shift = rng.normal(0, 0.45, 2).clip(-reach, reach) * target
    zoom = float(np.exp(rng.normal(0.05, 0.45 if loose else 0.2)))
    x, y = window.x + shift[0] * min(zoom, 1.0), window.y + shift[1] * min(zoom, 1.0)
    return processor.view_window(x, y, window.side * zoom)


def _window_without(
    box: Box, window: Window, image: np.ndarray, processor: SemTrackImageProcessor, rng: np.random.Generator
) -> Window:
    """A window of the same size beside the target, or the given one where the frame is too small for that."""
    height, width = image.shape[:2]
    for _ in range(8):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        clear = max(abs(x - box[0] - box[2] / 2) - box[2] / 2, abs(y - box[1] - box[3] / 2) - box[3] / 2)
        if clear > window.side / 2:
            return processor.view_window(x, y, window.side)
    return window


def _scene_window(image: np.ndarray, processor: SemTrackImageProcessor, rng: np.random.Generator) -> Window:
    """The whole frame, or a part of it as if another camera had taken it."""
    window = processor.scene_window(image)
    if rng.random() < 0.5:
        return window
    zoom = rng.uniform(0.55, 1.0)
    shift = rng.uniform(-0.5, 0.5, 2) * (1 - zoom) * (image.shape[1], image.shape[0])
    return processor.view_window(window.x + shift[0], window.y + shift[1], window.side * zoom)


def _holds(window: Window, box: Box) -> bool:
    """Whether most of the box lies in the window."""
    cx, cy, w, h = box_to_view(box, window)
    return min(cx, cy, 1 - cx, 1 - cy) > 0.25 * max(w, h) and min(cx, cy, 1 - cx, 1 - cy) > 0.02


def _point_on(frame: Any, rng: np.random.Generator) -> tuple[float, float]:
    """A click on the target: on its mask, or, unknown, near the middle of its box."""
    if frame.mask is not None:
        rows, columns = np.nonzero(frame.mask)
        if len(rows):
            pick = rng.integers(len(rows))
            return float(columns[pick]) + 0.5, float(rows[pick]) + 0.5
    x, y, w, h = frame.box
    u, v = rng.normal(0.5, 0.15, 2).clip(0.05, 0.95)
    return x + u * w, y + v * h


def template_around(
    image: np.ndarray, box: Box, processor: SemTrackImageProcessor, rng: np.random.Generator, jitter: float
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Template crop around a slightly wrong box (users and trackers are not exact), and the box in it (cxcywh)."""
    x, y, w, h = box
    dx, dy, dw, dh = rng.normal(0, jitter, 4)
    w2, h2 = w * np.exp(dw), h * np.exp(dh)
    return processor.template(image, (x + w / 2 + dx * w - w2 / 2, y + h / 2 + dy * h - h2 / 2, w2, h2))


def photometric(view: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Light, colour, blur, noise and compression of another moment or camera."""
    gain = np.exp(rng.normal(0, 0.15 * strength) + rng.normal(0, 0.05 * strength, 3))
    bias, gamma = rng.normal(0, 10 * strength), np.exp(rng.normal(0, 0.12 * strength))
    ramp = (np.arange(256) / 255) ** gamma * 255
    tables = (ramp[None] * gain[:, None] + bias).clip(0, 255).astype(np.uint8)  # [3, 256]
    view = np.stack([tables[channel][view[..., channel]] for channel in range(3)], axis=-1)
    if rng.random() < 0.08 * strength:
        view = np.repeat(view.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    if rng.random() < 0.25 * strength:
        view = np.asarray(Image.fromarray(view).filter(_random_blur(rng)))
    if rng.random() < 0.2 * strength:
        buffer = io.BytesIO()
        Image.fromarray(view).save(buffer, "JPEG", quality=int(rng.integers(15, 60)))
        view = np.asarray(Image.open(buffer))
    if rng.random() < 0.2 * strength:
        noise = rng.normal(0, rng.uniform(2, 10), view.shape[:2])[..., None]
        view = (view + noise).clip(0, 255).astype(np.uint8)
    return view


def _random_blur(rng: np.random.Generator) -> ImageFilter.Filter:
    """Out of focus, or moving along one of four directions."""
    if rng.random() < 0.5:
        return ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0))
    kernel = np.zeros((5, 5))
    direction = rng.integers(4)
    steps = np.arange(5)
    kernel[[np.full(5, 2), steps, steps, steps][direction], [steps, np.full(5, 2), steps, steps[::-1]][direction]] = 1
    return ImageFilter.Kernel((5, 5), kernel.flatten().tolist(), scale=5)
