"""Annotated videos in another place: in front of a photo, and from an unsteady hand.

What is learned from a few recordings is easily their background; from a camera on a tripod, that nothing moves unless
somebody acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.signal import lfilter

from modeling_semtrack.trajectory import Box

from .semantic_data import AnnotatedVideo
from .sources.frames import list_images

FEATHER = 6  # pixels around a target's box within which it blends into the photo
ROOM = 0.028  # of a frame's sides that an unsteady camera leaves out at each edge, to move in
SHAKE = 0.0025  # of the shorter side: standard deviation of a frame's change of speed, of the least steady hand


@dataclass
class VideoElsewhere(AnnotatedVideo):
    """See [`elsewhere`].

    Attributes:
        original: The video.
        photo: Of the size of its frames.
        corners: [frames, 2], the upper left corner (x, y) of what the camera sees of each frame.
        scale: Width and height of what it sees, where that of a frame is 1.
    """

    original: AnnotatedVideo
    photo: Image.Image
    corners: np.ndarray
    scale: float

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, time in seconds, uint8 RGB) of every frame."""
        width, height = size = self.photo.size
        for index, time, image in self.original.frames():
            boxes = [target.boxes[index] for target in self.original.record.targets if index in target.boxes]
            frame = Image.composite(Image.fromarray(image), self.photo, soft_boxes(boxes, size))
            if self.scale < 1:
                x, y = self.corners[min(index, len(self.corners) - 1)]
                part = (x, y, x + self.scale * width, y + self.scale * height)
                frame = frame.resize(size, Image.Resampling.BILINEAR, part)
            yield index, time, np.asarray(frame)


def scene_photos(folder: str | Path, held_out: bool = False) -> list[Path]:
    """Every other photo of a folder, to train in front of; the rest tells what scenes cost that no training has seen.

    Raises:
        ValueError: If there are fewer than two.
    """
    photos = list_images(folder) if Path(folder).is_dir() else []
    if len(photos) < 2:
        raise ValueError(f"'{folder}' must hold two photos or more to put behind targets, found {len(photos)}")
    return photos[int(held_out) :: 2]


def elsewhere(video: AnnotatedVideo, photo: str | Path, rng: np.random.Generator | None = None) -> VideoElsewhere:
    """A video in front of a photo: everything outside its targets' boxes is replaced.

    Args:
        video: With boxes in every frame in which a target can be seen.
        photo: Image file.
        rng: Of a hand that holds the camera, more or less steady; None: a tripod.
    """
    record = video.record
    size = (record.width, record.height)
    backdrop = Image.open(photo).convert("RGB").resize(size)
    if rng is None:
        return VideoElsewhere(record, video.path, video, backdrop, np.zeros((1, 2)), 1.0)
    corners = ROOM * np.array(size) + min(size) * np.clip(hand_path(record.num_frames, rng), -ROOM, ROOM)
    scale = 1 - 2 * ROOM
    targets = [
        replace(target, boxes={index: _seen_from(box, corners[index], scale) for index, box in target.boxes.items()})
        for target in record.targets
    ]
    return VideoElsewhere(replace(record, targets=targets), video.path, video, backdrop, corners, scale)


def hand_path(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Where an unsteady hand points a camera, [frames, 2]: a random walk that tires, and is drawn back."""
    pushes = rng.normal(0, rng.uniform(0, SHAKE), (frames, 2))
    speeds = lfilter([1.0], [1.0, -0.8], pushes, axis=0)
    return lfilter([1.0], [1.0, -0.9], speeds, axis=0)


def soft_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> Image.Image:
    """A mask (width, height) that is white inside the boxes (xywh pixels) and fades to black outside."""
    mask = Image.new("L", size)
    for x, y, w, h in boxes:
        ImageDraw.Draw(mask).rectangle((x - FEATHER, y - FEATHER, x + w + FEATHER, y + h + FEATHER), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(FEATHER / 2))


def _seen_from(box: Box, corner: np.ndarray, scale: float) -> Box:
    x, y, width, height = box
    return (x - corner[0]) / scale, (y - corner[1]) / scale, width / scale, height / scale
