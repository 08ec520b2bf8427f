"""Consistency of annotations: every check over every record, over the whole set, and the report.

The checks themselves: of one video in :mod:`dataset_script.record_checks`, of the rows of a SemTrack file in
:mod:`dataset_script.layout_checks`, of names in :mod:`dataset_script.spelling`, across splits in
:mod:`dataset_script.duplicates`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_script import media
from dataset_script.duplicates import check_near_duplicates, check_split_names, glimpse
from dataset_script.findings import ERROR, WARNING, Finding
from dataset_script.record_checks import check_record
from dataset_script.records import VideoRecord
from dataset_script.spelling import check_spelling
from dataset_script.splits import published_split, video_key
from dataset_script.statistics import DatasetStatistics

WIDEST_CELL = 78  # letters of a column of the table


class Validation:
    """Takes records one at a time, checks them, and keeps what the checks of the whole set need.

    Args:
        videos: Folder of the videos that the records' file names are relative to; None leaves the videos alone.

    Attributes:
        findings: What was found so far.
        statistics: Counts of the records so far.
    """

    def __init__(self, videos: Path | None = None) -> None:
        self.videos = videos
        self.findings: list[Finding] = []
        self.statistics = DatasetStatistics()
        self._names: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in ("category", "interaction")}
        self._splits: dict[str, set[str]] = defaultdict(set)
        self._seen: set[str] = set()  # files that were looked at
        self._hashes: dict[str, dict[str, Sequence[np.uint64 | None]]] = defaultdict(dict)

    def add(self, record: VideoRecord, split: str | None = None) -> None:
        """Checks one video.

        Args:
            record: The video.
            split: The split it belongs to where the record itself does not say.
        """
        split = self._published(record) or split
        self.findings += check_record(record)
        self.statistics.add(record, split)
        for target in record.targets:
            if target.category:
                self._names["category"][target.category].add(record.source)
        for event in record.interactions or ():
            self._names["interaction"][event.interaction].add(record.source)
        if split:
            self._splits[split].add(video_key(record))
        if self.videos is not None and record.file_name not in self._seen:
            self._seen.add(record.file_name)
            self._look(record, split)

    def _published(self, record: VideoRecord) -> str | None:
        try:
            return published_split(record)
        except ValueError as error:
            self.findings.append(Finding(ERROR, "split name", record.video_id, "metadata", str(error)))
            return None

    def add_unreadable(self, where: str, why: str) -> None:
        """Notes an entry of a source that could not be made a record.

        Args:
            where: File and position.
            why: What was wrong with it.
        """
        self.findings.append(Finding(ERROR, "unreadable", "", where, why))

    def _look(self, record: VideoRecord, split: str | None) -> None:
        """Compares a video with its record, and hashes it."""
        path = self.videos / record.file_name
        try:
            seen = glimpse(path, record.num_frames)
        except (media.VideoError, OSError) as error:
            self.findings.append(Finding(ERROR, "video missing", record.video_id, record.file_name, str(error)))
            return
        if (seen.width, seen.height) != (record.width, record.height):
            why = f"the video is {seen.width}x{seen.height}, its annotation {record.width}x{record.height}"
            self.findings.append(Finding(ERROR, "frame size", record.video_id, record.file_name, why))
        if seen.missing is not None:
            why = f"the video has no frame {seen.missing}, but {record.num_frames} frames are annotated"
            self.findings.append(Finding(ERROR, "video too short", record.video_id, record.file_name, why))
        if split:
            self._hashes[split][record.video_id] = seen.hashes

    def finish(self) -> list[Finding]:
        """Checks the whole set, once all records are in; all findings, errors first."""
        self.findings += check_spelling(self._names)
        self.findings += check_split_names(self._splits)
        self.findings += check_near_duplicates(self._hashes)
        self.findings.sort(key=lambda finding: finding.severity)  # stable; "error" < "warning"
        return self.findings


def count_checks(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Number of errors and warnings of each check, in the order in which they come."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in findings:
        counts[finding.check][finding.severity] += 1
    return {check: {"errors": count[ERROR], "warnings": count[WARNING]} for check, count in counts.items()}


def to_report(findings: Sequence[Finding], videos: int, **facts: Any) -> dict[str, Any]:
    """The report as plain JSON types.

    Args:
        findings: What was found.
        videos: How many videos were checked.
        facts: What else belongs to the report: the files, what was mended, the statistics.
    """
    severities = Counter(finding.severity for finding in findings)
    return {
        **facts,
        "videos": videos,
        "errors": severities[ERROR],
        "warnings": severities[WARNING],
        "checks": count_checks(findings),
        "findings": [finding.to_dict() for finding in findings],
    }


def to_table(findings: Sequence[Finding], most: int) -> str:
    """The findings in words: how many of each check, and the first ones of each.

    Args:
        findings: What was found, errors first.
        most: Findings of each check that are written out.
    """
    shown: Counter[str] = Counter()
    rows = []
    for finding in findings:
        shown[finding.check] += 1
        if shown[finding.check] <= most:
            rows.append((finding.severity, finding.check, finding.video_id or "(set)", finding.where, finding.message))
    totals = [(check, str(n["errors"]), str(n["warnings"])) for check, n in count_checks(findings).items()]
    tables = [_columns(("check", "errors", "warnings"), totals)]
    tables += [_columns(("", "check", "video", "where", "what"), rows)] if rows else []
    left = len(findings) - len(rows)
    tables += [f"{left} more findings of the same checks; --output FILE writes all of them"] if left else []
    return "\n\n".join(tables)


def _columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns; all but the last are cut to :data:`WIDEST_CELL` letters."""
    cells = [tuple(_cut(cell) for cell in row[:-1]) + (row[-1],) for row in (tuple(header), *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths[:-1] + [0])).rstrip() for row in cells)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 3]}..."
