"""Videos that are in two splits, by name or by what they show.

Pictures are compared by a perceptual hash: the signs of the 64 lowest frequencies of a small grey copy (the
"pHash" of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). It survives
another size, codec, brightness and mild noise. Frames are taken at fixed shares of the video's length, so that
copies at another frame rate are found; excerpts and mirrored copies are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn

from dataset_script import media
from dataset_script.findings import ERROR, WARNING, Finding

HASHED_FRAMES = 8
SIDE, LOWEST = 32, 8  # pixels of the grey copy, and frequencies kept along each axis
LEAST_CONTRAST = 4.0  # grey levels of standard deviation; a flatter picture (black, fog) says nothing
NEAR = 10.0  # of 64 bits, mean over the frames; the same scene shot again differs in 20 and more
LEAST_COMPARED = 3  # frames that both videos must have with contrast


def picture_hash(image: np.ndarray) -> np.uint64 | None:
    """64 bits that look-alike pictures share for the most part.

    Args:
        image: uint8 RGB [height, width, 3].

    Returns:
        The hash, or None for a picture without contrast.
    """
    small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64)
    if grey.std() < LEAST_CONTRAST:
        return None
    low = dctn(grey, norm="ortho")[:LOWEST, :LOWEST].ravel()
    bits = low > np.median(low[1:])  # without the mean brightness
    return np.packbits(bits).view(np.uint64)[0]


class Glimpse(NamedTuple):
    """A few frames of a video.

    Attributes:
        width: Pixels.
        height: Pixels.
        hashes: Of frames at the middle of equal parts of the video; None for those without contrast and those
            that the video does not have.
        missing: The first frame that was looked for and is not there, or None.
    """

    width: int
    height: int
    hashes: tuple[np.uint64 | None, ...]
    missing: int | None


def glimpse(path: str | Path, num_frames: int, count: int = HASHED_FRAMES) -> Glimpse:
    """Hashes a few frames of a video, which is decoded frame by frame.

    Args:
        path: A video file or a folder of frames.
        num_frames: Frames of the video, as annotated.
        count: How many frames to hash.

    Raises:
        VideoError: If the video cannot be opened.
    """
    wanted = [int((part + 0.5) * num_frames / count) for part in range(count)]
    hashes: dict[int, np.uint64 | None] = {}
    with media.VideoReader(path) as reader:
        for frame in reader:
            if frame.index in wanted:
                hashes[frame.index] = picture_hash(frame.image)
            if frame.index >= wanted[-1]:
                break
        missing = next((index for index in wanted if index not in hashes), None)
        return Glimpse(reader.width, reader.height, tuple(hashes.get(index) for index in wanted), missing)


def check_split_names(splits: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
    """Videos that stand in more than one split: an error each.

    Args:
        splits: Where the videos of each split come from (:func:`dataset_script.splits.video_key`), each once.
    """
    held: dict[str, list[str]] = defaultdict(list)
    for split, keys in splits.items():
        for key in keys:
            held[key].append(split)
    for key, where in sorted(held.items()):
        if len(where) > 1:
            told = " and ".join(sorted(where))
            why = f"frames of '{key}' stand in {told}; a video belongs to one split"
            yield Finding(ERROR, "video in two splits", key, told, why)


def check_near_duplicates(
    splits: Mapping[str, Mapping[str, Sequence[np.uint64 | None]]], near: float = NEAR
) -> Iterator[Finding]:
    """Videos of two splits that show the same.

    Args:
        splits: Hashes of each video (by its id) of each split, see :func:`glimpse`.
        near: Mean distance in bits up to which two videos count as the same.

    Yields:
        One warning per pair, since two videos may rightly show the same place.
    """
    for (split, videos), (other_split, others) in combinations(splits.items(), 2):
        names, theirs = list(videos), list(others)
        if not names or not theirs:
            continue
        table, known = _as_arrays([others[name] for name in theirs])
        for name in names:
            mine, seen = _as_arrays([videos[name]])
            both = known & seen  # [others, frames]
            bits = np.where(both, np.bitwise_count(table ^ mine), 0).sum(axis=1)
            compared = both.sum(axis=1)
            distance = np.where(compared >= LEAST_COMPARED, bits / np.maximum(compared, 1), np.inf)
            for index in np.flatnonzero(distance <= near):
                yield Finding(
                    WARNING,
                    "near-duplicate",
                    name,
                    f"{split} and {other_split}",
                    f"looks like '{theirs[index]}' of {other_split}: frames differ in {distance[index]:.1f} of 64 "
                    f"bits (up to {near:g} counts as the same)",
                )


def _as_arrays(hashes: Sequence[Sequence[np.uint64 | None]]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes as uint64 [videos, frames], and which of them there are."""
    known = np.array([[value is not None for value in row] for row in hashes])
    values = np.array([[0 if value is None else value for value in row] for row in hashes], dtype=np.uint64)
    return values, known
