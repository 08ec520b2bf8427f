"""Reader of OTB-like single-object-tracking sequences (OTB, UAV123, TLD, VOT with axis-aligned boxes and alike).

Home page: http://cvlab.hanyang.ac.kr/tracker_benchmark (OTB; no licence is stated).
Citation: Wu et al., "Object Tracking Benchmark", TPAMI 2015.

A sequence is a folder with a ``groundtruth*.txt`` (one ``x, y, w, h`` row per frame) beside its
frames: images in ``img/`` or in the folder itself, or one video file. A folder with several ground
truth files (OTB's *Jogging*) holds several targets on the same frames and gives one sequence each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_script.records import VideoRecord

from .frames import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_images
from .reading import Broken, contents, pick_splits, read_each
from .sequences import sequence_record

__all__ = ["IMAGE_SUFFIXES", "BoxSequence", "SequenceError", "list_images", "read_boxes", "read_otb", "read_sequences"]


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
    sequences = [sequence for folder in _sequence_folders(Path(directory)) for sequence in _read_folder(folder)]
    return sorted(sequences, key=lambda sequence: sequence.name)


def read_otb(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
             ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the sequences of a folder as records; targets on the same frames are one video.

    A target has no class name. Interactions are not annotated. A frame rate is stated by video files
    only; frame folders count as 30 frames per second, and ``metadata["fps_assumed"]`` says so.

    Args:
        data_dir: One sequence folder, or a folder of sequence folders.
        split: None: the source has no splits.
        broken: None to raise at the first broken sequence, or the list that collects them.

    Yields:
        One record per sequence folder, sorted by name.

    Raises:
        SequenceError: If there are no sequences.
        SourceError: If a sequence is broken and ``broken`` is None.
        ValueError: If ``split`` is not None.
    """
    pick_splits(split, {})
    root = Path(data_dir)

    def read(folder: Path) -> VideoRecord:
        targets = _read_folder(folder)
        tracks = {number: (None, target.boxes) for number, target in enumerate(targets, start=1)}
        return sequence_record(folder.resolve().name, targets[0].frames, root, tracks, source="otb")

    yield from read_each(_sequence_folders(root), read, broken, lambda folder: folder)


def _sequence_folders(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise SequenceError(f"sequences must be a folder, got '{directory}': give the folder that holds them")
    if _ground_truths(directory) or (directory / "img").is_dir():
        return [directory]
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and _looks_like_sequence(path))
    if not folders:
        raise SequenceError(
            f"no sequences found in '{directory}': expected folders with frames and a groundtruth*.txt, "
            f"found {contents(directory)}"
        )
    return folders


def _read_folder(folder: Path) -> list[BoxSequence]:
    truths = _ground_truths(folder)
    if not truths:
        raise SequenceError(f"no groundtruth*.txt in '{folder}': add one with a row x,y,w,h per frame")
    frames = _find_frames(folder)
    masks = folder / "mask" if (folder / "mask").is_dir() else None
    sequences = []
    for truth in truths:
        boxes = read_boxes(truth)
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


def read_boxes(truth: Path) -> np.ndarray:
    """The boxes of a ground truth file.

    Returns:
        float64 ``[N, 4]``, ``xywh`` in pixels as the file has them; a row of NaN where the target is absent.

    Raises:
        SequenceError: If the file is empty or a row is not a box.
    """
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
