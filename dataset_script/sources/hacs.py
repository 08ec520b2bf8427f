"""HACS: actions of 200 classes in YouTube videos, as segments and as two-second clips; no boxes.

Home: http://hacs.csail.mit.edu, https://github.com/hangzhaomit/HACS-dataset. Licence: BSD-3-Clause for the
annotations; the videos keep YouTube's terms.

Folder, after ``HACS_v1.1.1.zip`` is unpacked; one of the two files is enough::

    data_dir/HACS_segments_v1.1.1.json           50,000 videos, each action from start to end
    data_dir/HACS_clips_v1.1.1.csv               1.55 million clips of 2 s in 504,000 videos
    data_dir/videos/Dodgeball/v_--0edUL8zmA.mp4  what a record's file_name is relative to: videos/

Neither says how large the frames are, so sizes come from the video files, which must be there (or in ``sizes``).
Nobody says who acts: a record has no targets, no annotated frames, and ``interactions`` is None. It serves to train
what tells actions of whole clips apart (semantic pre-training), from ``metadata``:

* ``segments``: ``{label, start, end}`` in seconds, all actions of the video; None where they are not annotated.
* ``clips``: ``{label, start, end, positive}`` in seconds; a negative clip does not show the action that it was
  proposed for, and other times of the video are unknown.

The segments file (text only) is held whole, the clips are read video by video.

Zhao, Torralba, Torresani, Yan: HACS: Human Action Clips and Segments Dataset for Recognition and Temporal
Localization. ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataset_script.records import VideoRecord

from .frames import FrameInfo, probe
from .reading import (
    Broken,
    Row,
    SourceError,
    check_header,
    contents,
    expect_folder,
    listed,
    name,
    number,
    parse_row,
    pick_splits,
    read_each,
    read_json,
    value,
)
from .row_groups import RowGroups

SOURCE = "hacs"
WHAT = "HACS_segments_v*.json or HACS_clips_v*.csv"
SUBSETS = {"train": "training", "validation": "validation", "test": "testing"}
SPLITS = {subset: split for split, subset in SUBSETS.items()}


def _subset(text: str) -> str:
    if text not in SPLITS:
        raise ValueError(f"expected a subset ({listed(SPLITS)})")
    return text


def _sign(text: str) -> bool:
    if text not in ("1", "-1"):
        raise ValueError("expected 1 or -1")
    return text == "1"


COLUMNS = {
    "classname": name,
    "youtube_id": name,
    "subset": _subset,
    "start": number(0),
    "end": number(0),
    "label": _sign,
}


def read_hacs(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
              sizes: Mapping[str, FrameInfo] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by id.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, ``"test"``, or None for all.
        broken: None to raise on the first broken video, or the list that collects them.
        sizes: Sizes of the videos by id; None to look them up in ``data_dir/videos``.

    Raises:
        SourceError: If the folder is not HACS, or (with ``broken`` None) an entry or video file is broken or
            missing.
    """
    folder = expect_folder(data_dir, WHAT)
    wanted = pick_splits(split, SUBSETS).values()
    files = _Files(folder, sizes)
    records = read_each(files.ids(), partial(files.record, subsets=wanted), broken, files.place)
    yield from (record for record in records if record is not None)


class _Files:
    """The two files, of which one may be missing."""

    def __init__(self, folder: Path, sizes: Mapping[str, FrameInfo] | None) -> None:
        self.folder, self.sizes = folder, sizes
        segments, clips = _only(folder, "HACS_segments_v*.json"), _only(folder, "HACS_clips_v*.csv")
        if segments is None and clips is None:
            raise SourceError(folder, f"expected {WHAT}, found {contents(folder)}; give the unpacked folder")
        self.segments_path, self.segments = segments, {}
        if segments is not None:
            self.segments = value(read_json(segments), "database", dict, segments)
        self.clips = None if clips is None else RowGroups(clips, column=1, header=True)
        if self.clips is not None:
            check_header(self.clips.header, COLUMNS)

    def ids(self) -> list[str]:
        return sorted({*self.segments, *(self.clips or ())})

    def place(self, video: str) -> str:
        return f"'{self.folder}', video '{video}'"

    def record(self, video: str, subsets: Collection[str]) -> VideoRecord | None:
        """The record of a video, or None where it is in none of the subsets."""
        rows = [] if self.clips is None else self.clips.rows(video)
        clips = [(row, parse_row(row, COLUMNS)) for row in rows]
        where = clips[0][0].where if clips else f"'{self.segments_path}', video '{video}'"
        entry = self.segments.get(video)
        names = {cells["subset"] for _, cells in clips} | ({_entry_subset(entry, where)} if entry else set())
        if len(names) > 1:
            raise SourceError(where, f"expected video {video!r} in one subset, got {listed(sorted(names))}")
        (subset,) = names
        if subset not in subsets:
            return None
        metadata = {
            "split": SPLITS[subset],
            "segments": _segments(entry, f"'{self.segments_path}', video '{video}'", subset),
            "clips": [_clip(row, cells) for row, cells in clips],
        }
        return self._record(video, metadata, where)

    def _record(self, video: str, metadata: dict[str, Any], where: str) -> VideoRecord:
        labels = [event["label"] for event in (*(metadata["segments"] or ()), *metadata["clips"])]
        folder = f"{labels[0].replace(' ', '_')}/" if labels else ""
        file_name = f"{folder}v_{video}.mp4"
        if self.sizes is not None and video not in self.sizes:
            raise SourceError(where, f"expected the size of video {video!r} in sizes, which has {listed(self.sizes)}")
        info = probe(self.folder / "videos" / file_name) if self.sizes is None else self.sizes[video]
        return VideoRecord(
            video_id=video,
            file_name=file_name,
            width=info.width,
            height=info.height,
            fps=info.fps,
            num_frames=info.count,
            targets=[],
            interactions=None,
            prompt=None,
            source=SOURCE,
            metadata=metadata,
            annotated_frames=(),
        )


def _only(folder: Path, pattern: str) -> Path | None:
    paths = sorted(folder.glob(pattern))
    if len(paths) > 1:
        raise SourceError(folder, f"expected one version, found {listed([p.name for p in paths])}; keep one")
    return paths[0] if paths else None


def _entry_subset(entry: Mapping[str, Any], where: str) -> str:
    subset = value(entry, "subset", str, where)
    if subset not in SPLITS:
        raise SourceError(where, f"expected a subset ({listed(SPLITS)}), got {subset!r}")
    return subset


def _segments(entry: Mapping[str, Any] | None, where: str, subset: str) -> list[dict[str, Any]] | None:
    """The segments of a video; None where there are no annotations, or they are withheld (test)."""
    if entry is None or (subset == SUBSETS["test"] and not entry.get("annotations")):
        return None
    rows = value(entry, "annotations", list, where)
    return [_segment(row, f"{where}, annotations[{i}]") for i, row in enumerate(rows)]


def _segment(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    segment = value(row, "segment", list, where)
    numbers = len(segment) == 2 and all(isinstance(second, (int, float)) for second in segment)
    if not numbers or not 0 <= segment[0] < segment[1]:
        raise SourceError(where, f"expected segment as [start, end] in seconds, 0 <= start < end, got {segment}")
    return {"label": value(row, "label", str, where), "start": float(segment[0]), "end": float(segment[1])}


def _clip(row: Row, cells: Mapping[str, Any]) -> dict[str, Any]:
    if not cells["start"] < cells["end"]:
        raise SourceError(row.where, f"expected start < end, got {cells['start']}, {cells['end']}")
    times = {"start": cells["start"], "end": cells["end"]}
    return {"label": cells["classname"], **times, "positive": cells["label"]}
