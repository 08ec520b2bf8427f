"""Video in and out, frame by frame: files, file objects, frame folders, cameras and streams.

Frames are uint8 RGB arrays [height, width, 3], upright (the container's rotation is applied), with times
in seconds. Nothing here keeps more than a few frames, however long the video is.
"""

from __future__ import annotations

import itertools
import logging
import math
import operator
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from .decoding import AV_ERRORS, Container, Folder, Source, TimedImage, VideoError, reason, resolve
from .files import OutputError, atomic_path

__all__ = ["Frame", "VideoError", "VideoReader", "VideoWriter"]

logger = logging.getLogger(__name__)

TICKS = 360_000  # per second, in written files: 1/24, 1/25, 1/30, 1001/24000 s and milliseconds are exact
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov")
X264_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)


class Frame(NamedTuple):
    """One decoded frame.

    Attributes:
        index: 0-based; counts the frames that could be decoded.
        time: Seconds since the first frame, strictly increasing.
        image: uint8 RGB [height, width, 3], upright, contiguous.
    """

    index: int
    time: float
    image: np.ndarray


class VideoReader:
    """Iterate over the frames of a video; a context manager.

    The first frame is decoded at once, so that a video without frames shows here and not later.
    Iterating again starts from the first frame again, and ends the iteration before.

    Times come from the container's timestamps, relative to the first frame, which has 0.0; a variable
    frame rate is kept. They increase strictly: a frame without a timestamp comes one nominal frame
    (1 / ``fps``) after its predecessor; one whose timestamp repeats or falls back by up to a second, a
    quarter of a nominal frame after it; where timestamps are set back by more, they count on from there.
    Files that store timestamps in decoding order are recognised and read by their decoding timestamps.

    Packets that cannot be decoded are skipped and counted, and reported in one logged line at the end. A
    frame of another size than the first one is scaled to that size. Pixels are taken as stored: a sample
    aspect ratio is not applied, an alpha channel is dropped.

    Args:
        source: A path of a video file or of a folder of images (jpg, png, bmp, webp, in natural order);
            the bytes of a video or a binary file object (read from its beginning, not closed);
            ``"webcam:0"`` (Linux: /dev/video0); or an rtsp, http(s), rtmp or udp URL.
        fps: Frames per second of a folder of images (25 where None). Everything else brings timestamps
            of its own and refuses it.

    Attributes:
        name: The source in messages.
        width: Width of the frames in pixels, after rotation.
        height: Height of the frames in pixels, after rotation.

    Raises:
        VideoError: If the source is missing, not readable, holds no video or no frame that can be
            decoded, or ``fps`` is not a positive number or not wanted.
    """

    def __init__(self, source: Source, *, fps: float | None = None) -> None:
        self.name, self._open, self._repeatable = resolve(source, fps)
        self._closed = self._reported = False
        self._run = self._open()
        frames = self._run.frames()
        first = next(frames, None)
        if first is None:
            self._run.close()
            why = self._run.incomplete_reason or f"{self._run.damaged} damaged packets"
            raise VideoError(f"no frame of {self.name} can be decoded ({why}); expected at least one whole frame")
        self.height, self.width = first[1].shape[:2]
        self._waiting: Iterator[TimedImage] | None = itertools.chain(iter([first]), frames)

    @property
    def fps(self) -> float:
        """Nominal frames per second (25 where the container names none); use ``Frame.time`` for timing."""
        return self._run.fps

    @property
    def frame_count(self) -> int | None:
        """How many frames the container announces: an estimate for progress bars, or None."""
        return self._run.frame_count

    @property
    def duration(self) -> float | None:
        """Seconds that the container announces, or None."""
        return self._run.duration

    @property
    def damaged_packets(self) -> int:
        """Packets (in a folder: images) that were damaged, so far in this iteration.

        Packets that a damaged container does not even hand out are not among them.
        """
        return self._run.damaged

    @property
    def complete(self) -> bool:
        """Whether iteration has come to the end that the container announced."""
        return self.incomplete_reason is None

    @property
    def incomplete_reason(self) -> str | None:
        """Why :attr:`complete` is False, or None; before the end, that the end is not reached yet.

        Formats that announce no end (MPEG-TS, MPEG-PS, raw and live streams) break off without a trace.
        """
        return self._run.incomplete_reason if self._run.ended else "it was not read to its end"

    def __iter__(self) -> Iterator[Frame]:
        """Frames, from the first one on.

        Raises:
            VideoError: If the reader is closed, or the source (a camera, a URL, a file object that
                cannot seek) was read before.
        """
        if self._closed:
            raise VideoError(f"the reader of {self.name} is closed; open a new VideoReader")
        if self._waiting is None:
            if not self._repeatable:
                raise VideoError(f"{self.name} can be read only once; open a new VideoReader")
            self._run.close()
            self._run = self._open()
            self._waiting = self._run.frames()
        frames, self._waiting = self._waiting, None
        return self._number(self._run, frames)

    def read_frame(self, index: int) -> Frame:
        """The frame with this index, decoding from the first frame on; ends a running iteration.

        Raises:
            VideoError: If there is no such frame, or the source can be read only once.
        """
        index = operator.index(index)
        if index < 0:
            raise VideoError(f"a frame index must be 0 or more, got {index}")
        if not self._repeatable:
            raise VideoError(f"{self.name} can be read only once: iterate over it and take frame {index} there")
        count = 0
        for frame in self:
            if frame.index == index:
                return frame
            count += 1
        raise VideoError(f"there is no frame {index} in {self.name}: it has {count} frames, 0 to {count - 1}")

    def close(self) -> None:
        """Release the source; an iteration that still runs raises VideoError at its next step."""
        self._closed = True
        self._waiting = None
        self._run.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _number(self, run: Container | Folder, frames: Iterator[TimedImage]) -> Iterator[Frame]:
        for index, (time, image) in enumerate(frames):
            yield Frame(index, time, self._fit(image))
            if run.closed:
                raise VideoError(f"this iteration over {self.name} ended when its reader was closed or restarted")
        self._report()

    def _fit(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == (self.height, self.width):
            return image
        return np.array(Image.fromarray(image).resize((self.width, self.height), Image.Resampling.BILINEAR))

    def _report(self) -> None:
        notes = [f"damaged packets: {self.damaged_packets}"] if self.damaged_packets else []
        notes += [self.incomplete_reason] if self.incomplete_reason else []
        if notes and not self._reported:
            self._reported = True
            logger.warning("%s: %s", self.name, "; ".join(notes))


class VideoWriter:
    """Write frames to an H.264 file (yuv420p, MP4 or MOV, playable while it loads); a context manager.

    The file appears under its name only when the block ends well; after an exception nothing is left of
    it, and a file that had this name before is untouched. Odd sizes are padded to even by repeating the
    last column or row. Frames are kept in order without B-frames, so that every duration is exact.

    Args:
        path: The file to write: .mp4, .m4v or .mov.
        fps: Frames per second of frames without times; with times, how long the last frame lasts.
        crf: Quality, 0 (lossless) to 51 (worst).
        preset: x264's balance of speed and size, "ultrafast" to "veryslow".

    Raises:
        VideoError: If the path cannot be written, or an argument is out of range.

    Example:
        >>> with VideoReader("in.mp4") as reader, VideoWriter("out.mp4", reader.fps) as writer:
        ...     for frame in reader:
        ...         writer.write(frame.image, frame.time)
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, *, crf: int = 20, preset: str = "veryfast") -> None:
        self._name = f"'{os.fspath(path)}'"
        if os.path.splitext(path)[1].lower() not in OUTPUT_SUFFIXES:
            raise VideoError(f"cannot write {self._name}: expected a name that ends in {', '.join(OUTPUT_SUFFIXES)}")
        if not (math.isfinite(fps) and 0.001 <= fps <= 100_000):
            raise VideoError(f"fps must lie in [0.001, 100000], got {fps}")
        if crf not in range(52):
            raise VideoError(f"crf must be a whole number from 0 to 51, got {crf}")
        if preset not in X264_PRESETS:
            raise VideoError(f"preset must be one of {', '.join(X264_PRESETS)}, got '{preset}'")
        self._rate = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": preset, "bf": "0"}
        self._container: av.container.OutputContainer | None = None
        self._count, self._ticks, self._timed, self._closed = 0, -1, False, False
        self._cleanup = ExitStack()
        try:
            self._temporary = self._cleanup.enter_context(atomic_path(path))
        except OutputError as error:
            raise VideoError(str(error)) from error

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a frame.

        Args:
            image: uint8 RGB [height, width, 3], of the same size in every call.
            time: Seconds, 0 or more and ascending, kept to 1/360000 s; given for every frame or for none.

        Raises:
            VideoError: If the image or the time is not as described, the writer is closed, or the
                encoder or the disk fails.
        """
        if self._closed:
            raise VideoError(f"the writer of {self._name} is closed; open a new VideoWriter")
        image = self._checked(image)
        ticks = self._next_ticks(time)
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        try:
            if self._container is None:
                self._size = height, width
                self._start(even.shape[1], even.shape[0])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
            frame.duration = round(TICKS / self._rate)
            self._container.mux(self._stream.encode(frame))
        except (*AV_ERRORS, ValueError) as error:
            raise VideoError(f"cannot write frame {self._count} of {self._name}: {reason(error)}") from error
        self._count, self._ticks, self._timed = self._count + 1, ticks, time is not None

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            VideoError: If no frame was written, or the encoder or the disk fails; nothing is left then.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with self._cleanup:
                if self._container is None:
                    raise VideoError(f"no frame was written to {self._name}; write at least one")
                self._container.mux(self._stream.encode())
                self._container.close()
        except OutputError as error:
            raise VideoError(str(error)) from error
        except AV_ERRORS as error:
            raise VideoError(f"cannot finish {self._name}: {reason(error)}") from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self._closed = True
            self._cleanup.__exit__(kind, error, trace)

    def _start(self, width: int, height: int) -> None:
        self._container = av.open(str(self._temporary), "w", options={"movflags": "+faststart"})
        self._cleanup.callback(_close_quietly, self._container)
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    def _checked(self, image: np.ndarray) -> np.ndarray:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            raise VideoError(f"a frame for {self._name} must be a uint8 array [height, width, 3], got {got}")
        if 0 in image.shape:
            raise VideoError(f"a frame for {self._name} must have pixels, got {list(image.shape)}")
        if self._container is not None and image.shape[:2] != self._size:
            (height, width), (first_height, first_width) = image.shape[:2], self._size
            raise VideoError(
                f"frame {self._count} for {self._name} must be {first_width}x{first_height} like the first "
                f"one, got {width}x{height}"
            )
        return image

    def _next_ticks(self, time: float | None) -> int:
        if self._count and (time is not None) != self._timed:
            raise VideoError(f"give a time for every frame of {self._name} or for none, frame {self._count} differs")
        if time is None:
            return round(self._count * TICKS / self._rate)
        if not (math.isfinite(time) and time >= 0):
            raise VideoError(f"the time of frame {self._count} must be 0 or more seconds, got {time}")
        ticks = round(time * TICKS)
        if ticks <= self._ticks:
            raise VideoError(
                f"times must ascend by 1/{TICKS} s or more, got {time} for frame {self._count} after "
                f"{self._ticks / TICKS}"
            )
        return ticks


def _close_quietly(container: av.container.OutputContainer) -> None:
    """Close a file that is given up; once closed in good order it stays as it is."""
    with suppress(*AV_ERRORS):
        container.close()
