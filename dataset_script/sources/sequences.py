"""What the readers of single-object-tracking sets share: flags, .ini files and the record of a sequence."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_script.records import TargetRecord, VideoRecord

from .frames import FrameInfo, probe
from .reading import SourceError, listed, open_text

NOMINAL_FPS = 30.0  # of frame folders whose source states no rate


def sequence_record(name: str, frames: Path, root: Path, tracks: Mapping[int, tuple[str | None, np.ndarray]], *,
                    source: str, info: FrameInfo | None = None, fps: float | None = None, prompt: str | None = None,
                    metadata: Mapping[str, Any] | None = None) -> VideoRecord:  # fmt: skip
    """The record of one tracking sequence: main targets, boxes, interactions unknown.

    Args:
        name: Becomes the ``video_id``.
        frames: Folder of images, or video file; must lie in ``root``.
        root: What the record's ``file_name`` is relative to.
        tracks: Category and boxes by track id; boxes are ``[N, 4]`` xywh pixels with a row of NaN where
            the target is absent. One row for a longer video means that only its first frame is annotated.
            In a video file, ``N`` is the number of frames.
        source: Name of the data set.
        info: Sizes of the frames where the source states them; probed otherwise.
        fps: Frame rate where the source states it; a video file's own, or 30 (then
            ``metadata["fps_assumed"]`` is True), otherwise.
        prompt: A sentence about the target.
        metadata: See :class:`VideoRecord`.

    Raises:
        SourceError: If the frames cannot be probed, or there is not one row per image.
    """
    info = info or probe(frames)
    rows = {len(boxes) for _, boxes in tracks.values()}
    count = info.count if frames.is_dir() else max(rows)
    first_only = rows == {1} and count > 1
    if not first_only and rows != {count}:
        raise SourceError(frames, f"has {count} images but {max(rows)} rows of ground truth: there must be one each")
    rate = fps or info.fps
    return VideoRecord(
        video_id=name,
        file_name=frames.relative_to(root).as_posix(),
        width=info.width,
        height=info.height,
        fps=rate or NOMINAL_FPS,
        num_frames=count,
        targets=[TargetRecord(track, category, visible(boxes), True) for track, (category, boxes) in tracks.items()],
        interactions=None,
        prompt=prompt,
        source=source,
        metadata={**(metadata or {}), **({} if rate else {"fps_assumed": True})},
        annotated_frames=(0,) if first_only else None,
    )


def visible(boxes: np.ndarray) -> dict[int, tuple[float, ...]]:
    """Boxes by frame, without the frames whose row is NaN."""
    return {frame: tuple(box) for frame, box in enumerate(boxes.tolist()) if not np.isnan(box).any()}


def read_flags(path: Path, count: int) -> np.ndarray:
    """Reads one 0 or 1 per frame, separated by commas or lines.

    Args:
        path: The file.
        count: How many there must be.

    Returns:
        bool ``[count]``.

    Raises:
        SourceError: If there are more or fewer, or something else than 0 and 1.
    """
    cells = re.split(r"[,\s]+", path.read_text(encoding="utf-8-sig", errors="replace").strip())
    wrong = next((number for number, cell in enumerate(cells, start=1) if cell not in ("0", "1")), None)
    if wrong is not None:
        raise SourceError(f"'{path}', entry {wrong}", f"expected 0 or 1, got {cells[wrong - 1]!r}")
    if len(cells) != count:
        raise SourceError(path, f"expected {count} entries of 0 or 1, one per row of ground truth, got {len(cells)}")
    return np.array(cells) == "1"


def absent_where(boxes: np.ndarray, *flags: Path) -> np.ndarray:
    """Boxes ``[N, 4]`` with NaN wherever one of the flag files that exist says 1."""
    boxes = boxes.copy()
    for path in flags:
        if path.is_file():
            boxes[read_flags(path, len(boxes))] = np.nan
    return boxes


def read_section(path: Path, section: str) -> dict[str, str]:
    """Reads one section of an ``.ini`` file, its keys in lower case.

    Raises:
        SourceError: If the file is missing, is no such file, or has no such section.
    """
    parser = configparser.ConfigParser(interpolation=None)
    with open_text(path) as file:
        try:
            parser.read_file(file)
            return dict(parser[section])
        except KeyError:
            why = f"expected a section [{section}], found {listed(parser.sections()) or 'none'}"
            raise SourceError(path, why) from None
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SourceError(path, f"not a readable .ini file: {' '.join(str(error).split())}") from error
