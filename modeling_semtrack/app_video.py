"""Videos of the demo's visitors: what is accepted, single frames of them, and clips to try without one."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from .app_seek import Timetable, images_from, survey
from .video import Frame, VideoError, VideoReader, VideoWriter

MEGABYTE = 1 << 20
PREVIEW_SIDE = 960  # pixels; larger frames are shown smaller
BACKWARD_BYTES = 192 * MEGABYTE  # of frames kept at once while a video is read backwards
KEPT_BYTES = 96 * MEGABYTE  # of single frames, of all visitors together
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
        timetable: How to find frames in the middle, or None.
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
    timetable: Timetable | None = None

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
    if not size:
        raise VideoError(f"'{name}' is empty (0 bytes): upload a video")
    if size > limits.file_bytes:
        raise VideoError(
            f"'{name}' has {size / MEGABYTE:.0f} MB, the limit is {limits.file_bytes // MEGABYTE} MB: cut it shorter"
        )
    with _called(path, name):
        timetable = survey(path, limits.seconds, limits.frames, limits.side)
        with VideoReader(path) as reader:
            width, height = reader.width, reader.height
    times = timetable.times
    if len(times) < 2:
        raise VideoError(f"'{name}' has a single frame: tracking needs at least two")
    note = None
    if not timetable.whole:
        note = f"Only the first {len(times)} frames ({times[-1]:.1f} s) are used."
    elif timetable.missing:
        note = f"The file is damaged: {timetable.missing}. The {len(times)} frames before are used."
    complete = timetable.missing is None
    return Clip(path, name, width, height, timetable.fps, times, timetable.whole, complete, note, timetable)


@contextmanager
def _called(path: Path, name: str) -> Iterator[None]:
    """Lets errors tell the name of a video instead of its path."""
    try:
        yield
    except VideoError as error:
        raise VideoError(str(error).replace(str(path.absolute()), name).replace(str(path), name)) from error


def read_forwards(clip: Clip, start: int) -> Iterator[Frame]:
    """The frames of a clip from an index on.

    Raises:
        VideoError: If the file has been deleted.
    """
    if not clip.path.is_file():
        raise VideoError(f"'{clip.name}' has expired: upload it again")
    index = start
    if clip.timetable is not None:
        for image in images_from(clip.path, clip.timetable, start):
            if image.shape[:2] != (clip.height, clip.width):
                break
            yield Frame(index, clip.times[index], image)
            index += 1
    if index <= clip.last:
        yield from _read_through(clip, index)


def _read_through(clip: Clip, start: int) -> Iterator[Frame]:
    """As [`read_forwards`], decoding all that lies before."""
    with _called(clip.path, clip.name), VideoReader(clip.path) as reader:
        for frame in reader:
            if frame.index > clip.last:
                return
            if frame.index >= start:
                yield frame


def read_backwards(clip: Clip, start: int, budget: int = BACKWARD_BYTES) -> Iterator[Frame]:
    """The frames of a clip from an index down to the first one, holding `budget` bytes of them at most."""
    batch = max(1, budget // (3 * clip.width * clip.height))
    for end in range(start + 1, 0, -batch):
        first = max(0, end - batch)
        kept = [frame for _, frame in zip(range(first, end), read_forwards(clip, first))]
        while kept:
            yield kept.pop()


class _KeptFrames:
    """The single frames that were wanted last, up to a number of bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._images: OrderedDict[tuple[Path, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, clip: Clip, index: int) -> np.ndarray:
        with self._lock:
            image = self._images.get((clip.path, index))
            if image is not None:
                self._images.move_to_end((clip.path, index))
                return image
        frame = next(read_forwards(clip, index), None)
        if frame is None:
            raise VideoError(f"frame {index} of '{clip.name}' cannot be read: upload it again")
        frame.image.flags.writeable = False
        with self._lock:
            self._images[clip.path, index] = frame.image
            self._drop([])
        return frame.image

    def forget(self, folder: Path) -> None:
        with self._lock:
            self._drop([key for key in self._images if key[0].is_relative_to(folder)])

    def _drop(self, keys: list[tuple[Path, int]]) -> None:
        for key in keys:
            del self._images[key]
        while len(self._images) > 1 and sum(image.nbytes for image in self._images.values()) > self._budget:
            self._images.popitem(last=False)


_kept = _KeptFrames(KEPT_BYTES)


def frame_at(clip: Clip, index: int) -> np.ndarray:
    """The frame with this index: uint8 RGB [height, width, 3], read-only.

    Raises:
        VideoError: If the file has been deleted or there is no such frame.
    """
    if not clip.path.is_file():
        raise VideoError(f"'{clip.name}' has expired: upload it again")
    return _kept.get(clip, min(max(0, int(index)), clip.last))


def forget_frames(folder: Path) -> None:
    """Frees the frames that [`frame_at`] has kept of a video, or of all videos in a folder."""
    _kept.forget(folder)


def preview_size(clip: Clip) -> tuple[int, int]:
    """(width, height) in which the frames of a clip are shown."""
    shrink = min(1.0, PREVIEW_SIDE / max(clip.width, clip.height))
    return max(1, round(clip.width * shrink)), max(1, round(clip.height * shrink))


def preview(clip: Clip, image: np.ndarray) -> np.ndarray:
    """The frame at the size in which it is shown: uint8 [height, width, 3]."""
    size = preview_size(clip)
    if size == (image.shape[1], image.shape[0]):
        return image
    pixels = torch.from_numpy(image if image.flags.writeable else image.copy())  # [height, width, 3]
    # As Pillow's bilinear filter, to the bit, in a quarter of the time.
    small = interpolate(pixels.permute(2, 0, 1)[None], size[::-1], mode="bilinear", antialias=True)[0]
    return np.ascontiguousarray(small.permute(1, 2, 0).numpy())


def from_preview(clip: Clip, point: tuple[float, float]) -> tuple[float, float]:
    """A place (x, y) in the shown picture as pixels of the video."""
    width, height = preview_size(clip)
    return point[0] * clip.width / width, point[1] * clip.height / height


@dataclass(frozen=True)
class Example:
    """A clip to try: a synthetic video, made on first use."""

    title: str
    seed: int

    @property
    def file_name(self) -> str:
        """What a visitor calls it."""
        return f"{self.title}.mp4"


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
