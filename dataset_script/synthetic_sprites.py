"""Sprites: the pictures of the actors and objects of synthetic videos.

A sprite gives one picture for every pose that it can take, all facing right and standing on its foot. Persons
(:mod:`dataset_script.synthetic_person`) have joints and draw their poses when they are first taken; animals
have a gait; the other things (:mod:`dataset_script.synthetic_props`) have one picture, or some from closed to open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from dataset_script.synthetic_photos import PhotoLibrary

BORDER = 2  # transparent pixels around every picture, so that resampling fades to nothing
OVERSAMPLING = 3
GAIT_POSES = 8


class Posture(NamedTuple):
    """What a sprite is asked to look like.

    Attributes:
        phase: Of the walk; 1 = one full stride.
        stride: Length of the steps, 0 (standing) to 1.
        gesture: Name of what the limbs do, or "".
        extent: How far the gesture is carried out, 0 to 1.
        sway: Degrees by which the forearm swings (waving, shaking, stroking).
    """

    phase: float = 0.0
    stride: float = 0.0
    gesture: str = ""
    extent: float = 0.0
    sway: float = 0.0


class Picture(NamedTuple):
    """One pose.

    Attributes:
        colour: RGB.
        alpha: Mask (L) of the same size.
        foot: Position of the foot's middle in the picture, pixels from the upper left corner.
        area: Silhouette pixels (alpha of at least a half).
    """

    colour: Image.Image
    alpha: Image.Image
    foot: tuple[float, float]
    area: int


class Sprite:
    """One actor or object with its pictures.

    Args:
        category: What it is.
        poses: RGBA images, each with :data:`BORDER` transparent pixels around it and its foot in the middle of
            the lower edge; a walk for who is alive, else from rest to the full extent of a gesture.
        width: Nominal width in pixels at scale 1: how much room it takes beside others.
        height: Nominal height in pixels at scale 1.
        pivot: Height in pixels above the foot around which the sprite rotates.
        alive: Whether it can act by itself.
    """

    def __init__(self, category: str, poses: Sequence[Image.Image], width: int, height: int, pivot: float = 0.0,
                 alive: bool = False) -> None:  # fmt: skip
        self.category, self.width, self.height, self.pivot, self.alive = category, width, height, pivot, alive
        self.pictures = [to_picture(pose, (0.5 * pose.width, pose.height - BORDER)) for pose in poses]

    def pose(self, posture: Posture) -> int:
        """Number of the picture that comes closest to ``posture``."""
        if self.alive:
            return int(posture.phase * len(self.pictures)) % len(self.pictures)
        return round(posture.extent * (len(self.pictures) - 1))

    def picture(self, number: int) -> Picture:
        """The picture that :meth:`pose` has named."""
        return self.pictures[number]

    def recoloured(self, gain: float) -> Sprite:
        """The same, brighter (``gain`` above 1) or darker."""
        poses = []
        for colour, alpha, _, _ in self.pictures:
            pose = ImageEnhance.Brightness(colour).enhance(gain)
            pose.putalpha(alpha)
            poses.append(pose)
        return Sprite(self.category, poses, self.width, self.height, self.pivot, self.alive)


def to_picture(image: Image.Image, foot: tuple[float, float]) -> Picture:
    """The picture of an RGBA image whose foot is at ``foot``."""
    alpha = image.getchannel("A")
    return Picture(image.convert("RGB"), alpha, foot, int((np.asarray(alpha) > 127).sum()))


def cutout_sprite(height: int, photos: PhotoLibrary, rng: np.random.Generator, category: str, alive: bool) -> Sprite:
    """A real thing, cut out of a photo; alive, it slides about without a gait."""
    image = photos.cutout(rng)
    width = max(4, round(height * min(2.2, max(0.35, image.width / image.height))))
    return Sprite(category, [bordered(image.resize((width, height), Image.Resampling.BILINEAR))], width, height,
                  alive=alive)  # fmt: skip


def animal_sprite(height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    """An animal on four legs."""
    width = max(4, round(height * rng.uniform(1.45, 1.85)))
    colour = tuple(int(c * rng.uniform(0.5, 1.1)) for c in (190, 150, 110))
    coat = photos.tinted(rng, width, height, colour, rng.uniform(0.3, 0.8))
    stout = rng.uniform(0.9, 1.15)
    poses = []
    for index in range(GAIT_POSES):
        swing = math.sin(2 * math.pi * index / GAIT_POSES)
        far = mask(width, height, lambda d, w, h, s=swing: _draw_legs(d, w, h, -s, (0.27, 0.66)))
        near = mask(width, height, lambda d, w, h, s=swing: _draw_animal(d, w, h, s, stout))
        poses.append(layered(width, height, [(ImageEnhance.Brightness(coat).enhance(0.6), far), (coat, near)]))
    return Sprite("animal", poses, width, height, alive=True)


def _draw_animal(draw: ImageDraw.ImageDraw, w: float, h: float, swing: float, stout: float) -> None:
    draw.ellipse((0.10 * w, 0.24 * h, 0.78 * w, (0.5 + 0.18 * stout) * h), fill=255)  # body
    draw.polygon(((0.60 * w, 0.48 * h), (0.70 * w, 0.12 * h), (0.84 * w, 0.34 * h)), fill=255)  # neck
    draw.ellipse((0.69 * w, 0.06 * h, 0.91 * w, 0.36 * h), fill=255)  # head
    draw.rounded_rectangle((0.80 * w, 0.18 * h, w, 0.34 * h), 0.06 * h, fill=255)  # muzzle
    draw.polygon(((0.70 * w, 0.16 * h), (0.72 * w, 0), (0.80 * w, 0.08 * h)), fill=255)  # ear
    tail = ((0.14 * w, 0.36 * h), (0.01 * w, (0.10 + 0.08 * swing) * h))
    draw.line(tail, fill=255, width=max(1, round(0.07 * h)))
    _draw_legs(draw, w, h, swing, (0.21, 0.70))


def _draw_legs(draw: ImageDraw.ImageDraw, w: float, h: float, swing: float, hips: tuple[float, float]) -> None:
    for hip, sign in zip(hips, (1, -1), strict=True):
        foot = ((hip + 0.07 * sign * swing) * w, h)
        draw.line(((hip * w, 0.55 * h), foot), fill=255, width=max(1, round(0.1 * h)))


def mask(width: int, height: int, draw: Callable[[ImageDraw.ImageDraw, float, float], None]) -> Image.Image:
    """An antialiased mask: drawn larger, then reduced."""
    large = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING), 0)
    draw(ImageDraw.Draw(large), float(large.width), float(large.height))
    return large.reduce(OVERSAMPLING)


def layered(width: int, height: int, layers: Sequence[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Pastes (texture, mask) layers in order; alpha is the union of the masks, a border is added."""
    colour, alpha = layers[0][0].copy(), Image.new("L", (width, height), 0)
    for texture, part in layers:
        colour.paste(texture, (0, 0), part)
        alpha.paste(255, (0, 0), part)
    colour.putalpha(alpha)
    return bordered(colour)


def bordered(image: Image.Image) -> Image.Image:
    """Adds the transparent border, with the edge's colours under it."""
    pixels = np.pad(np.asarray(image), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
    alpha = np.pad(np.asarray(image)[..., 3], BORDER)
    return Image.fromarray(np.dstack([pixels[..., :3], alpha]))
