"""One run through a video source: what :class:`~modeling_semtrack.video.VideoReader` stands on.

:class:`Container` decodes whatever ffmpeg opens, :class:`Folder` reads images. Both yield times and
upright RGB images, count what was damaged and say how the run ended. :func:`resolve` picks between them.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

Source = str | os.PathLike[str] | bytes | BinaryIO
TimedImage = tuple[float, np.ndarray]

DEFAULT_FPS = 25.0
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
URL_SCHEMES = ("rtsp", "http", "https", "rtmp", "udp")
STREAM_TIMEOUT = 10.0  # seconds a camera or stream may stay silent

AV_ERRORS = (av.error.FFmpegError, OSError)
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class VideoError(ValueError):
    """A video cannot be read or written; one line that names it, what was expected and the fix."""


class Container:
    """One run through a container that ffmpeg opens.

    Attributes:
        fps: Nominal frames per second.
        duration: Seconds that the container announces, or None.
        frame_count: Frames that the container announces, or None.
        damaged: Packets that could not be decoded or were marked as corrupt, so far.
        ended: Whether the run came to its end.
        incomplete_reason: What is missing at the end, or None.
        closed: Whether :meth:`close` was called.

    Raises:
        VideoError: If ffmpeg cannot open it or it has no video stream.
    """

    def __init__(self, name: str, target: str | BinaryIO, **options: Any) -> None:
        self.name = name
        self.closed = self.ended = False
        self.damaged = 0
        self.incomplete_reason: str | None = None
        try:
            self._container = av.open(target, metadata_errors="replace", **options)
        except (*AV_ERRORS, ValueError, TypeError) as error:
            expected = "a running camera or stream" if options else "a whole mp4, mkv, webm, avi or gif file"
            raise VideoError(f"{name} cannot be opened as a video ({reason(error)}); expected {expected}") from error
        self._stream = self._find_stream()
        self._reformatter = VideoReformatter()
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(DEFAULT_FPS)
        self._clock = Clock(1 / rate)
        self.fps = float(rate)
        duration = _seconds(self._stream.duration, self._stream.time_base)
        if duration is None:
            duration = _seconds(self._container.duration, Fraction(1, av.time_base))
        self.duration = None if duration is None else float(duration)
        self.frame_count = self._stream.frames or (None if duration is None else round(duration * rate)) or None

    def _find_stream(self) -> av.VideoStream:
        stream = self._container.streams.best("video")
        if stream is None or stream.disposition & Disposition.attached_pic:
            problem = "has no video, only sound or data"
        elif stream.codec_context is None:
            problem = "is compressed in a way that this ffmpeg cannot decode"
        elif stream.codec_context.name == "ansi":
            problem = "is a text file"
        else:
            return stream
        self.close()
        raise VideoError(f"{self.name} {problem}; expected a file with a video stream")

    def frames(self) -> Iterator[TimedImage]:
        """Times and upright RGB images, in order of display."""
        end = _End(self._container, self._stream)
        try:
            for packet in self._container.demux():  # all streams: the container's end counts them all
                end.saw_packet(packet)
                if packet.stream.index != self._stream.index:  # packet.stream_index is 0 in flush packets
                    continue
                for frame in self._decode(packet):
                    end.saw_frame(frame)
                    yield self._clock.tick(frame), self._image(frame)
                    if self.closed:  # going on would read freed memory
                        return
        except AV_ERRORS as error:
            self.incomplete_reason = f"reading broke off: {reason(error)}"
        else:
            self.incomplete_reason = end.missing(1 / self.fps)
        self.ended = True

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            frames = packet.decode()
        except AV_ERRORS:
            self.damaged += 1
            return []
        self.damaged += packet.is_corrupt
        return frames

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        converted = self._reformatter.reformat(frame, format="rgb24")
        image = converted.to_ndarray()  # a view into the frame, with padded rows at some widths
        if converted is frame:  # still the decoder's own picture, which the next one may build on
            image = image.copy()
        matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
        if matrix is not None:
            image = _upright(image, np.frombuffer(bytes(matrix), np.int32))
        return np.ascontiguousarray(image)

    def close(self) -> None:
        """Release the container; a running :meth:`frames` ends at its next step."""
        self.closed = True
        self._container.close()


class Folder:
    """One run through a folder of images; attributes as in :class:`Container`, one image for one packet.

    Raises:
        VideoError: If the folder cannot be read or holds no images.
    """

    def __init__(self, name: str, folder: Path, fps: float) -> None:
        self.fps = fps
        self.closed = self.ended = False
        self.damaged = 0
        self.incomplete_reason: str | None = None
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
        except OSError as error:
            raise VideoError(f"folder {name} cannot be read ({error.strerror}); check its permissions") from error
        names = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        if not names:
            raise VideoError(f"folder {name} holds no images; expected files {', '.join(sorted(IMAGE_SUFFIXES))}")
        self._paths = [folder / name for name in sorted(names, key=_natural)]
        self.frame_count = len(names)
        self.duration = len(names) / fps

    def frames(self) -> Iterator[TimedImage]:
        """Times, by place in the folder (damaged images keep theirs), and RGB images."""
        for place, path in enumerate(self._paths):
            try:
                image = _read_image(path)
            except IMAGE_ERRORS:
                self.damaged += 1
                continue
            yield place / self.fps, image
        self.ended = True

    def close(self) -> None:
        """Mark the run as over; no file is open between two images."""
        self.closed = True


class Clock:
    """Strictly increasing seconds from the timestamps of frames; the rules stand at ``VideoReader``.

    Args:
        interval: Seconds from one frame to the next where a timestamp is missing.
    """

    def __init__(self, interval: Fraction) -> None:
        self._interval = interval
        self._now: Fraction | None = None
        self._kind = "pts"
        self._last: dict[str, Fraction | None] = {"pts": None, "dts": None}
        self._origin: dict[str, Fraction] = {}

    def tick(self, frame: av.VideoFrame) -> float:
        """Seconds from the first frame to this one; to be called once for each frame, in order of display."""
        base = frame.time_base
        stamps = {"pts": _seconds(frame.pts, base), "dts": _seconds(frame.dts, base)}
        if _ascends(stamps["pts"], self._last["pts"]) and _ascends(self._last["dts"], stamps["dts"]):
            self._kind = "dts"  # frames come in order of display, so these pts are in order of decoding
        self._last = stamps
        self._now = self._advance(stamps[self._kind])
        for kind, stamp in stamps.items():
            if stamp is not None:
                self._origin.setdefault(kind, stamp - self._now)
        return float(self._now)

    def _advance(self, stamp: Fraction | None) -> Fraction:
        if self._now is None:
            return Fraction(0)
        if stamp is None or self._kind not in self._origin:
            return self._now + self._interval
        time = stamp - self._origin[self._kind]
        if time < self._now - 1:
            self._origin.clear()
            return self._now + self._interval
        return time if time > self._now else self._now + self._interval / 4


class _End:
    """Watches whether the packets and frames of a container reach the end that it announces."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._stream = stream
        self._reached = self._reached_video = self._last_packet = self._last_frame = Fraction(0)
        self._cut = False
        self._announced = self._announced_video = None
        guessed = av.format.Flags.ts_discont.value | av.format.Flags.no_timestamps.value
        if not container.format.flags & guessed:  # these formats announce no end, ffmpeg guesses it
            self._announced = _seconds(container.duration, Fraction(1, av.time_base), container.start_time)
            self._announced_video = _seconds(stream.duration, stream.time_base, stream.start_time)

    def saw_packet(self, packet: av.Packet) -> None:
        stamp = _seconds(packet.pts, packet.time_base)
        if stamp is None or packet.is_discard:
            return
        end = stamp + (packet.duration or 0) * packet.time_base
        self._reached = max(self._reached, end)
        if packet.stream.index == self._stream.index:
            self._cut = packet.is_corrupt
            self._reached_video = max(self._reached_video, end)
            self._last_packet = max(self._last_packet, stamp)

    def saw_frame(self, frame: av.VideoFrame) -> None:
        self._last_frame = max(self._last_frame, _seconds(frame.pts, frame.time_base) or Fraction(0))

    def missing(self, interval: float) -> str | None:
        """What is missing, or None. Up to a quarter of a second or three frames pass unnoticed."""
        slack = max(0.25, 3 * interval)
        announced, reached = self._announced_video, self._reached_video
        if announced is None:
            announced, reached = self._announced, self._reached
        if announced is not None and reached < announced - slack:
            return f"it breaks off after {float(reached):.2f} of {float(announced):.2f} seconds"
        if self._cut:
            return f"it breaks off inside a packet after {float(reached):.2f} seconds"
        if self._last_frame < self._last_packet - slack:
            return f"nothing can be decoded after {float(self._last_frame):.2f} of {float(reached):.2f} seconds"
        return None


def resolve(source: Source, fps: float | None) -> tuple[str, Callable[[], Container | Folder], bool]:
    """What to call a source in messages, how to open a run through it, and whether that works twice.

    Raises:
        VideoError: If the source is of no known kind, missing, empty or not readable, or ``fps`` is wrong.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise VideoError(f"fps must be a positive number, got {fps}")
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        name = f"'{text}'"
        if text.startswith("webcam:") or "://" in text:
            name, run, repeatable = _resolve_stream(text)
        elif _is_folder(text):
            return name, partial(Folder, name, Path(text), fps or DEFAULT_FPS), True
        else:  # an absolute path, lest ffmpeg takes "a:b.mp4" for a protocol
            run, repeatable = partial(Container, name, os.path.abspath(text)), True
    elif isinstance(source, bytes | bytearray | memoryview):
        name, repeatable = f"the given {len(source)} bytes", True
        run = partial(_open_file_object, name, io.BytesIO(source))
    elif hasattr(source, "read"):
        name, repeatable = f"the file object {source!r}", _can_seek(source)
        run = partial(_open_file_object, name, source)
    else:
        kind = type(source).__name__
        raise VideoError(f"a video is a path, bytes, a binary file object, 'webcam:0' or a URL, got {kind}")
    if fps is not None:
        raise VideoError(f"fps is for folders of images; {name} has timestamps of its own: leave fps out")
    return name, run, repeatable


def _resolve_stream(text: str) -> tuple[str, Callable[[], Container], bool]:
    """A camera or URL; its name hides the password in the URL, for it goes to logs."""
    name = f"'{re.sub(r'//[^/@]*@', '//***@', text)}'"
    if text.startswith("webcam:"):
        number = text.removeprefix("webcam:")
        device = f"/dev/video{number}"
        if not number.isdecimal() or not os.path.exists(device):
            raise VideoError(f"there is no camera {name} (looked for {device}); expected 'webcam:0' or another number")
        return name, partial(Container, name, device, format="v4l2", timeout=STREAM_TIMEOUT), False
    if text.partition("://")[0].lower() not in URL_SCHEMES:
        raise VideoError(f"{name} has an unknown scheme; expected a path or one of {', '.join(URL_SCHEMES)}")
    return name, partial(Container, name, text, timeout=STREAM_TIMEOUT), False


def _is_folder(path: str) -> bool:
    """True for a folder, False for a file that can be read and is not empty; else VideoError."""
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb"):
                pass
    except (OSError, ValueError) as error:
        raise VideoError(f"'{path}' cannot be read ({reason(error)}); give the path of a video file") from error
    if stat.S_ISDIR(status.st_mode):
        return True
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"'{path}' is neither a file nor a folder; for a camera give 'webcam:0'")
    if status.st_size == 0:
        raise VideoError(f"'{path}' is empty (0 bytes); expected a video file")
    return False


def _open_file_object(name: str, file: BinaryIO) -> Container:
    if _can_seek(file):
        file.seek(0)
    return Container(name, file)


def _can_seek(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except AttributeError:
        return False


def _read_image(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "I;16":  # convert() would clip 16 bit to white
            return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))


def _natural(name: str) -> tuple[list[int | str], str]:
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], name


def _upright(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a display matrix [9], as quarter turns and mirroring (np.rot90 alone knows no mirroring)."""
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.swapaxes(0, 1), c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _seconds(value: int | None, base: Fraction, start: int | None = 0) -> Fraction | None:
    return None if value is None else (value + (start or 0)) * base


def _ascends(earlier: Fraction | None, later: Fraction | None) -> bool:
    return earlier is not None and later is not None and earlier < later


def reason(error: Exception) -> str:
    """Why ffmpeg or the system failed, in a few words."""
    if isinstance(error, av.error.ExitError):
        return f"nothing came for {STREAM_TIMEOUT:g} seconds"
    return (error.strerror if isinstance(error, AV_ERRORS) else None) or str(error)
