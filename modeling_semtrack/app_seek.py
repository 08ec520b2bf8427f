"""A video file looked through once without making pictures, and then read from the middle where that is safe.

Seeking is trusted no further than it can be checked: the frames that come must bear the timestamps that the first
look has seen. Damaged files and those with odd timestamps are not sought in at all.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np

from .decoding import AV_ERRORS, Container, VideoError


@dataclass(frozen=True)
class Timetable:
    """The frames of a video's window.

    Attributes:
        times: Seconds of each frame.
        stamps: The container's timestamp of each frame; empty where it cannot be sought by them.
        keys: Indices, ascending, of frames from which decoding may start.
        fps: Nominal frames per second.
        whole: Whether the window is the whole video.
        missing: Why the video breaks off before its end, or None.
    """

    times: tuple[float, ...]
    stamps: tuple[int, ...]
    keys: tuple[int, ...]
    fps: float
    whole: bool
    missing: str | None


class _Seen(NamedTuple):
    """What is noted of a frame instead of its picture."""

    stamp: int | None
    is_key: bool


class _Survey(Container):
    """Decodes every frame and makes no pictures: that halves the time."""

    def size(self) -> tuple[int, int]:
        """(width, height) that the file announces, before anything is decoded."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    def _image(self, frame: av.VideoFrame) -> _Seen:
        return _Seen(frame.pts, bool(frame.key_frame))


class _Sought(Container):
    """Starts in the middle."""

    def images(self, timetable: Timetable, key: int, start: int) -> Iterator[np.ndarray]:
        """Upright RGB images from the frame `start` on, as long as the frames are those of the timetable."""
        expected = iter(timetable.stamps[key:])
        index, awaited = key, next(expected)
        if key > 0:
            self._container.seek(awaited, stream=self._stream)
        for packet in self._container.demux(self._stream):
            for frame in self._decode(packet):
                if index == key and frame.pts is not None and frame.pts < awaited:
                    continue  # needs what lies before the key frame
                if frame.pts != awaited or self.damaged:
                    return
                if index >= start:
                    yield self._image(frame)
                index, awaited = index + 1, next(expected, None)
                if awaited is None:
                    return


def survey(path: str | os.PathLike[str], seconds: float, frames: int, side: int) -> Timetable:
    """Looks through the beginning of a video.

    Args:
        path: The file.
        seconds: Where the window ends, at the latest.
        frames: Most frames of the window.
        side: Longest side of frames in pixels; larger ones are refused undecoded.

    Raises:
        VideoError: If it is no video, or its frames are too large.
    """
    with closing(_Survey(f"'{path}'", os.path.abspath(path))) as run:
        width, height = run.size()
        if max(width, height) > side:
            raise VideoError(
                f"'{path}' has frames of {width}x{height}, the limit is {side} pixels a side: scale it down"
            )
        times, seen, whole = [], [], True
        for time, frame in run.frames():
            if len(times) == frames or time >= seconds:
                whole = False
                break
            times.append(time)
            seen.append(frame)
        safe = not run.damaged and all(frame.stamp is not None for frame in seen)
        safe = safe and all(one.stamp < other.stamp for one, other in pairwise(seen))
        return Timetable(
            times=tuple(times),
            stamps=tuple(frame.stamp for frame in seen) if safe else (),
            keys=tuple(index for index, frame in enumerate(seen) if frame.is_key) if safe else (),
            fps=run.fps,
            whole=whole,
            missing=run.incomplete_reason if whole else None,
        )


def images_from(path: str | os.PathLike[str], timetable: Timetable, start: int) -> Iterator[np.ndarray]:
    """The images from a frame on, uint8 RGB [height, width, 3], upright; ends early where they cannot be trusted.

    Args:
        path: The file that was surveyed.
        timetable: What was seen.
        start: Index of the first image.
    """
    before = bisect_right(timetable.keys, start)
    if not before:
        return
    try:
        with closing(_Sought(f"'{path}'", os.path.abspath(path))) as run:
            yield from run.images(timetable, timetable.keys[before - 1], start)
    except (*AV_ERRORS, VideoError):
        return
