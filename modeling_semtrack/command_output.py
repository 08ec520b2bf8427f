"""What all commands share: checks of output files before the work starts, and progress bars."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from tqdm import tqdm

from .files import OutputError, atomic_path
from .video import OUTPUT_SUFFIXES

TIMELINE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class _NoErrors(Exception):
    """Ends a trial run of a writer, so that it leaves nothing."""


def check_outputs(video: str | None, **outputs: Path | None) -> None:
    """Everything about the names of outputs that would otherwise show when the work is done.

    Args:
        video: What is read.
        outputs: What will be written, by the name of its option.

    Raises:
        ValueError: If a file cannot be written, has a suffix that its writer does not know, is the video
            itself, or is named twice.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    suffixes = {"render": OUTPUT_SUFFIXES, "timeline": TIMELINE_SUFFIXES}
    for option, path in given.items():
        if option in suffixes and path.suffix.lower() not in suffixes[option]:
            raise ValueError(f"--{option} must be a name that ends in {', '.join(suffixes[option])}, got '{path}'")
        if is_same_file(path, video):
            raise ValueError(f"--{option} must not be the video itself, got '{path}'; choose another name")
        check_writable(path)
    for (one, path), (other, same) in combinations(given.items(), 2):
        if os.path.realpath(path) == os.path.realpath(same):
            raise ValueError(f"--{one} and --{other} must be two files, got '{path}' for both")


def is_same_file(path: Path, video: str | None) -> bool:
    return video is not None and path.exists() and os.path.exists(video) and path.samefile(video)


def check_writable(path: Path) -> None:
    with suppress(_NoErrors), atomic_path(path):
        raise _NoErrors


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists; one that files cannot be put into is refused."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = "is not writable" if nearest.is_dir() else "is a file"
        raise OutputError(f"cannot write to folder '{folder}': '{nearest}' {why}; choose another --output")
    return nearest


@contextmanager
def bar(total: int | None, unit: str, title: str) -> Iterator[Callable[[object], None]]:
    """A function that counts one step on a progress bar; the bar appears with the first one, on terminals only."""
    bars: list[tqdm] = []

    def tick(_: object) -> None:
        if not bars:
            bars.append(tqdm(total=total, unit=unit, desc=title, disable=None, file=sys.stderr))
        bars[0].update()

    try:
        yield tick
    finally:
        for bar in bars:
            bar.close()
