"""Reader of OTB-like single-object-tracking sequences (OTB, GOT-10k, LaSOT, UAV123, TLD and alike).

A sequence is a folder with a ``groundtruth*.txt`` (one ``x, y, w, h`` row per frame) beside its
frames: images in ``img/`` or in the folder itself, or one video file. A folder with several ground
truth files (OTB's *Jogging*) holds several targets on the same frames and gives one sequence each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset({".mpg", ".mp4", ".avi", ".mkv", ".mov", ".webm"})


class SequenceError(ValueError):
    """A folder that is not a readable tracking sequence."""


@dataclass(frozen=True)
class BoxSequence:
    """One target in one video, with its box in every frame.

    Attributes:
        name: The folder's name; followed by ``-`` and the ground truth file's stem where the folder
            holds several targets.
        frames: Folder of the frame images (in the order of :func:`list_images`), or the video file.
        boxes: float64 ``[N, 4]``, ``xywh`` in pixels exactly as the file has them; a row of NaN
            where the target is absent. For a video file ``N`` is not compared with its length.
        masks: Folder of one target mask per frame (in the order of :func:`list_images`), or None.
    """

    name: str
    frames: Path
    boxes: np.ndarray
    masks: Path | None


def read_sequences(directory: str | Path) -> list[BoxSequence]:
    """Reads one sequence folder, or a folder of sequence folders.

    Subfolders that hold neither ground truth nor frames are passed over.

    Args:
        directory: The folder.

    Returns:
        The sequences, sorted by name.

    Raises:
        SequenceError: If there are no sequences, or one has no ground truth, no frames, a row that
            is not a box, or not one row (and mask) per frame.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise SequenceError(f"sequences must be a folder, got '{directory}': give the folder that holds them")
    if _ground_truths(directory) or (directory / "img").is_dir():
        folders = [directory]
    else:
        folders = [path for path in directory.iterdir() if path.is_dir() and _looks_like_sequence(path)]
    if not folders:
        raise SequenceError(f"no sequences found in '{directory}': expected folders with frames and a groundtruth*.txt")
    sequences = [sequence for folder in folders for sequence in _read_folder(folder)]
    return sorted(sequences, key=lambda sequence: sequence.name)


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder, but for hidden files, by their numbers (``2.jpg`` before ``10.jpg``)."""
    images = (path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in images if not path.name.startswith(".")), key=_natural_order)


def _natural_order(path: Path) -> list[tuple[str, int]]:
    return [(text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d*)", path.name)]


def _read_folder(folder: Path) -> list[BoxSequence]:
    truths = _ground_truths(folder)
    if not truths:
        raise SequenceError(f"no groundtruth*.txt in '{folder}': add one with a row x,y,w,h per frame")
    frames = _find_frames(folder)
    masks = folder / "mask" if (folder / "mask").is_dir() else None
    sequences = []
    for truth in truths:
        boxes = _read_boxes(truth)
        if frames.is_dir():
            _check_count(truth, len(boxes), frames)
        if masks is not None:
            _check_count(truth, len(boxes), masks)
        name = folder.resolve().name if len(truths) == 1 else f"{folder.resolve().name}-{truth.stem}"
        sequences.append(BoxSequence(name, frames, boxes, masks))
    return sequences


def _ground_truths(folder: Path) -> list[Path]:
    return sorted(folder.glob("groundtruth*.txt"))


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)


def _looks_like_sequence(folder: Path) -> bool:
    return bool(_ground_truths(folder) or (folder / "img").is_dir() or _videos(folder) or list_images(folder))


def _find_frames(folder: Path) -> Path:
    for candidate in (folder / "img", folder):
        if candidate.is_dir() and list_images(candidate):
            return candidate
    videos = _videos(folder)
    if len(videos) != 1:
        raise SequenceError(
            f"no frames in '{folder}': expected images in img/ or beside the ground truth, or one video "
            f"file, got {len(videos)} video files"
        )
    return videos[0]


def _check_count(truth: Path, rows: int, images: Path) -> None:
    count = len(list_images(images))
    if rows != count:
        raise SequenceError(
            f"'{truth}' has {rows} rows but '{images}' has {count} images: there must be one row per image"
        )


def _read_boxes(truth: Path) -> np.ndarray:
    lines = truth.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
    if not lines:
        raise SequenceError(f"'{truth}' is empty: expected a row x,y,w,h per frame")
    return np.array([_read_row(truth, number, line) for number, line in enumerate(lines, start=1)])


def _read_row(truth: Path, number: int, line: str) -> list[float]:
    """The box of one line; NaN where the target is absent (NaN, or LaSOT's box of zero size)."""
    try:
        row = [float(value) for value in re.split(r"[,\s]+", line.strip())]
    except ValueError:
        row = []
    if len(row) != 4:
        raise SequenceError(f"'{truth}', line {number}: expected 4 numbers x,y,w,h or 4 NaN, got {line!r}")
    if np.isnan(row).all() or row[2] == 0 or row[3] == 0:
        return [np.nan] * 4
    if not np.isfinite(row).all() or row[2] < 0 or row[3] < 0:
        raise SequenceError(f"'{truth}', line {number}: expected finite x,y,w,h with w,h >= 0 or 4 NaN, got {line!r}")
    return row
