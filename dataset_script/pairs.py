"""Frames of one target, in threes, for training a tracker: from photos, cut-outs, sequences and videos.

A tracker needs to see the same thing twice. Real sequences show it in two moments; a single photo gives
as much by moving the camera (a random affine map) or the object (its cut-out pasted on another photo,
with look-alikes and occluders), as in self-supervised Siamese training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .sources.otb import IMAGE_SUFFIXES, BoxSequence, list_images

Box = tuple[float, float, float, float]
FRAMES = 3  # template, a later template, search
LARGEST_GAP = 100  # frames between the moments of one sequence
SMALLEST_SIDE = 8.0  # pixels; smaller targets teach nothing
LARGEST_PHOTO = 360  # pixels; larger photos are scaled down
OUTSIDE = (127, 127, 127)  # what lies beyond the edge of a photo


@dataclass
class LabelledFrame:
    """A frame with the target's box.

    Attributes:
        image: uint8 RGB [height, width, 3].
        box: xywh in pixels, or None where the target is not visible.
        mask: bool [height, width], the target's pixels, or None where unknown.
    """

    image: np.ndarray
    box: Box | None
    mask: np.ndarray | None = None


class PhotoSampler:
    """Triples from still photos; masks of their main objects make them better.

    Args:
        images: Folder of photos (searched recursively).
        masks: Folder with `<stem>.png` for some of the photos (255 = object), or None.
        absent: Share of composites in which the target is missing from the last frame.
    """

    def __init__(self, images: str | Path, masks: str | Path | None = None, absent: float = 0.1) -> None:
        self.paths = sorted(p for p in Path(images).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not self.paths:
            raise ValueError(f"images must be a folder with photos, found none in '{images}'")
        known = {p.stem: p for p in Path(masks).glob("*.png")} if masks else {}
        self.masks = {path: known[path.stem] for path in self.paths if path.stem in known}
        if masks and not self.masks:
            raise ValueError(f"no mask in '{masks}' is named like a photo in '{images}'")
        self.masked = sorted(self.masks)
        self.absent = absent
        self._loaded: dict[Path, tuple[Image.Image, Image.Image | None]] = {}

    def sample(self, rng: np.random.Generator) -> list[LabelledFrame]:
        """Three frames; the last may lack the target, the first two show it."""
        if rng.random() < 0.4:
            return self._same_photo(rng)
        return self._composite(rng)

    def _load(self, path: Path) -> tuple[Image.Image, Image.Image | None]:
        if path not in self._loaded:
            image = Image.open(path).convert("RGB")
            image.thumbnail((LARGEST_PHOTO, LARGEST_PHOTO))
            mask = Image.open(self.masks[path]).convert("L").resize(image.size) if path in self.masks else None
            self._loaded[path] = (image, mask)
        return self._loaded[path]

    def _any(self, rng: np.random.Generator, masked: bool = False) -> tuple[Image.Image, Image.Image | None]:
        paths = self.masked if masked and self.masked else self.paths
        return self._load(paths[rng.integers(len(paths))])

    def _same_photo(self, rng: np.random.Generator) -> list[LabelledFrame]:
        """One photo under three camera positions; the target is its object, or any rectangle."""
        image, mask = self._any(rng, masked=rng.random() < 0.65)
        if mask is None or rng.random() < (0.7 if _share(mask) > 0.3 else 0.2):
            mask = _rectangle_mask(image.size, rng)
        frames = []
        for moment in range(FRAMES):
            strength = 0.4 if moment == 0 else 1.0
            matrix = _random_affine(image.size, rng, strength)
            moved_mask = mask.transform(image.size, Image.Transform.AFFINE, matrix)
            frame = _labelled(_move_camera(image, matrix), moved_mask)
            if moment < FRAMES - 1 and frame.box is None:
                frame = _labelled(image, mask)
                if frame.box is None:  # too small to begin with
                    return self._same_photo(rng)
            frames.append(frame)
        return frames

    def _composite(self, rng: np.random.Generator) -> list[LabelledFrame]:
        """A cut-out that moves over another photo, among other cut-outs, sometimes half hidden."""
        background, _ = self._any(rng)
        size = background.size
        target = self._cutout(rng, size, smallest=24, largest=150)
        others = [self._cutout(rng, size, smallest=20, largest=120) for _ in range(rng.integers(0, 4))]
        if rng.random() < 0.4:
            others.append(_lookalike(target, rng))
        occluder = self._cutout(rng, size, smallest=30, largest=120) if rng.random() < 0.25 else None
        frames = []
        for moment in range(FRAMES):
            last = moment == FRAMES - 1
            canvas = _move_camera(background, _random_affine(size, rng, 0.8))
            for other in others:
                _paste(canvas, None, _deform(other, rng), _random_place(size, rng))
            visible = Image.new("L", size)
            if not (last and rng.random() < self.absent):
                _paste(canvas, visible, _deform(target, rng), _random_place(size, rng))
            box = visible.getbbox()
            if occluder is not None and last and box is not None:
                # Beside the centre, so that most of the target stays to be seen.
                width, height = box[2] - box[0], box[3] - box[1]
                side = rng.choice([-1.0, 1.0], 2) * rng.uniform(0.4, 0.8, 2)
                where = ((box[0] + box[2]) / 2 + side[0] * width, (box[1] + box[3]) / 2 + side[1] * height)
                _paste(canvas, None, _fit(occluder, max(width, height) * rng.uniform(0.6, 1.1)), where)
            frame = _labelled(canvas, visible)
            if frame.box is None and not last:
                return self._composite(rng)
            frames.append(frame)
        return frames

    def _cutout(self, rng: np.random.Generator, size: tuple[int, int], smallest: float, largest: float) -> Image.Image:
        """A piece of a photo as RGBA: its main object where a mask is known, else a random polygon."""
        image, mask = self._any(rng, masked=rng.random() < 0.8)
        if mask is None:
            mask = _polygon_mask(image.size, rng)
        box = mask.getbbox() or (0, 0, *image.size)
        sprite = image.crop(box)
        sprite.putalpha(mask.crop(box).filter(ImageFilter.GaussianBlur(0.7)))
        limit = min(largest, 0.7 * min(size))
        return _fit(sprite, float(np.exp(rng.uniform(np.log(smallest), np.log(limit)))))


class SequenceSampler:
    """Triples from annotated sequences: three moments of one target.

    Args:
        sequences: Sequences with boxes; frames are folders of images (video files must be unpacked first by
            the caller through `frames_of`).
        frames_of: Maps a sequence's name to a list of its frames, uint8 RGB or paths of images; boxes past the
            last frame are not used.

    Raises:
        ValueError: If no sequence shows its target at `SMALLEST_SIDE` pixels or more.
    """

    def __init__(self, sequences: Sequence[BoxSequence], frames_of: dict[str, list]) -> None:
        if not sequences:
            raise ValueError("sequences must hold at least one sequence, got none")
        self.sequences = list(sequences)
        self.frames_of = frames_of
        self.masks_of = {s.name: list_images(s.masks) for s in sequences if s.masks is not None}
        boxes = {s.name: s.boxes[: len(frames_of[s.name])] for s in sequences}
        sides = {name: np.minimum(rows[:, 2], rows[:, 3]) for name, rows in boxes.items()}
        self.visible = {name: np.flatnonzero(side >= SMALLEST_SIDE) for name, side in sides.items()}
        self.absent = {name: np.flatnonzero(np.isnan(rows[:, 0])) for name, rows in boxes.items()}
        # Long sequences are richer, but not in proportion to their length.
        weights = np.array([len(self.visible[s.name]) ** 0.5 for s in sequences])
        if weights.sum() == 0:
            raise ValueError(
                f"no sequence shows its target at {SMALLEST_SIDE:g} pixels or more: larger frames are needed"
            )
        self.weights = weights / weights.sum()

    def sample(self, rng: np.random.Generator) -> list[LabelledFrame]:
        """Three frames; the first two show the target, the last may not."""
        sequence = self.sequences[rng.choice(len(self.sequences), p=self.weights)]
        visible, absent = self.visible[sequence.name], self.absent[sequence.name]
        first = int(rng.choice(visible))
        near = visible[np.abs(visible - first) <= LARGEST_GAP]
        moments = [first, int(rng.choice(near)), int(rng.choice(near))]
        if len(absent) and rng.random() < 0.3:
            moments[2] = int(rng.choice(absent))
        frames = [self._frame(sequence, moment) for moment in moments]
        if frames[0].box is None or frames[1].box is None:  # annotated, but outside the frame
            return self.sample(rng)
        if rng.random() < 0.5:
            frames = [_mirrored(frame) for frame in frames]
        return frames

    def _frame(self, sequence: BoxSequence, index: int) -> LabelledFrame:
        frame = self.frames_of[sequence.name][index]
        image = frame if isinstance(frame, np.ndarray) else np.asarray(Image.open(frame).convert("RGB"))
        mask = None
        if sequence.name in self.masks_of:
            mask = np.asarray(Image.open(self.masks_of[sequence.name][index]).convert("L")) > 127
        box = clip_box(sequence.boxes[index], image.shape[1], image.shape[0])
        return LabelledFrame(image, box, mask if mask is not None and mask.shape == image.shape[:2] else None)


class MixedSampler:
    """Draws each triple from one of several samplers.

    Args:
        samplers: (sampler, weight) pairs.
    """

    def __init__(self, samplers: Sequence[tuple[PhotoSampler | SequenceSampler, float]]) -> None:
        self.samplers = [sampler for sampler, _ in samplers]
        weights = np.array([weight for _, weight in samplers], dtype=float)
        if not len(weights) or (weights < 0).any() or weights.sum() == 0:
            raise ValueError(f"sampler weights must be positive, got {weights.tolist()}")
        self.weights = weights / weights.sum()

    def sample(self, rng: np.random.Generator) -> list[LabelledFrame]:
        """Three frames of one target."""
        return self.samplers[rng.choice(len(self.samplers), p=self.weights)].sample(rng)


def clip_box(box: Sequence[float], width: int, height: int) -> Box | None:
    """The part of an xywh box inside the frame, or None for NaN and for boxes outside."""
    x, y, w, h = (float(v) for v in box)
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    return (x0, y0, x1 - x0, y1 - y0) if x1 - x0 >= 2 and y1 - y0 >= 2 else None


def _labelled(image: Image.Image, mask: Image.Image) -> LabelledFrame:
    """Frame with the box of what the mask shows; a target that is almost gone counts as absent."""
    pixels = np.asarray(mask) > 127
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = None
    if len(rows) and len(columns) and len(rows) >= SMALLEST_SIDE and len(columns) >= SMALLEST_SIDE:
        box = (
            float(columns[0]),
            float(rows[0]),
            float(columns[-1] - columns[0] + 1),
            float(rows[-1] - rows[0] + 1),
        )
    return LabelledFrame(np.asarray(image.convert("RGB")), box, pixels if box else None)


def _mirrored(frame: LabelledFrame) -> LabelledFrame:
    width = frame.image.shape[1]
    box = frame.box and (width - frame.box[0] - frame.box[2], *frame.box[1:])
    mask = None if frame.mask is None else frame.mask[:, ::-1]
    return LabelledFrame(np.ascontiguousarray(frame.image[:, ::-1]), box, mask)


def _random_affine(size: tuple[int, int], rng: np.random.Generator, strength: float) -> tuple[float, ...]:
    """Inverse affine map (for PIL) about the image's centre: turn, zoom, stretch and shift."""
    angle = np.deg2rad(rng.normal(0, 6) * strength)
    zoom = np.exp(rng.normal(0.08, 0.15) * strength)
    stretch = np.exp(rng.normal(0, 0.08) * strength)
    shift = rng.normal(0, 0.08, 2) * strength * size
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.diag([1 / (zoom * stretch), stretch / zoom]) @ matrix
    center = np.array(size) / 2
    offset = center - inverse @ (center + shift)
    return (*inverse[0], offset[0], *inverse[1], offset[1])


def _move_camera(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=OUTSIDE)


def _share(mask: Image.Image) -> float:
    """Share of the photo that the mask's bounding box covers."""
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return (right - left) * (bottom - top) / (mask.width * mask.height)


def _random_place(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, float]:
    """A centre for a cut-out, anywhere in the frame."""
    return float(rng.uniform(0.05, 0.95) * size[0]), float(rng.uniform(0.05, 0.95) * size[1])


def _fit(sprite: Image.Image, side: float) -> Image.Image:
    """Scales a cut-out so that the root of its box's area is `side` pixels."""
    scale = side / (sprite.width * sprite.height) ** 0.5
    return sprite.resize((max(4, round(sprite.width * scale)), max(4, round(sprite.height * scale))))


def _deform(sprite: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same cut-out a moment later: other size, aspect and angle."""
    zoom, stretch = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.1))
    size = (max(4, round(sprite.width * zoom * stretch)), max(4, round(sprite.height * zoom / stretch)))
    return sprite.resize(size).rotate(rng.normal(0, 8), Image.Resampling.BILINEAR, expand=True)


def _lookalike(sprite: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A cut-out that resembles the target: mirrored, and with its colours shifted."""
    red, green, blue, alpha = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT).split()
    gains = rng.uniform(0.65, 1.35, 3)
    bands = [band.point(lambda v, g=gain: min(255, int(v * g))) for band, gain in zip((red, green, blue), gains)]
    return Image.merge("RGBA", (*bands, alpha))


def _paste(canvas: Image.Image, visible: Image.Image | None, sprite: Image.Image, center: tuple[float, float]) -> None:
    """Pastes a cut-out onto the canvas, and its alpha onto the mask of what is visible."""
    corner = (round(center[0] - sprite.width / 2), round(center[1] - sprite.height / 2))
    alpha = sprite.getchannel("A")
    canvas.paste(sprite, corner, alpha)
    if visible is not None:
        visible.paste(alpha, corner)


def _rectangle_mask(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random rectangle as the target of a photo without a mask."""
    side = np.exp(rng.uniform(np.log(20), np.log(0.5 * min(size))))
    aspect = np.exp(rng.normal(0, 0.4))
    width, height = min(side * aspect, 0.8 * size[0]), min(side / aspect, 0.8 * size[1])
    x, y = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle((x, y, x + width, y + height), fill=255)
    return mask


def _polygon_mask(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random star-shaped polygon as a cut-out of a photo without a mask."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
    radii = rng.uniform(0.5, 1.0, len(angles)) * rng.uniform(0.15, 0.45, 2)[:, None] * np.array(size)[:, None]
    center = rng.uniform(0.3, 0.7, 2)[:, None] * np.array(size)[:, None]
    xs, ys = center + radii * np.stack([np.cos(angles), np.sin(angles)])
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(list(zip(xs, ys)), fill=255)
    return mask
