"""Photos: the textures and backdrops of synthetic videos."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

PACKAGED_PHOTOS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png",
                   "gravel.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png",
                   "motorcycle_right.png", "rocket.jpg")  # fmt: skip
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
Colour = tuple[int, int, int]


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

    def tinted(self, rng: np.random.Generator, width: int, height: int, colour: Colour, share: float) -> Image.Image:
        """A texture of which ``share`` (0 to 1) is one flat colour, RGB."""
        flat = Image.new("RGB", (width, height), colour)
        return Image.blend(self.texture(rng, width, height), flat, share)

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
