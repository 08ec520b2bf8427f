"""Tools for drawing: rectangles, fitting text, soft-edged shapes, placing labels, mixing colours.

Nothing here knows trajectories, and no colour, font or size is decided here. Rectangles are
``(left, top, right, bottom)`` in pixels of the picture.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]

_ELLIPSIS = "…"
_SMOOTH = 4  # shapes are drawn this much larger and shrunk


class Rect(NamedTuple):
    """A rectangle ``(left, top, right, bottom)`` in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def center(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, by: float) -> Rect:
        """The rectangle with each side moved outwards."""
        return Rect(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def clipped(self, width: float, height: float) -> Rect:
        """The part inside a picture of this size; without area where there is none."""
        left, right = (min(max(x, 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0), height) for y in (self.top, self.bottom))
        return Rect(left, top, right, bottom)

    def shared_area(self, other: Rect) -> float:
        """Area of the intersection."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def overlap(self, other: Rect) -> float:
        """Intersection over union."""
        shared = self.shared_area(other)
        union = self.width * self.height + other.width * other.height - shared
        return shared / union if union > 0 else 0.0


class Measure(Protocol):
    """What fitting needs of a font: the width of a line of text in pixels."""

    def getlength(self, text: str) -> float: ...


def plain(text: str) -> str:
    """The text on one line and without accents, which Pillow's own font does not have."""
    letters = unicodedata.normalize("NFKD", " ".join(text[:500].split()))
    return "".join(c for c in letters if not unicodedata.combining(c))


def fit_text(text: str, width: float, font: Measure) -> str:
    """The plain text, shortened with an ellipsis to at most ``width`` pixels.

    Returns the empty string where not even three letters and the ellipsis fit.
    """
    text = plain(text)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text) - 1  # the longest prefix that fits, by bisection
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + _ELLIPSIS) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS if low >= 3 else ""


def fill_rounded(image: Image.Image, rect: Rect, color: Color, radius: float, alpha: int = 255) -> None:
    """Fill a rectangle with round, smooth corners; ``alpha`` in [0, 255] lets the picture shine through."""
    left, top, right, bottom = (round(v) for v in rect)
    if right > left and bottom > top:
        mask = _rounded_mask(right - left, bottom - top, min(radius, (right - left) / 2), alpha)
        image.paste(color, (left, top), mask)


@lru_cache(maxsize=512)
def _rounded_mask(width: int, height: int, radius: float, alpha: int) -> Image.Image:
    mask = Image.new("L", (width, height), alpha)
    side = min(int(np.ceil(radius)), width // 2, height // 2)  # only the corners are not plain
    if side > 0:
        corner = Image.new("L", (side * _SMOOTH, side * _SMOOTH))
        ImageDraw.Draw(corner).circle((side * _SMOOTH, side * _SMOOTH), side * _SMOOTH, fill=alpha)
        corner = corner.reduce(_SMOOTH)
        flip, mirror = Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT
        mask.paste(corner, (0, 0))
        mask.paste(corner.transpose(mirror), (width - side, 0))
        mask.paste(corner.transpose(flip), (0, height - side))
        mask.paste(corner.transpose(flip).transpose(mirror), (width - side, height - side))
    return mask


def fill_below(image: Image.Image, curve: np.ndarray, bottom: float, fill: Color, line: Color) -> None:
    """Fill from a curve ``[points, 2]`` (x, y ascending in x) down to ``bottom`` and draw the curve."""
    left, top = int(curve[0, 0]) - 1, int(curve[:, 1].min()) - 2
    size = (int(curve[-1, 0]) + 2 - left, int(bottom) + 1 - top)
    points = [((x - left) * _SMOOTH, (y - top) * _SMOOTH) for x, y in curve.tolist()]
    floor = (bottom - top) * _SMOOTH
    for color, below in ((fill, True), (line, False)):
        mask = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH))
        if below:
            ImageDraw.Draw(mask).polygon([(points[0][0], floor), *points, (points[-1][0], floor)], fill=255)
        else:
            ImageDraw.Draw(mask).line(points, fill=255, width=round(1.5 * _SMOOTH), joint="curve")
        image.paste(color, (left, top), mask.reduce(_SMOOTH))


def dashes(rect: Rect, length: int, width: int) -> Iterator[Rect]:
    """Dashes along the four sides of a rectangle of first and last pixels, ``width`` pixels thick."""
    back = width - 1
    for x in range(int(rect.left), int(rect.right) + 1, 2 * length):
        end = min(x + length - 1, rect.right)
        yield Rect(x, rect.top, end, rect.top + back)
        yield Rect(x, rect.bottom - back, end, rect.bottom)
    for y in range(int(rect.top), int(rect.bottom) + 1, 2 * length):
        end = min(y + length - 1, rect.bottom)
        yield Rect(rect.left, y, rect.left + back, end)
        yield Rect(rect.right - back, y, rect.right, end)


def link(start: Rect, end: Rect) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The part between two rectangles of the line between their centres, or None where they overlap."""
    (x0, y0), (x1, y1) = start.center, end.center
    leave, arrive = _exit_share(start, x1 - x0, y1 - y0), 1 - _exit_share(end, x1 - x0, y1 - y0)
    if leave >= arrive:
        return None
    return (
        (x0 + leave * (x1 - x0), y0 + leave * (y1 - y0)),
        (x0 + arrive * (x1 - x0), y0 + arrive * (y1 - y0)),
    )


def _exit_share(rect: Rect, dx: float, dy: float) -> float:
    """How far along (dx, dy) from the centre the rectangle ends, as a share of that way."""
    across = rect.width / 2 / abs(dx) if dx else float("inf")
    down = rect.height / 2 / abs(dy) if dy else float("inf")
    return min(across, down)


def place_label(
    size: tuple[int, int],
    anchor: Rect,
    picture: tuple[int, int],
    labels: Sequence[Rect],
    boxes: Sequence[Rect],
    gap: int,
) -> Rect | None:
    """Room for a label near its box and inside the picture, clear of other labels and boxes where possible.

    Above the box is preferred, then inside its upper edge, below it and beside it. A place costs by how much
    of other labels and of boxes it covers, and by its distance.

    Args:
        size: Width and height of the label in pixels.
        anchor: The visible part of its box.
        picture: Width and height of the picture.
        labels: Labels placed before.
        boxes: Boxes in the picture, ``anchor`` or not.
        gap: Pixels between box and label.

    Returns:
        The place in whole pixels, or None if the picture is smaller than the label.
    """
    (wide, high), (width, height) = size, picture
    if wide > width or high > height:
        return None
    spots = np.array(_label_spots(size, anchor, labels, gap))  # [spots, 3]: left, top, reluctance
    wanted = np.round(spots[:, :2])
    corner = np.clip(wanted, 0, (width - wide, height - high))
    places = np.hstack([corner, corner + size])  # [spots, 4]
    area = wide * high
    others = [box for box in boxes if box != anchor]
    cost = 8 * _shared_areas(places, labels).sum(axis=1) / area
    cost += 0.1 * _shared_areas(places, others).sum(axis=1) / area
    for box, shared in zip([anchor, *others], _shared_areas(places, [anchor, *others]).T, strict=True):
        cost += shared / max(1.0, box.width * box.height)  # the part of this box that would be hidden
    across = np.maximum(places[:, 0], anchor.left) - np.minimum(places[:, 2], anchor.right)
    down = np.maximum(places[:, 1], anchor.top) - np.minimum(places[:, 3], anchor.bottom)
    away = np.maximum(across, 0) + np.maximum(down, 0)
    cost += (0.3 * np.maximum(away - gap, 0) + 0.1 * np.abs(corner - wanted).sum(axis=1)) / high
    best = np.argmin(np.round(cost + spots[:, 2], 6))
    return Rect(*places[best].astype(int).tolist())


def _label_spots(
    size: tuple[int, int], anchor: Rect, labels: Sequence[Rect], gap: int
) -> list[tuple[float, float, float]]:
    """Candidate places ``(left, top, reluctance)``: around the box, and next to each label placed before."""
    wide, high = size
    flush_left, flush_right = anchor.left - gap // 2, anchor.right + gap // 2 - wide
    above, below = anchor.top - gap - high, anchor.bottom + gap
    spots = [
        (flush_left, above, 0.0),
        (anchor.left + gap, anchor.top + gap, 0.02),
        (flush_left, below, 0.1),
        (flush_right, above, 0.06),
        (anchor.right - gap - wide, anchor.top + gap, 0.06),
        (flush_right, below, 0.12),
        (anchor.right + gap, anchor.top, 0.2),
        (anchor.left - gap - wide, anchor.top, 0.2),
    ]
    for label in labels:
        spots += [(anchor.left, label.top - high - 2, 0.1), (anchor.left, label.bottom + 2, 0.1)]
        spots += [(label.right + 2, label.top, 0.1), (label.left - wide - 2, label.top, 0.1)]
    return spots


def _shared_areas(places: np.ndarray, rects: Sequence[Rect]) -> np.ndarray:
    """Areas of all intersections, ``[places, rects]``."""
    first, second = places[:, None], np.array(rects, dtype=float).reshape(1, -1, 4)
    corner = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    return np.maximum(corner, 0).prod(axis=2)


def mix(color: Color, other: Color, share: float) -> Color:
    """The colour with a share in [0, 1] of another one mixed in."""
    return tuple(round(a + (b - a) * share) for a, b in zip(color, other, strict=True))  # type: ignore[return-value]


def contrast(a: Color, b: Color) -> float:
    """Contrast of two colours from 1 to 21, as defined by the Web Content Accessibility Guidelines 2."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
