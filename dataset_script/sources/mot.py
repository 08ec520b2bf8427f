"""MOTChallenge (MOT15, MOT16, MOT17, MOT20): people, and vehicles beside them, in crowded streets.

Home page: https://motchallenge.net. Licence: CC BY-NC-SA 3.0.
Citation: Milan et al., "MOT16: A Benchmark for Multi-Object Tracking", arXiv:1603.00831, 2016.

Folder (sequences may also lie in the folder itself)::

    data_dir/train/MOT17-02-DPM/img1/000001.jpg ...
                                seqinfo.ini           [Sequence] imDir, frameRate, seqLength, imWidth, imHeight
                                gt/gt.txt             frame,id,left,top,width,height,considered,class,visibility
    data_dir/test/MOT17-01-DPM/...                    without gt/

MOT15's rows have ``frame,id,left,top,width,height,considered,x,y,z`` instead. Frames and pixels count from 1
there and from 0 in the records. MOT17 holds every video three times, once per detector (-DPM, -FRCNN, -SDP):
``metadata["sequence"]`` names the video itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_script.records import Box, TargetRecord, VideoRecord

from .reading import (
    Broken,
    Cell,
    SourceError,
    contents,
    expect_folder,
    find_splits,
    integer,
    number,
    parse_row,
    read_each,
    read_rows,
)
from .sequences import read_section

SOURCE = "mot"
FOLDERS = {"train": ("train",), "test": ("test",)}
CLASSES = {
    1: "pedestrian",
    2: "person on vehicle",
    3: "car",
    4: "bicycle",
    5: "motorbike",
    6: "non motorized vehicle",
    7: "static person",
}
BOX: dict[str, Cell] = {
    "frame": integer(1),
    "id": integer(1),
    "left": number(),
    "top": number(),
    "width": number(0),
    "height": number(0),
    "considered": number(0, 1),
}
LAYOUTS: dict[int, dict[str, Cell]] = {
    9: {**BOX, "class": integer(1, 13), "visibility": number(-1, 1)},
    10: {**BOX, "x": number(), "y": number(), "z": number()},
}


def read_mot(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
             ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the sequences by split and name; interactions are not annotated.

    Distractors, occluders, reflections and crowds (classes 8 to 13) are left out, and so are boxes of
    objects that are wholly hidden (visibility 0). The objects that the benchmark evaluates are the main
    ones. A test sequence is published without boxes: it has no target and no annotated frame.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"test"``, or None for all that is there.
        broken: None to raise at the first broken sequence, or the list that collects them.

    Raises:
        SourceError: If the folder is not MOTChallenge, or (with ``broken`` None) a sequence is broken.
        ValueError: If there is no split of that name.
    """
    what = "sequences of MOTChallenge (<sequence>/seqinfo.ini)"
    root = expect_folder(data_dir, what)
    bare = split is None and any(root.glob("*/seqinfo.ini"))
    folders = {None: root} if bare else find_splits(root, split, FOLDERS, what)
    for name, folder in folders.items():
        infos = sorted(folder.glob("*/seqinfo.ini"))
        if not infos:
            raise SourceError(folder, f"expected {what}, found {contents(folder)}; give the folder that holds them")
        yield from read_each(infos, lambda info, name=name: _record(info, root, name), broken, lambda info: info)


def _record(info_path: Path, root: Path, split: str | None) -> VideoRecord:
    info, folder = read_section(info_path, "Sequence"), info_path.parent
    frames, truth = _whole(info, "seqlength", info_path), folder / "gt" / "gt.txt"
    sequence = re.sub(r"-(DPM|FRCNN|SDP)$", "", folder.name)
    return VideoRecord(
        video_id=folder.name,
        file_name=(folder / info.get("imdir", "img1")).relative_to(root).as_posix(),
        width=_whole(info, "imwidth", info_path),
        height=_whole(info, "imheight", info_path),
        fps=_rate(info, info_path),
        num_frames=frames,
        targets=_targets(truth, frames) if truth.is_file() else [],
        interactions=None,
        prompt=None,
        source=SOURCE,
        metadata={"sequence": sequence} if split is None else {"split": split, "sequence": sequence},
        annotated_frames=None if truth.is_file() else (),
    )


@dataclass
class _Track:
    category: str
    boxes: dict[int, Box] = field(default_factory=dict)
    evaluated: bool = False


def _targets(path: Path, frames: int) -> list[TargetRecord]:
    tracks: dict[int, _Track] = {}
    columns: Mapping[str, Cell] | None = None
    for row in read_rows(path):
        columns = columns or LAYOUTS.get(len(row.cells))
        if columns is None:
            why = f"expected {' or '.join(map(str, LAYOUTS))} cells, got {len(row.cells)}; is it a ground truth file?"
            raise SourceError(row.where, why)
        cells = parse_row(row, columns)
        if cells["frame"] > frames:
            raise SourceError(row.where, f"frame {cells['frame']} lies past the last one, {frames} (seqLength)")
        if cells.get("class", 1) in CLASSES:
            _add(tracks, cells, row.where)
    return [
        TargetRecord(number, track.category, track.boxes, track.evaluated) for number, track in sorted(tracks.items())
    ]


def _add(tracks: dict[int, _Track], cells: Mapping[str, Any], where: str) -> None:
    category, frame = CLASSES[cells.get("class", 1)], cells["frame"] - 1
    track = tracks.setdefault(cells["id"], _Track(category))
    if track.category != category:
        raise SourceError(where, f"track {cells['id']} was '{track.category}' before and is '{category}' here")
    if frame in track.boxes:
        raise SourceError(where, f"track {cells['id']} has two boxes in frame {cells['frame']}")
    track.evaluated |= cells["considered"] == 1
    if cells.get("visibility", 1) == 0:
        return
    if not (cells["width"] > 0 and cells["height"] > 0):
        raise SourceError(where, f"expected a box with area, got {cells['width']:g} x {cells['height']:g}")
    track.boxes[frame] = (cells["left"] - 1, cells["top"] - 1, cells["width"], cells["height"])


def _whole(info: Mapping[str, str], key: str, path: Path) -> int:
    return int(_rate(info, path, key))


def _rate(info: Mapping[str, str], path: Path, key: str = "framerate") -> float:
    try:
        return number(1)(info[key])
    except KeyError:
        raise SourceError(path, f"misses '{key}'; it has {', '.join(info)}") from None
    except ValueError as error:
        raise SourceError(f"'{path}', {key}", f"{error}, got {info[key]!r}") from error
