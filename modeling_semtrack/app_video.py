"""Videos of the demo's visitors: what is accepted, single frames of them, and clips to try without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from .video import Frame, VideoError, VideoReader, VideoWriter

MEGABYTE = 1 << 20
PREVIEW_SIDE = 960  # pixels; larger frames are shown smaller
BACKWARD_BYTES = 192 * MEGABYTE  # of frames kept at once while a video is read backwards
DEFAULT_CACHE = Path("~/.cache")  # of the XDG base directory specification


@dataclass(frozen=True)
class Limits:
    """What the demo takes.

    Attributes:
        file_bytes: Largest file.
        seconds: Longest window; of a longer video the beginning is used.
        frames: Most frames of the window.
        side: Longest side of a frame in pixels.
    """

    file_bytes: int = 200 * MEGABYTE
    seconds: float = 60.0
    frames: int = 1800
    side: int = 4096

    def describe(self) -> str:
        """The limits in one line, for the page."""
        return (
            f"Up to {self.file_bytes // MEGABYTE} MB and {self.side} pixels a side; of longer videos the first "
            f"{self.seconds:g} s or {self.frames} frames are used."
        )


@dataclass(frozen=True)
class Clip:
    """The part of a video that the demo works on.

    Attributes:
        path: The file.
        name: What its owner calls it.
        width: Pixels, after rotation.
        height: Pixels, after rotation.
        fps: Nominal frames per second.
        times: Seconds of each frame of the window.
        whole: Whether the window is the whole video.
        complete: Whether the video could be read to its end, or to the end of the window.
        note: What the visitor should know about it, or None.
    """

    path: Path
    name: str
    width: int
    height: int
    fps: float
    times: tuple[float, ...]
    whole: bool = True
    complete: bool = True
    note: str | None = None

    @property
    def last(self) -> int:
        """Index of the last frame."""
        return len(self.times) - 1

    def frame_near(self, time: float) -> int:
        """Index of the frame whose time in seconds is nearest."""
        return int(np.abs(np.asarray(self.times) - time).argmin())


def open_clip(path: str | os.PathLike[str], name: str, limits: Limits | None = None) -> Clip:
    """Checks a video and decodes its window once.

    Args:
        path: The file.
        name: What to call it in messages, which do not tell its path.
        limits: What is accepted.

    Raises:
        VideoError: If it is not a video, or too large, or has a single frame.
    """
    limits, path = limits or Limits(), Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VideoError(f"'{name}' is no longer here: upload it again") from error
    if size > limits.file_bytes:
        raise VideoError(
            f"'{name}' has {size / MEGABYTE:.0f} MB, the limit is {limits.file_bytes // MEGABYTE} MB: cut it shorter"
        )
    try:
        with VideoReader(path) as reader:
            return _measured(reader, path, name, limits)
    except VideoError as error:
        raise VideoError(str(error).replace(str(path.absolute()), name).replace(str(path), name)) from error


def _measured(reader: VideoReader, path: Path, name: str, limits: Limits) -> Clip:
    if max(reader.width, reader.height) > limits.side:
        raise VideoError(
            f"'{name}' has frames of {reader.width}x{reader.height}, the limit is {limits.side} pixels a side: "
            "scale it down"
        )
    times: list[float] = []
    whole = True
    for frame in reader:
        if len(times) == limits.frames or frame.time >= limits.seconds:
            whole = False
            break
        times.append(frame.time)
    if len(times) < 2:
        raise VideoError(f"'{name}' has a single frame: tracking needs at least two")
    complete = reader.complete or not whole
    note = None
    if not whole:
        note = f"Only the first {len(times)} frames ({times[-1]:.1f} s) are used."
    elif not complete:
        note = f"The file is damaged: {reader.incomplete_reason}. The {len(times)} frames before are used."
    return Clip(path, name, reader.width, reader.height, reader.fps, tuple(times), whole, complete, note)


def read_forwards(clip: Clip, start: int) -> Iterator[Frame]:
    """The frames of a clip from an index on."""
    with VideoReader(clip.path) as reader:
        for frame in reader:
            if frame.index > clip.last:
                return
            if frame.index >= start:
                yield frame


def read_backwards(clip: Clip, start: int, budget: int = BACKWARD_BYTES) -> Iterator[Frame]:
    """The frames of a clip from an index down to the first one, holding `budget` bytes of them at most.

    The beginning of the file is decoded again for every batch, since damaged files cannot be sought in reliably.
    """
    batch = max(1, budget // (3 * clip.width * clip.height))
    for end in range(start + 1, 0, -batch):
        kept = []
        with VideoReader(clip.path) as reader:
            for frame in reader:
                if frame.index >= end:
                    break
                if frame.index >= end - batch:
                    kept.append(frame)
        while kept:
            yield kept.pop()


def frame_at(clip: Clip, index: int) -> np.ndarray:
    """The frame with this index: uint8 RGB [height, width, 3], read-only.

    Raises:
        VideoError: If the file has been deleted or there is no such frame.
    """
    if not clip.path.is_file():
        raise VideoError(f"'{clip.name}' has expired: upload it again")
    return _frame_at(clip.path, min(max(0, int(index)), clip.last))


@lru_cache(maxsize=4)
def _frame_at(path: Path, index: int) -> np.ndarray:
    with VideoReader(path) as reader:
        image = reader.read_frame(index).image
    image.flags.writeable = False
    return image


def forget_frames() -> None:
    """Frees the frames that [`frame_at`] has kept."""
    _frame_at.cache_clear()


def preview_size(clip: Clip) -> tuple[int, int]:
    """(width, height) in which the frames of a clip are shown."""
    shrink = min(1.0, PREVIEW_SIDE / max(clip.width, clip.height))
    return max(1, round(clip.width * shrink)), max(1, round(clip.height * shrink))


def preview(clip: Clip, image: np.ndarray) -> np.ndarray:
    """The frame at the size in which it is shown: uint8 [height, width, 3]."""
    size = preview_size(clip)
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def from_preview(clip: Clip, point: tuple[float, float]) -> tuple[float, float]:
    """A place (x, y) in the shown picture as pixels of the video."""
    width, height = preview_size(clip)
    return point[0] * clip.width / width, point[1] * clip.height / height


@dataclass(frozen=True)
class Example:
    """A clip to try: a synthetic video, made on first use."""

    title: str
    seed: int


EXAMPLES = (Example("A busy scene", 124), Example("Two of a kind", 7), Example("Come and go", 21))


def example_path(example: Example, folder: Path | None = None) -> Path:
    """The file of an example, synthesised when it is wanted for the first time (needs scikit-image).

    Args:
        example: One of [`EXAMPLES`].
        folder: Where examples are kept; the user's cache folder by default.
    """
    from dataset_script.synthetic import SyntheticConfig, generate_video

    if folder is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or DEFAULT_CACHE).expanduser()
        folder = cache / "semtrack" / "examples"
    path = folder / f"synthetic_{example.seed}.mp4"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        config = SyntheticConfig()
        _, frames = generate_video(config, example.seed)
        with VideoWriter(path, config.fps) as writer:
            for index, frame in enumerate(frames):
                writer.write(frame, index / config.fps)
    return path
