"""The scene types of synthetic videos: painted from photos, with the layout, light and weather that belong to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from dataset_script.synthetic_photos import Colour, PhotoLibrary

MARGIN = 0.1  # of the frame's sides, around the stage


@dataclass(frozen=True)
class PlaceType:
    """What is fixed about a scene type.

    Attributes:
        share: How often it is drawn, among those that suit what happens.
        open_ground: Whether the ground fills the frame (seen from high up), without a horizon.
        crossing: Whether it may have a zebra crossing.
        bystanders: Least and greatest number of persons who only stand about.
        weather: "", "rain" or "snow".
        gain: Contrast and brightness (grey levels) of its light.
    """

    share: float = 1.0
    open_ground: bool = False
    crossing: bool = False
    bystanders: tuple[int, int] = (0, 1)
    weather: str = ""
    gain: tuple[float, float] = (1.0, 0.0)


PLACES: dict[str, PlaceType] = {
    "photo": PlaceType(share=2.5),
    "room": PlaceType(),
    "corridor": PlaceType(gain=(0.9, -12)),
    "shop": PlaceType(bystanders=(0, 2)),
    "court": PlaceType(),
    "street": PlaceType(crossing=True, bystanders=(0, 2)),
    "night street": PlaceType(crossing=True, gain=(0.7, -42)),
    "rainy street": PlaceType(crossing=True, weather="rain", gain=(0.8, -18)),
    "park": PlaceType(),
    "snow field": PlaceType(weather="snow", gain=(0.9, 8)),
    "beach": PlaceType(gain=(1.05, 8)),
    "parking lot": PlaceType(share=2.0, open_ground=True, crossing=True, bystanders=(0, 2)),
    "crowded square": PlaceType(bystanders=(5, 9)),
    "table top": PlaceType(open_ground=True, bystanders=(0, 0)),
}


def choose_place(episodes: list[str], rng: np.random.Generator) -> str:
    """A scene type in which the episodes can happen: shooting needs a court, crossing a street."""
    kinds = list(PLACES)
    if "shoot" in episodes:
        return "court"
    if "cross" in episodes:
        kinds = [kind for kind in kinds if PLACES[kind].crossing]
    shares = np.array([PLACES[kind].share for kind in kinds])
    return str(rng.choice(kinds, p=shares / shares.sum()))


@dataclass
class Canvas:
    """A backdrop while it is painted; positions are stage pixels.

    Attributes:
        image: The picture, larger than the stage by the margins.
        rng: Source of randomness.
        photos: Where textures come from.
        left: Margin at the left, pixels.
        up: Margin at the top, pixels.
        horizon: ``y`` of the far end of the ground.
        bottom: ``y`` of the frame's lower edge.
    """

    image: Image.Image
    rng: np.random.Generator
    photos: PhotoLibrary
    left: float
    up: float
    horizon: float
    bottom: float

    @property
    def width(self) -> float:
        """Width of the stage with both margins, pixels."""
        return float(self.image.width)

    def fill(self, top: float, bottom: float, colour: Colour, photo: float = 0.3) -> None:
        """Covers a band with a photo's texture in a colour; ``photo`` is the texture's share."""
        y0, y1 = max(0, round(top + self.up)), min(self.image.height, round(bottom + self.up))
        if y1 > y0:
            self.image.paste(self.photos.tinted(self.rng, self.image.width, y1 - y0, colour, 1 - photo), (0, y0))

    def patch(self, box: tuple[float, float, float, float], colour: Colour | None = None, photo: float = 0.3) -> None:
        """Covers a rectangle with a texture, or (without a colour) with a part of a photo."""
        x0, y0, x1, y1 = (round(v + m) for v, m in zip(box, (self.left, self.up) * 2, strict=True))
        size = (max(1, x1 - x0), max(1, y1 - y0))
        if colour is None:
            self.image.paste(self.photos.texture(self.rng, *size), (x0, y0))
        else:
            self.image.paste(self.photos.tinted(self.rng, *size, colour, 1 - photo), (x0, y0))

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A flat polygon."""
        ImageDraw.Draw(self.image).polygon([(x + self.left, y + self.up) for x, y in points], fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, thick: float = 1.0) -> None:
        """A line of ``thick`` pixels."""
        moved = [(x + self.left, y + self.up) for x, y in points]
        ImageDraw.Draw(self.image).line(moved, fill=colour, width=max(1, round(thick)))

    def ellipse(self, x: float, y: float, a: float, b: float, colour: Colour) -> None:
        """A flat ellipse with half axes ``a`` and ``b``."""
        x, y = x + self.left, y + self.up
        ImageDraw.Draw(self.image).ellipse((x - a, y - b, x + a, y + b), fill=colour)

    def colour(self, low: int, high: int) -> Colour:
        """A random colour."""
        return tuple(int(v) for v in self.rng.integers(low, high, 3))

    def grey(self, low: int, high: int) -> Colour:
        """A random grey."""
        return (int(self.rng.integers(low, high)),) * 3

    def columns(self, least: float, most: float) -> list[tuple[float, float]]:
        """Neighbouring spans of random width that cover the picture."""
        spans, x = [], -self.left
        while x < self.width:
            wide = self.rng.uniform(least, most)
            spans.append((x, x + wide))
            x += wide
        return spans

    def boards(self, colour: Colour, across: int, thick: float = 1.0) -> None:
        """Lines on the ground that run to a vanishing point, and lines across them."""
        middle = self.width * self.rng.uniform(0.3, 0.6)
        for k in range(-14, 15):
            x = middle + k * 0.09 * self.width
            self.line([(middle + 0.45 * (x - middle), self.horizon), (middle + 1.6 * (x - middle), self.bottom * 1.1)],
                      colour, thick)  # fmt: skip
        for k in range(1, across + 1):
            y = self.horizon + (1.1 * self.bottom - self.horizon) * (k / across) ** 1.6
            self.line([(-self.left, y), (self.width, y)], colour, thick)


def paint(kind: str, photos: PhotoLibrary, stage_width: float, top: float, width: int, height: int,
          crossing: tuple[float, float, float, float] | None, rng: np.random.Generator) -> Image.Image:  # fmt: skip
    """Paints the backdrop of a scene type.

    Args:
        kind: One of :data:`PLACES`.
        photos: Where textures come from.
        stage_width: Width of the stage in pixels.
        top: Least ``y`` on which entities walk, pixels.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        crossing: Zebra crossing ``(x0, y0, x1, y1)`` on the stage, or None.
        rng: Source of randomness.

    Returns:
        The picture, as large as the stage with its margins.
    """
    left, up = MARGIN * width, MARGIN * height
    size = (round(stage_width + 2 * left), round(height + 2 * up))
    if kind == "photo":
        return cover(photos.photo(rng), size)
    canvas = Canvas(Image.new("RGB", size), rng, photos, left, up, top - 0.03 * height, height)
    _PAINTERS[kind](canvas)
    if crossing is not None:
        _zebra(canvas, crossing)
    if kind == "night street":
        _lamps(canvas)
    return canvas.image


def cover(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the photo, scaled so that it covers ``size``."""
    scale = max(size[0] / photo.width, size[1] / photo.height)
    w, h = min(photo.width, size[0] / scale), min(photo.height, size[1] / scale)
    x, y = 0.5 * (photo.width - w), 0.5 * (photo.height - h)
    return photo.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))


def _room(c: Canvas) -> None:
    wall = c.colour(120, 235)
    c.fill(-c.up, c.horizon, wall, 0.12)
    for x in c.rng.uniform(0, 0.85 * c.width, 3):  # windows and pictures
        top, wide = 0.1 * c.horizon, c.rng.uniform(0.12, 0.3) * c.bottom
        high = c.rng.uniform(0.25, 0.5) * c.horizon
        c.patch((x - 3, top - 3, x + wide + 3, top + high + 3), c.colour(60, 250), 0.1)
        c.patch((x, top, x + wide, top + high))
    c.fill(c.horizon, 1.1 * c.bottom, (int(c.rng.integers(90, 190)), int(c.rng.integers(70, 130)), 70), 0.3)
    c.boards((70, 50, 35), 0)
    c.fill(c.horizon - 5, c.horizon, c.colour(150, 250), 0.05)


def _corridor(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, c.grey(120, 200), 0.15)
    for start, end in c.columns(0.09 * c.bottom, 0.16 * c.bottom):  # lockers
        c.patch((start + 1, 0.28 * c.horizon, end - 1, c.horizon - 2), c.colour(60, 160), 0.15)
    for start, _ in c.columns(0.5 * c.bottom, 0.9 * c.bottom):  # lamps
        c.patch((start, 0.05 * c.horizon, start + 0.3 * c.bottom, 0.11 * c.horizon), (255, 255, 245), 0.0)
    c.fill(c.horizon, 1.1 * c.bottom, c.grey(100, 190), 0.2)
    c.boards(c.grey(60, 110), 8)


def _shop(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, c.grey(170, 230), 0.1)
    rows = 4
    for row in range(rows):
        y0, y1 = (0.12 + 0.88 * row / rows) * c.horizon, (0.12 + 0.88 * (row + 0.86) / rows) * c.horizon
        for start, end in c.columns(0.04 * c.bottom, 0.1 * c.bottom):
            c.polygon([(start, y0 + 3), (end - 2, y0 + 3), (end - 2, y1), (start, y1)], c.colour(40, 250))
        c.line([(-c.left, y1 + 1), (c.width, y1 + 1)], (90, 90, 95), 3)
    c.fill(c.horizon, 1.1 * c.bottom, c.grey(170, 225), 0.15)
    c.boards(c.grey(120, 160), 7)


def _court(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, c.colour(90, 200), 0.15)
    c.fill(0.72 * c.horizon, c.horizon, c.colour(40, 120), 0.3)
    c.fill(c.horizon, 1.1 * c.bottom, (205, 140, 80), 0.22)
    white = (240, 240, 235)
    deep = c.bottom - c.horizon
    c.line([(-c.left, c.horizon + 0.12 * deep), (c.width, c.horizon + 0.12 * deep)], white, 2)
    c.line([(-c.left, c.horizon + 0.85 * deep), (c.width, c.horizon + 0.85 * deep)], white, 3)
    middle = 0.5 * c.width - c.left
    c.line([(middle, c.horizon + 0.12 * deep), (middle, c.horizon + 0.85 * deep)], white, 3)
    for a in (0.16, 0.15):
        c.ellipse(
            middle, c.horizon + 0.5 * deep, a * c.bottom * 2, a * c.bottom, white if a > 0.155 else (205, 140, 80)
        )
    for x, way in ((0.05 * c.width, 1), (0.82 * c.width - c.left, -1)):  # hoops
        board = 0.22 * c.horizon
        c.line([(x, c.horizon + 3), (x, board)], (60, 60, 70), 4)
        c.polygon([(x - 4, board - 22), (x + 4, board - 24), (x + 4, board + 16), (x - 4, board + 14)], (250, 250, 250))
        c.line([(x, board + 10), (x + 24 * way, board + 10)], (235, 80, 30), 3)
        for k in range(4):
            c.line([(x + (4 + 6 * k) * way, board + 11), (x + (8 + 4 * k) * way, board + 26)], white, 1)


def _street(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, (170, 195, 225), 0.25)
    for start, end in c.columns(0.25 * c.bottom, 0.6 * c.bottom):
        roof = c.rng.uniform(-0.1, 0.35) * c.horizon
        c.patch((start, roof, end - 2, c.horizon), c.colour(80, 190), 0.3)
        glass = c.colour(40, 120)
        for y in np.arange(roof + 8, c.horizon - 18, 0.1 * c.bottom):
            for x in np.arange(start + 6, end - 14, 0.085 * c.bottom):
                c.polygon([(x, y), (x + 0.045 * c.bottom, y), (x + 0.045 * c.bottom, y + 0.06 * c.bottom),
                           (x, y + 0.06 * c.bottom)], glass)  # fmt: skip
    c.fill(c.horizon, 1.1 * c.bottom, c.grey(70, 115), 0.25)
    c.fill(c.horizon, c.horizon + 0.1 * (c.bottom - c.horizon), c.grey(150, 190), 0.2)


def _park(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, (150, 195, 235), 0.15)
    for x in c.rng.uniform(0, c.width, 16):
        size = c.rng.uniform(0.07, 0.2) * c.bottom
        green = (int(c.rng.integers(20, 80)), int(c.rng.integers(70, 140)), int(c.rng.integers(20, 70)))
        c.line([(x, c.horizon), (x, c.horizon - size)], (80, 60, 40), 0.2 * size)
        c.ellipse(x, c.horizon - 1.4 * size, 0.8 * size, size, green)
    c.fill(c.horizon, 1.1 * c.bottom, (80, 140, 55), 0.45)
    y = c.horizon + 0.4 * (c.bottom - c.horizon)
    c.polygon(
        [(-c.left, y), (c.width, y - 0.08 * c.bottom), (c.width, y), (-c.left, y + 0.16 * c.bottom)], (190, 170, 130)
    )


def _snow(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, (190, 200, 215), 0.12)
    for x in c.rng.uniform(0, c.width, 14):
        size = c.rng.uniform(0.1, 0.25) * c.bottom
        for level in range(3):
            y, a = c.horizon - (0.4 * level) * size, (0.5 - 0.12 * level) * size
            c.polygon(
                [(x - a, y), (x + a, y), (x, y - 0.8 * size)], (50 + 50 * level, 80 + 45 * level, 75 + 50 * level)
            )
    c.fill(c.horizon, 1.1 * c.bottom, (232, 236, 245), 0.12)


def _beach(c: Canvas) -> None:
    sea = 0.62 * c.horizon
    c.fill(-c.up, sea, (120, 185, 240), 0.15)
    c.fill(sea, c.horizon, (30, 110, 160), 0.3)
    for _ in range(24):
        x, y = c.rng.uniform(0, c.width), c.rng.uniform(sea + 3, c.horizon)
        c.line([(x, y), (x + c.rng.uniform(10, 40), y)], (215, 235, 240), 1)
    c.fill(c.horizon, 1.1 * c.bottom, (222, 196, 140), 0.25)
    c.line([(x, c.horizon + 3 * math.sin(0.05 * x)) for x in np.arange(-c.left, c.width, 8)], (245, 250, 250), 4)


def _parking_lot(c: Canvas) -> None:
    c.fill(-c.up, 1.1 * c.bottom, c.grey(85, 135), 0.22)
    paint_white, slant = (215, 215, 205), c.rng.uniform(-0.5, 0.5) * c.bottom
    gap = c.rng.uniform(0.45, 0.9) * c.bottom
    for x in np.arange(-gap, c.width + gap, gap):
        c.line([(x, 0.0), (x + slant, 0.42 * c.bottom)], paint_white, 2)
        if c.rng.random() < 0.3:
            c.line([(x, 0.6 * c.bottom), (x + 2 * slant, 1.1 * c.bottom)], (45, 45, 45), 1)
    for x in c.rng.uniform(0, c.width, 5):
        c.ellipse(x, c.rng.uniform(0, c.bottom), c.rng.uniform(5, 22), c.rng.uniform(2, 8), c.grey(60, 100))


def _square(c: Canvas) -> None:
    c.fill(-c.up, c.horizon, c.colour(140, 200), 0.3)
    for start, end in c.columns(0.18 * c.bottom, 0.3 * c.bottom):  # arcades
        middle, half, top = 0.5 * (start + end), 0.3 * (end - start), 0.55 * c.horizon
        c.ellipse(middle, top, half, half, (70, 60, 60))
        c.polygon([(middle - half, top), (middle + half, top), (middle + half, c.horizon), (middle - half, c.horizon)],
                  (70, 60, 60))  # fmt: skip
    c.fill(c.horizon, 1.1 * c.bottom, c.grey(140, 200), 0.3)
    c.boards(c.grey(95, 125), 9)


def _table_top(c: Canvas) -> None:
    c.fill(-c.up, 1.1 * c.bottom, (int(c.rng.integers(110, 210)), int(c.rng.integers(80, 140)), 80), 0.35)
    for y in np.arange(0, c.bottom, 0.16 * c.bottom):
        c.line([(-c.left, y), (c.width, y + 3)], (80, 55, 35), 1)
    for _ in range(3):  # plates and a cloth
        x, y, size = c.rng.uniform(0, c.width), c.rng.uniform(0, c.bottom), c.rng.uniform(0.1, 0.18) * c.bottom
        c.ellipse(x, y, size, 0.85 * size, (240, 240, 240))
        c.ellipse(x, y, 0.65 * size, 0.55 * size, c.colour(190, 250))
    x = c.rng.uniform(0, 0.7) * c.width
    c.patch((x, 0.5 * c.bottom, x + 0.4 * c.bottom, 0.8 * c.bottom), c.colour(60, 240), 0.4)


def _zebra(c: Canvas, crossing: tuple[float, float, float, float]) -> None:
    left, far, right, near = crossing
    stripes = 7
    for k in range(stripes):
        x = left + (right - left) * (k + 0.2) / stripes
        wide = 0.6 * (right - left) / stripes
        c.polygon([(x, far), (x + wide, far), (x + wide, near), (x, near)], (232, 232, 226))


def _lamps(c: Canvas) -> None:
    glow = Image.new("L", c.image.size, 0)
    draw = ImageDraw.Draw(glow)
    for x in np.arange(0.1 * c.width, c.width, 0.3 * c.width):
        y = c.horizon + 0.4 * (c.bottom - c.horizon) + c.up
        draw.ellipse((x - 70, y - 26, x + 70, y + 26), fill=150)
        c.line([(x - c.left, c.horizon), (x - c.left, 0.1 * c.horizon)], (40, 40, 45), 3)
        c.ellipse(x - c.left, 0.1 * c.horizon, 6, 4, (255, 250, 200))
        draw.ellipse((x - 16, 0.1 * c.horizon + c.up - 14, x + 16, 0.1 * c.horizon + c.up + 14), fill=220)
    light = ImageEnhance.Brightness(c.image).enhance(2.2)
    c.image.paste(light, (0, 0), glow.filter(ImageFilter.GaussianBlur(14)))


_PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "room": _room, "corridor": _corridor, "shop": _shop, "court": _court, "street": _street,
    "night street": _street, "rainy street": _street, "park": _park, "snow field": _snow, "beach": _beach,
    "parking lot": _parking_lot, "crowded square": _square, "table top": _table_top,
}  # fmt: skip
