"""Persons of synthetic videos: a jointed figure seen from the side, in clothes cut from photos.

The figure has a torso, a head, two arms and two legs of two segments each. A posture (walk plus gesture) gives
nine angles; the picture of a set of angles is drawn when it is first shown and kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from dataset_script.synthetic_photos import Colour, PhotoLibrary
from dataset_script.synthetic_sprites import BORDER, OVERSAMPLING, Picture, Posture, Sprite, to_picture

# Degrees. The torso leans forward; upper arms and thighs swing forward from hanging down; elbows bend the
# forearm forward, knees the shin backward. 1 is the near side, 2 the far side.
JOINTS = ("torso", "arm1", "elbow1", "arm2", "elbow2", "leg1", "knee1", "leg2", "knee2")
GESTURES: dict[str, dict[str, float]] = {
    "reach": {"torso": 8, "arm1": 76, "elbow1": 4, "arm2": 66, "elbow2": 8},
    "carry": {"arm1": 25, "elbow1": 55, "arm2": 30, "elbow2": 55},
    "bend": {"torso": 58, "arm1": 30, "elbow1": 12, "arm2": 38, "elbow2": 10,
             "leg1": 38, "knee1": 55, "leg2": 30, "knee2": 50},
    "swing back": {"torso": -10, "arm1": 165, "elbow1": 45, "arm2": 55, "elbow2": 15},
    "throw": {"torso": 14, "arm1": 95, "elbow1": 0, "arm2": -25, "elbow2": 10, "leg1": 22, "leg2": -20},
    "shake hands": {"torso": 5, "arm1": 58, "elbow1": 22},
    "hug": {"torso": 10, "arm1": 74, "elbow1": 28, "arm2": 92, "elbow2": 24},
    "raise leg": {"torso": -6, "leg1": -28, "knee1": 70, "arm1": 25, "arm2": -25},
    "kick": {"torso": -18, "leg1": 82, "knee1": 4, "leg2": -4, "arm1": -35, "elbow1": 20, "arm2": 45, "elbow2": 30},
    "draw fist": {"torso": -8, "arm1": -42, "elbow1": 115, "arm2": 40, "elbow2": 70, "leg1": 12, "leg2": -14},
    "punch": {"torso": 16, "arm1": 92, "elbow1": 0, "arm2": 15, "elbow2": 95, "leg1": 24, "knee1": 18, "leg2": -24},
    "raise hands": {"torso": -4, "arm1": 35, "elbow1": 100, "arm2": 35, "elbow2": 95},
    "shove": {"torso": 18, "arm1": 82, "elbow1": 0, "arm2": 76, "elbow2": 4, "leg1": 22, "knee1": 20, "leg2": -20},
    "point": {"arm1": 92, "elbow1": 0},
    "wave": {"arm1": 138, "elbow1": 25},
    "stroke": {"torso": 26, "arm1": 46, "elbow1": 8},
    "touch": {"torso": 4, "arm1": 74, "elbow1": 2},
    "drink": {"torso": -4, "arm1": 48, "elbow1": 104},
    "sit": {"torso": 2, "arm1": 24, "elbow1": 40, "arm2": 30, "elbow2": 40, "leg1": 84, "knee1": 82, "leg2": 78,
            "knee2": 80},
    "ride": {"torso": 10, "arm1": 55, "elbow1": 10, "arm2": 50, "elbow2": 12, "leg1": 84, "knee1": 82, "leg2": 78,
             "knee2": 80},
    "climb": {"torso": 6, "arm1": 128, "elbow1": 20, "arm2": 108, "elbow2": 30},
    "tuck": {"torso": 22, "arm1": 70, "elbow1": 10, "arm2": -40, "elbow2": 10, "leg1": 78, "knee1": 95,
             "leg2": 48, "knee2": 100},
    "recoil": {"torso": -20, "arm1": 48, "elbow1": 35, "arm2": 62, "elbow2": 25, "leg1": 24, "leg2": -18, "knee2": 12},
}  # fmt: skip
STEP = 6  # degrees between two pictures
THIGH = SHIN = 0.24  # lengths in shares of the height
TORSO, UPPER_ARM, FOREARM, HEAD = 0.33, 0.165, 0.17, 0.072
_ROOM = (0.72, 1.22, 0.05)  # of the canvas beside, above and below the foot, in heights


def angles(posture: Posture) -> tuple[float, ...]:
    """The angles of :data:`JOINTS` in degrees, in steps of :data:`STEP` degrees."""
    swing = math.sin(2 * math.pi * posture.phase)
    lift = math.cos(2 * math.pi * posture.phase)
    stride = posture.stride
    joints = {
        "torso": 3.0 * stride, "arm1": -24 * swing * stride + 3, "elbow1": 14.0, "arm2": 24 * swing * stride + 5,
        "elbow2": 14.0, "leg1": 26 * swing * stride, "knee1": 8 + 34 * max(0.0, lift) * stride,
        "leg2": -26 * swing * stride, "knee2": 8 + 34 * max(0.0, -lift) * stride,
    }  # fmt: skip
    target = dict(GESTURES.get(posture.gesture, {}))
    if posture.gesture == "climb":
        for side, turn in (("1", swing), ("2", -swing)):
            target |= {f"leg{side}": 40 + 28 * turn, f"knee{side}": 62 + 30 * turn}
        target["arm1"] += 22 * swing
        target["arm2"] -= 22 * swing
    for name, angle in target.items():
        joints[name] += posture.extent * (angle - joints[name])
    joints["elbow1"] += posture.sway
    return tuple(STEP * round(joints[name] / STEP) for name in JOINTS)


@dataclass
class Wardrobe:
    """Colours of one person: RGB textures as large as its canvas, and flat colours."""

    shirt: Image.Image
    trousers: Image.Image
    skin: Colour
    hair: Colour
    shoes: Colour
    girth: float

    def __post_init__(self) -> None:
        self.far_shirt, self.far_trousers = _dimmed(self.shirt, 0.68), _dimmed(self.trousers, 0.68)
        self.near_sleeve = _dimmed(self.shirt, 1.2)

    def recoloured(self, gain: float) -> Wardrobe:
        """The same clothes, brighter or darker."""
        return Wardrobe(
            _dimmed(self.shirt, gain), _dimmed(self.trousers, gain), self.skin, self.hair, self.shoes, self.girth
        )


class PersonSprite(Sprite):
    """A jointed person, ``height`` pixels high, that draws its pictures when they are first asked for."""

    def __init__(self, width: int, height: int, wardrobe: Wardrobe) -> None:
        super().__init__("person", [], width, height, alive=True)
        self.wardrobe = wardrobe
        self._numbers: dict[tuple[float, ...], int] = {}
        self._drawn: dict[int, Picture] = {}

    def pose(self, posture: Posture) -> int:
        return self._numbers.setdefault(angles(posture), len(self._numbers))

    def picture(self, number: int) -> Picture:
        if number not in self._drawn:
            key = list(self._numbers)[number]
            self._drawn[number] = to_picture(*_draw(key, self.height, self.wardrobe))
        return self._drawn[number]

    def recoloured(self, gain: float) -> PersonSprite:
        return PersonSprite(self.width, self.height, self.wardrobe.recoloured(gain))


def person_sprite(height: int, photos: PhotoLibrary, rng: np.random.Generator) -> PersonSprite:
    """A person with random clothes, skin and hair."""
    size = _canvas(height)
    shirt = photos.tinted(rng, *size, _colour(rng), rng.uniform(0.2, 0.9))
    trousers = photos.tinted(rng, *size, _colour(rng), rng.uniform(0.3, 0.9))
    shade, dark = rng.uniform(0.35, 1.0), rng.uniform(0.05, 0.55)
    wardrobe = Wardrobe(
        shirt=shirt,
        trousers=_dimmed(trousers, rng.uniform(0.5, 0.9)),
        skin=tuple(int(c * shade) for c in (236, 196, 165)),
        hair=tuple(int(c * dark) for c in (190, 150, 90)),
        shoes=tuple(int(v) for v in rng.integers(10, 120, 3)),
        girth=rng.uniform(0.85, 1.2),
    )
    return PersonSprite(max(4, round(height * rng.uniform(0.36, 0.42))), height, wardrobe)


def _colour(rng: np.random.Generator) -> Colour:
    return tuple(int(v) for v in rng.integers(20, 235, 3))


def _dimmed(image: Image.Image, gain: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(gain)


def _canvas(height: int) -> tuple[int, int]:
    beside, above, below = _ROOM
    return math.ceil(2 * beside * height), math.ceil((above + below) * height)


def _draw(key: tuple[float, ...], height: int, clothes: Wardrobe) -> tuple[Image.Image, tuple[float, float]]:
    """The RGBA picture of a set of angles, cut to what can be seen, and its foot."""
    width, tall = _canvas(height)
    figure = _Figure(dict(zip(JOINTS, key, strict=True)), height, clothes.girth)
    layers = [
        (clothes.far_shirt, figure.sleeve(2)), (clothes.skin, figure.hand(2)), (clothes.far_trousers, figure.leg(2)),
        (clothes.shoes, figure.shoe(2)), (clothes.trousers, figure.leg(1)), (clothes.shoes, figure.shoe(1)),
        (clothes.shirt, figure.torso()), (clothes.skin, figure.head()), (clothes.hair, figure.hair()),
        (clothes.near_sleeve, figure.sleeve(1)), (clothes.skin, figure.hand(1)),
    ]  # fmt: skip
    colour, alpha = clothes.shirt.copy(), Image.new("L", (width, tall), 0)
    for paint, part in layers:
        box, small = _reduced(part, (width, tall))
        if box is not None:
            texture = paint.crop(box) if isinstance(paint, Image.Image) else paint
            colour.paste(texture, box, small)
            alpha.paste(255, box, small)
    colour.putalpha(alpha)
    left, top, right, bottom = alpha.getbbox()
    box = (left - BORDER, top - BORDER, right + BORDER, bottom + BORDER)
    return colour.crop(box), (_ROOM[0] * height - box[0], _ROOM[1] * height - box[1])


Strokes = list[tuple[list[tuple[float, float]], float]]


def _reduced(strokes: Strokes, size: tuple[int, int]) -> tuple[tuple[int, int, int, int] | None, Image.Image | None]:
    """The antialiased mask of thick round strokes in canvas pixels, cut to its bounds."""
    points = [(x, y, thick) for path, thick in strokes for x, y in path]
    left = max(0, math.floor(min(x - t for x, _, t in points)))
    top = max(0, math.floor(min(y - t for _, y, t in points)))
    right = min(size[0], math.ceil(max(x + t for x, _, t in points)))
    bottom = min(size[1], math.ceil(max(y + t for _, y, t in points)))
    if right <= left or bottom <= top:
        return None, None
    large = Image.new("L", ((right - left) * OVERSAMPLING, (bottom - top) * OVERSAMPLING), 0)
    draw = ImageDraw.Draw(large)
    for path, thick in strokes:
        scaled = [((x - left) * OVERSAMPLING, (y - top) * OVERSAMPLING) for x, y in path]
        if len(scaled) > 1:
            draw.line(scaled, fill=255, width=max(1, round(thick * OVERSAMPLING)))
        radius = 0.5 * thick * OVERSAMPLING
        for x, y in scaled:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return (left, top, right, bottom), large.reduce(OVERSAMPLING)


class _Figure:
    """Where the parts of the body are, as thick strokes in canvas pixels."""

    def __init__(self, joints: dict[str, float], height: int, girth: float) -> None:
        self.height, self.girth = height, girth
        self.j = {name: math.radians(angle) for name, angle in joints.items()}
        legs = [self._leg((0.0, 0.0), side) for side in (1, 2)]
        self.hip = (0.0, -min(leg[-1][1] for leg in legs) + 0.02)
        lean = self.j["torso"]
        self.shoulder = self._from(self.hip, lean, TORSO, up=True)
        self.skull = self._from(self.shoulder, 0.6 * lean, 0.115, up=True)

    def leg(self, side: int) -> Strokes:
        return [self._stroke(self._leg(self.hip, side), 0.088)]

    def shoe(self, side: int) -> Strokes:
        ankle = self._leg(self.hip, side)[-1]
        shin = self.j[f"leg{side}"] - self.j[f"knee{side}"]
        toe = self._from(ankle, shin + math.pi / 2, 0.065)
        return [self._stroke([ankle, toe], 0.045)]

    def torso(self) -> Strokes:
        x, y = self.hip
        chest = self._from(self.hip, self.j["torso"], 0.93 * TORSO, up=True)
        return [self._stroke([(x, y + 0.02), chest], 0.165)]

    def head(self) -> Strokes:
        return [self._stroke([self.shoulder, self.skull], 0.06), self._stroke([self.skull], 2 * HEAD)]

    def hair(self) -> Strokes:
        x, y = self.skull
        return [self._stroke([(x - 0.032, y + 0.008), (x - 0.004, y + 0.038)], 1.3 * HEAD)]

    def sleeve(self, side: int) -> Strokes:
        return [self._stroke(self._arm(side)[:3], 0.064)]

    def hand(self, side: int) -> Strokes:
        return [self._stroke([self._arm(side)[-1]], 0.062)]

    def _arm(self, side: int) -> list[tuple[float, float]]:
        start = self._from(self.hip, self.j["torso"], 0.94 * TORSO, up=True)
        angle = self.j[f"arm{side}"]
        elbow = self._from(start, angle, UPPER_ARM)
        angle += self.j[f"elbow{side}"]
        return [start, elbow, self._from(elbow, angle, FOREARM), self._from(elbow, angle, FOREARM + 0.025)]

    def _leg(self, hip: tuple[float, float], side: int) -> list[tuple[float, float]]:
        angle = self.j[f"leg{side}"]
        knee = self._from(hip, angle, THIGH)
        return [hip, knee, self._from(knee, angle - self.j[f"knee{side}"], SHIN)]

    @staticmethod
    def _from(start: tuple[float, float], angle: float, length: float, up: bool = False) -> tuple[float, float]:
        """``length`` from ``start`` (heights, y upwards), hanging down at angle 0 (or standing up)."""
        sign = 1 if up else -1
        return start[0] + length * math.sin(angle), start[1] + sign * length * math.cos(angle)

    def _stroke(self, path: list[tuple[float, float]], thick: float) -> tuple[list[tuple[float, float]], float]:
        h = self.height
        return [((_ROOM[0] + x) * h, (_ROOM[1] - y) * h) for x, y in path], max(1.0, thick * h * self.girth)
