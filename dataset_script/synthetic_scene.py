"""From entities with poses to frames and exact boxes: camera, compositing, degradations.

Visibility rule: a box is the tight box around the pixels of the silhouette inside the frame, whether or
not something stands in front of it. An entity counts as visible, and has a box, where at least
:data:`LEAST_VISIBLE` of its whole silhouette (also of what lies outside the frame) can be seen and the
box is at least :data:`LEAST_SIDE` pixels wide and high.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter1d

from dataset_script.records import Box
from dataset_script.synthetic_places import MARGIN, PlaceType, cover
from dataset_script.synthetic_sprites import Picture
from dataset_script.synthetic_stage import Entity, Stage

LEAST_VISIBLE = 0.15
LEAST_SIDE = 3
CAMERAS = ("static", "pan", "track")


@dataclass(frozen=True)
class Look:
    """How the camera and the light behave in one video.

    Attributes:
        camera: One of :data:`CAMERAS`.
        shake: Standard deviation of the hand's tremble in pixels.
        zoom: Zoom at the start and at the end.
        gain: Contrast and brightness (added, in grey levels) of the light.
        flicker: Depth and rate (Hz) of the light's drift.
        blur: Radius of the lens blur in pixels.
        noise: Standard deviation of the sensor noise in grey levels.
        shadows: Whether entities cast a shadow on the ground.
        weather: "", "rain" or "snow".
    """

    camera: str
    shake: float
    zoom: tuple[float, float]
    gain: tuple[float, float]
    flicker: tuple[float, float]
    blur: float
    noise: float
    shadows: bool
    weather: str = ""


def random_look(place: PlaceType, rng: np.random.Generator) -> Look:
    """A random look that suits the place; about a third of the videos have a static camera."""
    zoom = (1.0, 1.0)
    if rng.random() < 0.4:
        zoom = (1.0, rng.uniform(1.05, 1.3))
        zoom = zoom[::-1] if rng.random() < 0.5 else zoom
    return Look(
        camera=str(rng.choice(CAMERAS, p=(0.35, 0.3, 0.35))),
        shake=float(rng.uniform(0.4, 3.0)) if rng.random() < 0.5 else 0.0,
        zoom=zoom,
        gain=(place.gain[0] * rng.uniform(0.75, 1.2), place.gain[1] + rng.uniform(-20, 20)),
        flicker=(rng.uniform(0.0, 0.15), rng.uniform(0.05, 0.4)),
        blur=float(rng.uniform(0.4, 1.2)) if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(0.5, 7.0)) if rng.random() < 0.7 else 0.0,
        shadows=bool(rng.random() < 0.7),
        weather=place.weather,
    )


def camera_path(look: Look, stage: Stage, main: Entity, width: int, height: int, num_frames: int,
                rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Centre of the view on the stage (x, y) and zoom in every frame.

    Args:
        look: Kind of camera.
        stage: The stage, already played.
        main: The entity that a tracking camera follows.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        num_frames: Number of frames.
        rng: Source of randomness.

    Returns:
        Array ``[num_frames, 3]``, float64.
    """
    zoom = np.geomspace(*look.zoom, num_frames)
    x = np.full(num_frames, 0.5 * stage.width)
    y = np.full(num_frames, 0.5 * height)
    focus = gaussian_filter1d(np.array([p.x for p in main.poses]), 0.3 * stage.fps, mode="nearest")
    focus_y = np.array([p.y for p in main.poses]) - 0.5 * main.sprite.height
    if look.camera == "pan":
        slack = max(0.0, stage.width - width / look.zoom[0])
        x += np.linspace(-0.5, 0.5, num_frames) * slack * rng.choice((-1, 1))
    elif look.camera == "track":
        x = focus + rng.uniform(-0.15, 0.15) * width
    share = np.clip((zoom - 1.0) / 0.3, 0.0, 1.0)  # a closer view looks at the main subject
    x += share * (focus - x)
    y += share * 0.6 * (gaussian_filter1d(focus_y, 0.4 * stage.fps, mode="nearest") - y)
    for axis in (x, y):
        hand = gaussian_filter1d(rng.standard_normal(num_frames), 0.25 * stage.fps, mode="nearest")
        axis += look.shake * (2.5 * hand + 0.3 * rng.standard_normal(num_frames))
    half_w, half_h = 0.5 * width / zoom, 0.5 * height / zoom
    x = np.clip(x, half_w - 0.08 * width, stage.width + 0.08 * width - half_w)
    y = np.clip(y, half_h - 0.08 * height, 1.08 * height - half_h)
    return np.stack([x, y, zoom], axis=1)


class Scene:
    """A played stage seen by a camera: gives the boxes, and the frames as often as asked.

    Args:
        stage: The stage, already played.
        background: The backdrop, RGB; scaled to cover the stage with its margins if need be.
        camera: View centre and zoom per frame, ``[num_frames, 3]``.
        look: Light, blur, noise, shadows.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        seed: Seed of the noise.
    """

    def __init__(self, stage: Stage, background: Image.Image, camera: np.ndarray, look: Look, width: int,
                 height: int, seed: int) -> None:  # fmt: skip
        self.stage, self.camera, self.look, self.width, self.height = stage, camera, look, width, height
        self.seed = seed
        self.margin = (MARGIN * width, MARGIN * height)
        size = (round(stage.width + 2 * self.margin[0]), round(height + 2 * self.margin[1]))
        self.background = background if background.size == size else cover(background, size)
        self._shadow = _shadow_mask()

    def boxes(self) -> dict[int, dict[int, Box]]:
        """Visible boxes (xywh pixels) by track id and frame index, computed from the masks."""
        result: dict[int, dict[int, Box]] = {e.track_id: {} for e in self.stage.entities if e.track_id is not None}
        owner = np.zeros((self.height, self.width), np.int32)
        for frame in range(len(self.camera)):
            owner[:] = 0
            found: list[tuple[int, Box, float]] = []
            order = self._order(frame)
            for number, entity in enumerate(order, start=1):
                patch = self._patch(entity, frame)
                if patch is None:
                    found.append((-1, (0, 0, 0, 0), 1.0))
                    continue
                (left, top, right, bottom), coefficients, area, look = patch
                mask = np.asarray(_warp(look.alpha, (right - left, bottom - top), coefficients)) > 127
                owner[top:bottom, left:right][mask] = number
                found.append((-1 if entity.track_id is None else entity.track_id, _tight(mask, left, top), area))
            seen = np.bincount(owner.ravel(), minlength=len(order) + 1)[1:]
            for (track, box, area), pixels in zip(found, seen, strict=True):
                if track >= 0 and pixels >= LEAST_VISIBLE * area and min(box[2:]) >= LEAST_SIDE:
                    result[track][frame] = box
        return result

    def frames(self) -> Iterator[np.ndarray]:
        """Renders the frames one by one: uint8 ``[height, width, 3]``, RGB."""
        rng = np.random.default_rng(self.seed)
        overlay = _Weather(self.look, self.width, self.height, self.stage.dt, rng)
        phase = rng.uniform(0, 2 * math.pi)
        gain, offset = self.look.gain
        depth, rate = self.look.flicker
        levels = np.arange(256) - 128.0
        for frame in range(len(self.camera)):
            image = self._compose(frame)
            if self.look.blur:
                image = image.filter(ImageFilter.GaussianBlur(self.look.blur))
            light = gain * (1 + depth * math.sin(phase + 2 * math.pi * rate * frame * self.stage.dt))
            curve = np.clip(levels * light + (128 + offset + 60 * (light - gain)), 0, 255).astype(np.uint8)
            yield np.array(overlay.add(image.point(curve.tolist() * 3), frame))

    def silhouette(self, entity: Entity, frame: int) -> np.ndarray:
        """Unoccluded mask of an entity in the frame, bool ``[height, width]``."""
        mask = np.zeros((self.height, self.width), bool)
        patch = self._patch(entity, frame)
        if patch is not None:
            (left, top, right, bottom), coefficients, _, look = patch
            mask[top:bottom, left:right] = (
                np.asarray(_warp(look.alpha, (right - left, bottom - top), coefficients)) > 127
            )
        return mask

    def _order(self, frame: int) -> list[Entity]:
        return sorted(self.stage.entities, key=lambda e: e.poses[frame].depth)

    def _compose(self, frame: int) -> Image.Image:
        x, y, zoom = self.camera[frame]
        left = x - 0.5 * self.width / zoom + self.margin[0]
        top = y - 0.5 * self.height / zoom + self.margin[1]
        image = _warp(self.background, (self.width, self.height), (1 / zoom, 0, left, 0, 1 / zoom, top))
        order = self._order(frame)
        if self.look.shadows:
            for entity in order:
                self._cast_shadow(image, entity, frame)
        for entity in order:
            patch = self._patch(entity, frame)
            if patch is not None:
                (x0, y0, x1, y1), coefficients, _, look = patch
                size = (x1 - x0, y1 - y0)
                image.paste(_warp(look.colour, size, coefficients), (x0, y0), _warp(look.alpha, size, coefficients))
        return image

    def _cast_shadow(self, image: Image.Image, entity: Entity, frame: int) -> None:
        pose = entity.poses[frame]
        if entity.foreground:
            return
        x, y, scale = self._project(pose.x, pose.y, 0.0, frame)
        half = 0.55 * entity.sprite.width * scale / (1 + 0.01 * pose.lift)
        size = (max(2, round(2 * half)), max(2, round(0.5 * half)))
        mask = self._shadow.resize(size, Image.Resampling.BILINEAR)
        image.paste(0, (round(x - 0.5 * size[0]), round(y - 0.5 * size[1])), mask)

    def _project(self, x: float, y: float, lift: float, frame: int) -> tuple[float, float, float]:
        """Stage position to pixel position and scale."""
        cx, cy, zoom = self.camera[frame]
        u = (x - cx) * zoom + 0.5 * self.width
        v = (y - lift - cy) * zoom + 0.5 * self.height
        return u, v, zoom * self.stage.scale(y)

    def _patch(self, entity: Entity, frame: int) -> _Patch | None:
        """Where the entity lands in the frame; None where that is outside."""
        pose, sprite = entity.poses[frame], entity.sprite
        look = sprite.picture(pose.image)
        x, y, scale = self._project(pose.x, pose.y, pose.lift, frame)
        sx, sy = scale * pose.stretch, scale / pose.stretch
        y -= sprite.pivot * sy
        angle = math.radians(pose.lean)
        cos, sin = math.cos(angle), math.sin(angle)
        # picture coordinates relative to the pivot -> pixels: rotate(flip-and-scale(u, v))
        a, b, c, d = cos * sx * pose.facing, -sin * sy, sin * sx * pose.facing, cos * sy
        u0, v0 = look.foot[0], look.foot[1] - sprite.pivot
        u1, v1 = look.alpha.width - u0, look.alpha.height - v0
        corners = [(a * u + b * v, c * u + d * v) for u in (-u0, u1) for v in (-v0, v1)]
        left = max(0, math.floor(x + min(p[0] for p in corners)))
        right = min(self.width, math.ceil(x + max(p[0] for p in corners)))
        top = max(0, math.floor(y + min(p[1] for p in corners)))
        bottom = min(self.height, math.ceil(y + max(p[1] for p in corners)))
        if right - left < 1 or bottom - top < 1:
            return None
        det = a * d - b * c
        ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
        ox, oy = left - x, top - y
        coefficients = (ia, ib, ia * ox + ib * oy + u0, ic, id_, ic * ox + id_ * oy + v0)
        return _Patch((left, top, right, bottom), coefficients, look.area * sx * sy, look)


class _Patch(NamedTuple):
    """Where a picture lands: pixel rectangle, affine map from it into the picture, silhouette area there."""

    rectangle: tuple[int, int, int, int]
    coefficients: tuple[float, ...]
    area: float
    look: Picture


class _Weather:
    """Sensor noise, rain and snow over finished frames."""

    def __init__(self, look: Look, width: int, height: int, dt: float, rng: np.random.Generator) -> None:
        self.size, self.dt, self.rng = (width, height), dt, rng
        self.grain: Image.Image | None = None
        if look.noise:
            grain = rng.standard_normal((height + 32, width + 32, 3), dtype=np.float32) * look.noise
            self.grain = Image.fromarray(np.clip(128.5 + grain, 0, 255).astype(np.uint8))
        self.falling = {"rain": _rain, "snow": _snow}[look.weather](width, height, rng) if look.weather else []

    def add(self, image: Image.Image, frame: int) -> Image.Image:
        """The image with this frame's weather and noise."""
        width, height = self.size
        for layer, speed, wind in self.falling:
            y = height - 1 - round(frame * self.dt * speed) % height
            x = round(wind * frame * self.dt) % width
            image = ImageChops.add(image, layer.crop((x, y, x + width, y + height)))
        if self.grain is not None:
            y, x = (int(v) for v in self.rng.integers(0, 32, 2))
            image = ImageChops.add(image, self.grain.crop((x, y, x + width, y + height)), 1.0, -128)
        return image


def _rain(width: int, height: int, rng: np.random.Generator) -> list[tuple[Image.Image, float, float]]:
    """Layers that repeat after the frame's size in both directions, with their speeds in pixels per second."""
    layers = []
    for share, level in ((0.0012, 60), (0.0006, 105)):
        drops = Image.new("L", (width, height))
        draw = ImageDraw.Draw(drops)
        for x, y in rng.uniform(0, 1, (round(share * width * height), 2)):
            length = rng.uniform(0.03, 0.07) * height
            draw.line((x * width, y * height, x * width + 0.15 * length, y * height + length), fill=level)
        layers.append((_tiled(drops), rng.uniform(2.2, 3.2) * height, 0.0))
    return layers


def _snow(width: int, height: int, rng: np.random.Generator) -> list[tuple[Image.Image, float, float]]:
    """Flakes near and far, as :func:`_rain`."""
    layers = []
    for share, radius, speed in ((0.0014, 0.8, 0.16), (0.0005, 1.6, 0.3)):
        flakes = Image.new("L", (width, height))
        draw = ImageDraw.Draw(flakes)
        for x, y in rng.uniform(0, 1, (round(share * width * height), 2)):
            size = radius * height / 240 + 0.3
            draw.ellipse((x * width - size, y * height - size, x * width + size, y * height + size), fill=170)
        layers.append((_tiled(flakes), speed * height, rng.uniform(-30, 30)))
    return layers


def _tiled(layer: Image.Image) -> Image.Image:
    """Two by two copies of a layer, RGB."""
    return Image.fromarray(np.tile(np.asarray(layer)[..., None], (2, 2, 3)))


def _warp(image: Image.Image, size: tuple[int, int], coefficients: tuple[float, ...]) -> Image.Image:
    return image.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _tight(mask: np.ndarray, left: int, top: int) -> Box:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return (0.0, 0.0, 0.0, 0.0)
    return (
        float(left + columns[0]), float(top + rows[0]),
        float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1),
    )  # fmt: skip


def _shadow_mask() -> Image.Image:
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).ellipse((8, 8, 56, 56), fill=120)
    return mask.filter(ImageFilter.GaussianBlur(5))
