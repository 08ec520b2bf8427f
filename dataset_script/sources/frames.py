"""Images and video files on disk: which there are, and their sizes, without decoding them whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image, UnidentifiedImageError

from dataset_script import media

from .reading import SourceError, contents, expect_folder

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset({".mpg", ".mp4", ".avi", ".mkv", ".mov", ".webm"})


class FrameInfo(NamedTuple):
    """Sizes of the frames of one video.

    Attributes:
        width: In pixels.
        height: In pixels.
        count: Number of frames.
        fps: Frames per second, or None for a folder of images, which states none.
    """

    width: int
    height: int
    count: int
    fps: float | None


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder, but for hidden files, by their numbers (``2.jpg`` before ``10.jpg``)."""
    images = (path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in images if not path.name.startswith(".")), key=_natural_order)


def probe(frames: Path) -> FrameInfo:
    """Sizes of a folder of images (from its first image) or of a video file (from its packets).

    Raises:
        SourceError: If there is nothing at ``frames``, the folder has no image, or the first image cannot
            be read.
        VideoError: If the video cannot be opened.
    """
    if not frames.is_file():
        return _probe_folder(expect_folder(frames, "frames (.jpg, .png)"))
    with media.VideoReader(frames) as reader:
        return FrameInfo(reader.width, reader.height, _count_packets(frames), reader.fps)


def _probe_folder(folder: Path) -> FrameInfo:
    images = list_images(folder)
    if not images:
        raise SourceError(folder, f"expected frames (.jpg, .png), found {contents(folder)}")
    try:
        with Image.open(images[0]) as image:  # reads the header alone
            return FrameInfo(*image.size, len(images), None)
    except (OSError, UnidentifiedImageError) as error:
        raise SourceError(images[0], f"not a readable image: {error}") from error


def _count_packets(video: Path) -> int:
    """Frames of a video by its packets, which are not decoded."""
    with av.open(str(video)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def _natural_order(path: Path) -> list[tuple[str, int]]:
    return [(text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d*)", path.name)]
