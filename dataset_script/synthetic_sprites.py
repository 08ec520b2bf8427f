"""Photos and the photo-textured cut-outs (sprites) that act in synthetic videos.

A sprite is a handful of RGBA images of one height (poses of a walk, with arms down or stretched
forward), all facing right and standing on the middle of the lower edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

ACTOR_SHAPES = ("person", "animal")
OBJECT_SHAPES = ("ball", "box", "cart")
CUTOUT_CATEGORY = "thing"
CATEGORIES = (*ACTOR_SHAPES, *OBJECT_SHAPES, "wall", CUTOUT_CATEGORY)
ASPECTS = {"person": (0.40, 0.52), "animal": (1.5, 2.0), "ball": (1.0, 1.0), "box": (0.8, 1.3),
           "cart": (1.4, 2.0), "wall": (0.75, 1.1)}  # width / height  # fmt: skip
PACKAGED_PHOTOS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png",
                   "gravel.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png",
                   "motorcycle_right.png", "rocket.jpg")  # fmt: skip
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
GAIT_POSES = 8
BORDER = 2  # transparent pixels around every sprite, so that resampling fades to nothing
_OVERSAMPLING = 3


class PhotoLibrary:
    """Photos for backgrounds and textures, and optionally masks of the objects in them.

    Args:
        images: Folder of photos; None takes the photos inside the scikit-image package.
        cutouts: Folder of masks ``<stem>.png`` (non-zero = object) of photos in ``images``.

    Raises:
        FileNotFoundError: If a folder is missing, holds no photo, or no mask fits a photo.
    """

    def __init__(self, images: Path | None = None, cutouts: Path | None = None) -> None:
        self.photos = _packaged_photos() if images is None else _photos_in(Path(images))
        self.cutouts: list[tuple[Path, Path]] = []
        if cutouts is not None:
            masks = {path.stem: path for path in sorted(Path(cutouts).glob("*.png"))}
            self.cutouts = [(photo, masks[photo.stem]) for photo in self.photos if photo.stem in masks]
            if not self.cutouts:
                raise FileNotFoundError(
                    f"no mask <stem>.png in '{cutouts}' belongs to one of the {len(self.photos)} photos; "
                    "masks must be named after their photo"
                )

    def photo(self, rng: np.random.Generator) -> Image.Image:
        """A random photo, RGB."""
        return _load(self.photos[rng.integers(len(self.photos))])

    def texture(self, rng: np.random.Generator, width: int, height: int) -> Image.Image:
        """A random part of a random photo, scaled to ``width`` x ``height`` pixels, RGB."""
        photo = self.photo(rng)
        side = min(photo.size) * rng.uniform(0.25, 0.7)
        ratio = math.sqrt(width / height)
        w = min(photo.width, max(8.0, side * ratio))
        h = min(photo.height, max(8.0, side / ratio))
        x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
        crop = photo.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
        crop = ImageEnhance.Color(crop).enhance(rng.uniform(0.7, 1.8))
        return ImageEnhance.Brightness(crop).enhance(rng.uniform(0.75, 1.25))

    def cutout(self, rng: np.random.Generator) -> Image.Image:
        """A random object of a photo with its mask as alpha, cropped to the object, RGBA."""
        photo_path, mask_path = self.cutouts[rng.integers(len(self.cutouts))]
        photo, mask = _load(photo_path).copy(), _load_mask(mask_path)
        if mask.size != photo.size:
            mask = mask.resize(photo.size, Image.Resampling.NEAREST)
        box = mask.getbbox()
        if box is None:
            raise ValueError(f"the mask '{mask_path.name}' is empty; remove it or mark an object in it")
        photo.putalpha(mask)
        return photo.crop(box)


@dataclass
class Sprite:
    """Poses of one actor or object, facing right.

    Attributes:
        category: One of :data:`CATEGORIES`.
        poses: RGBA images of one size; the first :data:`GAIT_POSES` (or the only one) have arms down,
            the next ones, if any, arms stretched forward.
        width: Width of the silhouette in pixels at scale 1, without the border.
        height: Height of the silhouette in pixels at scale 1, without the border.
        pivot: Height in pixels above the foot around which the sprite rotates.
        layers: Colour (RGB) and mask (L) of each pose.
        areas: Silhouette pixels of each pose (alpha of at least a half).
    """

    category: str
    poses: list[Image.Image]
    width: int
    height: int
    pivot: float = 0.0
    layers: list[tuple[Image.Image, Image.Image]] = field(init=False)
    areas: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = [(pose.convert("RGB"), pose.getchannel("A")) for pose in self.poses]
        self.areas = [int((np.asarray(alpha) > 127).sum()) for _, alpha in self.layers]

    def pose(self, phase: float, reaching: bool) -> int:
        """Index of the pose at a walking ``phase`` (1 = one full stride)."""
        if len(self.poses) == 1:
            return 0
        return int(phase * GAIT_POSES) % GAIT_POSES + (GAIT_POSES if reaching else 0)


def make_sprite(category: str, height: int, photos: PhotoLibrary, rng: np.random.Generator,
                min_width: float = 0.0) -> Sprite:  # fmt: skip
    """Renders a sprite of ``category``, ``height`` pixels high.

    Args:
        category: One of :data:`CATEGORIES`; ``"thing"`` needs cut-outs.
        height: Height of the silhouette in pixels.
        photos: Where textures come from.
        rng: Source of randomness.
        min_width: Least width in pixels (a wall must cover who hides behind it).
    """
    if category == CUTOUT_CATEGORY:
        image = photos.cutout(rng)
        width = max(4, round(height * min(2.2, max(0.35, image.width / image.height))))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return Sprite(category, [_bordered(image)], width, height)
    width = max(4, round(height * rng.uniform(*ASPECTS[category])), math.ceil(min_width))
    paint = _PAINTERS[category]
    return paint(width, height, photos, rng)


def lookalike(sprite: Sprite, rng: np.random.Generator) -> Sprite:
    """The same shape and texture again, a little brighter or darker."""
    gain = rng.uniform(0.85, 1.15)
    poses = []
    for pose in sprite.poses:
        colour = ImageEnhance.Brightness(pose.convert("RGB")).enhance(gain)
        colour.putalpha(pose.getchannel("A"))
        poses.append(colour)
    return Sprite(sprite.category, poses, sprite.width, sprite.height, sprite.pivot)


def _paint_person(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    upper = photos.texture(rng, width, height)
    lower = ImageEnhance.Brightness(photos.texture(rng, width, height)).enhance(0.7)
    shade = rng.uniform(0.35, 1.0)
    skin = Image.new("RGB", (width, height), tuple(int(c * shade) for c in (236, 196, 165)))
    girth = rng.uniform(0.85, 1.15)
    poses = []
    for reaching in (False, True):
        for index in range(GAIT_POSES):
            swing = math.sin(2 * math.pi * index / GAIT_POSES)
            legs = _mask(width, height, lambda d, w, h, s=swing: _draw_legs(d, w, h, s, girth))
            torso = _mask(width, height, lambda d, w, h, s=swing, r=reaching: _draw_torso(d, w, h, s, r, girth))
            head = _mask(width, height, _draw_head)
            poses.append(_layered(width, height, [(lower, legs), (upper, torso), (skin, head)]))
    return Sprite("person", poses, width, height)


def _draw_head(draw: ImageDraw.ImageDraw, w: float, h: float) -> None:
    draw.ellipse((0.5 * w - 0.075 * h, 0, 0.5 * w + 0.075 * h, 0.17 * h), fill=255)


def _draw_torso(draw: ImageDraw.ImageDraw, w: float, h: float, swing: float, reaching: bool, girth: float) -> None:
    half = 0.25 * w * girth
    draw.rounded_rectangle((0.5 * w - half, 0.15 * h, 0.5 * w + half, 0.55 * h), 0.06 * h, fill=255)
    thick = max(1, round(0.06 * h * girth))
    hands = [(0.98 * w, 0.33 * h), (0.96 * w, 0.39 * h)] if reaching else [
        ((0.5 + 0.32 * swing) * w, 0.52 * h), ((0.5 - 0.32 * swing) * w, 0.52 * h)]  # fmt: skip
    for hand in hands:
        draw.line(((0.5 * w, 0.22 * h), hand), fill=255, width=thick)


def _draw_legs(draw: ImageDraw.ImageDraw, w: float, h: float, swing: float, girth: float) -> None:
    thick = max(1, round(0.085 * h * girth))
    for side in (-1, 1):
        foot = (0.5 + side * (0.08 + 0.26 * swing)) * w
        draw.line(((0.5 * w + side * 0.06 * w, 0.52 * h), (foot, h)), fill=255, width=thick)


def _paint_animal(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    coat = photos.texture(rng, width, height)
    stout = rng.uniform(0.9, 1.15)

    def draw(d: ImageDraw.ImageDraw, w: float, h: float, swing: float) -> None:
        d.ellipse((0.10 * w, 0.22 * h, 0.80 * w, (0.5 + 0.2 * stout) * h), fill=255)  # body
        d.polygon(((0.62 * w, 0.45 * h), (0.72 * w, 0.10 * h), (0.86 * w, 0.35 * h)), fill=255)  # neck
        d.ellipse((0.70 * w, 0.02 * h, w, 0.36 * h), fill=255)  # head
        d.polygon(((0.74 * w, 0.10 * h), (0.74 * w, 0), (0.82 * w, 0.06 * h)), fill=255)  # ear
        d.line(
            ((0.13 * w, 0.4 * h), (0.01 * w, (0.12 + 0.08 * swing) * h)),
            fill=255,
            width=max(1, round(0.07 * h)),
        )
        for hip, sign in ((0.22, 1), (0.31, -1), (0.60, -1), (0.69, 1)):
            d.line(
                ((hip * w, 0.55 * h), ((hip + 0.07 * sign * swing) * w, h)),
                fill=255,
                width=round(0.1 * h) or 1,
            )

    poses = []
    for index in range(GAIT_POSES):
        swing = math.sin(2 * math.pi * index / GAIT_POSES)
        poses.append(_layered(width, height, [(coat, _mask(width, height, lambda d, w, h, s=swing: draw(d, w, h, s)))]))
    return Sprite("animal", poses * 2, width, height)


def _paint_ball(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    mask = _mask(height, height, lambda d, w, h: d.ellipse((0, 0, w - 1, h - 1), fill=255))
    image = _layered(height, height, [(photos.texture(rng, height, height), mask)])
    return Sprite("ball", [image], height, height, pivot=height / 2)


def _paint_box(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    edge = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 255, 3)))
    outer = _mask(width, height, lambda d, w, h: d.rounded_rectangle((0, 0, w - 1, h - 1), 0.12 * h, fill=255))
    inner = _mask(width, height, lambda d, w, h: d.rectangle((0.1 * w, 0.1 * h, 0.9 * w, 0.9 * h), fill=255))
    layers = [(edge, outer), (photos.texture(rng, width, height), inner)]
    return Sprite("box", [_layered(width, height, layers)], width, height)


def _paint_cart(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    tyre = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 70, 3)))

    def wheels(d: ImageDraw.ImageDraw, w: float, h: float) -> None:
        for x in (0.22 * w, 0.78 * w):
            d.ellipse((x - 0.18 * h, 0.64 * h, x + 0.18 * h, h), fill=255)

    body = _mask(width, height, lambda d, w, h: d.rounded_rectangle((0, 0, w - 1, 0.78 * h), 0.1 * h, fill=255))
    layers = [(photos.texture(rng, width, height), body), (tyre, _mask(width, height, wheels))]
    return Sprite("cart", [_layered(width, height, layers)], width, height)


def _paint_wall(width: int, height: int, photos: PhotoLibrary, rng: np.random.Generator) -> Sprite:
    mask = Image.new("L", (width, height), 255)
    return Sprite("wall", [_layered(width, height, [(photos.texture(rng, width, height), mask)])], width, height)


_PAINTERS: dict[str, Callable[..., Sprite]] = {
    "person": _paint_person, "animal": _paint_animal, "ball": _paint_ball, "box": _paint_box,
    "cart": _paint_cart, "wall": _paint_wall,
}  # fmt: skip


def _mask(width: int, height: int, draw: Callable[[ImageDraw.ImageDraw, float, float], None]) -> Image.Image:
    """An antialiased mask: drawn larger, then reduced."""
    large = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING), 0)
    draw(ImageDraw.Draw(large), float(large.width), float(large.height))
    return large.reduce(_OVERSAMPLING)


def _layered(width: int, height: int, layers: list[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Pastes (texture, mask) layers in order; alpha is the union of the masks."""
    colour, alpha = layers[0][0].copy(), Image.new("L", (width, height), 0)
    for texture, mask in layers:
        colour.paste(texture, (0, 0), mask)
        alpha.paste(255, (0, 0), mask)
    colour.putalpha(alpha)
    return _bordered(colour)


def _bordered(image: Image.Image) -> Image.Image:
    """Adds the transparent border, with the edge's colours under it."""
    pixels = np.pad(np.asarray(image), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
    alpha = np.pad(np.asarray(image)[..., 3], BORDER)
    return Image.fromarray(np.dstack([pixels[..., :3], alpha]))


def _packaged_photos() -> list[Path]:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "no photos: the default ones come with scikit-image, which is not installed; "
            "install scikit-image or name a folder of photos (images=...)"
        )
    folder = Path(spec.origin).parent / "data"
    photos = [folder / name for name in PACKAGED_PHOTOS if (folder / name).is_file()]
    if not photos:
        raise FileNotFoundError("this scikit-image ships no photos; name a folder of photos (images=...)")
    return photos


def _photos_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of photos at '{folder}'")
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise FileNotFoundError(f"no photos ({', '.join(sorted(PHOTO_SUFFIXES))}) in '{folder}'")
    return photos


@lru_cache(maxsize=32)
def _load(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


@lru_cache(maxsize=32)
def _load_mask(path: Path) -> Image.Image:
    return Image.open(path).convert("L").point(lambda value: 255 if value else 0)
