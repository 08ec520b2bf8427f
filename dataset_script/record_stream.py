"""The records of one source as a data set needs them: in splits, in order, with the paths of their videos."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_script.records import VideoRecord
from dataset_script.registry import read_records, source_named
from dataset_script.sources.frames import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dataset_script.sources.reading import Broken, SourceError, contents, expect_folder, tolerating
from dataset_script.splits import SPLITS, split_of

ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".rar"})


@dataclass(frozen=True)
class RecordStream:
    """Reads a source again and again, always in the same order, one record in memory at a time.

    Attributes:
        source: A key of :data:`dataset_script.registry.SOURCES`.
        data_dir: The folder (for ``"semtrack"`` also the file) of its annotations.
        videos: Whether each record must have its video.
        video_dir: Folder that the records' file names are relative to; None takes the source's own place
            in ``data_dir``.
        settled: Splits by video key that overrule those of the source, see :mod:`dataset_script.splits`.
        options: Further arguments of the source's reader.

    Raises:
        ValueError: If there is no such source.
        SourceError: If there is nothing at ``data_dir``.
    """

    source: str
    data_dir: Path
    videos: bool = True
    video_dir: Path | None = None
    settled: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source_named(self.source)
        if not self.data_dir.is_file():
            expect_folder(self.data_dir, f"the source '{self.source}'")

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that may hold videos."""
        published = source_named(self.source).splits
        return SPLITS if self.settled or not published else published

    def count(self, broken: list[Broken] | None) -> dict[str, int]:
        """Number of videos of each split that has any; reads everything once.

        Raises:
            SourceError: If a video or its annotation is broken and ``broken`` is None, or none is left.
        """
        counts = Counter(split_of(record, self.settled) for record, _ in self._usable(None, broken))
        if not counts:
            why = f"expected videos of '{self.source}', found none{f', {len(broken)} broken' if broken else ''}"
            raise SourceError(self.data_dir, why)
        return {split: counts[split] for split in SPLITS if counts[split]}

    def read(self, split: str, start: int = 0, stop: int | None = None,
             broken: list[Broken] | None = None) -> Iterator[tuple[VideoRecord, Path | None]]:  # fmt: skip
        """Yields a part of a split: each record and its video (None with ``videos=False``).

        Args:
            split: ``"train"``, ``"validation"`` or ``"test"``.
            start: Number of the first video of the split.
            stop: Number after the last one; None for all.
            broken: None to raise at the first broken one, or the list that collects them.
        """
        if not self.settled and split in source_named(self.source).splits:
            found = self._usable(split, broken)
        else:
            found = (pair for pair in self._usable(None, broken) if split_of(pair[0], self.settled) == split)
        return islice(found, start, stop)

    def _usable(self, split: str | None, broken: list[Broken] | None) -> Iterator[tuple[VideoRecord, Path | None]]:
        for record in read_records(self.source, self.data_dir, split, broken, **self.options):
            if not self.videos:
                yield record, None
                continue
            with tolerating(broken, f"video '{record.video_id}'"):
                yield record, self._video_of(record)

    def _video_of(self, record: VideoRecord) -> Path:
        path = self._folder_of_videos(record) / record.file_name
        if not path.exists():
            why = f"misses its file '{path}'; '{_existing(path)}' holds {contents(_existing(path))}"
            fix = "give video_dir=..., or videos=False for annotations alone"
            raise SourceError(f"video '{record.video_id}' of '{self.source}'", f"{why}; {fix}")
        return path

    def _folder_of_videos(self, record: VideoRecord) -> Path:
        if self.video_dir is not None:
            return self.video_dir
        root = self.data_dir.parent if self.data_dir.is_file() else self.data_dir
        if source_named(self.source).parts:
            return root / record.source / source_named(record.source).videos
        return root / source_named(self.source).videos


def contents_hash(path: Path) -> str:
    """A hash of which annotation files lie at a path, and of their sizes and times; videos are not looked at."""
    files = [path] if path.is_file() else _annotation_files(path)
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _annotation_files(folder: Path) -> Iterator[Path]:
    skipped = IMAGE_SUFFIXES | VIDEO_SUFFIXES | ARCHIVE_SUFFIXES
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if Path(name).suffix.lower() not in skipped:
                yield Path(place, name)


def _existing(path: Path) -> Path:
    """The nearest folder above a path that exists."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())
