"""UT-Interaction: six interactions of two people (SDHA 2010 contest), from one static camera.

Home page: https://cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html. Free for research.
Citation: Ryoo and Aggarwal, "UT-Interaction Dataset, ICPR contest on Semantic Description of Human Activities",
2010.

Folder, one of two layouts:

* per frame: one clip per interaction with the boxes of both persons, in the SemTrack layout ::

    data_dir/annotations/ut_interaction_set1.json
             annotations/labels_set1.csv             the spreadsheet's rows, one per clip, in the clips' order
             videos/set1/0_1_4.avi ...

* as published: the uncut sequences and the spreadsheet, whose sheets are saved as CSV ::

    data_dir/labels_set1.csv                         labels_set2.csv for the second sheet
             ut-interaction_set1/seq1.avi ...

Columns of the spreadsheet: ``sequence`` (seq1), ``class_id`` (0 hand-shake, 1 hug, 2 kick, 3 point, 4 punch, 5
push), ``start_frame`` and ``end_frame`` (inclusive), ``x1, y1, x2, y2`` around both persons, and, where it was
added, ``main_actor`` (0 left, 1 right, -1 both). It names no person's own box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord

from .frames import probe
from .reading import (
    Broken,
    Cell,
    SourceError,
    contents,
    expect_folder,
    integer,
    name,
    number,
    parse_row,
    pick_splits,
    read_each,
    read_rows,
    tolerating,
)
from .semtrack import read_semtrack_folder

SOURCE = "ut_interaction"
CLASSES = ("handshake", "hug", "kick", "point", "punch", "push")
WITHOUT_OBJECT = "point"
PUBLISHED: dict[str, Cell] = {
    "sequence": name,
    "class_id": integer(0, len(CLASSES) - 1),
    "start_frame": integer(0),
    "end_frame": integer(0),
    "x1": number(),
    "y1": number(),
    "x2": number(),
    "y2": number(),
}
COLUMNS = {**PUBLISHED, "main_actor": integer(-1, 1)}


def read_ut_interaction(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
                        ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the clips (per-frame layout), or the uncut sequences (published layout).

    A clip must agree with its row of the spreadsheet, where that is there: sequence, class and length of
    the interval. ``metadata["sequence"]`` groups clips for leave-one-sequence-out evaluation.

    In an uncut sequence every interaction has its own two tracks without boxes (no frame is annotated with
    persons' boxes); the box around both, xywh, is in ``metadata["pair_boxes"]``, in the events' order.

    Args:
        data_dir: The folder; see above.
        split: None: the source has no splits.
        broken: None to raise at the first broken clip or row, or the list that collects them.

    Raises:
        SourceError: If the folder is not UT-Interaction, or (with ``broken`` None) an entry is broken.
        ValueError: If ``split`` is not None.
    """
    pick_splits(split, {})
    what = "UT-Interaction (annotations/ut_interaction_set*.json, or labels_set*.csv)"
    root = expect_folder(data_dir, what)
    annotations = sorted(root.glob("annotations/ut_interaction_set*.json"))
    labels = sorted(root.glob("labels_set*.csv"))
    if not annotations and not labels:
        raise SourceError(root, f"expected {what}, found {contents(root)}; give the folder that holds them")
    for path in annotations:
        yield from _clips(path, root, broken)
    for path in labels if not annotations else ():
        yield from _sequences(path, root, broken)


class LabelRow(NamedTuple):
    """One row of the spreadsheet.

    Attributes:
        where: File and line.
        number: 0-based, without the header.
        cells: Values by column.
    """

    where: str
    number: int
    cells: dict[str, Any]


def read_labels(path: str | Path, broken: list[Broken] | None = None) -> Iterator[LabelRow]:
    """The rows of the spreadsheet.

    Raises:
        SourceError: If the file is missing, its header names other columns, or (with ``broken`` None) a row
            does not fit or ends before it starts.
    """
    rows = read_rows(path)
    header = next(rows, None)
    columns = next((c for c in (COLUMNS, PUBLISHED) if header is not None and header.cells == list(c)), None)
    if columns is None:
        got = "nothing" if header is None else ",".join(header.cells)
        raise SourceError(f"'{path}', line 1", f"expected the header {','.join(COLUMNS)}, got {got}")
    for index, row in enumerate(rows):
        with tolerating(broken, row.where):
            cells = parse_row(row, columns)
            for low, high in (("start_frame", "end_frame"), ("x1", "x2"), ("y1", "y2")):
                if cells[low] > cells[high]:
                    raise SourceError(row.where, f"expected {low} <= {high}, got {cells[low]:g} and {cells[high]:g}")
            yield LabelRow(row.where, index, cells)


def _clips(path: Path, root: Path, broken: list[Broken] | None) -> Iterator[VideoRecord]:
    labels = path.with_name(path.name.replace("ut_interaction_", "labels_").replace(".json", ".csv"))
    rows = {row.number: row for row in read_labels(labels, broken)} if labels.is_file() else {}

    def read(record: VideoRecord) -> VideoRecord:
        if rows:
            _compare(record, rows)
        return replace(record, source=SOURCE, file_name=f"videos/{record.file_name}")

    clips = read_semtrack_folder(path, broken=broken)
    yield from read_each(clips, read, broken, lambda record: f"'{path}', video {record.video_id}")


def _compare(record: VideoRecord, rows: Mapping[int, LabelRow]) -> None:
    """Checks a clip, named ``<set>/<row>_<sequence>_<class>``, against the spreadsheet."""
    text = record.video_id.rpartition("/")[2].split("_")[0]
    row = rows.get(int(text)) if text.isdecimal() else None
    if row is None:
        raise ValueError(f"clip '{record.video_id}' has no sound row in the spreadsheet, which has {len(rows)}")
    cells = row.cells
    said = (cells["sequence"], CLASSES[cells["class_id"]], cells["end_frame"] + 1 - cells["start_frame"])
    sequence = record.metadata.get("sequence")
    found = [(sequence, e.interaction, e.end_frame - e.start_frame) for e in record.interactions or ()]
    if found != [said]:
        raise SourceError(row.where, f"says {said} (sequence, class, frames), but clip '{record.video_id}' has {found}")


def _sequences(path: Path, root: Path, broken: list[Broken] | None) -> Iterator[VideoRecord]:
    part = path.stem.removeprefix("labels_")
    rows = sorted((row.cells for row in read_labels(path, broken)), key=_order)
    sequences = [(sequence, list(group)) for sequence, group in groupby(rows, key=lambda cells: cells["sequence"])]

    def read(entry: tuple[str, list[dict[str, Any]]]) -> VideoRecord:
        return _sequence(root / f"ut-interaction_{part}" / f"{entry[0]}.avi", root, part, entry[1])

    yield from read_each(sequences, read, broken, lambda entry: f"'{path}', sequence {entry[0]}")


def _order(cells: Mapping[str, Any]) -> tuple[int, str, int]:
    return len(cells["sequence"]), cells["sequence"], cells["start_frame"]


def _sequence(video: Path, root: Path, part: str, rows: list[dict[str, Any]]) -> VideoRecord:
    info = probe(video)
    targets, events = [], []
    for row in rows:
        label, subject = CLASSES[row["class_id"]], len(targets) + 1
        other = None if label == WITHOUT_OBJECT else subject + 1
        targets.append(TargetRecord(subject, "person", {}, True))
        targets += [] if other is None else [TargetRecord(other, "person", {}, False)]
        events.append(InteractionRecord(subject, label, other, row["start_frame"], row["end_frame"] + 1))
    return VideoRecord(
        video_id=f"{part}/{video.stem}",
        file_name=video.relative_to(root).as_posix(),
        width=info.width,
        height=info.height,
        fps=info.fps,
        num_frames=info.count,
        targets=targets,
        interactions=events,
        prompt=None,
        source=SOURCE,
        metadata={
            "sequence": video.stem,
            "pair_boxes": [[r["x1"], r["y1"], r["x2"] - r["x1"], r["y2"] - r["y1"]] for r in rows],
        },
        annotated_frames=(),
    )
