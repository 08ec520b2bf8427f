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

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter1d

from dataset_script.synthetic_sprites import BORDER
from dataset_script.synthetic_stage import Entity, Stage
from modeling_semtrack.trajectory import Box

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
    """

    camera: str
    shake: float
    zoom: tuple[float, float]
    gain: tuple[float, float]
    flicker: tuple[float, float]
    blur: float
    noise: float
    shadows: bool


def random_look(rng: np.random.Generator) -> Look:
    """A random look; about a third of the videos have a static camera."""
    zoom = (1.0, 1.0)
    if rng.random() < 0.4:
        zoom = (1.0, rng.uniform(1.05, 1.3))
        zoom = zoom[::-1] if rng.random() < 0.5 else zoom
    return Look(
        camera=str(rng.choice(CAMERAS, p=(0.35, 0.3, 0.35))),
        shake=float(rng.uniform(0.4, 3.0)) if rng.random() < 0.5 else 0.0,
        zoom=zoom,
        gain=(rng.uniform(0.75, 1.2), rng.uniform(-20, 20)),
        flicker=(rng.uniform(0.0, 0.15), rng.uniform(0.05, 0.4)),
        blur=float(rng.uniform(0.4, 1.2)) if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(0.5, 7.0)) if rng.random() < 0.7 else 0.0,
        shadows=bool(rng.random() < 0.7),
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
        background: Photo that becomes the backdrop, RGB.
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
        self.margin = (0.1 * width, 0.1 * height)
        size = (round(stage.width + 2 * self.margin[0]), round(1.2 * height))
        self.background = _cover(background, size)
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
                (left, top, right, bottom), coefficients, area = patch
                alpha = entity.sprite.layers[entity.poses[frame].image][1]
                mask = np.asarray(_warp(alpha, (right - left, bottom - top), coefficients)) > 127
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
        grain = rng.standard_normal((self.height + 32, self.width + 32, 3), dtype=np.float32) * self.look.noise
        phase = rng.uniform(0, 2 * math.pi)
        for frame in range(len(self.camera)):
            image = self._compose(frame)
            if self.look.blur:
                image = image.filter(ImageFilter.GaussianBlur(self.look.blur))
            pixels = np.asarray(image, dtype=np.float32)
            depth, rate = self.look.flicker
            light = self.look.gain[0] * (1 + depth * math.sin(phase + 2 * math.pi * rate * frame * self.stage.dt))
            pixels = (pixels - 128) * light + (128 + self.look.gain[1] + 60 * (light - self.look.gain[0]))
            if self.look.noise:
                y, x = rng.integers(0, 32, 2)
                pixels += grain[y : y + self.height, x : x + self.width]
            yield np.clip(pixels, 0, 255).astype(np.uint8)

    def silhouette(self, entity: Entity, frame: int) -> np.ndarray:
        """Unoccluded mask of an entity in the frame, bool ``[height, width]``."""
        mask = np.zeros((self.height, self.width), bool)
        patch = self._patch(entity, frame)
        if patch is not None:
            (left, top, right, bottom), coefficients, _ = patch
            alpha = entity.sprite.layers[entity.poses[frame].image][1]
            mask[top:bottom, left:right] = np.asarray(_warp(alpha, (right - left, bottom - top), coefficients)) > 127
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
                (x0, y0, x1, y1), coefficients, _ = patch
                colour, alpha = entity.sprite.layers[entity.poses[frame].image]
                size = (x1 - x0, y1 - y0)
                image.paste(_warp(colour, size, coefficients), (x0, y0), _warp(alpha, size, coefficients))
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

    def _patch(self, entity: Entity, frame: int) -> tuple[tuple[int, int, int, int], tuple[float, ...], float] | None:
        """Where the entity lands: pixel rectangle, affine map from it into the sprite, silhouette area."""
        pose, sprite = entity.poses[frame], entity.sprite
        x, y, scale = self._project(pose.x, pose.y, pose.lift, frame)
        sx, sy = scale * pose.stretch, scale / pose.stretch
        y -= sprite.pivot * sy
        angle = math.radians(pose.lean)
        cos, sin = math.cos(angle), math.sin(angle)
        # sprite coordinates relative to the pivot -> pixels: rotate(flip-and-scale(u, v))
        a, b, c, d = cos * sx * pose.facing, -sin * sy, sin * sx * pose.facing, cos * sy
        half, above, below = (
            0.5 * sprite.width + BORDER,
            sprite.height - sprite.pivot + BORDER,
            sprite.pivot + BORDER,
        )
        corners = [(a * u + b * v, c * u + d * v) for u in (-half, half) for v in (-above, below)]
        left = max(0, math.floor(x + min(p[0] for p in corners)))
        right = min(self.width, math.ceil(x + max(p[0] for p in corners)))
        top = max(0, math.floor(y + min(p[1] for p in corners)))
        bottom = min(self.height, math.ceil(y + max(p[1] for p in corners)))
        if right - left < 1 or bottom - top < 1:
            return None
        det = a * d - b * c
        ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
        ox, oy = left - x, top - y
        coefficients = (ia, ib, ia * ox + ib * oy + half, ic, id_, ic * ox + id_ * oy + above)
        return (left, top, right, bottom), coefficients, sprite.areas[pose.image] * sx * sy


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


def _cover(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the photo, scaled so that it covers ``size``."""
    scale = max(size[0] / photo.width, size[1] / photo.height)
    w, h = min(photo.width, size[0] / scale), min(photo.height, size[1] / scale)
    x, y = 0.5 * (photo.width - w), 0.5 * (photo.height - h)
    return photo.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))


def _shadow_mask() -> Image.Image:
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).ellipse((8, 8, 56, 56), fill=120)
    return mask.filter(ImageFilter.GaussianBlur(5))
