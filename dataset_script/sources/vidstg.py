"""VidSTG: sentences over the relations of VidOR; here, text prompts.

Home: https://github.com/Guaranteer/VidSTG-Dataset. Licence: none stated; videos and boxes are VidOR's.

Folder: the repository's ``annotations/``, and beside it VidOR's annotations for the boxes::

    data_dir/train_annotations.json   (or data_dir/annotations/...)
    data_dir/val_annotations.json
    data_dir/test_annotations.json
    data_dir/vidor/                   see vidor.py; optional, can lie elsewhere

A row of these files holds captions ("the child in red clothes is watching the ball") and questions ("who is
watching the ball?") about one relation; each names one target. A text-prompted tracker is asked one sentence at a
time, so each sentence is a record of its own: ``prompt`` is the sentence, its target is the only ``main`` one, and
``metadata`` tells

* ``video``: the VidOR video, which several records share and which a split must not part;
* ``sentence``: ``"caption"`` or ``"question"``;
* ``segment``: frames ``[start, end)`` of the cut that the sentence was written for;
* ``interval``: frames ``[start, end)`` in which it is true;
* ``relation``: the relation it tells, ``subject, interaction, object``.

Where VidOR is there, boxes and interactions are its own. Without it they are unknown: tracks have no boxes,
``annotated_frames`` is empty and ``interactions`` None (one relation per sentence is known, not which others hold).

Zhang, Zhao, Zhao, Wang, Liu, Gao: Where Does It Exist: Spatio-Temporal Video Grounding for Multi-Form Sentences.
CVPR 2020.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dataset_script.records import TargetRecord, VideoRecord

from .reading import Broken, SourceError, find_splits, listed, read_each, read_json, tolerating, value
from .relation_files import read_relation_file
from .vidor import SOURCE as VIDOR
from .vidor import vidor_files

SOURCE = "vidstg"
WHAT = "the annotations of VidSTG"
FILES = {"train": "train_annotations.json", "validation": "val_annotations.json", "test": "test_annotations.json"}
PLACES = {split: (name, f"annotations/{name}") for split, name in FILES.items()}
KINDS = {"captions": "caption", "questions": "question"}


class Row(NamedTuple):
    """One row of an annotation file and its position there."""

    where: str
    number: int
    data: Mapping[str, Any]


class Sentence(NamedTuple):
    """One caption or question of a row."""

    row: Row
    number: int
    kind: str
    data: Mapping[str, Any]


def read_vidstg(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
                vidor_dir: str | Path | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields one record per sentence, by split, video and the order in the file.

    One annotation file of VidSTG (text only, no boxes) and one of VidOR are in memory at a time.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, ``"test"``, or None for all that are there.
        broken: None to raise on the first broken video or sentence, or the list that collects them.
        vidor_dir: The folder of VidOR; None for ``data_dir/vidor`` where that is there.

    Raises:
        SourceError: If a folder is not what it should be, or (with ``broken`` None) an entry is broken.
    """
    vidor = Path(data_dir) / "vidor" if vidor_dir is None else Path(vidor_dir)
    paths = {}
    if vidor_dir is not None or vidor.is_dir():
        paths = {path.stem: path for some in vidor_files(vidor).values() for path in some}
    for name, path in find_splits(data_dir, split, PLACES, WHAT).items():
        video = partial(_vidor_video, paths, vidor) if paths else _bare_video
        yield from _read_split(path, name, video, broken)


def _read_split(path: Path, split: str, video: Callable[[Row], VideoRecord],
                broken: list[Broken] | None) -> Iterator[VideoRecord]:  # fmt: skip
    rows: dict[str, list[Row]] = defaultdict(list)
    for number, data in enumerate(read_json(path, list)):
        row = Row(f"'{path}', row {number}", number, data)
        with tolerating(broken, row.where):
            rows[value(data, "vid", str, row.where)].append(row)
    for video_id in sorted(rows):
        first = rows[video_id][0]
        with tolerating(broken, first.where):
            base = video(first)
            for row in rows[video_id]:
                with tolerating(broken, row.where):
                    record = partial(_record, base, split)
                    yield from read_each(list(_sentences(row)), record, broken, lambda sentence: sentence.row.where)


def _sentences(row: Row) -> Iterator[Sentence]:
    entries = ((kind, data) for key, kind in KINDS.items() for data in value(row.data, key, list, row.where))
    for number, (kind, data) in enumerate(entries):
        yield Sentence(row, number, kind, data)


def _vidor_video(paths: Mapping[str, Path], folder: Path, row: Row) -> VideoRecord:
    video_id = row.data["vid"]
    if video_id not in paths:
        raise SourceError(row.where, f"vid {video_id!r} points nowhere: there is no {video_id}.json in '{folder}'")
    return read_relation_file(paths[video_id], VIDOR, split="")


def _bare_video(row: Row) -> VideoRecord:
    """The video as VidSTG alone knows it: tracks with categories, and nobody knows where."""
    objects = value(row.data, "subject/objects", list, row.where)
    tracks = ((value(o, "tid", int, row.where), value(o, "category", str, row.where)) for o in objects)
    return VideoRecord(
        video_id=row.data["vid"],
        file_name=f"{row.data['vid']}.mp4",
        width=value(row.data, "width", int, row.where),
        height=value(row.data, "height", int, row.where),
        fps=float(value(row.data, "fps", float, row.where)),
        num_frames=value(row.data, "frame_count", int, row.where),
        targets=[TargetRecord(tid, category, {}, main=False) for tid, category in sorted(tracks)],
        interactions=None,
        prompt=None,
        source=SOURCE,
        annotated_frames=(),
    )


def _record(base: VideoRecord, split: str, sentence: Sentence) -> VideoRecord:
    row = sentence.row
    target = value(sentence.data, "target_id", int, row.where)
    ids = [t.track_id for t in base.targets]
    if target not in ids:
        raise SourceError(row.where, f"target_id {target} points nowhere; the video's tracks are {listed(ids)}")
    return replace(
        base,
        video_id=f"{base.video_id}_{row.number}_{sentence.number}",
        targets=[replace(t, main=t.track_id == target) for t in base.targets],
        prompt=value(sentence.data, "description", str, row.where),
        source=SOURCE,
        metadata={
            "split": split,
            "video": base.video_id,
            "sentence": sentence.kind,
            "segment": _frames(row, "used_segment", base.num_frames, last_is_inside=True),
            "interval": _frames(row, "temporal_gt", base.num_frames, last_is_inside=False),
            "relation": _relation(row, ids),
        },
    )


def _frames(row: Row, key: str, count: int, last_is_inside: bool) -> list[int]:
    """``[start, end)`` of an interval; VidSTG's segments name their last frame, all else the one after it."""
    interval = value(row.data, key, dict, row.where)
    begin = value(interval, "begin_fid", int, row.where)
    end = value(interval, "end_fid", int, row.where) + last_is_inside
    if not 0 <= begin < end <= count:
        raise SourceError(row.where, f"expected {key} inside the video's {count} frames, got [{begin}, {end})")
    return [begin, end]


def _relation(row: Row, ids: list[int]) -> dict[str, Any]:
    relation = value(row.data, "used_relation", dict, row.where)
    names = {"subject": "subject_tid", "object": "object_tid"}
    tracks = {name: value(relation, key, int, row.where) for name, key in names.items()}
    if not set(tracks.values()) <= set(ids):
        raise SourceError(row.where, f"used_relation {tracks} points nowhere; the video's tracks are {listed(ids)}")
    return {**tracks, "interaction": value(relation, "predicate", str, row.where)}
