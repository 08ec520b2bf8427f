"""The objects of synthetic videos, and the one place where sprites of any category are made."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from dataset_script.synthetic_person import person_sprite
from dataset_script.synthetic_photos import Colour, PhotoLibrary
from dataset_script.synthetic_sprites import Sprite, animal_sprite, cutout_sprite, layered, mask

ACTORS = ("person", "animal")
OBJECTS = ("ball", "box", "cart", "wall", "bench", "ladder", "door", "table", "cup", "car")
CUTOUT_CATEGORY = "thing"
CATEGORIES = (*ACTORS, *OBJECTS, CUTOUT_CATEGORY)
ASPECTS = {"ball": (1.0, 1.0), "box": (0.8, 1.3), "cart": (1.5, 2.0), "wall": (0.6, 0.9), "bench": (2.0, 2.8),
           "ladder": (0.30, 0.40), "door": (0.46, 0.56), "table": (1.5, 2.2), "cup": (0.85, 1.05),
           "car": (2.1, 2.7)}  # width / height  # fmt: skip
SEAT = {"bench": 0.52, "cart": 0.72, "box": 1.0}  # level on which one sits, in shares of the height
TABLE_TOP = 0.93  # level on which things stand on a table
DOOR_POSES = 7
Shape = Callable[[ImageDraw.ImageDraw, float, float], None]
Layer = tuple[Image.Image, Image.Image]


def make_sprite(category: str, height: int, photos: PhotoLibrary, rng: np.random.Generator, min_width: float = 0.0,
                alive: bool = False) -> Sprite:  # fmt: skip
    """Renders a sprite of ``category``, ``height`` pixels high.

    Args:
        category: One of :data:`CATEGORIES`; ``"thing"`` needs cut-outs.
        height: Height of the silhouette in pixels.
        photos: Where textures come from.
        rng: Source of randomness.
        min_width: Least width in pixels (a wall must cover who hides behind it).
        alive: Whether a ``"thing"`` acts by itself; persons and animals always do.
    """
    if category == CUTOUT_CATEGORY:
        return cutout_sprite(height, photos, rng, category, alive)
    if category == "person":
        return person_sprite(height, photos, rng)
    if category == "animal":
        return animal_sprite(height, photos, rng)
    width = max(4, round(height * rng.uniform(*ASPECTS[category])), math.ceil(min_width))
    if category == "ball":
        return Sprite("ball", [layered(height, height, _ball(height, photos, rng))], height, height, pivot=height / 2)
    if category == "door":
        texture, room = photos.tinted(rng, width, height, _hue(rng), 0.6), photos.texture(rng, width, height)
        frame = _flat(width, height, _hue(rng, 120, 250))
        leaves = [_door(width, height, texture, room, frame, i / (DOOR_POSES - 1)) for i in range(DOOR_POSES)]
        return Sprite("door", leaves, width, height)
    return Sprite(category, [layered(width, height, _PAINTERS[category](width, height, photos, rng))], width, height)


def _ball(size: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    disc = mask(size, size, lambda d, w, h: d.ellipse((0, 0, w - 1, h - 1), fill=255))
    stripe = mask(
        size, size, lambda d, w, h: d.arc((0.2 * w, -0.2 * h, 1.4 * w, 1.2 * h), 90, 270, 255, round(0.1 * w))
    )
    light = Image.composite(stripe, Image.new("L", stripe.size), disc)
    return [(photos.tinted(rng, size, size, _hue(rng), 0.5), disc), (_flat(size, size, (240, 240, 235)), light)]


def _box(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def tape(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.rectangle((0.44 * w, 0, 0.56 * w, h), fill=255)

    outer = mask(width, height, lambda d, w, h: d.rounded_rectangle((0, 0, w - 1, h - 1), 0.06 * h, fill=255))
    inner = mask(width, height, lambda d, w, h: d.rectangle((0.08 * w, 0.08 * h, 0.92 * w, 0.92 * h), fill=255))
    edge, front = _flat(width, height, _hue(rng)), photos.tinted(rng, width, height, (176, 130, 82), 0.4)
    return [(edge, outer), (front, inner), (edge, mask(width, height, tape))]


def _cart(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def body(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.polygon(((0.06 * w, 0.28 * h), (w, 0.28 * h), (0.92 * w, 0.78 * h), (0.14 * w, 0.78 * h)), fill=255)

    def wheels(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.line(((0.0, 0.03 * h), (0.14 * w, 0.03 * h), (0.2 * w, 0.5 * h)), fill=255, width=max(1, round(0.07 * h)))
        for x in (0.26 * w, 0.80 * w):
            d.ellipse((x - 0.17 * h, 0.66 * h, x + 0.17 * h, h - 1), fill=255)

    tyre = _flat(width, height, tuple(int(v) for v in rng.integers(0, 70, 3)))
    return [(photos.tinted(rng, width, height, _hue(rng), 0.4), mask(width, height, body)),
            (tyre, mask(width, height, wheels))]  # fmt: skip


def _wall(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    return [(photos.texture(rng, width, height), Image.new("L", (width, height), 255))]


def _bench(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def planks(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for top, bottom in ((0.0, 0.14), (0.2, 0.34), (0.46, 0.60)):
            d.rectangle((0, top * h, w - 1, bottom * h), fill=255)

    def frame(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for x in (0.1, 0.84):
            d.rectangle((x * w, 0.02 * h, (x + 0.06) * w, h), fill=255)

    wood = photos.tinted(rng, width, height, (150, 95, 50), rng.uniform(0.4, 0.8))
    return [(_flat(width, height, _hue(rng, 20, 110)), mask(width, height, frame)), (wood, mask(width, height, planks))]


def _ladder(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def shape(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for x in (0.0, 0.86):
            d.rectangle((x * w, 0, (x + 0.14) * w - 1, h), fill=255)
        for rung in range(8):
            d.rectangle((0, (0.05 + 0.12 * rung) * h, w - 1, (0.08 + 0.12 * rung) * h), fill=255)

    metal = _flat(
        width, height, tuple(int(v) for v in np.clip(rng.integers(120, 235) + rng.integers(-60, 30, 3), 0, 255))
    )
    return [(metal, mask(width, height, shape))]


def _table(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def legs(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for x in (0.06, 0.88):
            d.rectangle((x * w, 0.1 * h, (x + 0.06) * w, h), fill=255)

    top = mask(width, height, lambda d, w, h: d.rectangle((0, 0, w - 1, 0.18 * h), fill=255))
    wood = photos.tinted(rng, width, height, _hue(rng, 60, 220), 0.5)
    return [(ImageEnhance.Brightness(wood).enhance(0.6), mask(width, height, legs)), (wood, top)]


def _cup(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def shape(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.polygon(((0, 0), (0.72 * w, 0), (0.64 * w, h), (0.08 * w, h)), fill=255)
        d.arc((0.5 * w, 0.18 * h, w - 1, 0.75 * h), -90, 90, 255, max(1, round(0.11 * w)))

    rim = mask(width, height, lambda d, w, h: d.rectangle((0, 0, 0.72 * w, 0.16 * h), fill=255))
    colour = _hue(rng, 60, 255)
    return [(_flat(width, height, colour), mask(width, height, shape)), (_flat(width, height, (250, 250, 250)), rim)]


def _car(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> list[Layer]:
    def body(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.polygon(((0.16 * w, 0.45 * h), (0.30 * w, 0), (0.66 * w, 0), (0.82 * w, 0.45 * h)), fill=255)
        d.rounded_rectangle((0, 0.40 * h, w - 1, 0.86 * h), 0.12 * h, fill=255)

    def windows(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.polygon(((0.22 * w, 0.42 * h), (0.33 * w, 0.09 * h), (0.47 * w, 0.09 * h), (0.47 * w, 0.42 * h)), fill=255)
        d.polygon(((0.50 * w, 0.42 * h), (0.50 * w, 0.09 * h), (0.64 * w, 0.09 * h), (0.75 * w, 0.42 * h)), fill=255)

    def wheels(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for x in (0.2 * w, 0.8 * w):
            d.ellipse((x - 0.2 * h, 0.6 * h, x + 0.2 * h, h - 1), fill=255)

    paint = photos.tinted(rng, width, height, _hue(rng), 0.8)
    return [(paint, mask(width, height, body)), (_flat(width, height, (60, 75, 90)), mask(width, height, windows)),
            (_flat(width, height, (22, 22, 24)), mask(width, height, wheels))]  # fmt: skip


def _door(width: int, height: int, leaf: Image.Image, room: Image.Image, frame: Image.Image,
          opened: float) -> Image.Image:  # fmt: skip
    """A door in its frame; the leaf turns on its left edge from closed (0) to open (1)."""
    edge = 0.10 * width
    right = edge + (width - 2 * edge) * (1 - 0.78 * opened)

    def panel(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        k, slant = w / width, 0.06 * opened * h
        d.polygon(
            ((edge * k, 0.05 * h), (right * k, 0.05 * h + slant), (right * k, h - slant), (edge * k, h)), fill=255
        )

    def knob(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        x, r = (right - 0.09 * width * (1 - 0.6 * opened)) * w / width, 0.022 * h
        d.ellipse((x - r, 0.52 * h - r, x + r, 0.52 * h + r), fill=255)

    def opening(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        d.rectangle((0.1 * w, 0.05 * h, 0.9 * w, h), fill=255)

    dark = ImageEnhance.Brightness(room).enhance(0.35)
    leaf = ImageEnhance.Brightness(leaf).enhance(1 - 0.3 * opened)
    brass = _flat(width, height, (235, 205, 90))
    shapes = [(dark, opening), (leaf, panel), (brass, knob)]
    layers = [(frame, Image.new("L", (width, height), 255))]
    return layered(width, height, layers + [(paint, mask(width, height, shape)) for paint, shape in shapes])


def _hue(rng: np.random.Generator, low: int = 20, high: int = 235) -> Colour:
    return tuple(int(v) for v in rng.integers(low, high, 3))


def _flat(width: int, height: int, colour: Colour) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


_PAINTERS: dict[str, Callable[[int, int, PhotoLibrary, np.random.Generator], list[Layer]]] = {
    "box": _box, "cart": _cart, "wall": _wall, "bench": _bench, "ladder": _ladder, "table": _table, "cup": _cup,
    "car": _car,
}  # fmt: skip
