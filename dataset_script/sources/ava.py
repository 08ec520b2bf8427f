"""AVA (Actions v2): people and their atomic actions in 299 films, one key frame a second.

Home: https://research.google.com/ava/; videos: https://github.com/cvdfoundation/ava-dataset. Licence: CC BY 4.0 for
the annotations; the videos keep their own.

Folder::

    data_dir/ava_train_v2.2.csv, ava_val_v2.2.csv                v2.1 or later: rows end with a person id
    data_dir/ava_action_list_v2.2.pbtxt                          names of the 80 actions
    data_dir/ava_file_names_trainval_v2.1.txt
    data_dir/ava_train_excluded_timestamps_v2.2.csv              optional, also for val
    data_dir/videos/1j20qq1JyX4.mp4                              what a record's file_name is relative to

A row is ``video, second, x1, y1, x2, y2, action, person`` with corners as fractions of the frame, or just ``video,
second`` where nobody is there. So sizes and frame rates come from the video files, which must be there (or in
``sizes``). The tables are read video by video.

What a record says:

* ``targets``: the persons; a box in each key frame. Other frames are unknown: see ``annotated_frames``, which
  holds the seconds that have a row and are not excluded.
* ``interactions``: each action of a person. Each key frame stands for the second around it (half a second to
  either side), and consecutive ones join to one interval. Most need an object or another person, but AVA does not
  say which: ``object`` is None.
* Before, between and after the key frames (a film is annotated from second 902 to 1,798) actions are as unknown
  as boxes: ``metadata["annotated_intervals"]`` lists the frames ``[start, end)`` for which they are known.

Gu et al.: AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions. CVPR 2018.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataset_script.records import Box, InteractionRecord, TargetRecord, VideoRecord

from .frames import FrameInfo, probe
from .reading import (
    Broken,
    Row,
    SourceError,
    expect_files,
    expect_folder,
    integer,
    listed,
    name,
    number,
    open_text,
    parse_row,
    pick_splits,
    read_each,
    read_table,
)
from .row_groups import RowGroups

SOURCE = "ava"
WHAT = "the tables of AVA"
TABLES = {"train": "ava_train_v*.csv", "validation": "ava_val_v*.csv"}
EXCLUDED = {"train": "ava_train_excluded_timestamps_v*.csv", "validation": "ava_val_excluded_timestamps_v*.csv"}
COLUMNS = {
    "video": name,
    "second": integer(0),
    "x1": number(0, 1),
    "y1": number(0, 1),
    "x2": number(0, 1),
    "y2": number(0, 1),
    "action": integer(1),
    "person": integer(0),
}
NOBODY = 2  # cells of a row for a second in which there is nobody
ACTION = re.compile(r'(?:item|label)\s*\{\s*name:\s*"([^"]*)"\s*(?:label_)?id:\s*(\d+)')


def read_ava(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
             sizes: Mapping[str, FrameInfo] | None = None,
             first_second: float = 0.0) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by split and id, the rows of one video in memory at a time.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, or None for all that are there.
        broken: None to raise on the first broken video, or the list that collects them.
        sizes: Sizes of the videos by id; None to look them up in ``data_dir/videos``.
        first_second: Second of the film at which its file begins: 900 for the customary 15-minute cuts.

    Raises:
        SourceError: If the folder is not AVA, or (with ``broken`` None) a row, an action, a video file is
            broken or missing.
    """
    folder = expect_folder(data_dir, WHAT)
    tables = {n: sorted(folder.glob(pattern)) for n, pattern in pick_splits(split, TABLES).items()}
    if not any(tables.values()):
        expect_files(folder, " or ".join(pick_splits(split, TABLES).values()), WHAT)
    films = _Films(_file_names(folder), _actions(folder), folder / "videos", sizes, first_second)
    for n, paths in tables.items():
        for path in _only(paths):
            groups = RowGroups(path)
            read = partial(_read_video, groups=groups, films=films, split=n, excluded=_excluded(folder, n))
            yield from read_each(groups, read, broken, lambda video, path=path: f"'{path}', video '{video}'")


@dataclass(frozen=True)
class _Films:
    """What all tables share."""

    files: Mapping[str, str]
    actions: Mapping[int, str]
    folder: Path
    sizes: Mapping[str, FrameInfo] | None
    first_second: float

    def size(self, video: str, where: str) -> FrameInfo:
        if self.sizes is None:
            return probe(self.folder / self.file(video, where))
        if video not in self.sizes:
            raise SourceError(where, f"expected the size of video {video!r} in sizes, which has {listed(self.sizes)}")
        return self.sizes[video]

    def file(self, video: str, where: str) -> str:
        if video not in self.files:
            raise SourceError(where, f"video {video!r} points nowhere: ava_file_names_trainval does not list it")
        return self.files[video]

    def frame(self, second: float, info: FrameInfo) -> int:
        return math.floor((second - self.first_second) * info.fps + 0.5)


def _read_video(video: str, groups: RowGroups, films: _Films, split: str,
                excluded: Mapping[str, set[int]]) -> VideoRecord:  # fmt: skip
    rows = groups.rows(video)
    info = films.size(video, rows[0].where)
    labels = _Labels()
    for row in rows:
        labels.add(row, films, info, excluded.get(video, ()))
    interval = partial(_interval, films=films, info=info)
    return VideoRecord(
        video_id=video,
        file_name=films.file(video, rows[0].where),
        width=info.width,
        height=info.height,
        fps=info.fps,
        num_frames=info.count,
        targets=[TargetRecord(person, "person", boxes, main=False) for person, boxes in sorted(labels.boxes.items())],
        interactions=[
            InteractionRecord(person, films.actions[action], None, *interval(*run))
            for (person, action), seconds in sorted(labels.actions.items())
            for run in _runs(seconds)
        ],
        prompt=None,
        source=SOURCE,
        metadata={"split": split, "annotated_intervals": [interval(*run) for run in _runs(labels.seconds)]},
        annotated_frames=tuple(films.frame(second, info) for second in sorted(labels.seconds)),
    )


class _Labels:
    """What the rows of one video say.

    Attributes:
        seconds: The annotated ones.
        boxes: By person and frame.
        actions: Seconds by person and id of the action.
    """

    def __init__(self) -> None:
        self.seconds: set[int] = set()
        self.boxes: dict[int, dict[int, Box]] = defaultdict(dict)
        self.actions: dict[tuple[int, int], set[int]] = defaultdict(set)

    def add(self, row: Row, films: _Films, info: FrameInfo, excluded: Collection[int]) -> None:
        """Takes in a row, unless its second is excluded."""
        cells = parse_row(_without_empty_cells(row), COLUMNS, short=(NOBODY,))
        second, person, action = cells["second"], cells["person"], cells["action"]
        if second in excluded:
            return
        self.seconds.add(second)
        frame = _key_frame(films, info, second, row)
        if person is None:
            return
        box = _box(cells, info, row)
        if self.boxes[person].setdefault(frame, box) != box:
            raise SourceError(row.where, f"expected one box of person {person} in second {second}, got two")
        if action not in films.actions:
            raise SourceError(row.where, f"action {action} points nowhere: the lists have {listed(films.actions)}")
        self.actions[person, action].add(second)


def _without_empty_cells(row: Row) -> Row:
    """A row of empty cells after the second means what a row without them means."""
    return row._replace(cells=row.cells[:NOBODY]) if not any(row.cells[NOBODY:]) else row


def _key_frame(films: _Films, info: FrameInfo, second: int, row: Row) -> int:
    frame = films.frame(second, info)
    if not 0 <= frame < info.count:
        length = info.count / info.fps
        why = f"second {second} lies outside the video file, which has {length:.0f} s from {films.first_second:g} on"
        raise SourceError(row.where, f"{why}; is it the whole film, or a cut (first_second)?")
    return frame


def _box(cells: Mapping[str, Any], info: FrameInfo, row: Row) -> Box:
    left, top, right, bottom = (cells[corner] for corner in ("x1", "y1", "x2", "y2"))
    if not (left < right and top < bottom):
        corners = [left, top, right, bottom]
        raise SourceError(row.where, f"expected corners x1 < x2, y1 < y2, got {corners}; is a column shifted?")
    width, height = info.width, info.height
    return left * width, top * height, (right - left) * width, (bottom - top) * height


def _interval(first: int, last: int, films: _Films, info: FrameInfo) -> list[int]:
    """Frames ``[start, end)`` for which the key frames of the seconds ``first`` to ``last`` stand."""
    start, end = films.frame(first - 0.5, info), films.frame(last + 0.5, info)
    return [max(start, 0), min(end, info.count)]


def _runs(seconds: Iterable[int]) -> list[tuple[int, int]]:
    """First and last second of each run of consecutive seconds."""
    runs: list[tuple[int, int]] = []
    for second in sorted(seconds):
        if runs and second == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], second)
        else:
            runs.append((second, second))
    return runs


def _only(paths: list[Path]) -> list[Path]:
    if len(paths) > 1:
        raise SourceError(paths[0].parent, f"expected one version, found {listed([p.name for p in paths])}; keep one")
    return paths


def _file_names(folder: Path) -> dict[str, str]:
    """File name by video id."""
    (path,) = _only(expect_files(folder, "ava_file_names_trainval_v*.txt", "the list of AVA's file names"))
    with open_text(path) as file:
        names = [line.strip() for line in file]
    return {Path(n).stem: n for n in names if n}


def _actions(folder: Path) -> dict[int, str]:
    """Name by id from all lists of actions that are there: the one of 80 and the one of the evaluated 60."""
    actions: dict[int, str] = {}
    for path in expect_files(folder, "ava_action_list_v*.pbtxt*", "the list of AVA's actions"):
        with open_text(path) as file:
            found = {int(id_): action for action, id_ in ACTION.findall(file.read())}
        if not found:
            raise SourceError(path, 'expected entries such as item { name: "dance" id: 4 }, found none')
        actions.update(found)
    return dict(sorted(actions.items()))


def _excluded(folder: Path, split: str) -> dict[str, set[int]]:
    """Seconds by video that the authors took out."""
    excluded: dict[str, set[int]] = defaultdict(set)
    for path in sorted(folder.glob(EXCLUDED[split])):
        for row in read_table(path, {"video": name, "second": integer(0)}):
            excluded[row["video"]].add(row["second"])
    return excluded
