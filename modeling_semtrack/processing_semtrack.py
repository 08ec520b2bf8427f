"""Pixels and prompts to tensors, and the model's boxes back to pixels.

Every input of the network is a *view*: a square window of a frame, resampled to a fixed size. A template
and a search region are windows around the target, the scene is the window that holds the whole frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from .trajectory import Box

PADDING_GREY = 127  # the colour outside the frame; zero after normalisation
SIDE_STEP = 0.125  # pixels of the frame; sides of windows are multiples, so that rounding errors do not add up
ALIGNED = 1e-3  # pixels of the frame by which an aligned window may be off


class Window(NamedTuple):
    """A square of a frame: centre and side in pixels of the frame; it may reach beyond the frame."""

    x: float
    y: float
    side: float

    def aligned(self, size: int) -> Window:
        """The nearest window of this side that [`SemTrackImageProcessor.crop`] can cut to `size` pixels.

        It begins on a whole pixel of the frame or, outside, a whole number of the view's pixels before the frame: at
        most half a pixel away.
        """
        x, y = (_nearest_start(middle, self, size).corner + self.side / 2 for middle in (self.x, self.y))
        return Window(x, y, self.side)


class SemTrackImageProcessor(BaseImageProcessor):
    r"""Cuts views out of frames and normalises them.

    Args:
        view_size (`int`): Side in pixels of search regions and scenes.
        template_size (`int`): Side in pixels of templates.
        search_factor (`float`): Side of a search region over the target's size (the root of its area).
        template_factor (`float`): Side of a template over the target's size.
        image_mean, image_std (`list[float]`): Normalisation of pixel values in [0, 1].
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        view_size: int = 256,
        template_size: int = 128,
        search_factor: float = 4.0,
        template_factor: float = 2.0,
        image_mean: Sequence[float] = (127 / 255,) * 3,
        image_std: Sequence[float] = (128 / 255,) * 3,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        for name, size in (("view_size", view_size), ("template_size", template_size)):
            if size < 16:
                raise ValueError(f"{name} must be at least 16 pixels, got {size}")
        self.view_size = view_size
        self.template_size = template_size
        self.search_factor = search_factor
        self.template_factor = template_factor
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    def preprocess(
        self, images: np.ndarray | Image.Image | Sequence, return_tensors: str = "pt", **kwargs: object
    ) -> BatchFeature:
        """Whole frames as scenes.

        Args:
            images: One frame or a sequence of frames, uint8 RGB [height, width, 3] or PIL.

        Returns:
            `pixel_values` [frames, 3, view_size, view_size] and `windows` [frames, 3] (centre x, y and side).
        """
        frames = [images] if isinstance(images, (Image.Image, np.ndarray)) and np.ndim(images) != 4 else list(images)
        frames = [as_frame(frame) for frame in frames]
        windows = [self.scene_window(frame) for frame in frames]
        pixel_values = self.normalize([self.crop(f, w, self.view_size) for f, w in zip(frames, windows)])
        data = {"pixel_values": pixel_values, "windows": torch.tensor(windows)}
        return BatchFeature(data, tensor_type=return_tensors)

    def template_window(self, box: Box) -> Window:
        """The template's window around a box (xywh pixels)."""
        return _window_around(box, self.template_factor).aligned(self.template_size)

    def search_window(self, box: Box, smallest_side: float = 0.0) -> Window:
        """The search region around a box (xywh pixels), its side at least `smallest_side` pixels."""
        window = _window_around(box, self.search_factor)
        return self.view_window(window.x, window.y, max(window.side, smallest_side))

    def scene_window(self, frame: np.ndarray) -> Window:
        """The smallest square window that holds the whole frame (letterbox)."""
        height, width = frame.shape[:2]
        return self.view_window(width / 2, height / 2, float(max(width, height)))

    def view_window(self, x: float, y: float, side: float) -> Window:
        """The window of a view around a place, all in pixels of the frame."""
        return Window(x, y, side).aligned(self.view_size)

    def crop(self, frame: np.ndarray, window: Window, size: int) -> np.ndarray:
        """Resamples a window (antialiased bilinear); grey outside the frame.

        Args:
            frame: uint8 RGB [height, width, 3].
            window: What to cut, [`Window.aligned`] to `size`.
            size: Side of the result in pixels.

        Returns:
            uint8 [size, size, 3]

        Raises:
            ValueError: If the window is not aligned.
        """
        view = np.full((size, size, 3), PADDING_GREY, dtype=np.uint8)
        (top, rows), (left, columns) = (_cut(middle, window, size) for middle in (window.y, window.x))
        scale = size / window.side * (1 + 1e-9)  # a rounding error must not push out the frame's last pixels
        part = frame[rows, columns]
        if min(part.shape[:2]) * scale < 1 or max(top, left) >= size:
            return view
        pixels = torch.from_numpy(np.require(part, requirements=["C", "W"]))[None].permute(0, 3, 1, 2)  # channels last
        seen = nn.functional.interpolate(pixels, scale_factor=scale, mode="bilinear", antialias=True)
        inside = view[top:, left:]
        seen = seen[0, :, : inside.shape[0], : inside.shape[1]].permute(1, 2, 0).numpy()
        inside[: seen.shape[0], : seen.shape[1]] = seen
        return view

    def normalize(self, views: Sequence[np.ndarray]) -> torch.Tensor:
        """uint8 views [size, size, 3] -> float32 [views, 3, size, size]."""
        pixels = torch.from_numpy(np.stack(views)).movedim(-1, 1).float()
        mean = torch.tensor(self.image_mean).mul(255)[:, None, None]
        std = torch.tensor(self.image_std).mul(255)[:, None, None]
        return (pixels - mean) / std

    def template(self, frame: np.ndarray, box: Box) -> tuple[np.ndarray, tuple[float, ...]]:
        """A template crop uint8 [template_size, template_size, 3] and the box in it, cxcywh normalised."""
        window = self.template_window(box)
        return self.crop(frame, window, self.template_size), box_to_view(box, window)


class SemTrackProcessor(ProcessorMixin):
    """What a user hands frames and prompts to; wraps a [`SemTrackImageProcessor`]."""

    def __init__(self, image_processor: SemTrackImageProcessor | None = None, **kwargs: object) -> None:
        super().__init__(image_processor or SemTrackImageProcessor(), **kwargs)

    def __call__(
        self,
        frame: np.ndarray | Image.Image,
        box: Sequence[float] | None = None,
        point: Sequence[float] | None = None,
        template_frame: np.ndarray | Image.Image | None = None,
    ) -> BatchFeature:
        """Inputs of the model for one frame and one prompt.

        Args:
            frame: uint8 RGB [height, width, 3] or PIL.
            box: The target's box, xywh pixels. With `template_frame` it lies in that frame, and the view is
                the search region at the same place of `frame`; alone, both come from `frame`.
            point: (x, y) in pixels of `frame`; the view is then the scene.
            template_frame: Frame that shows the target in `box`.

        Returns:
            Keyword arguments of [`SemTrackModel`]: `pixel_values` and the prompt's tensors, batch size 1.

        Raises:
            ValueError: If there is not exactly one prompt, or it lies outside the frame.
        """
        if (box is None) == (point is None):
            raise ValueError(f"pass exactly one of box and point, got box={box} and point={point}")
        frame = as_frame(frame)
        images = self.image_processor
        if point is not None:
            x, y = check_point(point, frame)
            window = images.scene_window(frame)
            coordinates = point_to_view((x, y), window)
            return BatchFeature(
                {
                    "pixel_values": images.normalize([images.crop(frame, window, images.view_size)]),
                    "point_coords": torch.tensor([[coordinates]]),
                    "point_labels": torch.ones(1, 1),
                    "view": "scene",
                }
            )
        source = frame if template_frame is None else as_frame(template_frame)
        box = check_box(box, source)
        template, template_box = images.template(source, box)
        window = images.search_window(box)
        return BatchFeature(
            {
                "pixel_values": images.normalize([images.crop(frame, window, images.view_size)]),
                "template_pixel_values": images.normalize([template])[None],
                "template_boxes": torch.tensor([[template_box]]),
            }
        )


def as_frame(frame: np.ndarray | Image.Image) -> np.ndarray:
    """Checks and converts a frame to uint8 RGB [height, width, 3].

    Raises:
        ValueError: If it is something else.
    """
    array = np.asarray(frame.convert("RGB") if isinstance(frame, Image.Image) else frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"a frame must be uint8 RGB [height, width, 3], got {array.dtype} {list(array.shape)}")
    return array


def check_box(box: Sequence[float], frame: np.ndarray) -> Box:
    """Checks a user's box (xywh pixels) against a frame.

    Raises:
        ValueError: If it is not four finite numbers with an area, or not inside the frame.
    """
    height, width = frame.shape[:2]
    values = tuple(float(v) for v in box)
    ok = len(values) == 4 and np.isfinite(values).all() and values[2] > 0 and values[3] > 0
    if not ok or values[0] < 0 or values[1] < 0 or values[0] + values[2] > width or values[1] + values[3] > height:
        shown = ", ".join(f"{v:g}" for v in values)
        raise ValueError(f"box must be [x, y, w, h] with w, h > 0 inside a {width}x{height} frame, got [{shown}]")
    return values


def check_point(point: Sequence[float], frame: np.ndarray) -> tuple[float, float]:
    """Checks a click (x, y pixels) against a frame.

    Raises:
        ValueError: If it is not two finite numbers inside the frame.
    """
    height, width = frame.shape[:2]
    values = tuple(float(v) for v in point)
    ok = len(values) == 2 and np.isfinite(values).all()
    if not ok or not (0 <= values[0] < width and 0 <= values[1] < height):
        shown = ", ".join(f"{v:g}" for v in values)
        raise ValueError(f"point must be (x, y) inside a {width}x{height} frame, got ({shown})")
    return values


def clip_box(box: Sequence[float], size: tuple[int, int], smallest: float = 1.0) -> Box | None:
    """The part of an xywh box inside a frame (height, width); None if a side keeps fewer pixels than `smallest`."""
    height, width = size
    x0, y0 = max(float(box[0]), 0.0), max(float(box[1]), 0.0)
    x1, y1 = min(float(box[0] + box[2]), float(width)), min(float(box[1] + box[3]), float(height))
    return (x0, y0, x1 - x0, y1 - y0) if x1 - x0 >= smallest and y1 - y0 >= smallest else None


def box_to_view(box: Sequence[float], window: Window) -> tuple[float, float, float, float]:
    """xywh pixels of the frame -> cxcywh normalised to the window."""
    x, y, w, h = box
    cx, cy = point_to_view((x + w / 2, y + h / 2), window)
    return cx, cy, w / window.side, h / window.side


def box_from_view(box: Sequence[float], window: Window) -> Box:
    """cxcywh normalised to the window -> xywh pixels of the frame."""
    cx, cy, w, h = (float(v) for v in box)
    x = window.x + (cx - 0.5 - w / 2) * window.side
    y = window.y + (cy - 0.5 - h / 2) * window.side
    return x, y, w * window.side, h * window.side


def point_to_view(point: Sequence[float], window: Window) -> tuple[float, float]:
    """(x, y) pixels of the frame -> (x, y) normalised to the window."""
    return (point[0] - window.x) / window.side + 0.5, (point[1] - window.y) / window.side + 0.5


def window_to_view(window: Window, outer: Window) -> tuple[float, float, float, float]:
    """A window as cxcywh normalised to another window."""
    x, y = point_to_view((window.x, window.y), outer)
    return x, y, window.side / outer.side, window.side / outer.side


def _window_around(box: Sequence[float], factor: float) -> Window:
    x, y, w, h = box
    side = round(factor * float(np.sqrt(w * h)) / SIDE_STEP) * SIDE_STEP
    return Window(x + w / 2, y + h / 2, max(side, 8.0))


class _Start(NamedTuple):
    """Where the frame begins in a view, in one direction: its pixel `begin` at the view's pixel `first`."""

    first: int
    begin: int
    corner: float  # of the view, in pixels of the frame


def _nearest_start(middle: float, window: Window, size: int) -> _Start:
    scale = window.side / size  # frame pixels per view pixel
    corner = middle - window.side / 2
    first, begin = (0, round(corner)) if corner >= 0 else (round(-corner / scale), 0)
    return _Start(first, begin, begin - first * scale)


def _cut(middle: float, window: Window, size: int) -> tuple[int, slice]:
    """From which pixel on a view shows the frame, and which pixels of the frame it needs, in one direction."""
    first, begin, corner = _nearest_start(middle, window, size)
    asked = middle - window.side / 2
    if abs(corner - asked) > ALIGNED:
        raise ValueError(
            f"a window must begin on a whole pixel of the frame, or of the view before the frame, got {asked:g} of "
            f"{window}; pass window.aligned({size})"
        )
    scale = window.side / size
    # The antialiasing filter reaches beyond the last pixel
    return first, slice(begin, math.ceil(begin + (size - first) * scale) + math.ceil(scale))
